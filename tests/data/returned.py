"""What a user's function returns, read as a run reads it."""

import logging
import sys
from types import ModuleType

import pytest

from greensweep.config.schema_dataset import CustomDatasetConfig
from greensweep.data import Splits, make_splits
from greensweep.data.custom import custom


def read(layout="auto", memory_share=0.5, image_size=None, targets="classes", **returned) -> Splits:
    """Make splits of what a user's function returns: `read(train=(images, labels))`."""
    module = sys.modules["user_code"] = ModuleType("user_code")
    module.make_splits = lambda: returned
    config = CustomDatasetConfig(
        target="user_code.make_splits",
        layout=layout,
        memory_share=memory_share,
        image_size=image_size,
    )
    return make_splits(custom(config, targets), config, seed=0)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What was told that a user should look at."""
    return [record.message for record in caplog.records if record.levelno >= logging.WARNING]
