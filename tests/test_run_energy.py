"""What a run tells of its energy beside the training window: phases, inference, layers, net."""

import csv
import json
import logging
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import pytest
from conftest import Finished
from mlflow import MlflowClient

from greensweep.config.schema import TrainConfig
from greensweep.energy import Phases, ScriptedMeter, UnmeteredMeter
from greensweep.energy.counters import Counter
from greensweep.energy.ledger import Ledger
from greensweep.energy.machine import MachineMeter
from greensweep.energy.processes import CpuTimes, Processes
from greensweep.errors import TrainingError
from greensweep.record.result import RunResult, read_result
from greensweep.record.tracked_names import tracked_metrics, tracked_tags
from greensweep.runs.kept_model import evaluate_checkpoint
from greensweep.runs.once import run_once
from greensweep.study.sentences import run_line
from greensweep.tracking.tracker import MemoryTracker

Cli = Callable[..., Finished]
Compose = Callable[..., TrainConfig]
QUICK = ("training.epochs=2", "tracking=local")


class Clockwork(Counter):
    """A counter of 10 W by a clock that moves one second at each reading."""

    component, source, quality, common = "cpu", "clockwork", "measured", True

    def __init__(self) -> None:
        self.now = 0.0

    def read(self) -> float:
        self.now += 1.0
        return 10.0 * self.now


class Clockworks:
    def __init__(self) -> None:
        self.counter = Clockwork()

    def open(self) -> list[Counter]:
        return [self.counter]

    def close(self) -> None: ...


class FourWatts:
    def watts(self, counters: Mapping[str, Counter]) -> Mapping[str, float]:
        return dict.fromkeys(counters, 4.0)


def run(config: TrainConfig, folder: Path, **options: Any) -> RunResult:
    given: dict[str, Any] = {"meter": UnmeteredMeter(), "tracker": MemoryTracker(), "test": False}
    return run_once(config, folder, **{**given, **options})


def test_phases_and_what_lies_between_are_the_whole_run(config: Compose, tmp_path: Path) -> None:
    source = Clockworks()
    clock = source.counter
    meter = MachineMeter(source, Ledger(), clock=lambda: clock.now)
    result = run(config(*QUICK, "layer_energy=true"), tmp_path, meter=meter, test=True)
    assert set(result.energy_phases) == {
        "setup", "warmup", "training", "evaluation", "inference", "layer_energy", "test", "other",
    }  # fmt: skip
    phases = result.energy_phases.values()
    assert sum(phase.joules for phase in phases) == result.energy_spent_joules
    # The first reading starts the run, and the last before the end stops it unread.
    assert result.energy_spent_joules == 10.0 * (clock.now - 2.0)
    assert sum(phase.seconds for phase in phases) == clock.now - 2.0
    assert {phase.quality for phase in phases} == {"measured"}
    assert result.energy_measured_share == 1.0


def test_net_energy_is_gross_less_the_idle_machine_over_the_same_seconds(
    config: Compose, tmp_path: Path
) -> None:
    source = Clockworks()
    clock = source.counter
    meter = MachineMeter(source, Ledger(), baseline=FourWatts(), clock=lambda: clock.now)
    tracker = MemoryTracker()
    result = run(config(*QUICK), tmp_path, meter=meter, tracker=tracker)
    assert result.energy_joules == 10.0 * result.seconds
    assert result.energy_net_joules == pytest.approx(6.0 * result.seconds)
    assert result.energy_components["cpu"].net_joules == result.energy_net_joules
    assert tracker.metrics["energy/net_joules"] == result.energy_net_joules
    training = result.energy_phases["training"]
    assert training.net_joules == result.energy_net_joules


def test_a_meter_that_goes_backward_gives_a_warning_and_no_figure(
    config: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    result = run(config(*QUICK), tmp_path, meter=ScriptedMeter([(1.0, -5.0)], quality="measured"))
    assert result.status == "finished"
    assert result.energy_joules is None and result.energy_spent_joules is None
    assert (result.energy_quality, result.energy_kwh) == ("unmeasured", None)
    assert result.inference is not None and result.inference.joules_per_1000 is None
    assert "-" not in run_line(result).partition("training energy")[2].partition(" gross")[0]
    assert any("no energy is below 0: it went backward" in each for each in caplog.messages)


def test_a_block_of_ones_own_is_told_no_joules_below_zero() -> None:
    phases = Phases(ScriptedMeter([(1.0, 2.0), (1.0, -5.0)]))
    phases.start()
    with phases.window() as window:
        pass
    assert (window.joules, window.seconds) == (None, 1.0)


def test_net_energy_below_zero_says_that_the_baseline_was_above(
    config: Compose, tmp_path: Path
) -> None:
    class TwentyWatts:
        def watts(self, counters: Mapping[str, Counter]) -> Mapping[str, float]:
            return dict.fromkeys(counters, 20.0)

    source = Clockworks()
    meter = MachineMeter(source, Ledger(), baseline=TwentyWatts(), clock=lambda: source.counter.now)
    result = run(config(*QUICK), tmp_path, meter=meter)
    assert result.energy_net_joules == pytest.approx(-10.0 * (result.seconds or 0.0))
    assert " J net of the idle machine, less than its baseline" in run_line(result)


class Busy(Processes):
    """A machine with one core busy for this process, and some for another."""

    def __init__(self, clock: Clockwork, others: float) -> None:
        self._clock, self._others = clock, others

    def cpu_times(self, processes: Collection[int]) -> CpuTimes:
        own = self._clock.now
        return CpuTimes(own * (1.0 + self._others), dict.fromkeys(processes, own))


@pytest.mark.parametrize(
    ("others", "baseline", "basis", "by", "per_second"),
    [
        (0.01, FourWatts(), "reading", None, 10.0),
        (1.0, FourWatts(), "work_and_idle", "others", 4.0 + 6.0 / 2),
        (1.0, None, "share", "others", 10.0 / 2),
    ],
)
def test_a_result_names_what_its_joules_are_and_who_disturbed_them(
    config: Compose,
    tmp_path: Path,
    others_count: None,
    others: float,
    baseline: FourWatts | None,
    basis: str,
    by: str | None,
    per_second: float,
) -> None:
    source, tracker = Clockworks(), MemoryTracker()
    clock = source.counter
    meter = MachineMeter(
        source,
        Ledger(),
        baseline=baseline,
        clock=lambda: clock.now,
        processes=Busy(clock, others),
        samples=False,
    )
    result = run(config(*QUICK), tmp_path, meter=meter, tracker=tracker)
    assert (result.energy_basis, result.energy_contended_by) == (basis, by)
    assert result.energy_comparable is (basis != "share")
    assert result.energy_joules == pytest.approx(per_second * result.seconds, rel=0.02)
    assert result.energy_quality == ("measured" if by is None else "attributed")
    said = "measured" if by is None else f"attributed, beside {by}"
    assert f" gross ({said})" in run_line(result)
    assert tracker.tags["energy.basis"] == basis
    assert tracker.tags.get("energy.contended_by") == by
    assert tracker.tags.get("energy.comparable") == ("false" if basis == "share" else None)


def test_without_a_baseline_net_is_unknown_not_gross(config: Compose, tmp_path: Path) -> None:
    tracker = MemoryTracker()
    result = run(config(*QUICK), tmp_path, meter=ScriptedMeter([(1.0, 2.0)]), tracker=tracker)
    assert result.energy_net_joules is None
    assert "energy/net_joules" not in tracker.metrics


def test_inference_is_told_per_thousand_images_of_whole_passes(
    config: Compose, tmp_path: Path
) -> None:
    tracker = MemoryTracker()
    result = run(
        config(*QUICK, "inference.seconds=0.05", "inference.batch_size=50"),
        tmp_path,
        meter=ScriptedMeter([(1.0, 2.0)]),
        tracker=tracker,
    )
    inference = result.inference
    assert inference.images % 216 == 0  # the validation split of the digits
    assert inference.images >= 216
    assert inference.batch_size == 50
    assert inference.quality == "replayed"
    phase = result.energy_phases["inference"]
    assert inference.joules_per_1000 == 1000 * phase.joules / inference.images
    assert inference.seconds_per_1000 == 1000 * phase.seconds / inference.images
    assert tracker.metrics["inference/joules_per_1000"] == inference.joules_per_1000


class Stepping(Counter):
    """A counter of 100 W that has a new figure every 5 ms."""

    component, source, common, update_seconds = "gpu", "steps", True, 0.005

    def __init__(self) -> None:
        self.now = time.monotonic()

    def read(self) -> float:
        self.now = time.monotonic()
        return 100.0 * 0.005 * (self.now // 0.005)


class SteppingSource:
    def __init__(self) -> None:
        self.counter = Stepping()

    def open(self) -> list[Counter]:
        return [self.counter]

    def close(self) -> None: ...


def stepping() -> MachineMeter:
    """Return a meter whose clock shows the moment of the last reading.

    A busy machine may let a while pass between the two, in which no other thread reads either.
    """
    source = SteppingSource()
    return MachineMeter(source, Ledger(), clock=lambda: source.counter.now, samples=False)


def test_inference_is_measured_until_the_slowest_counter_can_tell(
    config: Compose, tmp_path: Path
) -> None:
    short = config(*QUICK, "dataset.train_limit=100", "inference.seconds=null")
    for _ in range(5):
        result = run(short, tmp_path, meter=stepping())
        phase = result.energy_phases["inference"]
        assert phase.seconds >= 20 * 0.005
        assert phase.joules == pytest.approx(100.0 * phase.seconds, rel=0.3)
        told = result.inference
        assert 0 < told.uncertainty_joules_per_1000 <= 0.2 * told.joules_per_1000
    assert result.checkpoint is not None
    tested = evaluate_checkpoint(Path(result.checkpoint), stepping(), periods=20)
    assert (tested.test.images, tested.images % 360) == (360, 0)
    assert tested.reading.seconds >= 20 * 0.005
    assert tested.reading.joules == pytest.approx(100.0 * tested.reading.seconds, rel=0.3)


def test_epochs_too_short_for_the_counter_are_told_together(
    config: Compose, tmp_path: Path
) -> None:
    """Ten periods of the counter are 5 s, and an epoch 1 s by its clock."""
    source = Clockworks()
    source.counter.update_seconds = 0.5
    tracker = MemoryTracker()
    meter = MachineMeter(source, Ledger(), clock=lambda: source.counter.now, samples=False)
    result = run(
        config("training.epochs=12", "tracking=local", "inference.seconds=0"),
        tmp_path,
        meter=meter,
        tracker=tracker,
    )
    told = [(point.energy_joules, point.energy_epochs) for point in result.history]
    assert told == [(10.0, 5)] * 10 + [(10.0, 2)] * 2
    assert sum(joules for joules, _ in told) == result.energy_joules
    shown = [(step, each) for step, each in tracker.history if "energy/epoch_joules" in each]
    assert sorted(step for step, _ in shown) == [*range(1, 13)]
    assert {each["energy/epoch_joules"] for _, each in shown} == {10.0}
    cumulative = {step: each["energy/cumulative_joules"] for step, each in shown}
    assert cumulative == {step: 10.0 * step for step in range(1, 13)}


def test_the_seconds_of_epochs_are_their_own_and_add_up_to_the_training(
    config: Compose, tmp_path: Path
) -> None:
    source = Clockworks()
    meter = MachineMeter(source, Ledger(), clock=lambda: source.counter.now, samples=False)
    result = run(
        config("training.epochs=3", "tracking=local", "inference.seconds=0"), tmp_path, meter=meter
    )
    assert [point.seconds for point in result.history] == [1.0, 1.0, 1.0]
    assert result.seconds == 3.0


def test_epochs_that_the_counter_can_tell_have_figures_of_their_own(
    config: Compose, tmp_path: Path
) -> None:
    source = Clockworks()
    source.counter.update_seconds = 0.1
    meter = MachineMeter(source, Ledger(), clock=lambda: source.counter.now, samples=False)
    result = run(config(*QUICK, "inference.seconds=0"), tmp_path, meter=meter)
    assert all(point.energy_epochs is None for point in result.history)
    # Two epochs apart, of 10 W and 0.1 s: two edges each.
    assert result.energy_uncertainty_joules == pytest.approx(2.0 * 2**0.5)
    assert tracked_metrics(result)["energy/uncertainty_joules"] == result.energy_uncertainty_joules


def test_inference_of_zero_seconds_is_not_measured(config: Compose, tmp_path: Path) -> None:
    result = run(config(*QUICK, "inference.seconds=0"), tmp_path)
    assert result.inference is None
    assert "inference" not in result.energy_phases


def test_layers_share_out_the_training_energy_and_nothing_else(cli: Cli, tmp_path: Path) -> None:
    ended = cli(
        "train.py", "hydra.run.dir=run", "training.epochs=2", "layer_energy=true",
        "model.conv_layers=1",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    result = read_result(tmp_path / "run")
    layers = result.layer_energy
    assert set(layers.joules) == {*result.layers, "data", "loss", "optimizer", "other"}
    assert sum(layers.joules.values()) == pytest.approx(result.energy_joules)
    assert sum(layers.shares.values()) == pytest.approx(1.0)
    assert all(joules > 0 for joules in layers.joules.values())
    assert (layers.quality, layers.key) == ("attributed", "time")
    assert "Training energy by layer type, attributed by time: " in ended.output
    # The sampling is a phase of its own, told apart from training.
    cost = result.energy_phases["layer_energy"]
    assert (layers.cost_joules, layers.cost_seconds) == (cost.joules, cost.seconds)

    with (tmp_path / "run" / "layer_energy.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert sum(float(row["joules"]) for row in rows) == pytest.approx(result.energy_joules)
    assert {row["layer"] for row in rows} == set(layers.joules)
    for kind, joules in layers.joules.items():
        of_kind = sum(float(row["joules"]) for row in rows if row["layer"] == kind)
        assert of_kind == pytest.approx(joules)
    modules = {row["module"] for row in rows if row["layer"] == "linear"}
    assert len(modules) == 3
    assert {(row["quality"], row["key"]) for row in rows} == {("attributed", "time")}

    client = MlflowClient(f"sqlite:///{tmp_path}/mlruns/mlflow.db")
    tracked = client.get_run(str(result.mlflow_run_id))
    for kind, joules in layers.joules.items():
        assert tracked.data.metrics[f"layer_energy/{kind}_joules"] == joules
    assert tracked.data.tags["layer_energy.quality"] == "attributed"
    files = {item.path for item in client.list_artifacts(str(result.mlflow_run_id))}
    assert "layer_energy.csv" in files


def test_a_recurrent_network_has_its_layers_energy_and_flops(
    config: Compose, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "reading.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Reader(nn.Module):\n"
        "    def __init__(self, image_size, num_classes):\n"
        "        super().__init__()\n"
        "        self.reader = nn.LSTM(image_size, 64, batch_first=True)\n"
        "        self.head = nn.Linear(64, num_classes)\n"
        "    def forward(self, images):\n"
        "        scores = self.head(self.reader(images[:, 0])[0][:, -1])\n"
        "        return scores + torch.cdist(scores, scores).sum()\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    asked = ("model=custom", "model.target=reading.Reader", "dataset.train_limit=200")

    result = run(config(*QUICK, *asked, "layer_energy=true"), tmp_path / "run")

    shares = result.layer_energy.shares
    assert min(shares["lstm"], shares["linear"]) > 0
    assert result.layers == {"cdist": 1, "linear": 1, "lstm": 1}
    # in each of 8 rows 4 gates times 8 pixels and 64 states, and the 10 classes
    assert result.flops == 2 * (8 * 4 * 64 * (8 + 64) + 64 * 10)
    assert result.flops_left_out == ("_cdist_forward",)
    assert read_result(tmp_path / "run") == result


def test_without_a_meter_layers_have_shares_and_no_joules(config: Compose, tmp_path: Path) -> None:
    result = run(config(*QUICK, "layer_energy=true", "energy=unmetered"), tmp_path)
    assert result.layer_energy.joules is None
    assert sum(result.layer_energy.shares.values()) == pytest.approx(1.0)
    with (tmp_path / "layer_energy.csv").open() as file:
        assert {row["joules"] for row in csv.DictReader(file)} == {""}


def test_sampling_layers_changes_no_result(config: Compose, tmp_path: Path) -> None:
    (tmp_path / "plain").mkdir()
    (tmp_path / "layers").mkdir()
    plain = run(config(*QUICK), tmp_path / "plain", test=True)
    sampled = run(config(*QUICK, "layer_energy=true"), tmp_path / "layers", test=True)
    assert "layer_energy" not in plain.energy_phases
    for name in ("validation_accuracy", "test_accuracy", "epochs"):
        assert getattr(plain, name) == getattr(sampled, name)
    losses = [[point.train_loss for point in each.history] for each in (plain, sampled)]
    assert losses[0] == losses[1]


def test_a_measurement_that_fails_costs_a_warning_and_not_the_run(
    config: Compose,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise TrainingError("out of memory with 128 images")

    monkeypatch.setattr("greensweep.runs.trained.infer", fail)
    monkeypatch.setattr("greensweep.runs.trained.time_layers", fail)
    with caplog.at_level(logging.WARNING):
        result = run(config(*QUICK, "layer_energy=true"), tmp_path, test=True)
    assert result.status == "finished"
    assert result.test_accuracy is not None
    assert (result.inference, result.layer_energy) == (None, None)
    assert [record.getMessage() for record in caplog.records] == [
        "No figures of inference: out of memory with 128 images.",
        "No figures of layer_energy: out of memory with 128 images.",
    ]


def test_a_counter_that_is_lost_lowers_the_quality_of_what_it_gave(
    config: Compose, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = Clockworks()

    class Failing(Clockwork):
        def read(self) -> float:
            if self.now == 8.0:  # start, set-up, warm-up, first epoch: two readings each
                raise OSError("No such file")
            return super().read()

    source.counter = Failing()
    meter = MachineMeter(source, Ledger(), clock=lambda: source.counter.now)
    with caplog.at_level(logging.WARNING):
        result = run(config(*QUICK), tmp_path / "half", meter=meter)
    assert result.status == "finished"
    assert result.energy_quality == "estimated"
    assert result.energy_components["cpu"].source == "clockwork+lost"
    assert result.energy_measured_share == 0.0
    assert result.energy_joules is not None and result.energy_joules > 0
    assert result.energy_phases["inference"].joules is None  # unknown, not 0
    told = {
        name: value for name, value in tracked_tags(result).items() if name.startswith("phases.")
    }
    assert told == {"phases.quality.setup": "measured"}
    assert sum("failed" in record.getMessage() for record in caplog.records) == 1


def test_a_replayed_table_gives_the_same_joules_each_time(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "laps.csv").write_text("joules\n" + "\n".join(str(n) for n in range(1, 60)))
    energies = []
    for folder in ("one", "two"):
        ended = cli(
            "train.py", "energy=replay", "energy.path=laps.csv", *QUICK, f"hydra.run.dir={folder}"
        )
        assert ended.status == 0, ended.errors
        result = json.loads((tmp_path / folder / "result.json").read_text())
        assert result["energy_quality"] == "replayed"
        energies.append(result["energy_joules"])
    assert energies[0] == energies[1] > 0
    assert "Energy is replayed from a record, not measured" in ended.output
