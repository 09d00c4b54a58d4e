"""A carbon statement as text: sentences, tables, BibTeX, and the metadata of a model card."""

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from greensweep.analysis.statement import Account, Final, Part, Statement, is_place
from greensweep.energy.units import emissions_text, energy_text, joules_text, watt_hours_text
from greensweep.files import write_text
from greensweep.rendering.references import bibtex, citation_keys
from greensweep.search.terminal import duration_text
from greensweep.study.sentences import origin_words

_HEADER = ("", "Runs", "Energy", "Watt-hours", "CO2e", "Time")
_UNKNOWN = "not known"
_SET_A_GRID = (
    "no grid was declared: set country=NLD, say, or grams_co2e_per_kwh=250 with this command, or "
    "energy.country with the runs"
)
_QUALITIES = {
    "estimated": "estimated (by models, not measured)",
    "mixed": "mixed (partly measured)",
    "attributed": "attributed (a share of a machine that did other work too)",
    "replayed": "replayed (from a record, and not used by these runs themselves)",
}

# What LaTeX would take for its own, or not find in its fonts.
_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "$": r"\$", "&": r"\&", "#": r"\#",
    "^": r"\textasciicircum{}", "_": r"\_", "~": r"\textasciitilde{}", "%": r"\%",
    "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}",
    "±": r"$\pm$", "µ": r"$\mu$", "®": r"\textregistered{}", "–": "--", "™": r"\texttrademark{}",
}  # fmt: skip


def write_statement(folder: Path, statement: Statement, card: str) -> list[Path]:
    """Write statement.md, statement.tex, statement.bib and model_card.yaml; return their paths.

    Args:
        card: as `model_card` returns it.

    Raises:
        OSError: the folder cannot be written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    texts = {
        "statement.md": markdown(statement),
        "statement.tex": latex(statement),
        "statement.bib": bibtex(statement, escape_latex),
        "model_card.yaml": card,
    }
    for name, text in texts.items():
        write_text(folder / name, text)
    return [folder / name for name in texts]


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


def markdown(statement: Statement) -> str:
    """Return paragraphs and tables in Markdown."""
    parts = [*map(_escape_markdown, sentences(statement))]
    for account in statement.accounts:
        if len(statement.accounts) > 1:
            parts.append(f"**{_escape_markdown(_place(account))}**")
        lines = [_HEADER, ("---", *["---:"] * (len(_HEADER) - 1))]
        rows = [[_escape_markdown(each) for each in row] for row in _rows(account)]
        parts.append("\n".join(f"| {' | '.join(row)} |" for row in [*lines, *rows]))
    return "\n\n".join(parts) + "\n"


def latex(statement: Statement) -> str:
    """Return paragraphs and tables in LaTeX that needs no package, with citations."""
    keys = ",".join(citation_keys(statement))
    paragraphs = [escape_latex(each) for each in sentences(statement)]
    paragraphs[-1] += f" Figures were recorded as described in \\cite{{{keys}}}."
    return "\n\n".join(
        [*paragraphs, *(_latex_table(each, statement) for each in statement.accounts)]
    )


def _latex_table(account: Account, statement: Statement) -> str:
    caption = "Energy and emissions"
    if len(statement.accounts) > 1:
        caption += f" on {_place(account)}"
    body = [" & ".join(map(escape_latex, row)) + r" \\" for row in [_HEADER, *_rows(account)]]
    total = next(place for place, row in enumerate(body) if row.startswith("Total"))
    lines = [body[0], r"\hline", *body[1:total], r"\hline", *body[total:]]
    return "\n".join(
        [
            r"\begin{table}[htb]",
            r"\centering",
            f"\\caption{{{escape_latex(caption)}}}",
            f"\\begin{{tabular}}{{l{'r' * (len(_HEADER) - 1)}}}",
            r"\hline",
            *lines,
            r"\hline",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def escape_latex(text: str) -> str:
    r"""Return a text as LaTeX sets it.

    >>> escape_latex("12 ± 1 % of R&D_1 is 3 g CO2e")
    '12 $\\pm$ 1 \\% of R\\&D\\_1 is 3 g CO\\textsubscript{2}e'
    """
    escaped = "".join(_LATEX.get(each, each) for each in " ".join(text.split()))
    return escaped.replace("CO2e", r"CO\textsubscript{2}e")


def _escape_markdown(text: str) -> str:
    return re.sub(r"([\\`*<|\[\]])", r"\\\1", " ".join(text.split()))


def model_card(statement: Statement, training_type: str | None, location: str | None) -> str:
    """Return `co2_eq_emissions` of a model card's metadata on the Hugging Face Hub, as YAML.

    What is not known is a comment that says what to do, and no key.

    Args:
        training_type: pre-training or fine-tuning.
        location: in words; None is the declared grid's.
    """
    account, final = statement.accounts[0], statement.final
    kilograms = final.part.kilograms if final is not None else None
    is_of_one = final is not None or len(statement.accounts) == 1
    if location is None and is_of_one and account.grid is not None and is_place(account.grid):
        location = account.grid
    known: dict[str, float | str | None] = {
        "emissions": None if kilograms is None else float(f"{1000.0 * kilograms:.6g}"),
        "source": _source(account, final, statement),
        "training_type": training_type,
        "geographical_location": location,
        "hardware_used": account.machine if is_of_one else None,
    }
    missing = {
        "emissions": f"grams of CO2e, {_UNKNOWN}: "
        + (str(statement.no_final) if final is None else _SET_A_GRID),
        "training_type": f"{_UNKNOWN}: set training_type=pre-training, or fine-tuning",
        "geographical_location": f"{_UNKNOWN}: set location='Quebec, Canada', say",
        "hardware_used": f"{_UNKNOWN}: "
        + ("the runs do not say" if is_of_one else "name the final run by final=RUN"),
    }
    lines = ["# Metadata of a model card: between the lines --- at the top of its README.md."]
    lines.append("co2_eq_emissions:")
    for name, value in known.items():
        if value is None:
            lines.append(f"  # {name}: {' '.join(missing[name].split())}")
        else:
            one = yaml.safe_dump({name: value}, allow_unicode=True, width=10**6)
            lines += [f"  {line}" for line in one.splitlines()]
    return "\n".join(lines) + "\n"


def _source(account: Account, final: Final | None, statement: Statement) -> str:
    version = " and ".join(statement.versions.get("greensweep", ()))
    said = f"Greensweep {version}".strip()
    if final is not None:
        said += f", training of the final model: {_amount(final.part)} ({final.quality})"
        said += f", {_components(final.sources)}" if final.sources else ""
    if account.total.joules is not None:
        said += f"; in all {_amount(account.total)}, {_counts(account)}"
    return said


def _account(account: Account, statement: Statement) -> Iterator[str]:
    final, total = account.final, account.total
    if len(statement.accounts) > 1:
        yield f"On {_place(account)}:"
    if final is not None and final.part.joules is not None:
        yield _final_sentence(final)
    ratio = ""
    if final is not None and final.part.joules and total.joules:
        ratio = f", {total.joules / final.part.joules:.3g} times the final training"
    yield f"{_whole(account)} used {_amount(total)}{ratio}."
    if account.is_search:
        own = account.search_joules
        known = f"({joules_text(own)}) is in it" if own is not None else f"is {_UNKNOWN}"
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
    said += _amount(final.part)
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
    return f"{what}, {_counts(account)},"


def _counts(account: Account) -> str:
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
        return f"What evaluation and tests took of it is {_UNKNOWN}."
    part, total = parts[0], account.total.joules
    share = (
        f", {100 * part.joules / total:.2g} % of it" if total and part.joules is not None else ""
    )
    runs = sum(account.by_status.values())
    known = f" (of the {part.runs} of {runs} runs that recorded it)" if part.runs != runs else ""
    return f"Evaluation and tests took {_amount(part)}{share}{known}."


def _method(account: Account) -> Iterator[str]:
    quality = " and ".join(_QUALITIES.get(each, each) for each in account.qualities)
    quality = f", and {quality}" if quality else ""
    components = f": {_components(account.sources)}" if account.sources else ""
    share = ""
    if account.measured_share and account.measured_share < 1:
        share = f"; {account.measured_share:.0%} of the training energy is by hardware counters"
    yield f"Energy is gross{quality}{components}{share}."
    if account.final is not None and account.final.part.uncertainty_joules is not None:
        yield (
            "± is how far the training energy may be off by its counters and models; for sums it "
            f"is {_UNKNOWN}."
        )
    else:
        yield f"How far the figures may be off is {_UNKNOWN}."
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


def _components(sources: Mapping[str, tuple[str, str]]) -> str:
    return ", ".join(
        f"{name} by {origin_words(source)} ({quality})"
        for name, (source, quality) in sources.items()
    )


def _grid(account: Account, statement: Statement) -> str:
    if account.kilograms_per_kwh is None or account.grid is None:
        return f"Emissions are {_UNKNOWN}, as {_SET_A_GRID}."
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
            f"is {_UNKNOWN}."
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
    return f"Installed were {', '.join(versions)}." if versions else f"Versions are {_UNKNOWN}."


def _place(account: Account) -> str:
    machine = account.machine or "a machine that was not recorded"
    return f"{machine}, with {f'the grid {account.grid}' if account.grid else 'no declared grid'}"


def _amount(part: Part) -> str:
    """Return energy and emissions: `320 ± 3 J (88.9 mWh, 24 mg CO2e)`."""
    if part.joules is None:
        return f"an energy that is {_UNKNOWN}"
    emitted = "" if part.kilograms is None else f", {emissions_text(part.kilograms)}"
    energy = energy_text(part.joules, part.uncertainty_joules)
    return f"{energy} ({watt_hours_text(part.joules)}{emitted})"


def _rows(account: Account) -> list[list[str]]:
    """Return the lines of an account as texts, in the columns of `_HEADER`."""
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
        _UNKNOWN if joules is None else energy_text(joules, part.uncertainty_joules),
        _UNKNOWN if joules is None else watt_hours_text(joules),
        _UNKNOWN if part.kilograms is None else emissions_text(part.kilograms),
        _UNKNOWN if part.seconds is None else duration_text(part.seconds),
    ]
