"""Segments, windows and preprocessing of the networks that look at clips."""

import numpy as np
import pytest
import torch
from animatex_training.evaluation.metrics import features
from animatex_training.evaluation.metrics.backbones import Backbones
from animatex_training.evaluation.metrics.features import (
    Segments,
    WholeClip,
    Windows,
    collector,
    resize_bicubic,
    segments,
)
from PIL import Image

RANDOM = np.random.default_rng(0)


def clip(frames, height=20, width=30):
    return [RANDOM.integers(0, 256, (height, width, 3), dtype=np.uint8) for _ in range(frames)]


class Watched:
    """Stands in for a network and keeps what it was given: clips [n, F, side, side, 3]."""

    def __init__(self):
        self.seen = []

    def __call__(self, clips):
        self.seen.append(clips)
        return clips.reshape(len(clips), clips.shape[1], -1).mean(2).mean(1, keepdims=True)


@pytest.mark.parametrize(("frames", "count"), [(1, 1), (16, 1), (17, 2), (32, 2), (33, 3)])
def test_seventeen_frames_are_two_segments(frames, count):
    numbers = np.arange(frames)
    found = segments(numbers)
    assert found.shape == (count, 16)
    assert found.flatten()[:frames].tolist() == numbers.tolist()
    assert set(found.flatten()[frames:].tolist()) <= {frames - 1}  # the last frame fills up


def collected(kind, frames, **more):
    network = Watched()
    one = kind("x", lambda frame: frame.astype(np.float32), network, **more)
    for frame in frames:
        one.add(frame)
    return one.vectors()["x"], network.seen


def test_a_clip_is_the_mean_of_its_segments():
    frames = clip(17)
    vectors, seen = collected(Segments, frames)
    assert [len(s) for s in seen] == [1, 1]
    levels = [f.mean() for f in frames]
    assert vectors == pytest.approx(np.array([[(np.mean(levels[:16]) + levels[16]) / 2]]), rel=1e-5)


@pytest.mark.parametrize(("frames", "count"), [(15, 0), (16, 1), (17, 2), (40, 25)])
def test_windows_are_n_minus_15(frames, count):
    vectors, seen = collected(Windows, clip(frames), width=1)
    assert vectors.shape == (count, 1) and len(seen) == count
    assert all(s.shape[:2] == (1, 16) for s in seen)


def test_a_whole_clip_goes_in_one_pass():
    vectors, seen = collected(WholeClip, clip(19))
    assert vectors.shape == (1, 1) and [s.shape[:2] for s in seen] == [(1, 19)]


def test_the_resize_is_pillows_bicubic_of_floats():
    frame = clip(1, 50, 70)[0]
    got = resize_bicubic(frame, 24)
    exact = Image.fromarray(frame[:, :, 1].astype(np.float32)).resize((24, 24), Image.Resampling.BICUBIC)
    assert got.shape == (24, 24, 3) and np.array_equal(got[:, :, 1], np.asarray(exact))
    edge = np.zeros((20, 20, 3), np.uint8)
    edge[:, 10:] = 255
    sharp = resize_bicubic(edge, 112)
    assert sharp.max() > 255 and sharp.min() < 0  # the overshoot is not clipped


@pytest.mark.parametrize(("name", "side"), [("resnet3d_whole", 112), ("i3d_whole", 224)])
def test_networks_get_the_range_and_the_order_that_they_were_trained_with(monkeypatch, name, side):
    given = []

    def network(clips):
        given.append(clips)
        return torch.zeros(len(clips), 5)

    backbones = Backbones()
    monkeypatch.setattr(backbones, name.split("_")[0], lambda: network)
    one = collector(name, backbones)
    red = np.zeros((10, 10, 3), np.uint8)
    red[..., 0] = 255
    for _ in range(16):
        one.add(red)
    assert one.vectors()[name].shape == (1, 5)
    assert given[0].shape == (1, 3, 16, side, side) and given[0].dtype == torch.float32
    channels = given[0].mean((0, 2, 3, 4)).tolist()
    expected = (1, -1, -1) if side == 224 else (255 - 114.7748, -107.7354, -99.4750)
    assert channels == pytest.approx(expected, abs=1e-3)


def test_the_proxy_sees_motion():
    still, frames = [clip(1)[0]] * 17, clip(3)
    found = []
    for one_clip in (still, frames):
        one = collector("proxy_frames", Backbones())
        for frame in one_clip:
            one.add(frame)
        found.append(one.vectors())
    assert found[0]["proxy_frames"].shape == (17, 1280) and found[0]["proxy_segments"].shape == (2, 2560)
    assert np.abs(found[0]["proxy_segments"][:, 1280:]).max() < 1e-5 < found[1]["proxy_segments"][:, 1280:].mean()
    assert features.WINDOW == 16
