"""The job: what reaches the network, from which file, and what is said about it."""

import json
import weakref
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
import torch
from PIL import Image

from animatex_core import motion as motion_of_a_job
from animatex_core import pipeline
from animatex_core.motion import choose_ipi_source, load_motion
from animatex_core.pictures import load_picture, resize, to_tensor
from animatex_core.pose.draw import draw_poses
from animatex_core.pose.io import load_openpose, save_openpose
from animatex_core.pose.keypoints import empty
from animatex_core.settings import Settings
from animatex_core.video import read_frames, write_video
from animatex_core.vision import load_clip_vision
from tests.core.small_files import SMALL_UNIANIMATE, save_ours
from tests.parity.golden import build

SMALL = Settings(width=64, height=96, frames=4, steps=2)


@pytest.fixture
def job(small_files):
    return replace(small_files, settings=SMALL)


@pytest.fixture
def video(tmp_path):
    """Of the length, rate and shape of the dance."""
    path = tmp_path / "drive.mp4"
    pictures = np.random.default_rng(0).integers(0, 255, (32, 48, 32, 3), dtype=np.uint8)
    write_video(path, pictures, Fraction(8))
    return path


def test_stretched_inputs_are_those_of_the_released_program(job):
    job = replace(job, settings=replace(SMALL, fit="stretch", stride=2))
    inputs = pipeline.prepare(job).inputs
    poses = load_openpose(job.poses).frames(np.arange(0, 8, 2))
    drawn = resize(draw_poses(poses), 64, 96)
    assert torch.equal(inputs.pose, to_tensor(drawn).transpose(0, 1)[None])
    picture = load_picture(job.reference)
    assert torch.equal(inputs.reference, to_tensor(resize(picture, 64, 96)))
    feature = load_clip_vision(job.clip).encode(picture[None])
    assert torch.allclose(inputs.image_feature, feature, atol=1e-5)
    assert inputs.keypoints.shape == (1, 4, 2, 18) and inputs.reference_keypoints is None
    first = poses.points[0, 0, 0]
    assert np.allclose(inputs.keypoints[0, 0, :, 0], first / (poses.width, poses.height), atol=1e-6)


def test_the_fit_changes_pictures_and_not_the_keypoints(job):
    found = {f: pipeline.prepare(replace(job, settings=replace(SMALL, fit=f))).inputs for f in ("pad", "stretch")}
    assert torch.equal(found["pad"].keypoints, found["stretch"].keypoints)
    assert not torch.equal(found["pad"].pose, found["stretch"].pose)


def test_ipi_sources(job, video, caplog):
    with_video = replace(job, video=video)
    sources = {
        s: pipeline.prepare(replace(with_video, settings=replace(SMALL, ipi_source=s))).inputs
        for s in ("video", "poses", "reference", "off")
    }
    clip = load_clip_vision(job.clip)
    frames = np.stack(list(read_frames(video, count=4)))
    assert torch.allclose(sources["video"].features[0], clip.encode(resize(frames, 224, 224)), atol=1e-5)
    assert torch.equal(sources["reference"].features[:, 2], sources["reference"].image_feature)
    assert not torch.allclose(sources["poses"].features, sources["video"].features, atol=1e-3)
    assert sources["off"].features is None and sources["off"].keypoints is None
    caplog.clear()
    assert pipeline.prepare(with_video).ipi_source == "video" and not caplog.records
    assert pipeline.prepare(job).ipi_source == "reference" and "no driving video" in caplog.text


def test_the_video_cannot_be_read_where_there_is_none(job):
    motion = load_motion(None, job.poses, SMALL, None)
    with pytest.raises(ValueError, match="--video"):
        choose_ipi_source("video", motion)


def test_paper_mode_feeds_latent_and_pose_instead_of_the_picture(job, tmp_path, caplog):
    settings = replace(SMALL, reference_mode="paper")
    found = pipeline.prepare(replace(job, settings=settings)).inputs
    assert found.reference is None and found.reference_latent.shape == (1, 4, 12, 8) and found.reference_pose is None
    assert "no pose" in caplog.text
    pose = replace(load_openpose(job.poses).frames(slice(0, 1)), width=512, height=768)
    save_openpose(tmp_path / "pose.json", pose)
    with_pose = replace(job, settings=settings, reference_pose=tmp_path / "pose.json")
    found = pipeline.prepare(with_pose).inputs
    assert found.reference_pose.shape == (1, 3, 96, 64) and found.reference_pose.max() > 0.5
    assert found.reference_keypoints.shape == (1, 2, 18)
    read = pipeline.prepare(replace(job, settings=settings), lambda frames, fps: pose).inputs
    assert torch.equal(read.reference_pose, found.reference_pose)
    both = pipeline.prepare(replace(with_pose, settings=replace(SMALL, reference_mode="both"))).inputs
    assert both.reference is not None and torch.equal(both.reference_latent, found.reference_latent)


def test_a_reference_pose_of_another_picture_is_refused_before_anything_is_loaded(job, tmp_path, monkeypatch):
    pose = replace(load_openpose(job.poses).frames(slice(0, 1)), width=100, height=768)
    save_openpose(tmp_path / "other.json", pose)
    for late in ("load_motion", "load_clip_vision"):
        monkeypatch.delattr(pipeline, late)
    with pytest.raises(ValueError, match="canvas is 100x768, the reference picture 512x768"):
        pipeline.prepare(replace(job, reference_pose=tmp_path / "other.json"))


def test_a_reference_pose_without_a_person_is_said_and_left_out(job, tmp_path, caplog):
    save_openpose(tmp_path / "nobody.json", empty(1, 512, 768))
    inputs = pipeline.prepare(replace(job, reference_pose=tmp_path / "nobody.json")).inputs
    assert inputs.reference_keypoints is None and "nobody.json: no person in it" in caplog.text


def test_a_model_without_an_ipi_is_said_once_and_gets_no_motion_inputs(job, video, tmp_path, caplog):
    state = build(SMALL_UNIANIMATE, 3).state_dict()
    model = save_ours(tmp_path / "uni.safetensors", state, SMALL_UNIANIMATE)
    job = replace(job, model=model, video=video, settings=replace(SMALL, ipi_source="video"))
    prepared = pipeline.prepare(job)
    assert prepared.ipi_source == "off" and prepared.inputs.features is None and prepared.inputs.keypoints is None
    assert caplog.text.count("no IPI") == 1
    assert pipeline.metadata(job, prepared)["settings"]["ipi_source"] == "off"
    assert pipeline.denoise(job, prepared).isfinite().all()


def test_denoise_and_decode(job):
    prepared = pipeline.prepare(job)
    steps = []
    latents = pipeline.denoise(job, prepared, lambda done, total, x: steps.append((done, total)))
    assert latents.shape == (4, 4, 12, 8) and steps == [(1, 2), (2, 2)]
    assert torch.equal(latents, pipeline.denoise(job, prepared))
    other = replace(job, settings=replace(SMALL, seed=1))
    assert not torch.equal(latents, pipeline.denoise(other, prepared))
    frames = list(pipeline.decode(job, latents))
    assert len(frames) == 4 and frames[0].shape == (96, 64, 3) and frames[0].dtype == np.uint8


def test_windows_over_all_frames_equal_no_windows(job):
    prepared = pipeline.prepare(job)
    whole = replace(job, settings=replace(SMALL, window=8, overlap=2))
    assert torch.equal(pipeline.denoise(whole, prepared), pipeline.denoise(job, prepared))
    windows = replace(job, settings=replace(SMALL, window=3, overlap=1))
    found = pipeline.denoise(windows, prepared)
    assert not torch.equal(found, pipeline.denoise(job, prepared))
    alone = replace(windows, settings=replace(windows.settings, shared_noise=False))
    assert not torch.equal(found, pipeline.denoise(alone, prepared))


@pytest.mark.parametrize("window", [None, 8])
def test_a_loop_of_one_window_is_not_the_clip_without_it(job, window):
    prepared, loop = pipeline.prepare(job), replace(job, settings=replace(SMALL, window=window, closed_loop=True))
    found = pipeline.denoise(loop, prepared)
    assert found.isfinite().all() and not torch.allclose(found, pipeline.denoise(job, prepared), atol=1e-3)


def test_metadata_names_everything(job):
    facts = pipeline.metadata(job, pipeline.prepare(job))
    assert facts["generated"] is True and facts["settings"]["seed"] == 0 and facts["settings"]["fps"] == 8.0
    assert facts["files"]["reference"] == "banana.png" and facts["frames"] == 4
    assert set(facts["settings"]) >= set(SMALL.as_metadata()) and facts["settings"]["overlap"] is None
    windows = replace(job, settings=replace(SMALL, window=3, closed_loop=True))
    chosen = pipeline.metadata(windows, pipeline.prepare(windows))["settings"]
    assert (chosen["overlap"], chosen["closed_loop"], chosen["shared_noise"]) == (0, True, True)
    json.dumps(facts)


def test_fewer_frames_than_asked_are_said(job, caplog):
    motion = load_motion(None, job.poses, replace(SMALL, frames=100, stride=4), None)
    assert len(motion.poses) == 8 and "8 frames instead of 100" in caplog.text


def test_a_start_after_the_end_is_an_error(job):
    with pytest.raises(ValueError, match="first frame asked for is 99, but there are only 32"):
        load_motion(None, job.poses, replace(SMALL, start=99), None)


def test_frames_without_a_person_are_counted_and_none_at_all_is_an_error(job, tmp_path, caplog):
    poses = load_openpose(job.poses).frames(slice(0, 4))
    scores = poses.scores.copy()
    scores[1:3] = 0
    save_openpose(tmp_path / "gap.json", replace(poses, scores=scores))
    load_motion(None, tmp_path / "gap.json", SMALL, None)
    assert "no person in 2 of 4 frames, the first is 1" in caplog.text
    save_openpose(tmp_path / "none.json", empty(4, 64, 96))
    with pytest.raises(ValueError, match="no person in any of the 4 frames"):
        load_motion(None, tmp_path / "none.json", SMALL, None)


def test_poses_and_video_must_be_of_the_same_clip(job, tmp_path):
    short = tmp_path / "short.mp4"
    write_video(short, np.zeros((2, 48, 32, 3), np.uint8), Fraction(8))
    with pytest.raises(ValueError, match="gives 2 of the 4 frames"):
        load_motion(short, job.poses, SMALL, None)


def test_poses_and_video_of_unlike_rates_are_refused_and_of_unlike_shapes_or_lengths_said(job, tmp_path, caplog):
    def made(name, frames, rate, height=48):
        write_video(tmp_path / name, np.zeros((frames, height, 32, 3), np.uint8), Fraction(rate))
        return tmp_path / name

    with pytest.raises(ValueError, match=r"dance.json has 8 frames a second, .*fast.mp4 24: .*same clip"):
        load_motion(made("fast.mp4", 32, 24), job.poses, SMALL, None)
    load_motion(made("like.mp4", 33, 8), job.poses, SMALL, None)
    assert not caplog.records
    load_motion(made("wide.mp4", 32, 8, 24), job.poses, SMALL, None)
    assert "made for pictures of 512x758" in caplog.text and "wide.mp4 has 32x24" in caplog.text
    load_motion(made("long.mp4", 64, 8), job.poses, SMALL, None)
    assert "dance.json has 32 frames" in caplog.text and "long.mp4 has 64" in caplog.text


def test_a_video_alone_needs_dwpose_and_uses_it(video):
    with pytest.raises(ValueError, match="DWPose is needed"):
        load_motion(video, None, SMALL, None)
    seen = []

    def extract(frames, fps):
        seen.append((sum(1 for _ in frames), fps))
        poses = empty(seen[0][0], 32, 48, fps=fps)
        return replace(poses, scores=np.ones_like(poses.scores))

    motion = load_motion(video, None, replace(SMALL, stride=2), extract)
    assert seen == [(4, 4.0)] and motion.fps == 4.0
    frames = np.stack(list(read_frames(video, stride=2, count=4)))
    assert np.array_equal(motion.clip_pictures, resize(frames, 224, 224))


def test_of_a_video_no_more_than_a_frame_or_two_is_held(video):
    held, most = [], []

    def extract(frames, fps):
        for frame in frames:
            held.append(weakref.ref(frame))
            del frame
            most.append(sum(ref() is not None for ref in held))
        poses = empty(len(held), 32, 48, fps=fps)
        return replace(poses, scores=np.ones_like(poses.scores))

    load_motion(video, None, replace(SMALL, frames=32), extract)
    assert len(held) == 32 and max(most) <= 2


def test_an_extractor_that_loses_frames_is_an_error(video):
    with pytest.raises(ValueError, match="4 frames were read, poses came for 3"):
        load_motion(video, None, SMALL, lambda frames, fps: empty(len(list(frames)) - 1, 32, 48))


def test_videos_are_decoded_in_another_process(job, video, monkeypatch):
    asked = []

    def watched(*arguments, isolated=False, **more):
        asked.append(isolated)
        return read_frames(*arguments, isolated=isolated, **more)

    monkeypatch.setattr(motion_of_a_job, "read_frames", watched)
    load_motion(video, job.poses, SMALL, None)
    load_motion(video, None, SMALL, lambda frames, fps: load_openpose(job.poses).frames(slice(0, len(list(frames)))))
    assert asked == [True, True]


def test_nothing_to_follow(job):
    with pytest.raises(ValueError, match="nothing to follow"):
        load_motion(None, None, SMALL, None)


def test_a_transparent_picture_is_put_on_white(job, tmp_path):
    Image.new("RGBA", (64, 96), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    inputs = pipeline.prepare(replace(job, reference=tmp_path / "clear.png")).inputs
    assert inputs.reference.min() == 1
