"""Device, precision, threads and seeds of a run."""

import json
import os
import random
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from greensweep.energy import synchronize
from greensweep.errors import ConfigError
from greensweep.resources import usable_cores
from greensweep.training import (
    autocast_dtype,
    choose_device,
    deterministic,
    device_name,
    start_state,
    use_threads,
)
from greensweep.training.device import autocast

CPU = torch.device("cpu")


def test_auto_is_the_cpu_where_there_is_no_gpu() -> None:
    assert choose_device("auto") == CPU
    assert device_name(choose_device("auto")) == "cpu"


def test_cuda_without_a_gpu_is_refused_with_a_way_out() -> None:
    with pytest.raises(ConfigError) as refused:
        choose_device("cuda")
    assert str(refused.value) == (
        "training.device=cuda, but PyTorch finds no CUDA GPU here: set training.device=cpu or auto"
    )
    with pytest.raises(ConfigError, match=r"^device=cuda, but .*: set device=cpu or auto$"):
        choose_device("cuda", option="device")


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
    start_state(seed)
    return [random.random(), float(np.random.rand()), float(torch.rand(()))]


@pytest.mark.parametrize("seed", [0, 1, 2**32 - 1])
def test_a_seed_fixes_every_generator(seed: int) -> None:
    assert draws(seed) == draws(seed)


def test_another_seed_changes_every_generator() -> None:
    assert all(one != other for one, other in zip(draws(1), draws(2), strict=True))


# --- training.deterministic ---------------------------------------------------------------------


@pytest.mark.parametrize("before", [0, 1])
def test_determinism_ends_with_the_run_that_asked_for_it(before: int) -> None:
    torch.set_deterministic_debug_mode(before)
    torch.backends.cudnn.benchmark = True
    try:
        with pytest.raises(ZeroDivisionError), deterministic(True):
            assert torch.get_deterministic_debug_mode() == 2
            assert not torch.backends.cudnn.benchmark
            raise ZeroDivisionError
        assert torch.get_deterministic_debug_mode() == before
        assert torch.backends.cudnn.benchmark
        assert torch.utils.deterministic.fill_uninitialized_memory
        with deterministic(False):
            assert torch.get_deterministic_debug_mode() == before
    finally:
        torch.set_deterministic_debug_mode(0)
        torch.backends.cudnn.benchmark = False


def test_cublas_is_told_of_determinism_before_cuda_starts() -> None:
    assert os.environ["CUBLAS_WORKSPACE_CONFIG"] in (":4096:8", ":16:8")


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("Forward", "PyTorch has no deterministic form of max_unpooling2d_forward_out"),
        (
            "Backward",
            "training failed in its first step: PyTorch has no deterministic form of put_",
        ),
    ],
)
def test_an_operation_without_a_deterministic_form_is_one_sentence(
    cli: Callable[..., Any], tmp_path: Path, kind: str, told: str
) -> None:
    (tmp_path / "refused_nets.py").write_text(
        "import torch\n"
        "from torch import nn\n"
        "class Forward(nn.Sequential):\n"
        "    def __init__(self, image_size, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(image_size**2, num_classes))\n"
        "    def forward(self, images):\n"
        "        largest, at = nn.functional.max_pool2d(images, 2, return_indices=True)\n"
        "        return super().forward(nn.functional.max_unpool2d(largest, at, 2))\n"
        "class Backward(Forward):\n"
        "    def forward(self, images):\n"
        "        outputs = nn.Sequential.forward(self, images)\n"
        "        put = lambda g: torch.zeros_like(g).put_(torch.arange(g.numel()), g.flatten())\n"
        "        if outputs.requires_grad:\n"
        "            outputs.register_hook(put)\n"
        "        return outputs\n"
    )
    command = (
        "train.py",
        "model=custom",
        f"model.target=refused_nets.{kind}",
        "training.epochs=1",
        "training.device=cpu",
        "dataset.train_limit=100",
        "energy=unmetered",
        "tracking=local",
        "inference.seconds=0",
        "hydra.run.dir=run",
    )
    ended = cli(*command, "training.deterministic=true")
    assert ended.status == 1
    assert ended.errors.strip().splitlines()[-1] == (
        f"Error: {told}: set training.deterministic=false, or take another network"
    )
    assert json.loads((tmp_path / "run" / "result.json").read_text())["status"] == "failed"
    assert cli(*command[:-1], "hydra.run.dir=other").status == 0
