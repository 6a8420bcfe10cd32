"""The pose pool on disk, and the random transformation: seeded, as often as lambda says, ablations that compare."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.pose.pool import (
    GROUPS,
    TABLE,
    Augmentation,
    PosePool,
    load_pool,
    on_canvas,
    save_pool,
    transform,
)
from animatex_core.pose.rescale import OPERATIONS

DATA = Path(__file__).parents[2] / "data" / "poses"


@pytest.fixture(scope="module")
def dance():
    return load_openpose(DATA / "dance_60.json").frames(slice(0, 8))


@pytest.fixture(scope="module")
def pool():
    fashion = load_openpose(DATA / "fashion_76.json")
    return PosePool(tuple(fashion.frames(slice(i, i + 1)) for i in (0, 20, 40)), ("a", "b", "c"))


def outcomes(dance, pool, augmentation, count=200, seed=0):
    rng = np.random.default_rng(seed)
    return [transform(dance.frames(slice(0, 1)), pool, rng, augmentation) for _ in range(count)]


def test_the_same_seed_gives_the_same_clip_and_another_seed_another(dance, pool):
    first, again, other = (transform(dance, pool, np.random.default_rng(s)) for s in (3, 3, 4))
    np.testing.assert_array_equal(first.poses.points, again.poses.points)
    assert (first.anchor, first.shape) == (again.anchor, again.shape)
    assert not np.array_equal(first.poses.points, other.poses.points)


def test_the_result_keeps_the_clips_canvas_frames_and_fps(dance, pool):
    result = transform(dance, pool, np.random.default_rng(0), Augmentation(probability=1)).poses
    assert (result.width, result.height, len(result), result.fps) == (512, 758, 8, 24.0)
    assert np.isfinite(result.points).all()


def test_lambda_is_how_often(dance, pool):
    for probability, low, high in ((0.0, 0, 0), (0.8, 0.7, 0.9), (1.0, 1, 1)):
        results = outcomes(dance, pool, Augmentation(probability=probability))
        share = np.mean([r.shape is not None for r in results])
        assert low <= share <= high
    left_alone = outcomes(dance, pool, Augmentation(probability=0), count=1)[0]
    np.testing.assert_array_equal(left_alone.poses.points, dance.frames(slice(0, 1)).points)


def test_every_anchor_and_every_operation_is_drawn_within_its_range(dance, pool):
    results = outcomes(dance, pool, Augmentation(probability=1))
    assert {r.anchor for r in results} == {"a", "b", "c"}
    for line in TABLE:
        drawn = np.array([getattr(r.shape, line.operation) for r in results])
        used = drawn[drawn != 1]
        assert line.chance - 0.12 < len(used) / len(drawn) < line.chance + 0.12
        assert used.min() >= line.low and used.max() <= line.high
        assert used.min() < line.low * 1.2 and used.max() > line.high / 1.2
    assert {r.shape.drop for r in results} > {(), ("arms",), ("legs",)}
    assert 0.03 < np.mean([bool(r.shape.add) for r in results]) < 0.2


@pytest.mark.parametrize("left_out", GROUPS)
def test_leaving_out_a_group_changes_nothing_else(dance, pool, left_out):
    full = outcomes(dance, pool, Augmentation(probability=1), count=60)
    groups = tuple(g for g in GROUPS if g != left_out)
    without = outcomes(dance, pool, Augmentation(probability=1, groups=groups), count=60)
    names = [line.operation for line in TABLE if line.group == left_out] or [left_out]
    assert any(getattr(f.shape, n) != getattr(w.shape, n) for f, w in zip(full, without, strict=True) for n in names)
    for f, w in zip(full, without, strict=True):
        assert f.anchor == w.anchor
        for name in (*OPERATIONS, "drop", "add"):
            if name in names:
                assert getattr(w.shape, name) in (1, ())
            else:
                assert getattr(f.shape, name) == getattr(w.shape, name)


def test_the_other_ablations_compare_too(dance, pool):
    full = outcomes(dance, pool, Augmentation(probability=1), count=40)
    alone = outcomes(dance, pool, Augmentation(probability=1, realign=False), count=40)
    assert [r.shape for r in full] == [r.shape for r in alone]
    assert all(r.anchor is None and r.realigned is None for r in alone)
    plain = outcomes(dance, pool, Augmentation(probability=1, groups=()), count=5)
    assert [r.anchor for r in plain] == [r.anchor for r in full[:5]]
    for r in plain:
        assert not r.shape.changed() and r.realigned.modes == ("full",)
        np.testing.assert_allclose(r.poses.points, r.realigned.poses.points, atol=1e-3)


def test_an_empty_pool_is_enough_without_realignment_only(dance):
    nobody = PosePool((), ())
    result = transform(dance, nobody, np.random.default_rng(0), Augmentation(probability=1, realign=False))
    assert result.shape is not None
    with pytest.raises(ValueError, match="pose pool is empty"):
        transform(dance, nobody, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"probability": 1.5}, "probability must be 0 to 1, got 1.5"),
        ({"drop_chance": -0.1}, "drop_chance must be 0 to 1"),
        ({"probability": float("nan")}, "probability must be 0 to 1"),
        ({"groups": ("limbs",)}, "unknown group of operations 'limbs'"),
    ],
)
def test_bad_settings_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        Augmentation(**options)


def test_on_canvas_keeps_proportions_and_centres(dance):
    result = on_canvas(dance, 2048, 758)
    on = dance.present
    np.testing.assert_allclose(result.points[on], dance.points[on] + (768, 0), atol=1e-3)
    half = on_canvas(dance, 256, 379)
    np.testing.assert_allclose(half.points[on], dance.points[on] / 2, atol=1e-3)
    assert (half.width, half.height) == (256, 379)
    wild = replace(dance, points=np.full_like(dance.points, np.inf), scores=np.zeros_like(dance.scores))
    assert np.isfinite(on_canvas(wild, 10, 10).points).all()


def test_a_pool_survives_the_disk(tmp_path, pool):
    saved = save_pool(tmp_path / "index.json", zip(pool.names, pool.anchors, strict=True))
    loaded = load_pool(tmp_path / "index.json")
    assert loaded.names == saved.names == ("a", "b", "c")
    for a, b in zip(loaded.anchors, pool.anchors, strict=True):
        np.testing.assert_array_equal(a.points, b.points)
        assert (a.width, a.height) == (b.width, b.height)


def test_an_index_by_hand_picks_frames_of_one_file(tmp_path, dance):
    (tmp_path / "clips").mkdir()
    save_openpose(tmp_path / "clips" / "dance.json", dance)
    entries = [{"file": "clips/dance.json"}, {"name": "later", "file": "clips/dance.json", "frame": 5, "person": 0}]
    (tmp_path / "pool.json").write_text(json.dumps({"anchors": entries}))
    loaded = load_pool(tmp_path / "pool.json")
    assert loaded.names == ("clips/dance.json[0]", "later")
    np.testing.assert_array_equal(loaded.anchors[1].points, dance.points[5:6])


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("[]", "expected an object"),
        ("{", "not JSON"),
        ('{"anchors": 3}', "expected an object"),
        ('{"anchors": [3]}', r"anchors\[0\]: expected an object with the name of a \"file\", found 3"),
        ('{"anchors": [{"file": "../secret.json"}]}', r"anchors\[0\].file: must lie in the folder"),
        ('{"anchors": [{"file": "/etc/passwd"}]}', r"anchors\[0\].file: must lie in the folder"),
        ('{"anchors": [{"file": "p.json", "frame": 99}]}', r"anchors\[0\].frame: expected a whole number from 0 to 7"),
        ('{"anchors": [{"file": "p.json", "frame": true}]}', r"anchors\[0\].frame"),
        ('{"anchors": [{"file": "p.json", "frame": 0.5}]}', r"anchors\[0\].frame"),
        ('{"anchors": [{"file": "p.json", "frame": "0"}]}', r"anchors\[0\].frame"),
        ('{"anchors": [{"file": "p.json", "person": 1}]}', r"anchors\[0\].person"),
    ],
)
def test_a_bad_index_is_refused_with_its_file_and_entry(tmp_path, dance, document, message):
    save_openpose(tmp_path / "p.json", dance)
    index = tmp_path / "pool.json"
    index.write_text(document)
    with pytest.raises(ValueError, match=message) as error:
        load_pool(index)
    assert str(index) in str(error.value)
