"""Secrets stay out of every file and every line.

`names` and `texts` decide what a secret is, by its name and by its form; `known` keeps the values
that were found so, and masks them wherever they turn up; `doors` are passed by all that is printed.
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
from greensweep.secrets.doors import PrivateLog, guard, open_doors, private
from greensweep.secrets.known import MASK

__all__ = [
    "MASK",
    "PrivateLog",
    "forget",
    "guard",
    "has_secrets",
    "learn",
    "learn_overrides",
    "mask_override",
    "mask_text",
    "masked",
    "open_doors",
    "private",
    "restored",
    "still_masked",
]
