"""Prune a trial of two objectives when even an optimistic end of it would be dominated."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy

from greensweep.search.curve import Curve


@dataclass(frozen=True)
class Finished:
    """A trial that ran to its end.

    Attributes:
        score: its first objective, turned so that more is better, as are those of its curve.
        joules: its second.
        curve: its reports.
    """

    score: float
    joules: float
    curve: Curve


@dataclass(frozen=True)
class ParetoPruner:
    """Prunes what a finished trial dominates, with the doubt to its credit.

    With score a and joules E after epoch e, a trial's optimistic end is a plus a high quantile of
    what finished trials gained from epoch e to their own end, at the energy E projected to all
    epochs, which rises at least as E does. It is dominated when a finished trial is at least
    as good and cost no more.

    Attributes:
        quantile: of the gains; 1 credits the largest that was ever seen.
        min_finished: finished trials with a report at that epoch, before any is pruned.
        grace_epochs: every trial may run so many.
    """

    quantile: float = 0.9
    min_finished: int = 5
    grace_epochs: int = 1

    def dominated_by(
        self,
        finished: Sequence[Finished],
        *,
        epoch: int,
        score: float,
        joules: float,
        epochs: int | None,
    ) -> Finished | None:
        """Return the finished trial that dominates this one's optimistic end, or None.

        Args:
            epoch: epochs done.
            score: the best so far.
            joules: spent on them.
            epochs: planned; None projects nothing, and joules so far are what is compared.
        """
        if epoch <= self.grace_epochs:
            return None
        gains = [gain for trial in finished if (gain := gain_since(trial.curve, epoch)) is not None]
        if len(gains) < self.min_finished:
            return None
        end = score + max(float(numpy.quantile(gains, self.quantile)), 0.0)
        cost = joules if epochs is None else joules * max(epochs, epoch) / epoch
        dominating = [each for each in finished if each.score >= end and each.joules <= cost]
        return max(dominating, key=lambda each: each.score, default=None)


def gain_since(curve: Curve, epoch: int) -> float | None:
    """Return what a curve's best score rose by after an epoch; None where it is shorter.

    The best counts, since a run keeps the weights of its best epoch.
    """
    known = [(point.epoch, point.value) for point in curve if point.value is not None]
    if not known or known[-1][0] < epoch:
        return None
    then = [value for number, value in known if number <= epoch]
    if not then:
        return None
    return max(value for _, value in known) - max(then)
