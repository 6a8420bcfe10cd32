"""Cross-driven pairs with a known answer: a reference beside the video, and another who drives."""

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from animatex_training import prepare as module
from animatex_training.augment import ReadSettings
from animatex_training.config import DataSettings
from animatex_training.dataset import ClipDataset, held_out
from animatex_training.open_data import open_data
from animatex_training.prepare import prepare
from animatex_training.prepare_settings import PrepareError, key_of
from animatex_training.sample import Draw
from animatex_training.sources import find_sources

from animatex_core.contact_sheet import save_picture
from animatex_core.pictures import load_picture
from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.pose.keypoints import empty
from animatex_core.video import read_frames, write_video
from tests.training.data_files import SIZE, prepared, settings, write_networks, write_pairs, write_videos
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


def test_without_a_video_the_ipi_reads_the_reference_at_every_frame(root):
    told = replace(PLAIN, still=1.0, cross=1.0)
    read, alone = (ClipDataset(root / "latents", FRAMES, replace(told, without_video=v)) for v in (0.0, 1.0))
    for seed in range(4):
        assert differing(read[Draw(0, seed)], alone[Draw(0, seed)]) == {"features"}
        sample = alone[Draw(0, seed)]
        assert torch.equal(sample.features, sample.image_feature.expand(FRAMES, -1))
    assert read.fingerprint != alone.fingerprint


def test_a_data_set_without_pairs_says_so_where_a_configuration_asks_for_them(root, tmp_path, caplog):
    asked = {"still": 0.9, "cross": 1.0}
    open_data(DataSettings(folder=str(root / "latents"), frames=FRAMES, settings=asked), 0)
    assert not caplog.records
    plain = prepared(tmp_path)
    open_data(DataSettings(folder=str(plain), frames=FRAMES), 0)
    open_data(DataSettings(folder=str(plain), frames=FRAMES, settings={"still": 0.0, "cross": 0.0}), 0)
    assert not caplog.records
    open_data(DataSettings(folder=str(plain), frames=FRAMES, settings=asked), 0)
    told = [record.getMessage() for record in caplog.records]
    assert [("data.settings.still" in line, "data.settings.cross" in line) for line in told] == [
        (True, False),
        (False, True),
    ]
    assert all(f"none of the 3 clips of {plain}" in line for line in told)


def test_a_share_that_holds_nothing_out_is_said(root, caplog):
    videos = [record.video for record in ClipDataset(root / "latents", FRAMES).records]
    between = next(n / 100 for n in range(100) if sum(held_out(video, n / 100) for video in videos) == 1)
    for share, told in ((0.0, 0), (between, 0), (1e-9, 1)):
        caplog.clear()
        open_data(DataSettings(folder=str(root / "latents"), frames=FRAMES, settings={"validation_share": share}), 0)
        assert len(caplog.records) == told, share
    assert f"data.settings.validation_share: 1e-09 holds out none of the videos of {root / 'latents'}" in caplog.text


def source_of(root, dataset, index):
    return next(s for s in find_sources(root / "videos" / "manifest.jsonl") if s.title == dataset.records[index].video)


def sample_of(dataset, seed):
    """A sample of the first video, wherever the index has it: clips are in the order of their hashes."""
    videos = [record.video for record in dataset.records]
    return dataset[Draw(videos.index(min(videos)), seed)]


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
    stored = sample_of(ClipDataset(root / "latents", FRAMES, ReadSettings(probability=0.0)), 3)
    made = sample_of(ClipDataset(root / "frames", FRAMES, ReadSettings(probability=0.0, vae=str(networks))), 3)
    assert torch.equal(stored.reference, made.reference)
    assert torch.allclose(stored.reference_latent, made.reference_latent, atol=2e-3)
    assert torch.equal(stored.keypoints, made.keypoints)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"image_pose": None}, "image and image_pose go together"),
        ({"driver": None}, "driver and driver_poses go together"),
        ({"driver": "own/none.mp4"}, "driver: .*no such file"),
        ({"driver_poses": "own"}, "driver_poses: .*expected a file, found a folder"),
        ({"image": "own"}, "image: .*expected a file, found a folder"),
    ],
)
def test_half_a_pair_is_refused_by_name(root, change, message):
    manifest = root / "videos" / "half.jsonl"
    row = json.loads((root / "videos" / "manifest.jsonl").read_text().splitlines()[0]) | change
    manifest.write_text(json.dumps(row) + "\n")
    with pytest.raises(ValueError, match=rf"half\.jsonl, entry 1: {message}"):
        find_sources(manifest)


def test_another_file_or_another_role_is_another_content(root):
    source, other = find_sources(root / "videos" / "manifest.jsonl")
    plain = replace(source, image=None, image_pose=None, driver=None, driver_poses=None)
    as_driver = replace(plain, driver=other.video, driver_poses=other.poses)
    as_image = replace(plain, image=other.video, image_pose=other.poses)
    digests = [s.digest() for s in (source, plain, as_driver, as_image, replace(source, driver=other.driver))]
    assert len(set(digests)) == 5


def test_the_overview_counts_and_shows_what_is_beside(root):
    told = json.loads((root / "latents" / "statistics.json").read_text())
    assert (told["references given"], told["drivers given"], told["clips"]) == (2, 2, 2)


# What does not fit: the file that is named, and the reason.
def reasons(root, tmp_path, source):
    good = find_sources(root / "videos" / "manifest.jsonl")[1]
    result = prepare([source, good], tmp_path / "data", settings(root / "networks", store="frames"), most_bad=0.5)
    assert len(result.index.clips) == 1
    assert len(list((tmp_path / "data" / "clips").glob("*.safetensors"))) == 1  # nothing of the bad one is left
    return result.index.skipped[0][1]


def test_a_driver_that_does_not_fit_is_a_reason(root, tmp_path):
    write_videos(tmp_path / "short", 1, 12, seed=5)
    source, short = find_sources(root / "videos" / "manifest.jsonl")[0], find_sources(tmp_path / "short")[0]
    frames = list(read_frames(source.driver))
    write_video(tmp_path / "fast.mp4", frames, 60)
    write_video(tmp_path / "mixed", frames, 24)
    save_picture(tmp_path / "mixed" / "000007.png", frames[7][:32], overwrite=True)
    save_openpose(tmp_path / "nobody.json", empty(20, *SIZE))
    save_openpose(tmp_path / "wide.json", empty(20, 96, 64))
    for number, (change, reason) in enumerate([
        ({"driver": short.video}, r"clip_000\.\w+: 12 frames of 64x96, .*expected 20 of one size"),
        ({"driver_poses": short.poses}, r"clip_000\.json: poses of 12 frames, the driver has 20"),
        ({"driver": tmp_path / "fast.mp4"}, r"fast\.mp4: 60 frames a second, the video has"),
        ({"driver": tmp_path / "mixed", "fps": source.open()[0]}, r"mixed: 20 frames of 64x32, 64x96"),
        ({"driver_poses": tmp_path / "nobody.json"}, r"frames 0\+20 of the driver: a person in 0% of them only"),
        ({"driver_poses": tmp_path / "wide.json"}, r"wide\.json: poses for pictures of 96x64, the driver has 64x96"),
    ]):  # fmt: skip
        assert re.search(reason, reasons(root, tmp_path / str(number), replace(source, **change))), reason


def test_the_rate_of_a_driver_s_pictures_may_be_corrected(root, tmp_path, monkeypatch):
    source = find_sources(root / "videos" / "manifest.jsonl")[0]
    rate, chosen = source.open()[0], settings(root / "networks", store="frames")
    write_video(tmp_path / "driver", list(read_frames(source.driver)), rate)
    wrong, right = (replace(source, driver=tmp_path / "driver", fps=fps) for fps in (60.0, 1.01 * rate))
    with pytest.raises(PrepareError, match=f"driver: 60 frames a second, the video has {rate:g}"):
        prepare([wrong], tmp_path / "data", chosen)
    monkeypatch.setattr(module, "key_of", lambda facts, content, rate=None: key_of(facts, content))
    prepare([right], tmp_path / "old", chosen)
    monkeypatch.undo()
    assert [prepare([right], tmp_path / name, chosen).reused for name in ("data", "old")] == [0, 1]
    with pytest.raises(PrepareError, match="60 frames a second"):
        prepare([wrong], tmp_path / "old", chosen)


def test_a_picture_that_does_not_fit_is_a_reason(root, tmp_path):
    source = find_sources(root / "videos" / "manifest.jsonl")[0]
    save_picture(tmp_path / "wide.png", load_picture(source.image)[:48])
    save_openpose(tmp_path / "nobody.json", empty(1, *SIZE))
    for number, (change, reason) in enumerate([
        ({"image": tmp_path / "wide.png"}, r"wide\.png: 64x48, expected the shape of the video, 64x96"),
        ({"image_pose": source.poses}, r"clip_000\.json: poses of 20 frames, a picture has 1"),
        ({"image_pose": tmp_path / "nobody.json"}, r"nobody\.json: nobody is in it"),
    ]):  # fmt: skip
        assert re.search(reason, reasons(root, tmp_path / str(number), replace(source, **change))), reason


def test_a_driver_of_another_size_is_read_in_step_with_every_stretch(root, tmp_path):
    """Two stretches of every second frame: each has the driver's own frames, as shares of its own picture."""
    source = find_sources(root / "videos" / "manifest.jsonl")[0]
    wide = [np.repeat(frame, 2, 1) for frame in read_frames(source.driver)]
    write_video(tmp_path / "wide", wide, source.open()[0])
    poses = load_openpose(source.driver_poses)
    points = poses.points * np.array([2, 1], np.float32)
    save_openpose(tmp_path / "wide.json", replace(poses, points=points, width=2 * poses.width))
    rate = source.open()[0]
    other = replace(source, driver=tmp_path / "wide", driver_poses=tmp_path / "wide.json", fps=rate)
    halved = settings(root / "networks", store="frames", shortest=5, longest=5, most_fps=rate / 2)
    index = prepare([other], tmp_path / "data", halved).index
    assert [clip.start for clip in index.clips] == [0, 5]
    for number in (0, 1):
        dataset = ClipDataset(tmp_path / "data", 5, ReadSettings(vae=str(root / "networks" / "vae.safetensors")))
        expected = poses.frames(slice(10 * number, 10 * number + 10, 2)).ipi_keypoints()
        np.testing.assert_allclose(dataset[Draw(number, 0)].keypoints, expected, atol=1e-3)
