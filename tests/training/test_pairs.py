"""Cross-driven pairs with a known answer: a reference beside the video, and another who drives."""

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from animatex_training.augment import ReadSettings
from animatex_training.dataset import ClipDataset
from animatex_training.prepare import prepare
from animatex_training.sample import Draw
from animatex_training.sources import find_sources

from animatex_core.pictures import load_picture
from animatex_core.pose.io import load_openpose, save_openpose
from tests.training.data_files import settings, write_networks, write_pairs, write_videos
from tests.training.test_dataset import FRAMES, differing

pytest.importorskip("diffusers", reason='pip install "animate-x[offline]"')
PLAIN = ReadSettings(probability=0.0, still=0.0, cross=0.0)


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    manifest, networks = write_pairs(folder / "videos"), write_networks(folder / "networks")
    for store in ("latents", "frames"):
        prepare(find_sources(manifest), folder / store, settings(networks, store=store))
    return folder


def source_of(root, dataset, index):
    return next(s for s in find_sources(root / "videos" / "manifest.jsonl") if s.title == dataset.records[index].video)


def test_the_given_picture_is_the_reference(root):
    own, still = (
        ClipDataset(root / "latents", FRAMES, PLAIN),
        ClipDataset(root / "latents", FRAMES, replace(PLAIN, still=1.0)),
    )
    changed = {"reference", "reference_pose", "reference_latent", "image_feature", "reference_keypoints"}
    for seed in range(4):
        assert differing(own[Draw(0, seed)], still[Draw(0, seed)]) <= changed
    sample, source = still[Draw(0, 1)], source_of(root, still, 0)
    np.testing.assert_array_equal(sample.reference.permute(1, 2, 0), load_picture(source.image))
    np.testing.assert_allclose(
        sample.reference_keypoints, load_openpose(source.image_pose).ipi_keypoints()[0], atol=1e-4
    )
    # it is the last frame of the video, so its latent and feature are that frame's
    last = ClipDataset(root / "latents", 20, replace(PLAIN, intervals=(1,)))[Draw(0, 0)]
    assert torch.allclose(sample.reference_latent, last.latents[:, -1], atol=2e-3)
    assert torch.allclose(sample.image_feature, last.features[-1], atol=2e-2)


def test_the_other_figure_is_what_the_implicit_pose_indicator_reads(root):
    own, cross = (
        ClipDataset(root / "latents", FRAMES, PLAIN),
        ClipDataset(root / "latents", FRAMES, replace(PLAIN, cross=1.0)),
    )
    for seed in range(4):
        assert differing(own[Draw(0, seed)], cross[Draw(0, seed)]) == {"features", "keypoints"}
    every = ClipDataset(root / "latents", 20, replace(PLAIN, cross=1.0, intervals=(1,)))
    driver = load_openpose(source_of(root, every, 0).driver_poses)
    np.testing.assert_allclose(every[Draw(0, 0)].keypoints, driver.ipi_keypoints(), atol=1e-4)


def test_both_stand_in_as_often_as_asked(root):
    shares = {"still": 0.25, "cross": 0.75}
    own = ClipDataset(root / "latents", 1, PLAIN)
    mixed = ClipDataset(root / "latents", 1, replace(PLAIN, **shares))
    told = [differing(own[Draw(0, seed)], mixed[Draw(0, seed)]) for seed in range(200)]
    assert abs(sum("features" in names for names in told) / 200 - 0.75) < 0.1
    assert abs(sum("reference_keypoints" in names for names in told) / 200 - 0.25) < 0.12
    assert own.fingerprint != mixed.fingerprint


def test_stored_as_frames_it_is_encoded_with_them(root):
    networks = root / "networks" / "vae.safetensors"
    stored = ClipDataset(root / "latents", FRAMES, ReadSettings(probability=0.0))[Draw(0, 3)]
    made = ClipDataset(root / "frames", FRAMES, ReadSettings(probability=0.0, vae=str(networks)))[Draw(0, 3)]
    assert torch.equal(stored.reference, made.reference)
    assert torch.allclose(stored.reference_latent, made.reference_latent, atol=2e-3)
    assert torch.equal(stored.keypoints, made.keypoints)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_pose": None}, "image and image_pose go together"),
        ({"driver": None}, "driver and driver_poses go together"),
        ({"driver": "own/none.mp4"}, "driver: .*no such file"),
    ],
)
def test_half_a_pair_is_refused_by_name(root, change, message):
    manifest = root / "videos" / "half.jsonl"
    row = json.loads((root / "videos" / "manifest.jsonl").read_text().splitlines()[0]) | change
    manifest.write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=rf"half\.jsonl, entry 1: {message}"):
        find_sources(manifest)


def test_a_driver_that_ends_before_or_a_picture_of_another_shape_is_a_reason(root, tmp_path):
    write_videos(tmp_path / "short", 1, 12, seed=5)
    source = find_sources(root / "videos" / "manifest.jsonl")[0]
    short = find_sources(tmp_path / "short")[0]
    poses = load_openpose(source.driver_poses)
    save_openpose(tmp_path / "poses.json", poses)
    for changed, reason in (
        (replace(source, driver=short.video, driver_poses=short.poses), "poses of 12 frames, the video has 20"),
        (replace(source, driver=short.video), "ends before the video, at frame 12"),
        (replace(source, image_pose=source.poses), "poses of 20 frames"),
    ):
        good = find_sources(root / "videos" / "manifest.jsonl")[1]
        result = prepare([changed, good], tmp_path / "data", settings(root / "networks", store="frames"), most_bad=0.5)
        assert len(result.index.clips) == 1 and reason in result.index.skipped[0][1]
