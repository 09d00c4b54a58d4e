"""The epochs of a run, each with its figures, also where counters cannot distinguish epochs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from greensweep.energy import EnergyReading
from greensweep.energy.uncertainty import STEADY_PERIODS
from greensweep.record.summaries import HistoryPoint, Split
from greensweep.record.tracked_names import history_metrics
from greensweep.tracking.tracker import Tracker


class History:
    """Collects the figures of epochs, and tracks each as soon as it is known.

    Epochs shorter than ten periods of the slowest counter get their energy together, since that
    counter cannot distinguish them: each has their mean.

    Args:
        selecting: the split that is evaluated after each epoch.
        trained: reading of the training windows before the first.
    """

    def __init__(self, selecting: Split, tracker: Tracker, trained: EnergyReading) -> None:
        self._selecting: Split = selecting
        self._tracker = tracker
        self._points: list[HistoryPoint] = []
        self._complete = 0  # points that have their energy: the first ones
        self._trained = trained  # in all epochs here
        self._assigned = trained  # in those that have their energy

    @property
    def points(self) -> tuple[HistoryPoint, ...]:
        """As a run's result holds them."""
        return tuple(self._points)

    @property
    def assigned(self) -> tuple[int, EnergyReading]:
        """How many points have their energy, and what the training windows read by then."""
        return self._complete, self._assigned

    def resume(
        self, points: Sequence[HistoryPoint], complete: int, assigned: EnergyReading
    ) -> None:
        """Go on after the epochs of an earlier process, which tracked them, by its `assigned`."""
        self._points, self._complete = list(points), complete
        self._assigned = assigned

    def add(
        self,
        epoch: int,
        train_loss: float | None,
        metrics: Mapping[str, float | None],
        trained: EnergyReading,
        others: Mapping[str, float | None] | None = None,
    ) -> None:
        """Add an epoch, after which the training windows read `trained`."""
        seconds = trained.seconds - self._trained.seconds
        point = HistoryPoint(
            epoch, train_loss, self._selecting, metrics, seconds, others=others or {}
        )
        self._points.append(point)
        self._trained, joules = trained, None
        unassigned = trained.seconds - self._assigned.seconds
        if unassigned >= STEADY_PERIODS * trained.update_seconds:
            *others_of_group, (point, joules) = self._assign_energy()
            self._track_energy(others_of_group)
        self._tracker.log_step(history_metrics(point, joules), step=epoch)

    def amend(
        self,
        train_loss: float | None,
        metrics: Mapping[str, float | None],
        others: Mapping[str, float | None],
    ) -> None:
        """Add figures to the last epoch, which come after it."""
        last = self._points[-1]
        late = HistoryPoint(last.epoch, train_loss, last.split, metrics, others=others or {})
        self._points[-1] = replace(
            last,
            train_loss=last.train_loss if train_loss is None else train_loss,
            metrics={**last.metrics, **metrics},
            others={**last.others, **others},
        )
        self._tracker.log_step(history_metrics(late), step=last.epoch)

    def finish(self) -> None:
        """Give the last epochs their energy, however few there are."""
        self._track_energy(self._assign_energy())

    def _assign_energy(self) -> list[tuple[HistoryPoint, float | None]]:
        """Give the epochs without energy theirs; return them, and the joules of training by then.

        Of joules that are not known there is None.
        """
        group = self._points[self._complete :]
        before, after = self._assigned.joules or 0.0, self._trained.joules
        joules = None if after is None or not group else (after - before) / len(group)
        together = len(group) if len(group) > 1 else None
        group = [replace(each, energy_joules=joules, energy_epochs=together) for each in group]
        self._points[self._complete :] = group
        self._complete, self._assigned = len(self._points), self._trained
        sums = (None if joules is None else before + joules * (at + 1) for at in range(len(group)))
        return [*zip(group, sums, strict=True)]

    def _track_energy(self, points: Sequence[tuple[HistoryPoint, float | None]]) -> None:
        """Track the energy of epochs whose other figures have been."""
        for point, joules in points:
            energy = HistoryPoint(point.epoch, energy_joules=point.energy_joules)
            self._tracker.log_step(history_metrics(energy, joules), step=point.epoch)
