"""Crop, pad and stretch: exact for pixels and points alike."""

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from animatex_core.fit import Fit, edge_colour, plan_fit

SIDES = st.integers(1, 90)
MODES = st.sampled_from(["crop", "pad", "stretch"])
PARTS = st.floats(0, 1)


def noise(width, height, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


@pytest.mark.parametrize(("source", "target"), [((53, 37), (64, 96)), ((640, 480), (512, 768)), ((7, 7), (7, 7))])
def test_stretch_is_pillow_bilinear_bit_for_bit(source, target):
    picture = noise(*source)
    wanted = np.asarray(Image.fromarray(picture).resize(target, Image.Resampling.BILINEAR))
    np.testing.assert_array_equal(plan_fit(source, target, "stretch").apply(picture), wanted)


def test_crop_of_whole_pixels_is_exact():
    picture = noise(100, 60)
    np.testing.assert_array_equal(plan_fit((100, 60), (40, 60), "crop").apply(picture), picture[:, 30:70])
    left = plan_fit((100, 60), (40, 60), "crop", anchor=(0, 0.5))
    np.testing.assert_array_equal(left.apply(picture), picture[:, :40])
    bottom = plan_fit((60, 100), (60, 40), "crop", anchor=(0.5, 1))
    np.testing.assert_array_equal(bottom.apply(noise(60, 100)), noise(60, 100)[60:])


def test_pad_of_whole_pixels_is_exact():
    picture = noise(40, 60)
    padded = plan_fit((40, 60), (100, 60), "pad").apply(picture, fill=(1, 2, 3))
    np.testing.assert_array_equal(padded[:, 30:70], picture)
    assert (padded[:, :30] == (1, 2, 3)).all() and (padded[:, 70:] == (1, 2, 3)).all()
    right = plan_fit((40, 60), (100, 60), "pad", anchor=(1, 0)).apply(picture, fill=(0, 0, 0))
    np.testing.assert_array_equal(right[:, 60:], picture)


def test_padding_continues_the_border():
    picture = np.full((60, 40, 3), (10, 200, 30), np.uint8)
    picture[20:40, 10:40] = (255, 0, 0)  # a limb that touches the right border
    assert edge_colour(picture) == (10, 200, 30)
    padded = plan_fit((40, 60), (90, 60), "pad").apply(picture)
    assert (padded[:, :20] == (10, 200, 30)).all()


def test_a_clip_gets_one_fill():
    clip = np.stack([np.full((6, 4, 3), value, np.uint8) for value in (10, 10, 90)])
    padded = plan_fit((4, 6), (12, 6), "pad").apply(clip)
    assert padded.shape == (3, 6, 12, 3) and (padded[:, :, 0] == 10).all()


@pytest.mark.parametrize("mode", ["crop", "pad", "stretch"])
def test_points_follow_the_picture(mode):
    """The centre of a bright blob, measured in the picture, must go where the map sends the point."""
    width, height, x, y = 220, 140, 121.5, 62.5
    columns, rows = np.meshgrid(np.arange(width) + 0.5, np.arange(height) + 0.5)
    blob = 255 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * 8.0**2))
    fit = plan_fit((width, height), (96, 128), mode)
    fitted = fit.apply(np.repeat(blob.astype(np.uint8)[..., None], 3, axis=2), fill=(0, 0, 0))[..., 0].astype(float)
    columns, rows = np.meshgrid(np.arange(96) + 0.5, np.arange(128) + 0.5)
    centre = np.array([(fitted * columns).sum(), (fitted * rows).sum()]) / fitted.sum()
    np.testing.assert_allclose(centre, fit.points(np.array([x, y])), atol=0.05)


@settings(max_examples=150, deadline=None)
@given(SIDES, SIDES, SIDES, SIDES, MODES, PARTS, PARTS)
@example(3, 1, 1, 3, "crop", 0.25, 0.0)
def test_any_sizes(width, height, target_width, target_height, mode, across, down):
    fit = plan_fit((width, height), (target_width, target_height), mode, anchor=(across, down))
    picture = noise(width, height)
    assert fit.apply(picture).shape == (target_height, target_width, 3)
    xy = np.array([[0.0, 0.0], [width, height], [width / 3, height / 5]])
    mapped = fit.points(xy)
    np.testing.assert_allclose(fit.inverted().points(mapped), xy, atol=1e-6 * max(width, height))
    assert fit.inverted().apply(fit.apply(picture)).shape == picture.shape
    corners = mapped[:2].ravel()
    edges = np.array([0, 0, target_width, target_height])
    if mode == "stretch":
        np.testing.assert_allclose(corners, edges, atol=1e-9)
    sign = np.array([1, 1, -1, -1]) * (-1 if mode == "crop" else 1)
    assert ((corners - edges) * sign >= -1e-9).all(), "crop covers the target, pad stays inside"
    if mode == "crop":
        assert fit.scale[0] == fit.scale[1]
    if mode == "pad":
        assert all(float(part).is_integer() for part in fit.offset)


def test_the_inverse_undoes_a_pad():
    fit = plan_fit((40, 60), (100, 60), "pad")
    picture = noise(40, 60)
    np.testing.assert_array_equal(fit.inverted().apply(fit.apply(picture)), picture)


def test_points_keep_their_dtype_and_shape():
    fit = plan_fit((10, 10), (20, 20), "stretch")
    points = np.ones((2, 1, 130, 2), np.float32)
    assert fit.points(points).dtype == np.float32 and fit.points(points).shape == points.shape
    assert fit.points(np.array([[1, 2]])).tolist() == [[2.0, 4.0]]
    with pytest.raises(ValueError, match="points must be"):
        fit.points(np.zeros((3, 3)))


def test_bad_plans_are_refused():
    with pytest.raises(ValueError, match="crop, pad or stretch, got 'fill'"):
        plan_fit((4, 4), (8, 8), "fill")
    for sizes in (((0, 4), (8, 8)), ((4, 4), (8, -1)), ((4, 4.5), (8, 8)), ((4, 4, 3), (8, 8))):
        with pytest.raises(ValueError, match="size must be"):
            plan_fit(*sizes)
    with pytest.raises(ValueError, match="anchor"):
        plan_fit((4, 4), (8, 8), "crop", anchor=(0.5, 1.5))
    with pytest.raises(ValueError, match="pictures of 4x4, got 5x4"):
        plan_fit((4, 4), (8, 8)).apply(noise(5, 4))
    with pytest.raises(ValueError, match="outside the target"):
        Fit((4, 4), (4, 4), (1.0, 1.0), (9.0, 0.0)).apply(noise(4, 4))
