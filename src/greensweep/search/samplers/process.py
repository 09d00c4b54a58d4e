"""A Gaussian process over the unit box, and what it expects of a point."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import minimize
from scipy.special import erfcx, log_ndtr

Figures = NDArray[np.float64]

_LEAST_DEVIATION = 1e-12
_NOISE = 1e-3  # of a figure's variance, as the likeliest before any trial

# Deviations, in natural logarithms, of what is believed of the kernel before any trial.
_SPREAD_OF_SCALES, _SPREAD_OF_SIGNAL, _SPREAD_OF_NOISE = 1.0, 1.0, 2.0
_TYPICAL_SCALE = 0.5

# Figures that the kernel's parameters are learnt from: each step of that costs their cube, and
# half a dozen parameters gain little from more.
_MOST_FOR_KERNEL = 150


class Process:
    """scikit-learn's Gaussian process (Matérn, ν = 5/2, one length scale per side, noise).

    Its kernel maximizes the likelihood times log-normal beliefs: the likelihood alone, of a
    handful of trials, drives length scales to zero or infinity. scikit-learn takes these beliefs
    in through its `optimizer`. Of many figures, 150 evenly spread over their order choose the
    kernel, and all of them what is expected under it.

    Args:
        places: rows in the unit box.
        figures: at them, finite.
    """

    def __init__(self, places: Figures, figures: Figures) -> None:
        from sklearn.gaussian_process import GaussianProcessRegressor
        from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

        self._mean = float(figures.mean())
        self._deviation = max(float(figures.std()), _LEAST_DEVIATION)
        sides = places.shape[1]
        shape = Matern(np.full(sides, _TYPICAL_SCALE), (1e-2, 1e2), nu=2.5)
        kernel = ConstantKernel(1.0, (1e-2, 1e2)) * shape + WhiteKernel(_NOISE, (1e-6, 1.0))
        spreads = [_SPREAD_OF_SIGNAL, *[_SPREAD_OF_SCALES] * sides, _SPREAD_OF_NOISE]
        self._regressor = GaussianProcessRegressor(kernel, optimizer=_most_probable(spreads))
        some = np.unique(np.linspace(0, len(places) - 1, _MOST_FOR_KERNEL).round().astype(int))
        self._places, self._figures = places[some], figures[some]
        self._fit()
        if len(some) < len(places):
            self._places, self._figures = places, figures
            self._keep_kernel()
            self._fit()

    def believe(self, places: Figures) -> None:
        """Take the expected figures of running trials for observed, with the kernel as it is.

        The kriging believer of Ginsbourger, Le Riche and Carraro (2010): the figures hardly
        change, but nothing is gained any more beside a running trial.
        """
        figures, _ = self.at(places)
        self._places = np.concatenate([self._places, places])
        self._figures = np.concatenate([self._figures, figures])
        self._keep_kernel()
        self._fit()

    def at(self, places: Figures) -> tuple[Figures, Figures]:
        """Return the expected figures at places, and their standard deviations, without noise."""
        noise = self._regressor.kernel_.k2.noise_level
        means, deviations = self._regressor.predict(places, return_std=True)
        clean = np.sqrt(np.maximum(deviations**2 - noise, 1e-12))
        return self._mean + self._deviation * means, self._deviation * clean

    def correlations(self, seen: Figures, sought: Figures) -> Figures:
        """Return how well a figure yet to be seen, noise and all, would tell another one.

        Row by row, the correlation of the two given all figures so far, from 0 to 1.

        Args:
            seen, sought: places, all of whose rows are the same step apart.
        """
        regressor = self._regressor
        shape, noise = regressor.kernel_.k1, regressor.kernel_.k2.noise_level
        told, told_other = (
            solve_triangular(regressor.L_, shape(regressor.X_train_, each), lower=True)
            for each in (seen, sought)
        )
        (prior,) = shape(seen[:1], sought[:1])[0]
        covariance = prior - (told * told_other).sum(axis=0)
        variance = shape.diag(seen) - (told**2).sum(axis=0) + noise
        other = shape.diag(sought) - (told_other**2).sum(axis=0)
        found = covariance / np.sqrt(np.maximum(variance * other, 1e-12))
        return np.asarray(np.clip(found, 0.0, 1.0))

    def _keep_kernel(self) -> None:
        self._regressor.kernel, self._regressor.optimizer = self._regressor.kernel_, None

    def _fit(self) -> None:
        from sklearn.exceptions import ConvergenceWarning

        with warnings.catch_warnings():
            # A side without influence drives its scale to the bound, as it should.
            warnings.simplefilter("ignore", ConvergenceWarning)
            self._regressor.fit(self._places, (self._figures - self._mean) / self._deviation)


def _most_probable(spreads: list[float]) -> Any:
    """Return an optimizer of scikit-learn's that adds log-normal beliefs to the likelihood."""
    widths = np.array(spreads)

    def optimize(negative_likelihood: Any, start: Figures, bounds: Figures) -> tuple[Any, float]:
        def negative_posterior(theta: Figures) -> tuple[float, Figures]:
            value, slope = negative_likelihood(theta)
            away = (theta - start) / widths
            return value + 0.5 * float(away @ away), slope + away / widths

        found = minimize(
            negative_posterior,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 50},
        )
        return found.x, float(found.fun)

    return optimize


def log_expected_improvement(means: Figures, deviations: Figures, best: float) -> Figures:
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


def log_probability_below(means: Figures, deviations: Figures, bound: float = 0.0) -> Figures:
    """Return the logarithm of the probability that a normal figure is at most `bound`."""
    return np.asarray(log_ndtr((bound - means) / deviations))
