"""Faults in one sentence: ours as they are, Hydra's and the system's condensed."""

import codecs
import os
import re
import sys
import unicodedata
from io import TextIOWrapper
from traceback import walk_tb
from typing import Any

from yaml.reader import ReaderError

from greensweep.errors import GreensweepError, causes, first_line, not_installed, unknown
from greensweep.secrets.data import mask_text

_NOISE = re.compile(
    r"^\s*(full_key|reference_type|object_type|provider=|Config search path|To append|"
    r"Set the environment|Error executing job|See https)"
)
_OPTIONS = re.compile(
    r"Could not find '([^']*)/([^'/]*)'.*?Available options in '[^']*':\n(.*?)\n\S", re.S
)
_MORE = {
    "model": "; any model of timm or torchvision is model=timm model.name=NAME or "
    "model=torchvision model.name=NAME"
}
_KEY = re.compile(r"Key '.*' (is )?not in|Interpolation key '(?P<key>.*)' not found")
_OVERRIDE = re.compile(r"(?:Error merging override |Could not override ')[+~]*([^='\s]+)")
_FILE = re.compile(r"In '([^']*)'")
# Messages of Hydra, and what they mean to a user.
_SAID = {
    r"Cannot set '(replay\.[^']*)' because 'replay' is None": (
        r"\1 says how runs are replayed, but none is: set training=replay too"
    ),
    r"Error parsing override '(.*?)'\n\w+ while evaluating '.*?': (.*?)\n": (
        r"\1 cannot be read (\2): write choice(A,B), interval(LOW,HIGH) or range(FIRST,STOP), and "
        "a text with brackets in quotes, as 'OPTION=\"VALUE\"'"
    ),
    r"Error when parsing index: \d+, string: (.*) out of \[": (
        r"\1 cannot be read: write OPTION=VALUE, and "
        "'OPTION=\"VALUE\"' where the value holds spaces, commas, quotes or brackets"
    ),
    r"Ambiguous value for argument '([^']*)'": (
        r"\1 lists values, of which a run takes one: add -m to sweep over them"
    ),
    r"Could not delete from config\. '(.*)' does not exist": (
        r"there is no option \1 that ~ could take away: --help lists the options"
    ),
    r"Config group override must be a string or a list\. Got (\w+)": (
        r"a group takes the name of one of its choices, as optimizer=adam, and got \1"
    ),
    r"Invalid value assigned: \w+ is not a ListConfig.*?full_key: (\S+)": (
        r"\1 takes a list, with brackets around it even of one: write '\1=[A,B]'"
    ),
    r"In '([^']*)'.*Cannot merge incompatible container types": (
        r"\1.yaml is no mapping: write OPTION: VALUE in each line"
    ),
    r"\(\w+\.OperationalError\) ([^\n]+)": (
        r"a database failed (\1): free or start it, then give the command again"
    ),
    r"can't allocate memory|Storage size calculation overflowed|Unable to allocate": (
        r"the memory that is free does not hold this network and its inputs: set a smaller "
        "dataset.image_size, training.batch_size or model"
    ),
}
_ASCII = {"±": "+/-", "µ": "u", "–": "-", "—": "-", "−": "-", "≥": ">=", "≤": "<=", "×": "x"}
_SPELLED = "greensweep.spelled"
ELSEWHERE = (
    ": free it, or write elsewhere with hydra.run.dir=FOLDER (hydra.sweep.dir=FOLDER for a sweep)"
)


def error_line(fault: BaseException, way_out: str = ELSEWHERE) -> str:
    """Return a fault as `message_of` does, after "Error:"."""
    return f"Error: {message_of(fault, way_out)}"


def message_of(fault: BaseException, way_out: str = ELSEWHERE) -> str:
    """Return a fault as one line, without secrets.

    The user's own error is looked for along the chain of causes, since Hydra wraps what is
    raised while it composes.

    Args:
        way_out: from a file or folder that cannot be used.
    """
    return mask_text(_text_of(fault, way_out))


def _text_of(fault: BaseException, way_out: str) -> str:
    chain = list(causes(fault))
    for cause in chain:
        if isinstance(cause, GreensweepError):
            return str(cause)
        if isinstance(cause, ModuleNotFoundError) and (said := not_installed(cause.name)):
            return said
        if (mark := getattr(cause, "problem_mark", None)) is not None:  # of YAML
            problem = getattr(cause, "problem", "")
            return f"{mark.name}, line {mark.line + 1}: {problem}: mend this YAML"
        if isinstance(cause, UnicodeDecodeError) and (file := _file_read(cause)):
            return f"{file} is no UTF-8 text: save the file with that encoding"
        if isinstance(cause, ReaderError):
            return f"{cause.name} holds the character #x{cause.character:04x}: mend this YAML"
    text, reason = str(fault), str(fault.__cause__ or "")  # the cause of Hydra's holds the reason
    if reason not in text:
        text += f"\n{reason}"
    # Before OSError and ValueError, which some of Hydra's errors are, too.
    for pattern, said in _SAID.items():
        if found := re.search(pattern, text, re.S):
            return found.expand(said)
    if type(fault).__module__.startswith(("hydra", "omegaconf")):
        return _condensed(text, chain)
    if isinstance(fault, OSError):
        where = f"cannot use {fault.filename or 'a file'}: " if fault.strerror else ""
        return f"{where}{first_line(fault)}{way_out}"
    return f"{type(fault).__name__}: {first_line(fault)} (HYDRA_FULL_ERROR=1 shows where)"


def spell_output() -> None:
    """Let standard output and errors spell what their encoding lacks, such as +/- for ±."""
    for stream in (sys.stdout, sys.stderr):
        if reconfigure := getattr(stream, "reconfigure", None):
            reconfigure(errors=_SPELLED)


def spelled(text: str, encoding: str) -> str:
    """Return a text with ASCII in the place of what an encoding lacks.

    >>> spelled("R² of 12 ± 3 µJ", "ascii")
    'R2 of 12 +/- 3 uJ'
    """
    return text.encode(encoding, _SPELLED).decode(encoding)


def _spell(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    return "".join(map(_in_ascii, error.object[error.start : error.end])), error.end


def _in_ascii(character: str) -> str:
    alike = unicodedata.normalize("NFKD", character).encode("ascii", "ignore").decode()
    return _ASCII.get(character) or alike or "?"


codecs.register_error(_SPELLED, _spell)


def drop_output() -> None:
    """Write what is still printed nowhere: its reader has closed the pipe, as `| head` does."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _file_read(fault: BaseException) -> str | None:
    """Name the file that was being read, which an error of its encoding does not name."""
    open_files = [
        value.name
        for frame, _ in walk_tb(fault.__traceback__)
        for value in frame.f_locals.values()
        if isinstance(value, TextIOWrapper)
    ]
    return str(open_files[-1]) if open_files else None


def _condensed(text: str, chain: list[BaseException]) -> str:
    if missing := _OPTIONS.search(text + "\n."):
        group, name, listed = missing.groups()
        if said := not_installed(f"{group}={name}"):
            return said
        options = [line.strip() for line in listed.splitlines() if line.strip()]
        shown = "sampler" if group.endswith("sampler") else group
        more = _MORE.get(group, "") if "timm" in options else ""  # else it is another program's
        return f"{unknown(shown, name, options)}{more}"
    # OmegaConf's own error knows which option it is about, and the configuration around it.
    for cause in chain:
        if getattr(cause, "full_key", None) and getattr(cause, "parent_node", None) is not None:
            return _of_option(cause, text)
    lines = [line.strip() for line in text.splitlines() if not _NOISE.match(line)]
    return ": ".join(dict.fromkeys(line.rstrip(":.") for line in lines if line))


def _of_option(cause: Any, text: str) -> str:
    """Say what is wrong with one option, and in which file it is set where it is one."""
    from greensweep.config.omegaconf_internals import root_of
    from greensweep.config.unknown import no_option

    key, said = str(cause.full_key), first_line(cause)
    file = found[1] if (found := _FILE.match(text)) else None
    where = f"{file}.yaml: " if file else ""
    override = _OVERRIDE.match(text)
    if override and override[1].startswith(f"{key}."):  # it goes on below what there is
        return no_option(override[1], root_of(cause.parent_node))
    if file and key == file.partition("/")[0]:
        return f"{where}its options are no mapping, or it does not begin with # @package _global_"
    if absent := _KEY.match(said):
        meant = absent["key"] or key
        asks = f"{key} asks for another option: " if absent["key"] else ""
        return f"{where}{asks}{no_option(meant, root_of(cause.parent_node))}"
    if "does not support deletion" in said:
        return f"{key} cannot be taken away: set {key}=VALUE, or leave it as it is"
    return f"{where}{key}: {said}"
