"""A carbon statement in sentences, and its lines as texts."""

from collections.abc import Iterator, Mapping, Sequence

from greensweep.analysis.statement import Account, Final, Statement, is_place
from greensweep.analysis.statement_parts import Part
from greensweep.energy.units import emissions_text, energy_text, joules_text, watt_hours_text
from greensweep.search.terminal import duration_text
from greensweep.study.sentences import origin_words

HEADER = ("", "Runs", "Energy", "Watt-hours", "CO2e", "Time")
UNKNOWN = "not known"
SET_A_GRID = (
    "no grid was declared: set country=NLD, say, or grams_co2e_per_kwh=250 with this command, or "
    "energy.country with the runs"
)
_QUALITIES = {
    "estimated": "estimated (by models, not measured)",
    "mixed": "mixed (partly measured)",
    "attributed": "attributed (a share of a machine that did other work too)",
    "replayed": "replayed (from a record, and not used by these runs themselves)",
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
        ratio = f", {total.joules / final.part.joules:.3g} times the final training"
    yield f"{_whole(account)} used {amount(total)}{ratio}."
    if account.is_search:
        own = account.search_joules
        known = f"({joules_text(own)}) is in it" if own is not None else f"is {UNKNOWN}"
        yield f"The work of the search itself {known}."
    yield _evaluation(account)
    if len(statement.accounts) == 1:
        yield f"It ran on {account.machine or 'hardware that was not recorded'}."
    yield from _method(account)
    yield _grid(account, statement)


def _final_sentence(final: Final) -> str:
    took = "" if final.part.seconds is None else f" took {duration_text(final.part.seconds)} and"
    data = f" on {final.dataset}" if final.dataset != "unknown" else ""
    said = f"Training the final model ({final.run}: {final.model}{data}){took} used "
    said += amount(final.part)
    if final.repeats > 1:
        said += f", a mean of {final.repeats} trainings"
        if final.interval is not None:
            low, high = map(joules_text, final.interval)
            said += f" with a 95 % interval of {low} to {high}"
    return f"{said}."


def _whole(account: Account) -> str:
    if not account.of_which and sum(account.by_status.values()) == 1:
        return "The whole run, with set-up, evaluation and tests,"
    what = "The whole search" if account.is_search else "All that was run"
    return f"{what}, {counts(account)},"


def counts(account: Account) -> str:
    """Return how many runs there are and how they ended: `3 runs (2 finished, 1 pruned)`."""
    runs = sum(account.by_status.values())
    if not runs:
        return "of which no run is recorded"
    word = ("trial" if account.is_search else "run") + ("s" if runs > 1 else "")
    ends = ", ".join(f"{count} {status}" for status, count in account.by_status.items())
    if runs == 1:
        return f"1 {word}, {next(iter(account.by_status))}"
    return f"{runs} {word} ({ends})"


def _evaluation(account: Account) -> str:
    parts = [part for part in (*account.of_which, *account.parts) if "valuation" in part.name]
    if not parts or parts[0].joules is None:
        return f"What evaluation and tests took of it is {UNKNOWN}."
    part, total = parts[0], account.total.joules
    share = (
        f", {100 * part.joules / total:.2g} % of it" if total and part.joules is not None else ""
    )
    runs = sum(account.by_status.values())
    known = f" (of the {part.runs} of {runs} runs that recorded it)" if part.runs != runs else ""
    return f"Evaluation and tests took {amount(part)}{share}{known}."


def _method(account: Account) -> Iterator[str]:
    quality = " and ".join(_QUALITIES.get(each, each) for each in account.qualities)
    quality = f", and {quality}" if quality else ""
    origins = f": {components(account.sources)}" if account.sources else ""
    share = ""
    if account.measured_share and account.measured_share < 1:
        share = f"; {account.measured_share:.0%} of the training energy is by hardware counters"
    yield f"Energy is gross{quality}{origins}{share}."
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
    if account.kilograms_per_kwh is None or account.grid is None:
        return f"Emissions are {UNKNOWN}, as {SET_A_GRID}."
    grams = f"{1000.0 * account.kilograms_per_kwh:.3g} g CO2e per kWh"
    if not is_place(account.grid):
        return f"Emissions are the energy times {grams}, the intensity that was declared."
    version = " and ".join(statement.versions.get("codecarbon", ()))
    return (
        f"Emissions are the energy times {grams}, the yearly mean of the grid of {account.grid} in "
        f"the data of {f'CodeCarbon {version}'.strip()}."
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
    if statement.running:
        yield f"Left out are runs that had not ended ({statement.running})."


def _left_out(statement: Statement) -> str:
    parts = sorted({name for account in statement.accounts for name in account.sources})
    others = f"its parts other than {' and '.join(parts)}" if parts else "parts without a meter"
    return (
        f"Not counted are cooling and power supply around the machine (PUE), {others}, and making "
        "the hardware."
    )


def _software(statement: Statement) -> str:
    versions = [f"{name} {' and '.join(each)}" for name, each in statement.versions.items()]
    return f"Installed were {', '.join(versions)}." if versions else f"Versions are {UNKNOWN}."


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
    if final is not None and (account.of_which or final.repeats > 1 or len(account.parts) == 1):
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
