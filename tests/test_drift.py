"""The reference job before a sweep and after it: warm-up, and what it tells of drift."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import Finished
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from greensweep.config.schema import TrainConfig
from greensweep.energy import ScriptedMeter, UnmeteredMeter
from greensweep.study import drift
from greensweep.study.drift import Drift, Reference
from greensweep.study.sentences import drift_sentence
from greensweep.study.summary import summarise
from greensweep.training.reference import ReferenceJob

Cli = Callable[..., Finished]
Compose = Callable[..., TrainConfig]


def reference(joules: float | None, seconds: float = 0.1) -> Reference:
    return Reference(joules, seconds, joules=5.0)


def test_the_reference_job_is_the_same_whatever_ran_before() -> None:
    torch.manual_seed(1)
    state = torch.get_rng_state()
    one = ReferenceJob(torch.device("cpu"))
    assert torch.equal(torch.get_rng_state(), state)  # and a run after it is what it would be
    torch.manual_seed(2)
    other = ReferenceJob(torch.device("cpu"))
    assert len(one.run(0.0)) == len(other.run(0.0)) == 1
    assert torch.equal(one._sum, other._sum)


class Results(TorchDispatchMode):
    """Notes where the results of operations lie."""

    def __init__(self) -> None:
        super().__init__()
        self.addresses: set[int] = set()

    def __torch_dispatch__(self, operation: Any, types: Any, args: Any = (), kwargs: Any = None):
        result = operation(*args, **(kwargs or {}))
        self.addresses |= {each.untyped_storage().data_ptr() for each in tree_leaves(result)}
        return result


def test_the_reference_job_asks_for_no_memory_once_it_is_made() -> None:
    """What a process did before decides what memory costs, and is no drift of the machine."""
    job = ReferenceJob(torch.device("cpu"))
    own = {each.untyped_storage().data_ptr() for each in (job._factors, job._product, job._sum)}
    with Results() as results:
        job.run(0.0)
    assert results.addresses <= own


def test_a_reading_has_the_steps_that_little_disturbed_and_all_of_their_joules(
    config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def run(self: ReferenceJob, seconds: float) -> list[float]:
        asked.append(seconds)
        return [0.4, 0.9, 0.3, 0.5, 0.35, 0.31, 0.32, 0.36]

    monkeypatch.setattr(ReferenceJob, "run", run)
    # The laps: the warm-up, the reading, and what lies behind it.
    meter = ScriptedMeter([(9.0, 900.0), (3.4, 16.0), (0.0, 1.0)])
    found = drift.read_reference(meter, config(), warmup=5.0, seconds=1.0)
    assert asked == [5.0, 1.0]
    assert found == Reference(joules_per_step=2.0, seconds_per_step=0.32, joules=917.0)


def test_joules_of_a_model_tell_nothing_of_the_machine(
    config: Compose, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ReferenceJob, "run", lambda *_: [0.1])
    meter = ScriptedMeter([(1.0, 20.0)], quality="estimated")
    found = drift.read_reference(meter, config(), warmup=0.1, seconds=0.1)
    assert (found.joules_per_step, found.joules) == (None, 60.0)


@pytest.mark.parametrize(
    ("before", "after", "change"),
    [
        (reference(2.0), reference(2.5), 0.25),
        (reference(2.0), reference(1.0), -0.5),
        (reference(None, 0.1), reference(None, 0.13), 0.3),  # nothing measured: time tells
        (reference(0.0, 0.1), reference(0.0, 0.2), 1.0),
    ],
)
def test_change_is_of_the_energy_per_step(
    before: Reference, after: Reference, change: float
) -> None:
    assert Drift(before, after).change == pytest.approx(change)


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (reference(1.2), "20 % more energy per step"),
        (reference(1.2, 0.15), "50 % more time and 20 % more energy per step"),
        (reference(1.0, 0.05), "50 % less time per step"),
        (reference(1.05, 0.105), None),
        (replace(reference(1.2), uncertainty=0.15), None),  # not told apart
    ],
)
def test_a_notable_drift_is_said_and_a_small_one_is_not(after: Reference, said: str | None) -> None:
    summary = summarise([], drifted=Drift(reference(1.0), after))
    assert summary.energy_reference_joules == 10.0
    sentence = drift_sentence(summary)
    assert sentence is None if said is None else f"took {said}" in (sentence or "")


def test_a_sweep_without_a_reference_says_nothing_of_drift() -> None:
    assert drift_sentence(summarise([])) is None


def test_a_sweep_reads_it_before_and_after(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Warm-up and reading, twice: the second time a step takes twice the energy.
    steps = iter([[0.1] * 10] * 3 + [[0.1] * 5])
    monkeypatch.setattr(ReferenceJob, "run", lambda *_: next(steps))
    replayed = ScriptedMeter([(1.0, 20.0)])
    monkeypatch.setattr("greensweep.app.sweep.build_meter", lambda *_, **__: replayed)
    ended = cli(
        "train.py", "-m", "seed=1,2", "hydra.sweep.dir=sweep", "training.epochs=1",
        "tracking=local", "inference.seconds=0",
    )  # fmt: skip
    assert ended.status == 0, ended.errors
    study: dict[str, Any] = json.loads((tmp_path / "sweep" / "study.json").read_text())
    assert study["drift"] == pytest.approx(1.0)
    assert "took 100 % more energy per step" in ended.output


def test_without_a_warm_up_there_is_no_drift_to_tell(config: Compose, tmp_path: Path) -> None:
    parsed = config("warmup=0")
    drift.begin(tmp_path, UnmeteredMeter(), parsed)
    assert drift.end(tmp_path, UnmeteredMeter(), parsed) is None


def test_a_meter_that_cannot_start_refuses_the_sweep_before_its_first_trial(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("greensweep.energy.nvml_rapl.rapl_zones", list)
    monkeypatch.setattr("greensweep.energy.nvml_rapl.machine_gpus", list)
    for warmup in ("0", "0.1"):
        ended = cli(
            "train.py", "-m", "seed=1,2", f"hydra.sweep.dir=sweep{warmup}", f"warmup={warmup}",
            "energy=nvml_rapl", "tracking=local",
        )  # fmt: skip
        assert ended.status == 1
        assert "energy=nvml_rapl finds no counter that it can read" in ended.errors
        assert not list(tmp_path.glob("**/result.json"))
