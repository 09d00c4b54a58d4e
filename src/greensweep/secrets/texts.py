"""Secrets inside texts, by their form: in URLs, in `name=value`, in headers, and by themselves."""

import re
from collections.abc import Callable

from greensweep.secrets.known import MASK
from greensweep.secrets.names import is_harmless, is_reference, is_secret_name

Note = Callable[[str], None]

# Texts may be megabytes without a space, so each pattern passes them once: what may be long begins
# where nothing like it stands before, and gives nothing back.

# All before the last @ of an address; and, as SQLAlchemy reads it, passwords with a slash.
_USER = re.compile(r"(https?|(?<!\\))(\\*+://)([^\s/?#\"'<>\[\]]*)@", re.IGNORECASE)
_SLASHED = re.compile(r"://([^\s/@:\"'<>\[\]]*+):(?!\d*(?:/|$))([^\s@\"'<>]{1,256})@")
_ENCODED = re.compile(r"(%3A%2F%2F[^\s%]*%3A)((?:(?!%40|%2F)[^\s&])+)(?=%40)", re.IGNORECASE)
_NO_PASSWORD = ("", "x-oauth-basic")

# What is a secret by itself: headers, keys of well-known services, their hooks, private keys.
_SHAPES = re.compile(
    r"(?<=\bBearer )[\w.~+/=-]{6,}"
    r"|\bgh[pousr]_\w{20,}|\bgithub_pat_\w{20,}|\bglpat-[\w-]{16,}|\bhf_[A-Za-z]{20,}"
    r"|\bA[KS]IA[0-9A-Z]{16}\b|\bxox[abprs]-[\w-]{10,}|\bsk-[\w-]{20,}|\bdapi[0-9a-f]{32}\b"
    r"|\bAIza[\w-]{35}|\bya29\.[\w-]{20,}|\bpypi-[\w-]{40,}|\bnpm_[A-Za-z0-9]{36}"
    r"|\b[rs]k_(?:live|test)_\w{10,}|\bhvs\.[\w-]{20,}"
    r"|\beyJ[\w-]{8,2048}+\.[\w-]{8,}\.[\w-]*"
    r"|(?<=://hooks\.slack\.com/)[\w/]{20,}|(?<=/api/webhooks/)[\w/-]{6,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)",
    re.DOTALL,
)

# Two that have no other form: a line of .netrc, and the keys in URLs of Google's and Azure's.
_LOGIN = re.compile(r"(\blogin\s+\S+\s+password\s+)([^\s\"']+)")
_KEY = re.compile(r"([?&](?:key|code)=)([^\s&#\"'<>]{6,})", re.IGNORECASE)

# Short flags mean a password with these programs alone, and `-u` of curl a name with one.
_COMMAND = re.compile(
    r"\b(?:curl\b[^\n;|]{0,300}?[ \t](?:-u|--user|-U|--proxy-user)[ \t=]*"
    r"(?:\"[^\s:\"]*:(?P<double>[^\"\n]+)|'[^\s:']*:(?P<single>[^'\n]+)"
    r"|[^\s:\"']*:(?P<user>[^\s\"';|]+))"
    r"|(?:mysql|mariadb)[\w-]*\b[^\n;|]{0,300}?[ \t]-p[\"']?(?P<mysql>[^\s\"';|]+)"
    r"|(?:sshpass[ \t]+-p|redis-cli\b[^\n;|]{0,300}?[ \t]-a)[ \t]*[\"']?(?P<apart>[^\s\"';|]+))"
)
# The text of an XML element, in CDATA or not.
_ELEMENT = re.compile(
    r"<(?P<name>[A-Za-z_][\w:.-]{0,99})(?:[ \t\r\n][^<>]{0,300})?>"
    r"(?:<!\[CDATA\[)?(?P<text>[^<>]+?)(?:]]>)?</"
)

_LONGEST_NAME = 200
_ASSIGNED = re.compile(
    r"(?<![\w.-])(?P<dashes>[.-]*+)(?P<name>\w[\w.-]*+)"
    r"(?:\\*[\"']?[ \t]*(?<![:=])[:=](?![:=])[ \t]*|(?P<space>[ \t]+)(?!-))"
)
_VALUE = re.compile(
    r'b?"(?P<double>(?:\\.|[^"\\])*)"'
    r"|b?'(?P<single>(?:\\.|''|[^'\\])*)'"
    r"|(?P<quote>\\+[\"'])(?P<escaped>.*?)(?P=quote)"
    r"|(?P<reference>\$\{[^}]*\})"
    r"|(?P<listed>\w*[\[({][^\])}\n]*[\])}])"
    r"|(?:(?:Bearer|Basic|Digest|Token)[ \t]+)?"
    r"(?P<plain>[\"']?(?:(?![,;&](?:\s|$|[\w.%+ -]+[:=]))[^\s\"'<>\])}\\])+)"
)
# The headers whose values go to the end of the line, but for what names their scheme.
_HEADER = re.compile(
    r"(?:(?:Bearer|Basic|Digest|Token|ApiKey|AWS4-HMAC-SHA256)[ \t]+)?"
    r"(?P<plain>(?:=\"[^\"\r\n]*\"|[^\r\n\"'{}])+)",
    re.IGNORECASE,
)
_HEADERS = ("cookie", "cookies", "authorization", "authorisation")


def mask_forms(text: str, note: Note = lambda _: None) -> str:
    """Replace what has the form of a secret; hand what it was to `note`."""

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

    def element(found: re.Match[str]) -> str:
        is_secret = is_secret_name(found["name"].replace(":", ".")) and not is_harmless(
            found["text"]
        )
        return _with(found, "text", noted) if is_secret else found[0]

    if "://" in text:
        text = _USER.sub(address, text)
        text = _SLASHED.sub(lambda found: f"://{found[1]}:{noted(found[2])}@", text)
    if "%" in text:
        text = _ENCODED.sub(lambda found: found[1] + noted(found[2]), text)
    for pattern in (_LOGIN, _KEY):
        text = pattern.sub(lambda found: found[1] + noted(found[2]), text)
    text = _SHAPES.sub(lambda found: noted(found[0]), text)
    text = _COMMAND.sub(lambda found: _with(found, str(found.lastgroup), noted), text)
    if "</" in text:
        text = _ELEMENT.sub(element, text)
    return _mask_assigned(text, noted)


def _with(found: re.Match[str], group: str, noted: Callable[[str], str]) -> str:
    """Return what was found, with one group masked."""
    before, after = found.start(group) - found.start(), found.end(group) - found.start()
    return found[0][:before] + noted(found[group]) + found[0][after:]


def _mask_assigned(text: str, noted: Callable[[str], str]) -> str:
    """Replace the values of `name=value`, `name: value` and `--name value` with a secret name."""
    parts, done = [], 0
    for found in _ASSIGNED.finditer(text):
        name, start = found["name"][-_LONGEST_NAME:], found.end()
        if found.start() < done or (found["space"] and not found["dashes"].endswith("--")):
            continue
        if not is_secret_name(name):
            continue
        is_header = name.lower().endswith(_HEADERS) and "=" not in found[0]
        value = (_HEADER if is_header else _VALUE).match(text, start)
        if value is None or text.startswith("did you mean ", start):  # as this program says it
            continue
        group = str(value.lastgroup)
        secret = value[group]
        if is_harmless(secret.strip("\"'")) or secret.startswith(MASK):
            continue
        parts += [text[done : value.start(group)], noted(secret)]
        done = value.end(group)
    return "".join([*parts, text[done:]]) if parts else text
