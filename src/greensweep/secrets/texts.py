"""Secrets inside texts, by their form: in URLs, in `name=value`, in headers, and by themselves."""

import re
from collections.abc import Callable

from greensweep.secrets.known import MASK
from greensweep.secrets.names import is_harmless, is_reference, is_secret_name

Note = Callable[[str], None]

# All before the last @ of an address; and, as SQLAlchemy reads it, passwords with a slash.
_USER = re.compile(r"([A-Za-z][\w+.-]*)(\\*://)([^\s/?#\"'<>\[\]]*)@")
_SLASHED = re.compile(r"://([^\s/@:\"'<>\[\]]*):(?!\d*(?:/|$))([^\s@\"'<>]+)@")
_ENCODED = re.compile(r"(%3A%2F%2F[^\s%]*%3A)((?:(?!%40|%2F)[^\s&])+)(?=%40)", re.IGNORECASE)
_NO_PASSWORD = ("", "x-oauth-basic")

# What is a secret by itself: headers, keys of well-known services, private keys.
_SHAPES = re.compile(
    r"(?<=\bBearer )[\w.~+/=-]{6,}"
    r"|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bhf_[A-Za-z]{20,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\bxox[abprs]-[\w-]{10,}|\bsk-[\w-]{20,}|\bdapi[0-9a-f]{32}\b"
    r"|\beyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)

_ASSIGNED = re.compile(
    r"(?P<flag>--)?(?P<name>\w[\w.-]*)"
    r"(?:\\*[\"']?[ \t]*(?<![:=])[:=](?![:=])[ \t]*|(?P<space>[ \t]+)(?!-))"
)
_VALUE = re.compile(
    r'"(?P<double>(?:\\.|[^"\\])*)"'
    r"|'(?P<single>(?:\\.|[^'\\])*)'"
    r"|(?P<quote>\\+[\"'])(?P<escaped>.*?)(?P=quote)"
    r"|(?P<reference>\$\{[^}]*\})"
    r"|(?P<listed>\w*[\[({][^\])}\n]*[\])}])"
    r"|(?:(?:Bearer|Basic|Digest|Token)[ \t]+)?"
    r"(?P<plain>[\"']?(?:(?![,;&](?:\s|$|[\w.%+ -]+[:=]))[^\s\"'<>\])}\\])+)"
)
_COOKIES = re.compile(r"(?P<plain>[^\r\n\"'{}]+)")


def mask_forms(text: str, note: Note = lambda _: None) -> str:
    """Replace what has the form of a secret; tell `note` what it was."""

    def noted(secret: str) -> str:
        if secret == MASK or is_reference(secret):
            return secret
        note(secret)
        return MASK

    def address(found: re.Match[str]) -> str:
        scheme, slashes, before = found.groups()
        user, separator, password = before.partition(":")
        if scheme.lower().endswith(("http", "https")) and password in _NO_PASSWORD:
            user = user and noted(user)
        elif password:
            password = noted(password)
        return f"{scheme}{slashes}{user}{separator}{password}@"

    if "://" in text:
        text = _USER.sub(address, text)
        text = _SLASHED.sub(lambda found: f"://{found[1]}:{noted(found[2])}@", text)
    if "%" in text:
        text = _ENCODED.sub(lambda found: found[1] + noted(found[2]), text)
    text = _SHAPES.sub(lambda found: noted(found[0]), text)
    return _mask_assigned(text, noted)


def _mask_assigned(text: str, noted: Callable[[str], str]) -> str:
    """Replace the values of `name=value`, `name: value` and `--name value` with a secret name."""
    parts, done = [], 0
    for found in _ASSIGNED.finditer(text):
        name, start = found["name"], found.end()
        if found.start() < done or (found["space"] and not found["flag"]):
            continue
        if not is_secret_name(name):
            continue
        cookies = name.lower().endswith(("cookie", "cookies"))
        value = (_COOKIES if cookies else _VALUE).match(text, start)
        if value is None:
            continue
        group = str(value.lastgroup)
        secret = value[group]
        if is_harmless(secret.strip("\"'")) or secret.startswith(MASK):
            continue
        parts += [text[done : value.start(group)], noted(secret)]
        done = value.end(group)
    return "".join([*parts, text[done:]]) if parts else text
