"""Output that is there whole or not at all."""

import errno
import os
import stat

import pytest

from animatex_core.atomic_file import OutputError, check_output, naming_errors, replacing


def test_the_file_appears_at_the_end_and_nothing_else_is_left(tmp_path):
    path = tmp_path / "a.txt"
    with replacing(path) as temporary:
        assert temporary.parent == tmp_path and temporary.suffix == ".txt"
        temporary.write_text("new")
        assert not path.exists()
    assert path.read_text() == "new" and list(tmp_path.iterdir()) == [path]
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRUSR


@pytest.mark.parametrize("exception", [ValueError, KeyboardInterrupt, OSError])
def test_a_failure_keeps_what_was_there(tmp_path, exception):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with pytest.raises(exception):
        with replacing(path, overwrite=True) as temporary:
            temporary.write_text("half")
            raise exception
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_overwriting_has_to_be_asked_for(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    for refused in (check_output, lambda p: replacing(p).__enter__()):
        with pytest.raises(OutputError, match=r"a\.txt.*exists already"):
            refused(path)
    with replacing(path, overwrite=True) as temporary:
        temporary.write_text("new")
    assert path.read_text() == "new"


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    path = tmp_path / "a.txt"
    with pytest.raises(OutputError, match="appeared while"):
        with replacing(path) as temporary:
            temporary.write_text("ours")
            path.write_text("theirs")
    assert path.read_text() == "theirs" and list(tmp_path.iterdir()) == [path]


def test_a_missing_folder_is_named_and_not_created(tmp_path):
    with pytest.raises(OutputError, match="nowhere does not exist"):
        check_output(tmp_path / "nowhere" / "a.txt")
    assert not list(tmp_path.iterdir())


def test_folders(tmp_path):
    with replacing(tmp_path / "new") as temporary:
        temporary.mkdir()
        (temporary / "a").write_text("a")
    assert (tmp_path / "new" / "a").read_text() == "a" and len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OutputError, match="not empty"):
        check_output(tmp_path / "new", overwrite=True)
    with pytest.raises(RuntimeError):
        with replacing(tmp_path / "other") as temporary:
            temporary.mkdir()
            (temporary / "a").write_text("a")
            raise RuntimeError
    assert len(list(tmp_path.iterdir())) == 1


def test_a_full_disk_is_said():
    with pytest.raises(OutputError, match=r"out\.mp4: the disk is full"):
        with naming_errors("out.mp4"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with pytest.raises(OutputError, match=r"out\.mp4: it cannot be written \(Permission denied\)"):
        with naming_errors("out.mp4"):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
