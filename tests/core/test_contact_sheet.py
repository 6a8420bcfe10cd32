"""Contact sheets, and PNGs that are there whole or not at all."""

import numpy as np
import pytest
from PIL import Image

from animatex_core.atomic_file import OutputError
from animatex_core.contact_sheet import contact_sheet, save_picture
from animatex_core.provenance import read_metadata


def clip(count, width=30, height=40):
    return [np.full((height, width, 3), (index, 100, 200), np.uint8) for index in range(count)]


def reds(sheet):
    """Which frames are on the sheet, row by row, told by their red."""
    ours = (sheet[..., 1] == 100) & (sheet[..., 2] == 200)
    rows = np.flatnonzero(np.diff(np.r_[0, ours.any(1).astype(int), 0]))
    return [
        list(dict.fromkeys(sheet[top][ours[top]][:, 0].tolist())) for top in ((rows[::2] + rows[1::2]) // 2).tolist()
    ]


def test_frames_are_spread_from_first_to_last():
    sheet = contact_sheet({"long": clip(100), "short": np.stack(clip(3)), "one": clip(1)[0]}, columns=5)
    assert sheet.dtype == np.uint8 and sheet.ndim == 3
    assert reds(sheet) == [[0, 25, 50, 74, 99], [0, 1, 2], [0]]


def test_cells_keep_proportions():
    sheet = contact_sheet({"wide": clip(2, 80, 20)}, columns=2, cell=(40, 60))
    ours = (sheet[..., 1] == 100) & (sheet[..., 2] == 200)
    assert ours.any(0).sum() == 80 and ours.any(1).sum() == 10


def test_labels_are_drawn_and_widen_the_sheet():
    short, wide = contact_sheet({"a": clip(1)}), contact_sheet({"a much longer label": clip(1)})
    assert wide.shape[1] > short.shape[1] and (short[:20, :20] < 128).any()
    endless = contact_sheet({"label " * 50: clip(1)})
    assert endless.shape[1] < 400
    assert contact_sheet({"\u8df3\u821e": clip(1)}).ndim == 3


def test_bad_rows_are_named():
    with pytest.raises(ValueError, match="'pose' of the contact sheet has no frames"):
        contact_sheet({"driving": clip(1), "pose": []})
    with pytest.raises(ValueError, match="'pose' of the contact sheet: pictures must be"):
        contact_sheet({"pose": [np.zeros((4, 4), np.uint8)]})
    for rows, columns in (({}, 8), ({"a": clip(1)}, 0)):
        with pytest.raises(ValueError, match="needs rows"):
            contact_sheet(rows, columns)
    with pytest.raises(ValueError, match="cannot be drawn"):
        contact_sheet({"a": clip(1)}, cell=(60_000, 60_000))


def test_save_picture(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    path = tmp_path / "sheet.png"
    save_picture(path, picture, {"seed": 3})
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture)
    assert read_metadata(path)["seed"] == 3 and read_metadata(path)["generated"] is True
    with pytest.raises(OutputError, match="exists already"):
        save_picture(path, picture)
    save_picture(path, picture[::-1], overwrite=True)
    np.testing.assert_array_equal(np.asarray(Image.open(path)), picture[::-1])
    for wrong, cause in ((tmp_path / "a.jpg", "written as .png"), (tmp_path / "no" / "a.png", "does not exist")):
        with pytest.raises(OutputError, match=cause):
            save_picture(wrong, picture)
    with pytest.raises(ValueError, match="one picture"):
        save_picture(tmp_path / "b.png", picture[None])
    assert list(tmp_path.iterdir()) == [path]
