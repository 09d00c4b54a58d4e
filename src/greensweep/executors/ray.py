"""Trials as tasks of a Ray cluster: of one that is there, or of one that is started here."""

import copy
import logging
import math
import os
import platform
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import cloudpickle

from greensweep.config.folders import command_folder
from greensweep.config.sweeper import RayConfig, SweeperConfig
from greensweep.errors import (
    MachineLost,
    ProcessLost,
    StudyError,
    describe,
    first_line,
    not_installed,
    rounded,
)
from greensweep.executors.code import gather_code, program_folders
from greensweep.executors.node import (
    Home,
    NodeWatch,
    Returned,
    probe_node,
    run_on_node,
    take_home,
)
from greensweep.executors.probe import Needs, check_node
from greensweep.executors.ray_internals import quiet_raylets
from greensweep.executors.worker import Worker
from greensweep.messages import message_of
from greensweep.resources import usable_cores
from greensweep.search.loop import TrialEnd
from greensweep.search.trial_queue import ReservedTrial

_CONNECT_SECONDS = 5.0
_PROBE_SECONDS = 120.0  # a node may have to start processes first
_RELEASE_SECONDS = 10.0
_AVOID_SECONDS = 30.0  # after which a node that was unfit may have been mended
_FUTILE_TIMES = 2  # that all nodes were unfit, one time after another
_NODE_ID = re.compile(r"ID: (\w{56})")
_VERSIONS = re.compile(r"Ray: (\S+)\s+Python: (\S+)")

# What a trial needs of the environment of the command, which Ray's nodes do not have.
_NEEDED = re.compile(r"MLFLOW_|GREENSWEEP_|AWS_|AZURE_|GOOGLE_|PG[A-Z]|HYDRA_FULL_ERROR$")


@contextmanager
def ray_tasks(
    worker: Worker, options: SweeperConfig, needs: Needs, *, any_gpus: int, verbose: bool
) -> Iterator["RayTasks"]:
    """Connect to a cluster, and disconnect in the end, which ends what still runs.

    Args:
        needs: what trials need of a node.
        any_gpus: that the program takes where there are any.
        verbose: let Ray print what it prints.

    Raises:
        StudyError: Ray is not installed, there is no such cluster, or trials cannot run there.
    """
    # Ray lets a trial without GPUs see them all soon, and says so each time until then.
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray
    except ModuleNotFoundError as error:
        raise StudyError(not_installed("ray") or str(error)) from error
    if not verbose:
        os.environ.setdefault("RAY_IGNORE_UNHANDLED_ERRORS", "1")
        logging.getLogger("ray").setLevel(logging.ERROR)
        quiet_raylets()
    home = Home(
        b"",
        command_folder(),
        needs.directory,
        needs.mark,
        paths=tuple(program_folders(command_folder())),
        environment={name: os.environ[name] for name in os.environ if _NEEDED.match(name)},
        reads_output=not verbose,
    )
    _connect(ray, options.ray, [*home.paths, *worker.config_folders()], verbose)
    try:
        tasks = RayTasks(ray, worker, home, options, needs, any_gpus=any_gpus)
        if options.check_nodes:
            tasks.check()
        try:
            yield tasks
        finally:
            tasks.release()
    finally:
        ray.shutdown()


def _connect(ray: Any, options: RayConfig, folders: Sequence[str], verbose: bool) -> None:
    """Connect to a cluster, which gets our code, or start one on this machine, which has it.

    Raises:
        StudyError: there is none.
    """
    level = logging.WARNING if verbose else logging.ERROR
    quietly = {"log_to_driver": verbose, "logging_level": level}
    own = dict(options.runtime_env or {})
    try:
        if options.address is None:
            with _modules_found():
                cores = usable_cores()
                ray.init(
                    "local", num_cpus=cores, include_dashboard=False, runtime_env=own, **quietly
                )
            return
        _refuse_silence(options.address)
        with TemporaryDirectory() as folder:
            own["py_modules"] = [*gather_code(folders, Path(folder)), *own.get("py_modules", ())]
            ray.init(options.address, runtime_env=own, **quietly)
    except (ConnectionError, ValueError, RuntimeError, OSError, ray.exceptions.RayError) as error:
        raise StudyError(no_cluster(options.address, error)) from error


def no_cluster(address: str | None, error: Exception) -> str:
    """Say why Ray does not connect to a cluster, and what to do."""
    versions = _VERSIONS.findall(str(error))
    if len(versions) == 2 and versions[0] != versions[1]:
        there, here = (f"Ray {ray} on Python {python}" for ray, python in versions)
        return (
            f"the cluster at hydra.sweeper.ray.address={address} runs {there}, and this command "
            f"{here}: install the same in both places"
        )
    if address is None:
        return f"Ray does not start here ({first_line(error)}): see its logs in /tmp/ray"
    return (
        f"no Ray cluster at hydra.sweeper.ray.address={address} ({first_line(error)}): start one "
        "by ray start --head, let this machine join it by ray start --address=HOST:PORT, or leave "
        "the address out to start one here"
    )


def _refuse_silence(address: str) -> None:
    """Raise ConnectionError where nobody answers, for which Ray would wait for a quarter hour."""
    host, _, port = address.rpartition(":")
    if port.isdecimal() and "/" not in host:
        try:
            socket.create_connection((host, int(port)), _CONNECT_SECONDS).close()
        except OSError as error:
            raise ConnectionError(first_line(error)) from error


@contextmanager
def _modules_found() -> Iterator[None]:
    """Let the processes of a cluster that is started here find the modules that this one finds."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before


class RayTasks:
    """Trials that run as tasks, each with the CPUs and GPUs that it was promised.

    Args:
        ray: the module.
        home: where the sweep is, but for its worker.
        needs: what trials need of a node, but for GPUs.
        any_gpus: that the program takes where there are any.
    """

    def __init__(
        self,
        ray: Any,
        worker: Worker,
        home: Home,
        options: SweeperConfig,
        needs: Needs,
        *,
        any_gpus: int,
    ) -> None:
        self._ray, self._running = ray, dict[Any, ReservedTrial]()
        self._unfit = dict[str, _Unfit]()  # nodes by their ids
        self._n_workers, self._home = options.n_workers, home
        self._energy = worker.energy
        self._has_all = options.n_workers == "auto" or options.ray.address is None
        self._hosts: set[str] = set()  # that ran a trial
        self._watches: dict[str, tuple[str, Any]] = {}  # by host: on which node, and the actor
        gpus = options.gpus_per_worker
        if gpus is None and any_gpus and any(_has(node, "GPU") for node in self._nodes()):
            gpus = any_gpus
        share = options.workers_per_gpu or 1
        if share > 1 and (gpus or 1) > 1:
            raise StudyError(
                f"hydra.sweeper.gpus_per_worker={gpus} and workers_per_gpu={share}: Ray lets "
                "trials share one GPU alone; leave one of the two out"
            )
        self._takes = {**(options.ray.resources or {}), "CPU": options.ray.num_cpus}
        self._takes |= {"GPU": gpus / share} if gpus else {}
        placed = copy.copy(worker)
        placed.gpus = 0 if gpus == 0 else None  # Ray shows a task its own
        self._needs = replace(needs, gpus=math.ceil(self._takes.get("GPU", 0)))
        # A server of runs that is away costs no trial.
        asked = replace(self._needs, tracking=None) if options.check_nodes else None
        home = replace(home, worker=cloudpickle.dumps(placed), needs=asked)
        self._home_there = ray.put(home)
        # What is lost is repeated by the search, which knows what it left, and not by Ray. With
        # GPUs each trial has a process of its own, Ray's default: CUDA keeps what it first saw.
        self._task = ray.remote(
            num_cpus=options.ray.num_cpus,
            num_gpus=self._takes.get("GPU", 0),
            resources=dict(options.ray.resources or {}),
            max_retries=0,
        )(_run_on_node)

    def places(self) -> int:
        """Return how many trials may run at a time: what was asked for, or the cluster holds.

        Raises:
            StudyError: trials can run on none of its nodes, which was found more than once.
        """
        if self._n_workers != "auto" and not self._unfit:
            return int(self._n_workers)
        avoided = self._avoided()
        able = {node["NodeID"]: room for node in self._nodes() if (room := self._room(node))}
        if able and able.keys() <= avoided.keys():
            if all(avoided[node].times >= _FUTILE_TIMES for node in able):
                raise StudyError("; ".join(sorted({avoided[node].said for node in able})))
            return 0
        if self._n_workers != "auto":
            return int(self._n_workers)
        return max(sum(room for node, room in able.items() if node not in avoided), 1)

    def start(self, trial: ReservedTrial) -> None:
        """Submit a trial; it runs where and when the cluster has room."""
        self._watch()
        avoided = self._avoided()
        fit = {"ray.io/node-id": f"!in({', '.join(avoided)})"} if avoided else {}
        task = self._task.options(label_selector=fit).remote(
            self._home_there, self._home.marks(), trial
        )
        self._running[task] = trial

    def ended(self, seconds: float) -> list[TrialEnd]:
        """Wait until tasks end, for so long at most; what they left elsewhere is here then."""
        if not self._running:
            time.sleep(seconds)
            return []
        done, _ = self._ray.wait([*self._running], timeout=seconds)
        return [self._end(task, self._running.pop(task)) for task in done]

    def interrupt(self) -> None:
        """Send each task a SIGINT: it ends after its epoch, at the second at once."""
        for task in self._running:
            self._ray.cancel(task, force=False)

    def release(self) -> None:
        """Let go of the machines: what they used in all is here then, or as far as they told it."""
        asked = [actor.release.remote() for _, actor in self._watches.values()]
        done, _ = self._ray.wait(asked, num_returns=len(asked), timeout=_RELEASE_SECONDS)
        for each in done:
            with suppress(self._ray.exceptions.RayError):  # it died with its node
                take_home(self._home, self._ray.get(each))

    def _watch(self) -> None:
        """Let the machines that the sweep has be read, from now on.

        It has those with room where it takes all the room that there is, else those that its
        trials came to.
        """
        if not self._energy.of_machine:
            return
        nodes = self._nodes()
        alive = {node["NodeID"] for node in nodes}
        self._watches = {host: each for host, each in self._watches.items() if each[0] in alive}
        for node in nodes:
            host, own = node["NodeManagerHostname"], node["NodeID"]
            has_it = self._room(node) > 0 if self._has_all else host in self._hosts
            if has_it and host not in self._watches:
                watch = self._ray.remote(num_cpus=0)(NodeWatch)
                actor = watch.options(scheduling_strategy=self._on(own)).remote(
                    self._home_there, self._home.marks(), self._energy
                )
                self._watches[host] = own, actor

    def _on(self, node_id: str) -> Any:
        """Return what places a task on a node."""
        affinity = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        return affinity(node_id, soft=False)

    def check(self) -> None:
        """Send a probe to a node of each kind that has room for a trial.

        Raises:
            StudyError: there is none, or trials cannot run on one.
        """
        nodes, faults = self._nodes(), self._ray.exceptions
        able = [node for node in nodes if self._room(node)]
        if not able:
            raise StudyError(
                f"no node of the Ray cluster has room for a trial, which takes "
                f"{_told(self._takes)}: the cluster has {_told(self._most(nodes))} on one node; "
                "add such a node, or set hydra.sweeper.ray.num_cpus, resources, or "
                "hydra.sweeper.gpus_per_worker to what there is"
            )
        send = self._ray.remote(num_cpus=0, max_retries=0)(probe_node)
        probes = {
            send.options(scheduling_strategy=self._on(node["NodeID"])).remote(
                self._home_there, self._home.marks(), self._needs
            ): _name(node)
            for node in {_kind(node): node for node in able}.values()
        }
        done, late = self._ray.wait(
            [*probes], num_returns=len(probes), timeout=_PROBE_SECONDS, fetch_local=True
        )
        for each in done:
            try:
                found = self._ray.get(each)
            except faults.RayTaskError as error:
                reason = describe(error.cause if isinstance(error.cause, Exception) else error)
                raise StudyError(
                    f"node {probes[each]} cannot run greensweep ({reason}): install it there, with "
                    "what the program needs"
                ) from error
            except faults.RayError as error:
                raise StudyError(
                    f"node {probes[each]} cannot be used ({first_line(error)}): mend it, or "
                    "hydra.sweeper.ray.runtime_env"
                ) from error
            check_node(probes[each], found.fault)
        for each in late:
            raise StudyError(
                f"node {probes[each]} did not answer in {_PROBE_SECONDS:.0f} s: mend it, take it "
                "out of the cluster, or set hydra.sweeper.check_nodes=false"
            )

    def _nodes(self) -> list[Mapping[str, Any]]:
        return [node for node in self._ray.nodes() if node["Alive"]]

    def _room(self, node: Mapping[str, Any]) -> int:
        """Return how many trials an empty node holds."""
        takes = {name: amount for name, amount in self._takes.items() if amount}
        rooms = [_has(node, name) // amount for name, amount in takes.items()]
        return int(min(rooms, default=_has(node, "CPU")))

    def _most(self, nodes: Sequence[Mapping[str, Any]]) -> dict[str, float]:
        return {name: max((_has(node, name) for node in nodes), default=0) for name in self._takes}

    def _end(self, task: Any, trial: ReservedTrial) -> TrialEnd:
        faults = self._ray.exceptions
        try:
            node, returned = self._ray.get(task)
        except faults.TaskCancelledError:
            return TrialEnd(trial, KeyboardInterrupt())
        except faults.RayTaskError as error:
            cause = error.cause if isinstance(error.cause, Exception) else error
            return TrialEnd(trial, StudyError(message_of(cause)))
        except faults.RuntimeEnvSetupError as error:
            return TrialEnd(
                trial, StudyError(f"Ray could not set up its node: {first_line(error)}")
            )
        except faults.OutOfMemoryError as error:
            where = self._node_in(error)
            return TrialEnd(trial, ProcessLost(f"its process was ended for want of memory{where}"))
        except (faults.NodeDiedError, faults.LocalRayletDiedError, faults.ObjectLostError) as error:
            return TrialEnd(trial, MachineLost(f"its node was lost{self._node_in(error)}"))
        except faults.RayError:
            return TrialEnd(trial, ProcessLost("its process died"))
        if returned.host not in self._hosts:
            self._hosts.add(returned.host)
            self._watch()
        if returned.output:
            print(returned.output, end="", flush=True)
        came_home = take_home(self._home, returned)
        if returned.unfit is None:
            self._unfit.pop(node, None)
            return TrialEnd(trial, returned.fault, came_home)
        names = {each["NodeID"]: _name(each) for each in self._ray.nodes()}
        said = f"node {names[node]} {returned.unfit}"
        before = self._unfit.get(node, _Unfit())
        again = before.times + (node not in self._avoided())  # not by each that it ran then
        self._unfit[node] = _Unfit(said, again, time.monotonic() + _AVOID_SECONDS)
        return TrialEnd(trial, MachineLost(f"its {said}"), came_home)

    def _avoided(self) -> dict[str, "_Unfit"]:
        """Return the nodes that no trial is sent to now, by their ids."""
        now = time.monotonic()
        return {node: unfit for node, unfit in self._unfit.items() if now < unfit.until}

    def _node_in(self, error: Exception) -> str:
        """Return the name of the node that Ray's error is about, to be added to a sentence."""
        found = _NODE_ID.search(str(error))
        names = {node["NodeID"]: _name(node) for node in self._ray.nodes()}
        return f" ({names[found[1]]})" if found and found[1] in names else ""


class _Unfit(NamedTuple):
    """A node that could not run a trial: in words, how often, and until when it is left alone."""

    said: str = ""
    times: int = 0
    until: float = 0.0


def _run_on_node(
    home: Home, marks: Mapping[str, bytes], trial: ReservedTrial
) -> tuple[str, Returned]:
    """Run a trial, and tell on which node that was."""
    import ray

    return ray.get_runtime_context().get_node_id(), run_on_node(home, marks, trial)


def _has(node: Mapping[str, Any], resource: str) -> float:
    return float(node["Resources"].get(resource, 0.0))


def _name(node: Mapping[str, Any]) -> str:
    given, address = node["NodeName"], node["NodeManagerAddress"]
    return str(node["NodeManagerHostname"] if given in (address, "") else given)


def _kind(node: Mapping[str, Any]) -> tuple[object, ...]:
    """Return what nodes have in common of which one tells of all."""
    own = ("node:", "object_store_memory", "memory")
    resources = sorted(each for each in node["Resources"].items() if not each[0].startswith(own))
    return node["NodeManagerHostname"] == platform.node(), *resources


def _told(resources: Mapping[str, float]) -> str:
    return ", ".join(f"{rounded(amount)} {name}" for name, amount in resources.items() if amount)
