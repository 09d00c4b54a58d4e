"""LightGBM's rounds as reports: `lightgbm.train(…, callbacks=[GreensweepCallback()])`."""

from typing import Any

from greensweep.errors import StudyError
from greensweep.loops.boosting import checked_every, figures_of_round
from greensweep.loops.run import running


class GreensweepCallback:
    """Report the rounds of a boosting to the `greensweep.run(…)` that stands around it.

    LightGBM tells no callback that the training ends, so the run is the program's. Evaluation by
    round is part of training. The last data set that is not the training's counts for the
    validation split.

    Args:
        every: rounds from report to report: a meter takes milliseconds to read, as a round may.

    Raises:
        StudyError: no run stands around.
        TrialEnded: out of the training, when the search prunes or stops the trial: let it through.
    """

    before_iteration = False
    order = 25  # before early stopping, which is an exception

    def __init__(self, *, every: int = 10) -> None:
        self._every = checked_every(every)

    def __call__(self, env: Any) -> None:
        this = running()
        if this is None:
            raise StudyError(
                "LightGBM tells no callback that its training ends: put `with greensweep.run(…):` "
                "around it"
            )
        done = env.iteration + 1
        if done % self._every == 0 or done == env.end_iteration:
            figures = figures_of_round([each[:3] for each in env.evaluation_result_list or ()])
            this.report(epoch=done, epochs=env.end_iteration, **figures)
