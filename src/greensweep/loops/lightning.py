"""Lightning's `Trainer` as a recorded run: `Trainer(callbacks=[GreensweepCallback()])`."""

import math
from typing import Any, Unpack

from lightning.pytorch import Callback, LightningModule, Trainer

from greensweep.loops.hooked import HookedRun, RecordsRun, RunOptions

_PHASES = {"validate": "evaluation", "test": "test", "predict": "prediction"}


class GreensweepCallback(RecordsRun, Callback):
    """Record what a `Trainer` does as a run, which is the trial in a sweep.

    Phases follow the trainer's hooks: the sanity check is set-up; validation, test and prediction
    have phases of their own, and so has what lies between two epochs, such as checkpoints. All
    logged metrics are reported by their names after each epoch, with the validation of it. A test
    after the training belongs to the same run. Inside of `with greensweep.run(…)` the callback
    reports to that one. In several processes the first one records.

    Args:
        options: as of `greensweep.run`. Left out, `metric` and `direction` are what the trainer's
            `EarlyStopping` or `ModelCheckpoint` monitors, `params` the module's hyperparameters.

    Raises:
        ConfigError: an option does not exist or is out of its range.
        TrialEnded: out of `fit`, when the search prunes or stops the trial: let it through.
    """

    def __init__(self, **options: Unpack[RunOptions]) -> None:
        self._run = HookedRun(options)
        self._epoch: int | None = None  # that has ended, and is not yet reported
        self._before: set[str] = set()
        self._of_validation: set[str] = set()
        self._is_validated = False

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        if not trainer.is_global_zero:
            return
        found: dict[str, Any] = {
            "name": type(pl_module).__name__,
            "model": pl_module,
            "params": dict(pl_module.hparams),
            **_monitored(trainer),
        }
        if stage == "fit":
            self._run.begin(**found)
        else:
            self._run.go_on(_PHASES[stage], **found)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer)
        self._run.enter("training")

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if not trainer.sanity_checking:
            self._before = set(trainer.callback_metrics)
            self._run.enter("evaluation")

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        if trainer.sanity_checking:
            return
        if trainer.state.fn == "validate":
            self._run.log(_numbers(trainer.callback_metrics))
            return
        self._is_validated = True
        self._of_validation |= set(trainer.callback_metrics) - self._before
        self._run.enter("training")

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._epoch = trainer.current_epoch + 1
        self._run.enter("other")

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._report(trainer)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        figures = _numbers(trainer.callback_metrics)
        is_named = tuple(f"test{mark}" for mark in "_/")
        self._run.log({n if n.startswith(is_named) else f"test_{n}": v for n, v in figures.items()})

    def teardown(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        self._run.end()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        self._run.end(exception)

    def _report(self, trainer: Trainer) -> None:
        """Report the epoch that has ended, once all that logs at its end has logged."""
        if self._epoch is None:
            return
        figures = _numbers(trainer.callback_metrics)
        if not self._is_validated:  # the trainer still shows those of an earlier epoch
            figures = {n: v for n, v in figures.items() if n not in self._of_validation}
        epoch, self._epoch, self._is_validated = self._epoch, None, False
        self._run.report(epoch, _planned(trainer), figures)


def _numbers(metrics: Any) -> dict[str, float]:
    """Return logged metrics as numbers, without the twins of those logged by step and by epoch."""
    twins = {f"{name}_{kind}" for name in metrics for kind in ("step", "epoch")}
    return {name: float(value) for name, value in metrics.items() if name not in twins}


def _planned(trainer: Trainer) -> int | None:
    """Return how many epochs there will be at most; None where nothing limits them."""
    batches, steps = float(trainer.num_training_batches), 0
    if math.isfinite(batches):
        steps = math.ceil(trainer.max_steps / math.ceil(batches / trainer.accumulate_grad_batches))
    return min((each for each in (trainer.max_epochs or 0, steps) if each > 0), default=None)


def _monitored(trainer: Trainer) -> dict[str, Any]:
    """Return the validation metric that the trainer goes by, and its direction."""
    for callback in (trainer.early_stopping_callback, trainer.checkpoint_callback):
        monitor = getattr(callback, "monitor", None)
        if monitor and not monitor.startswith("train"):
            return {"metric": monitor, "direction": f"{callback.mode}imize"}
    return {}
