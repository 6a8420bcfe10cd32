"""A figure fitted to an outline: silhouettes that are drawn here, so that the joints are known."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image, ImageDraw

from animatex_core.pose.manual import JOINTS
from animatex_core.pose.mask_figure import figure_in_mask


def silhouette(width, height, draw):
    picture = Image.new("L", (width, height))
    draw(ImageDraw.Draw(picture))
    return np.asarray(picture) / 255.0


def adult(d):
    d.ellipse((125, 30, 175, 95), fill=255)
    d.rectangle((140, 90, 160, 110), fill=255)
    d.polygon([(105, 105), (195, 105), (185, 270), (115, 270)], fill=255)
    for side in (-1, 1):
        d.line([(150 + 38 * side, 115), (150 + 70 * side, 190), (150 + 90 * side, 260)], fill=255, width=22)
        d.line([(150 + 18 * side, 260), (150 + 25 * side, 470)], fill=255, width=34)


def chibi(d):
    d.ellipse((80, 20, 320, 230), fill=255)
    d.rectangle((150, 215, 250, 320), fill=255)
    for side in (-1, 1):
        d.line([(200 + 45 * side, 235), (200 + 110 * side, 280)], fill=255, width=30)
        d.rectangle((182.5 + 27.5 * side, 310, 217.5 + 27.5 * side, 380), fill=255)


def egg(d):
    d.ellipse((60, 40, 240, 380), fill=255)


def near(figure, name, place, away):
    assert np.linalg.norm(figure.points[JOINTS.index(name)] - place) < away, name


def test_an_adult_with_arms_held_off():
    figure = figure_in_mask(silhouette(300, 500, adult))
    assert figure.found == ("neck", "legs", "right arm", "left arm")
    for side, name in ((-1, "right"), (1, "left")):
        near(figure, f"{name} shoulder", (150 + 40 * side, 115), 15)
        near(figure, f"{name} wrist", (150 + 85 * side, 245), 20)
        near(figure, f"{name} hip", (150 + 20 * side, 255), 20)
        near(figure, f"{name} ankle", (150 + 25 * side, 455), 15)
    near(figure, "neck", (150, 100), 10)
    near(figure, "nose", (150, 68), 12)


def test_a_chibi_with_a_head_as_large_as_the_rest():
    figure = figure_in_mask(silhouette(400, 400, chibi))
    assert figure.found == ("neck", "legs", "right arm", "left arm")
    near(figure, "neck", (200, 225), 15)
    near(figure, "right wrist", (100, 272), 20)
    near(figure, "left ankle", (227, 372), 15)


def test_an_egg_has_no_limbs_to_see():
    figure = figure_in_mask(silhouette(300, 400, egg))
    assert figure.found == () and "no limbs" in figure.note


@pytest.mark.parametrize(("size", "draw"), [((300, 500), adult), ((400, 400), chibi), ((300, 400), egg)])
@pytest.mark.parametrize("scale", [1, 3])
def test_every_joint_lies_within_the_outline(size, draw, scale):
    mask = np.kron(silhouette(*size, draw), np.ones((scale, scale)))
    x, y = figure_in_mask(mask).points.T
    reached = np.zeros(len(x), bool)  # up to three pixels beside the outline's own edge
    for dx, dy in ((0, 0), (-3 * scale, 0), (3 * scale, 0), (0, -3 * scale), (0, 3 * scale)):
        row = np.clip(y + dy, 0, mask.shape[0] - 1).astype(int)
        reached |= mask[row, np.clip(x + dx, 0, mask.shape[1] - 1).astype(int)] > 0.5
    assert reached.all()


def test_masks_that_show_nobody_or_nothing_but():
    assert figure_in_mask(np.zeros((40, 30))) is None
    assert figure_in_mask(np.full((40, 30), np.nan)) is None
    one = np.zeros((40, 30))
    one[7, 9] = 1
    for mask in (np.ones((40, 30)), np.ones((1, 1)), np.eye(700), one, np.ones((1, 50)), np.ones((50, 1))):
        points = figure_in_mask(mask).points
        assert np.isfinite(points).all() and (points >= 0).all() and (points < mask.shape[::-1]).all()


def test_random_masks_never_fail():
    rng = np.random.default_rng(5)
    for _ in range(60):
        mask = rng.random(rng.integers(1, 90, 2)) < rng.random()
        figure = figure_in_mask(mask)
        assert (figure is None) == (not mask.any())
        assert figure is None or np.isfinite(figure.points).all()


def test_a_batch_is_refused():
    with pytest.raises(ValueError, match=r"\[H, W\]"):
        figure_in_mask(np.ones((2, 4, 4)))
