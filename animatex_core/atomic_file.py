"""Output that is there whole or not at all: written under another name in the same folder, then renamed."""

from __future__ import annotations

import errno
import os
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


class OutputError(ValueError):
    """An output path that cannot be used, or writing that failed: the message names the path and the cause."""


@contextmanager
def replacing(path: str | Path, *, overwrite: bool = False) -> Iterator[Path]:
    """Give a new path to write a file or a folder at; it becomes `path` when the block ends without an exception.

    Whatever the exception, a failed block leaves nothing behind and what was at `path` before untouched.
    Raises OutputError as `check_output` does, and when the finished output cannot be put in its place.
    """
    path = Path(path)
    check_output(path, overwrite=overwrite)
    temporary = path.parent / f".{secrets.token_hex(8)}.partial{path.suffix}"
    try:
        yield temporary
        with naming_errors(path):
            _publish(temporary, path, overwrite)
    finally:
        _remove(temporary)


def check_output(path: str | Path, *, overwrite: bool = False) -> None:
    """Say before the work what would be said after it.

    Folders are not created: a slip in a path would scatter folders, and an output that is not where it was looked for.
    Raises OutputError: the folder is missing, the file is there and `overwrite` was not asked for, or `path` is a
    folder that holds something (a folder is never replaced).
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise OutputError(f"{path}: the folder {path.parent} does not exist")
    if path.is_dir():
        if any(path.iterdir()):
            raise OutputError(f"{path}: there is a folder of this name, and it is not empty")
    elif os.path.lexists(path) and not overwrite:
        raise OutputError(f"{path}: the file exists already, and overwriting it was not asked for")


@contextmanager
def naming_errors(path: str | Path) -> Iterator[None]:
    """Turn the system's errors while writing into OutputError with the path that was asked for."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: {write_failure(error)}") from error


def write_failure(error: BaseException) -> str:
    """What went wrong while writing, in a few words."""
    if getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT):
        return "the disk is full, nothing was kept"
    cause = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return f"it cannot be written ({cause})"


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
    if temporary.is_dir():
        for file in temporary.rglob("*"):
            if file.is_file():
                _flush(file)
        temporary.rename(path)
        return
    _flush(temporary)
    if overwrite:
        os.replace(temporary, path)
    else:
        _rename_to_new(temporary, path)


def _rename_to_new(temporary: Path, path: Path) -> None:
    """Rename, but fail if somebody else wrote `path` meanwhile, where the file system has hard links to tell by."""
    try:
        os.link(temporary, path)
    except FileExistsError:
        raise OutputError(f"{path}: the file appeared while this one was written") from None
    except OSError:
        os.replace(temporary, path)


def _flush(path: Path) -> None:
    """Make the system write the file out: some file systems find only then that the disk is full."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    with suppress(OSError):
        path.unlink(missing_ok=True)
