"""Distances between two sets of feature vectors."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .extras import needs

KERNEL_SAMPLE = 1000
"""Vectors of each set that the kernel distance reads at most, as KID does."""


@dataclass
class FeatureSet:
    """What is kept of vectors that come clip by clip: mean and covariance, and a sample for the kernel distance.

    Memory depends on their width alone. The sample is drawn by a seed: each vector of a long row is as likely in it.
    """

    n: int = 0
    mean: np.ndarray = field(default_factory=lambda: np.zeros(0))
    scatter: np.ndarray = field(default_factory=lambda: np.zeros((0, 0)))
    sample: list[np.ndarray] = field(default_factory=list)
    _draw: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def add(self, vectors: np.ndarray) -> None:
        """Take vectors [n, width]. Raises ValueError for another width, or for a number that is not finite."""
        vectors = np.asarray(vectors, np.float64)
        if vectors.ndim != 2 or (self.n and vectors.shape[1] != len(self.mean)):
            raise ValueError(f"features must be [n, {len(self.mean) or 'width'}], got {list(vectors.shape)}")
        if not np.isfinite(vectors).all():
            raise ValueError("features hold numbers that are not finite")
        if not len(vectors):
            return
        self._sample(vectors)
        self._moments(vectors)

    @property
    def covariance(self) -> np.ndarray:
        """Of the sample (n - 1), as numpy.cov."""
        return self.scatter / (self.n - 1)

    def _moments(self, vectors: np.ndarray) -> None:
        mean = vectors.mean(0)
        centred = vectors - mean
        if not self.n:
            self.n, self.mean, self.scatter = len(vectors), mean, centred.T @ centred
            return
        both, shift = self.n + len(vectors), mean - self.mean
        self.scatter += centred.T @ centred + np.outer(shift, shift) * (self.n * len(vectors) / both)
        self.mean = self.mean + shift * (len(vectors) / both)
        self.n = both

    def _sample(self, vectors: np.ndarray) -> None:
        for seen, vector in enumerate(vectors, self.n):
            if len(self.sample) < KERNEL_SAMPLE:
                self.sample.append(vector)
                continue
            place = int(self._draw.integers(seen + 1))
            if place < KERNEL_SAMPLE:
                self.sample[place] = vector


def frechet_distance(made: FeatureSet, truth: FeatureSet) -> float:
    """Frechet distance of two Gaussians: |difference of means|^2 + tr(A + B - 2 (A B)^0.5).

    No complex parts, no regularisation, and zero for identical sets to rounding, even with fewer vectors than
    dimensions. Never below zero.
    """
    _at_least_two(made, truth)
    kept = max(made.n, truth.n) <= KERNEL_SAMPLE
    return max(_frechet(made, truth, root_from_vectors(made, truth) if kept else root_from_moments(made, truth)), 0.0)


def root_from_vectors(made: FeatureSet, truth: FeatureSet) -> float:
    """tr (A B)^0.5 of sets whose vectors are all kept: with centred vectors X and Y as rows, A B has the eigenvalues of
    (X Y') (X Y')' / ((n - 1) (m - 1)), so their roots are singular values of an n x m matrix."""
    x, y = (np.stack(side.sample) - side.mean for side in (made, truth))
    return float(np.linalg.svd(x @ y.T, compute_uv=False).sum() / np.sqrt((made.n - 1) * (truth.n - 1)))


def root_from_moments(made: FeatureSet, truth: FeatureSet) -> float:
    """tr (A B)^0.5 as the sum of the roots of the eigenvalues of A^0.5 B A^0.5, which is symmetric."""
    values, directions = np.linalg.eigh(made.covariance)
    root = directions * _roots(values)
    return float(_roots(np.linalg.eigvalsh(root.T @ truth.covariance @ root)).sum())


def frechet_distance_disco(made: FeatureSet, truth: FeatureSet) -> float:
    """The same as pytorch-fid and DisCo compute it: scipy's square root of A B, 1e-6 added to the diagonals when that
    is not finite, the imaginary part dropped.

    With fewer vectors than dimensions A B is singular and the root unsure: values differ from `frechet_distance`, and
    between releases of scipy. Raises ValueError where theirs fails: the imaginary part is above 1e-3.
    """
    _at_least_two(made, truth)
    sqrtm = needs("scipy.linalg").sqrtm
    a, b = made.covariance, truth.covariance
    root: Any = sqrtm(a @ b)
    if not np.isfinite(root).all():
        offset = 1e-6 * np.eye(len(a))
        root = sqrtm((a + offset) @ (b + offset))
    if np.iscomplexobj(root) and not np.allclose(np.imag(np.diagonal(root)), 0, atol=1e-3):
        raise ValueError(f"the root of the covariances has an imaginary part of {np.abs(np.imag(root)).max():.3g}")
    return _frechet(made, truth, float(np.trace(np.real(root))))


def kernel_distance(made: FeatureSet, truth: FeatureSet) -> float:
    """Unbiased squared maximum mean discrepancy with the kernel (x.y / width + 1)^3 (Binkowski et al. 2018).

    Over up to KERNEL_SAMPLE vectors of each set, all of them where there are no more: one estimate, not a mean over
    random subsets. It can be below zero; its expectation does not depend on the number of vectors.
    """
    _at_least_two(made, truth)
    x, y = np.stack(made.sample), np.stack(truth.sample)
    return float(_within(x) + _within(y) - 2 * _kernel(x, y).mean())


def _roots(eigenvalues: np.ndarray) -> np.ndarray:
    """Square roots; the usual bound of a numerical rank decides which eigenvalues are zero."""
    least = np.abs(eigenvalues).max() * len(eigenvalues) * np.finfo(np.float64).eps
    return np.sqrt(np.where(eigenvalues > least, eigenvalues, 0))


def _within(x: np.ndarray) -> float:
    kernel = _kernel(x, x)
    return float((kernel.sum() - np.trace(kernel)) / (len(x) * (len(x) - 1)))


def _kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return (x @ y.T / x.shape[1] + 1) ** 3


def _frechet(made: FeatureSet, truth: FeatureSet, trace_of_root: float) -> float:
    difference = made.mean - truth.mean
    return (
        float(difference @ difference + np.trace(made.scatter) / (made.n - 1) + np.trace(truth.scatter) / (truth.n - 1))
        - 2 * trace_of_root
    )


def _at_least_two(made: FeatureSet, truth: FeatureSet) -> None:
    if min(made.n, truth.n) < 2:
        raise ValueError(f"a distance between sets needs two vectors of each, got {made.n} and {truth.n}")
    if len(made.mean) != len(truth.mean):
        raise ValueError(f"features of {len(made.mean)} and of {len(truth.mean)} numbers cannot be compared")
