"""Write a report of runs, one page that opens from disk: `python src/report.py`."""

import greensweep.ctrl_c  # noqa: F401 - before all that takes long to import

# isort: split

import gc

import hydra
from omegaconf import DictConfig

from greensweep import app


@hydra.main(config_path="../conf", config_name="report", execution_whitelist=app.TRUSTED)
def main(config: DictConfig) -> None:
    app.report(config)


if __name__ == "__main__":
    gc.disable()  # to look for garbage among a million cells takes a tenth of the time
    app.run(main)
