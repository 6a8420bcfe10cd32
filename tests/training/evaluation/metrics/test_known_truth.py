"""Metrics for a known truth, on pictures whose answer is counted by hand."""

import numpy as np
import pytest
import torch
from animatex_training.evaluation.metrics.boxed import LEAST, box_of
from animatex_training.evaluation.metrics.colours import distance, foreground, palette
from animatex_training.evaluation.metrics.joints import joint_values
from animatex_training.evaluation.metrics.mini_keypoints import (
    HEIGHT,
    JOINTS,
    STRIDE,
    WIDTH,
    MiniKeypoints,
    hottest,
    load_keypoints,
)
from animatex_training.evaluation.metrics.presets import ClipMeter
from animatex_training.mini_keypoints_train import MIRRORED, save, varied, wanted_heat

from animatex_core.pictures import resize
from animatex_core.pose.keypoints import POINTS, PoseSequence
from animatex_core.tensor_files import WeightsError

GREEN, RED, BLUE = (200, 230, 200), (200, 30, 30), (30, 30, 200)


def drawn(mask, colour, behind=GREEN):
    frame = np.full((*mask.shape, 3), behind, np.uint8)
    frame[mask] = colour
    return frame


def body(top=20, bottom=80, left=10, right=60, size=(96, 80)):
    mask = np.zeros(size, bool)
    mask[top:bottom, left:right] = True
    return mask


def test_the_box_is_that_of_the_silhouette_and_never_too_small():
    assert box_of(body()) == (slice(20, 80), slice(10, 60))
    small = box_of(body(0, 4, 70, 80))
    assert small == (slice(0, LEAST), slice(80 - LEAST, 80))
    assert box_of(np.ones((20, 30), bool)) == (slice(0, 20), slice(0, 30))


def test_metrics_in_the_box_do_not_see_the_background():
    mask = body()
    truth, made = drawn(mask, RED), drawn(mask, RED)
    made[mask] += np.uint8(10)
    made[:5] = 0  # far outside
    names = ("psnr_box", "mae_box", "ssim_box", "colour_distance")
    values = ClipMeter("clean", only=names).measure_clip([made], [truth], mask=[mask], reference=truth)
    assert values["mae_box"].value == pytest.approx(10 / 255)
    assert values["psnr_box"].value == pytest.approx(20 * np.log10(255 / 10))
    assert "height" not in values["psnr_box"].settings and values["ssim_box"].n == 1
    empty = ClipMeter("clean", only=names).measure_clip([made], [truth], mask=[mask & False], reference=truth)
    assert empty == {}


def test_colours_are_those_of_the_reference_or_of_somebody_else():
    mask, shifted = body(), body(left=20, right=70)
    reference = drawn(shifted, RED)
    meter = ClipMeter("clean", only=("colour_distance",))

    def found(colour):
        made = drawn(mask, colour)
        return meter.measure_clip([made], [drawn(mask, RED)], mask=[mask], reference=reference)["colour_distance"].value

    assert found(RED) == 0 and found(BLUE) > 0.2
    noisy = reference.copy()
    noisy[::2] = 0
    assert foreground(noisy) is None  # the border is not plain
    assert meter.measure_clip([reference], [reference], mask=[shifted], reference=noisy) == {}
    assert distance(palette(np.array([[0, 0, 0]])), palette(np.array([[255, 255, 255]]))) == pytest.approx(
        (3 + 3 * 2**0.5 + 3**0.5) / 10
    )


class Sees:
    """A network that finds every joint where it is told."""

    def __init__(self, joints):
        self.joints = joints

    def find(self, frames):
        return self.joints


def test_joint_errors_are_of_the_joints_that_are_there():
    points = np.zeros((2, 1, POINTS, 2), np.float32)
    points[:, 0, :3] = [[10, 20], [30, 40], [500, 40]]  # the last one is outside the picture
    scores = np.zeros((2, 1, POINTS), np.float32)
    scores[0, 0, :3] = 1
    expected = PoseSequence(points, scores, WIDTH, HEIGHT, 12.0)
    found = np.zeros((2, JOINTS, 2), np.float32)
    found[:, 0], found[:, 1] = (13, 24), (30, 60)
    frames = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)] * 2
    values = joint_values(Sees(found), frames, expected, {})
    assert values["joint_error"].value == pytest.approx((5 + 20) / 2)
    assert values["joint_pck"].value == 0.5 and values["joint_error"].settings["frames"] == [0]
    with pytest.raises(ValueError, match="1 frames in the result, 2"):
        joint_values(Sees(found), frames[:1], expected, {})


def test_sides_of_a_limb_may_be_exchanged_but_not_its_joints():
    points = np.zeros((1, 1, POINTS, 2), np.float32)
    points[0, 0, 2:8] = [[40, 50], [35, 70], [30, 90], [80, 50], [85, 70], [90, 90]]
    scores = (points[..., 0] > 0).astype(np.float32)
    expected = PoseSequence(points, scores, WIDTH, HEIGHT, 12.0)
    frames = [np.zeros((HEIGHT, WIDTH, 3), np.uint8)]
    found = points[:, 0, :JOINTS].copy()
    found[:, 2:8] = found[:, [5, 6, 7, 2, 3, 4]]
    assert joint_values(Sees(found), frames, expected, {})["joint_error"].value == 0
    found[:, [2, 5]] = found[:, [5, 2]]  # shoulders at one side, the arms at the other
    assert joint_values(Sees(found), frames, expected, {})["joint_error"].value == pytest.approx(40 / 3)


def test_heat_maps_and_joints_are_each_others_inverse():
    joints = torch.zeros(1, JOINTS, 3)
    joints[0, :, 0] = torch.linspace(20, 100, JOINTS)
    joints[0, :, 1] = torch.linspace(30, 170, JOINTS)
    joints[0, :, 2] = 1
    joints[0, 5, 0] = -3  # left of the picture
    heat, there = wanted_heat(joints)
    assert there[0].tolist() == [number != 5 for number in range(JOINTS)]
    found = hottest(heat.log().view(1, JOINTS, HEIGHT // STRIDE, WIDTH // STRIDE))
    assert (found - joints[..., :2])[there].abs().max() < 0.3


def test_variations_move_joints_with_the_picture():
    pictures = torch.zeros(4, 3, HEIGHT, WIDTH)
    pictures[:, :, 88:104, 40:56] = 1
    joints = torch.zeros(4, JOINTS, 3)
    joints[:, 2] = torch.tensor([48.0, 96.0, 1])
    joints[:, 5] = torch.tensor([80.0, 96.0, 1])
    shown, moved = varied(pictures, joints, torch.Generator().manual_seed(0), turn=40)
    for picture, found in zip(shown.mean(1), moved, strict=True):
        bright = picture > (picture.max() + picture.median()) / 2
        middle = torch.nonzero(bright).float().mean(0).flip(0) + 0.5
        nearest = min(float((found[j, :2] - middle).norm()) for j in (2, 5))
        assert nearest < 2
    assert sorted(MIRRORED) == list(range(JOINTS))


def test_the_network_reads_frames_of_two_sizes_from_its_file(tmp_path):
    model = MiniKeypoints().eval()
    save(tmp_path / "net.safetensors", model, {})
    assert (tmp_path / "net.safetensors").stat().st_size < 500_000
    loaded = load_keypoints(tmp_path / "net.safetensors")
    large = np.random.default_rng(0).integers(0, 256, (2, 2 * HEIGHT, 2 * WIDTH, 3), np.uint8)
    frames = resize(large, WIDTH, HEIGHT)
    found = loaded.find(frames)
    assert found.shape == (2, JOINTS, 2) and (found >= 0).all() and (found[..., 0] < WIDTH).all()
    np.testing.assert_allclose(loaded.find(large), 2 * found, rtol=1e-5)
    with pytest.raises(ValueError, match="sides as 2 to 3"):
        loaded.find(np.zeros((1, 64, 64, 3), np.uint8))
    from safetensors.torch import save_file

    save_file({"other": torch.zeros(1)}, tmp_path / "other.safetensors")
    with pytest.raises(WeightsError, match="no mini keypoint network"):
        load_keypoints(tmp_path / "other.safetensors")
