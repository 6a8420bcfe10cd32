"""Which way a body faces, from what a picture shows of its two other axes and of where the head looks."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from animatex_core.pose.facing import facing

UP, RIGHT, AHEAD = (0, -1, 0), (-1, 0, 0), (0, 0, -1)  # of who faces the viewer: right, down, into the picture


def seen(axes):
    """What a picture shows of axes [n, 3]."""
    return axes[:, 0] + 1j * axes[:, 1]


def bodies(count=500, seed=0):
    """Up, right and forward of bodies turned at random, [n, 3] each."""
    turns = Rotation.random(count, random_state=seed)
    return (turns.apply(axis) for axis in (UP, RIGHT, AHEAD))


@pytest.mark.parametrize("near", [1.0, 0.4, 3.0])
def test_who_looks_ahead_faces_there_however_near(near):
    up, right, ahead = bodies()
    found, size = facing(near * seen(up), near * seen(right), near * seen(ahead))
    np.testing.assert_allclose(found, seen(ahead), atol=0.04)
    np.testing.assert_allclose(size, near, rtol=1e-6)


def test_a_head_turned_on_the_body_says_less_than_the_body():
    """By 40 degrees about any axis: the body's facing is nearer to the truth than the look is, by much."""
    up, right, ahead = bodies()
    axes = np.random.default_rng(1).normal(size=(500, 3))
    away = Rotation.from_rotvec(0.7 * axes / np.linalg.norm(axes, axis=1, keepdims=True))
    look = seen(away.apply(ahead))
    off = np.abs(facing(seen(up), seen(right), look)[0] - seen(ahead))
    assert off.mean() < 0.6 * np.abs(look - seen(ahead)).mean() and np.median(off) < 0.04


def test_a_body_that_lies_in_the_picture_faces_the_viewer_wherever_the_head_looks():
    turn = np.exp(1j * np.array([0.0, 1.0, -2.5]))
    np.testing.assert_allclose(facing(-1j * turn, -turn, np.array([0.9, 0.5j, -0.7]))[0], 0, atol=1e-6)


@pytest.mark.parametrize("look", [0.8, -0.8])
def test_seen_from_the_side_it_faces_where_the_head_looks(look):
    assert facing(np.array(-1j), np.array(0j), np.array(look + 0j))[0] == pytest.approx(0.97 * np.sign(look), abs=0.01)


def test_a_look_that_passes_the_viewer_makes_no_jump():
    """Arms that are up draw the shoulders together, and the head swings: at most twice as fast as it does."""
    look = np.linspace(-0.3, 0.3, 61) + 0j
    found = facing(np.full(61, -1j), np.full(61, -0.7 + 0j), look)[0]
    assert np.abs(np.diff(found)).max() < 2.01 * np.abs(np.diff(look)).max() and np.abs(found).max() > 0.5


def test_a_length_that_is_off_by_rounding_moves_nothing():
    one, other = (facing(np.array(-1j), np.array(-1 + off + 0j), np.array(0.8 + 0j))[0] for off in (0, 3e-7))
    assert one == pytest.approx(other, abs=3e-5)


def test_no_lengths_at_all_make_no_nonsense():
    found, size = facing(np.array([0j, -3j, 0j]), np.array([0j, 0j, -2 + 0j]), np.array([0.5 + 0j, 0j, 9j]))
    assert np.isfinite(found).all() and np.isfinite(size).all() and (np.abs(found) <= 1).all()
