"""Video in: every frame once, upright, in order, as 8-bit RGB; and files that nobody vouches for."""

import os
import signal
import struct
import subprocess
import sys
from fractions import Fraction

import av
import numpy as np
import pytest

from animatex_core import video_decode, video_isolated
from animatex_core.video import VideoError, open_video, read_frames

QUARTERS = np.array([[(255, 0, 0), (0, 255, 0)], [(0, 0, 255), (255, 255, 255)]], np.uint8)


def quarters(width=64, height=48):
    """Red and green above blue and white."""
    return QUARTERS.repeat(height // 2, axis=0).repeat(width // 2, axis=1)


def numbered(count, width=64, height=48):
    """Frames of one grey each, brighter one by one, so that order and number can be read off."""
    return [np.full((height, width, 3), 20 + 4 * index, np.uint8) for index in range(count)]


def write(path, frames, *, codec="libx264", pix_fmt="yuv420p", options=None, rate=25, times=None, container=None):
    """Encode RGB frames; `times` are presentation times in 1/1000 s."""
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=rate, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for index, picture in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(picture, format="rgba" if picture.shape[2] == 4 else "rgb24")
            if times is not None:
                frame.pts, frame.time_base = times[index], Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def write_exact(path, frames):
    """RGB kept bit for bit (PNG pictures in a .mov)."""
    return write(path, frames, codec="png", pix_fmt="rgba" if frames[0].shape[2] == 4 else "rgb24")


def write_sound(path, seconds=1.0):
    with av.open(str(path), "w") as out:
        stream = out.add_stream("aac", rate=44100)
        samples = np.sin(np.arange(int(seconds * 44100)) * 0.05).astype(np.float32)[None]
        frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
        frame.sample_rate = 44100
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


def levels(frames):
    return [round((float(frame.mean()) - 20) / 4) for frame in frames]


def rotated(path, matrix):
    """Write a display matrix (a, b, c, d) into the track header of an MP4 or MOV."""
    data = bytearray(path.read_bytes())
    at = data.index(b"tkhd") + 4 + 4 * 6 + 8 + 4 * 2
    a, b, c, d = (value << 16 for value in matrix)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def test_every_frame_once_and_in_order(tmp_path):
    path = write(tmp_path / "a.mp4", numbered(30), options={"bf": "3"})
    info = open_video(path)
    assert (info.width, info.height, info.frames, info.has_audio) == (64, 48, 30, False)
    assert info.rate == 25 and info.fps == 25.0 and info.duration == pytest.approx(1.2)
    frames = list(read_frames(path))
    assert levels(frames) == list(range(30))
    assert all(f.dtype == np.uint8 and f.flags.c_contiguous and f.shape == (48, 64, 3) for f in frames)


@pytest.mark.parametrize(
    ("start", "stride", "count"), [(0, 4, None), (5, 1, 3), (7, 3, 4), (29, 1, None), (2, 9, 99), (0, 100, 1)]
)
def test_start_stride_and_count(tmp_path, start, stride, count):
    path = write(tmp_path / "a.mp4", numbered(30))
    wanted = list(range(30))[start::stride][:count]
    for isolated in (False, True):
        assert levels(read_frames(path, start=start, stride=stride, count=count, isolated=isolated)) == wanted


def test_colours_are_exact_where_the_file_is(tmp_path):
    path = write_exact(tmp_path / "a.mov", [quarters(), quarters()[::-1].copy()])
    first, second = read_frames(path)
    np.testing.assert_array_equal(first, quarters())
    np.testing.assert_array_equal(second, quarters()[::-1])


def test_uneven_frame_times_count_each_frame_once(tmp_path):
    times = [0, 40, 50, 400, 410, 420, 900, 1000]
    path = write(tmp_path / "a.mp4", numbered(8), times=times, options={"bf": "0"})
    assert levels(read_frames(path)) == list(range(8))
    assert open_video(path).fps == pytest.approx(8 / 1.1, rel=0.15)


@pytest.mark.parametrize(
    ("matrix", "seen"),
    [
        ((1, 0, 0, 1), lambda p: p),
        ((0, 1, -1, 0), lambda p: np.rot90(p, -1)),  # what a phone held upright writes: a quarter turn clockwise
        ((-1, 0, 0, -1), lambda p: np.rot90(p, 2)),
        ((0, -1, 1, 0), lambda p: np.rot90(p, 1)),
        ((-1, 0, 0, 1), lambda p: p[:, ::-1]),
        ((1, 0, 0, -1), lambda p: p[::-1]),
        ((0, 1, 1, 0), lambda p: p.transpose(1, 0, 2)),
        ((0, -1, -1, 0), lambda p: np.rot90(p, 2).transpose(1, 0, 2)),
    ],
)
def test_rotation_is_applied(tmp_path, matrix, seen):
    path = rotated(write_exact(tmp_path / "a.mov", [quarters()] * 2), matrix)
    wanted = seen(quarters())
    info = open_video(path)
    assert (info.height, info.width) == wanted.shape[:2]
    for frame in read_frames(path):
        np.testing.assert_array_equal(frame, wanted)
        assert frame.flags.c_contiguous


def test_odd_sizes(tmp_path):
    frames = [np.random.default_rng(0).integers(0, 256, (77, 51, 3), dtype=np.uint8)]
    np.testing.assert_array_equal(next(read_frames(write_exact(tmp_path / "a.mov", frames))), frames[0])
    path = write(tmp_path / "b.mkv", [np.full((77, 51, 3), 100, np.uint8)] * 3, codec="ffv1", pix_fmt="yuv420p")
    assert [f.shape for f in read_frames(path)] == [(77, 51, 3)] * 3
    single = [np.full((1, 1, 3), 9, np.uint8)]
    assert next(read_frames(write_exact(tmp_path / "c.mov", single))).tolist() == [[[9, 9, 9]]]


def test_alpha_is_dropped(tmp_path):
    rgba = np.dstack([quarters(), np.full((48, 64), 40, np.uint8)])
    frame = next(read_frames(write_exact(tmp_path / "a.mov", [rgba])))
    np.testing.assert_array_equal(frame, quarters())


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuvj420p", "yuv444p", "yuv420p10le", "yuv422p10le"])
def test_pixel_formats_agree(tmp_path, pix_fmt):
    """Full range, limited range and 10 bits give the same picture."""
    codec, options = ("libx264", {"qp": "0"}) if pix_fmt == "yuvj420p" else ("ffv1", {})
    path = write(tmp_path / "a.mkv", [quarters()] * 2, codec=codec, pix_fmt=pix_fmt, options=options)
    frame = next(read_frames(path)).astype(int)
    inside = np.ones((48, 64), bool)
    inside[18:30], inside[:, 26:38] = False, False  # chroma of half the size bleeds over the borders
    assert np.abs(frame - quarters())[inside].max() <= 4


def write_steps(path, transfer, signal_levels):
    """Eight grey columns with the given luma signal in 10-bit limited range, tagged BT.2020 and with a transfer."""
    luma = np.repeat(64 + np.round(np.array(signal_levels) * 876), 8)[None].repeat(48, axis=0).astype(np.uint16)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("ffv1", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p10le"
        tags = {"color_trc": transfer, "color_primaries": 9, "colorspace": 9, "color_range": 1}
        frame = av.VideoFrame(64, 48, "yuv420p10le")
        for thing in (stream.codec_context, frame):
            for name, value in tags.items():
                if hasattr(thing, name):  # PyAV before 17 knows some of them on streams only
                    setattr(thing, name, value)
        for plane, values in zip(frame.planes, (luma, np.full((24, 32), 512), np.full((24, 32), 512)), strict=True):
            rows = np.zeros((values.shape[0], plane.line_size // 2), np.uint16)
            rows[:, : values.shape[1]] = values
            plane.update(rows.tobytes())
        frame.pts = 0
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path


@pytest.mark.parametrize(
    ("transfer", "signals", "greys"),
    [
        (16, [0, 0.2, 0.5081, 0.5807, 0.6, 0.75, 0.9, 1], [0, None, 190, 255, 255, 255, 255, 255]),  # 0.5081: 100 cd/m2
        (18, [0, 0.2, 0.5, 0.75, 0.8, 0.9, 0.95, 1], [0, None, 143, 255, 255, 255, 255, 255]),  # half: 51 cd/m2
    ],
    ids=["PQ", "HLG"],
)
def test_hdr_reference_white_becomes_white(tmp_path, transfer, signals, greys):
    found = next(read_frames(write_steps(tmp_path / "a.mkv", transfer, signals)))[20, 4::8].astype(int)
    assert (np.ptp(found, axis=1) <= 1).all(), "grey stays grey"
    assert 20 < found[1, 0] < greys[2]
    wanted = [found[1, 0] if grey is None else grey for grey in greys]
    np.testing.assert_allclose(found[:, 0], wanted, atol=2)


def test_one_frame(tmp_path):
    path = write(tmp_path / "a.mp4", numbered(1))
    assert len(list(read_frames(path))) == 1 and open_video(path).frames == 1


@pytest.fixture
def bad_files(tmp_path):
    whole = write(tmp_path / "whole.mp4", numbered(10)).read_bytes()
    moov = whole.index(b"moov") - 4
    (tmp_path / "text.mp4").write_text("this is no video\n" * 100)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "no moov.mp4").write_bytes(whole[:moov])
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20000))
    (tmp_path / "playlist.mp4").write_text(f"#EXTM3U\n#EXTINF:1,\n{tmp_path / 'whole.mp4'}\n#EXT-X-ENDLIST\n")
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {tmp_path / 'whole.mp4'}\n")
    (tmp_path / "art.txt").write_text("ANSI art is a video to FFmpeg\n" * 10)
    (tmp_path / "folder.mp4").mkdir()
    write_sound(tmp_path / "sound.mp4")
    with av.open(str(tmp_path / "no frames.mp4"), "w") as out:
        stream = out.add_stream("libx264", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        out.start_encoding()
    return tmp_path


BAD = {
    "text.mp4": "not a video",
    "empty.mp4": "0 bytes",
    "no moov.mp4": "cut off",
    "noise.mp4": "not a video",
    "playlist.mp4": "not a video",
    "list.mp4": "not a video",
    "art.txt": "not a video",
    "folder.mp4": "found a folder",
    "sound.mp4": "only sound",
    "no frames.mp4": "no frames|no decoder|no stream",
    "missing.mp4": "no such video",
}


def test_bad_files_are_named_with_their_cause(bad_files):
    for name, cause in BAD.items():
        for reader in (open_video, lambda path: list(read_frames(path))):
            with pytest.raises(VideoError, match=cause) as error:
                reader(bad_files / name)
            assert name in str(error.value) and error.value.good_frames == 0


def test_bad_files_say_the_same_from_a_child_process(bad_files):
    for name in ("text.mp4", "sound.mp4", "missing.mp4"):
        with pytest.raises(VideoError, match=BAD[name]) as error:
            open_video(bad_files / name, isolated=True)
        assert name in str(error.value)


def test_bad_arguments_are_refused_at_once(tmp_path):
    for wrong in ({"start": -1}, {"stride": 0}, {"count": 0}, {"stride": 1.5}, {"count": True}):
        with pytest.raises(ValueError, match=f"{next(iter(wrong))} of the frames"):
            read_frames(tmp_path / "a.mp4", **wrong)


def test_a_start_behind_the_end(tmp_path):
    path = write(tmp_path / "a.mp4", numbered(5))
    with pytest.raises(VideoError, match="frame 5, there are only 5 frames") as error:
        list(read_frames(path, start=5))
    assert error.value.good_frames == 5


@pytest.fixture
def faststart(tmp_path):
    """An index in front of the pictures, noise that does not compress to nothing, a key frame every 10."""
    rng = np.random.default_rng(0)
    frames = [rng.integers(0, 256, (48, 64, 3), dtype=np.uint8) // 4 + 5 * index for index in range(30)]
    options = {"g": "10", "bf": "0"}
    return write(tmp_path / "whole.mp4", frames, options=options, container={"movflags": "+faststart"})


@pytest.mark.parametrize("isolated", [False, True])
def test_a_cut_file_tells_how_many_frames_are_good(faststart, tmp_path, isolated):
    whole = faststart.read_bytes()
    wanted = list(read_frames(faststart))
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(whole[: len(whole) * 2 // 3])
    seen = []
    with pytest.raises(VideoError, match=r"cut\.mp4.*only the first \d+ frames are good") as error:
        for frame in read_frames(cut, isolated=isolated):
            seen.append(frame)
    assert 10 < len(seen) < 30 and error.value.good_frames == len(seen)
    np.testing.assert_array_equal(np.stack(seen), np.stack(wanted[: len(seen)]))
    accepted = list(read_frames(cut, accept_damaged=True, isolated=isolated))
    np.testing.assert_array_equal(np.stack(accepted), np.stack(seen))


def test_a_cut_between_two_frames_is_noticed(faststart, tmp_path):
    with av.open(str(faststart)) as container:
        if not hasattr(container.streams.video[0], "index_entries"):
            pytest.skip("this PyAV does not tell what the index names")
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    cut = tmp_path / "cut.mp4"
    cut.write_bytes(faststart.read_bytes()[: packets[14][0] + packets[14][1]])
    with pytest.raises(VideoError, match="first 15 frames"):
        list(read_frames(cut))


def test_damage_inside_the_pictures_is_noticed(faststart, tmp_path, caplog):
    """One flipped bit in each of some packets: the decoder patches such frames up and goes on."""
    with av.open(str(faststart)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(faststart.read_bytes())
    for position, size in packets[13:20]:
        data[position + size // 2] ^= 0x10
    damaged = tmp_path / "flipped.mp4"
    damaged.write_bytes(data)
    with pytest.raises(VideoError, match=r"flipped\.mp4: only the first 1\d frames are good") as error:
        list(read_frames(damaged))
    good = error.value.good_frames
    assert 13 <= good < 20
    accepted = list(read_frames(damaged, accept_damaged=True))
    assert len(accepted) == 30 and "patched up by the decoder" in caplog.text
    np.testing.assert_array_equal(np.stack(accepted[:good]), np.stack(list(read_frames(faststart))[:good]))


def test_too_many_pixels_are_refused(tmp_path, monkeypatch):
    path = write(tmp_path / "a.mp4", numbered(2))
    monkeypatch.setattr(video_decode, "MAX_PIXELS", 64 * 48)
    assert open_video(path).width == 64
    monkeypatch.setattr(video_decode, "MAX_PIXELS", 64 * 48 - 1)
    for reader in (open_video, lambda p: list(read_frames(p))):
        with pytest.raises(VideoError, match="64x48, more than 3071 pixels"):
            reader(path)


def test_a_change_of_size_is_named(tmp_path):
    """JPEGs of two sizes in one stream."""
    with av.open(str(tmp_path / "a.mkv"), "w") as out:
        stream = out.add_stream("mjpeg", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
        for index in range(6):
            coder = av.CodecContext.create("mjpeg", "w")
            coder.width, coder.height, coder.pix_fmt = 64 + index // 4 * 16, 48, "yuvj420p"
            coder.time_base = Fraction(1, 25)
            frame = av.VideoFrame(coder.width, coder.height, "yuvj420p")
            for packet in coder.encode(frame):
                packet.stream, packet.pts, packet.dts, packet.time_base = stream, index, index, Fraction(1, 25)
                out.mux(packet)
    with pytest.raises(VideoError, match=r"first 4 frames are good .the frame size changes from .64, 48. to .80"):
        list(read_frames(tmp_path / "a.mkv"))
    assert len(list(read_frames(tmp_path / "a.mkv", accept_damaged=True))) == 4


SURVIVE = """
import sys
from pathlib import Path
import numpy as np
from animatex_core.video import VideoError, open_video, read_frames
whole, work = Path(sys.argv[1]).read_bytes(), Path(sys.argv[2])
rng = np.random.default_rng(0)
cuts = [406, *rng.integers(1, len(whole), int(sys.argv[3]) - 1)]
refused = 0
for cut in cuts:
    work.write_bytes(whole[:cut])
    try:
        sum(1 for _ in read_frames(work))
    except VideoError:
        refused += 1
for _ in range(int(sys.argv[3]) // 2):
    flipped = bytearray(whole)
    for at in rng.integers(0, len(whole), 8):
        flipped[at] ^= 1 << int(rng.integers(8))
    work.write_bytes(flipped)
    try:
        open_video(work)
        sum(1 for _ in read_frames(work))
    except VideoError:
        pass
print(refused)
"""


@pytest.mark.parametrize(("kind", "files"), [("mp4", 101), ("webm", 20), ("avi", 20), ("gif", 20)])
def test_the_process_survives_cut_and_flipped_files(faststart, tmp_path, kind, files):
    """In a child, because what is tested for is a crash that no test would survive."""
    whole = faststart
    if kind != "mp4":
        codec, pix_fmt = {"webm": ("libvpx", "yuv420p"), "avi": ("mpeg4", "yuv420p"), "gif": ("gif", "rgb8")}[kind]
        whole = write(tmp_path / f"whole.{kind}", numbered(20), codec=codec, pix_fmt=pix_fmt)
    arguments = [sys.executable, "-c", SURVIVE, str(whole), str(tmp_path / f"cut.{kind}"), str(files)]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=300, cwd=os.getcwd(), check=False)
    assert done.returncode == 0, done.stderr
    refused = int(done.stdout)
    assert refused == files if kind == "mp4" else refused < files, "the other kinds have no index to tell a cut by"


def crash(pipe, path):
    pipe.send_bytes(b".")
    os.kill(os.getpid(), signal.SIGSEGV)


def hang(pipe, path):
    signal.pause()


def test_a_crash_of_the_decoder_is_an_error_like_any_other(tmp_path):
    with pytest.raises(VideoError, match=r"a\.mp4.*crashes the decoder \(signal 11\) after 1 good frames") as error:
        with video_isolated._child(crash, tmp_path / "a.mp4") as messages:
            list(messages)
    assert error.value.good_frames == 1


def test_a_hanging_decoder_is_given_up(tmp_path, monkeypatch):
    monkeypatch.setattr(video_isolated, "SILENCE", 1.0)
    with pytest.raises(VideoError, match="silent"):
        with video_isolated._child(hang, tmp_path / "a.mp4") as messages:
            list(messages)


def test_leaving_off_early_ends_the_child(tmp_path):
    import multiprocessing

    path = write(tmp_path / "a.mp4", numbered(30))
    frames = read_frames(path, isolated=True)
    next(frames)
    assert multiprocessing.active_children()
    frames.close()
    assert not multiprocessing.active_children()


def test_memory_does_not_grow_with_the_length(tmp_path):
    """Ten times the frames of 0.7 MB each: the peak of the process may not follow."""
    frames = numbered(20, 640, 384)
    short = write(tmp_path / "short.mp4", frames, options={"preset": "ultrafast"})
    long = write(tmp_path / "long.mp4", frames * 10, options={"preset": "ultrafast"})
    script = (
        "import resource, sys; from animatex_core.video import read_frames\n"
        "print(sum(1 for _ in read_frames(sys.argv[1])), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
    )
    peaks = []
    for path, count in ((short, 20), (long, 200)):
        done = subprocess.run([sys.executable, "-c", script, str(path)], capture_output=True, text=True, check=True)
        assert int(done.stdout.split()[0]) == count
        peaks.append(int(done.stdout.split()[1]) // 1024)
    assert peaks[1] - peaks[0] < 60, f"{peaks} MiB; the frames of the long one alone are 140"


def test_reading_does_not_wait_for_torch():
    script = "import sys, animatex_core.video; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
