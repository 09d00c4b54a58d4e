"""One run on several devices: `training.devices=2`, here by processes on the CPU."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
import torch.distributed as dist
from conftest import PROJECT, Finished
from torch import Tensor, nn

from greensweep.config import schema
from greensweep.config.schema import TrainConfig
from greensweep.data import StreamedSplit, TensorSplit
from greensweep.energy import ScriptedMeter
from greensweep.energy.machine import machine_totals
from greensweep.errors import ConfigError, DataError, TrainingError
from greensweep.record.reporting import Progress
from greensweep.record.result import RunResult, read_result
from greensweep.runs.once import run_once
from greensweep.tasks.classification import Classification
from greensweep.tracking.tracker import MemoryTracker
from greensweep.training import Normalise, Training, check_devices, device_asked_for
from greensweep.training.device import device_name
from greensweep.training.rank import RankTraining, part_of

Compose = Callable[..., TrainConfig]
Cli = Callable[..., Finished]
CPU = torch.device("cpu")
QUICK = (
    "training.epochs=2", "dataset.train_limit=203", "tracking=local", "inference.seconds=0",
    "model=mlp", "energy=unmetered",
)  # fmt: skip
real = pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two devices need two CPU cores")


# --- the parts of a batch -------------------------------------------------------------------------


@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
@pytest.mark.parametrize("size", [2, 3, 5, 7, 8, 64])
def test_each_sample_of_a_batch_is_of_one_rank_and_none_has_one_alone(
    size: int, ranks: int
) -> None:
    batch = torch.randperm(100)[:size]
    parts = [part_of(batch, rank, ranks) for rank in range(ranks)]
    assert torch.cat(parts).equal(batch)
    assert 1 not in map(len, parts)
    assert max(map(len, parts)) - min(len(part) for part in parts if len(part)) <= 1


@pytest.fixture
def one_rank() -> Iterator[None]:
    """Be the only rank, so that the ranks' code runs where it can be watched."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def rows(count: int = 61) -> TensorSplit:
    numbers = torch.Generator().manual_seed(1)
    inputs = torch.randn(count, 4, generator=numbers)
    return TensorSplit(inputs, torch.arange(count).remainder(3))


def losses_of(kind: type[Training], split: Any, **options: Any) -> tuple[list[float], Tensor]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3))
    training = kind(
        model,
        split,
        Normalise(None, CPU, "contiguous"),
        Classification(split.labels, 3, class_weights=[1.0, 2.0, 5.0]),
        training=schema.TrainingConfig(**{"epochs": 2, "batch_size": 10, **options}),
        optimizer=schema.AdamConfig(name="adam", learning_rate=0.01),
        scheduler=schema.CosineConfig(),
        seed=3,
    )
    training.warm_up()
    losses = [epoch.loss for epoch in training]
    return losses, torch.cat([each.detach().flatten() for each in training.model.parameters()])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"accumulate": 3, "clip_norm": 0.1},
        {"ema": 0.9, "reshuffle": False},
        {"batch_size": 60},  # one sample is left over
    ],
    ids=str,
)
def test_a_rank_takes_the_steps_of_a_device_alone(one_rank: None, options: dict[str, Any]) -> None:
    losses, weights = losses_of(RankTraining, rows(), **options)
    alone, expected = losses_of(Training, rows(), **options)
    assert losses == pytest.approx(alone, rel=1e-5)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)


class Rows(torch.utils.data.Dataset[tuple[Tensor | None, Tensor]]):
    """Of which every fifth cannot be read, and none of the last ten."""

    def __len__(self) -> int:
        return 60

    def __getitem__(self, index: int) -> tuple[Tensor | None, Tensor]:
        split = rows(60)
        broken = index % 5 == 0 or index >= 50
        return None if broken else split.inputs[index], split.labels[index]


def test_what_cannot_be_read_is_left_out_of_the_mean(one_rank: None) -> None:
    split = StreamedSplit(Rows(), rows(60).labels, (4,), input_dtype=torch.float32)
    losses, weights = losses_of(RankTraining, split)
    alone, expected = losses_of(Training, split)
    assert losses == pytest.approx(alone, rel=1e-5)
    torch.testing.assert_close(weights, expected, rtol=1e-4, atol=1e-6)


# --- what is refused, and named ------------------------------------------------------------------


def test_several_devices_are_the_first_ones(config: Compose) -> None:
    with pytest.raises(ConfigError, match=r"device=cuda:1 names one GPU, and training.devices=2"):
        config("training.devices=2", "training.device=cuda:1")


def test_more_devices_than_there_are_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 3)
    check_devices(CPU, 3)
    with pytest.raises(
        ConfigError, match=r"devices=4, but 3 CPU cores is all there is: set .*devices=3"
    ):
        check_devices(CPU, 4)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    with pytest.raises(ConfigError, match=r"devices=2, but 1 GPU is all there is: set "):
        check_devices(torch.device("cuda"), 2)


def test_what_several_devices_do_not_allow_is_refused_before_any_starts(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    said = "batch_size=3 is divided among training.devices=2, .*: set training.batch_size=4 or more"
    with pytest.raises(ConfigError, match=said):
        run(config(*QUICK, "training.devices=2", "training.batch_size=3"), tmp_path)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "mine")
    with pytest.raises(ConfigError, match="by itself: start the command without torchrun"):
        run(config(*QUICK, "training.devices=2"), tmp_path)


def test_a_result_says_how_many_devices(monkeypatch: pytest.MonkeyPatch) -> None:
    assert device_name(CPU, 2) == "2 × cpu"
    names = ["NVIDIA A", "NVIDIA B", "NVIDIA A"]
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda number: names[number])
    assert device_name(torch.device("cuda"), 3) == "2 × NVIDIA A + 1 × NVIDIA B"


def test_a_meter_is_told_all_devices() -> None:
    assert device_asked_for("cuda", 2) == "cuda:0,1"
    assert device_asked_for("auto", 2) == "cpu"
    assert device_asked_for("cuda:1") == "cuda:1"


# --- two processes -------------------------------------------------------------------------------


def run(config: TrainConfig, folder: Path, **options: Any) -> RunResult:
    meter = ScriptedMeter([(2.0, 10.0)])
    return run_once(config, folder, meter=meter, tracker=MemoryTracker(), test=True, **options)


def figures(result: RunResult) -> list[float]:
    return [
        figure
        for point in result.history
        for figure in (point.train_loss, point.metrics["loss"])
        if figure is not None
    ]


def children() -> list[psutil.Process]:
    """All that this process has started, but for Python's own tracker of semaphores."""
    found = psutil.Process().children(recursive=True)
    return [each for each in found if "resource_tracker" not in " ".join(each.cmdline())]


@real
@pytest.mark.slow
@pytest.mark.parametrize(
    "options",
    [
        ("optimizer=sgd", "training.ema=0.9", "training.resume=true"),
        ("training.accumulate=2", "training.clip_norm=0.5", "scheduler=one_cycle",
         "task.class_weights=balanced", "training.batch_size=50"),
        ("training.freeze=backbone", "scheduler=custom", "scheduler.interval=epoch",
         "scheduler.target=torch.optim.lr_scheduler.ReduceLROnPlateau"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_two_devices_give_what_one_gives(
    config: Compose, tmp_path: Path, options: tuple[str, ...]
) -> None:
    alone = run(config(*QUICK, *options), tmp_path / "alone")
    both = run(config(*QUICK, *options, "training.devices=2"), tmp_path / "both")
    assert (both.status, both.device) == ("finished", "2 × cpu")
    assert (both.capture, both.capture_reason) == ("none", "training.devices=2")
    assert figures(both) == pytest.approx(figures(alone), rel=1e-5)
    assert both.test_accuracy == alone.test_accuracy
    kept, expected = (
        torch.load(tmp_path / name / "model.pt", weights_only=True) for name in ("both", "alone")
    )
    for name, weights in expected.items():
        torch.testing.assert_close(kept[name], weights, rtol=1e-3, atol=1e-5)
    assert not children()


@real
@pytest.mark.slow
def test_two_devices_go_on_where_they_were(config: Compose, tmp_path: Path) -> None:
    asked = config(
        *QUICK, "training.devices=2", "training.epochs=3", "training.resume=true",
        "model=simple_cnn", "training.flip=true", "training.mixup=0.2",
    )  # fmt: skip
    whole = run(asked, tmp_path / "whole")

    def report(progress: Progress) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(asked, tmp_path / "died", report=report)
    assert not children()
    assert figures(run(asked, tmp_path / "died")) == figures(whole)


@real
@pytest.mark.slow
@pytest.mark.parametrize(("first", "then"), [(1, 2), (2, 1)])
def test_a_run_goes_on_with_another_number_of_devices(
    config: Compose, tmp_path: Path, first: int, then: int
) -> None:
    def report(progress: Progress) -> None:
        if progress.epoch == 1:
            raise KeyboardInterrupt

    asked = (*QUICK, "training.resume=true", "training.ema=0.9")
    with pytest.raises(KeyboardInterrupt):
        run(config(*asked, f"training.devices={first}"), tmp_path / "died", report=report)
    again = run(config(*asked, f"training.devices={then}"), tmp_path / "died")
    assert figures(again) == pytest.approx(figures(run(config(*asked), tmp_path / "one")), rel=1e-5)


MODEL = """
import os, signal, time
from torch import nn

class Odd(nn.Module):
    def __init__(self, num_classes, does):
        super().__init__()
        self.flatten, self.linear = nn.Flatten(), nn.Linear(64, num_classes)
        self.unused = nn.Linear(3, 3)
        self.does, self.steps = does, 0

    def forward(self, images):
        self.steps += self.training
        if self.training and os.environ.get("RANK") == "1" and self.steps > 5:
            match self.does:
                case "die": os.kill(os.getpid(), signal.SIGKILL)
                case "exit": os._exit(3)
                case "raise": raise RuntimeError("no more")
                case "hang": time.sleep(600)
        return self.linear(self.flatten(images))
"""


@pytest.fixture
def odd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "odd_model.py").write_text(MODEL, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    return [
        *QUICK, "model=custom", "model.target=odd_model.Odd", "training.devices=2",
        "dataset.train_limit=640",
    ]  # fmt: skip


@real
@pytest.mark.slow
@pytest.mark.parametrize(
    ("does", "said"),
    [
        ("die", "the process of rank 1 was ended by SIGKILL, as systems do for want of memory"),
        ("exit", "the process of rank 1 ended with status 3"),
        ("raise", r"training failed in epoch 1 \(RuntimeError: no more\)"),
        ("hang", "rank 0 heard nothing of another for 3 s"),
    ],
)
def test_a_device_that_fails_ends_the_run_in_a_sentence(
    config: Compose, tmp_path: Path, odd: list[str], does: str, said: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr("greensweep.runs.distributed.PATIENCE_SECONDS", 3.0)
    with pytest.raises(TrainingError, match=said):
        run(config(*odd, f"+model.kwargs.does={does}"), tmp_path)
    result = read_result(tmp_path)
    assert result.status == "failed"
    assert result.energy_spent_joules
    assert not children()


@real
@pytest.mark.slow
def test_data_that_come_otherwise_to_another_process_are_refused(
    config: Compose, tmp_path: Path, odd: list[str]
) -> None:
    rows = "np.random.default_rng().normal(size=(99, 8)), [0, 1, 2] * 33"
    data = f"import numpy as np\ndef data(): return {{'train': ({rows})}}"
    (tmp_path / "odd_data.py").write_text(data, encoding="utf-8")
    asked = config(
        "dataset=custom", "dataset.target=odd_data.data", *QUICK[2:], "training.devices=2"
    )
    with pytest.raises(DataError, match="and other training samples than before came: let the da"):
        run(asked, tmp_path / "run")


@real
@pytest.mark.slow
def test_a_model_may_have_parameters_that_no_step_uses(
    config: Compose, tmp_path: Path, odd: list[str]
) -> None:
    assert run(config(*odd, "+model.kwargs.does=nothing"), tmp_path).status == "finished"


@real
@pytest.mark.slow
@pytest.mark.parametrize("ends", ["Ctrl-C", "SIGKILL"])
def test_no_process_outlives_a_run_that_is_ended(tmp_path: Path, ends: str) -> None:
    command = [
        sys.executable, PROJECT / "src" / "train.py", *QUICK, "training.devices=2",
        "training.epochs=100000", "training.resume=true", f"hydra.run.dir={tmp_path}",
    ]  # fmt: skip
    # A terminal sends Ctrl-C to all processes of a command.
    started = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    while not (tmp_path / "training_state.pt").exists():
        assert started.poll() is None
        time.sleep(0.1)
    processes = psutil.Process(started.pid).children(recursive=True)
    if ends == "Ctrl-C":
        os.killpg(started.pid, signal.SIGINT)
        said = started.communicate(timeout=60)[1]
        assert started.returncode == 130
        assert said.endswith("Interrupted: what was measured so far is kept.\n")
        assert "Traceback" not in said
        result = read_result(tmp_path)
        assert (result.status, result.device) == ("stopped", "2 × cpu")
        assert result.history
    else:
        started.kill()
        started.communicate(timeout=60)
    assert len(processes) >= 2
    _, left = psutil.wait_procs(processes, timeout=10)
    assert not [each for each in left if each.status() != psutil.STATUS_ZOMBIE]


@real
@pytest.mark.slow
def test_trials_side_by_side_have_two_devices_each(
    cli: Cli, tmp_path: Path, results: Callable[..., list[dict[str, Any]]]
) -> None:
    options = [each for each in QUICK if each != "energy=unmetered"]
    ended = cli(
        "train.py", "-m", "hydra/sweeper=greensweep", "hydra.sweeper.n_workers=2",
        "hydra.sweeper.n_trials=2", "hydra.sweep.dir=two", "warmup=0", *options,
        "training.devices=2",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    trials = results("two")
    assert [(each["status"], each["device"]) for each in trials] == [("finished", "2 × cpu")] * 2
    (total,) = machine_totals(tmp_path / "two").values()
    assert 0 < total.trials_joules <= total.machine_joules
