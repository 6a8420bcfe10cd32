"""Silhouettes of drawn shapes: areas counted by hand."""

import numpy as np
import pytest
from animatex_training.evaluation.metrics.boxed import Boxed
from animatex_training.evaluation.metrics.colours import Colours
from animatex_training.evaluation.metrics.presets import ClipMeter
from animatex_training.evaluation.metrics.silhouette import Silhouette, compare, dilated

NAMES = ("silhouette_iou", "extra_limb_rate", "missing_part_rate")


def box(top, bottom, left, right):
    mask = np.zeros((60, 60), bool)
    mask[top:bottom, left:right] = True
    return mask


def drawn(mask, colour=(200, 40, 40)):
    frame = np.full((*mask.shape, 3), 230, np.uint8)
    frame[mask] = colour
    return frame


BODY = box(20, 40, 20, 40)
ARM = box(28, 32, 40, 55)


def test_the_dilation_is_three_pixels_all_round():
    point = np.zeros((9, 9), bool)
    point[4, 4] = True
    grown = dilated(point)
    assert grown[4, 1] and grown[1, 4] and not grown[4, 0] and not grown[1, 1]
    assert grown.sum() == 29  # the points of the grid within 3 of the middle
    assert not dilated(np.zeros((4, 4), bool)).any()


def test_areas_by_hand():
    assert compare(BODY, BODY) == (1, 0, 0)
    # an arm of 15 columns, of which 3 are forgiven: 12 x 4 of 400 pixels
    iou, extra, missing = compare(BODY | ARM, BODY)
    assert (iou, extra, missing) == pytest.approx((400 / 460, 48 / 400, 0))
    # without the 10 lower rows: 7 of them are further than 3 pixels from what is there
    iou, extra, missing = compare(box(20, 30, 20, 40), BODY)
    assert (iou, extra, missing) == pytest.approx((0.5, 0, 7 * 20 / 400))


def measure(made, truth, masks, segment=None):
    return ClipMeter("clean", only=NAMES, segment=segment).measure_clip(made, truth, mask=masks)


def test_the_foreground_is_what_differs_from_the_plain_background():
    made, truth = [drawn(BODY | ARM), drawn(BODY)], [drawn(BODY)] * 2
    values = measure(made, truth, [BODY, BODY])
    assert values["extra_limb_rate"].per_frame == pytest.approx((0.12, 0))
    assert values["silhouette_iou"].n == 2
    pictures = [np.repeat(BODY[..., None], 3, 2).astype(np.uint8) * 255] * 2
    assert measure(made, truth, pictures) == values


def test_a_clip_of_background_alone_lacks_everything():
    values = measure([drawn(BODY & False)], [drawn(BODY)], [BODY])
    assert [values[name].value for name in NAMES] == [0, 0, 1]


def test_frames_without_a_silhouette_are_left_out_and_said():
    values = measure([drawn(BODY)] * 3, [drawn(BODY)] * 3, [BODY, BODY & False, BODY])
    assert values["silhouette_iou"].n == 2 and values["silhouette_iou"].settings["frames"] == [0, 2]
    assert measure([drawn(BODY)], [drawn(BODY)], [BODY & False]) == {}


def test_a_background_that_is_not_plain_needs_a_function():
    noisy = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    with pytest.raises(ValueError, match=r"background is not plain .* give `segment`"):
        measure([noisy], [noisy], [BODY])
    values = measure([noisy], [noisy], [BODY], segment=lambda frame: BODY)
    assert values["silhouette_iou"].value == 1 and values["silhouette_iou"].settings["foreground"] == "given"


@pytest.mark.parametrize("reason", ["not plain", "fills the picture"])
def test_a_clip_whose_background_is_not_plain_can_be_left_out(reason):
    noisy = np.random.default_rng(0).integers(0, 256, (60, 60, 3), dtype=np.uint8)
    mask = BODY if reason == "not plain" else np.ones((60, 60), bool)
    told, meter = [], ClipMeter("clean", only=[*NAMES, "psnr"])
    truth = [drawn(BODY), noisy, noisy]
    values = meter.measure_clip(truth, truth, mask=[BODY, mask, BODY], left_out=told.append)
    assert set(values) == {"psnr"} and values["psnr"].n == 3
    assert len(told) == 1 and told[0].startswith("frame 1") and reason in told[0]
    with pytest.raises(ValueError, match=f"{reason}.*give `segment`"):
        meter.measure_clip(truth, truth, mask=[BODY, mask, BODY])


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize(
    "gauge",
    [Silhouette, lambda masks: Colours(masks, drawn(BODY)), lambda masks: Boxed(masks, [])],
    ids=["silhouette", "colours", "boxed"],
)
def test_the_number_of_silhouettes_is_that_of_frames(gauge, count):
    made = gauge(iter([BODY] * count))
    with pytest.raises(ValueError, match="nothing is cut"):
        for _ in range(2):
            made.add(drawn(BODY), drawn(BODY))
        made.values()


def test_silhouettes_of_another_size_are_refused():
    with pytest.raises(ValueError, match=r"silhouette is \[30, 30\], the frame \[60, 60\]"):
        measure([drawn(BODY)], [drawn(BODY)], [BODY[:30, :30]])
