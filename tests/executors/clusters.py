"""A real Ray cluster on this machine, whose nodes may go and come, and searches on it."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
from conftest import PROJECT

_MEMORY = 100 * 2**20

PROGRAM = """
    import os
    import time
    from pathlib import Path

    import hydra
    from hydra.core.hydra_config import HydraConfig

    import greensweep
    from landscape import accuracy

    @hydra.main(config_path="conf", config_name="program", version_base=None)
    def main(config):
        number = HydraConfig.get().job.num
        Path(config.marks, f"{number}.{os.getpid()}").write_text(
            os.environ.get("CUDA_VISIBLE_DEVICES", "all")
        )
        print(f"trial {number} begins")
        for epoch in range(1, config.epochs + 1):
            time.sleep(config.seconds)
            reached = accuracy(config.x) * epoch / config.epochs
            greensweep.report(epoch=epoch, epochs=config.epochs, accuracy=reached)
        return accuracy(config.x)

    main()
"""


@pytest.fixture
def head(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A cluster with a head that runs nothing, which nodes may join."""
    utils = pytest.importorskip("ray.cluster_utils", reason="Ray is not installed")
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    # A node has the packages of this environment, and finds what this process finds.
    monkeypatch.setenv("PYTHONPATH", str(PROJECT / "src"))
    resources = {"num_cpus": 0, "num_gpus": 0, "object_store_memory": _MEMORY}
    started = utils.Cluster(
        initialize_head=True, head_node_args={**resources, "include_dashboard": False}
    )
    try:
        yield started
    finally:
        started.shutdown()


@pytest.fixture
def cluster(head: Any) -> Any:
    """A cluster with a head that runs nothing, and two nodes of a CPU each."""
    for name in ("n1", "n2"):
        add_node(head, name)
    return head


def add_node(cluster: Any, name: str, **resources: Any) -> Any:
    """Let a node join a cluster, and return it."""
    arguments = {"num_cpus": 1, "num_gpus": 0, **resources}
    return cluster.add_node(node_name=name, object_store_memory=_MEMORY, **arguments)


def joined(cluster: Any, name: str) -> bool:
    """Tell whether a node is in a cluster by now."""
    from ray._raylet import GcsClient

    nodes = GcsClient(address=cluster.address).get_all_node_info().values()
    return any(node.node_name == name for node in nodes)


class Searched:
    """A program of one's own in a folder, which is searched by commands as a user gives them."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.marks = folder, folder / "marks"
        self.sweep = folder / "multirun" / "greensweep"
        self.marks.mkdir()
        (folder / "conf").mkdir()
        (folder / "program.py").write_text(textwrap.dedent(PROGRAM))
        (folder / "landscape.py").write_text("def accuracy(x):\n    return 1 - (x - 0.3) ** 2\n")
        options = {"x": 0.5, "epochs": 4, "seconds": 0.1, "marks": str(self.marks)}
        (folder / "conf" / "program.yaml").write_text(json.dumps(options))

    def start(self, *options: str) -> "subprocess.Popen[str]":
        """Begin to search, and read what it says later."""
        command = [sys.executable, "program.py", "-m", "hydra/sweeper=greensweep"]
        command += ["x=interval(0.0,1.0)", "hydra.sweeper.metric=accuracy"]
        command += ["hydra.sweeper.executor=ray", "hydra.sweeper.seed=0", *options]
        return subprocess.Popen(
            command,
            cwd=self.folder,
            env={**os.environ, "COLUMNS": "200"},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def run(self, *options: str) -> tuple[int, str]:
        """Search to the end; return the exit status, and what was said."""
        process = self.start(*options)
        said, _ = process.communicate(timeout=240)
        return process.returncode, said

    def begun(self) -> dict[int, int]:
        """Return the numbers of the trials that have begun, with their processes."""
        marks = [path.name.split(".") for path in self.marks.iterdir()]
        return {int(number): int(process) for number, process in marks}

    def trials(self) -> list[optuna.trial.FrozenTrial]:
        url = f"sqlite:///{self.sweep / 'optuna.db'}"
        return optuna.load_study(study_name="greensweep", storage=url).get_trials()

    def result(self, number: int) -> dict[str, Any]:
        found: dict[str, Any] = json.loads((self.sweep / str(number) / "result.json").read_text())
        return found


@pytest.fixture
def searched(tmp_path: Path) -> Searched:
    return Searched(tmp_path)


def wait_for(condition: Callable[[], object], seconds: float = 120.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def kill(process: int) -> None:
    """Kill a process as the system does for want of memory."""
    if psutil.pid_exists(process):
        os.kill(process, signal.SIGKILL)


@contextmanager
def stranger(
    cluster: Any,
    name: str,
    hidden: Path,
    *,
    cpus: int = 1,
    cache: Path | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[None]:
    """Let another machine join a cluster: it has a name of its own, and does not see a folder.

    Args:
        cache: where it works instead; one that is made where None.
        environment: of its processes, beside ours.
    """
    if shutil.which("unshare") is None or os.geteuid() != 0:
        pytest.skip("only root may start a node that does not see this machine's folders")
    ray = f"{sys.executable} -m ray.scripts.scripts start --address={cluster.address}"
    ray += f" --num-cpus={cpus} --num-gpus=0 --object-store-memory={_MEMORY}"
    ray += f" --node-name={name} --block"
    cache = cache or hidden.with_name(f"cache-of-{name}")
    steps = f"hostname {name} && mount -t tmpfs none {hidden} && cd / && exec {ray}"
    process = subprocess.Popen(
        ["unshare", "--mount", "--uts", "sh", "-c", steps],
        env={
            **os.environ,
            "XDG_CACHE_HOME": str(cache),
            "PYTHONPATH": str(PROJECT / "src"),
            **(environment or {}),
        },
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_for(lambda: joined(cluster, name))
        yield
    finally:
        for each in psutil.Process(process.pid).children(recursive=True):
            each.kill()
        process.kill()
        process.wait()
