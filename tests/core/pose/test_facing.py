"""A body's third axis from what a picture shows of the two others."""

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from animatex_core.pose.facing import forward


def seen(axes):
    """What a picture shows of axes [n, 3] (right, down, into the picture)."""
    return axes[:, 0] + 1j * axes[:, 1]


def bodies(count=500, seed=0):
    """Up, right and forward of bodies turned at random, [n, 3] each; facing the viewer they are up, left, out."""
    turns = Rotation.random(count, random_state=seed)
    return (turns.apply(axis) for axis in ([0, -1, 0], [-1, 0, 0], [0, 0, -1]))


def test_who_looks_where_the_body_faces_is_told():
    up, right, ahead = bodies()
    np.testing.assert_allclose(forward(seen(up), seen(right), seen(ahead)), seen(ahead), atol=0.05)


def test_a_head_may_be_turned_on_the_body():
    """Turned by 40 degrees about any axis it still tells which of the ways the body faces, nearly always."""
    up, right, ahead = bodies()
    away = Rotation.from_rotvec(0.7 * np.random.default_rng(1).permuted(np.tile([[1.0, 0, 0]], (500, 1)), axis=1))
    off = np.abs(forward(seen(up), seen(right), seen(away.apply(ahead))) - seen(ahead))
    assert np.mean(off < 0.05) > 0.75


def test_a_body_that_lies_in_the_picture_faces_the_viewer_wherever_the_head_looks():
    turn = np.exp(1j * np.array([0.0, 1.0, -2.5]))
    found = forward(-1j * turn, -turn, np.array([0.9, 0.5j, -0.7]))
    np.testing.assert_allclose(found, 0, atol=1e-6)


@pytest.mark.parametrize("look", [0.8, -0.8])
def test_seen_from_the_side_it_faces_where_the_head_looks(look):
    assert forward(np.array(-1j), np.array(0j), np.array(look + 0j)) == pytest.approx(0.97 * np.sign(look), abs=0.01)


def test_axes_longer_than_they_are_and_none_at_all_make_no_nonsense():
    found = forward(np.array([-3j, 0j, 0j]), np.array([-2, 0, -1 + 0j]), np.array([0.5, 0.5, 0j]))
    assert np.isfinite(found).all() and (np.abs(found) <= 1 + 1e-6).all()


def test_a_length_that_is_off_by_rounding_moves_nothing():
    shorter = [forward(np.array(-1j * (1 - off)), np.array(-0.5 + 0j), np.array(0.8 + 0j)) for off in (0, 3e-7)]
    assert shorter[0] == pytest.approx(shorter[1], abs=3e-5)
