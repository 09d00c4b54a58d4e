"""Predict by a kept model: `python src/predict.py checkpoint=RUN_DIR/model.pt data=FILE`."""

import greensweep.ctrl_c  # noqa: F401 - before all that takes long to import

# isort: split

import hydra
from omegaconf import DictConfig

from greensweep import app


@hydra.main(config_path="../conf", config_name="predict", execution_whitelist=app.TRUSTED)
def main(config: DictConfig) -> None:
    app.predict(config)


if __name__ == "__main__":
    app.run(main)
