"""Which GPU each worker has: one of its own where there are enough, and never one more."""

import multiprocessing
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from gpus import Gpus

from greensweep.config.schema import TrainConfig
from greensweep.config.sweeper import SweeperConfig
from greensweep.errors import StudyError
from greensweep.search.placement import gpus_of_worker, take_gpus, workers_of
from greensweep.study.planned import PlannedTraining

A, B, C, D = (Gpus.uuid(index) for index in range(4))
SLICES = ["MIG-7c1a5d5a-0d4c-5e5a-9f0e-1a2b3c4d5e6f", "MIG-9e8d7c6b-5a49-5837-8261-504f3e2d1c0b"]

Workers = Callable[..., list[str | None]]


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> Gpus:
    return Gpus(monkeypatch, count=4)


def work(wanted: int | None, shown: Any, end: Any) -> None:
    take_gpus(wanted)
    take_gpus(wanted)  # a process keeps what it has
    shown.send(os.environ.get("CUDA_VISIBLE_DEVICES"))
    end.wait()


@pytest.fixture
def workers() -> Iterator[Workers]:
    """Start processes that take GPUs, `workers(1, 1)`, and say what CUDA shows each of them."""
    context = multiprocessing.get_context("fork")
    end = context.Event()

    def start(*wanted: int | None) -> list[str | None]:
        found = []
        for each in wanted:
            told, shown = context.Pipe(duplex=False)
            process = context.Process(target=work, args=(each, shown, end))
            process.start()
            open_ones.callback(process.join)
            found.append(told.recv())
        return found

    with ExitStack() as open_ones:
        yield start
        end.set()


# --- what a process takes -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("wanted", "taken"),
    [
        ((1, 1, 1, 1), [A, B, C, D]),
        ((1,) * 6, [A, B, C, D, A, B]),
        ((2, 2), [f"{A},{B}", f"{C},{D}"]),
        ((3, 3), [f"{A},{B},{C}", f"{D},{A},{B}"]),
        ((9,), [f"{A},{B},{C},{D}"]),
        ((0, 1), ["", A]),
        ((None,), [None]),
    ],
)
def test_each_worker_takes_gpus_that_the_fewest_others_have(
    gpus: Gpus, workers: Workers, wanted: tuple[int | None, ...], taken: list[str | None]
) -> None:
    assert workers(*wanted) == taken


@pytest.mark.parametrize(
    ("visible", "taken"),
    [("2,0", [C, A, C]), (f"{D}", [D, D, D]), ("", ["", "", ""]), ("-1", ["-1", "-1", "-1"])],
)
def test_what_the_user_lets_cuda_show_is_divided_and_never_widened(
    gpus: Gpus,
    workers: Workers,
    monkeypatch: pytest.MonkeyPatch,
    visible: str,
    taken: list[str],
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert workers(1, 1, 1) == taken


def test_each_slice_of_a_divided_gpu_is_a_workers_own(gpus: Gpus, workers: Workers) -> None:
    gpus.joules = [0.0, 0.0]
    gpus.slices[0] = SLICES
    assert workers(1, 1, 1) == [*SLICES, B]


def test_workers_of_another_sweep_have_gpus_of_their_own_while_they_live(
    gpus: Gpus, workers: Workers
) -> None:
    context = multiprocessing.get_context("fork")
    told, shown = context.Pipe(duplex=False)
    end = context.Event()
    other = context.Process(target=work, args=(1, shown, end))
    other.start()
    assert told.recv() == A
    assert workers(1) == [B]
    end.set()
    other.join()
    assert workers(1) == [A]


def test_without_gpus_nothing_is_set(gpus: Gpus, workers: Workers) -> None:
    gpus.joules = []
    assert workers(1, 1) == [None, None]


# --- how many workers, and how many GPUs for each -----------------------------------------------


@pytest.mark.parametrize(
    ("device", "each"),
    [
        ("cpu", None),
        ("cuda", 1),
        ("cuda:1", None),
        ("auto", 1),
        ("cuda training.devices=2", 2),
        ("cpu training.devices=2", None),
    ],
)
def test_runs_on_the_cpu_or_on_a_named_gpu_are_left_where_they_are(
    gpus: Gpus, config: Callable[..., TrainConfig], device: str, each: int | None
) -> None:
    run = PlannedTraining(config(*f"training.device={device}".split()))
    assert gpus_of_worker(SweeperConfig(), run) == each
    assert gpus_of_worker(SweeperConfig(gpus_per_worker=2), run) == 2


def test_another_program_may_train_on_a_gpu(gpus: Gpus) -> None:
    assert gpus_of_worker(SweeperConfig(), None) == 1
    gpus.joules = []
    assert gpus_of_worker(SweeperConfig(), None) is None


@pytest.mark.parametrize(
    ("options", "workers"),
    [
        ({"n_workers": 3}, 3),
        ({"n_workers": "auto"}, 4),
        ({"n_workers": "auto", "gpus_per_worker": 2}, 2),
        ({"n_workers": "auto", "gpus_per_worker": 3}, 1),
        ({"n_workers": "auto", "workers_per_gpu": 2}, 8),
        ({"n_workers": "auto", "gpus_per_worker": 2, "workers_per_gpu": 3}, 6),
        ({"n_workers": 8, "workers_per_gpu": 2}, 8),
        ({"n_workers": 9}, 9),
    ],
)
def test_auto_is_as_many_workers_as_the_gpus_allow(
    gpus: Gpus, options: dict[str, Any], workers: int
) -> None:
    asked = SweeperConfig(**options)
    assert workers_of(asked, gpus_of_worker(asked, None)) == workers


@pytest.mark.parametrize(
    ("there", "workers", "said"),
    [(1, 2, "2 workers: 1 GPU,"), (4, 9, "9 workers: 4 GPUs,"), (2, 2, None)],
)
def test_workers_that_share_gpus_are_told_whose_energy_is_attributed(
    gpus: Gpus, caplog: pytest.LogCaptureFixture, there: int, workers: int, said: str | None
) -> None:
    caplog.set_level("INFO")
    gpus.joules = gpus.joules[:there]
    asked = SweeperConfig(n_workers=workers)
    assert workers_of(asked, gpus_of_worker(asked, None)) == workers
    told = [f"Shared by {said} so that energy is attributed: hydra.sweeper.n_workers={there} "]
    assert [each[: len(told[0])] for each in caplog.messages] == (told if said else [])


@pytest.mark.parametrize("options", [{"gpus_per_worker": 0}, {}])
def test_auto_is_one_worker_a_core_pair_where_none_has_a_gpu(
    gpus: Gpus, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> None:
    gpus.joules = gpus.joules if options else []
    for cores, workers in ((1, 1), (2, 1), (8, 4)):
        monkeypatch.setattr("greensweep.search.placement.usable_cores", lambda n=cores: n)
        asked = SweeperConfig(n_workers="auto", **options)
        assert workers_of(asked, gpus_of_worker(asked, None)) == workers


@pytest.mark.parametrize(
    ("options", "instead"),
    [
        ({"n_workers": 3, "gpus_per_worker": 2}, 2),
        ({"n_workers": 9, "workers_per_gpu": 2}, 8),
        ({"n_workers": "auto", "gpus_per_worker": 5}, 1),
    ],
)
def test_more_than_there_are_gpus_for_is_refused_with_what_fits(
    gpus: Gpus, options: dict[str, Any], instead: int
) -> None:
    asked = SweeperConfig(**options)
    with pytest.raises(StudyError, match=f"set hydra.sweeper.n_workers={instead}"):
        workers_of(asked, gpus_of_worker(asked, None))
