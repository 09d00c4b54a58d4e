"""The metrics of a run as its loop reports them: by epoch, and those that the run comes to."""

from typing import Literal

from greensweep.config.metrics import METRICS, Direction, direction_fault
from greensweep.energy import EnergyReading
from greensweep.energy.notices import warn_once
from greensweep.errors import ConfigError
from greensweep.loops.place import Place
from greensweep.record.history import History
from greensweep.record.recorded_run import RecordedRun
from greensweep.record.reported import (
    EpochCount,
    by_split,
    choose_metric,
    direction_doubt,
    known_direction,
    split_of,
)

Figures = dict[str, float | None]


class RunMetrics:
    """Records what a loop reports, and finds the metric that the run goes by and its best epoch.

    Args:
        trained: reading of the training before the first epoch.
        direction: in which the metric is better, where that was asked for.
        keep: the run's metrics are those of the last epoch, or of the best one.

    Attributes:
        count: of the epochs.
    """

    def __init__(
        self,
        recorded: RecordedRun,
        place: Place,
        trained: EnergyReading,
        direction: Direction | None,
        keep: Literal["last", "best"],
    ) -> None:
        self._recorded, self._place = recorded, place
        self._asked, self._keep = direction, keep
        self._is_chosen = place.metric is not None
        self.count = EpochCount(recorded.result.epochs)
        points = recorded.result.history
        self._history = History("validation", place.tracker, trained)
        self._history.resume(points, len(points), trained)

    def add(self, epoch: int, figures: Figures, trained: EnergyReading) -> bool:
        """Add an epoch, after which the training reads `trained`, or what comes later of the last.

        Returns:
            Whether it is the best so far.
        """
        named, others = by_split(figures)
        loss = others.pop("train_loss", None)
        self._choose(named)
        if epoch == self._recorded.result.epochs and self._history.points:
            self._history.amend(loss, named, others)
        else:
            self._history.add(epoch, loss, named, trained, others)
        better = self._is_better(named)
        if better:
            self._recorded.note(best_epoch=epoch)
        if self._keep == "last" or self._recorded.result.best_epoch == epoch:
            self.note(figures)
        self._recorded.note(epochs=epoch, history=self._history.points)
        return better

    def note(self, figures: Figures) -> None:
        """Record figures of the whole run."""
        metrics = {split: dict(of) for split, of in self._recorded.result.metrics.items()}
        for name, value in figures.items():
            split, metric = split_of(name)
            if split != "train":
                metrics.setdefault(split, {})[metric] = value
        self._recorded.note(
            metrics=metrics,
            validation_accuracy=metrics.get("validation", {}).get("accuracy"),
            test_accuracy=metrics.get("test", {}).get("accuracy"),
        )

    def finish(self) -> None:
        """Give the last epochs their energy; a run without any goes by a metric that it logged."""
        logged = self._recorded.result.metrics.get("validation", {})
        known = {name: value for name, value in logged.items() if known_direction(name)}
        self._choose(known or {**logged})
        self._history.finish()
        self._recorded.note(history=self._history.points)

    @property
    def told(self) -> list[str]:
        """The metrics of the validation split that came, by name."""
        result = self._recorded.result
        of_epochs = {metric: None for each in result.history for metric in each.metrics}
        return [*(of_epochs | dict.fromkeys(result.metrics.get("validation", {})))]

    def tell_missing(self) -> None:
        """Warn of the metric that was asked for and never came, by which a trial would fail."""
        place, told = self._place, self.told
        name = self._recorded.result.objective_metric
        if place.metric is not None and place.trial is None and name not in told:
            others = f", or name one of {', '.join(told)}" if told else ""
            warn_once(
                f"No {name} was reported, by which the run is to be compared: report it{others}."
            )

    def _choose(self, named: Figures) -> None:
        """Go by accuracy where the loop reports it, else by the first metric that it reports.

        Those come first that are better in the direction that was asked for, then those of which it
        is known; one of which it is not known gives way to one that comes later.
        """
        if self._is_chosen or not named:
            return
        asked, of_sweep = self._asked, self._place.direction
        name = choose_metric(named, asked or of_sweep) or str(choose_metric(named, None))
        direction = asked or known_direction(name) or of_sweep
        if direction or self._keep == "best":
            direction = direction_of(name, asked, of_sweep)
        self._is_chosen = direction is not None
        if direction or self._recorded.result.objective_direction:
            self._recorded.note(objective_metric=name, objective_direction=direction)

    def _is_better(self, named: Figures) -> bool:
        result = self._recorded.result
        value = named.get(result.objective_metric)
        if value is None or result.objective_direction is None:
            return False
        earlier = [each.metrics.get(result.objective_metric) for each in self._history.points[:-1]]
        sign = 1 if result.objective_direction == "maximize" else -1
        return all(each is None or sign * value > sign * each for each in earlier)


def direction_of(
    name: str, asked: Direction | None = None, of_sweep: Direction | None = None
) -> Direction:
    """Return the direction in which a metric is better: as asked, by its name, or the sweep's.

    Raises:
        ConfigError: its name does not tell, or contradicts what is asked.
    """
    if fault := direction_fault("direction", METRICS.get(name), asked):
        raise ConfigError(fault)
    if of_sweep is None and (doubt := direction_doubt("direction", name, asked)):
        warn_once(doubt)
    known = asked or known_direction(name) or of_sweep
    if known is None:
        raise ConfigError(
            f"is {name} better the higher or the lower it is? Say greensweep.run(…, "
            f"metric={name!r}, direction='maximize') or 'minimize'"
        )
    return known
