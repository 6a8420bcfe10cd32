"""Preparation: complete, restartable after a kill at any moment, never stale, and honest about what it left out."""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import time
import types
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from animatex_training import prepare as module
from animatex_training.cli_prepare import ASSETS, add_prepare
from animatex_training.prepare import prepare
from animatex_training.prepare_settings import PrepareError, PrepareSettings, key_of
from animatex_training.shards import ClipFile, read_index
from animatex_training.shots import SIDE, Span, clip_spans, find_cuts, thumbnail
from animatex_training.sources import Source, find_sources
from animatex_training.synthetic_clips import make_clips
from PIL import Image

from animatex_core.pose.dwpose import DWPose
from animatex_core.pose.io import save_openpose
from animatex_core.pose.keypoints import empty
from animatex_core.video import read_frames, write_video
from tests.training.data_files import SIZE, settings, write_networks, write_videos

ROOT = Path(__file__).parents[2]
pytest.importorskip("diffusers", reason='pip install "animate-x[offline]"')


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    return write_networks(tmp_path_factory.mktemp("networks"))


def contents(folder):
    """Everything that makes the data set, byte for byte."""
    files = [*sorted((folder / "clips").glob("*.safetensors")), folder / "index.json", folder / "anchors.safetensors"]
    return {path.name: path.read_bytes() for path in files}


def finished(folder):
    """The same without what a killed run was writing, which lies there for a day under hidden names."""
    return {name: data for name, data in contents(folder).items() if not name.startswith(".")}


def frames_settings(networks, **changes):
    """Without the VAE: quick."""
    return settings(networks, store="frames", **changes)


def test_a_second_run_does_nothing_and_new_videos_are_added(tmp_path, networks, monkeypatch):
    write_videos(tmp_path / "videos", 2)
    first = prepare(find_sources(tmp_path / "videos"), tmp_path / "data", frames_settings(networks))
    before = contents(tmp_path / "data")
    assert (first.reused, len(first.index.clips)) == (0, 2)
    assert (tmp_path / "data" / "overview.png").stat().st_size > 1000
    told = json.loads((tmp_path / "data" / "statistics.json").read_text())
    assert told["clips"] == 2 and told["sizes"] == {"64x96": 2} and told["motion"]["median"] > 0.02
    # Written elsewhere: an encoder on a busy machine does not make the same bytes of the same frames every time.
    write_videos(tmp_path / "more", 3)
    for path in (tmp_path / "more").glob("clip_002.*"):
        path.rename(tmp_path / "videos" / path.name)
    third = prepare(find_sources(tmp_path / "videos"), tmp_path / "data", frames_settings(networks))
    assert (third.reused, len(third.index.clips)) == (2, 3)
    after = contents(tmp_path / "data")
    assert all(after[name] == data for name, data in before.items() if name.endswith("-000000.safetensors"))
    monkeypatch.setattr(module, "prepare_video", lambda job: pytest.fail("made again"))
    assert prepare(find_sources(tmp_path / "videos"), tmp_path / "data", frames_settings(networks)).reused == 3


def test_other_content_settings_or_encoders_are_never_reused(tmp_path, networks):
    videos, data = tmp_path / "videos", tmp_path / "data"
    write_videos(videos, 1)
    base = frames_settings(networks)
    names = {prepare(find_sources(videos), data, base).index.clips[0].clip}
    other = tmp_path / "other.safetensors"
    other.write_bytes(ASSETS.joinpath("mini_vision.safetensors").read_bytes())
    for changed in (replace(base, longest=16), replace(base, fit="pad"), replace(base, clip=other)):
        result = prepare(find_sources(videos), data, changed)
        assert result.reused == 0
        names |= {clip.clip for clip in result.index.clips}
    write_videos(videos, 1, seed=8)
    names.add(prepare(find_sources(videos), data, base).index.clips[0].clip)
    assert len({name[:20] for name in names}) == 5


def test_half_precision_of_the_vae_makes_other_clips_of_nearly_the_same_latents(tmp_path, networks):
    write_videos(tmp_path / "videos", 1)
    latents = {}
    for dtype in ("fp32", "bf16"):
        done = prepare(find_sources(tmp_path / "videos"), tmp_path / "data", settings(networks, vae_dtype=dtype))
        latents[dtype] = ClipFile(tmp_path / "data", done.index.clips[0]).read("latents").float()
        assert done.reused == 0
    off = (latents["bf16"] - latents["fp32"]).norm() / latents["fp32"].norm()
    assert 0 < off < 0.05
    assert "vae_dtype" not in settings(networks).facts() | frames_settings(networks).facts()  # as before the choice


def test_a_clip_that_was_lost_is_made_again(tmp_path, networks):
    write_videos(tmp_path / "videos", 2)
    prepare(find_sources(tmp_path / "videos"), tmp_path / "data", frames_settings(networks))
    before = contents(tmp_path / "data")
    lost = next((tmp_path / "data" / "clips").glob("*.safetensors"))
    lost.write_bytes(lost.read_bytes()[:100])
    assert prepare(find_sources(tmp_path / "videos"), tmp_path / "data", frames_settings(networks)).reused == 1
    assert contents(tmp_path / "data") == before


def test_workers_write_the_same_bytes(tmp_path, networks):
    write_videos(tmp_path / "videos", 2)
    sources = find_sources(tmp_path / "videos")
    prepare(sources, tmp_path / "one", frames_settings(networks))
    prepare(sources, tmp_path / "two", frames_settings(networks), workers=2)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")


CHILD = """
import sys, torch
torch.set_num_threads(1)
from pathlib import Path
from animatex_training.prepare import prepare
from animatex_training.sources import find_sources
from tests.training.data_files import settings
root = Path(sys.argv[1])
sys.stdout.write("ready\\n"); sys.stdout.flush()
prepare(find_sources(root / "videos"), root / "killed", settings(root / "networks", store="frames"))
"""


@pytest.mark.parametrize("times", [2, pytest.param(12, marks=pytest.mark.slow)])
def test_killed_at_any_moment_it_goes_on(tmp_path, times):
    write_videos(tmp_path / "videos", 4)
    networks = write_networks(tmp_path / "networks")
    sources, chosen = find_sources(tmp_path / "videos"), frames_settings(networks)
    prepare(sources, tmp_path / "straight", chosen)
    moments, killed = random.Random(7), 0
    for _ in range(times):
        child = subprocess.Popen(
            [sys.executable, "-c", CHILD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert child.stdout is not None and child.stdout.readline()
        time.sleep(moments.uniform(0.05, 1.2))
        child.send_signal(signal.SIGKILL)
        killed += child.wait() == -signal.SIGKILL
        child.stdout.close()
        if (tmp_path / "killed" / "index.json").exists():
            assert finished(tmp_path / "killed") == contents(tmp_path / "straight")
    assert killed
    prepare(sources, tmp_path / "killed", chosen)
    assert finished(tmp_path / "killed") == contents(tmp_path / "straight")


def test_what_a_killed_run_left_is_removed_once_it_cannot_be_another_runs(tmp_path, networks):
    write_videos(tmp_path / "videos", 1)
    sources, chosen = find_sources(tmp_path / "videos"), frames_settings(networks)
    prepare(sources, tmp_path / "data", chosen)
    before = contents(tmp_path / "data")
    old, new = (tmp_path / "data" / "clips" / f".{name}.partial.safetensors" for name in ("old", "new"))
    for path, hours in ((old, 25), (new, 1)):
        path.write_bytes(b"half")
        os.utime(path, (time.time() - 3600 * hours,) * 2)
    prepare(sources, tmp_path / "data", chosen)
    assert finished(tmp_path / "data") == before and new.exists() and not old.exists()


@pytest.mark.parametrize("at", [pytest.param(n, marks=[] if n % 4 == 1 else [pytest.mark.slow]) for n in range(1, 12)])
def test_an_end_at_any_file_leaves_nothing_half_written(tmp_path, networks, monkeypatch, at):
    """Every file is written by `replacing`: the process ends right before the n-th one gets its name."""
    from animatex_core import atomic_file

    write_videos(tmp_path / "videos", 2)
    sources, chosen = find_sources(tmp_path / "videos"), frames_settings(networks)
    published, real = [], atomic_file._publish

    def ending(temporary, path, overwrite):
        published.append(path)
        if len(published) == at:
            raise KeyboardInterrupt
        real(temporary, path, overwrite)

    monkeypatch.setattr(atomic_file, "_publish", ending)
    if at <= 8:
        with pytest.raises(KeyboardInterrupt):
            prepare(sources, tmp_path / "data", chosen)
        assert not (tmp_path / "data" / "index.json").exists() or at > 6
    monkeypatch.setattr(atomic_file, "_publish", real)
    prepare(sources, tmp_path / "data", chosen)
    prepare(sources, tmp_path / "straight", chosen)
    assert contents(tmp_path / "data") == contents(tmp_path / "straight")


def test_bad_videos_are_skipped_counted_and_listed(tmp_path, networks):
    videos = tmp_path / "videos"
    write_videos(videos, 5)
    (videos / "broken.mp4").write_bytes(b"no video at all")
    (videos / "broken.json").write_bytes((videos / "clip_000.json").read_bytes())
    short = make_clips(1, seed=50, frames=4, width=64, height=96)[0]
    write_video(videos / "short.mp4", short.frames, 25.0)
    save_openpose(videos / "short.json", short.poses)
    (videos / "copy.mp4").write_bytes((videos / "clip_000.mp4").read_bytes())
    (videos / "copy.json").write_bytes((videos / "clip_000.json").read_bytes())
    nobody = make_clips(1, seed=51, frames=20, width=64, height=96)[0]
    write_video(videos / "nobody.mp4", nobody.frames, 25.0)
    save_openpose(videos / "nobody.json", empty(20, 64, 96, fps=25.0))
    write_video(videos / "poseless.mp4", nobody.frames[:12], 25.0)
    done = prepare(find_sources(videos), tmp_path / "data", frames_settings(networks), most_bad=0.5)
    assert len(done.index.clips) == 5 and done.duplicates == 1 and done.videos == 9
    reasons = dict(done.index.skipped)
    assert set(reasons) == {"broken.mp4", "short.mp4", "nobody.mp4", "poseless.mp4"}
    assert "too short: 4 frames" in reasons["short.mp4"] and "a person in 0%" in reasons["nobody.mp4"]
    assert "no poses beside it" in reasons["poseless.mp4"] and "broken.mp4" in reasons["broken.mp4"]
    assert read_index(tmp_path / "data").skipped == done.index.skipped
    with pytest.raises(PrepareError, match=r"of 9 videos gave no clip.*broken\.mp4"):
        prepare(find_sources(videos), tmp_path / "data", frames_settings(networks), most_bad=0.1)


@pytest.fixture
def pictures(tmp_path):
    """A video as a folder of pictures."""
    clip = make_clips(1, seed=9, frames=20, width=64, height=96)[0]
    write_video(tmp_path / "pictures", clip.frames, 25.0)
    save_openpose(tmp_path / "pictures.json", clip.poses)
    return Source(video=tmp_path / "pictures", poses=tmp_path / "pictures.json")


def test_another_rate_of_pictures_makes_other_clips(tmp_path, networks, pictures):
    made = {}
    for rate in (12.0, 60.0, 30.0, None, 12.0):
        done = prepare([replace(pictures, fps=rate)], tmp_path / "data", frames_settings(networks))
        [clip] = done.index.clips
        assert (clip.fps, clip.frames) == {12.0: (12, 20), 60.0: (30, 10), 30.0: (30, 20), None: (25, 20)}[rate]
        assert done.reused == (rate in made) and made.setdefault(rate, clip.clip) == clip.clip
    assert len(set(made.values())) == 4


@pytest.mark.parametrize("rate, other", [(12.0, 24.0), (60.0, None), (None, 12.0)])
def test_clips_of_keys_without_the_rate_are_known(tmp_path, networks, pictures, monkeypatch, rate, other):
    monkeypatch.setattr(module, "key_of", lambda facts, content, rate=None: key_of(facts, content))
    prepare([replace(pictures, fps=rate)], tmp_path / "data", frames_settings(networks))
    before = contents(tmp_path / "data")
    monkeypatch.undo()
    assert prepare([replace(pictures, fps=rate)], tmp_path / "data", frames_settings(networks)).reused == 1
    assert contents(tmp_path / "data") == before
    assert prepare([replace(pictures, fps=other)], tmp_path / "data", frames_settings(networks)).reused == 0


def test_a_video_is_cut_where_the_shot_changes(tmp_path, networks):
    one, two = make_clips(2, seed=60, frames=16, width=64, height=96)
    write_video(tmp_path / "a.mp4", np.concatenate([one.frames, two.frames]), 25.0)
    both = replace(
        one.poses,
        points=np.concatenate([one.poses.points, two.poses.points]),
        scores=np.concatenate([one.poses.scores, two.poses.scores]),
    )
    save_openpose(tmp_path / "a.json", both)
    done = prepare(find_sources(tmp_path), tmp_path / "data", frames_settings(networks))
    assert [(clip.start, clip.frames) for clip in done.index.clips] == [(0, 16), (16, 16)]
    second = ClipFile(tmp_path / "data", done.index.clips[1])
    np.testing.assert_allclose(second.read("points")[:, :20], two.poses.points[:, 0, :20], atol=0.01)
    difference = np.abs(second.read("frames").numpy().astype(int) - two.frames.astype(int)).mean()
    assert difference < 12 < np.abs(two.frames.astype(int) - one.frames.astype(int)).mean()


def test_fast_motion_is_no_cut():
    clip = make_clips(1, seed=4, frames=60, width=64, height=96, fps=6.0)[0]
    assert find_cuts(np.stack([thumbnail(frame) for frame in clip.frames])) == []
    flicker = np.random.default_rng(0).random((20, SIDE, SIDE, 3)).astype(np.float32)
    assert find_cuts(flicker) == []


def test_long_shots_become_equal_pieces_and_short_ones_are_left():
    assert clip_spans(100, [], 8, 32) == [Span(0, 25), Span(25, 25), Span(50, 25), Span(75, 25)]
    assert clip_spans(40, [35], 8, 64) == [Span(0, 35)]
    assert clip_spans(5, [], 8, 64) == []


def test_a_video_goes_to_the_size_of_its_proportions():
    chosen = PrepareSettings(clip=ASSETS / "mini_vision.safetensors", store="frames")
    found = [chosen.size_for(*size) for size in ((1080, 1920), (1920, 1080), (700, 720), (512, 768))]
    assert found == [(512, 768), (768, 512), (640, 640), (512, 768)]


def test_the_layouts_of_tiktok_and_fashion(tmp_path, networks):
    clip = make_clips(1, seed=9, frames=12, width=64, height=96)[0]
    images = tmp_path / "tiktok" / "00001" / "images"
    images.mkdir(parents=True)
    (tmp_path / "tiktok" / "00001" / "masks").mkdir()
    for number, frame in enumerate(clip.frames, 1):
        Image.fromarray(frame).save(images / f"{number:04d}.png")
    save_openpose(tmp_path / "tiktok" / "00001.json", clip.poses)
    [found] = find_sources(tmp_path / "tiktok", "tiktok")
    assert found.name == "00001" and found.open()[0] == 30 and "research" in found.licence
    done = prepare([found], tmp_path / "data", frames_settings(networks))
    unpadded = tmp_path / "tiktok" / "00002" / "images"
    unpadded.mkdir(parents=True)
    for number, frame in enumerate(clip.frames, 1):
        Image.fromarray(frame[::-1]).save(unpadded / f"{number}.png")
    save_openpose(tmp_path / "tiktok" / "00002.json", clip.poses)
    both = find_sources(tmp_path / "tiktok", "tiktok")
    [(name, reason)] = prepare(both, tmp_path / "both", frames_settings(networks), most_bad=0.5).index.skipped
    assert name == "00002" and f"{unpadded}: 1.png and 10.png: numbers of unequal length" in reason
    frames = ClipFile(tmp_path / "data", done.index.clips[0]).read("frames").numpy()
    np.testing.assert_array_equal(frames, clip.frames)
    for part in ("train", "test"):
        write_videos(tmp_path / "fashion" / part, 1)
    assert [s.name for s in find_sources(tmp_path / "fashion", "ubc-fashion")] == ["clip_000.mp4"]
    with pytest.raises(ValueError, match="no videos found"):
        find_sources(tmp_path / "fashion", "tiktok")


@pytest.mark.parametrize("ending", ["jsonl", "csv"])
def test_a_manifest_names_terms_and_poses(tmp_path, networks, ending):
    write_videos(tmp_path / "v", 2)
    os.rename(tmp_path / "v" / "clip_001.json", tmp_path / "elsewhere.json")
    rows = [
        {"video": "v/clip_000.mp4", "poses": "v/clip_000.json", "licence": "CC0", "consent": "rendered"},
        {"video": "v/clip_001.mp4", "poses": "elsewhere.json", "licence": "", "consent": ""},
    ]
    manifest = tmp_path / f"list.{ending}"
    lines = [json.dumps(row) for row in rows]
    if ending == "csv":
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
    manifest.write_text("\n".join(lines) + "\n")
    terms = Source(video=manifest, licence="mine", source="studio")
    done = prepare(find_sources(manifest, common=terms), tmp_path / "data", frames_settings(networks))
    told = {clip.video: (clip.licence, clip.consent, clip.source) for clip in done.index.clips}
    assert told == {"v/clip_000.mp4": ("CC0", "rendered", "studio"), "v/clip_001.mp4": ("mine", "", "studio")}
    manifest.write_text(manifest.read_text().replace("consent", "concent"))
    with pytest.raises(ValueError, match="entry 1: unknown field concent"):
        find_sources(manifest)


@pytest.mark.parametrize("field", ["name", "source", "licence", "consent"])
def test_what_is_text_in_a_manifest_is_text(tmp_path, field):
    (tmp_path / "a.mp4").touch()
    manifest = tmp_path / "list.jsonl"
    manifest.write_text(json.dumps({"video": "a.mp4"}) + "\n" + json.dumps({"video": "a.mp4", field: 7}) + "\n")
    with pytest.raises(ValueError, match=rf"list\.jsonl, entry 2: {field}: expected text, found 7"):
        find_sources(manifest)


def test_a_manifest_of_a_spreadsheet_has_a_byte_order_mark(tmp_path):
    (tmp_path / "a.mp4").touch()
    (tmp_path / "list.csv").write_text("video,name\na.mp4,one\n", encoding="utf-8-sig")
    assert [source.name for source in find_sources(tmp_path / "list.csv")] == ["one"]


def test_poses_of_another_clip_are_refused(tmp_path, networks):
    write_videos(tmp_path / "videos", 1)
    for poses, message in ((empty(7, *SIZE), "poses of 7 frames, the video has 20"), (empty(20, 96, 64), "has 64x96")):
        save_openpose(tmp_path / "videos" / "clip_000.json", poses)
        with pytest.raises(PrepareError, match=message):
            prepare(find_sources(tmp_path / "videos"), tmp_path / "data", frames_settings(networks), most_bad=0.0)


def test_ray_is_asked_for_only_when_wanted(tmp_path, networks, monkeypatch):
    write_videos(tmp_path / "videos", 2)
    sources = find_sources(tmp_path / "videos")
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(PrepareError, match="pip install"):
        prepare(sources, tmp_path / "data", frames_settings(networks), ray="auto")
    started = []

    def remote(function):
        return types.SimpleNamespace(remote=lambda job: function(job))

    fake = types.SimpleNamespace(
        is_initialized=lambda: False, init=lambda **options: started.append(options), remote=remote,
        cluster_resources=lambda: {"CPU": 1.0}, wait=lambda waiting, num_returns: (waiting[:1], waiting[1:]),
        get=lambda result: result,
    )  # fmt: skip
    monkeypatch.setitem(sys.modules, "ray", fake)
    prepare(sources, tmp_path / "data", frames_settings(networks), ray="local")
    prepare(sources, tmp_path / "here", frames_settings(networks))
    assert started == [{"address": None, "log_to_driver": False}]
    assert contents(tmp_path / "data") == contents(tmp_path / "here")


@pytest.mark.slow
def test_a_ray_cluster_writes_the_same_bytes(tmp_path, networks):
    ray = pytest.importorskip("ray", reason='pip install "ray"')
    write_videos(tmp_path / "videos", 3)
    sources = find_sources(tmp_path / "videos")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        done = prepare(sources, tmp_path / "ray", frames_settings(networks), ray="auto")
        again = prepare(sources, tmp_path / "ray", frames_settings(networks), ray="auto")
    finally:
        ray.shutdown()
    prepare(sources, tmp_path / "here", frames_settings(networks))
    assert (len(done.index.clips), done.reused, again.reused) == (3, 0, 3)
    assert contents(tmp_path / "ray") == contents(tmp_path / "here")


def test_poses_by_dwpose(tmp_path, networks):
    """Networks of the true sizes, inputs and outputs that answer by a formula: the backend as prepare runs it."""
    pytest.importorskip("onnx")
    from tests.parity.networks import write_detector, write_pose

    write_videos(tmp_path / "videos", 1)
    files = tmp_path / "yolox_l.onnx", tmp_path / "dw-ll_ucoco_384.onnx"
    write_detector(files[0], [(10, 8, 54, 90, 0.9, 0, 2)], *SIZE)
    write_pose(files[1])
    chosen = frames_settings(networks, pose="dwpose", detector=files[0], pose_model=files[1])
    done = prepare(find_sources(tmp_path / "videos"), tmp_path / "data", chosen)
    wanted, _ = DWPose.load(*files).extract(read_frames(tmp_path / "videos" / "clip_000.mp4"), person="main")
    found = ClipFile(tmp_path / "data", done.index.clips[0])
    np.testing.assert_allclose(found.read("points"), wanted.points[:, 0], atol=1e-3)
    np.testing.assert_allclose(found.read("scores"), wanted.scores[:, 0], atol=1e-6)
    write_pose(files[1], score=0.5)
    again = prepare(find_sources(tmp_path / "videos"), tmp_path / "data", chosen)
    assert again.reused == 0 and again.index.clips[0].clip != done.index.clips[0].clip


def test_settings_are_checked_before_anything_is_read(networks):
    for changes, message in (
        ({"sizes": ((60, 96),)}, "multiples of 8"),
        ({"shortest": 9, "longest": 8}, "shortest <= longest"),
        ({"pose": "dwpose"}, "--detector: a file is needed"),
        ({"vae": None}, "--vae: a file is needed"),
        ({"pose": "magic"}, "pose: expected given, dwpose, mediapipe"),
        ({"vae_dtype": "int8"}, "vae_dtype: expected fp16, bf16, fp32"),
        ({"vae_dtype": "bf16", "store": "frames"}, "--vae-dtype: with --store frames no VAE"),
    ):
        with pytest.raises(ValueError, match=message):
            settings(networks, **changes)


def test_the_command_line(tmp_path, networks, capsys):
    write_videos(tmp_path / "videos", 2)
    parser = argparse.ArgumentParser()
    add_prepare(parser)
    line = [str(tmp_path / "videos"), str(tmp_path / "data"), "--size", "64x96", "--shortest", "8"]
    clip = ["--clip", str(networks / "clip.safetensors")]  # test_chain.py has --mini
    options = parser.parse_args([*line, *clip, "--licence", "CC0", "--store", "frames"])
    options.run(options)
    told = capsys.readouterr().out
    assert "2 clips of 2 videos; 0 videos were done already" in told and "overview.png" in told
    assert {clip.licence for clip in read_index(tmp_path / "data").clips} == {"CC0"}
    options = parser.parse_args([*line, "--mini", "--vae", "other.safetensors"])
    with pytest.raises(ValueError, match="--vae: not together with --mini"):
        options.run(options)
