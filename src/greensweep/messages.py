"""Faults in one sentence: ours as they are, Hydra's and the system's condensed."""

import re

from greensweep.errors import GreensweepError, first_line, unknown

_NOISE = re.compile(
    r"^\s*(full_key|reference_type|object_type|provider=|Config search path|To append|"
    r"Set the environment|Error executing job)"
)
_OPTIONS = re.compile(
    r"Could not find '([^']*)/([^'/]*)'.*?Available options in '[^']*':\n(.*?)\n\S", re.S
)
_KEY = re.compile(r"Could not override '([^']*)'.*?Key '([^']*)' (?:is )?not in '?(\w+)'?", re.S)
_NOT_REPLAYED = re.compile(r"Cannot set '(replay\.[^']*)' because 'replay' is None")
_MORE = {
    "model": "; any model of timm or torchvision is model=timm model.name=NAME or "
    "model=torchvision model.name=NAME",
}


def sentence(fault: BaseException) -> str:
    """Return a fault as one line that starts with "Error:".

    The user's own error is looked for along the chain of causes, since Hydra wraps what is
    raised while it composes.
    """
    cause: BaseException | None = fault
    while cause is not None:
        if isinstance(cause, GreensweepError):
            return f"Error: {cause}"
        cause = cause.__cause__ or cause.__context__
    # Before OSError, which some of Hydra's errors are, too.
    if type(fault).__module__.startswith(("hydra", "omegaconf")):
        return f"Error: {_condensed(_whole_text(fault))}"
    if isinstance(fault, OSError):
        where = f" {fault.filename}" if fault.filename else ""
        return (
            f"Error: cannot use{where}: {fault.strerror or first_line(fault)}: free it, or write "
            "elsewhere with hydra.run.dir=FOLDER (hydra.sweep.dir=FOLDER for a sweep)"
        )
    return f"Error: {type(fault).__name__}: {first_line(fault)} (HYDRA_FULL_ERROR=1 shows where)"


def _whole_text(fault: BaseException) -> str:
    """The text of Hydra's error with that of its direct cause, which holds the reason."""
    cause = fault.__cause__
    return f"{fault}\n{cause}" if cause is not None and str(cause) not in str(fault) else str(fault)


def _condensed(text: str) -> str:
    if missing := _OPTIONS.search(text + "\n."):
        group, name, listed = missing.groups()
        options = [line.strip() for line in listed.splitlines() if line.strip()]
        shown = "sampler" if group.endswith("sampler") else group
        return f"{unknown(shown, name, options)}{_MORE.get(group, '')}"
    if wrong := _KEY.search(text):
        key, part, schema = wrong.groups()
        return f"there is no option {key}: {part!r} is not in {schema}; --help lists the options"
    if alone := _NOT_REPLAYED.search(text):
        return f"{alone[1]} says how runs are replayed, but none is: set training=replay too"
    lines = [line.strip() for line in text.splitlines() if not _NOISE.match(line)]
    return ": ".join(dict.fromkeys(line.rstrip(":.") for line in lines if line))
