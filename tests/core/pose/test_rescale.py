"""Rescale: factors and parts checked by name, parts added and taken away, every preset does what it is called."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from animatex_core.pose.io import load_openpose
from animatex_core.pose.keypoints import empty
from animatex_core.pose.rescale import ADDABLE, OPERATIONS, PRESETS, Rescale, rescale
from animatex_core.pose.skeleton import COLUMN, PARTS

DATA = Path(__file__).parents[2] / "data" / "poses"


@pytest.fixture(scope="module")
def fashion():
    return load_openpose(DATA / "fashion_76.json")


def bone(poses, child, parent):
    return np.hypot(*(poses.points[:, 0, child] - poses.points[:, 0, parent]).T)


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_changes_its_own_bones_only(name):
    columns = Rescale(**{name: 0.5}).columns()
    assert (columns[list(OPERATIONS[name])] == 0.5).all()
    assert np.delete(columns, OPERATIONS[name]).tolist() == [1] * (23 - len(OPERATIONS[name]))


def test_size_is_on_top_of_all_others_and_the_root_has_no_bone():
    columns = Rescale(legs=0.5, size=2).columns()
    assert columns[9] == 1 and columns[0] == 2 and columns[1] == 1


def test_every_point_but_the_root_belongs_to_one_operation():
    covered = [c for columns in OPERATIONS.values() for c in columns]
    assert sorted(covered) == [c for c in range(23) if c != 1]
    assert set(COLUMN) == set(range(23))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"legs": 0}, "factor legs must be 0.05 to 10, got 0"),
        ({"face": -1.0}, "factor face"),
        ({"size": float("nan")}, "factor size"),
        ({"arms": float("inf")}, "factor arms"),
        ({"drop": ("tail",)}, "unknown body part 'tail'"),
        ({"add": ("head",)}, "cannot add 'head'"),
    ],
)
def test_bad_shapes_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Rescale(**options)


def test_changed_names_what_differs():
    assert Rescale(legs=0.5, drop=("arms",)).changed() == {"legs": 0.5, "drop": ("arms",)}
    assert Rescale().changed() == {}


def test_presets_do_what_they_are_called(fashion):
    shaped = {name: rescale(fashion, shape).poses for name, shape in PRESETS.items()}
    height = fashion.points[:, 0, 10, 1] - fashion.points[:, 0, 0, 1]

    def ratio(name, child, parent):
        return np.median(bone(shaped[name], child, parent) / bone(fashion, child, parent))

    assert ratio("short legs", 9, 8) < 0.5 and ratio("short legs", 3, 2) == pytest.approx(1, abs=1e-3)
    assert ratio("long legs", 9, 8) > 1.2
    assert ratio("no neck", 0, 1) < 0.5
    assert ratio("big head", 16, 14) > 2
    assert not shaped["armless"].present[..., PARTS["arms"]].any()
    assert not shaped["legless"].present[..., PARTS["legs"]].any()
    chibi = shaped["chibi"].points[:, 0]
    heads = (chibi[:, 10, 1] - chibi[:, 0, 1]) / bone(shaped["chibi"], 17, 16)
    usual = height / bone(fashion, 17, 16)
    assert np.median(heads[:10]) < 0.4 * np.median(usual[:10])


def test_a_figure_without_legs_stays_where_its_hips_are(fashion):
    result = rescale(fashion, Rescale(body=0.5, drop=("legs",))).poses
    before = fashion.points[:, 0, [8, 11]].mean(1)
    after = result.points[:, 0, [8, 11]].mean(1)
    np.testing.assert_allclose(np.median(after, 0), np.median(before, 0), atol=1)


def test_parts_are_added_where_a_person_has_none(fashion):
    scores = fashion.scores.copy()
    scores[:, :, 8:14] = 0
    scores[:, :, 18:20] = 0
    scores[40:] = 0
    upper = replace(fashion, scores=scores)
    result = rescale(upper, Rescale(add=("legs",)))
    legs = list(ADDABLE["legs"])
    assert result.added[:40, 0, legs].all() and not np.delete(result.added, legs, 2).any()
    assert not result.added[40:].any() and not result.poses.present[40:].any()
    assert (result.poses.scores[:40, 0, legs] == 1).all()
    points = result.poses.points[:40, 0]
    assert (points[:, 10, 1] > points[:, 9, 1]).all() and (points[:, 9, 1] > points[:, 8, 1]).all()
    torso = bone(result.poses, 8, 1)[:40]
    usual = bone(fashion, 8, 1)[:40]
    assert 0.6 < np.median(torso / usual) < 1.5
    # the rest of the figure is where it was, up to a common shift
    rest = [0, 1, 2, 5, 14, 15]
    shift = points[:, rest] - upper.points[:40, 0, rest]
    assert np.ptp(shift, axis=1).max() < 0.01


def test_nothing_is_added_to_a_person_who_has_it(fashion):
    result = rescale(fashion, Rescale(add=("legs", "right arm")))
    assert not result.added.any()
    np.testing.assert_array_equal(result.poses.points[fashion.present], fashion.points[fashion.present])


def test_added_parts_take_the_factors_too(fashion):
    scores = fashion.scores.copy()
    scores[:, :, [9, 10, 12, 13, 18, 19]] = 0
    upper = replace(fashion, scores=scores)
    long = rescale(upper, Rescale(add=("legs",))).poses
    short = rescale(upper, Rescale(add=("legs",), legs=0.5)).poses
    np.testing.assert_allclose(bone(short, 9, 8), 0.5 * bone(long, 9, 8), rtol=1e-4)


def test_nobody_is_nobody():
    for poses in (empty(4, 64, 64), empty(0, 64, 64), empty(3, 64, 64, people=0)):
        result = rescale(poses, Rescale(legs=0.5, add=("arms",)))
        assert result.poses.points.shape == poses.points.shape
        assert not result.poses.present.any() and not result.added.any()
