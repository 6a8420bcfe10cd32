"""Samples follow from their draws; the Explicit Pose Indicator changes the drawn poses and nothing else."""

import hashlib
import json
import shutil
from copy import deepcopy
from dataclasses import fields, replace

import numpy as np
import pytest
import torch
from animatex_training.augment import ReadSettings, draw_window, explicit_pose, read_settings
from animatex_training.config import DataSettings
from animatex_training.dataset import ClipDataset
from animatex_training.open_data import open_data
from animatex_training.prepare import prepare
from animatex_training.sample import Draw, Sample, collate
from animatex_training.shards import INDEX, DatasetError, read_index
from animatex_training.sources import find_sources

from animatex_core.config import TINY
from animatex_core.model import AnimateX
from animatex_core.pose.epi import GROUPS
from animatex_core.pose.io import load_openpose
from animatex_core.pose.pool import save_pool
from tests.training.data_files import prepared, settings

FRAMES = 6
TENSORS = [f.name for f in fields(Sample) if f.name != "clip"]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    pytest.importorskip("diffusers", reason='pip install "animate-x[offline]"')
    folder = tmp_path_factory.mktemp("training")
    prepared(folder, count=3)
    return folder


@pytest.fixture(scope="module")
def folder(root):
    return root / "data"


def differing(one, other):
    return {name for name in TENSORS if not torch.equal(getattr(one, name), getattr(other, name))}


def test_a_sample_follows_from_its_draw_alone(folder):
    one, other = ClipDataset(folder, FRAMES), deepcopy(ClipDataset(folder, FRAMES))
    assert not differing(one[Draw(1, 99)], other[Draw(1, 99)])
    assert differing(one[Draw(1, 99)], one[Draw(1, 100)])
    assert one.fingerprint == other.fingerprint


def test_details_weigh_the_loss_where_the_clip_has_them_and_change_nothing_else(folder):
    drawn = ReadSettings(probability=1.0)
    plain, weighed, other = (
        ClipDataset(folder, FRAMES, s)
        for s in (drawn, replace(drawn, details=8.0), replace(drawn, details=8.0, probability=0.0))
    )
    assert differing(plain[Draw(1, 99)], weighed[Draw(1, 99)]) == {"weight"}
    assert (plain[Draw(1, 99)].weight == 1).all() and weighed[Draw(1, 99)].weight.max() > 5
    assert differing(weighed[Draw(1, 99)], other[Draw(1, 99)]) == {"pose"}  # the clip's own poses, not the drawn ones
    assert plain.fingerprint != weighed.fingerprint
    whole = ClipDataset(folder, FRAMES, read_settings({"probability": 1.0, "details": 8}))
    assert whole.fingerprint == weighed.fingerprint  # a whole number means the same


def test_what_a_sample_holds_is_of_the_window_and_of_the_video(root, folder):
    dataset = ClipDataset(folder, FRAMES, ReadSettings(probability=0.0))
    for seed in range(8):
        sample = dataset[Draw(0, seed)]
        record = dataset.records[0]
        window = draw_window(np.random.default_rng(seed).spawn(1)[0], record.frames, 4, FRAMES, (1, 2, 3, 4))
        poses = load_openpose((root / "videos" / record.video).with_suffix(".json"))
        expected = poses.frames(window.span).ipi_keypoints()
        np.testing.assert_allclose(sample.keypoints, expected, atol=1e-4)
        assert sample.latents.shape == (4, FRAMES, 12, 8) and sample.pose.shape == (3, FRAMES, 96, 64)
        assert window.start + (FRAMES - 1) * window.interval < record.frames


def test_the_reference_is_a_frame_with_its_own_pose_feature_and_latent(folder):
    one_frame = ClipDataset(folder, 1, ReadSettings(probability=0.0))
    by_keypoints = {}
    for seed in range(100):
        sample = one_frame[Draw(0, seed)]
        by_keypoints[sample.keypoints.numpy().tobytes()] = sample
    checked = 0
    for seed in range(20):
        sample = one_frame[Draw(0, seed)]
        same = by_keypoints.get(sample.reference_keypoints[None].numpy().tobytes())
        if same is not None:
            checked += 1
            assert torch.equal(sample.reference_latent, same.latents[:, 0])
            assert torch.equal(sample.image_feature, same.features[0])
            assert torch.equal(sample.reference_pose, same.pose[:, 0])
    assert checked > 10


def test_the_explicit_pose_indicator_changes_the_drawn_poses_only(folder):
    plain = ClipDataset(folder, FRAMES, ReadSettings(probability=0.0))
    always = ClipDataset(folder, FRAMES, ReadSettings(probability=1.0))
    for seed in range(6):
        assert differing(plain[Draw(0, seed)], always[Draw(0, seed)]) == {"pose"}


@pytest.mark.parametrize(
    ("probability", "draws", "off"), [(1.0, 40, 0), (0.98, 400, 0.025), (0.8, 200, 0.1), (0.5, 200, 0.12), (0.0, 40, 0)]
)
def test_lambda_is_the_share_of_samples_that_are_transformed(folder, probability, draws, off):
    dataset = ClipDataset(folder, 1, ReadSettings(probability=probability))
    driver = load_openpose(folder.parent / "videos" / "clip_000.json").frames(slice(3, 4))
    changed = 0
    for seed in range(draws):
        rng = np.random.default_rng(seed).spawn(2)[1]
        found = explicit_pose(driver, dataset.pool, rng, dataset.settings).poses
        changed += not (np.array_equal(found.points, driver.points) and np.array_equal(found.scores, driver.scores))
    assert abs(changed / draws - probability) <= off


@pytest.mark.parametrize(
    "name, group", list(zip(("body_shoulders", "neck_face", "arms_legs", "add", "drop"), GROUPS, strict=True))
)
def test_an_ablation_takes_away_its_operations_and_leaves_the_others(name, group):
    everything, without = ReadSettings().augmentation, replace(ReadSettings(), **{name: False}).augmentation
    assert set(everything.groups) - set(without.groups) == {group}
    lost = 0
    for seed in range(60):
        full = everything.sample(np.random.default_rng(seed)).changed()
        less = without.sample(np.random.default_rng(seed)).changed()
        gone = {
            line.operation for line in everything.table if line.group == group
        } | ({group} if group in ("add", "drop") else set())  # fmt: skip
        assert less == {key: value for key, value in full.items() if key not in gone}
        lost += len(full) - len(less)
    assert lost > 0


def test_the_other_ablations_are_what_they_say(folder):
    assert ReadSettings(rescale=False).augmentation.groups == ()
    assert not ReadSettings(realign=False).augmentation.realign
    draw = Draw(0, 4)
    made = [ClipDataset(folder, FRAMES, ReadSettings(probability=1.0, **c))[draw].pose
            for c in ({}, {"realign": False}, {"rescale": False})]  # fmt: skip
    assert not torch.equal(made[0], made[1]) and not torch.equal(made[0], made[2])


def test_settings_are_read_strictly():
    assert read_settings({"probability": 1, "intervals": [2, 3]}) == ReadSettings(probability=1, intervals=(2, 3))
    for values, message in (
        ({"lamda": 0.9}, "lamda: unknown"),
        ({"realign": "no"}, "realign: expected something like True"),
        ({"probability": 1.5}, "probability: expected 0 to 1"),
        ({"intervals": []}, "intervals: expected numbers"),
    ):
        with pytest.raises(ValueError, match=message):
            read_settings(values)


def test_intervals_are_drawn_among_those_that_fit():
    seen = {draw_window(np.random.default_rng(s), 17, 1, 8, (1, 2, 3, 4)).interval for s in range(60)}
    assert seen == {1, 2}
    with pytest.raises(ValueError, match="too short"):
        draw_window(np.random.default_rng(0), 7, 1, 8, (1, 2))


def test_batches_run_through_the_network(folder):
    data = open_data(DataSettings(folder=str(folder), frames=FRAMES, batch=2), seed=0)
    batch = data.collate([data.dataset[draw] for draw in next(iter(data.sampler(0, 1)))])
    model = AnimateX(TINY)
    with torch.no_grad():
        conditions = model.encode(batch.inputs, FRAMES, 12, 8, batch=2)
        out = model(batch.latents, torch.tensor([5, 900]), conditions)
    assert out.shape == batch.latents.shape and torch.isfinite(out).all()
    assert float(batch.inputs.reference.max()) <= 1 and len(batch.clips) == 2


def test_samples_of_two_sizes_do_not_make_a_batch(folder):
    sample = ClipDataset(folder, FRAMES)[Draw(0, 0)]
    with pytest.raises(ValueError, match=r"latents is \[4, 2, 12, 8\]"):
        collate([sample, replace(sample, latents=sample.latents[:, :2])])


def test_frames_are_encoded_when_they_are_read(root):
    folder, networks = root / "frames", root / "networks"
    prepare(find_sources(root / "videos"), folder, settings(networks, store="frames"))
    with pytest.raises(DatasetError, match=r"data\.settings\.vae"):
        ClipDataset(folder, FRAMES)
    dataset = ClipDataset(folder, FRAMES, ReadSettings(vae=str(networks / "vae.safetensors"), probability=0.0))
    sample = deepcopy(dataset)[Draw(0, 3)]
    assert sample.latents.shape == (4, FRAMES, 12, 8) and torch.isfinite(sample.reference_latent).all()


def test_videos_are_held_out_by_name(folder):
    parts = [ClipDataset(folder, FRAMES, ReadSettings(validation_share=share)) for share in (0.0, 0.5)]
    assert parts[0].validation == [] and len(parts[0].training) == 3
    assert parts[1].validation and set(parts[1].training) | set(parts[1].validation) == {0, 1, 2}
    assert set(parts[1].sizes) == set(parts[1].training)
    assert len(parts[1].pool) == len(parts[1].training)
    assert {draw.index for draw in parts[1].fixed_draws()} == set(parts[1].validation)


def test_other_clips_for_training_are_another_data_set(folder):
    one, other = (ClipDataset(folder, FRAMES, ReadSettings(validation_share=0.5)) for _ in range(2))
    assert one.fingerprint == other.fingerprint
    other.training = one.validation  # as by other names of the same videos
    assert one.fingerprint != other.fingerprint


def test_a_vae_counts_by_its_content_and_where_it_encodes(root, folder, tmp_path):
    frames = root / "frames"
    prepare(find_sources(root / "videos"), frames, settings(root / "networks", store="frames"))

    def told(data, path):
        return ClipDataset(data, FRAMES, ReadSettings(vae=str(path))).fingerprint

    (tmp_path / "a").write_bytes(b"one")
    (tmp_path / "b").write_bytes(b"one")
    (tmp_path / "c").write_bytes(b"other")
    assert told(frames, tmp_path / "a") == told(frames, tmp_path / "b") != told(frames, tmp_path / "c")
    with pytest.raises(DatasetError, match=r"data\.settings\.vae: .*nowhere: No such file"):
        told(frames, tmp_path / "nowhere")
    assert told(folder, tmp_path / "nowhere") == ClipDataset(folder, FRAMES).fingerprint  # it holds latents


def test_a_pose_pool_counts_by_its_content(root, folder, tmp_path):
    poses = load_openpose(root / "videos" / "clip_000.json")

    def told(index, frame=None):
        if frame is not None:
            save_pool(index, [("one", poses.frames(slice(frame, frame + 1)))])
        return ClipDataset(folder, FRAMES, ReadSettings(pool=str(index))).fingerprint

    before = told(tmp_path / "a" / "pool.json", 3)
    shutil.copytree(tmp_path / "a", tmp_path / "b")
    assert told(tmp_path / "b" / "pool.json") == before
    shutil.rmtree(tmp_path / "a")
    assert told(tmp_path / "a" / "pool.json", 4) != before != ClipDataset(folder, FRAMES).fingerprint


def test_without_such_files_the_fingerprint_is_that_of_earlier_runs(folder):
    dataset = ClipDataset(folder, FRAMES)
    read = [0.98, *[True] * 7, "", (1, 2, 3, 4), True, "", 0.0, 1.0, 1.0]
    clips = [record.clip for record in dataset.records]
    told = repr([read_index(folder).fingerprint, clips, FRAMES, [0, 1, 2], *read])
    assert dataset.fingerprint == hashlib.sha256(told.encode()).hexdigest()


def test_what_is_missing_or_damaged_is_said(root, folder, tmp_path):
    with pytest.raises(DatasetError, match="no such file; write a data set"):
        read_index(tmp_path)
    with pytest.raises(DatasetError, match="none of its 3 clips has 500 frames"):
        ClipDataset(folder, 500)
    copy = tmp_path / "copy"
    prepare(find_sources(root / "videos"), copy, settings(root / "networks", store="frames"))
    clip = next((copy / "clips").glob("*.safetensors"))
    clip.write_bytes(clip.read_bytes()[:-10])
    dataset = ClipDataset(copy, FRAMES, ReadSettings(vae="unused"))
    number = [record.clip for record in dataset.records].index(clip.stem)
    with pytest.raises(DatasetError, match=r"expected .* bytes, found .*: run prepare again"):
        dataset[Draw(number, 0)]
    document = json.loads((copy / INDEX).read_text())
    (copy / INDEX).write_text(json.dumps({**document, "format": 99}))
    with pytest.raises(DatasetError, match="format 99"):
        read_index(copy)
