"""A search as it is asked for: plain objects, without Hydra."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from importlib import import_module
from pathlib import Path
from typing import Any, Literal

import numpy
from optuna.distributions import BaseDistribution
from optuna.pruners import (
    BasePruner,
    HyperbandPruner,
    MedianPruner,
    NopPruner,
    PercentilePruner,
    SuccessiveHalvingPruner,
)
from optuna.samplers import BaseSampler, GridSampler, QMCSampler, RandomSampler, TPESampler

from greensweep.config.folders import storage_file
from greensweep.config.sweeper import BudgetConfig, PruningConfig, StopConfig
from greensweep.energy.units import JOULES_PER_KWH, joules_text
from greensweep.errors import StudyError
from greensweep.search.space import Conditions, Space

Direction = Literal["minimize", "maximize"]

_TRUSTED_SAMPLERS = ("optuna.samplers.", "hydra_plugins.hydra_optuna_sweeper.", "greensweep.")


@dataclass(frozen=True)
class SearchSpec:
    """What is searched, for what, how, and at what cost.

    Attributes:
        directory: the sweep's folder.
        directions: one per objective.
        metric: the reported one that is the first objective; None where a run says it, or else the
            first that it reports in that direction.
        distributions: the searched options.
        conditions: of those that are there with certain values of others.
        fixed: other options that the command sets, which every trial shares.
        changeable: those that may differ between the commands of one study, or their groups.
        sampler: import path of the strategy and its arguments.
        seed: of the whole search.
        parallel: trials run side by side.
        kg_per_joule: kg CO2e of a joule on the declared grid; None without one.
        racing: end the repeats of a trial that are surely worse than the best one's.
        fidelities: what each cheaper one sets beside a trial's own options.
        only_epochs: end every trial after so many, as a preview does.
    """

    directory: Path
    study_name: str
    storage: str
    directions: tuple[Direction, ...]
    distributions: Mapping[str, BaseDistribution]
    n_trials: int
    sampler: tuple[str, Mapping[str, Any]]
    metric: str | None = None
    seed: int = 0
    fixed: tuple[str, ...] = ()
    changeable: tuple[str, ...] = ()
    conditions: Conditions = field(default_factory=dict)
    pruner: str = "auto"
    pruning: PruningConfig = field(default_factory=PruningConfig)
    budget: BudgetConfig = field(default_factory=BudgetConfig)
    stop: StopConfig = field(default_factory=StopConfig)
    constraints: Mapping[str, float] = field(default_factory=dict)
    price_per_kilojoule: float = 0.0
    enqueue: Sequence[Mapping[str, Any]] = ()
    extend: bool = False
    parallel: bool = False
    max_failure_rate: float = 1.0
    kg_per_joule: float | None = None
    racing: bool = False
    fidelities: Sequence[tuple[str, ...]] = ()
    only_epochs: int | None = None

    @cached_property
    def space(self) -> Space:
        """What is searched, as a set of points."""
        return Space(self.distributions, self.conditions)

    @property
    def is_grid(self) -> bool:
        """Every point of the space is tried, in any order."""
        return self.sampler[0].endswith("GridSampler")

    @property
    def total(self) -> int:
        """How many trials there will be: no more than there are points, in all fidelities."""
        return int(min(self.n_trials, self.space.size * (1 + len(self.fidelities))))

    @property
    def budget_joules(self) -> float | None:
        """The smallest of the budgets that energy spends, in joules."""
        return min(self._limits(), default=(None, ""))[0]

    @property
    def budget_text(self) -> str:
        """The smallest of the budgets that energy spends, in the unit that it was given in."""
        return min(self._limits())[1]

    def _limits(self) -> list[tuple[float, str]]:
        """Return the budgets that energy spends, in joules, and as they were given."""
        budget, limits = self.budget, []
        if budget.joules is not None:
            limits.append((budget.joules, joules_text(budget.joules, digits=6)))
        if budget.kwh is not None:
            joules = budget.kwh * JOULES_PER_KWH
            limits.append((joules, f"{budget.kwh:g} kWh ({joules_text(joules)})"))
        if budget.emissions_kg is not None:
            joules = budget.emissions_kg / (self.kg_per_joule or 1)
            limits.append((joules, f"{budget.emissions_kg:g} kg CO2e ({joules_text(joules)})"))
        return limits

    def emissions_kg(self, joules: float | None) -> float | None:
        """Return kg CO2e of so many joules; None where they or the grid are not known."""
        if joules is None or self.kg_per_joule is None:
            return None
        return joules * self.kg_per_joule

    @property
    def storage_file(self) -> Path | None:
        """The file that the storage is, absolute; None of a server."""
        return storage_file(self.storage)

    def lock_file(self, name: str) -> Path:
        """Return the lock of that name: of the storage where it is a file, else of the sweep.

        Commands with folders of their own may share such a file.
        """
        file = self.storage_file
        # A folder that is not there is for the storage to complain of: a lock would make it.
        if file is not None and file.parent.is_dir():
            return file.with_name(f".{file.name}.{name}.lock")
        return self.directory / f".{name}.lock"

    @property
    def has_budget(self) -> bool:
        """Some budget limits the search."""
        return self.budget_joules is not None or self.budget.hours is not None

    @property
    def weighs_energy(self) -> bool:
        """The two objectives are accuracy or another metric, and energy, down."""
        return len(self.directions) == 2 and self.directions[1] == "minimize"

    @property
    def pruner_name(self) -> str:
        """The pruner that `auto` stands for here."""
        if self.pruner != "auto":
            return self.pruner
        if len(self.directions) == 1:
            return "median"
        return "pareto" if self.weighs_energy else "none"

    def build_pruner(self) -> BasePruner:
        """Return Optuna's pruner; one that never prunes where the pareto rule, or none, does."""
        pruning = self.pruning
        first = pruning.grace_epochs + 1  # epoch after which a trial may be given up
        match self.pruner_name:
            case "median":
                return MedianPruner(pruning.min_finished, first)
            case "percentile":
                return PercentilePruner(pruning.percentile, pruning.min_finished, first)
            case "successive_halving":
                return SuccessiveHalvingPruner(first, reduction_factor=pruning.reduction_factor)
            case "hyperband":
                return HyperbandPruner(first, reduction_factor=pruning.reduction_factor)
        return NopPruner()

    def build_sampler(self, index: int, *, side_by_side: bool = False) -> BaseSampler:
        """Return the strategy for the trial that is the `index`-th to count.

        Its random state depends on nothing but the seed and the index, so that a search that was
        interrupted goes on as it would have: a seeded sampler made anew repeats its first points.

        Args:
            side_by_side: other trials run at the same time, and are taken for bad ones by TPE.

        Raises:
            StudyError: the sampler cannot be made with these arguments.
        """
        target, arguments = self.sampler
        if not target.startswith(_TRUSTED_SAMPLERS):
            raise StudyError(
                f"hydra.sweeper.sampler._target_={target} is no sampler of Optuna's: choose "
                "hydra/sweeper/sampler=tpe, say"
            )
        module, _, name = target.rpartition(".")
        try:
            make = getattr(import_module(module), name)
            if make is GridSampler:
                return RandomSampler(seed=self._seed_of(index))  # of what a point leaves open
            values = {key: value for key, value in arguments.items() if value is not None}
            values["seed"] = self._seed_of(index)
            is_ours = getattr(make, "keeps_seed", False)  # it seeds each trial by itself
            if is_ours:
                values = {**arguments, "seed": self.seed}
            elif make is QMCSampler:  # one sequence for all trials, which the study itself counts
                values["seed"] = self.seed
            elif make is TPESampler:
                values["multivariate"] = True
            if issubclass(make, TPESampler):
                values |= {"constant_liar": side_by_side, "group": bool(self.conditions)}
            elif is_ours and self.conditions:
                values["conditions"] = self.conditions
            if is_ours and self.fidelities:
                values["fidelities"] = len(self.fidelities)
            return make(**values)  # type: ignore[no-any-return]
        except (ImportError, AttributeError, TypeError, ValueError) as error:
            raise StudyError(
                f"hydra.sweeper.sampler: {name} cannot be made ({error}): see its arguments in "
                "Optuna's documentation"
            ) from error

    def _seed_of(self, index: int) -> int:
        return int(numpy.random.SeedSequence([self.seed, index]).generate_state(1)[0])
