"""Decide at each report of a trial whether it goes on."""

import math
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.pruners import HyperbandPruner, NopPruner, SuccessiveHalvingPruner
from optuna.trial import FrozenTrial, TrialState

from greensweep.energy.notices import warn_once
from greensweep.energy.units import joules_text
from greensweep.errors import ConstraintError, TrialEnded, rounded
from greensweep.record.reported import EpochCount, by_split, choose_metric, known_direction
from greensweep.record.reporting import Progress
from greensweep.search.limits import TrialLimits
from greensweep.search.optuna_internals import StudyWindow, report_value, trial_of
from greensweep.search.patience import STORAGE_FAULTS, hurried
from greensweep.search.pruning import Finished, dominated_by, falls_short
from greensweep.search.records import PROGRESS, CurvePoint, fidelity_of, keep, outcome_of
from greensweep.search.reports import Report, keep_report
from greensweep.search.spec import SearchSpec
from greensweep.search.trials_so_far import trials_so_far

# A storage pays for each report: a trial has at most ten.
_REPORTS = 10
_MARKS = (1, 2, 3, 5, 8, 13, 21, 34, 55, 89)  # where the number of epochs is not known

# How old what a storage knows of a running trial may be, seconds.
_FRESH_SECONDS = 1.0


# Trials that a report is compared with at most: those whose curves are read cost more.
_MOST_FOR_PRUNER, _MOST_CURVES = 1000, 200

_BETTER = {"maximize": "higher", "minimize": "lower"}


class TrialMonitor:
    """Follows one trial's reports, and ends it: by interrupt, constraints, budget, or pruning.

    Only the epochs of the first repeat are compared with other trials; the energy of all counts.

    Args:
        search_joules: what drawing the trial cost.
        directory: the trial's own, which gets each report at once; None keeps them in memory.
    """

    def __init__(
        self,
        spec: SearchSpec,
        study: optuna.Study,
        trial: FrozenTrial,
        search_joules: float | None = None,
        directory: Path | None = None,
    ) -> None:
        self.curve: list[CurvePoint] = []
        # What the points of the curve are of, and how long the program had measured by then.
        self.reports: list[Report] = []
        self.repeats: list[float] = []
        self.last: Progress | None = None
        self.metrics: dict[str, float | None] = {}  # each as a loop of one's own reported it last
        self.metric: str | None = spec.metric  # that trials are compared by, once it is known
        self.is_named = spec.metric is not None  # and with it in which direction it is better
        self.ended: TrialEnded | ConstraintError | None = None  # what a report raised first
        self._spec, self._study, self._trial = spec, study, trial
        self._count, self._directory = EpochCount(), directory
        self._search_joules = search_joules or 0.0
        self._began = time.monotonic()
        self._written = self._began
        self._limits = TrialLimits(spec, study, self._search_joules)

    def on_epoch(self, progress: Progress) -> None:
        """Take a report.

        Raises:
            TrialEnded: the trial ends here.
            ConstraintError: what bounds the search cannot be kept to.
            StudyError: a loop of one's own counts its epochs by no whole numbers.
        """
        if progress.metric is None:  # of a loop without a run, which counts as it likes
            named = [*progress.metrics, *([] if progress.value is None else ["value"])]
            number = self._count.take(progress.epoch, named)
            planned = self._count.planned(progress.epochs)
            progress = replace(progress, epoch=number, epochs=planned)
        self._raise_end(self._on_epoch, self._with_earlier(progress))

    def on_repeat(self, progress: Progress) -> None:
        """Take the result of a repeat, and race the trial against the best finished one.

        Raises:
            TrialEnded: it breaks a bound, or is worse than the best, as far as both are known.
            ConstraintError: as `on_epoch`.
        """
        self._raise_end(self._on_repeat, progress)

    def _raise_end(self, handle: Callable[[Progress], None], progress: Progress) -> None:
        if self.ended is not None:  # the program caught it, and goes on at its own cost
            self._note(progress)
            raise self.ended
        try:
            try:
                with hurried():
                    handle(progress)
            except STORAGE_FAULTS:
                # Its report is in its folder. It is worth more than what others would have learnt
                # of it meanwhile: it goes on, and waits for the storage at its end.
                self._limits.end_by_itself(progress)
        except (TrialEnded, ConstraintError) as ended:
            self.ended = ended
            raise

    def _note(self, progress: Progress) -> None:
        """Keep a report, and see which of its metrics the trials are compared by."""
        self.last = progress
        self.metrics |= {name: each for name, each in progress.metrics.items() if each is not None}
        names, _ = by_split(self.metrics)
        if progress.metric is not None:
            self.metric = progress.metric
        elif self.metric is None:
            self.metric = choose_metric(names, self._spec.directions[0])

    def figures(self) -> dict[str, Any]:
        """Return what an `Outcome` holds of the metrics that were reported last."""
        last = self.last
        if last is None:
            return {}
        named = None if self.metric in (None, "accuracy") else self.metrics.get(str(self.metric))
        return {
            "accuracy": self.metrics.get("accuracy", last.accuracy),
            "metric_value": named if last.metric_value is None else last.metric_value,
            "metric": self.metric,
            "metrics": self.metrics,
        }

    def _with_earlier(self, progress: Progress) -> Progress:
        """Return a report with what came of its epoch before, in whose place it stands then."""
        earlier = self.reports[-1].progress if self.reports else None
        if earlier is None or (earlier.epoch, earlier.repeat) != (progress.epoch, progress.repeat):
            return progress
        self.curve.pop()
        self.reports.pop()
        figures = {
            name: getattr(earlier if getattr(progress, name) is None else progress, name)
            for name in ("accuracy", "value", "metric_value")
        }
        return replace(progress, **figures, metrics={**earlier.metrics, **progress.metrics})

    def _on_epoch(self, progress: Progress) -> None:
        self._note(progress)
        first = progress.repeat == 0 and progress.epoch > 0
        objective = self._objective(progress)
        point = CurvePoint(
            progress.epoch,
            progress.accuracy if objective is None else objective,
            progress.joules,
            progress.spent_joules,
            seconds=time.monotonic() - self._began,
        )
        if first:
            self.curve.append(point)
            measured = progress.window.seconds if progress.window else point.seconds
            self.reports.append(Report(progress, measured, self._known(progress)))
            if self._directory is not None:
                keep_report(self.reports[-1], self._directory)
        self._keep(progress)
        self._limits.learn_costs(point, progress.repeat)
        # A cheaper run is compared with none: what it is drawn for is what it shows at its end.
        first = first and not fidelity_of(self._trial)
        value = self._value(progress) if first and is_mark(progress) else None
        if value is not None:
            report_value(self._study, self._trial, progress.epoch, value)
            self._trial.intermediate_values[progress.epoch] = value
        if progress.epoch == progress.epochs:
            return  # it is done: to end it now would save nothing
        self._limits.end_if_over(progress)
        if self._spec.only_epochs is not None and progress.epoch >= self._spec.only_epochs:
            raise TrialEnded("stopped", f"stopped after epoch {progress.epoch}, which shows enough")
        if value is not None:
            self._prune(progress.epoch)
        elif first and self._spec.pruner_name == "pareto" and is_mark(progress):
            self._prune_beaten(progress)

    def _on_repeat(self, progress: Progress) -> None:
        is_last = progress.repeat + 1 == progress.repeats
        value = self._value(progress)
        if value is not None:
            self.repeats.append(value)
        if not is_last:
            self._keep(progress)
            self._limits.end_if_over(progress)
            self._limits.begin_repeat(progress)
        if value is None or not self._spec.racing or is_last:
            return
        rival = falls_short(self._compared(_MOST_CURVES), self.repeats)
        if rival is not None:
            number, chance = rival
            raise TrialEnded(
                "pruned",
                f"pruned after {len(self.repeats)} repeats, which fall short of trial {number}'s "
                f"(Welch's test, p = {chance:.2g})",
            )

    def _value(self, progress: Progress) -> float | None:
        """The one objective as it stands, or None where the report does not say it."""
        if len(self._spec.directions) != 1:
            return None
        value = self._objective(progress)
        if value is not None and progress.value is None and self._spec.price_per_kilojoule:
            price = self._spec.price_per_kilojoule * (progress.joules or 0.0) / 1000.0
            value -= self._sign * price
        return value if value is not None and math.isfinite(value) else None

    @property
    def _sign(self) -> int:
        """1 where the first objective is better the higher it is, else -1."""
        return 1 if self._spec.directions[0] == "maximize" else -1

    def _objective(self, progress: Progress) -> float | None:
        """Return the first objective before any price: the value or the metric that is reported.

        A metric that is better in the other direction is none.
        """
        if progress.value is not None:
            return progress.value
        names, _ = by_split(progress.metrics)
        name = self.metric or choose_metric(names, None) or "accuracy"
        value, asked = progress.figure(name), self._spec.directions[0]
        known = progress.direction if name == progress.metric else known_direction(name)
        if value is None or self.is_named or (known or asked) == asked:
            return value
        warn_once(
            f"{name} is better the {_BETTER[str(known)]} it is, which contradicts "
            f"hydra.sweeper.direction={asked}: no trial is pruned by it; report what is searched "
            "for, and name it by hydra.sweeper.metric, or as value=…"
        )
        return None

    def _keep(self, progress: Progress) -> None:
        """Let the other workers know, and a sweep that resumes, what the trial has cost."""
        now = time.monotonic()
        if not self._spec.has_budget and now - self._written < _FRESH_SECONDS:
            return
        self._written = now
        keep(self._study, self._trial, PROGRESS, self._known(progress))

    def _known(self, progress: Progress) -> dict[str, Any]:
        return {
            "epoch": progress.epoch,
            "epochs": progress.epochs,
            **self.figures(),
            "joules": progress.joules,
            "quality": progress.quality,
            "spent_joules": progress.spent_joules,
            "search_joules": self._search_joules,
            "seconds": time.monotonic() - self._began,
        }

    def _prune(self, epoch: int) -> None:
        pruner = self._study.pruner
        if isinstance(pruner, NopPruner):
            return
        if isinstance(pruner, SuccessiveHalvingPruner | HyperbandPruner):
            # As it stands now: it keeps in the trial which rungs that has passed.
            self._trial = trial_of(self._study, self._trial.number)
        if pruner.prune(self._compared(_MOST_FOR_PRUNER), self._trial):
            raise TrialEnded(
                "pruned",
                f"pruned after epoch {epoch} by {self._spec.pruner_name.replace('_', ' ')}",
            )

    def _compared(self, most: int) -> optuna.Study:
        """Return the study with no more than so many of the trials that ended, to compare with.

        For a pruner they are spread over all; where the best are what matters, those are in it.
        """
        best = 0 if most == _MOST_FOR_PRUNER else None
        # Successive halving compares with what those that run have come to, too.
        halves = isinstance(self._study.pruner, SuccessiveHalvingPruner | HyperbandPruner)
        so_far = trials_so_far(self._study, reports=halves)
        return StudyWindow(self._study, *so_far.window(most, best))

    def _prune_beaten(self, progress: Progress) -> None:
        if self._objective(progress) is None or progress.joules is None:
            return
        sign = self._sign
        finished = [
            Finished(sign * trial.values[0], trial.values[1], _scores(outcome.curve, sign))
            for trial in trials_so_far(self._study, reports=False).window(_MOST_CURVES).trials
            if trial.state == TrialState.COMPLETE and (outcome := outcome_of(trial)) is not None
        ]
        beating = dominated_by(
            finished,
            self._spec.pruning,
            epoch=progress.epoch,
            score=max(_scores(self.curve, sign).values()),
            joules=progress.joules,
            epochs=progress.epochs,
        )
        if beating is not None:
            raise TrialEnded(
                "pruned",
                f"pruned after epoch {progress.epoch}: a finished trial reached "
                f"{rounded(sign * beating.score, 4)} for {joules_text(beating.joules, digits=3)}",
            )


def _scores(curve: Iterable[CurvePoint], sign: int) -> dict[int, float]:
    return {point.epoch: sign * point.value for point in curve if point.value is not None}


def is_mark(progress: Progress) -> bool:
    """Tell whether an epoch is one of the ten at most that a trial is compared at."""
    epoch, epochs = progress.epoch, progress.epochs
    if epochs is None:
        return epoch in _MARKS
    return epoch * _REPORTS // epochs > (epoch - 1) * _REPORTS // epochs
