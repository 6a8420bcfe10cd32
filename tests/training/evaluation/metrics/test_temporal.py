"""Seams, jumps and drift of clips in which they are put by hand."""

import numpy as np
import pytest
from animatex_training.evaluation.metrics.presets import ClipMeter

NAMES = ("seam", "largest_jump", "drift")


def grey_clip(levels):
    return [np.full((8, 8, 3), level, np.uint8) for level in levels]


def measure(made, truth=None, **inputs):
    return ClipMeter("clean", only=NAMES).measure_clip(made, truth, **inputs)


def test_even_motion_has_no_seam():
    values = measure(grey_clip(range(0, 64, 2)), seams=(16,))
    assert values["seam"].value == values["largest_jump"].value == 1
    assert "drift" not in values


def test_a_jump_where_windows_meet_is_seen():
    levels = [2 * i + (20 if i >= 16 else 0) for i in range(32)]
    values = measure(grey_clip(levels), seams=(16,))
    assert values["seam"].value == pytest.approx(11)
    assert values["seam"].n == 1 and values["seam"].settings["frames"] == [16]
    assert values["largest_jump"].value == pytest.approx(11)
    assert np.argmax(values["largest_jump"].per_frame) + values["largest_jump"].settings["first_frame"] == 16


def test_a_still_clip_divides_by_no_zero():
    still = grey_clip([7] * 9)
    values = measure(still, still, seams=(3,))
    assert values["seam"].value == values["largest_jump"].value == values["drift"].value == 0


def test_drift_is_the_error_that_grows():
    truth = grey_clip([100] * 40)
    made = grey_clip([100 + i for i in range(40)])
    assert measure(made, truth)["drift"].value == pytest.approx(30 / 255)  # 34.5 - 4.5
    assert measure(made[::-1], truth)["drift"].value == pytest.approx(-30 / 255)


def test_too_short_a_clip_has_no_drift_and_one_frame_no_change():
    assert "drift" not in measure(grey_clip([1] * 7), grey_clip([2] * 7))
    assert measure(grey_clip([1]), grey_clip([2])) == {}


@pytest.mark.parametrize("seam", [0, 4, -1])
def test_a_seam_outside_the_clip_is_refused(seam):
    with pytest.raises(ValueError, match=rf"seam at frame {seam}: the clip has frames 0 to 3"):
        measure(grey_clip([1, 2, 3, 4]), seams=(seam,))
