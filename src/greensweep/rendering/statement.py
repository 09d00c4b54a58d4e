"""A carbon statement in sentences, and its lines as texts."""

from collections.abc import Iterator, Mapping, Sequence

from greensweep.analysis.statement import Account, Final, Statement, is_place
from greensweep.analysis.statement_parts import Part
from greensweep.decision.sentences import percent_text
from greensweep.energy.units import (
    duration_text,
    emissions_text,
    energy_span_text,
    energy_text,
    joules_text,
    watt_hours_text,
)
from greensweep.errors import plural, rounded
from greensweep.sources.tracked_runs import ENDED
from greensweep.study.sentences import origin_words

HEADER = ("", "Runs", "Energy", "Watt-hours", "CO2e", "Time")
UNKNOWN = "not known"
_QUALITIES = {
    "estimated": "estimated (by models, not measured)",
    "mixed": "mixed (of more than one quality)",
    "attributed": "attributed (a share of a machine that did other work too)",
    "replayed": "replayed (from a record, and not used by these runs themselves)",
    "unknown": f"of a quality that is {UNKNOWN}",
}
# Of another tool's figures, whose files name no counter.
_TOLD_QUALITIES = {"estimated": "estimated (nothing there says that a counter measured it)"}
_TRACKED = {
    "machine": "the whole machine, with what else ran on it",
    "process": "an estimate of the process's share",
}


def sentences(statement: Statement) -> list[str]:
    """Return the statement's paragraphs."""
    accounts = statement.accounts
    apart = []
    if len(accounts) > 1:
        apart = [
            f"The runs were on {len(accounts)} machines or grids, whose figures stand apart and "
            "are not added up."
        ]
    first = [*apart, *([statement.no_final] if statement.no_final else [])]
    paragraphs = [" ".join(first)] if first else []
    paragraphs += [" ".join(_account(account, statement)) for account in accounts]
    return [*paragraphs, " ".join([*_gaps(statement), _left_out(statement), _software(statement)])]


def _account(account: Account, statement: Statement) -> Iterator[str]:
    final, total = account.final, account.total
    if len(statement.accounts) > 1:
        yield f"On {place_of(account)}:"
    if final is not None and final.part.joules is not None:
        yield _final_sentence(final)
    ratio = ""
    if final is not None and final.part.joules and total.joules:
        what = "run" if final.is_whole else "training"
        ratio = f", {rounded(total.joules / final.part.joules)} times the final {what}"
    yield f"{_whole(account, statement)} used {amount(total)}{ratio}."
    if account.is_search:
        own = account.search_joules
        known = f"({joules_text(own)}) is in it" if own is not None else f"is {UNKNOWN}"
        yield f"The work of the search itself {known}."
    yield _evaluation(account)
    if len(statement.accounts) == 1:
        yield f"It ran on {account.machine or 'hardware that was not recorded'}."
    yield from _method(account, statement)
    yield _grid(account, statement)


def _final_sentence(final: Final) -> str:
    took = "" if final.part.seconds is None else f" took {duration_text(final.part.seconds)} and"
    data = f" on {final.dataset}" if final.dataset != "unknown" else ""
    model = f": {final.model}" if final.model != "unknown" else ""
    what = "The run of" if final.is_whole else "Training"
    said = f"{what} the final model ({final.run}{model}{data}){took} used {amount(final.part)}"
    if final.repeats > 1:
        said += f", a mean of {final.repeats} trainings"
        if final.interval is not None and final.part.joules is not None:
            span = energy_span_text(final.part.joules, *final.interval)
            said += f", with its 95 % interval {span}"
    if final.is_whole:
        said += f"; how much of it was training is {UNKNOWN}"
    return f"{said}."


def _whole(account: Account, statement: Statement) -> str:
    is_one = sum(account.by_status.values()) == 1
    if is_one and not account.of_which and statement.told_by is None:
        return "The whole run, with set-up, evaluation and tests,"
    what = "The whole search" if account.is_search else "All that was run"
    return f"{what}, {counts(account)},"


def counts(account: Account) -> str:
    """Return how many runs there are and how they ended: `3 runs (2 finished, 1 pruned)`."""
    runs = sum(account.by_status.values())
    if not runs:
        return "of which no run is recorded"
    told = plural(runs, "trial" if account.is_search else "run")
    ends = ", ".join(f"{count} {status}" for status, count in account.by_status.items())
    if [*account.by_status] == [ENDED]:
        return told
    if len(account.by_status) > 1:
        return f"{told} ({ends})"
    return f"{told}, {'all ' if runs > 1 else ''}{next(iter(account.by_status))}"


def _evaluation(account: Account) -> str:
    parts = [part for part in (*account.of_which, *account.parts) if "valuation" in part.name]
    if not parts or parts[0].joules is None:
        return f"What evaluation and tests took of it is {UNKNOWN}."
    part, total = parts[0], account.total.joules
    share = (
        f", {percent_text(part.joules / total)} of it" if total and part.joules is not None else ""
    )
    runs = sum(account.by_status.values())
    known = f" (of the {part.runs} of {runs} runs that recorded it)" if part.runs != runs else ""
    return f"Evaluation and tests took {amount(part)}{share}{known}."


def _method(account: Account, statement: Statement) -> Iterator[str]:
    words = _QUALITIES | (_TOLD_QUALITIES if statement.told_by else {})
    quality = " and ".join(words.get(each, each) for each in account.qualities)
    quality = f", and {quality}" if quality else ""
    origins = f": {components(account.sources)}" if account.sources else ""
    what = "gross"
    if statement.told_by is not None:
        parts = f" for {', '.join(account.sources)}" if account.sources else ""
        what, origins = f"as {teller(statement)} gives it{parts}", ""
    share = ""
    if account.measured_share and account.measured_share < 1:
        share = percent_text(account.measured_share)
        share = f"; {share} of the training energy is by hardware counters"
    yield f"Energy is {what}{quality}{origins}{share}."
    for mode in account.tracking_modes:
        yield f"In tracking_mode={mode} it is {_TRACKED.get(mode, mode)}."
    if ENDED in account.by_status:
        yield f"How the runs ended is {UNKNOWN}."
    if account.final is not None and account.final.part.uncertainty_joules is not None:
        yield (
            "± is how far the training energy may be off by its counters and models; for sums it "
            f"is {UNKNOWN}."
        )
    else:
        yield f"How far the figures may be off is {UNKNOWN}."
    if account.shared:
        yield (
            f"Runs that shared the machine with other work ({account.shared} of "
            f"{sum(account.by_status.values())}) are attributed their part of its energy."
        )
    if account.left_out_joules:
        yield (
            f"{joules_text(account.left_out_joules)} that other processes used meanwhile are not "
            "in it."
        )


def components(sources: Mapping[str, tuple[str, str]]) -> str:
    """Return what the energy of each component is by, and its quality."""
    return ", ".join(
        f"{name} by {origin_words(source)} ({quality})"
        for name, (source, quality) in sources.items()
    )


def _grid(account: Account, statement: Statement) -> str:
    if account.kilograms_per_kwh is None:
        return f"Emissions are {UNKNOWN}, as {set_a_grid(statement)}."
    grams = f"{rounded(1000.0 * account.kilograms_per_kwh)} g CO2e per kWh"
    if account.grid is None or (statement.told_by and account.is_grid_told):
        where = f", for a grid that is {UNKNOWN}"
        if account.grid is not None:
            where = f" for {account.grid}, which it was told or took it to be"
        said = f"Emissions are as {teller(statement)} gives them, {grams} in the mean{where}"
        if account.without_emissions:
            said += f"; at that mean counts what tells none ({account.without_emissions})"
        return f"{said}."
    if not is_place(account.grid):
        return f"Emissions are the energy times {grams}, the intensity that was declared."
    version = " and ".join(statement.versions.get("codecarbon", ()))
    return (
        f"Emissions are the energy times {grams}, the yearly mean of the grid of {account.grid} in "
        f"the data of {f'CodeCarbon {version}'.strip()}."
    )


def set_a_grid(statement: Statement) -> str:
    """Say why emissions are not known, and what to do."""
    other = "energy.country with the runs"
    if statement.told_by is not None:
        other = "columns.emissions=NAME, the column of kg CO2e"
    return (
        "no grid was declared: set country=NLD, say, or grams_co2e_per_kwh=250 with this command, "
        f"or {other}"
    )


def _gaps(statement: Statement) -> Iterator[str]:
    if statement.unmetered:
        yield (
            f"Runs that were not metered ({statement.unmetered}) are in no sum, as what they used "
            f"is {UNKNOWN}."
        )
    if statement.spread_joules is not None:
        yield (
            f"What searches over several of them did beside their trials "
            f"({joules_text(statement.spread_joules)}) is in no sum."
        )
    if statement.notes:
        notes = "; ".join(note.rstrip("?") for note in statement.notes)
        yield f"To be noted of the table: {notes}."
    if statement.running:
        yield f"Left out are runs that had not ended ({statement.running})."


def _left_out(statement: Statement) -> str:
    parts = sorted({name for account in statement.accounts for name in account.sources})
    others = f"its parts other than {' and '.join(parts)}" if parts else "parts without a meter"
    around = "cooling and power supply around the machine (PUE)"
    if statement.knows_pue and not statement.has_pue:
        return f"Not counted are {around}, {others}, and making the hardware."
    unknown = "" if statement.knows_pue else f"Whether {around} are in it is {UNKNOWN}. "
    return f"{unknown}Not counted are {others}, and making the hardware."


def teller(statement: Statement) -> str:
    """Return whose figures these are, with its version: Greensweep's, or another tool's."""
    name = statement.told_by or "Greensweep"
    return f"{name} {' and '.join(statement.versions.get(name.lower(), ()))}".strip()


def _software(statement: Statement) -> str:
    versions = [f"{name} {' and '.join(each)}" for name, each in statement.versions.items()]
    return f"It ran with {', '.join(versions)}." if versions else f"Versions are {UNKNOWN}."


def place_of(account: Account) -> str:
    """Return machine and grid of an account."""
    machine = account.machine or "a machine that was not recorded"
    return f"{machine}, with {f'the grid {account.grid}' if account.grid else 'no declared grid'}"


def amount(part: Part) -> str:
    """Return energy and emissions: `320 ± 3 J (88.9 mWh, 24 mg CO2e)`."""
    if part.joules is None:
        return f"an energy that is {UNKNOWN}"
    emitted = "" if part.kilograms is None else f", {emissions_text(part.kilograms)}"
    energy = energy_text(part.joules, part.uncertainty_joules)
    return f"{energy} ({watt_hours_text(part.joules)}{emitted})"


def rows(account: Account) -> list[list[str]]:
    """Return the lines of an account as texts, in the columns of `HEADER`."""
    final = account.final
    first: Sequence[Part] = []
    if final is not None and (
        final.is_whole or account.of_which or final.repeats > 1 or len(account.parts) == 1
    ):
        first = [final.part]
    return [_row(part) for part in (*first, *account.parts, account.total, *account.of_which)]


def _row(part: Part) -> list[str]:
    joules = part.joules
    return [
        part.name,
        "–" if part.runs is None else str(part.runs),
        UNKNOWN if joules is None else energy_text(joules, part.uncertainty_joules),
        UNKNOWN if joules is None else watt_hours_text(joules),
        UNKNOWN if part.kilograms is None else emissions_text(part.kilograms),
        UNKNOWN if part.seconds is None else duration_text(part.seconds),
    ]
