"""A surface fitted through recorded figures: quick to ask, and it knows how well it fits."""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from greensweep.gaussian_process import FloatArray, fit, matern_process

# Finding the kernel takes the cube of the number of points, many times over.
_KERNEL_POINTS = 400
LEAST_POINTS = 10
MOST_POINTS = 5000


class Surface:
    """A Gaussian process with an exponential kernel (Matérn, ν = 1/2) and noise.

    On the paper's table it erred as little as the best of the forests and other kernels
    (docs/replay.md), and one answer is one small product of matrices.

    Attributes:
        left_out: for each point, what the surface says there without that point.
    """

    def __init__(self, points: FloatArray, figures: FloatArray) -> None:
        self._points = points
        self._mean, self._deviation = float(figures.mean()), float(figures.std())
        if self._deviation < 1e-12:
            self._weights, self._scales = np.zeros(len(points)), np.ones(points.shape[1])
            self._signal, self.left_out = 0.0, figures.copy()
            return
        targets = (figures - self._mean) / self._deviation
        self._signal, self._scales, noise = _fit_kernel(points, targets)
        covariance = np.stack([self._similarity(point) for point in points])
        factor = cho_factor(covariance + noise * np.eye(len(points)))
        self._weights = cho_solve(factor, targets)
        inverse = cho_solve(factor, np.eye(len(points)))
        # The leave-one-out residuals of a Gaussian process, in closed form.
        residuals = self._weights / np.diag(inverse)
        self.left_out = self._mean + self._deviation * (targets - residuals)

    def at(self, point: FloatArray) -> float:
        """Return the figure at a point."""
        return self._mean + self._deviation * float(self._similarity(point) @ self._weights)

    def _similarity(self, point: FloatArray) -> FloatArray:
        steps = (self._points - point) / self._scales
        distances = np.sqrt(np.einsum("ij,ij->i", steps, steps))
        return np.asarray(self._signal * np.exp(-distances))


def _fit_kernel(points: FloatArray, targets: FloatArray) -> tuple[float, FloatArray, float]:
    """Return signal variance, length scales and noise variance of greatest likelihood."""
    if len(points) > _KERNEL_POINTS:
        chosen = np.random.default_rng(0).choice(len(points), _KERNEL_POINTS, replace=False)
        points, targets = points[chosen], targets[chosen]
    regressor = matern_process(points.shape[1], nu=0.5, noise=1e-2, most_noise=2.0)
    fitted = fit(regressor, points, targets).kernel_
    scales = np.broadcast_to(fitted.k1.k2.length_scale, points.shape[1:])
    return fitted.k1.k1.constant_value, np.array(scales), fitted.k2.noise_level
