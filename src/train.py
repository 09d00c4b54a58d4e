"""Train one model, or with -m sweep over many: `python src/train.py --help` lists every option."""

import greensweep.ctrl_c  # noqa: F401 - before all that takes long to import

# isort: split

import hydra
from omegaconf import DictConfig

from greensweep import app


@hydra.main(config_path="../conf", config_name="train", execution_whitelist=app.TRUSTED)
def main(config: DictConfig) -> float | tuple[float, ...]:
    return app.train(config)


if __name__ == "__main__":
    app.run(main)
