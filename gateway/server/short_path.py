"""A short path to a directory: the address of a Unix socket has at most 107 bytes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def short_path(directory: str) -> Iterator[str]:
    """Another name of it, while the block lasts. Raises OSError."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)
