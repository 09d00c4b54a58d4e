"""Test a kept model: `python src/evaluate.py checkpoint=RUN_DIR/model.pt`."""

import greensweep.ctrl_c  # noqa: F401 - before all that takes long to import

# isort: split

import hydra
from omegaconf import DictConfig

from greensweep import app


@hydra.main(config_path="../conf", config_name="evaluate", execution_whitelist=app.TRUSTED)
def main(config: DictConfig) -> float:
    return app.evaluate(config)


if __name__ == "__main__":
    app.run(main)
