"""Memory that is written once, and that other processes map too: a memfd whose content is sealed.

A seal is kept by the kernel, whoever has the descriptor. So who maps it needs to fear neither that bytes
change after they were checked, nor the SIGBUS that reading past a file's new end brings.
"""

import fcntl
import mmap
import os
import stat
from typing import BinaryIO, Final, Self

from typing_extensions import override

_SEALS: Final = fcntl.F_SEAL_WRITE | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW


class NotSealed(Exception):
    """A descriptor that is no sealed memory, or has too much of it."""


def memory_file(name: str) -> BinaryIO:
    """An empty file in memory, to be written and then given to `sealed`. Raises OSError."""
    descriptor = os.memfd_create(name, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    return open(descriptor, "w+b")  # noqa: PTH123 - a descriptor


class SealedMemory(mmap.mmap):
    """A read-only mapping. Its ``descriptor`` may be passed on, and is closed with it."""

    descriptor: int = -1

    @classmethod
    def mapped(cls, descriptor: int, limit_bytes: int) -> Self:
        """Map a descriptor, and own it from then on. Raises NotSealed, also for nothing and for more than
        ``limit_bytes``, and OSError; the descriptor is then still the caller's."""
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or not 0 < status.st_size <= limit_bytes:
            raise NotSealed
        try:
            seals = fcntl.fcntl(descriptor, fcntl.F_GET_SEALS)
        except OSError:  # a file of a file system that knows no seals
            raise NotSealed from None
        if seals & _SEALS != _SEALS:
            raise NotSealed
        # A private mapping shares its pages like a shared one, as nobody can write; Linux before 6.7 allows
        # no shared one of a sealed file.
        mapping = cls(descriptor, status.st_size, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
        mapping.descriptor = descriptor
        return mapping

    @override
    def close(self) -> None:
        """Give it back, before the last reference to it does. Nothing may be read from it any more."""
        super().close()
        descriptor, self.descriptor = self.descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def __del__(self) -> None:
        self.close()


def sealed(file: BinaryIO) -> SealedMemory:
    """Seal what was written to a `memory_file`, and map it. ``file`` can be closed after it. Raises OSError,
    and NotSealed where nothing was written."""
    file.flush()
    fcntl.fcntl(file.fileno(), fcntl.F_ADD_SEALS, _SEALS | fcntl.F_SEAL_SEAL)
    descriptor = fcntl.fcntl(file.fileno(), fcntl.F_DUPFD_CLOEXEC, 0)
    try:
        return SealedMemory.mapped(descriptor, os.fstat(descriptor).st_size)
    except (OSError, NotSealed):
        os.close(descriptor)
        raise
