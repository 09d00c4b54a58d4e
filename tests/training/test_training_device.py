"""Device, precision, threads and seeds of a run."""

import random
from contextlib import nullcontext

import numpy as np
import pytest
import torch

from greensweep.config import schema
from greensweep.errors import ConfigError
from greensweep.resources import usable_cores
from greensweep.training import (
    autocast_dtype,
    choose_device,
    device_name,
    start_state,
    synchronize,
    use_threads,
)
from greensweep.training.device import autocast

CPU = torch.device("cpu")
without_cuda = pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has CUDA")
TRAINING = schema.TrainingConfig()


@without_cuda
def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert choose_device("auto") == CPU
    assert device_name(choose_device("auto")) == "cpu"


@without_cuda
def test_cuda_without_a_gpu_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError) as refused:
        choose_device("cuda")
    assert str(refused.value) == (
        "training.device=cuda, but PyTorch finds no CUDA GPU here: set training.device=cpu or auto"
    )
    with pytest.raises(ConfigError, match=r"^device=cuda, but .*: set device=cpu or auto$"):
        choose_device("cuda", option="device")


@without_cuda
def test_synchronizing_needs_no_gpu() -> None:
    synchronize()


def test_the_cpu_may_be_asked_for() -> None:
    assert choose_device("cpu") == CPU


@pytest.mark.parametrize(
    ("precision", "dtype"),
    [
        ("auto", None),
        ("float32", None),
        ("bfloat16", torch.bfloat16),
        ("float16", torch.float16),
    ],
)
def test_precision_on_the_cpu(precision: str, dtype: torch.dtype | None) -> None:
    assert autocast_dtype(precision, CPU) is dtype


def test_full_precision_needs_no_autocast() -> None:
    assert isinstance(autocast(None, CPU), nullcontext)
    with autocast(torch.bfloat16, CPU):
        assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.bfloat16
    assert torch.mm(torch.ones(2, 2), torch.ones(2, 2)).dtype == torch.float32


def test_threads_of_one_run_do_not_reach_the_next() -> None:
    use_threads(None, step_flops=None)
    default = torch.get_num_threads()
    use_threads(1, step_flops=None)
    assert torch.get_num_threads() == 1
    use_threads(3, step_flops=1.0)
    assert torch.get_num_threads() == 3
    use_threads(None, step_flops=1e12)
    assert torch.get_num_threads() == default


def test_a_small_step_runs_in_one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    # The tests themselves run with one thread by default, which would show nothing.
    monkeypatch.setattr("greensweep.training.device._DEFAULT_THREADS", 2)
    use_threads(None, step_flops=1e12)
    assert torch.get_num_threads() == min(2, usable_cores())
    use_threads(None, step_flops=1e6)
    assert torch.get_num_threads() == 1


def draws(seed: int) -> list[float]:
    start_state(TRAINING, seed)
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_a_seed_fixes_every_generator(seed: int) -> None:
    assert draws(seed) == draws(seed)


def test_another_seed_changes_every_generator() -> None:
    assert all(one != other for one, other in zip(draws(1), draws(2), strict=True))
