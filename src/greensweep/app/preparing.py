"""The splits of a data set, before anything trains on them: src/prepare.py."""

import logging
from pathlib import Path

from omegaconf import DictConfig

from greensweep.app.door import checked, written_to
from greensweep.config.schema import PrepareConfig

log = logging.getLogger(__name__)


def prepare(composed: DictConfig) -> None:
    """Fetch or verify a data set, split it, and write the manifest of its splits."""
    from greensweep.data import load_splits, noun
    from greensweep.data.manifest import write_manifest

    config = checked(composed, PrepareConfig)
    splits = load_splits(config.dataset, config.seed, config.targets)
    with written_to(config.output):
        path = write_manifest(splits, config.dataset.name, config.seed, Path(config.output))
    log.info(
        f"{config.dataset.name}: {len(splits.train)} training, {len(splits.validation)} "
        f"validation and {len(splits.test)} test {noun(splits.input_shape)}s; manifest in {path}"
    )
