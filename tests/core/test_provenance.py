"""What a generated file says of itself."""

import json

import numpy as np
import pytest
from PIL import Image

from animatex_core.provenance import GENERATED, comment, read_metadata


def test_settings_and_that_it_is_generated():
    found = json.loads(comment({"seed": 7, "generated": False}))
    assert found["seed"] == 7 and found["generated"] is True
    assert json.loads(comment(None)) == GENERATED
    assert comment({"name": "\u7b11"}).isascii()


@pytest.mark.parametrize("bad", [{"a": float("nan")}, {"a": object()}, {"a": np.zeros(3)}])
def test_what_json_cannot_hold_is_refused(bad):
    with pytest.raises(ValueError, match="metadata cannot be written"):
        comment(bad)


@pytest.mark.parametrize("text", ["no JSON", "[1, 2]", "[" * 100_000, ""])
def test_strange_comments_are_no_metadata(tmp_path, text):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.gif", comment=text.encode())
    assert read_metadata(tmp_path / "a.gif") == {}


def test_files_that_cannot_be_read_are_named(tmp_path):
    (tmp_path / "a.png").write_text("text")
    (tmp_path / "a.mp4").write_text("text")
    (tmp_path / "empty").mkdir()
    for name in ("a.png", "a.mp4", "empty", "missing.png", "missing.mp4"):
        with pytest.raises(ValueError, match=name.replace(".", r"\.")):
            read_metadata(tmp_path / name)
