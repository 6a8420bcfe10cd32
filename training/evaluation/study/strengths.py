"""Bradley-Terry scores: how strongly each method is preferred, from who was preferred to whom.

P(i is preferred to j) = exp(s_i) / (exp(s_i) + exp(s_j)) (Bradley and Terry 1952). Scores are centred: their mean is 0.
"""

from __future__ import annotations

import numpy as np

PRIOR = 0.1


def strengths(wins: np.ndarray, prior: float = PRIOR) -> np.ndarray:
    """Scores [M] of wins [M, M] (wins[i, j]: how often i was preferred to j), by Newton's method.

    prior: so many wins and losses of every method against an average one are added. They keep the score of a method
    that always wins finite and hardly move the others. With 0 these are the maximum-likelihood scores, and data that
    have none (see `tiers`) are refused with ValueError.
    """
    wins = np.asarray(wins, np.float64)
    if prior == 0 and len(tiers(wins)) > 1:
        raise ValueError("no finite maximum-likelihood scores: some methods always win against some others")
    games = wins + wins.T
    scores = np.zeros(len(wins))
    for _ in range(200):
        chance = _sigmoid(scores[:, None] - scores[None, :])
        alone = _sigmoid(scores)
        slope = wins.sum(1) - (games * chance).sum(1) + prior * (1 - 2 * alone)
        curve = -games * chance * (1 - chance)
        np.fill_diagonal(curve, 0)
        curve -= np.diag(curve.sum(1) - 2 * prior * alone * (1 - alone))
        step = np.linalg.lstsq(curve, slope, rcond=None)[0]
        scores += step * min(1.0, 2.0 / max(np.abs(step).max(), 1e-12))  # far from the optimum Newton overshoots
        if np.abs(step).max() < 1e-10:
            break
    return scores - scores.mean()


def tiers(wins: np.ndarray) -> list[list[int]]:
    """Groups of methods, best first: every comparison between two groups went to the earlier one, or there was none.

    One group means that the maximum-likelihood scores are finite (Ford 1957). With more, the distance between groups
    is not known from the data: only that it is large.
    """
    reach = (np.asarray(wins) > 0) | np.eye(len(wins), dtype=bool)
    for middle in range(len(reach)):
        reach |= reach[:, [middle]] & reach[[middle]]
    both = reach & reach.T
    groups = {tuple(np.flatnonzero(row).tolist()) for row in both}
    return [list(group) for group in sorted(groups, key=lambda group: (-int(reach[group[0]].sum()), group))]


def _sigmoid(value: np.ndarray) -> np.ndarray:
    return 0.5 * (1 + np.tanh(value / 2))
