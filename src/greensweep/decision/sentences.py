"""A decision in words: the same wherever it is printed."""

import math
from collections.abc import Iterable, Mapping

from greensweep.config.metrics import Metric
from greensweep.decision.candidate import Candidate
from greensweep.decision.choice import DRAWS, Decision
from greensweep.energy.units import energy_text
from greensweep.errors import plural, rounded
from greensweep.pareto import distinguishable

_MOST_OPTIONS = 6
_LEAST_POINTS = 0.001  # that are written out
_ROUNDING = 1e-9  # of a share


def answer(decision: Decision) -> str:
    """Say what to take, what it gives up, what it saves, and how sure that is."""
    parts = [*_against_start(decision), *_shared(decision), *_how_sure(decision)]
    return " ".join([_take(decision), *parts])


def option_texts(options: Mapping[str, object]) -> dict[str, str]:
    """Return options as people name them: the last part of a name, where that is enough.

    An option without a value, as a table has it of runs that do not know the option, is left out.
    """
    names = option_names(options)
    known = {name: value for name, value in options.items() if value == value}  # no NaN
    return {names[name]: value_text(value) for name, value in known.items()}


def option_names(options: Iterable[str]) -> dict[str, str]:
    """Return what people call each option: the last part of its name, where that is enough.

    >>> option_names(["optimizer.learning_rate", "model.width", "head.width"])["model.width"]
    'model.width'
    """
    # What is called name is its group's: model.name is the model.
    names = {name: name.removesuffix(".name").rpartition(".")[2].lstrip("+") for name in options}
    alike = {each for each in names.values() if [*names.values()].count(each) > 1}
    return {
        name: (name if last in alike else last).replace("_", " ") for name, last in names.items()
    }


def value_text(value: object) -> str:
    """Return an option's value with four digits at most, text as it is."""
    if isinstance(value, bool):
        return str(value).lower()
    try:
        number = float(str(value))
    except ValueError:
        return str(value)
    is_whole = number.is_integer() and abs(number) < 1e6
    return f"{number:.0f}" if is_whole else f"{number:.3g}"


def points_text(points: float, metric: Metric) -> str:
    """Return points of a metric in words, of one without a range as per cent of its best value.

    >>> from greensweep.config.metrics import METRICS
    >>> points_text(1.0, METRICS["accuracy"]), points_text(0.94, METRICS["rmse"])
    ('1 point', '0.94 %')
    """
    text = rounded_text(points)
    if metric.range is None:
        return f"{text} %"
    return f"{text} {'point' if text == '1' else 'points'}"


def _take(decision: Decision) -> str:
    chosen, best, metric = decision.chosen, decision.best, decision.metric
    named = f"Take {_named(chosen)}"
    figure = f"{metric.label} {metric.text(chosen.value)}"
    if best.joules is None:
        return (
            f"{named}: {metric.best_words} ({figure}). Its energy was not metered or does not "
            "compare with the others', so nothing cheaper is weighed against it."
        )
    energy = energy_text(chosen.joules, chosen.uncertainty_joules)
    if chosen is best:
        return f"{named}: {metric.best_words} ({figure}) for {energy}."
    return f"{named}: {_lost(decision)}, for {_saved(decision)} ({figure} for {energy})."


def _named(candidate: Candidate) -> str:
    texts = option_texts(candidate.options)
    shown = [f"{name} {value}" for name, value in texts.items()][:_MOST_OPTIONS]
    if len(texts) > len(shown):
        shown.append(plural(len(texts) - len(shown), "more option"))
    return candidate.name + (f" ({', '.join(shown)})" if shown else "")


def _lost(decision: Decision) -> str:
    """Say by how much the chosen one is worse than the best."""
    span = decision.points_lost_interval
    text = worse_by_text(decision.points_lost, decision.metric)
    interval = f" (95 %: {rounded_text(span[0])} to {rounded_text(span[1])})" if span else ""
    return f"{text} than the best, {decision.best.name}{interval}"


def worse_by_text(points: float, metric: Metric) -> str:
    """Say by how many points a value is worse, better where they are negative."""
    by, is_lower = (
        points_text(abs(points), metric),
        (points > 0) == (metric.direction == "maximize"),
    )
    if metric.range is None:
        return f"{by} {'lower' if is_lower else 'higher'} {metric.label}"
    of = "" if metric.name == "accuracy" else f" of {metric.label}"
    return f"{by}{of} {'less' if is_lower else 'more'}"


def change_from_start(decision: Decision) -> str | None:
    """Say what the search has brought against the point that it began from: 5 points more, say.

    None where that point is the one to take, or the best, or not known.
    """
    start, chosen, metric = decision.start, decision.chosen, decision.metric
    if start is None or start is chosen or start is decision.best:
        return None
    worse = (metric.score(start.value) - metric.score(chosen.value)) / decision.point
    gained = worse_by_text(worse, metric) if worse else f"the same {metric.label}"
    if chosen.joules is None or start.joules is None:
        return gained
    return f"{gained} and {energy_change_text(chosen, start)}"


def _against_start(decision: Decision) -> Iterable[str]:
    start, metric, change = decision.start, decision.metric, change_from_start(decision)
    if start is None or change is None:
        return
    figure = f"{metric.label} {metric.text(start.value)}"
    if decision.chosen.joules is not None and start.joules is not None:
        figure += f" for {energy_text(start.joules, start.uncertainty_joules)}"
    yield f"Against the starting point, {start.name} ({figure}), that is {change}."


def energy_change_text(one: Candidate, other: Candidate) -> str:
    """Say what the first takes against the second: 62 % less energy, 3.1 times the energy."""
    unsure = one.uncertainty_joules, other.uncertainty_joules
    assert one.joules is not None and other.joules is not None
    if not distinguishable(one.joules, other.joules, *unsure):
        return "energy that does not differ by more than the uncertainty"
    if not other.joules:
        return "more energy"
    ratio = one.joules / other.joules
    if ratio < 2:
        return f"{change_text(ratio - 1)} energy"
    return f"{rounded(ratio, 2)} times the energy"


def _saved(decision: Decision) -> str:
    assert decision.saved_share is not None
    off = decision.saved_uncertainty
    saved = percent_text(decision.saved_share)
    return f"{saved} less energy" + (f" (±{percent_text(off)})" if off is not None else "")


def _shared(decision: Decision) -> Iterable[str]:
    """Say whose energy is a share of a machine that did other work meanwhile."""
    told = (decision.chosen, decision.best, decision.start)
    known = {each.name: each.is_shared for each in told if each and each.joules}
    shared = [name for name, is_shared in known.items() if is_shared]
    if not shared:
        return
    of = "" if len(shared) == len(known) else f" of {' and '.join(shared)}"
    are = "These joules are shares" if not of else f"The joules{of} are a share"
    yield f"{are}, by use, of a machine that did other work meanwhile."


def _how_sure(decision: Decision) -> Iterable[str]:
    """Say for which prices the choice holds, and how it fares when figures are drawn anew."""
    if decision.best.joules is None:
        return
    yield _range_of_prices(decision)
    if decision.chosen is not decision.best and decision.points_lost_interval is None:
        yield "How far what it gives up may be off is not known: train both again, with new seeds."
    if decision.chosen is decision.best and decision.chosen.interval is None:
        yield (
            f"How far its {decision.metric.label} may be off is not known: train it again, with "
            "new seeds."
        )
    if decision.stability is not None:
        yield (
            f"Of {DRAWS} draws of all metrics and energies within their uncertainties, "
            f"{percent_text(decision.stability)} give the same choice."
        )


def _range_of_prices(decision: Decision) -> str:
    metric, low, high = decision.metric, decision.holds_from, decision.holds_to
    assert low is not None and high is not None
    is_best = decision.chosen is decision.best
    if is_best and decision.weighed == 1:
        return "There is no other whose energy compares."
    if is_best and math.isinf(high):
        return "None that was tried is known to take less energy."
    asked = f"Half the energy may cost {points_text(decision.points_per_halving, metric)} here"
    if is_best:
        return f"{asked}; the choice is the same up to {points_text(high, metric)}."
    if math.isinf(high):
        return f"{asked}; the choice is the same from {points_text(low, metric)} on."
    return (
        f"{asked}; the choice is the same from {rounded_text(low)} to {points_text(high, metric)}."
    )


def rounded_text(points: float) -> str:
    """Return points with two digits, or none behind the point.

    >>> rounded_text(0.25), rounded_text(12.3), rounded_text(1e-6), rounded_text(-1e-6)
    ('0.25', '12', '<0.001', '0')
    """
    if abs(points) < _LEAST_POINTS:
        return f"<{_LEAST_POINTS}" if points > 0 else "0"
    return rounded(points, 2) if abs(points) < 10 else f"{points:.0f}"


def change_text(change: float) -> str:
    """Return a relative change in words: 38 % less, 20 % more, as much."""
    if change == 0:
        return "as much"
    return f"{percent_text(abs(change))} {'less' if change < 0 else 'more'}"


def percent_text(share: float) -> str:
    """Return a share as per cent with two digits; all, or none, only of what is.

    >>> [percent_text(each) for each in (0.62, 0.043, 0.9996, 1.0, 1e-6, 0.0)]
    ['62 %', '4.3 %', '>99 %', '100 %', '<0.01 %', '0 %']
    """
    if not math.isfinite(share):
        return rounded(share)
    if 0.995 <= share < 1 - _ROUNDING:
        return ">99 %"
    if 0 < share < 1e-4:
        return "<0.01 %"
    return f"{rounded(100 * share, 2)} %" if abs(share) < 0.1 else f"{100 * share:.0f} %"
