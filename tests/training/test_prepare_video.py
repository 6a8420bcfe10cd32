"""One video of a preparation: what is its own fault is kept, what may be the machine's is not."""

import signal
import types
from pathlib import Path

import pytest
import torch
from animatex_training import prepare_video
from animatex_training.prepare import prepare
from animatex_training.prepare_settings import PrepareError
from animatex_training.sources import Source, find_sources
from PIL import Image

from animatex_core import video_isolated
from animatex_core.pose.dwpose import DWPose
from animatex_core.pose.io import load_openpose
from animatex_core.pose.mediapipe_backend import WorkerError
from animatex_core.vae import VAE
from animatex_core.video import VideoError, read_frames, write_video
from tests.training.data_files import settings, write_networks, write_videos

ROOT = Path(__file__).parents[2]
pytest.importorskip("diffusers", reason='pip install "animate-x[offline]"')


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return write_networks(tmp_path_factory.mktemp("networks"))


def frames_settings(networks, **changes):
    """Without the VAE: quick."""
    return settings(networks, store="frames", **changes)


def test_errors_of_the_machine_are_no_fault_of_the_video(tmp_path, networks):
    write_videos(tmp_path / "videos", 1)
    broken = tmp_path / "clip.safetensors"
    broken.write_bytes(b"{}")
    with pytest.raises(ValueError, match=r"clip\.safetensors"):
        prepare(find_sources(tmp_path / "videos"), tmp_path / "data", frames_settings(networks, clip=broken))
    assert not list((tmp_path / "data").glob("videos/*.json"))


def test_latents_that_overflow_are_named_and_not_written(tmp_path, networks, monkeypatch):
    write_videos(tmp_path / "videos", 1)
    monkeypatch.setattr(VAE, "encode", lambda self, pictures: torch.full((len(pictures), 4, 12, 8), torch.inf))
    with pytest.raises(PrepareError, match=r"latents that are not finite in fp16: --vae-dtype bf16 or fp32"):
        prepare(find_sources(tmp_path / "videos"), tmp_path / "data", settings(networks, vae_dtype="fp16"))
    assert not list((tmp_path / "data").glob("clips/*.safetensors"))


def test_the_end_of_mediapipe_is_not_kept_as_the_video_s_fault(tmp_path, networks, monkeypatch):
    write_videos(tmp_path / "videos", 2)
    sources, calls = find_sources(tmp_path / "videos"), []

    def dies_once(job, opened):
        calls.append(job)
        if len(calls) == 1:
            raise WorkerError("python: died")
        return prepare_once(job, opened)

    prepare_once = prepare_video._prepare
    monkeypatch.setattr(prepare_video, "_prepare", dies_once)
    first = prepare(sources, tmp_path / "data", frames_settings(networks), most_bad=0.5)
    assert len(first.index.clips) == 1 and "died; it is tried again" in first.index.skipped[0][1]
    second = prepare(sources, tmp_path / "data", frames_settings(networks))
    assert (second.reused, len(second.index.clips), second.index.skipped) == (1, 2, ())


def by_dwpose(tmp_path, networks):
    """Settings that name files which are no networks."""
    for name in ("detector.torchscript", "pose.torchscript"):
        (tmp_path / name).write_bytes(b"no network")
    files = {"detector": tmp_path / "detector.torchscript", "pose_model": tmp_path / "pose.torchscript"}
    return frames_settings(networks, pose="dwpose", cut=0.0, **files)


def test_a_pose_network_that_cannot_be_opened_is_no_fault_of_the_video(tmp_path, networks):
    write_videos(tmp_path / "videos", 1)
    with pytest.raises(ValueError, match=r"detector\.torchscript: not a TorchScript file") as told:
        prepare(find_sources(tmp_path / "videos"), tmp_path / "data", by_dwpose(tmp_path, networks))
    assert not isinstance(told.value, PrepareError)
    assert not list((tmp_path / "data").glob("videos/*.json"))


def test_a_pose_network_that_fails_in_running_is_tried_again(tmp_path, networks, monkeypatch):
    write_videos(tmp_path / "videos", 3)
    memory = ["not enough"]

    def extract(frames, fps, person):
        count = len(list(frames))
        if memory:
            raise ValueError(f"pose.onnx: onnxruntime cannot run (1, 3, 384, 288): {memory.pop()}")
        return load_openpose(tmp_path / "videos" / "clip_000.json").frames(slice(0, count)), None

    monkeypatch.setattr(DWPose, "load", lambda *files, device: types.SimpleNamespace(extract=extract))
    pictures = tmp_path / "mixed"
    write_video(pictures, list(read_frames(tmp_path / "videos" / "clip_002.mp4")), 25.0)
    Image.new("RGB", (64, 32)).save(pictures / "000007.png")
    sources = [*find_sources(tmp_path / "videos")[:2], Source(video=pictures)]
    chosen = by_dwpose(tmp_path, networks)
    first = prepare(sources, tmp_path / "data", chosen, most_bad=0.7)
    reasons = dict(first.index.skipped)
    assert reasons["clip_000.mp4"].endswith("not enough; it is tried again by the next run")
    assert reasons["mixed"] == "frames of 64x96 and of 64x32 in one video"  # read while the network runs, and kept
    second = prepare(sources, tmp_path / "data", chosen, most_bad=0.4)
    assert (second.reused, len(second.index.clips)) == (2, 2)


@pytest.mark.parametrize("code, kept", [(-signal.SIGSEGV, True), (-signal.SIGKILL, False), (1, False)])
def test_a_decoder_that_was_killed_is_no_fault_of_the_video(tmp_path, networks, monkeypatch, code, kept):
    write_videos(tmp_path / "videos", 1)

    def dies(job, opened):
        raise VideoError(job.source.video, f"{video_isolated._death(code)} after 0 good frames")

    monkeypatch.setattr(prepare_video, "_prepare", dies)
    again = "" if kept else "; it is tried again by the next run"
    with pytest.raises(PrepareError, match=rf"after 0 good frames{again}$"):
        prepare(find_sources(tmp_path / "videos"), tmp_path / "data", frames_settings(networks))
    assert bool(list((tmp_path / "data").glob("videos/*.json"))) == kept


def test_a_decoder_that_was_silent_is_tried_again(tmp_path, networks, monkeypatch):
    write_videos(tmp_path / "videos", 1)
    monkeypatch.setattr(video_isolated, "SILENCE", 0.0)
    with pytest.raises(PrepareError, match="silent for 0 s after 0 frames; it is tried again by the next run"):
        prepare(find_sources(tmp_path / "videos"), tmp_path / "data", frames_settings(networks, isolated=True))
    monkeypatch.undo()
    done = prepare(find_sources(tmp_path / "videos"), tmp_path / "data", frames_settings(networks, isolated=True))
    assert (done.reused, len(done.index.clips)) == (0, 1)
