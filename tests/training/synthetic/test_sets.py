"""What the commands write: the mini benchmark, clips to train on, and stills."""

import importlib
import json

import numpy as np
import pytest
from animatex_training.evidence.driven import driven_errors
from animatex_training.sources import find_sources
from animatex_training.synthetic.benchmark import write_benchmark
from animatex_training.synthetic.cast import TRAINING_MOTIONS, draw_looks, draw_rescaled, redressed
from animatex_training.synthetic.costumes import Dressed
from animatex_training.synthetic.held_out import KINDS, MOTIONS, factors, in_range, members
from animatex_training.synthetic.motion import standing
from animatex_training.synthetic.stills import load_stills, make_stills, save_stills
from animatex_training.synthetic.training_clips import draw_somebody, write_clips

from animatex_core.pictures import load_picture
from animatex_core.pose.io import load_openpose
from tests.training.synthetic.recordings import wild_motion


@pytest.fixture(scope="module")
def recordings():
    names = sorted({source for source, _ in MOTIONS.values()} | set(TRAINING_MOTIONS))
    return {name: wild_motion(frames=40, seed=seed) for seed, name in enumerate(names)}


def test_the_cast_is_eight_in_range_eight_out_of_it_and_four_objects(body_model):
    cast = members(body_model)
    assert [sum(m.kind == kind for m in cast) for kind in KINDS] == [8, 8, 4]
    assert len({m.name for m in cast}) == 20
    adult = next(m.puppet for m in cast if m.name == "strong")
    for member in cast:
        if member.kind != "object":
            assert in_range(factors(member.puppet, adult)) == (member.kind == "in range"), member.name


def test_the_benchmark_is_a_set_of_the_evaluation(body_model, renderer, recordings, tmp_path, monkeypatch):
    few = {name: MOTIONS[name] for name in ("kick", "jump")}
    monkeypatch.setattr("animatex_training.synthetic.held_out.MOTIONS", few)
    monkeypatch.setattr("animatex_training.synthetic.benchmark.members", lambda model: members(model)[8:10])
    names = write_benchmark(tmp_path / "set", recordings, width=64, height=96)
    assert names == ["bighead-kick", "bighead-jump", "stubby-kick", "stubby-jump"]
    case = tmp_path / "set" / "bighead-kick"
    masks = [load_picture(path) for path in sorted((case / "mask").glob("*.png"))]
    assert len(masks) == 16 and set(np.unique(masks)) == {0, 255}
    poses, driver = load_openpose(case / "poses.json"), load_openpose(case / "driver_poses.json")
    assert len(poses) == len(driver) == 16 and not np.allclose(poses.points, driver.points, atol=5)
    assert np.mean(driven_errors(tmp_path / "set")["out of range"]) < 4.2  # 3.8 px; 4.7 when clips are not framed
    assert json.loads((case / "case.json").read_text())["facts"]["kind"] == "out of range"
    evaluation = pytest.importorskip("animatex_training.evaluation.cases", reason="the evaluation is not there")
    assert importlib.import_module(evaluation.__name__).validate(tmp_path / "set") == []
    write_benchmark(tmp_path / "other", recordings, width=64, height=96, clothes=1)
    other = tmp_path / "other" / "bighead-kick"
    for name in ("case.json", "image.png", "poses.json", "video/000005.png", "mask/000005.png"):
        assert (case / name).read_bytes() == (other / name).read_bytes(), name
    np.testing.assert_allclose(load_openpose(other / "driver_poses.json").points, driver.points, atol=1e-2)
    frame, redone = (load_picture(folder / "driver" / "000005.png") for folder in (case, other))
    assert (frame != redone).any() and (frame[0, 0] == redone[0, 0]).all()


def test_other_clothes_are_far_from_the_own_ones_and_leave_the_skin():
    rng = np.random.default_rng(4)
    looks = draw_looks(rng)
    other = redressed(looks, rng)
    assert other.background == looks.background and other.clothes["skin"] == looks.clothes["skin"]
    for part in ("shirt", "trousers", "shoes"):
        assert np.linalg.norm(np.subtract(other.clothes[part], looks.clothes[part])) > 0.4
        assert np.linalg.norm(np.subtract(other.clothes[part], looks.background)) > 0.3


def test_clips_are_read_by_prepare_and_follow_from_the_seed(body_model, renderer, recordings, tmp_path):
    train = {name: recordings[name] for name in TRAINING_MOTIONS}
    for folder, bodies in (("a", 1), ("b", 2)):
        write_clips(tmp_path / folder, train, bodies=bodies, each=2, seed=3, width=64, height=96)
    found = find_sources(tmp_path / "b" / "manifest.jsonl")
    assert len(found) == 4 and all(s.poses and s.licence == "CC0-1.0" and s.fps == 12 for s in found)
    assert len(list(found[0].open()[1])) == len(load_openpose(found[0].poses)) == 16
    assert found[0].digest() == find_sources(tmp_path / "a" / "manifest.jsonl")[0].digest()
    assert len({s.digest() for s in found}) == 4
    for source in found:
        poses, driver = load_openpose(source.poses), load_openpose(source.driver_poses)
        assert len(list(source.open_driver()[1])) == len(driver) == 16 and not np.allclose(poses.points, driver.points)
        assert len(load_openpose(source.image_pose)) == 1 and load_picture(source.image).shape == (96, 64, 3)
    assert found[0].image == found[1].image != found[2].image


def test_costumes_are_another_s_clips_only_where_they_are_asked_for(body_model, renderer, recordings, tmp_path):
    train = {name: recordings[name] for name in TRAINING_MOTIONS}
    for share in (0.0, 1.0):
        folder = tmp_path / f"{share:g}"
        write_clips(folder, train, bodies=1, each=1, seed=3, dressed_up=share, width=64, height=96)
        assert f"dressed up {share:g}" in json.loads((folder / "manifest.jsonl").read_text())["source"]
    plain, costumed = (load_picture(tmp_path / share / "human_0000.png") for share in ("0", "1"))
    assert (plain[0, 0] == costumed[0, 0]).all() and (plain != costumed).any(-1).mean() > 0.02


def test_mascots_have_a_share_that_the_source_names(body_model, renderer, recordings, tmp_path):
    train = {name: recordings[name] for name in TRAINING_MOTIONS}
    write_clips(tmp_path, train, bodies=1, each=1, seed=3, mascots=1, width=64, height=96)
    source = json.loads((tmp_path / "manifest.jsonl").read_text())["source"]
    assert source.endswith("rescaled 0.75, dressed up 0, mascots 1")
    who, _ = draw_somebody(body_model, np.random.default_rng(3), rescaled=0, dressed_up=0, mascots=1)
    assert isinstance(who, Dressed) and set(who.costume.marks) == {0, 14, 15, 16, 17}


def test_varied_motions_have_a_share_that_the_source_names(body_model, renderer, recordings, tmp_path):
    train = {name: recordings[name] for name in TRAINING_MOTIONS}
    for share in (0, 1):
        write_clips(tmp_path / str(share), train, bodies=1, each=1, seed=3, varied=share, width=64, height=96)
    sources = [json.loads((tmp_path / share / "manifest.jsonl").read_text())["source"] for share in ("0", "1")]
    assert [source.rsplit(", ", 1)[1] for source in sources] == ["dressed up 0", "varied 1"]
    plain, varied = (load_openpose(tmp_path / share / "human_0000_00.json") for share in ("0", "1"))
    assert plain.points.shape == varied.points.shape and np.abs(plain.points - varied.points).max() > 3


def test_nothing_is_drawn_for_a_share_of_0(body_model):
    """Clips of before there were costumes and mascots stay the same."""
    ours, theirs = np.random.default_rng(3), np.random.default_rng(3)
    who, looks = draw_somebody(body_model, ours, rescaled=0.75, dressed_up=0, mascots=0)
    assert theirs.random() < 0.75
    other, others_looks = draw_rescaled(body_model, theirs)
    assert looks == others_looks and ours.random() == theirs.random()
    np.testing.assert_array_equal(who.pose(standing().rotations).vertices, other.pose(standing().rotations).vertices)


@pytest.mark.parametrize("name", ["rescaled", "dressed_up", "mascots", "varied"])
def test_a_share_is_from_0_to_1(tmp_path, name):
    with pytest.raises(ValueError, match=f"{name}: expected a share of 0 to 1, got 2"):
        write_clips(tmp_path / "clips", {}, bodies=1, each=1, seed=0, **{name: 2})
    assert not (tmp_path / "clips").exists()


def test_stills_are_in_varied_motions_where_a_share_says_so(body_model, renderer, recordings):
    motions = list(recordings.values())
    made = [make_stills(8, motions, seed=0, figures=1.0, varied=v, width=64, height=96).joints for v in (0, 1)]
    assert np.abs(np.subtract(*made)).max() > 3
    with pytest.raises(ValueError, match="varied: expected a share of 0 to 1, got -1"):
        make_stills(8, motions, seed=0, figures=1.0, varied=-1)


def test_stills_are_kept_with_their_silhouettes(body_model, renderer, recordings, tmp_path):
    stills = make_stills(12, list(recordings.values()), seed=0, figures=0.5, width=64, height=96)
    save_stills(tmp_path / "stills.npz", stills)
    kept = load_stills(tmp_path / "stills.npz")
    assert (
        kept.joints is not None and kept.joints.shape == (12, 18, 3) and set(np.unique(kept.joints[..., 2])) <= {0, 1}
    )
    assert kept.pictures.shape == (12, 96, 64, 3) and np.array_equal(kept.silhouettes, stills.silhouettes)
    np.savez(tmp_path / "other.npz", x=np.zeros(1))
    with pytest.raises(ValueError, match=r"other\.npz: no stills"):
        load_stills(tmp_path / "other.npz")
