"""Expected improvement per predicted joule: search that knows the price."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution
from optuna.samplers import BaseSampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial

from greensweep.errors import StudyError
from greensweep.search.samplers.draws import Draw, seed_or_any
from greensweep.search.samplers.past import Past
from greensweep.search.samplers.process import (
    Figures,
    Process,
    log_expected_improvement,
    log_probability_below,
)
from greensweep.search.samplers.scales import Box, scaled, scaled_space

_FEWEST = 2  # trials below which there is nothing to learn from
_CANDIDATES = 1024  # spread over the whole box
_NEIGHBOURS = 256  # around each of the most promising places
_REACHES = (0.1, 0.03, 0.01)  # of these neighbours, round after round


class ExpectedImprovementPerJouleSampler(BaseSampler):
    """Draws the point that is expected to improve most per joule it is predicted to cost.

    Expected improvement, divided by the predicted cost (Snoek, Larochelle and Adams 2012, section
    3.2), where the cost is the energy of a trial, and its logarithm has a model of its own, learnt
    from the trials that have an energy. Without any it is plain expected improvement.

    Args:
        seed: of the whole search.
        n_startup_trials: drawn evenly over the space before the model is asked.
        log_decades: positive ranges that span at least so many powers of ten are searched in
            their logarithm, whatever the space says; None leaves the space as it is.
        even_start: the first trials are points of an evenly spread sequence, instead of random.
        cost_exponent: 1 divides by the predicted joules, 0 leaves them out, between is a mixture
            (Lee et al. 2020 cool it from 1 to 0).
    """

    keeps_seed = True

    def __init__(
        self,
        *,
        seed: int | None = None,
        n_startup_trials: int = 4,
        log_decades: float | None = 3.0,
        even_start: bool = True,
        cost_exponent: float = 1.0,
    ) -> None:
        if n_startup_trials < 1 or not 0.0 <= cost_exponent <= 1.0:
            raise ValueError(
                "n_startup_trials must be at least 1 and cost_exponent from 0 to 1, got "
                f"{n_startup_trials} and {cost_exponent}"
            )
        self._seed = seed_or_any(seed)
        self._n_startup_trials = n_startup_trials
        self._log_decades, self._even_start = log_decades, even_start
        self._cost_exponent = cost_exponent
        self._draw: Draw | None = None

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """Begin a draw.

        Raises:
            StudyError: the study has several objectives.
        """
        if len(study.directions) != 1:
            raise StudyError(
                "hydra/sweeper/sampler=ei_per_joule seeks one objective, and there are "
                f"{len(study.directions)}: set objective=accuracy, or hydra/sweeper/sampler=tpe"
            )
        self._draw = Draw(self._seed, study, trial.number)

    def infer_relative_search_space(
        self, study: optuna.Study, trial: FrozenTrial
    ) -> dict[str, BaseDistribution]:
        """Return the options that all trials have, from the second trial on."""
        space = IntersectionSearchSpace(include_pruned=True).calculate(study)
        return {name: each for name, each in space.items() if not each.single()}

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        """Draw all options together, once there is something to learn from."""
        draw = self._draw
        assert draw is not None
        if not search_space or draw.tried() < max(self._n_startup_trials, _FEWEST):
            return {}
        box = Box(scaled_space(search_space, self._log_decades))
        past = Past(draw.trials, box, search_space, study.direction == StudyDirection.MAXIMIZE)
        if len(past.scores) < _FEWEST:
            return {}
        return box.values(self._best_place(past, box, draw))

    def sample_independent(
        self,
        study: optuna.Study,
        trial: FrozenTrial,
        param_name: str,
        param_distribution: BaseDistribution,
    ) -> Any:
        """Draw one option by itself: of the first trials."""
        assert self._draw is not None
        distribution = scaled(param_distribution, self._log_decades)
        if self._even_start:
            return self._draw.even(distribution)
        place = self._draw.side_generator().random(Box({"": distribution}).sides)
        return Box({"": distribution}).values(place)[""]

    def _best_place(self, past: Past, box: Box, draw: Draw) -> Figures:
        acquisition = Acquisition(past, self._cost_exponent)
        generator = draw.generator
        spread = generator.random((_CANDIDATES, box.sides))
        incumbents = past.places[np.argsort(-past.scores)[:3]]
        places = box.snapped(np.concatenate([spread, *around(incumbents, 0.05, generator)]))
        worths = acquisition.at(places)
        for reach in _REACHES:
            leaders = places[np.argsort(-worths)[:3]]
            near = box.snapped(np.concatenate(around(leaders, reach, generator)))
            places = np.concatenate([leaders, near])
            worths = acquisition.at(places)
        best: Figures = places[int(worths.argmax())]
        return best


class Acquisition:
    """The logarithm of what a trial is worth per joule."""

    def __init__(self, past: Past, cost_exponent: float = 1.0) -> None:
        self._gain = Process(past.places, past.scores)
        self._costs: Process | None = None
        if cost_exponent and len(past.log_joules) >= _FEWEST:
            self._costs = Process(past.metered_places, past.log_joules)
        self._exponent = cost_exponent
        self._limits = [Process(past.judged_places, figures) for figures in past.broken_by]
        self._best: float | None = None
        if past.feasible.any():
            # The best figure of a noisy objective is a lucky one: the model's view of it counts.
            self._best = float(self._gain.at(past.places[past.feasible])[0].max())
        if len(past.running):
            for process in [self._gain, *self._limits]:
                process.believe(past.running)

    def at(self, places: Figures) -> Figures:
        """Return the worth of places; with none feasible yet, how probably one is, per joule."""
        worth = np.zeros(len(places))
        if self._best is not None:
            worth += log_expected_improvement(*self._gain.at(places), self._best)
        for limit in self._limits:
            worth += log_probability_below(*limit.at(places))
        if self._costs is not None:
            worth -= self._exponent * self._costs.at(places)[0]
        return worth


def around(centres: Figures, reach: float, generator: np.random.Generator) -> Sequence[Figures]:
    """Return places about `reach` from each centre; half of the sides of each stay as they are."""
    found = []
    for centre in centres:
        steps = generator.normal(0.0, reach, (_NEIGHBOURS, len(centre)))
        steps *= generator.random(steps.shape) < 0.5
        found.append(centre + steps)
    return found
