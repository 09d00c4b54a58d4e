"""What this process may use counts, not what the machine has: affinity, quotas, shares."""

import os
from pathlib import Path

import psutil
import pytest
import torch
from conftest import PROJECT
from hydra import compose, initialize_config_dir

from greensweep import resources
from greensweep.data.split import loader_workers
from greensweep.errors import ModelError
from greensweep.executors.local import cores_per_worker, run_workers
from greensweep.models import check_batch_fits, take_census
from greensweep.models.memory import build_where_it_fits
from greensweep.resources import available_memory, fits_in_memory, usable_cores
from greensweep.training.device import use_threads

Patch = pytest.MonkeyPatch


def bound_on_linux(monkeypatch: Patch, folder: Path) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3}, raising=False)


def bound_on_windows(monkeypatch: Patch, folder: Path) -> None:
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(psutil.Process, "cpu_affinity", lambda _: [3], raising=False)


def quota_of_version_2(monkeypatch: Patch, folder: Path) -> None:
    serve_cgroup(monkeypatch, folder, "0::/", {"cpu.max": "100000 100000"})


def quota_of_version_1(monkeypatch: Patch, folder: Path) -> None:
    quota = {"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}
    serve_cgroup(monkeypatch, folder, "4:memory:/\n3:cpu,cpuacct:/\n0::/", quota)


def quota_of_a_slice(monkeypatch: Patch, folder: Path) -> None:
    """As systemd sets one: the scope that the process is in has none, the slice around it has."""
    quota = {"user.slice/cpu.max": "90000 100000", "user.slice/a.scope/cpu.max": "max 100000"}
    serve_cgroup(monkeypatch, folder, "0::/user.slice/a.scope", quota)


def quota_of_a_batch_job(monkeypatch: Patch, folder: Path) -> None:
    files = {"cpu.cfs_quota_us": "-1", "job/cpu.cfs_quota_us": "100000"}
    files |= {"cpu.cfs_period_us": "100000", "job/cpu.cfs_period_us": "100000"}
    cpu = {f"cpu/{name}": text for name, text in files.items()}
    serve_cgroup(monkeypatch, folder, "2:cpuacct:/else\n1:cpu:/job/step\n0::/", cpu)


def told_by_the_user(monkeypatch: Patch, folder: Path) -> None:
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")


def serve_cgroup(monkeypatch: Patch, folder: Path, membership: str, files: dict[str, str]) -> None:
    """Let `files` be all that /sys/fs/cgroup has."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text + "\n")
    (folder / "membership").write_text(membership + "\n")
    monkeypatch.setattr(resources, "_MEMBERSHIP", folder / "membership")
    monkeypatch.setattr(resources, "_CONTROL_GROUPS", folder)


@pytest.fixture(autouse=True)
def eight_cores(monkeypatch: Patch) -> None:
    """A machine of eight cores, all of which this process may use."""
    monkeypatch.setattr(os, "cpu_count", lambda: 8)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)), raising=False)


def n_workers_of_a_sweep_on_all_cores() -> int:
    with initialize_config_dir(str(PROJECT / "conf")):
        composed = compose(
            "train",
            ["hydra/sweeper=greensweep", "hydra/launcher=joblib", "hydra.launcher.n_jobs=-1"],
            return_hydra_config=True,
        )
    return int(composed.hydra.sweeper.n_workers)


@pytest.mark.parametrize(
    "limit",
    [
        bound_on_linux,
        bound_on_windows,
        quota_of_version_2,
        quota_of_version_1,
        quota_of_a_slice,
        quota_of_a_batch_job,
        told_by_the_user,
    ],
)
def test_one_usable_core_of_eight_is_one_everywhere(
    limit, monkeypatch: Patch, tmp_path: Path
) -> None:
    monkeypatch.setattr("greensweep.training.device._DEFAULT_THREADS", 8)
    limit(monkeypatch, tmp_path)

    use_threads(None, step_flops=1e12)

    assert torch.get_num_threads() == 1
    assert loader_workers() == 0
    assert cores_per_worker(1) == cores_per_worker(4) == 1
    assert n_workers_of_a_sweep_on_all_cores() == 1


def test_a_system_that_knows_no_affinity_has_all_its_cores(monkeypatch: Patch) -> None:
    # as macOS
    monkeypatch.delattr(os, "sched_getaffinity")
    monkeypatch.delattr(psutil.Process, "cpu_affinity", raising=False)

    assert cores_per_worker(2) == 4
    assert loader_workers() == 7
    assert n_workers_of_a_sweep_on_all_cores() == 8


def test_a_worker_of_a_sweep_counts_its_share_of_the_cores(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    folder = str(tmp_path)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1}, raising=False)

    def job() -> None:
        from pathlib import Path

        (Path(folder) / "cores").write_text(str(usable_cores()))

    run_workers(job, 2, lambda: 0)

    assert usable_cores() == 2
    assert (tmp_path / "cores").read_text() == "1"


# --- memory -------------------------------------------------------------------------------------

GIBIBYTE = 2**30


@pytest.fixture
def large_machine(monkeypatch: Patch) -> None:
    memory = type("Memory", (), {"available": 200 * GIBIBYTE})
    monkeypatch.setattr(psutil, "virtual_memory", lambda: memory)


@pytest.mark.parametrize(
    ("membership", "tree", "limit", "used", "cached"),
    [
        ("0::/", ".", "memory.max", "memory.current", "anon 5\ninactive_file"),
        ("0::/user.slice/a.scope", "user.slice", "memory.max", "memory.current", "inactive_file"),
        (
            "5:memory:/docker/a\n0::/",
            "memory/docker",
            "memory.limit_in_bytes",
            "memory.usage_in_bytes",
            "inactive_file 7\ntotal_inactive_file",
        ),
    ],
    ids=["a container", "a slice", "version 1"],
)
def test_memory_that_a_control_group_leaves_is_all_there_is(
    large_machine, monkeypatch: Patch, tmp_path: Path, membership, tree, limit, used, cached
) -> None:
    files = {limit: 4 * GIBIBYTE, used: 3 * GIBIBYTE, "memory.stat": f"{cached} {2 * GIBIBYTE}"}
    serve_cgroup(
        monkeypatch, tmp_path, membership, {f"{tree}/{k}": str(v) for k, v in files.items()}
    )

    assert available_memory() == 3 * GIBIBYTE  # of the 3 that are used 2 can be dropped
    assert fits_in_memory(2 * GIBIBYTE, 0.7)
    assert not fits_in_memory(2 * GIBIBYTE, 0.5)


def test_without_a_limit_the_machines_memory_counts(
    large_machine, monkeypatch: Patch, tmp_path: Path
) -> None:
    files = {"memory.max": "max", "memory.current": "5", "memory.stat": ""}
    serve_cgroup(monkeypatch, tmp_path, "0::/", files)
    assert available_memory() == 200 * GIBIBYTE

    monkeypatch.setattr(resources, "_MEMBERSHIP", tmp_path / "as on macOS")
    assert available_memory() == 200 * GIBIBYTE


def test_a_network_larger_than_its_container_is_refused_before_it_is_built(
    large_machine, monkeypatch: Patch, tmp_path: Path
) -> None:
    files = {"memory.max": str(GIBIBYTE), "memory.current": "0", "memory.stat": ""}
    serve_cgroup(monkeypatch, tmp_path, "0::/", files)

    with pytest.raises(ModelError, match="more than the memory that is free"):
        build_where_it_fits("wide", lambda: torch.nn.Linear(20_000, 20_000))


@pytest.mark.parametrize("images", [100, 1000])
def test_a_batch_whose_activations_are_larger_than_its_container_is_refused(
    large_machine, monkeypatch: Patch, tmp_path: Path, images: int
) -> None:
    files = {"memory.max": str(GIBIBYTE), "memory.current": "0", "memory.stat": ""}
    serve_cgroup(monkeypatch, tmp_path, "0::/", files)
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 9, 3), torch.nn.ReLU(), torch.nn.ReLU())
    kept = take_census(network, torch.zeros(1, 3, 128, 128)).kept_bytes
    if images == 100:
        check_batch_fits(kept, images)
        return
    with pytest.raises(
        ModelError, match=r"a batch of 1000 would keep .* set a smaller training.batch"
    ):
        check_batch_fits(kept, images)
