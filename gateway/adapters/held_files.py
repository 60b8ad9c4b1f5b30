"""The files of a configuration, read once for all processes that use it.

Who reads them first (`recorded`) keeps a copy of every file that was asked for. Others are given the copy
(`taken_from`): they make the same of it, also when the files on disk have changed or are broken by then.
Which of the two is meant goes with the context (`contextvars`), so that the many readers of files need not
hand it on; without any, files are read from disk.
"""

import errno
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import MappingProxyType
from typing import Final

from gateway.adapters.sealed_memory import NotSealed, SealedMemory, memory_file, sealed

# All files together. One of metadata has at most some megabytes, and most have kilobytes.
MAX_HELD_BYTES: Final = 1 << 30


class _Recording(dict[str, bytes]):
    """Paths and contents, as they are read from disk."""


_current: ContextVar[Mapping[str, bytes] | None] = ContextVar("held files", default=None)

HeldFiles = Mapping[str, bytes]


@contextmanager
def recorded() -> Iterator[HeldFiles]:
    """What is read in the block comes from disk, and is in the mapping afterwards."""
    recording = _Recording()
    token = _current.set(recording)
    try:
        yield recording
    finally:
        _current.reset(token)


@contextmanager
def taken_from(files: HeldFiles) -> Iterator[None]:
    """What is read in the block comes from ``files``; another file is not there."""
    token = _current.set(MappingProxyType(dict(files)))
    try:
        yield
    finally:
        _current.reset(token)


def held_content(path: str) -> bytes | None:
    """A file's content where files are not to be read from disk; None where they are. Raises
    FileNotFoundError for a file that is not among those held."""
    files = _current.get()
    if files is None or isinstance(files, _Recording):
        return None
    if path not in files:
        raise FileNotFoundError(errno.ENOENT, "is not among the files that were read", path)
    return files[path]


def remember(path: str, content: bytes) -> None:
    """Called by whoever read a file from disk."""
    files = _current.get()
    if isinstance(files, _Recording):
        files[path] = content


def read_file(path: str, limit_bytes: int) -> bytes:
    """At most ``limit_bytes`` + 1 bytes: one more than allowed tells the caller that there are more. Raises
    OSError, and ValueError for what is no path."""
    held = held_content(path)
    if held is not None:
        return held
    with Path(path).open("rb") as file:
        content = file.read(limit_bytes + 1)
    remember(path, content)
    return content


def names_in(directory: str) -> list[str]:
    """The names of the files in a directory, sorted. Raises OSError."""
    files = _current.get()
    if files is None or isinstance(files, _Recording):
        return sorted(path.name for path in Path(directory).iterdir())
    return sorted(Path(path).name for path in files if Path(path).parent == Path(directory))


def pack(files: HeldFiles) -> SealedMemory:
    """All of them in memory whose descriptor can be passed on. Raises OSError."""
    with memory_file("files of the configuration") as file:
        file.write(json.dumps([[path, len(content)] for path, content in files.items()]).encode() + b"\n")
        for content in files.values():
            file.write(content)
        return sealed(file)


def unpack(descriptor: int) -> HeldFiles:
    """What `pack` packed. Owns the descriptor. Raises NotSealed and ValueError for anything else."""
    memory = SealedMemory.mapped(descriptor, MAX_HELD_BYTES)
    end = memory.find(b"\n")
    files: dict[str, bytes] = {}
    at = end + 1
    for path, size in json.loads(memory[: max(end, 0)]):
        files[path] = memory[at : at + size]
        at += size
    if at != len(memory):
        raise NotSealed
    return files
