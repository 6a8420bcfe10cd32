"""Checkpoints: whole or not there, whatever happens while they are written."""

import errno
import logging
import os
import random
import shutil
import signal

import pytest
import torch
from animatex_training import checkpoint
from animatex_training.checkpoint import BrokenCheckpoint, Checkpoints, Saved

from animatex_core.atomic_file import OutputError


def saved(step):
    """Different numbers in every group and step."""
    numbers = torch.Generator().manual_seed(step)
    groups = {name: {"a": torch.rand(700, generator=numbers), "b": torch.rand(3, 3)} for name in ("model", "ema")}
    return Saved(groups, {"step": step, "position": [1, step]})


def same(found, wanted):
    return found.state == wanted.state and all(
        torch.equal(found.tensors[group]["a"], tensors["a"]) for group, tensors in wanted.tensors.items()
    )


def test_what_is_read_is_what_was_written(tmp_path):
    store = Checkpoints(tmp_path / "checkpoints", 3)
    assert store.newest() is None
    path = store.save(7, saved(7))
    step, found = store.newest()
    assert step == 7 and same(found, saved(7))
    assert [entry.name for entry in store.folder.iterdir()] == [path.name]
    assert not list(store.folder.glob(".partial*"))


def test_the_last_k_are_kept(tmp_path):
    store = Checkpoints(tmp_path, 2)
    for step in (1, 2, 3, 10):
        store.save(step, saved(step))
    assert store.steps() == [10, 3]


def die_at(monkeypatch, wanted):
    """SIGKILL at the n-th call that changes the disk, or in the middle of a write: half of it is done by then."""
    count = 0

    def counting(call, half=None):
        def replacement(*arguments, **named):
            nonlocal count
            count += 1
            if count == wanted:
                if half is not None:
                    half(*arguments)
                os.kill(os.getpid(), signal.SIGKILL)
            return call(*arguments, **named)

        return replacement

    def half_written(path, contents):
        with open(path, "wb") as file:
            file.write(contents[: len(contents) // 2])

    monkeypatch.setattr(checkpoint, "write_file", counting(checkpoint.write_file, half_written))
    for name in ("fsync", "rename", "replace", "mkdir", "unlink", "rmdir"):
        monkeypatch.setattr(os, name, counting(getattr(os, name)))
    return lambda: count


def operations_of_a_save(folder, monkeypatch):
    store = Checkpoints(folder, 2)
    for step in (1, 2):
        store.save(step, saved(step))
    with monkeypatch.context() as patch:
        done = die_at(patch, -1)
        store.save(3, saved(3))
        return done()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_fifty_kills_during_a_save_leave_the_newest_complete_checkpoint(tmp_path, monkeypatch):
    operations = operations_of_a_save(tmp_path / "count", monkeypatch)
    assert operations > 10
    lots = random.Random(5)
    moments = [*range(1, operations + 1), *(lots.randint(1, operations) for _ in range(50 - operations))]
    store, step, outcomes = Checkpoints(tmp_path / "run", 2), 2, {"old": 0, "new": 0}
    for first in (1, 2):
        store.save(first, saved(first))
    for moment in moments[:50]:
        before = store.steps()
        child = os.fork()
        if child == 0:
            with monkeypatch.context() as patch:
                die_at(patch, moment)
                store.save(step + 1, saved(step + 1))
            os._exit(0)
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status) or moment > operations - 3  # a save without leftovers has fewer steps
        found, contents = Checkpoints(tmp_path / "run", 2).newest()
        assert found in (step, step + 1) and same(contents, saved(found)), moment
        assert set(before[:1]) <= set(store.steps())
        outcomes["new" if found == step + 1 else "old"] += 1
        step = found
    assert len(moments) >= 50 and outcomes["old"] > 5 and outcomes["new"] > 5
    assert not list(store.folder.glob("broken*"))


@pytest.mark.parametrize("moment", range(0, 9, 2))
def test_a_full_disk_loses_nothing(tmp_path, monkeypatch, moment):
    store, count = Checkpoints(tmp_path, 1), 0
    store.save(1, saved(1))
    flush = os.fsync

    def full(handle):
        nonlocal count
        count += 1
        if count > moment:
            raise OSError(errno.ENOSPC, "No space left on device")
        flush(handle)

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        try:
            store.save(2, saved(2))
        except OutputError as error:
            assert "the disk is full" in str(error) and "untouched" in str(error)
    step, found = Checkpoints(tmp_path, 1).newest()
    assert same(found, saved(step))
    store.save(3, saved(3))
    assert store.steps() == [3] and not list(tmp_path.glob(".partial*"))


def test_no_room_is_said_before_anything_is_written(tmp_path, monkeypatch):
    store = Checkpoints(tmp_path, 1)
    store.save(1, saved(1))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, 0))
    with pytest.raises(OutputError, match=r"needs 0\.02 GB, the disk has 0\.00 GB left"):
        store.save(2, saved(2))
    assert store.steps() == [1]


def test_what_a_killed_process_left_makes_room(tmp_path, monkeypatch):
    store = Checkpoints(tmp_path, 1)
    (tmp_path / ".partial-step-00000001-cafe").mkdir()

    def usage(path):
        return shutil._ntuple_diskusage(1 << 30, 0, 0 if list(tmp_path.glob(".partial*")) else 1 << 30)

    monkeypatch.setattr(shutil, "disk_usage", usage)
    store.save(1, saved(1))
    assert store.steps() == [1]


def spoil_byte(path):
    contents = bytearray((path / "model.safetensors").read_bytes())
    contents[-5] ^= 1
    (path / "model.safetensors").write_bytes(contents)


def cut(path):
    file = path / "ema.safetensors"
    file.write_bytes(file.read_bytes()[:-100])


def lose(path):
    (path / "state.json").unlink()


def spoil_manifest(path):
    (path / "manifest.json").write_text("{")


@pytest.mark.parametrize("spoil", [spoil_byte, cut, lose, spoil_manifest])
def test_a_broken_newest_one_is_set_aside_once_with_a_warning(tmp_path, caplog, spoil):
    store = Checkpoints(tmp_path, 1)
    store.keep = 2
    for step in (1, 2):
        store.save(step, saved(step))
    spoil(store.path(2))
    with pytest.raises(BrokenCheckpoint, match="step-00000002"):
        store.read(2)
    with caplog.at_level(logging.WARNING):
        step, found = store.newest()
    assert step == 1 and same(found, saved(1)) and len(caplog.records) == 1
    # It counts no more: the newest good one survives even when one is kept.
    store.keep = 1
    assert store.steps() == [1]
    store.save(2, saved(2))
    assert store.newest()[0] == 2


@pytest.mark.parametrize("name", ["manifest.json", "state.json"])
def test_what_cannot_be_read_now_is_not_set_aside(tmp_path, monkeypatch, name):
    store, read = Checkpoints(tmp_path, 2), checkpoint.Path.read_text
    store.save(1, saved(1))

    def fails(path, *given, **named):
        if path.name == name:
            raise OSError(errno.EIO, "Input/output error")
        return read(path, *given, **named)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Path, "read_text", fails)
        with pytest.raises(OSError, match="Input/output"):
            store.newest()
    assert store.newest()[0] == 1


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="cannot be written"):
        Checkpoints(tmp_path, 1).save(1, saved(1))
