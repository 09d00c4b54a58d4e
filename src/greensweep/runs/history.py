"""The epochs of a run, each with its figures, also where the counters cannot tell epochs apart."""

from collections.abc import Mapping

from greensweep.energy import EnergyReading
from greensweep.energy.uncertainty import STEADY_PERIODS
from greensweep.record.result import history_metrics
from greensweep.tracking import Tracker
from greensweep.training import Epoch, Evaluation

Point = dict[str, float | None]


class History:
    """Collects the figures of epochs, and tracks each as soon as it is known.

    Epochs shorter than ten periods of the slowest counter get their energy together, since that
    counter cannot tell them apart: each has their mean.

    Args:
        selecting: the split that is evaluated after each epoch.
        trained: reading of the training windows before the first.
    """

    def __init__(self, selecting: str, tracker: Tracker, trained: EnergyReading) -> None:
        self._selecting = selecting
        self._tracker = tracker
        self._points: list[Point] = []
        self._trained = trained  # in all epochs here
        self._shared_out = trained  # in those that have their energy

    @property
    def points(self) -> tuple[Mapping[str, float | None], ...]:
        """One entry of `RunResult.history` per epoch."""
        return tuple(self._points)

    def add(self, epoch: Epoch, reached: Evaluation, trained: EnergyReading) -> None:
        """Add an epoch, after which the training windows read `trained`."""
        self._points.append(
            {
                "epoch": epoch.number,
                "train_loss": epoch.loss,
                f"{self._selecting}_loss": reached.loss,
                f"{self._selecting}_accuracy": reached.accuracy,
                **{f"{self._selecting}_{name}": each for name, each in reached.metrics.items()},
                "seconds": trained.seconds - self._trained.seconds,
            }
        )
        self._trained = trained
        unshared = trained.seconds - self._shared_out.seconds
        is_steady = unshared >= STEADY_PERIODS * trained.update_seconds
        group = self._share_out() if is_steady else []
        self._track(group[:-1])
        self._tracker.log_step(history_metrics(self._points[-1]), step=epoch.number)

    def finish(self) -> None:
        """Give the last epochs their energy, however few there are."""
        self._track(self._share_out())

    def _share_out(self) -> list[Point]:
        """Give the epochs without energy theirs, and return them."""
        group = [point for point in self._points if "energy_joules" not in point]
        before, after = self._shared_out.joules, self._trained.joules
        for point in group:
            joules = None if after is None else (after - (before or 0.0)) / len(group)
            point["energy_joules"] = joules
            if len(group) > 1:
                point["energy_epochs"] = len(group)
        self._shared_out = self._trained
        return group

    def _track(self, points: list[Point]) -> None:
        """Track the energy of epochs whose other figures have been."""
        for point in points:
            energy = history_metrics({"energy_joules": point["energy_joules"]})
            self._tracker.log_step(energy, step=int(point["epoch"] or 0))
