"""XGBoost's training as a recorded run: `xgboost.train(…, callbacks=[GreensweepCallback()])`."""

from typing import Any, Unpack

from xgboost.callback import TrainingCallback

from greensweep.loops.boosting import checked_every, figures_of_round
from greensweep.loops.hooked import HookedRun, RecordsRun, RunOptions


class GreensweepCallback(RecordsRun, TrainingCallback):
    """Record a boosting as a run, which is the trial in a sweep; for scikit-learn's classes too.

    Evaluation by round is part of training, since XGBoost does both before its callbacks. The last
    data set that is not named train or test counts for the validation split. Inside of
    `with greensweep.run(…)` the callback reports to that one.

    Args:
        every: rounds from report to report: a meter takes milliseconds to read, as a round may.
        rounds: how many there will be, from which the cost to the end is forecast.
        options: as of `greensweep.run`.

    Raises:
        ConfigError: an option does not exist or is out of its range.
        TrialEnded: out of the training, when the search prunes or stops the trial: let it through.
    """

    def __init__(
        self, *, every: int = 10, rounds: int | None = None, **options: Unpack[RunOptions]
    ) -> None:
        super().__init__()
        self._run = HookedRun(options)
        self._every, self._rounds = checked_every(every), rounds
        self._last: tuple[int, dict[str, float]] | None = None  # that is not yet reported

    def before_training(self, model: Any) -> Any:
        self._last = None
        self._run.begin(name="xgboost", model="xgboost")
        self._run.enter("training")
        return model

    def after_iteration(self, model: Any, epoch: int, evals_log: TrainingCallback.EvalsLog) -> bool:
        self._last = epoch + 1, _latest(evals_log)
        if (epoch + 1) % self._every == 0:
            self._report()
        return False

    def after_training(self, model: Any) -> Any:
        self._report()
        self._run.end()
        return model

    def _report(self) -> None:
        if self._last is not None:
            (done, figures), self._last = self._last, None
            self._run.report(done, self._rounds, figures)


def _latest(evals_log: TrainingCallback.EvalsLog) -> dict[str, float]:
    """Return the last round's figures.

    Of a cross-validation they are a mean and a deviation: the means of the folds, whose "test" set
    is for validation.
    """
    evaluated = []
    for data, metrics in evals_log.items():
        for metric, (*_, value) in metrics.items():
            if isinstance(value, tuple):
                split = "validation" if data == "test" else data
                evaluated.append((split, metric, float(value[0])))
            else:
                evaluated.append((data, metric, float(value)))
    return figures_of_round(evaluated)
