"""What the nodes of a sweep used, with or without a trial on them."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from greensweep.energy import Quality, shared_quality
from greensweep.energy.accounts import SweepTotal
from greensweep.record.result import RunResult

# Of a node, those that MLflow and `analysis=bill` show.
NODE_FIGURES = ("joules", "charged_joules", "idle_joules", "hours")


@dataclass(frozen=True)
class NodeEnergy:
    """What a node used from when a sweep had it until it was released. Gross, in joules.

    Attributes:
        joules: by its own counters, whoever used it.
        charged_joules: of these, to the sweep's trials and its search.
        idle_joules: the rest: of a node that waits or starts, and of what others did on it.
        quality: of `joules`.
        hours: how long the sweep had it.
        is_whole: it was released each time that the sweep had it; else it died, or goes on, and
            `joules` end with its last reading.
    """

    joules: float
    uncertainty_joules: float
    charged_joules: float
    idle_joules: float
    quality: Quality
    hours: float
    is_whole: bool


@dataclass(frozen=True)
class IdleNodes:
    """What nodes used beside the trials and the search: that of all nodes, in joules."""

    joules: float
    uncertainty_joules: float
    quality: Quality


def node_energies(totals: Mapping[str, SweepTotal]) -> dict[str, NodeEnergy]:
    """Return the nodes that were read all the time that a sweep had them, by their names."""
    return {
        name: NodeEnergy(
            joules=total.machine_joules,
            uncertainty_joules=total.uncertainty_joules,
            charged_joules=total.trials_joules,
            idle_joules=total.machine_joules - total.trials_joules,
            quality=total.quality or "unmeasured",
            hours=total.seconds / 3600,
            is_whole=total.watches <= total.releases,
        )
        for name, total in totals.items()
        if total.watches
    }


def idle_nodes(nodes: Mapping[str, NodeEnergy], results: Iterable[RunResult]) -> IdleNodes | None:
    """Return what nodes used beside the trials and the search.

    None where that is not known: no node was read, trials have no joules of their nodes, or were
    charged more than these gave, beyond the uncertainty.

    Args:
        results: of the trials.
    """
    trials = [*results]
    metered = [each for each in trials if each.energy_spent_joules is not None]
    finished = [each for each in trials if each.status == "finished"]
    qualities = {each.energy_quality for each in metered}
    if not nodes or "replayed" in qualities or any(each not in metered for each in finished):
        return None
    joules = sum(each.idle_joules for each in nodes.values())
    edges = [each.uncertainty_joules for each in nodes.values()]
    edges += [each.energy_uncertainty_joules or 0.0 for each in metered]
    uncertainty = math.hypot(*edges)
    if joules < -uncertainty:
        return None
    is_shared = qualities & {"attributed", "mixed"}
    quality = "attributed" if is_shared else shared_quality(each.quality for each in nodes.values())
    return IdleNodes(max(joules, 0.0), uncertainty, quality)
