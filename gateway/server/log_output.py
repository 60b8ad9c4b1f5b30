"""Where the log lines of several processes meet: one standard output, one line after the other."""

import fcntl
import os
from typing import Final

_STANDARD_OUTPUT: Final = 1


class SharedOutput:
    """Standard output that several processes have. ``lock`` is a descriptor that all of them hold.

    A pipe takes 4,096 bytes at once and may mix what is longer with what others write, so whoever writes
    locks. The lock (fcntl) ends with the process that holds it.
    """

    def __init__(self, lock: int, output: int = _STANDARD_OUTPUT) -> None:
        self._lock = lock
        self._output = output
        self._torn = False

    def write(self, lines: bytes) -> None:
        """All of it, with nothing of others in between. Raises OSError: the reader is gone, the disk is
        full."""
        fcntl.lockf(self._lock, fcntl.LOCK_EX)
        try:
            if self._torn:  # what there was room for ended within a line
                lines = b"\n" + lines
            while lines:
                written = os.write(self._output, lines)
                self._torn = not lines[:written].endswith(b"\n")
                lines = lines[written:]
        finally:
            fcntl.lockf(self._lock, fcntl.LOCK_UN)


def new_output_lock() -> int:
    """A descriptor to lock by. Raises OSError."""
    return os.memfd_create("log lock", os.MFD_CLOEXEC)
