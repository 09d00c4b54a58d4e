"""A torch module in `greensweep.run(…, model=net)`: layers, their energy, weights."""

import copy
import pickle
import random
import runpy
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from conftest import PROJECT
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules import module as module_hooks

import greensweep
from greensweep.energy import ScriptedMeter
from greensweep.errors import ConfigError
from greensweep.loops.live_run import Run
from greensweep.record.measuring import measured_by
from greensweep.record.reporting import Progress, monitored_by
from greensweep.record.result import RunResult, read_result


@pytest.fixture(autouse=True)
def without_mlflow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def mlp() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 3))


MLP_LAYERS = {"linear": 2, "relu": 1}
MLP_FLOPS = 2 * (6 * 4 + 4 * 3)


def recorded(
    model: nn.Module, folder: Path, loop: Callable[[nn.Module], object], **options: Any
) -> RunResult:
    with greensweep.run("a", model=model, directory=folder, meter="unmetered", **options) as run:
        loop(model)
    return run.result


def hooks(model: nn.Module) -> int:
    return sum(len(module._forward_pre_hooks) for module in model.modules())


# --- the census ---------------------------------------------------------------------------------


def test_layers_are_counted_on_one_sample_of_the_first_call(tmp_path: Path) -> None:
    result = recorded(mlp(), tmp_path, lambda net: net(torch.ones(5, 6)))
    assert result.layers == MLP_LAYERS
    assert (result.flops, result.flops_left_out) == (MLP_FLOPS, ())
    assert result.layer_modules == {"linear": 2, "relu": 1}
    assert (result.parameters, result.trainable_parameters) == (6 * 4 + 4 + 4 * 3 + 3,) * 2
    assert (result.model, result.device) == ("Sequential", "cpu")


def test_layers_are_counted_at_the_first_report_in_the_set_up(tmp_path: Path) -> None:
    net = mlp()
    with greensweep.run("a", model=net, directory=tmp_path, meter="unmetered") as run:
        run.report(epoch=0)
        assert run.result.parameters is None
        net(torch.ones(5, 6))
        run.report(epoch=1, accuracy=0.5)
        assert run.result.layers == MLP_LAYERS
    assert run.result.energy_phases["setup"].seconds > 0


def test_an_example_counts_the_layers_at_once(tmp_path: Path) -> None:
    net = mlp()
    folder = tmp_path / "run"
    with greensweep.run(
        "a", model=net, example=torch.ones(5, 6), directory=folder, meter="unmetered"
    ) as run:
        assert (run.result.layers, run.result.flops) == (MLP_LAYERS, MLP_FLOPS)
        assert hooks(net) == 0


class Pair(NamedTuple):
    left: Tensor
    right: Tensor


class Reader(nn.Module):
    """Takes ids, a mask by name, a table that is no batch, and nested inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(10, 4)
        self.head = nn.Linear(4, 2)

    def forward(
        self, ids: Tensor, *, mask: Tensor, extra: Mapping[str, Any], places: Tensor
    ) -> Tensor:
        pair, scale = extra["pair"], extra["scale"]
        features = (self.embed(ids) + places) * mask.unsqueeze(-1) * scale
        return self.head(features.mean(1) + pair.left - pair.right)


def read(net: nn.Module) -> Tensor:
    pair = Pair(torch.ones(7, 4), torch.ones(7, 4))
    output: Tensor = net(
        torch.ones(7, 3, dtype=torch.long),
        mask=torch.ones(7, 3),
        extra={"pair": pair, "scale": torch.tensor(2.0)},
        places=torch.ones(3, 4),
    )
    return output


def test_inputs_by_name_and_nested_ones_are_cut_to_one_sample(tmp_path: Path) -> None:
    result = recorded(Reader(), tmp_path, read)
    assert result.layers == {"embedding": 1, "linear": 1}
    assert result.flops == 2 * 4 * 2


@pytest.mark.parametrize(
    "example",
    [torch.ones(5, 6), (torch.ones(5, 6),), {"input": torch.ones(5, 6)}],
    ids=["tensor", "arguments", "by name"],
)
def test_an_example_is_a_tensor_or_arguments(tmp_path: Path, example: object) -> None:
    result = recorded(nn.Linear(6, 4), tmp_path, lambda _: None, example=example)
    assert (result.layers, result.flops) == ({"linear": 1}, 2 * 6 * 4)


class Detector(nn.Module):
    """Takes a list of images, each without a batch."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, images: list[Tensor]) -> Tensor:
        features: Tensor = self.conv(torch.stack(images))
        return features


def test_an_example_that_cannot_be_cut_is_taken_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    example = ([torch.ones(3, 4, 4)],)
    result = recorded(Detector(), tmp_path, lambda _: None, example=example)
    assert (result.layers, result.flops) == ({"conv": 1}, 2 * 3 * 2 * 16)
    assert "are not counted" not in caplog.text


class Parts(nn.Module):
    """As a LightningModule: its own forward pass is never called, its parts are."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.head = mlp(), nn.Linear(3, 2)
        self.loss = nn.CrossEntropyLoss()
        self.never = nn.Linear(9, 9)

    def training_step(self, batch: Tensor) -> Tensor:
        outputs = self.head(self.encoder(batch))
        loss: Tensor = self.loss(outputs, torch.zeros(len(batch), dtype=torch.long))
        return loss


def test_parts_that_are_called_count_where_the_module_itself_is_not(tmp_path: Path) -> None:
    net = Parts()
    result = recorded(net, tmp_path, lambda _: [net.training_step(torch.ones(5, 6))] * 2)
    assert result.layers == {"linear": 3, "relu": 1}
    assert result.flops == MLP_FLOPS + 2 * 3 * 2
    assert result.layer_modules["linear"] == 4
    assert hooks(net) == 0


def test_a_part_with_two_names_counts_once(tmp_path: Path) -> None:
    net = nn.ModuleDict({"network": mlp()})
    net["averaged"] = nn.ModuleDict({"module": net["network"]})
    result = recorded(net, tmp_path, lambda _: net["network"](torch.ones(5, 6)))
    assert result.layers == MLP_LAYERS


def test_a_search_knows_the_size_of_the_network_once_it_is_counted(tmp_path: Path) -> None:
    reports: list[Progress] = []

    class Noting:
        def on_epoch(self, progress: Progress) -> None:
            reports.append(progress)

        def on_repeat(self, progress: Progress) -> None: ...

    net = mlp()
    with (
        monitored_by(Noting()),
        greensweep.run("a", model=net, directory=tmp_path, meter="unmetered") as run,
    ):
        run.report(epoch=0)
        net(torch.ones(5, 6))
        run.report(epoch=1, accuracy=0.5)
    sizes = {"parameters": 43, "trainable_parameters": 43, "flops": MLP_FLOPS}
    assert [each.known for each in reports] == [{}, sizes]


def test_the_call_of_the_whole_counts_where_a_part_was_called_before(tmp_path: Path) -> None:
    net = mlp()
    result = recorded(net, tmp_path, lambda _: (net[0](torch.ones(5, 6)), net(torch.ones(5, 6))))
    assert result.layers == MLP_LAYERS


class Restless(nn.Module):
    """Whose every forward pass leaves a trace, in all that a module can keep."""

    seen: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.head = nn.BatchNorm1d(6), nn.Linear(6, 2)
        self.register_buffer("seen", torch.zeros(()))
        self.calls = 0

    def forward(self, batch: Tensor) -> Tensor:
        self.calls += 1
        self.seen += 1
        batch = batch.mul_(2)
        noise = torch.rand(()) + random.random() + np.random.random()
        return self.head(functional.dropout(self.norm(batch), training=self.training) + noise)


def state(net: Restless) -> list[Any]:
    return [
        {name: value.tolist() for name, value in net.state_dict().items()},
        [(module.training, len(module._forward_hooks), hooks(module)) for module in net.modules()],
        (net.calls, torch.rand(1).item(), random.random(), np.random.random()),
    ]


@pytest.mark.parametrize("mode", [torch.enable_grad, torch.no_grad, torch.inference_mode])
def test_counting_leaves_the_module_and_random_numbers_alone(
    tmp_path: Path, mode: Callable[[], Any]
) -> None:
    states, layers = [], []
    for name in ("plain", "counted"):
        torch.manual_seed(0), random.seed(0), np.random.seed(0)
        net = Restless()
        net.norm.eval()
        with mode():
            net(torch.ones(5, 6))
        model = net if name == "counted" else None
        with greensweep.run("a", model=model, directory=tmp_path / name, meter="unmetered") as run:
            with mode():
                net(torch.ones(5, 6))
            run.report(epoch=1, accuracy=0.5)
            net(torch.ones(5, 6)).sum().backward()
        states.append(state(net))
        layers.append(run.result.layers)
    assert states[0] == states[1]
    assert layers == [{}, {"batch_norm": 1, "linear": 1}]
    assert run.result.flops == 2 * 6 * 2


def test_a_module_is_not_hooked_once_it_was_called(tmp_path: Path) -> None:
    net = mlp()
    net(torch.ones(5, 6))
    with greensweep.run("a", model=net, directory=tmp_path, meter="unmetered"):
        assert hooks(net) > 0
        net(torch.ones(5, 6))
        assert hooks(net) == 0


def test_a_copy_of_the_module_is_not_seen(tmp_path: Path) -> None:
    net = mlp()
    with greensweep.run("a", model=net, directory=tmp_path, meter="unmetered") as run:
        copies = [copy.deepcopy(net), pickle.loads(pickle.dumps(net))]
        for each in copies:
            each(torch.ones(5, 6))
        run.report(epoch=1, accuracy=0.5)
        assert run.result.layers == {}
        net(torch.ones(5, 6))
    assert run.result.layers == MLP_LAYERS
    assert [hooks(each) for each in copies] == [0, 0]


class TrainingOnly(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(6, 2)

    def forward(self, batch: Tensor) -> Tensor:
        if not self.training:
            raise RuntimeError("no prototypes yet")
        outputs: Tensor = self.head(batch)
        return outputs


@pytest.mark.parametrize(
    ("model", "loop", "reason"),
    [
        (TrainingOnly(), lambda net: net(torch.ones(5, 6)), "RuntimeError: no prototypes yet"),
        (mlp(), lambda _: None, "it was not called in the run"),
        (nn.Sequential(nn.Identity()), lambda net: net("text"), "it is given no tensor"),
    ],
    ids=["fails", "never runs", "takes text"],
)
def test_what_cannot_be_counted_costs_a_warning_and_no_run(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    model: nn.Module,
    loop: Callable[[nn.Module], object],
    reason: str,
) -> None:
    result = recorded(model, tmp_path, loop)
    assert (result.status, result.layers, result.flops) == ("finished", {}, None)
    assert result.parameters == sum(each.numel() for each in model.parameters())
    assert reason in caplog.text
    assert "give one of its inputs, example=inputs" in caplog.text
    assert hooks(model) == 0


def test_layers_that_processes_share_out_are_not_counted_which_a_line_says(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    from torch import distributed
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    store = f"file://{tmp_path / 'store'}"
    distributed.init_process_group("gloo", store, rank=0, world_size=1)
    try:
        model = fully_shard(nn.Linear(3, 2), mesh=init_device_mesh("cpu", (1,)))
        result = recorded(model, tmp_path, lambda net: net(torch.ones(4, 3)))
    finally:
        distributed.destroy_process_group()
    assert (result.status, result.layers) == ("finished", {})
    assert "(its parameters are shared out over processes, as by FSDP)." in caplog.text


def test_a_loop_that_fails_leaves_the_parameters(tmp_path: Path) -> None:
    net = mlp()
    with pytest.raises(ZeroDivisionError):
        recorded(net, tmp_path, lambda _: 1 / 0)
    assert read_result(tmp_path).parameters == 43
    assert hooks(net) == 0


@pytest.fixture
def process_group(tmp_path: Path) -> Iterator[None]:
    """A group of this process alone."""
    store = f"file://{tmp_path}/store"
    torch.distributed.init_process_group("gloo", init_method=store, rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("wrapper", [nn.DataParallel, nn.parallel.DistributedDataParallel])
@pytest.mark.usefixtures("process_group")
def test_parallel_wrappers_are_not_counted(
    tmp_path: Path, wrapper: Callable[[nn.Module], nn.Module]
) -> None:
    result = sampled(tmp_path / "run", usual, wrapper(mlp()))
    assert (result.model, result.layers) == ("Sequential", MLP_LAYERS)
    assert "\n0,linear," in (tmp_path / "run" / "layer_energy.csv").read_text()


def test_a_module_that_is_wrapped_later_is_counted(tmp_path: Path) -> None:
    net = mlp()
    result = recorded(net, tmp_path, lambda _: nn.DataParallel(net)(torch.ones(5, 6)))
    assert result.layers == MLP_LAYERS


@pytest.mark.filterwarnings("ignore")  # both are deprecated
def test_scripted_and_quantised_modules_do_no_harm(tmp_path: Path) -> None:
    scripted = torch.jit.script(mlp())
    quantised = torch.ao.quantization.quantize_dynamic(mlp(), {nn.Linear})
    batch = torch.ones(5, 6)
    first = recorded(scripted, tmp_path / "1", lambda net: net(batch), example=batch)
    assert first.layers == {"scripted": 1}
    second = recorded(quantised, tmp_path / "2", lambda net: net(batch))
    assert second.layers["relu"] == 1
    for number, net in enumerate((scripted, nn.Sequential(scripted)), 3):
        assert recorded(net, tmp_path / str(number), lambda net: net(batch)).status == "finished"


@pytest.mark.slow
def test_compiled_modules_are_counted_and_not_compiled_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    compilations = []

    def backend(graph: Any, _: Any) -> Any:
        compilations.append(graph)
        return graph.forward

    net = torch.compile(mlp(), backend=backend)

    def loop(net: nn.Module) -> None:
        for _ in range(3):
            net(torch.ones(5, 6))

    result = recorded(net, tmp_path / "counted", loop)
    loop(net)
    assert (result.model, result.layers) == ("Sequential", MLP_LAYERS)
    assert len(compilations) == 1

    found = sampled(tmp_path / "sampled", usual, net).layer_energy
    assert found is not None
    assert list(MLP_LAYERS) == list(found.shares)[:2]
    assert "its layers are timed as they run uncompiled" in caplog.text


def test_under_autocast_parts_are_counted_as_they_ran(tmp_path: Path) -> None:
    net = Parts()

    def loop(_: nn.Module) -> None:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            net.training_step(torch.ones(5, 6))

    assert recorded(net, tmp_path, loop).layers == {"linear": 3, "relu": 1}


# --- weights ------------------------------------------------------------------------------------


def weights_of(result: RunResult) -> dict[str, Tensor]:
    assert result.checkpoint is not None
    kept: dict[str, Tensor] = torch.load(result.checkpoint, weights_only=True)
    return kept


@pytest.mark.parametrize(("keep", "expected"), [("best", 2.0), ("last", 3.0)])
def test_weights_are_kept_of_the_end_or_of_the_best_epoch(
    tmp_path: Path, keep: Any, expected: float
) -> None:
    net = nn.DataParallel(nn.Linear(2, 1, bias=False))
    with greensweep.run(
        "a", model=net, keep=keep, keep_weights=True, directory=tmp_path, meter="unmetered"
    ) as run:
        for epoch, accuracy in enumerate((0.1, 0.9, 0.4), 1):
            nn.init.constant_(net.module.weight, epoch)
            run.report(epoch=epoch, accuracy=accuracy)
    assert run.result.checkpoint == str(tmp_path / "model.pt")
    assert {name: each.tolist() for name, each in weights_of(run.result).items()} == {
        "weight": [[expected, expected]]
    }


def test_no_weights_are_left_unasked(tmp_path: Path) -> None:
    result = recorded(mlp(), tmp_path, lambda net: net(torch.ones(5, 6)))
    assert result.checkpoint is None
    assert not (tmp_path / "model.pt").exists()


def test_a_loop_that_breaks_off_leaves_the_weights_of_its_best_epoch(tmp_path: Path) -> None:
    net = nn.Linear(2, 1)
    with (
        pytest.raises(KeyboardInterrupt),
        greensweep.run(
            "a", model=net, keep="best", keep_weights=True, directory=tmp_path, meter="unmetered"
        ) as run,
    ):
        run.report(epoch=1, accuracy=0.5)
        raise KeyboardInterrupt
    assert weights_of(run.result).keys() == {"weight", "bias"}


class Unkeepable(nn.Linear):
    def get_extra_state(self) -> object:
        return Path()


def test_weights_that_cannot_be_kept_cost_a_warning_and_no_run(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net = Unkeepable(2, 1)
    with greensweep.run(
        "a", model=net, keep="best", keep_weights=True, directory=tmp_path, meter="unmetered"
    ) as run:
        run.report(epoch=1, accuracy=0.5)
    assert (run.result.status, run.result.checkpoint) == ("finished", None)
    assert caplog.text.count("The weights are not kept: ") == 1


# --- layer energy -------------------------------------------------------------------------------


class Pause(nn.Module):
    """Plain arithmetic that takes 4 ms."""

    def forward(self, batch: Tensor) -> Tensor:
        time.sleep(0.004)
        return batch * 2


def paused() -> nn.Sequential:
    return nn.Sequential(nn.Linear(6, 4), nn.ReLU(), Pause(), nn.Linear(4, 3))


class Loop:
    """A training loop of 36 steps, and an evaluation after each epoch of some of them."""

    epoch_steps = 12

    def __init__(
        self, net: nn.Module, called: nn.Module | None = None, evaluated: nn.Module | None = None
    ) -> None:
        self.net, self.called = net, called or net
        self.evaluated = evaluated or self.called
        self.update = torch.optim.SGD(net.parameters(), lr=0.001)

    def __call__(self, run: Run, step: Callable[["Loop", int], None]) -> None:
        torch.manual_seed(0)
        for _ in range(36 // self.epoch_steps):
            self.net.train()
            for number in range(self.epoch_steps):
                step(self, number)
            self.net.eval()
            with run.phase("evaluation"), torch.no_grad():
                self.evaluated(torch.ones(5, 6))
            run.report(accuracy=0.5)

    def loss(self) -> Tensor:
        outputs: Tensor = self.called(torch.rand(5, 6))
        return outputs.square().sum()


def usual(loop: Loop, _: int) -> None:
    loss = loop.loss()
    loop.update.zero_grad()
    loss.backward()
    loop.update.step()


def accumulating(loop: Loop, number: int) -> None:
    loop.loss().backward()
    if number % 3 == 2:
        loop.update.step()
        loop.update.zero_grad()


def in_closure(loop: Loop, _: int) -> None:
    def closure() -> float:
        loop.update.zero_grad()
        loss = loop.loss()
        loss.backward()
        return loss.item()

    loop.update.step(closure)


def by_hand(loop: Loop, _: int) -> None:
    loop.loss().backward()
    with torch.no_grad():
        for each in loop.net.parameters():
            each -= 0.001 * each.grad
            each.grad = None


def twice(loop: Loop, _: int) -> None:
    (loop.loss() + loop.loss()).backward()
    loop.update.step()


def sampled(
    folder: Path,
    step: Callable[[Loop, int], None],
    net: nn.Module | None = None,
    called: nn.Module | None = None,
    evaluated: nn.Module | None = None,
) -> RunResult:
    net = net or paused()
    with (
        measured_by(ScriptedMeter([(1.0, 1.0)])),
        greensweep.run("a", model=net, directory=folder, layer_energy=True) as run,
    ):
        Loop(net, called, evaluated)(run, step)
    return run.result


LAYERS = ["linear", "relu", "pause"]


@pytest.mark.parametrize(
    ("step", "rest", "steps"),
    [
        (usual, ["data", "loss", "optimizer", "other"], 10),
        (in_closure, ["data", "loss", "optimizer", "other"], 10),
        (accumulating, ["data", "loss", "optimizer", "other"], 6),
        (by_hand, ["loss", "other"], 10),
    ],
)
def test_training_energy_is_shared_out_over_the_layers_of_live_steps(
    tmp_path: Path, step: Callable[[Loop, int], None], rest: list[str], steps: int
) -> None:
    result = sampled(tmp_path, step)
    found = result.layer_energy
    assert found is not None and found.joules is not None
    assert list(found.shares) == LAYERS + rest
    assert sum(found.shares.values()) == pytest.approx(1)
    assert sum(found.joules.values()) == pytest.approx(result.energy_joules)
    assert found.shares["pause"] > 0.5
    assert (found.quality, found.key) == ("attributed", "time")
    # As many as belong to whole updates.
    assert steps - 3 <= (found.steps or 0) <= steps
    assert (found.plain_step_seconds or 0) > 0.004
    assert (found.step_seconds or 0) > 0.004
    phases = result.energy_phases
    assert (found.cost_joules or 0) >= (phases["layer_energy"].joules or 0) > 0
    table = (tmp_path / "layer_energy.csv").read_text().splitlines()
    assert [line.split(",")[:2] for line in table[1:5]] == [
        ["0", "linear"], ["1", "relu"], ["2", "pause"], ["3", "linear"]
    ]  # fmt: skip


@pytest.mark.parametrize("evaluates", ["the module", "a copy"])
def test_what_interrupts_training_is_in_no_step(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, evaluates: str
) -> None:
    seconds = [0.0]

    class Clock:
        @staticmethod
        def perf_counter() -> float:
            return seconds[0]

    def run_for(module: nn.Module, _: Any) -> None:
        seconds[0] += 1 if module is net and module.training else 100

    monkeypatch.setattr("greensweep.loops.live_steps.time", Clock)
    monkeypatch.setattr(Loop, "epoch_steps", 9)
    net = mlp()
    net.register_forward_pre_hook(run_for)
    other = None if evaluates == "the module" else copy.deepcopy(net)
    found = sampled(tmp_path, usual, net, evaluated=other).layer_energy
    assert found is not None
    assert found.plain_step_seconds == 1


def test_layers_of_the_part_that_is_called_have_their_path_in_the_whole(tmp_path: Path) -> None:
    class Wrapped(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp()

    net = Wrapped()
    found = sampled(tmp_path, usual, net, net.net).layer_energy
    assert found is not None
    assert "\nnet.0,linear," in (tmp_path / "layer_energy.csv").read_text()


class Recursive(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(6, 6)

    def forward(self, batch: Tensor, times: int = 2) -> Tensor:
        batch = self.layer(batch)
        return self(batch, times - 1) if times else batch


def test_a_module_may_call_itself(tmp_path: Path) -> None:
    result = sampled(tmp_path, usual, Recursive())
    assert result.layers == {"linear": 3}
    assert result.layer_energy is not None
    assert (result.layer_energy.steps, len(module_hooks._global_forward_hooks)) == (10, 0)


def by_parts(loop: Loop, _: int) -> None:
    net = loop.net
    assert isinstance(net, Parts)
    net.training_step(torch.rand(5, 6)).backward()
    loop.update.step()


def rarely(loop: Loop, number: int) -> None:
    if number == 0:
        usual(loop, number)


@pytest.mark.parametrize(
    ("step", "net", "called", "reason"),
    [
        (usual, mlp(), mlp(), "it was not called in the run, or compiled as a whole"),
        (twice, mlp(), None, "it is called several times before each backward pass"),
        (by_parts, (parts := Parts()), parts.encoder, "its parts are called one by one"),
        (rarely, mlp(), None, "0 of its training steps could be sampled, where 10 are asked for"),
    ],
)
def test_what_cannot_be_shared_out_is_left_out_with_a_warning(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    step: Callable[[Loop, int], None],
    net: nn.Module,
    called: nn.Module | None,
    reason: str,
) -> None:
    result = sampled(tmp_path, step, net, called)
    assert (result.status, result.layer_energy) == ("finished", None)
    assert f"is not shared out by layer: {reason}" in caplog.text
    assert not (tmp_path / "layer_energy.csv").exists()
    assert hooks(net) == 0


def test_another_profiler_goes_on_and_the_layer_energy_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with torch.profiler.profile() as profiler:
        result = sampled(tmp_path, usual, mlp())
    assert (result.status, result.layer_energy) == ("finished", None)
    assert "is not shared out by layer: another profiler runs" in caplog.text
    assert any(event.key == "aten::linear" for event in profiler.key_averages())


def test_sampling_changes_nothing_of_the_training(tmp_path: Path) -> None:
    weights, copies = [], []
    for name, layer_energy in {"plain": False, "sampled": True}.items():
        torch.manual_seed(1)
        net = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4), nn.Dropout(), nn.Linear(4, 3))

        def copying(loop: Loop, number: int) -> None:
            copies.append(copy.deepcopy(loop.net))
            usual(loop, number)

        with greensweep.run(
            "a",
            model=net,
            directory=tmp_path / name,
            layer_energy=layer_energy,
            meter="unmetered",
        ) as run:
            Loop(net)(run, copying)
        weights.append({name: each.tolist() for name, each in net.state_dict().items()})
    assert weights[0] == weights[1]
    assert run.result.layer_energy is not None
    for each in (*copies, net):
        each(torch.ones(5, 6))
        assert hooks(each) + len(each._forward_hooks) == 0
    assert not module_hooks._global_forward_hooks


def test_a_loop_that_fails_while_it_is_sampled_leaves_nothing_behind(tmp_path: Path) -> None:
    net = mlp()

    def failing(loop: Loop, number: int) -> None:
        usual(loop, number)
        if number == 5:
            net(torch.ones(5, 7))

    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        sampled(tmp_path, failing, net)
    assert read_result(tmp_path).status == "failed"
    assert len(module_hooks._global_forward_hooks) == len(net._forward_hooks) == hooks(net) == 0
    with torch.profiler.profile():
        pass  # which another one that still ran would refuse


@pytest.mark.parametrize(
    ("model", "options", "sentence"),
    [
        (None, {"keep_weights": True}, "keep_weights is of a torch module: give it, "),
        (None, {"layer_energy": True}, "layer_energy is of a torch module: give it, "),
        ("mlp", {"example": torch.ones(1)}, "example is of a torch module: give it, "),
        (mlp(), {"example": "text"}, "example must be inputs of the model, a tensor, a tuple"),
    ],
)
def test_a_wrong_use_is_refused_in_a_sentence(
    tmp_path: Path, model: Any, options: dict[str, Any], sentence: str
) -> None:
    with (
        pytest.raises(ConfigError, match=sentence),
        greensweep.run("a", model=model, directory=tmp_path, meter="unmetered", **options),
    ):
        pass


@pytest.mark.parametrize("script", ["evaluate.py", "predict.py"])
def test_our_commands_refuse_weights_of_a_loop_of_ones_own(
    tmp_path: Path, cli: Callable[..., Any], script: str
) -> None:
    recorded(mlp(), tmp_path / "run", lambda _: None, keep_weights=True, params={"rate": 0.1})
    data = ["data=x.csv"] if script == "predict.py" else []
    ended = cli(script, f"checkpoint={tmp_path}/run/model.pt", *data)
    assert ended.status == 1
    assert ended.errors.count("\n") == 1
    assert "where your own program trained it, load it there, by model.load_state_dict(" in (
        ended.errors
    )


def test_the_example_leaves_layers_weights_and_the_best_epoch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    example = PROJECT / "examples" / "own_network.py"
    assert len(example.read_text().splitlines()) <= 40
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    with measured_by(ScriptedMeter([(1.0, 1.0)])):  # whose start takes no seconds
        runpy.run_path(str(example), run_name="__main__")
    (folder,) = (each.parent for each in tmp_path.glob("outputs/tumours/*/result.json"))
    result = read_result(folder)
    assert (result.layers, result.flops) == (MLP_LAYERS, 2 * (30 * 16 + 16 * 2))
    assert result.metrics["validation"]["macro_f1"] == max(
        each.metrics["macro_f1"] or 0 for each in result.history
    )
    assert weights_of(result)["0.weight"].shape == (16, 30)
    assert result.layer_energy is not None
    assert set(MLP_LAYERS) < set(result.layer_energy.shares)
    assert {"setup", "training", "evaluation", "layer_energy"} <= set(result.energy_phases)
    assert " J in " in capsys.readouterr().out
