"""Evaluation: every image once, in evaluation mode, whatever the batches."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.utils.data import Dataset

from greensweep.data import StreamedSplit, TensorSplit
from greensweep.errors import DataError, TrainingError
from greensweep.tasks.classification import Classification
from greensweep.training import Normalise, evaluate

CLASSES = Classification(torch.arange(3), 3)


def as_they_are() -> Normalise:
    ones = torch.ones(1, 1, 1)
    return Normalise((ones - 1, ones), torch.device("cpu"), "contiguous")


def images(count: int = 23) -> TensorSplit:
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(count, 1, 4, 4, generator=generator)
    return TensorSplit(pixels, torch.randint(0, 3, (count,), generator=generator))


def network() -> nn.Module:
    """A network whose outputs in training mode differ from those in evaluation mode."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 3)
    )
    model.train()
    model(torch.randn(16, 1, 4, 4) * 3 + 1)
    return model


@pytest.mark.parametrize("batch_size", [1, 4, 22, 23, 512])
def test_accuracy_and_loss_are_means_over_images_whatever_the_batches(batch_size: int) -> None:
    model, split = network(), images()
    found = evaluate(model, split, as_they_are(), CLASSES, batch_size=batch_size)
    model.eval()
    outputs = model(split.inputs)
    pairs = zip(outputs, split.labels, strict=True)
    correct = [int(output.argmax()) == int(label) for output, label in pairs]
    assert 0 < sum(correct) < 23
    assert found.images == 23
    assert found.accuracy == sum(correct) / 23
    assert found.loss == pytest.approx(cross_entropy(outputs, split.labels).item(), rel=1e-6)


def test_evaluation_leaves_the_model_as_it_was() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    first = evaluate(model, images(), as_they_are(), CLASSES, batch_size=5)
    again = evaluate(model, images(), as_they_are(), CLASSES, batch_size=5)
    assert first == again
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())


def normalising() -> nn.Module:
    """A network without dropout, whose running statistics are of other images."""
    torch.manual_seed(0)
    norm = nn.BatchNorm2d(4, momentum=None)
    model = nn.Sequential(nn.Conv2d(1, 4, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(16, 3))
    model.train()
    model(torch.randn(16, 1, 4, 4) * 3 + 1)
    return model


def test_without_evaluation_mode_batch_norm_takes_the_statistics_of_each_batch() -> None:
    model, split = normalising(), images(60)
    found = evaluate(model, split, as_they_are(), CLASSES, batch_size=20, evaluation_mode=False)
    copied = normalising().train()
    mixed = torch.randperm(60, generator=torch.Generator().manual_seed(0))
    outputs = torch.cat([copied(part) for part in split.inputs[mixed].split(20)])
    labels = split.labels[mixed]
    assert found.accuracy == (outputs.argmax(1) == labels).double().mean().item()
    assert found.loss == pytest.approx(cross_entropy(outputs, labels).item(), rel=1e-6)
    running = evaluate(model, split, as_they_are(), CLASSES, batch_size=20)
    assert running.loss != pytest.approx(found.loss, rel=1e-3)
    smaller = evaluate(model, split, as_they_are(), CLASSES, batch_size=10, evaluation_mode=False)
    assert smaller.loss != pytest.approx(found.loss, rel=1e-5)


def test_without_evaluation_mode_the_order_of_classes_does_not_matter() -> None:
    # Each image is as bright as its class; the folder of a class after the other.
    labels = torch.arange(2).repeat_interleave(200)
    noise = torch.randn(400, 1, 1, 1, generator=torch.Generator().manual_seed(0))
    split = TensorSplit(labels[:, None, None, None] * 10.0 + noise, labels)
    model = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(1, 2))
    with torch.no_grad():
        model[2].weight.copy_(torch.tensor([[-1.0], [1.0]]))
        model[2].bias.zero_()
    found = evaluate(model, split, as_they_are(), CLASSES, batch_size=50, evaluation_mode=False)
    assert found.accuracy > 0.99  # in the order of the folder: about a half


def test_evaluation_in_training_mode_leaves_the_model_and_the_random_state_as_they_were() -> None:
    model = network()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    state = torch.get_rng_state()
    first = evaluate(model, images(), as_they_are(), CLASSES, batch_size=5, evaluation_mode=False)
    assert torch.equal(torch.get_rng_state(), state)
    again = evaluate(model, images(), as_they_are(), CLASSES, batch_size=5, evaluation_mode=False)
    assert first == again
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    loss = cross_entropy(model(images().inputs), images().labels)
    loss.backward()  # training goes on


def test_in_training_mode_an_image_left_over_joins_the_batch_before() -> None:
    norm = nn.BatchNorm1d(16)
    model = nn.Sequential(nn.Flatten(), norm, nn.Linear(16, 3))
    found = evaluate(
        model, images(23), as_they_are(), CLASSES, batch_size=11, evaluation_mode=False
    )
    assert found.images == 23
    assert int(norm.num_batches_tracked) == 0


def test_images_are_normalised_as_in_training() -> None:
    split = images()
    shifted = TensorSplit(split.inputs * 3 + 2, split.labels)
    statistics = torch.full((1, 1, 1), 2.0), torch.full((1, 1, 1), 3.0)
    normalise = Normalise(statistics, torch.device("cpu"), "contiguous")
    plain = evaluate(network(), split, as_they_are(), CLASSES, batch_size=8)
    found = evaluate(network(), shifted, normalise, CLASSES, batch_size=8)
    assert found.accuracy == plain.accuracy
    assert found.loss == pytest.approx(plain.loss, rel=1e-4)


def test_lower_precision_casts_the_forward_pass_and_keeps_the_result_close() -> None:
    dtypes = []
    model = network()
    model[4].register_forward_hook(lambda *call: dtypes.append(call[2].dtype))
    full = evaluate(model, images(), as_they_are(), CLASSES, batch_size=23)
    low = evaluate(model, images(), as_they_are(), CLASSES, batch_size=23, dtype=torch.bfloat16)
    assert dtypes == [torch.float32, torch.bfloat16]
    assert low.loss == pytest.approx(full.loss, rel=0.02)
    assert low.loss != full.loss


class Unreadable(Dataset[tuple[Tensor | None, int]]):
    def __getitem__(self, index: int) -> tuple[Tensor | None, int]:
        readable = images()
        return (readable.inputs[index], int(readable.labels[index])) if index < 9 else (None, 0)


def test_images_that_cannot_be_read_do_not_count() -> None:
    split = StreamedSplit(Unreadable(), images().labels, (1, 4, 4))
    found = evaluate(network(), split, as_they_are(), CLASSES, batch_size=4)
    readable = images().select(torch.arange(9))
    assert found == evaluate(network(), readable, as_they_are(), CLASSES, batch_size=4)
    assert found.images == 9


def test_a_split_of_which_nothing_can_be_read_is_refused() -> None:
    split = StreamedSplit(Unreadable(), images().labels, (1, 4, 4))
    with pytest.raises(DataError, match="no image of the split could be read: check"):
        evaluate(network(), split.select(torch.arange(9, 23)), as_they_are(), CLASSES, batch_size=4)


def test_weights_that_the_last_step_broke_are_no_result() -> None:
    model = network()
    with torch.no_grad():
        model[4].weight.mul_(float("nan"))
    with pytest.raises(TrainingError) as refused:
        evaluate(model, images(), as_they_are(), CLASSES, batch_size=4)
    assert str(refused.value) == (
        "the evaluation loss became nan, the network's outputs are not numbers: "
        "set a smaller optimizer.learning_rate"
    )


def test_a_model_that_fails_in_evaluation_is_one_sentence() -> None:
    model = nn.Sequential(nn.Flatten(), nn.Linear(9, 3))
    with pytest.raises(TrainingError) as refused:
        evaluate(model, images(), as_they_are(), CLASSES, batch_size=4)
    assert str(refused.value).startswith("evaluation failed (RuntimeError: mat1 and mat2")
    assert "\n" not in str(refused.value)
