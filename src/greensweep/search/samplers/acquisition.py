"""Expected improvement per predicted joule, and the point where it is highest."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfcx, log_ndtr

from greensweep.gaussian_process import FloatArray, GaussianProcess
from greensweep.search.samplers.observations import Data, Observations

_FEWEST_METERED = 2  # trials below which a model of the cost has nothing to learn from
_NEIGHBOURS = 256  # around each of the most promising points
Rows = NDArray[np.intp]

# How far a cheaper run is from the whole one in the dimension of its fidelity: before any trial,
# what both come to, but for a constant, is then taken to correlate by 0.8.
_FIDELITY_DISTANCE = 0.25


class Acquisition:
    """The logarithm of expected improvement per joule, times the chance to keep the constraints.

    One Gaussian process holds the scores of all trials, another the logarithms of their joules.
    Each cheaper fidelity is a dimension of both; a constant offset, learnt from the points that
    were trained in both ways, is taken off beforehand.

    Args:
        whole: observations of whole runs.
        cost_exponent: of the predicted joules.
        cheaper: observations in each cheaper fidelity.
    """

    def __init__(
        self, whole: Observations, cost_exponent: float = 1.0, cheaper: Sequence[Observations] = ()
    ) -> None:
        fidelities = [whole, *cheaper]
        self._fidelities, self._cost_exponent = len(fidelities), cost_exponent
        scores = [each.scores + mean_difference(each.ended, whole.ended) for each in cheaper]
        points = self._stack([each.points for each in fidelities])
        self._scores = GaussianProcess(points, np.concatenate([whole.scores, *scores]))
        metered, logs = zip(*(each.metered for each in fidelities), strict=True)
        savings = [mean_difference(each.metered, whole.metered) for each in cheaper]
        self._log_savings = [0.0, *savings]
        log_joules = np.concatenate(
            [each + saving for each, saving in zip(logs, self._log_savings, strict=True)]
        )
        self._log_joules: GaussianProcess | None = None
        if cost_exponent and len(log_joules) >= _FEWEST_METERED:
            self._log_joules = GaussianProcess(self._stack(metered), log_joules)
        self._violations = [
            GaussianProcess(whole.constrained_points, each) for each in whole.violations
        ]
        self._best: float | None = None
        if whole.feasible.any():
            # The best of noisy scores is a lucky one: the model's view of it counts.
            feasible = self._at_fidelity(whole.points[whole.feasible], 0)
            self._best = float(self._scores.predict(feasible)[0].max())
        pending = self._stack([each.pending for each in fidelities])
        if len(pending):
            self._scores.believe(pending)
        if len(whole.pending):
            for violation in self._violations:
                violation.believe(whole.pending)

    def of_whole_runs(self, points: FloatArray) -> FloatArray:
        """Return it at points, of shape (points,); before any is feasible, of feasibility alone."""
        return self._per_joule(self._log_improvement(points), points, 0)

    def by_fidelity(self, points: FloatArray) -> FloatArray:
        """Return it at points in each fidelity, of shape (points, 1 + cheaper), whole runs first.

        Of a cheaper run it is the expected improvement of its whole run times the correlation of
        the two (Huang, Allen, Notz and Miller 2006, equation 13), per joule of the cheaper run.
        """
        log_improvement, whole = self._log_improvement(points), self._at_fidelity(points, 0)
        columns = [self._per_joule(log_improvement, points, 0)]
        for fidelity in range(1, self._fidelities):
            known = self._scores.correlations(self._at_fidelity(points, fidelity), whole)
            log_known = np.log(np.maximum(known, 1e-12))
            columns.append(self._per_joule(log_improvement + log_known, points, fidelity))
        return np.stack(columns, axis=1)

    def _log_improvement(self, points: FloatArray) -> FloatArray:
        found = np.zeros(len(points))
        if self._best is not None:
            predicted = self._scores.predict(self._at_fidelity(points, 0))
            found += log_expected_improvement(*predicted, self._best)
        for violation in self._violations:
            means, deviations = violation.predict(points)
            found += log_ndtr(-means / deviations)  # the chance that it is at most 0
        return found

    def _per_joule(
        self, log_improvement: FloatArray, points: FloatArray, fidelity: int
    ) -> FloatArray:
        if self._log_joules is None:
            return log_improvement
        means, _ = self._log_joules.predict(self._at_fidelity(points, fidelity))
        return np.asarray(
            log_improvement - self._cost_exponent * (means - self._log_savings[fidelity])
        )

    def _at_fidelity(self, points: FloatArray, fidelity: int) -> FloatArray:
        dimensions = np.zeros((len(points), self._fidelities - 1))
        if fidelity:
            dimensions[:, fidelity - 1] = _FIDELITY_DISTANCE
        return np.concatenate([points, dimensions], axis=1)

    def _stack(self, points: Sequence[FloatArray]) -> FloatArray:
        """Return the points of all fidelities, which are given in order, as rows of one array."""
        return np.concatenate(
            [self._at_fidelity(each, fidelity) for fidelity, each in enumerate(points)]
        )


def log_expected_improvement(means: FloatArray, deviations: FloatArray, best: float) -> FloatArray:
    """Return the logarithm of E[max(0, f − best)] for f normal, also where it underflows.

    After Ament et al. (2023), section 4.1.
    """
    z = (means - best) / deviations
    with np.errstate(all="ignore"):
        pdf = np.exp(-0.5 * z**2) / np.sqrt(2 * np.pi)
        above = np.log(pdf + z * np.exp(log_ndtr(z)))
        scaled_tail = 1.0 - np.abs(z) * np.sqrt(np.pi / 2) * erfcx(np.abs(z) / np.sqrt(2))
        tail = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) + np.log(np.maximum(scaled_tail, 1e-300))
        far = -0.5 * z**2 - 0.5 * np.log(2 * np.pi) - 2 * np.log(np.abs(z))
    logs = np.where(z > -1, above, np.where(z > -1e5, tail, far))
    return np.asarray(logs + np.log(deviations))


def mean_difference(own: Data, other: Data) -> float:
    """Return by how much other values are higher, at the points that both have.

    Without a common point it is the difference of their means; without values 0.
    """
    (points, values), (other_points, other_values) = own, other
    rows, other_rows = common_rows(points, other_points)
    if len(rows):
        return float((other_values[other_rows] - values[rows]).mean())
    if not len(values) or not len(other_values):
        return 0.0
    return float(other_values.mean() - values.mean())


def common_rows(points: FloatArray, others: FloatArray) -> tuple[Rows, Rows]:
    """Return the rows of points, and of others, that are the same point, pair by pair."""
    same = np.isclose(points[:, None], others[None], atol=1e-9).all(axis=2)
    rows, other_rows = np.nonzero(same)
    return rows, other_rows


def maximize_acquisition(
    acquisition: Callable[[FloatArray], FloatArray],
    observations: Observations,
    generator: np.random.Generator,
    *,
    candidates: int,
    reaches: Sequence[float],
) -> FloatArray:
    """Return the point of the highest acquisition: of many, then, round by round, near the best.

    Args:
        acquisition: of points, one value each.
        candidates: spread over the whole unit cube.
        reaches: how far the neighbours of each round are.
    """
    encoder = observations.encoder
    spread = generator.random((candidates, encoder.dimensions))
    incumbents = observations.points[np.argsort(-observations.scores)[:3]]
    points = encoder.rounded(np.concatenate([spread, *_around(incumbents, 0.05, generator)]))
    values = acquisition(points)
    for reach in reaches:
        leaders = points[np.argsort(-values)[:3]]
        near = encoder.rounded(np.concatenate(_around(leaders, reach, generator)))
        points = np.concatenate([leaders, near])
        values = acquisition(points)
    best: FloatArray = points[int(values.argmax())]
    return best


def _around(
    centres: FloatArray, reach: float, generator: np.random.Generator
) -> Sequence[FloatArray]:
    """Return points about `reach` from each centre; in half of its dimensions each stays there."""
    found = []
    for centre in centres:
        steps = generator.normal(0.0, reach, (_NEIGHBOURS, len(centre)))
        steps *= generator.random(steps.shape) < 0.5
        found.append(centre + steps)
    return found
