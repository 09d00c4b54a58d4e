"""What is said where a Ray cluster cannot be used, and how many trials one holds."""

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from greensweep.config.schema_energy import UnmeteredConfig
from greensweep.config.sweeper import RayConfig, SweeperConfig
from greensweep.errors import StudyError
from greensweep.executors.node import Home
from greensweep.executors.probe import Needs
from greensweep.executors.ray import RayTasks, no_cluster


def test_a_cluster_of_another_version_is_named_with_ours() -> None:
    utils = pytest.importorskip("ray._private.utils", reason="Ray is not installed")
    there = {"ray_version": "2.9.0", "python_version": "3.8.1"}
    with pytest.raises(RuntimeError) as raised:
        utils.check_version_info(there, "node 10.0.0.2")
    said = no_cluster("10.0.0.1:6379", raised.value)
    assert said.startswith(
        "the cluster at hydra.sweeper.ray.address=10.0.0.1:6379 runs Ray 2.9.0 on Python 3.8.1, "
        "and this command Ray "
    )
    assert "\n" not in said


def test_an_address_without_a_cluster_is_said_with_the_way_out() -> None:
    said = no_cluster("auto", ConnectionError("Could not find any running Ray instance."))
    assert said.startswith("no Ray cluster at hydra.sweeper.ray.address=auto (Could not find")
    assert "ray start --head" in said


def tasks(nodes: Sequence[dict[str, float]], **options: Any) -> RayTasks:
    """Tasks on a cluster of such nodes, none of which is ever submitted."""
    found = [
        {"NodeID": str(number), "Alive": bool(each), "Resources": each}
        for number, each in enumerate(nodes)
    ]
    ray = SimpleNamespace(
        nodes=lambda: found, put=lambda _: None, remote=lambda **_: lambda _: None
    )
    asked = SweeperConfig(n_workers="auto", **options)
    worker: Any = SimpleNamespace(gpus=None, energy=UnmeteredConfig())
    needs = Needs(Path(), "", "")
    return RayTasks(ray, worker, Home(b"", Path(), Path(), ""), asked, needs, any_gpus=1)


@pytest.mark.parametrize(
    ("nodes", "options", "places"),
    [
        ([{"CPU": 4.0}, {"CPU": 2.0}], {}, 6),
        ([{"CPU": 4.0}, {}], {}, 4),  # the other one is gone
        ([{"CPU": 8.0, "GPU": 2.0}, {"CPU": 16.0}], {}, 2),
        ([{"CPU": 8.0, "GPU": 2.0}], {"workers_per_gpu": 3}, 6),
        ([{"CPU": 8.0, "GPU": 3.0}], {"gpus_per_worker": 2}, 1),
        ([{"CPU": 8.0, "GPU": 3.0}], {"gpus_per_worker": 0}, 8),
        ([{"CPU": 5.0}, {"CPU": 3.0}], {"ray": RayConfig(num_cpus=2.0)}, 3),
        ([{"CPU": 1.0}], {"ray": RayConfig(num_cpus=2.0)}, 1),  # one waits for a node
        ([{"CPU": 8.0, "tpu": 2.0}], {"ray": RayConfig(resources={"tpu": 1})}, 2),
    ],
)
def test_a_sweep_has_as_many_workers_as_the_cluster_holds(
    nodes: Sequence[dict[str, float]], options: dict[str, Any], places: int
) -> None:
    assert tasks(nodes, **options).places() == places


def test_several_gpus_of_a_trial_are_not_shared() -> None:
    with pytest.raises(StudyError, match="Ray lets trials share one GPU alone"):
        tasks([{"CPU": 8.0, "GPU": 4.0}], gpus_per_worker=2, workers_per_gpu=2)
