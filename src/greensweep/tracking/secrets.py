"""Keep secrets out of logs, params and artifacts."""

import re
from collections.abc import Mapping
from typing import Any

MASK = "***"

_SECRET_KEY = re.compile(
    r"(passw|secret|token(?!iz)|api_?key|credential|private_?key)", re.IGNORECASE
)
_URL_PASSWORD = re.compile(r"(?<=://)([^/@\s:]*):([^/@\s]+)@")


def mask_text(text: str) -> str:
    """Replace the password of any URL in `text`.

    >>> mask_text("postgresql://ada:s3cret@db/study")
    'postgresql://ada:***@db/study'
    """
    return _URL_PASSWORD.sub(rf"\1:{MASK}@", text)


def masked(config: Any, key: str = "") -> Any:
    """Return nested plain data with secrets replaced, by the names of keys and inside URLs."""
    if isinstance(config, Mapping):
        return {name: masked(value, str(name)) for name, value in config.items()}
    if isinstance(config, list | tuple):
        return [masked(value, key) for value in config]
    if config is not None and _SECRET_KEY.search(key):
        return MASK
    return mask_text(config) if isinstance(config, str) else config


def flat(config: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested plain data as dotted names and text, as MLflow shows params."""
    params: dict[str, str] = {}
    for name, value in config.items():
        if isinstance(value, Mapping) and value:
            params |= flat(value, f"{prefix}{name}.")
        else:
            params[f"{prefix}{name}"] = str(value)
    return params
