"""Distances between sets equal what can be computed by hand, and what other libraries compute."""

import numpy as np
import pytest
import scipy.linalg
import torch
from animatex_training.evaluation.metrics.distances import (
    KERNEL_SAMPLE,
    FeatureSet,
    frechet_distance,
    frechet_distance_disco,
    kernel_distance,
    root_from_moments,
    root_from_vectors,
)
from torchmetrics.image.fid import _compute_fid
from torchmetrics.image.kid import poly_mmd

RANDOM = np.random.default_rng(0)


def gathered(vectors, at_once=None):
    found = FeatureSet()
    for start in range(0, len(vectors), at_once or len(vectors)):
        found.add(vectors[start : start + (at_once or len(vectors))])
    return found


def exact_gaussian(mean, deviations, n=200):
    """Vectors whose sample mean and covariance (n - 1) are exactly these."""
    raw = RANDOM.standard_normal((n, len(mean)))
    raw -= raw.mean(0)
    white = raw @ np.linalg.inv(np.linalg.cholesky(np.cov(raw, rowvar=False))).T
    return white * np.array(deviations) + np.array(mean)


@pytest.mark.parametrize("distance", [frechet_distance, frechet_distance_disco])
def test_known_gaussians(distance):
    # |(1, -2, 0) - (0, 0, 0)|^2 + (3 - 1)^2 + (1 - 2)^2 + (5 - 5)^2 = 5 + 4 + 1 + 0
    made = gathered(exact_gaussian([1, -2, 0], [3, 1, 5]))
    truth = gathered(exact_gaussian([0, 0, 0], [1, 2, 5], 77))
    assert distance(made, truth) == pytest.approx(10, abs=1e-9)


def test_correlated_gaussians_as_scipy_and_torchmetrics():
    mixing = RANDOM.standard_normal((2, 12, 12))
    sets = [RANDOM.standard_normal((300, 12)) @ m + 0.2 * i for i, m in enumerate(mixing)]
    means, covariances = [s.mean(0) for s in sets], [np.cov(s, rowvar=False) for s in sets]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    by_hand = ((means[0] - means[1]) ** 2).sum() + np.trace(covariances[0] + covariances[1] - 2 * root)
    made, truth = map(gathered, sets)
    theirs = _compute_fid(*(torch.from_numpy(x) for pair in zip(means, covariances, strict=True) for x in pair))
    assert frechet_distance(made, truth) == pytest.approx(by_hand, rel=1e-9)
    assert frechet_distance(made, truth) == pytest.approx(float(theirs), rel=1e-9)
    assert frechet_distance_disco(made, truth) == pytest.approx(by_hand, rel=1e-12)


@pytest.mark.parametrize("n", [5, 12, 200])
def test_the_root_from_vectors_is_that_from_moments(n):
    sets = gathered(RANDOM.standard_normal((n, 20))), gathered(RANDOM.standard_normal((9, 20)) * 3)
    assert root_from_vectors(*sets) == pytest.approx(root_from_moments(*sets), rel=1e-6)


def test_many_vectors_are_compared_by_their_moments():
    mixing = RANDOM.standard_normal((2, 6, 6))
    sets = [RANDOM.standard_normal((KERNEL_SAMPLE + 500, 6)) @ m for m in mixing]
    covariances = [np.cov(s, rowvar=False) for s in sets]
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    by_hand = ((sets[0].mean(0) - sets[1].mean(0)) ** 2).sum() + np.trace(sum(covariances) - 2 * root)
    assert frechet_distance(*map(gathered, sets)) == pytest.approx(by_hand, rel=1e-9)


def test_taken_clip_by_clip_the_moments_are_numpys():
    vectors = RANDOM.standard_normal((101, 7)) + 1000
    found = gathered(vectors, 13)
    assert found.n == 101
    np.testing.assert_allclose(found.mean, vectors.mean(0), rtol=1e-12)
    np.testing.assert_allclose(found.covariance, np.cov(vectors, rowvar=False), rtol=1e-9, atol=1e-12)


def test_identical_sets_are_at_no_distance_even_with_few_vectors():
    few = gathered(RANDOM.standard_normal((5, 40)))
    assert frechet_distance(few, few) == pytest.approx(0, abs=1e-6)
    assert kernel_distance(few, few) < 0  # unbiased: a vector is not compared with itself


def test_kernel_distance_is_the_mean_over_all_pairs():
    x, y = RANDOM.standard_normal((6, 5)), RANDOM.standard_normal((9, 5)) + 0.3
    kernel = lambda a, b: (a @ b / 5 + 1) ** 3  # noqa: E731
    within = [np.mean([kernel(a, b) for i, a in enumerate(s) for j, b in enumerate(s) if i != j]) for s in (x, y)]
    by_hand = sum(within) - 2 * np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(gathered(x), gathered(y)) == pytest.approx(by_hand, rel=1e-12)


def test_kernel_distance_is_that_of_torchmetrics():
    x, y = RANDOM.standard_normal((50, 16)), RANDOM.standard_normal((50, 16)) + 0.1
    theirs = poly_mmd(torch.from_numpy(x), torch.from_numpy(y), degree=3, gamma=None, coef=1.0)
    assert kernel_distance(gathered(x), gathered(y)) == pytest.approx(float(theirs), rel=1e-9)


def test_memory_does_not_grow_with_the_number_of_clips():
    found = FeatureSet()
    for clip in range(60):
        found.add(np.full((32, 4), float(clip)) + RANDOM.standard_normal((32, 4)))
    assert found.n == 60 * 32 and len(found.sample) == KERNEL_SAMPLE
    # the sample is of all clips, not of the first ones
    assert {round(v.mean()) for v in found.sample} >= set(range(5, 55))


def test_what_cannot_be_compared_is_refused():
    one, two = gathered(np.ones((1, 3))), gathered(RANDOM.standard_normal((4, 3)))
    for distance in (frechet_distance, frechet_distance_disco, kernel_distance):
        with pytest.raises(ValueError, match="two vectors of each, got 1 and 4"):
            distance(one, two)
    with pytest.raises(ValueError, match="3 and of 2 numbers"):
        frechet_distance(two, gathered(RANDOM.standard_normal((4, 2))))
    with pytest.raises(ValueError, match="not finite"):
        two.add(np.full((1, 3), np.nan))
    with pytest.raises(ValueError, match=r"\[n, 3\], got \[1, 2\]"):
        two.add(np.zeros((1, 2)))
