"""Bradley-Terry scores: as an independent maximisation finds them, true to what they were drawn from, finite always."""

import numpy as np
import pytest
from animatex_training.evaluation.study.strengths import strengths, tiers
from scipy.optimize import minimize

TRUE = np.array([1.2, 0.4, 0.1, -0.2, -0.5, -1.0])


def drawn_wins(rng, games, scores=TRUE):
    """[M, M] of so many comparisons of every pair."""
    wins = np.zeros((len(scores), len(scores)))
    for i in range(len(scores)):
        for j in range(i):
            wins[i, j] = rng.binomial(games, 1 / (1 + np.exp(scores[j] - scores[i])))
            wins[j, i] = games - wins[i, j]
    return wins


def by_scipy(wins):
    def loss(scores):
        return (wins * np.logaddexp(0, scores[None] - scores[:, None])).sum() + 1e-9 * scores.sum() ** 2

    found = minimize(loss, np.zeros(len(wins)), method="BFGS", options={"gtol": 1e-9}).x
    return found - found.mean()


@pytest.mark.parametrize("seed", range(4))
def test_equal_to_an_independent_maximisation(seed):
    rng = np.random.default_rng(seed)
    wins = drawn_wins(rng, 30, rng.normal(0, 1.2, 5))
    assert len(tiers(wins)) == 1
    np.testing.assert_allclose(strengths(wins, prior=0), by_scipy(wins), atol=2e-5)


def test_two_methods_have_the_log_odds():
    np.testing.assert_allclose(np.ptp(strengths(np.array([[0, 30], [10, 0]]), prior=0)), np.log(3), rtol=1e-9)


def test_the_truth_is_found_and_the_prior_hardly_moves_it():
    wins = drawn_wins(np.random.default_rng(0), 4000)
    np.testing.assert_allclose(strengths(wins), TRUE - TRUE.mean(), atol=0.06)
    np.testing.assert_allclose(strengths(wins), strengths(wins, prior=0), atol=1e-3)


def test_a_method_that_always_wins_is_first_and_finite():
    wins = np.array([[0, 20, 20], [0, 0, 12], [0, 8, 0]])
    scores = strengths(wins)
    assert np.isfinite(scores).all() and list(scores.argsort()) == [2, 1, 0] and 4 < scores[0] - scores[1] < 12
    np.testing.assert_allclose(scores[1] - scores[2], np.log(12 / 8), atol=0.02)  # the others are as without it
    assert tiers(wins) == [[0], [1, 2]]
    with pytest.raises(ValueError, match="no finite maximum"):
        strengths(wins, prior=0)


def test_orders_of_everything_and_of_nothing():
    chain = np.triu(np.full((4, 4), 10.0), 1)
    assert tiers(chain) == [[0], [1], [2], [3]] and (np.diff(strengths(chain)) < -1).all()
    np.testing.assert_allclose(strengths(np.zeros((3, 3))), 0, atol=1e-12)
    assert strengths(np.array([[0, 1e6], [0, 0]]))[0] < 20
