"""The driver's sound stays in sync, to the sample where it is copied."""

from fractions import Fraction

import av
import numpy as np
import pytest

from animatex_core.video import open_video, read_frames, write_video

RATE = 48000


def driver(path, codec, layout="mono", seconds=3, fps=30, sound_rate=44100):
    """A video whose frame i is grey i, with noise for sound: every moment of both can be told from every other."""
    noise = np.random.default_rng(0).normal(size=sound_rate * seconds + 5)
    noise = (0.3 * np.convolve(noise, np.ones(6) / 6, "valid")).astype(np.float32)
    channels = 2 if layout == "stereo" else 1
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=fps)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        audio = out.add_stream(codec, rate=sound_rate)
        audio.layout = layout
        step = sound_rate // fps
        for index in range(seconds * fps):
            picture = np.full((48, 64, 3), index, np.uint8)
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            samples = noise[None, index * step : (index + 1) * step].repeat(channels, axis=0)
            frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples), format="fltp", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = sound_rate, index * step, Fraction(1, sound_rate)
            out.mux(audio.encode(frame))
        out.mux(video.encode())
        out.mux(audio.encode())
    return path


def sound(path):
    """Codec, and samples on the clock of the pictures: mono, 48 kHz, 0 is the first frame."""
    with av.open(str(path)) as container:
        video, audio = container.streams.video[0], container.streams.audio[0]
        begin = (video.start_time or 0) * video.time_base
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        line, last = np.zeros(RATE * 10, np.float32), 0
        frames = [part for frame in container.decode(audio) for part in resampler.resample(frame)]
        for frame in [*frames, *resampler.resample(None)]:
            samples, at = frame.to_ndarray()[0], round((frame.pts * frame.time_base - begin) * RATE)
            samples, at = samples[max(0, -at) :], max(at, 0)
            line[at : at + len(samples)] = samples
            last = max(last, at + len(samples))
        return audio.codec_context.codec.canonical_name, line[:last]


def lag(found, wanted):
    """By how many samples `found` is late."""
    size = 1 << (len(found) + len(wanted)).bit_length()
    match = np.fft.irfft(np.fft.rfft(found, size) * np.conj(np.fft.rfft(wanted, size)), size)
    best = int(match.argmax())
    return best - size if best > size // 2 else best


CASES = [
    ("aac", ".mp4", ".mp4", "aac", 1),
    ("libmp3lame", ".mp4", ".mp4", "mp3", 1),
    ("pcm_s16le", ".mov", ".mp4", "aac", 48),
    ("aac", ".mp4", ".webm", "opus", 48),
    ("libopus", ".mkv", ".webm", "opus", 48),
    ("libopus", ".mkv", ".mp4", "aac", 48),
]


@pytest.mark.parametrize("start", [0, 37])
@pytest.mark.parametrize(("codec", "source", "target", "wanted", "apart"), CASES)
def test_sound_is_in_sync_and_as_long_as_the_clip(tmp_path, codec, source, target, wanted, apart, start):
    """At a third of the driver's frames and a third of its rate, from a frame in the middle of a sound packet."""
    rate = 48000 if codec == "libopus" else 44100
    path = driver(tmp_path / f"driver{source}", codec, sound_rate=rate, layout="stereo" if source == ".mov" else "mono")
    info = open_video(path)
    frames = list(read_frames(path, start=start, stride=3, count=15))
    clip = tmp_path / f"clip{target}"
    write_video(clip, frames, info.rate / 3, audio_from=path, audio_start=start / info.rate)
    name, found = sound(clip)
    assert name == wanted
    assert 1.49 < len(found) / RATE < 1.5 + 0.035, "the last packet may reach over the end"
    assert open_video(clip).has_audio and len(list(read_frames(clip))) == 15
    original = sound(path)[1][round(start / 30 * RATE) :][: len(found)]
    late = lag(found, original)
    assert abs(late) <= apart
    steady = slice(RATE // 10, RATE)
    assert np.corrcoef(found[steady], np.roll(original, late)[steady])[0, 1] > 0.9, "it is the same sound"


def test_sound_that_ends_before_the_clip_or_is_not_there(tmp_path, caplog):
    path = driver(tmp_path / "driver.mp4", "aac", seconds=1)
    frames = [np.zeros((48, 64, 3), np.uint8)] * 30
    write_video(tmp_path / "longer.mp4", frames, 10, audio_from=path)
    assert open_video(tmp_path / "longer.mp4").duration == pytest.approx(3)
    assert len(sound(tmp_path / "longer.mp4")[1]) < 1.1 * RATE
    with caplog.at_level("INFO"):
        write_video(tmp_path / "behind.mp4", frames, 10, audio_from=path, audio_start=5)
        write_video(tmp_path / "silent.mp4", frames, 10, audio_from=tmp_path / "behind.mp4")
    assert caplog.text.count("no sound at this place") == 2
    assert not open_video(tmp_path / "behind.mp4").has_audio and not open_video(tmp_path / "silent.mp4").has_audio


def test_sound_from_a_sound_file(tmp_path):
    with av.open(str(tmp_path / "music.wav"), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=RATE)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.full((1, 2 * RATE), 0.5, np.float32), format="fltp", layout="mono")
        frame.sample_rate = RATE
        out.mux(stream.encode(frame))
        out.mux(stream.encode())
    write_video(tmp_path / "a.mp4", [np.zeros((48, 64, 3), np.uint8)] * 10, 10, audio_from=tmp_path / "music.wav")
    assert len(sound(tmp_path / "a.mp4")[1]) > 0.95 * RATE


def test_damaged_sound_does_not_cost_the_clip(tmp_path, caplog):
    """The driver breaks off: the clip is whole, its sound ends, and that is logged or heard as silence."""
    path = driver(tmp_path / "driver.mkv", "libopus", sound_rate=48000)
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 3])
    frames = [np.zeros((48, 64, 3), np.uint8)] * 30
    assert write_video(tmp_path / "a.mp4", frames, 10, audio_from=path) == 30
    assert len(list(read_frames(tmp_path / "a.mp4"))) == 30
    assert 0.3 < len(sound(tmp_path / "a.mp4")[1]) / RATE < 2.5
