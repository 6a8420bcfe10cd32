"""Clips are read whole, one frame at a time, and never cut to fit each other."""

import numpy as np
import pytest
from animatex_training.evaluation.frames import clip_info, read_clip, read_pairs, write_clip
from PIL import Image

from animatex_core.video import write_video

RANDOM = np.random.default_rng(0)


def clip(frames=3, height=6, width=8):
    return [RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(frames)]


def test_a_folder_comes_back_as_it_was_written(tmp_path):
    frames = clip(12)
    assert write_clip(tmp_path / "a", iter(frames)) == 12
    assert clip_info(tmp_path / "a") == clip_info(frames) == (12, 8, 6)
    assert all(np.array_equal(a, b) for a, b in zip(read_clip(tmp_path / "a"), frames, strict=True))


def test_a_video_is_a_clip(tmp_path):
    write_video(tmp_path / "a.mp4", clip(5, 16, 16), 8)
    assert clip_info(tmp_path / "a.mp4") == (5, 16, 16)
    assert len(list(read_clip(str(tmp_path / "a.mp4")))) == 5


def test_reading_does_not_hold_the_frames(tmp_path):
    write_clip(tmp_path / "a", clip(3))
    frames = read_clip(tmp_path / "a")
    (tmp_path / "a" / "00002.png").unlink()
    next(frames), next(frames)
    with pytest.raises(ValueError, match=r"00002\.png"):
        next(frames)


@pytest.mark.parametrize(("made", "truth"), [(3, 4), (4, 3)])
def test_different_lengths_are_refused_naming_both(tmp_path, made, truth):
    write_clip(tmp_path / "made", clip(made))
    write_clip(tmp_path / "truth", clip(truth))
    with pytest.raises(ValueError, match=rf"made has {made} frames and .*truth has {truth}: .* nothing is cut"):
        list(read_pairs(tmp_path / "made", tmp_path / "truth"))


def test_writing_is_whole_or_not_at_all(tmp_path):
    def broken():
        yield from clip(2)
        raise RuntimeError("the method failed")

    with pytest.raises(RuntimeError):
        write_clip(tmp_path / "a", broken())
    with pytest.raises(ValueError, match=r"frame 1 is \[5, 8, 3\], expected \[6, 8, 3\]"):
        write_clip(tmp_path / "a", [*clip(1), *clip(1, 5)])
    with pytest.raises(ValueError, match="no frames"):
        write_clip(tmp_path / "a", [])
    assert not list(tmp_path.iterdir())


def test_what_is_no_clip_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty: the folder holds no PNG"):
        next(read_clip(tmp_path / "empty"))
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    with pytest.raises(ValueError, match="a picture, expected a folder"):
        next(read_clip(tmp_path / "a.png"))
    with pytest.raises(TypeError, match="can be read again, got generator"):
        read_clip(frame for frame in clip())
    with pytest.raises(ValueError, match="uint8"):
        next(read_clip([np.zeros((4, 4, 3))]))


def test_numbers_that_names_put_out_of_order_are_refused(tmp_path):
    for index in (0, 2, 10):
        Image.new("RGB", (4, 4)).save(tmp_path / f"{index}.png")
    with pytest.raises(ValueError, match=r"10\.png: numbers of unequal length"):
        next(read_clip(tmp_path))
    (tmp_path / "0.png").unlink()
    with pytest.raises(ValueError, match=r": 2\.png and 10\.png: numbers of unequal length"):
        next(read_clip(tmp_path))
