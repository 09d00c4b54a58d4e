"""A recorded run while it goes on: what a loop of one's own calls."""

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from greensweep.config.metrics import Direction
from greensweep.config.schema_energy import EnergyConfig
from greensweep.energy import Phases, Window
from greensweep.errors import StudyError, TrialEnded
from greensweep.loops.place import Place
from greensweep.loops.run_metrics import Figures, RunMetrics
from greensweep.record.measuring import open_windows
from greensweep.record.recorded_run import RecordedRun
from greensweep.record.reported import as_numbers, by_split
from greensweep.record.reporting import Progress, report_progress
from greensweep.record.result import RunResult

if TYPE_CHECKING:
    from greensweep.loops.network import Network

TRAINING = "training"

NetworkInRun = Callable[[RecordedRun, Phases, Path], AbstractContextManager["Network | None"]]


@dataclass(frozen=True)
class Setting:
    """What a run was asked for.

    Attributes:
        params: plain data.
        phase: to which what is in no named phase is charged.
        direction: in which the metric is better, where that was said.
        network: counts and keeps the module that the block trains, where there is one.
    """

    name: str
    place: Place
    params: Mapping[str, Any]
    energy: EnergyConfig
    keep: Literal["last", "best"]
    phase: str
    direction: Direction | None
    network: NetworkInRun


class Run:
    """A recorded run while it goes on.

    Attributes:
        setting: what it was asked for.
        phases: its energy by phase.
        directory: where it leaves `result.json`.
    """

    def __init__(
        self,
        setting: Setting,
        recorded: RecordedRun,
        phases: Phases,
        window: Window,
        network: "Network | None",
    ) -> None:
        self.directory = setting.place.directory
        self.setting, self._network = setting, network
        self._recorded, self.phases, self._window = recorded, phases, window
        self._metrics = RunMetrics(
            recorded, setting.place, phases.of(TRAINING), setting.direction, setting.keep
        )
        self._is_open, self._process = True, os.getpid()
        self._ended: TrialEnded | None = None

    @property
    def result(self) -> RunResult:
        """What is known so far; complete once the block has ended."""
        return self._recorded.result

    @property
    def window(self) -> Window:
        """Training so far, everything but the named phases: `.joules`, `.seconds` and more."""
        if self._is_open:
            self.phases.read()
        return Window(self.phases.of(TRAINING), self._window.grid)

    @property
    def joules(self) -> float | None:
        """Training energy so far, J; None where nothing is metered."""
        return self.window.joules

    @property
    def seconds(self) -> float:
        """Of training so far."""
        return self.window.seconds

    @property
    def is_in_named_phase(self) -> bool:
        """Whether what happens now is charged to another phase than that of the block."""
        return self.phases.current != self.setting.phase

    def phase(self, name: str) -> AbstractContextManager[None]:
        """Charge a block to a phase of its own: setup, evaluation or test, say.

        What belongs to no named phase is training.
        """
        self._interrupt()
        return self.phases.phase(name)

    def enter(self, phase: str | None = None) -> None:
        """Charge what follows to a phase, until the next call: for callbacks, which have no block.

        Args:
            phase: None is that of what belongs to no named one.
        """
        self._interrupt()
        self.phases.enter(phase or self.setting.phase)

    def report(
        self,
        *,
        epoch: int | None = None,
        epochs: int | None = None,
        **metrics: float | None,
    ) -> None:
        """Report what the loop has come to, to the record and to the search that it is part of.

        Args:
            epoch: how many epochs (or rounds, or evaluations) are done; left out, one more than
                last time. 0 without metrics reports the set-up, before the first; with metrics
                the loop counts from 0.
            epochs: how many there will be, from which the cost to the end is forecast.
            metrics: any, by name, of the validation split: `macro_f1=0.8`, or with it in the name,
                `val_loss=0.3`. `train_…` is of training, and `test_…` of the test split.

        Raises:
            TrialEnded: the search prunes or stops the trial: let it through.
            StudyError: the run has ended, or was begun by another process, or `epoch` is no
                whole number.
        """
        self._check_open()
        figures = as_numbers(metrics)
        number = self._metrics.count.take(epoch, figures)
        if self._network is not None:
            self._network.report()
        if number > 0:
            self._add(number, figures)
        # Which brings the phases up to now; in another thread no block is open.
        windows = open_windows() or (self._window,)
        trained, result = self.phases.of(TRAINING), self.result
        named, others = by_split(figures)
        progress = Progress(
            number,
            named.get("accuracy"),
            trained.joules,
            windows[0].joules,
            self._metrics.count.planned(epochs),
            seconds=trained.seconds,
            quality=trained.quality,
            lost=windows[0].reading.lost,
            metric=result.objective_metric,
            direction=result.objective_direction,
            metric_value=named.get(result.objective_metric),
            metrics=named | others,
            known={} if self._network is None else self._network.known,
        )
        try:
            report_progress(progress)
        except TrialEnded as ended:
            self._ended = ended
            raise

    def amend(self, **metrics: float | None) -> None:
        """Add figures to the epoch that was reported last; the search hears nothing of them.

        Raises:
            StudyError: the run has ended, or was begun by another process.
        """
        self._check_open()
        self._add(self._metrics.count.last or 1, as_numbers(metrics))

    def log(self, **metrics: float | None) -> None:
        """Record figures of the whole run, such as `test_accuracy`, that are of no epoch.

        They count for the validation split, or with `test_` before their name for the test split.

        Raises:
            StudyError: the run has ended, or was begun by another process.
        """
        self._check_open()
        self._metrics.note(as_numbers(metrics))

    @property
    def told(self) -> list[str]:
        """The metrics of the validation split that were reported or logged, by name."""
        return self._metrics.told

    def complete(self) -> None:
        """End the block well: raise again what ended the run where the loop caught it."""
        if self._ended is not None:
            raise self._ended
        self._metrics.tell_missing()

    def finish(self) -> None:
        """Take no more reports, and complete the record of those that came."""
        self._is_open = False
        self._metrics.finish()

    def _add(self, epoch: int, figures: Figures) -> None:
        self.phases.read()
        is_best = self._metrics.add(epoch, figures, self.phases.of(TRAINING))
        if is_best and self._network is not None and self.setting.keep == "best":
            self._network.keep_weights()

    def _check_open(self) -> None:
        if not self._is_open or self._process != os.getpid():
            why = "another process began it" if self._is_open else "it has ended"
            raise StudyError(
                f"run {self.setting.name!r} records nothing here, since {why}: report inside of "
                "its block, in the process that began it"
            )

    def _interrupt(self) -> None:
        self._check_open()
        if self._network is not None:
            self._network.interrupt()
