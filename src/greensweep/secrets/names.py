"""Which names are those of secrets, and which values under them are none all the same."""

import re
from functools import lru_cache
from typing import Any

# Wherever they stand in a name; all that is below such a name is secret.
_ANYWHERE = re.compile(
    r"pass_?(?:w|phrase|code|key)|secret(?!ar)|credential|authori[sz]ation|bearer|jwt|webhook"
    r"|(?:^|_)creds?(?:_|$)"
    r"|seed_phrase|connection_?str|auth_?(?:header|token|string)"
    r"|(?:api|app|application|access|account|private|auth|consumer|deploy|encryption|fernet|hmac"
    r"|licen[cs]e|signing|master|shared|storage|session|ssh|ssl|tls|service|subscription|wandb)"
    r"_?key(?!board)"
)
# At the end of a name, where most names of our field that hold such a word do not have it.
_AT_END = re.compile(
    r"(?:(?:^|_)(?:auth|cookies?|csrf|dsn|kennwort|oauth|pw|sas|sig|signature|otp|token|\w*pwd"
    r"|(?:access|api|auth|bot|csrf|gh|git|github|gitlab|hf|oauth|refresh|session)_?(?:pat|tokens?)"
    r"|(?:admin|db|ftp|http|mail|my|pg|proxy|redis|root|smtp|sql|user)_?pass)|^pass|^tokens)"
    r"(?:_?\d+|_(?:header|str|string|text|value|b64|base64))?$"
)
# What sounds like a secret and is none, and the tokens of a language model's vocabulary.
_NONE = re.compile(
    r"_(?:bits|count|dims?|dir|enabled|env|field|file|folder|ids|kind|len|length|name|num|path|policy"
    r"|required|rounds|size|timeout|ttl|type)$"
    r"|(?:^|_)(?:bos|class|cls|dist|end|eos|first|image|last|mask|next|pad|prefix|reg|register|sep"
    r"|special|start|stop|text|unk|visual)_token$"
)
_CAMEL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])")
_OTHER = re.compile(r"[^a-z0-9]+")

# Values that hide nothing: switches, small and broken numbers, <pad> and [PAD].
_HARMLESS = re.compile(
    r"|\*{3,}|none|null|true|false|\?\?\?|[-+]?\d{1,3}|[-+]?\d*\.\d+(?:e[-+]?\d+)?|<\w+>|\[\w+\]",
    re.IGNORECASE,
)
_REFERENCE = re.compile(r"\$\{[\w.:]+\}")


@lru_cache(maxsize=4096)  # a rule of names alone; the last ones
def is_secret_name(name: str) -> bool:
    """Tell whether what stands under a name is secret; of a dotted one, each part counts.

    Numbers among the parts are places in a list.

    >>> [is_secret_name(name) for name in ("db.apiKey", "HF_TOKEN", "max_tokens", "tokenizer")]
    [True, True, False, False]
    """
    parts = [_words(part) for part in name.split(".") if part and not part.isdigit()]
    kept = [part for part in parts if not _NONE.search(part)]
    if any(_ANYWHERE.search(part) for part in kept):
        return True
    if not parts or kept[-1:] != parts[-1:]:
        return False
    return bool(_AT_END.search(parts[-1]) or _AT_END.search("_".join(parts[-2:])))


def is_harmless(value: Any) -> bool:
    """Tell whether a value hides nothing, whatever its name: null, a switch, a small number."""
    if value is None or isinstance(value, bool | float):
        return True
    text = str(value).strip()
    return is_reference(text) or bool(_HARMLESS.fullmatch(text))


def is_reference(text: str) -> bool:
    """Tell whether a text refers to where its value stands, as `${oc.env:DB_PASSWORD}` does."""
    return bool(_REFERENCE.fullmatch(text))


def _words(name: str) -> str:
    return _OTHER.sub("_", _CAMEL.sub("_", name).lower()).strip("_")
