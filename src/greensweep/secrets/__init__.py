"""Secrets stay out of every file and every line.

`names` and `texts` decide what a secret is, by its name and by its form; `known` keeps the values
that were found so, and masks them wherever they turn up; `output` masks what is logged and printed.
"""

from greensweep.secrets.data import (
    forget,
    has_secrets,
    learn,
    learn_overrides,
    mask_override,
    mask_text,
    masked,
    restored,
    still_masked,
)
from greensweep.secrets.output import PrivateLog, mask_command_output, mask_output, private

__all__ = [
    "PrivateLog",
    "forget",
    "has_secrets",
    "learn",
    "learn_overrides",
    "mask_command_output",
    "mask_output",
    "mask_override",
    "mask_text",
    "masked",
    "private",
    "restored",
    "still_masked",
]
