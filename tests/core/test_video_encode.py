"""Video out: what was written is what is read, and a failure leaves nothing."""

import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from animatex_core.video import OutputError, check_video_output, open_video, read_frames, read_metadata, write_video


def gradient(width, height):
    """A picture that compresses well and has many colours."""
    columns, rows = np.meshgrid(np.linspace(0, 1, width), np.linspace(0, 1, height))
    return (255 * np.stack([columns, rows, 1 - rows], axis=2)).astype(np.uint8)


def clip(count=12, width=64, height=48):
    return [np.full((height, width, 3), (20 + 15 * index, 200 - 10 * index, 60), np.uint8) for index in range(count)]


@pytest.mark.parametrize("name", ["a.mp4", "a.MP4", "a.webm"])
def test_what_is_written_is_read(tmp_path, name):
    frames = [gradient(64, 48)] * 2 + clip(10)
    assert write_video(tmp_path / name, iter(frames), Fraction(30000, 1001)) == 12
    info = open_video(tmp_path / name)
    assert (info.width, info.height, info.frames, info.has_audio) == (64, 48, 12, False)
    assert float(info.rate) == pytest.approx(30000 / 1001, rel=1e-3)
    for read, wanted in zip(read_frames(tmp_path / name), frames, strict=True):
        assert np.abs(read.astype(int) - wanted).mean() < 4
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_mp4_is_what_players_take(tmp_path):
    write_video(tmp_path / "a.mp4", clip(), 8)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat"), "the index comes first, so that browsers play while loading"
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        coder = stream.codec_context
        assert (coder.name, coder.pix_fmt, stream.average_rate) == ("h264", "yuv420p", 8)
        assert (coder.colorspace, coder.color_primaries, coder.color_trc, coder.color_range) == (1, 1, 1, 1)


def test_quality(tmp_path):
    noise = [np.random.default_rng(index).integers(0, 256, (48, 64, 3), dtype=np.uint8) for index in range(4)]
    sizes = []
    for crf in (0, 18, 40):
        write_video(tmp_path / f"{crf}.mp4", noise, 8, crf=crf)
        sizes.append((tmp_path / f"{crf}.mp4").stat().st_size)
    assert sizes[0] > sizes[1] > sizes[2]


def test_odd_sizes_are_made_even_by_their_last_pixels(tmp_path):
    frame = np.full((31, 41, 3), 60, np.uint8)
    frame[:, 38:] = 200
    write_video(tmp_path / "a.mp4", [frame] * 3, 8)
    read = next(read_frames(tmp_path / "a.mp4"))
    assert read.shape == (32, 42, 3) and np.abs(read[:, 40:].astype(int) - 200).max() < 12


@pytest.mark.parametrize("fps", [8, 7.5, 30000 / 1001 / 3, Fraction(24000, 1001) / 4])
def test_frame_rates_are_kept(tmp_path, fps):
    write_video(tmp_path / "a.mp4", clip(), fps)
    assert float(open_video(tmp_path / "a.mp4").rate) == pytest.approx(float(fps), rel=1e-9)


def test_gif_keeps_time(tmp_path):
    write_video(tmp_path / "a.gif", clip(16), 8, metadata={"seed": 1})
    frames = list(read_frames(tmp_path / "a.gif"))
    assert len(frames) == 16 and frames[0].shape == (48, 64, 3)
    assert np.abs(frames[5].astype(int) - clip(16)[5]).max() < 8
    assert open_video(tmp_path / "a.gif").duration == pytest.approx(2.0, abs=0.02)
    assert read_metadata(tmp_path / "a.gif")["seed"] == 1


def test_png_folder_is_exact(tmp_path):
    from PIL import Image

    assert write_video(tmp_path / "pngs", clip(), 8, metadata={"seed": 1}) == 12
    names = sorted(p.name for p in (tmp_path / "pngs").iterdir())
    assert names[0] == "000000.png" and len(names) == 12
    for name, wanted in zip(names, clip(), strict=True):
        np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "pngs" / name)), wanted)
    assert read_metadata(tmp_path / "pngs")["seed"] == 1
    with pytest.raises(OutputError, match="not empty"):
        write_video(tmp_path / "pngs", clip(), 8, overwrite=True)


@pytest.mark.parametrize("name", ["a.mp4", "a.webm"])
def test_metadata_comes_back(tmp_path, name):
    settings = {"seed": 7, "prompt": '\u7b11 "quoted" \\ \n', "nested": {"a": [1, 2.5, None]}, "long": "y" * 20000}
    write_video(tmp_path / name, clip(), 8, metadata=settings)
    found = read_metadata(tmp_path / name)
    assert {key: found[key] for key in settings} == settings and found["generated"] is True


def test_a_failing_source_leaves_nothing(tmp_path):
    def frames():
        yield from clip(5)
        raise RuntimeError("the model failed")

    for name in ("a.mp4", "a.webm", "a.gif", "pngs"):
        with pytest.raises(RuntimeError, match="the model failed"):
            write_video(tmp_path / name, frames(), 8)
    (tmp_path / "old.mp4").write_text("old")
    with pytest.raises(RuntimeError):
        write_video(tmp_path / "old.mp4", frames(), 8, overwrite=True)
    assert (tmp_path / "old.mp4").read_text() == "old" and len(list(tmp_path.iterdir())) == 1


def test_bad_requests_are_refused_before_the_first_frame(tmp_path):
    def never():
        pytest.fail("no frame may be asked for")
        yield

    (tmp_path / "there.mp4").touch()
    bad = [
        (tmp_path / "there.mp4", {}, "exists already"),
        (tmp_path / "no" / "a.mp4", {}, "does not exist"),
        (tmp_path / "a.mkv", {}, "written as"),
        (tmp_path / "a.mp4", {"fps": 0}, "fps must be"),
        (tmp_path / "a.mp4", {"fps": float("nan")}, "fps must be"),
        (tmp_path / "a.mp4", {"fps": float("inf")}, "fps must be"),
        (tmp_path / "a.mp4", {"crf": 52}, "crf must be"),
        (tmp_path / "a.mp4", {"audio_start": -1}, "audio_start must be"),
        (tmp_path / "a.mp4", {"metadata": {"a": float("nan")}}, "metadata"),
        (tmp_path / "a.mp4", {"audio_from": tmp_path / "missing.mp4"}, "missing.mp4: there is no such"),
        (tmp_path / "a.mp4", {"audio_from": tmp_path / "there.mp4"}, "0 bytes"),
    ]
    for path, arguments, cause in bad:
        with pytest.raises(ValueError, match=cause):
            write_video(path, never(), **{"fps": 8, **arguments})
    with pytest.raises(OutputError, match="exists already"):
        check_video_output(tmp_path / "there.mp4")
    assert len(list(tmp_path.iterdir())) == 1


def test_bad_frames_are_named_and_nothing_is_written(tmp_path):
    good = clip(1)[0]
    cases = [
        ([], "no frames to write"),
        ([good, good.astype(np.float32)], "frame 1 to write must be uint8"),
        ([good, good[..., :1]], "frame 1 to write must be"),
        ([good, good[:40]], r"frame 1 to write is \[40, 64, 3\], frame 0 was \[48, 64, 3\]"),
        ([np.zeros((0, 4, 3), np.uint8)], "frame 0"),
        (["a.png"], "got str"),
    ]
    for frames, cause in cases:
        for name in ("a.mp4", "a.gif", "pngs"):
            with pytest.raises(ValueError, match=cause):
                write_video(tmp_path / name, frames, 8)
    assert not list(tmp_path.iterdir())


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np
from animatex_core.video import OutputError, write_video
folder, limit = Path(sys.argv[1]), int(sys.argv[2])
frames = [np.random.default_rng(i).integers(0, 256, (48, 64, 3), dtype=np.uint8) for i in range(12)]
for name in ("whole.mp4", "whole.webm"):
    write_video(folder / name, frames, 8)
refused = 0
for part in range(6):
    for name in ("a.mp4", "a.webm", "a.gif", "pngs"):
        whole = (folder / f"whole{Path(name).suffix}") if name[-3:] in ("mp4", "ebm") else None
        most = int((whole.stat().st_size if whole else limit) * part / 6)
        soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (most, hard))
        try:
            write_video(folder / name, frames, 8)
            print("written", name, most)
        except OutputError as error:
            assert name in str(error) and "written" in str(error), error
            refused += 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        assert sorted(p.name for p in folder.iterdir()) == ["whole.mp4", "whole.webm"], list(folder.iterdir())
print(refused)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="file size limits are POSIX")
def test_no_space_at_any_byte_is_an_error_and_leaves_nothing(tmp_path):
    done = subprocess.run([sys.executable, "-c", LIMITED, str(tmp_path), "8000"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() == "24"
