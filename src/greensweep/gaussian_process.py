"""Gaussian processes over the unit cube, by scikit-learn: for searches, and for recorded tables."""

import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from scipy.optimize import minimize

FloatArray = NDArray[np.float64]

_LEAST_DEVIATION = 1e-12
_NOISE = 1e-3  # of the variance of the values, where the prior is highest

# Deviations, in natural logarithms, of the priors of the kernel's parameters.
_SPREAD_OF_SCALES, _SPREAD_OF_SIGNAL, _SPREAD_OF_NOISE = 1.0, 1.0, 2.0
_TYPICAL_SCALE = 0.5

# Values that the kernel's parameters are learnt from: each step of that costs their cube, and
# half a dozen parameters gain little from more.
_MOST_FOR_KERNEL = 150


def matern_process(
    dimensions: int, *, nu: float, noise: float, most_noise: float, optimizer: Any = "fmin_l_bfgs_b"
) -> Any:
    """Return a `GaussianProcessRegressor`, with a length scale per dimension, signal and noise.

    Args:
        nu: smoothness of the Matérn kernel.
        noise: variance of the noise that the fit starts from, and `most_noise` its bound.
        optimizer: of the kernel, as scikit-learn takes it.
    """
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel, Matern, WhiteKernel

    shape = Matern(np.full(dimensions, _TYPICAL_SCALE), (1e-2, 1e2), nu=nu)
    kernel = ConstantKernel(1.0, (1e-2, 1e2)) * shape + WhiteKernel(noise, (1e-6, most_noise))
    return GaussianProcessRegressor(kernel, optimizer=optimizer)


def fit(regressor: Any, points: FloatArray, values: FloatArray) -> Any:
    from sklearn.exceptions import ConvergenceWarning

    with warnings.catch_warnings():
        # A dimension without influence drives its scale to the bound, as it should.
        warnings.simplefilter("ignore", ConvergenceWarning)
        return regressor.fit(points, values)


class GaussianProcess:
    """The model of a search: Matérn, ν = 5/2, with a kernel that a handful of values can choose.

    Its kernel maximizes the likelihood times log-normal priors: the likelihood alone, of a
    handful of trials, drives length scales to zero or infinity. scikit-learn takes these priors
    in through its `optimizer`. Of many values, 150 evenly spread over their order choose the
    kernel, and all of them condition it.

    Args:
        points: of shape (values, dimensions).
        values: at them, finite.
    """

    def __init__(self, points: FloatArray, values: FloatArray) -> None:
        self._mean = float(values.mean())
        self._deviation = max(float(values.std()), _LEAST_DEVIATION)
        dimensions = points.shape[1]
        spreads = [_SPREAD_OF_SIGNAL, *[_SPREAD_OF_SCALES] * dimensions, _SPREAD_OF_NOISE]
        self._regressor = matern_process(
            dimensions, nu=2.5, noise=_NOISE, most_noise=1.0, optimizer=_most_probable(spreads)
        )
        some = np.unique(np.linspace(0, len(points) - 1, _MOST_FOR_KERNEL).round().astype(int))
        self._points, self._values = points[some], values[some]
        self._fit()
        if len(some) < len(points):
            self._points, self._values = points, values
            self._keep_kernel()
            self._fit()

    def believe(self, points: FloatArray) -> None:
        """Take the predictions at points for observations, with the kernel as it is.

        The kriging believer of Ginsbourger, Le Riche and Carraro (2010): predictions hardly
        change, but no improvement is expected any more beside a pending trial.
        """
        values, _ = self.predict(points)
        self._points = np.concatenate([self._points, points])
        self._values = np.concatenate([self._values, values])
        self._keep_kernel()
        self._fit()

    def predict(self, points: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Return means and standard deviations at points, of the function without noise."""
        noise = self._regressor.kernel_.k2.noise_level
        means, deviations = self._regressor.predict(points, return_std=True)
        clean = np.sqrt(np.maximum(deviations**2 - noise, 1e-12))
        return self._mean + self._deviation * means, self._deviation * clean

    def correlations(self, seen: FloatArray, sought: FloatArray) -> FloatArray:
        """Return the posterior correlation of a noisy observation with another value, row by row.

        It is from 0 to 1: a negative one is of no use to a search.

        Args:
            seen: points of the observations.
            sought: points of the other values, each the same step from that in `seen`.
        """
        regressor = self._regressor
        signal, noise = regressor.kernel_.k1, regressor.kernel_.k2.noise_level
        explained, explained_other = (
            solve_triangular(regressor.L_, signal(regressor.X_train_, each), lower=True)
            for each in (seen, sought)
        )
        (prior,) = signal(seen[:1], sought[:1])[0]
        covariance = prior - (explained * explained_other).sum(axis=0)
        variance = signal.diag(seen) - (explained**2).sum(axis=0) + noise
        other = signal.diag(sought) - (explained_other**2).sum(axis=0)
        found = covariance / np.sqrt(np.maximum(variance * other, 1e-12))
        return np.asarray(np.clip(found, 0.0, 1.0))

    def _keep_kernel(self) -> None:
        self._regressor.kernel, self._regressor.optimizer = self._regressor.kernel_, None

    def _fit(self) -> None:
        fit(self._regressor, self._points, (self._values - self._mean) / self._deviation)


def _most_probable(spreads: list[float]) -> Any:
    """Return an optimizer of scikit-learn's that adds log-normal priors to the likelihood."""
    widths = np.array(spreads)

    def optimize(
        negative_likelihood: Any, start: FloatArray, bounds: FloatArray
    ) -> tuple[Any, float]:
        def negative_posterior(theta: FloatArray) -> tuple[float, FloatArray]:
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
