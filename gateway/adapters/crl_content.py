"""The content of a CRL file or of a server's answer, on its way to whoever parses it.

It may be 100 MB, so it is kept in sealed memory and out of the Python heap: written in small pieces, hashed
while it is, handed to a child process as a descriptor. No step of that takes the event loop, or a thread that
shares the interpreter with it, more than a fraction of a millisecond.
"""

import hashlib
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from gateway.adapters.sealed_memory import SealedMemory, memory_file, sealed

# What is read and hashed in one step.
PIECE_BYTES: Final = 65_536


class ContentRefused(Exception):
    """More content than allowed, none, or no memory for it. ``detail`` continues a sentence about where it is
    from."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class CrlContent:
    memory: SealedMemory
    sha256: bytes


class ContentWriter:
    """Takes content piece by piece. Raises ContentRefused from `write` and `finish`; used with ``with``."""

    def __init__(self, limit_bytes: int) -> None:
        self._left = limit_bytes
        self._refusal = f"is larger than {limit_bytes} bytes"
        self._sha256 = hashlib.sha256()
        try:
            self._file = memory_file("CRLs")
        except OSError as error:
            raise _no_memory(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._file.close()

    def write(self, piece: bytes) -> None:
        self._left -= len(piece)
        if self._left < 0:
            raise ContentRefused(self._refusal)
        self._sha256.update(piece)
        try:
            self._file.write(piece)
        except OSError as error:
            raise _no_memory(error) from error

    def finish(self) -> CrlContent:
        try:
            if not self._file.tell():
                raise ContentRefused("is empty")
            return CrlContent(sealed(self._file), self._sha256.digest())
        except OSError as error:
            raise _no_memory(error) from error


def _no_memory(error: OSError) -> ContentRefused:
    return ContentRefused(f"finds no memory: {error.strerror}")
