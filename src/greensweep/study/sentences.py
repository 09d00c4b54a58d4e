"""A run or a sweep in sentences, for the terminal."""

from collections.abc import Callable, Iterable, Iterator, Sequence

from greensweep.config.metrics import metric_called
from greensweep.decision.sentences import change_text, percent_text
from greensweep.energy import joined
from greensweep.energy.units import (
    duration_text,
    emissions_text,
    energy_span_text,
    energy_text,
    joules_text,
)
from greensweep.errors import listed, plural
from greensweep.intervals import FEWEST_REPEATS
from greensweep.record.result import RunResult
from greensweep.search.records import WHOLE_RUN
from greensweep.study.summary import StudySummary
from greensweep.study.trials import Trial

_SOURCES = {
    "rapl": "RAPL counters",
    "nvml": "NVML counters",
    "powermetrics": "powermetrics",
    "cpu_load_model": "a model of CPU load and TDP",
    "declared_tdp_load_model": "a model of CPU load and the declared rated power",
    "wall_calibrated_load_model": "a line through CPU load and two figures of a wall meter",
    "constant_power": "a constant power",
    "replay": "a record",
    "lost": "a counter that failed before the end",
    "reset": "a counter that jumped",
}


_MOST_LAYERS = 5
_NO_LAYER = {"other": "no layer", "data": "loading data"}


def run_line(result: RunResult) -> str:
    """Return one run in one line."""
    data = "" if result.dataset == "unknown" else f" on {result.dataset}"
    parts = [f"{result.model}{data}: {result.status}"]
    parts += [*_metrics_of(result, "validation"), *_metrics_of(result, "test")]
    beside = f", beside {result.energy_contended_by}" if result.energy_contended_by else ""
    parts.append(f"training energy {_energy(result)} gross ({result.energy_quality}{beside})")
    if result.energy_net_joules is not None:
        below = ", less than its baseline" if result.energy_net_joules < 0 else ""
        parts.append(f"{joules_text(result.energy_net_joules)} net of the idle machine{below}")
    inference = result.inference
    if inference is not None and inference.joules_per_1000 is not None:
        joules = energy_text(inference.joules_per_1000, inference.uncertainty_joules_per_1000)
        parts.append(f"inference {joules} per 1000 samples")
    if result.emissions_kg is not None:
        parts.append(f"{emissions_text(result.emissions_kg)} ({result.emissions_grid})")
    if result.energy_spent_joules is not None:
        spent = joules_text(result.energy_spent_joules)
        if result.emissions_spent_kg is not None:
            spent += f" and {emissions_text(result.emissions_spent_kg)}"
        parts.append(f"{spent} in all phases")
    parts += [duration_text(result.seconds)] if result.seconds is not None else []
    parts.append(plural(result.epochs, "epoch"))
    if result.repeats > 1:
        intervals = " with 95 % intervals" if result.repeats >= FEWEST_REPEATS else ""
        parts.append(f"means of {result.repeats} repeats{intervals}")
    return ", ".join(parts)


def _energy(result: RunResult) -> str:
    """Return the energy of a training, with the interval of a mean, or what it may be off by."""
    spread, joules = result.spread.get("energy_joules"), result.energy_joules
    if joules is not None and spread is not None and spread.interval is not None:
        return energy_span_text(joules, *spread.interval)
    return energy_text(joules, result.energy_uncertainty_joules)


def layers_sentence(result: RunResult) -> str | None:
    """Say which layer types the training energy went to, the largest first; None where unknown."""
    layers = result.layer_energy
    if layers is None or not layers.shares:
        return None
    ordered = sorted(layers.shares.items(), key=lambda pair: -pair[1])
    named = [f"{_NO_LAYER.get(kind, kind.replace('_', ' '))} {percent_text(share)}"
             for kind, share in ordered[:_MOST_LAYERS]]  # fmt: skip
    if rest := ordered[_MOST_LAYERS:]:
        named.append(f"{len(rest)} more {percent_text(sum(share for _, share in rest))}")
    by = (layers.key or "time").replace("_", " ")
    return f"Training energy by layer type, {layers.quality} by {by}: {', '.join(named)}."


def _metrics_of(result: RunResult, split: str) -> Iterator[str]:
    """Yield the metrics of a split that are known, but for those of single classes."""
    accuracy = result.validation_accuracy if split == "validation" else result.test_accuracy
    metrics = result.metrics.get(split, {})
    others = {name: each for name, each in metrics.items() if name != "accuracy"}
    for name, value in {"accuracy": accuracy, **others}.items():
        is_objective = split == "validation" and name == result.objective_metric
        if "/" not in name and (value is not None or is_objective):
            metric = metric_called(name, "maximize")
            assert metric is not None
            text = f"{split} {metric.label} {metric.text(value)}"
            if split == "validation" or result.selected_on_test:
                text += _interval(result, f"{split}_{name}", metric.text)
            if split == "test" and result.selected_on_test:
                text += " (selected on this split)"
            yield text


def trust_sentence(
    components: dict[str, str], quality: str, constant_share: float | None
) -> str | None:
    """Say what energy figures rest on, where they are not all measured.

    Args:
        components: source of each component.
        quality: quality that they share.
        constant_share: share of the joules that is a constant power times the seconds.
    """
    words = {
        "estimated": "estimated, not measured",
        "mixed": "of mixed quality",
        "attributed": "a part of a shared machine's, not a reading",
        "replayed": "replayed from a record, not measured",
    }.get(quality)
    if words is None:
        return None
    origins = ", ".join(
        f"{name} from {origin_words(source)}" for name, source in components.items()
    )
    origins = f": {origins}" if origins else ""
    share = ""
    if constant_share:
        share = f"; {percent_text(constant_share)} is a constant times the time"
    return f"Energy is {words}{origins}{share}."


def caveats(summary: StudySummary, trials: Sequence[Trial]) -> list[str | None]:
    """Say what a sweep's figures rest on, and which of them do not compare."""
    components = sources(trial.result for trial in trials)
    # That all of it is attributed says already that all trials shared the machine.
    shared = None if summary.energy_quality == "attributed" else shared_sentence(trials)
    return [
        trust_sentence(components, summary.energy_quality, summary.energy_constant_share),
        outside_sentence(trials),
        comparison_sentence(summary),
        uncertainty_sentence(summary),
        machine_sentence(summary) or shared,
        drift_sentence(summary),
    ]


def beside_sentence(summary: StudySummary) -> str | None:
    """Say what this command spent that is no part of the search's bill; None without a bill."""
    if summary.search is None or summary.search.get("spent_joules") is None:
        return None
    parts = {
        "the reference job": summary.energy_reference_joules,
        "testing the winners": summary.energy_test_joules,
    }
    spent = [
        f"{joules_text(joules, digits=3)} for {name}" for name, joules in parts.items() if joules
    ]
    return f"Not in the bill: {', '.join(spent)}." if spent else None


def machine_sentence(summary: StudySummary) -> str | None:
    """Say how the energy of a machine was shared out between trials, where they shared one."""
    if summary.energy_machine_joules is None or summary.energy_remainder_joules is None:
        return None
    trials = summary.energy_machine_joules - summary.energy_remainder_joules
    shared = f"Up to {plural(summary.energy_neighbours + 1, 'run')} shared the machine"
    charged = f"trials and search are charged {joules_text(trials, digits=3)} by CPU time"
    if summary.energy_idle_nodes_joules is not None:  # what it used is told with that
        return f"{shared}: {charged}."
    rest = ""
    if summary.energy_remainder_joules > 0:
        rest = (
            f"; {joules_text(summary.energy_remainder_joules, digits=3)} went to other "
            "processes, such as starting trials"
        )
    machine = joules_text(summary.energy_machine_joules, digits=3)
    return f"{shared}: of its {machine} {charged}{rest}."


def nodes_sentence(summary: StudySummary) -> str | None:
    """Say what the nodes used in all, and what of it was no trial's and no search's."""
    nodes, idle = summary.energy_nodes, summary.energy_idle_nodes_joules
    if not nodes:
        return None
    joules = sum(each.joules for each in nodes.values())
    charged = sum(each.charged_joules for each in nodes.values())
    cut = [name for name, each in nodes.items() if not each.is_whole]
    were, its = ("was", "its") if len(cut) == 1 else ("were", "their")
    count = "counts" if len(cut) == 1 else "count"
    last = (
        f"; {listed(cut)} {were} not released, and {count} up to {its} last reading" if cut else ""
    )
    which = "The machine" if len(nodes) == 1 else f"{len(nodes)} nodes"
    used = f"{which} used {joules_text(joules, digits=3)} during the search"
    if idle is not None:
        amount = energy_text(idle, summary.energy_idle_nodes_uncertainty_joules)
        share = f", {percent_text(idle / joules)}" if joules else ""
        return (
            f"{used}: {amount} of it ({summary.energy_idle_nodes_quality}{share}) went to no "
            f"trial, but to waiting, starting and others' work{last}."
        )
    if charged <= joules:
        return None  # of trials that were not metered there
    return (
        f"{used}, less than the {joules_text(charged, digits=3)} that was charged to trials, so "
        f"that nothing is known of idle nodes{last}."
    )


def shared_sentence(trials: Sequence[Trial]) -> str | None:
    """Count the trials whose machine did other work meanwhile; None where it did not."""
    metered = [each.result for each in trials if each.result.energy_joules is not None]
    if not (shared := sum(result.energy_contended for result in metered)):
        return None
    which = f"{shared} of {plural(len(metered), 'metered trial')}"
    return f"{which} shared the machine with other work: a share by use."


def comparison_sentence(summary: StudySummary) -> str | None:
    """Count the trials whose energy compares with no other's; None where all compare."""
    if not summary.trials_not_comparable:
        return None
    done = summary.trials_by_status.get("finished", 0)
    return (
        f"The machine was shared while its idle power was not known by "
        f"{summary.trials_not_comparable} of {plural(done, 'finished trial')}: such energy does "
        "not compare, and is on no front; set energy.baseline=measure."
    )


def uncertainty_sentence(summary: StudySummary) -> str | None:
    """Name the trials that are off the front since their energies are not distinguishable."""
    alike = summary.trials_not_told_apart
    if not alike:
        return None
    many, metric = len(alike) > 1, summary.metric
    better = "a more accurate" if metric.name == "accuracy" else "a better"
    return (
        f"Trial{'s' if many else ''} {listed(alike)} do{'' if many else 'es'} not differ in "
        f"energy from {better} one beyond the uncertainty; longer trainings may."
    )


def outside_sentence(trials: Sequence[Trial]) -> str | None:
    """Count the replayed trials whose answers extrapolate; None where none was replayed."""
    replayed = [each for trial in trials if (each := trial.result.replayed) is not None]
    if not replayed:
        return None
    outside = sum(each.outside for each in replayed)
    lie = "lies" if outside == 1 else "lie"
    guess = ": what a table says there is a guess" if outside else ""
    trials_text = plural(len(replayed), "replayed trial")
    return f"{outside} of {trials_text} {lie} outside the recorded points{guess}."


def selection_sentence(summary: StudySummary) -> str | None:
    """Say that trials were selected on the test split; None where none was."""
    selected, done = summary.trials_selected_on_test, summary.trials_by_status.get("finished", 0)
    if not selected:
        return None
    metric = summary.metric
    if selected < done:
        return (
            f"Test {metric.label} selected {selected} of {plural(done, 'finished trial')}, "
            f"validation {metric.label} the others: these do not compare."
        )
    unseen, value = "", summary.best_figures.get(f"validation_{metric.name}")
    if value is not None:
        unseen = (
            f"; on the validation split, which selected nothing, {metric.best_words} has "
            f"{metric.text(value)}"
        )
    began = "Accuracies were selected on the test split"
    if metric.name != "accuracy":
        began = f"Trials were selected by {metric.label} on the test split"
    return f"{began} (select_on=test), so the best of them are optimistic{unseen}."


def drift_sentence(summary: StudySummary) -> str | None:
    """Warn of a machine that changed while the sweep ran."""
    if not summary.drift_notable:
        return None
    changes = " and ".join(
        f"{change_text(by)} {what}" for what, by in summary.drift_notable.items()
    )
    return (
        f"The machine drifted: at the end a fixed reference job took {changes} per step, so early "
        "and late trials may differ by as much."
    )


def sources(results: Iterable[RunResult]) -> dict[str, str]:
    """Return the sources of each energy component over some runs."""
    found: dict[str, list[str]] = {}
    for result in results:
        for name, part in result.energy_components.items():
            found.setdefault(name, []).append(part.source)
    return {name: joined(each) for name, each in found.items()}


def answer_text(summary: StudySummary) -> str:
    """Return which trial to take and how sure that is, or why there is none."""
    return summary.answer or _no_best(summary)


def origin_words(source: str) -> str:
    """Return what energy is from in words, of sources joined by `+`."""
    return " and ".join(_SOURCES.get(each, each) for each in source.split("+"))


def _interval(result: RunResult, name: str, shown: Callable[[float], str]) -> str:
    spread = result.spread.get(name)
    if spread is None or spread.interval is None:
        return ""
    low, high = spread.interval
    return f" ({shown(low)} to {shown(high)})"


def _no_best(summary: StudySummary) -> str:
    """Say why no trial is the best."""
    if not summary.trials_by_status.get("finished"):
        return "No trial finished."
    if summary.objective_direction is None:
        name = summary.objective_metric
        return (
            f"The direction of {name} is not known, so none is the best: record it by "
            f"greensweep.run(…, metric={name!r}, direction='maximize') or 'minimize', and compare "
            "those that there are by columns.metric_direction in greensweep analyse."
        )
    reasons = [
        f"{count} ran in a cheaper way" if name == WHOLE_RUN else f"{count} broke {name}"
        for name, count in summary.trials_breaking.items()
    ]
    if not reasons:
        return (
            f"No finished trial told its {summary.metric.label}, by which they are compared, so "
            "none is the best."
        )
    return (
        "None of the finished trials is a whole run that keeps the constraints "
        f"({', '.join(reasons)}), so none is the best: search on with more trials, or widen "
        "hydra.sweeper.constraints under a new hydra.sweeper.study_name."
    )
