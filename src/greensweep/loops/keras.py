"""Keras 3's `fit` as a recorded run: `model.fit(…, callbacks=[GreensweepCallback()])`."""

from typing import Any, Unpack

from keras.callbacks import Callback

from greensweep.loops.hooked import HookedRun, RecordsRun, RunOptions


class GreensweepCallback(RecordsRun, Callback):
    """Record what `fit` does as a run, which is the trial in a sweep.

    Validation has a phase of its own, and so has what lies between two epochs. Keras's names
    without `val_` are those of training: they are reported as `train_…`. An `evaluate` after the
    training, given the same callback, is the run's test. Inside of `with greensweep.run(…)` the
    callback reports to that one.

    Args:
        options: as of `greensweep.run`.

    Raises:
        ConfigError: an option does not exist or is out of its range.
        TrialEnded: out of `fit`, when the search prunes or stops the trial: let it through.
    """

    def __init__(self, **options: Unpack[RunOptions]) -> None:
        super().__init__()
        self._run = HookedRun(options)
        self._is_fitting = False
        self._ended: tuple[int, dict[str, float]] | None = None  # an epoch, not yet reported

    def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
        self._is_fitting, self._ended = True, None
        self._run.begin(**_found(self.model))

    def on_epoch_begin(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        self._report()
        self._run.enter("training")

    def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
        named = (name if name.startswith("val_") else f"train_{name}" for name in logs or {})
        self._ended = epoch + 1, dict(zip(named, (logs or {}).values(), strict=True))
        self._run.enter("other")

    def on_train_end(self, logs: dict[str, float] | None = None) -> None:
        self._report()
        self._is_fitting = False
        self._run.end()

    def on_test_begin(self, logs: dict[str, float] | None = None) -> None:
        if self._is_fitting:
            self._run.enter("evaluation")
        else:
            self._run.go_on("test", **_found(self.model))

    def on_test_end(self, logs: dict[str, float] | None = None) -> None:
        if self._is_fitting:
            self._run.enter("other")
        else:
            self._run.log({f"test_{name}": value for name, value in (logs or {}).items()})
            self._run.end()

    def _report(self) -> None:
        if self._ended is not None:
            (epoch, figures), self._ended = self._ended, None
            self._run.report(epoch, self.params["epochs"], figures)


def _found(model: Any) -> dict[str, Any]:
    options = model.optimizer.get_config()
    return {"name": model.name, "model": model.name, "params": {"optimizer": options}}
