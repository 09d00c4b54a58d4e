"""A Lightning project with its own configuration, in the manner of lightning-hydra-template.

python examples/lightning_project/train.py
python examples/lightning_project/train.py -m hydra/sweeper=greensweep hydra.sweeper.n_trials=8
"""

import hydra
import lightning
from hydra.utils import instantiate


@hydra.main(config_path="configs", config_name="train")
def main(config):
    lightning.seed_everything(config.seed)
    data = instantiate(config.data)
    model = instantiate(config.model)
    callbacks = [instantiate(each) for each in config.callbacks.values()]
    trainer = instantiate(config.trainer, callbacks=callbacks)
    trainer.fit(model, data)
    metric = trainer.callback_metrics[config.optimized_metric].item()
    if config.test:
        trainer.test(model, data, ckpt_path="best", weights_only=False)
    return metric


if __name__ == "__main__":
    main()
