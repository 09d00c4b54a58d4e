"""Fetch or verify a data set and write the manifest of its splits: `dataset=cifar10`."""

import greensweep.ctrl_c  # noqa: F401 - before all that takes long to import

# isort: split

import hydra
from omegaconf import DictConfig

from greensweep import app


@hydra.main(config_path="../conf", config_name="prepare", execution_whitelist=app.TRUSTED)
def main(config: DictConfig) -> None:
    app.prepare(config)


if __name__ == "__main__":
    app.run(main)
