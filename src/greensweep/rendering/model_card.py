"""A carbon statement as the metadata of a model card."""

import yaml

import greensweep
from greensweep.analysis.statement import Account, Final, Statement, is_place
from greensweep.rendering.statement import UNKNOWN, amount, components, counts, set_a_grid, teller


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
        "emissions": f"grams of CO2e, {UNKNOWN}: "
        + (str(statement.no_final) if final is None else set_a_grid(statement)),
        "training_type": f"{UNKNOWN}: set training_type=pre-training, or fine-tuning",
        "geographical_location": f"{UNKNOWN}: set location='Quebec, Canada', say",
        "hardware_used": f"{UNKNOWN}: "
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
    said = teller(statement)
    if statement.told_by is not None:
        said += f", as stated by Greensweep {greensweep.__version__}"
    if final is not None:
        what = "run" if final.is_whole else "training"
        said += f", {what} of the final model: {amount(final.part)}"
        said += f" ({final.quality if final.quality != 'unknown' else f'quality {UNKNOWN}'})"
        said += f", {components(final.sources)}" if final.sources and not statement.told_by else ""
    if account.total.joules is not None:
        said += f"; in all {amount(account.total)}, {counts(account)}"
    return said
