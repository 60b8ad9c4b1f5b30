"""Files of one user alone: written whole or not at all, and read only where nobody else could have written.

Every file appears under its name complete (a rename on one file system), with mode 0600 from its first byte
on, and survives a power cut once the call has returned.
"""

import contextlib
import os
import secrets
import stat
from pathlib import Path
from typing import Final

# State, certificates and keys are a few KB.
MAX_FILE_BYTES: Final = 262_144


class FileRefused(Exception):
    """A file that must not be used: which one, what is wrong and what helps, as one sentence."""


def make_directory(directory: Path) -> None:
    """See that it is there, for its owner alone. Raises FileRefused and OSError."""
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name != "posix":
        return
    status = directory.stat()
    if status.st_uid != os.geteuid():
        raise FileRefused(f"{directory}: belongs to user {status.st_uid}; remove it, or give it to its user")
    if status.st_mode & 0o077:
        raise FileRefused(f"{directory}: is open to others; run: chmod 700 {directory}")


def write_private(path: Path, content: bytes) -> None:
    """Replace the file at once. Raises OSError."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor opened with O_EXCL and its mode
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        unfinished.replace(path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            unfinished.unlink()
        raise
    _sync_directory(path.parent)


def read_private(path: Path) -> bytes | None:
    """The content; None where there is no file. Raises FileRefused for one that belongs to somebody else or
    is open to others, and for what is no regular file or too large; OSError where it cannot be read."""
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0))
    except FileNotFoundError:
        return None
    try:
        _check_private(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(descriptor)
    if len(content) > MAX_FILE_BYTES:
        raise FileRefused(f"{path}: is larger than {MAX_FILE_BYTES} bytes; remove it")
    return content


def _check_private(path: Path, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise FileRefused(f"{path}: is no regular file; remove it")
    if os.name != "posix":
        return
    if status.st_uid != os.geteuid():
        raise FileRefused(f"{path}: belongs to user {status.st_uid}; remove it, or give it to its user")
    if status.st_mode & 0o077:
        raise FileRefused(f"{path}: is open to others; run: chmod 600 {path}")


def remove_file(path: Path) -> None:
    """One that is not there is no error. Raises OSError."""
    with contextlib.suppress(FileNotFoundError):
        path.unlink()
        _sync_directory(path.parent)


def _sync_directory(directory: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
