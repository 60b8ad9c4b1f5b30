"""CRL files as they are on disk: copied whole and bounded, told apart by what the file system says of them,
and the cache that keeps the last good answer of each CRL URL."""

import hashlib
import os
import stat
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.adapters.crl_content import PIECE_BYTES, ContentRefused, ContentWriter, CrlContent
from gateway.pki.crl import MAX_CRL_BYTES

# An authority's full and delta CRLs, partitioned or not, fit many times; a bound on the work of one file.
MAX_CRLS_IN_A_FILE: Final = 64
# Two writes within one tick of the file system's clock look the same. FAT has the longest tick, two seconds.
_CLOCK_TICK_NS: Final = 2_000_000_000
_DER_SEQUENCE: Final = b"\x30"
_PEM_BEGIN: Final = b"-----BEGIN X509 CRL-----"
_PEM_END: Final = b"-----END X509 CRL-----"


class CrlFileUnusable(Exception):
    """A file that cannot be read, is no regular file, or is too large. The one exception of this module."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class FileIdentity:
    """Equal as long as a name leads to the same file with the same content."""

    device: int
    inode: int
    size: int
    modified_ns: int
    changed_ns: int


@dataclass(frozen=True, slots=True)
class CrlFile:
    """``identity`` is None when the file was written to a moment ago: it may have changed since, and look
    the same, so it has to be read once more."""

    content: CrlContent
    identity: FileIdentity | None


def file_identity(path: str) -> FileIdentity | None:
    """Which file a name leads to now, through links; None where there is none that can be seen."""
    try:
        return _identity(os.stat(path))  # noqa: PTH116 - symbolic links are followed on purpose
    except (OSError, ValueError):
        return None


def read_crl_file(path: str) -> CrlFile:
    """A CRL file of 1 to MAX_CRL_BYTES bytes. Raises CrlFileUnusable. Nothing is parsed. Who owns the file
    and who may write to it is not checked: CRLs are signed."""
    try:
        # Non-blocking: opening a FIFO must not wait for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        with open(descriptor, "rb") as file:  # noqa: PTH123 - a descriptor
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise CrlFileUnusable("is not a regular file")
            with ContentWriter(MAX_CRL_BYTES) as writer:
                while piece := file.read(PIECE_BYTES):
                    writer.write(piece)
                content = writer.finish()
    except OSError as error:
        raise CrlFileUnusable(f"cannot be read: {error.strerror}") from error
    except ValueError as error:  # a NUL in the path
        raise CrlFileUnusable("is not the path of a file") from error
    except ContentRefused as refused:
        raise CrlFileUnusable(refused.detail) from refused
    is_settled = time.time_ns() - status.st_mtime_ns > _CLOCK_TICK_NS
    return CrlFile(content, _identity(status) if is_settled else None)


def split_crls(data: bytes) -> tuple[bytes, ...]:
    """The CRLs in a file: each PEM block by itself, whatever stands between them; else all of it as one.

    A block without its end is given as it is, for the parser to refuse. Raises CrlFileUnusable for more
    than MAX_CRLS_IN_A_FILE.
    """
    begin = data.find(_PEM_BEGIN)
    if data.startswith(_DER_SEQUENCE) or begin < 0:
        return (data,)
    crls: list[bytes] = []
    while begin >= 0:
        if len(crls) == MAX_CRLS_IN_A_FILE:
            raise CrlFileUnusable(f"holds more than {MAX_CRLS_IN_A_FILE} CRLs")
        end = data.find(_PEM_END, begin)
        after = len(data) if end < 0 else end + len(_PEM_END)
        crls.append(data[begin:after])
        begin = data.find(_PEM_BEGIN, after)
    return tuple(crls)


class CrlCache:
    """The last good answer of each URL, in files of a directory that several processes may share.

    Nothing in it is trusted: a cached CRL is verified like one from the network. Removing a file is safe.
    """

    def __init__(self, directory: str) -> None:
        self._directory = Path(directory)

    def path_of(self, url: str) -> Path:
        return self._directory / f"{hashlib.sha256(url.encode()).hexdigest()}.crl"

    def read(self, url: str) -> CrlContent | None:
        """The last answer kept, or None where there is none that can be read."""
        try:
            return read_crl_file(str(self.path_of(url))).content
        except CrlFileUnusable:
            return None

    def keep(self, url: str, content: CrlContent) -> None:
        """Replace the file of a URL in one step, mode 0600. Raises CrlFileUnusable."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor, name = tempfile.mkstemp(prefix=".", dir=self._directory)
            unfinished = Path(name)
            try:
                with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                    file.write(content.memory)
                    file.flush()
                    os.fsync(descriptor)
                unfinished.replace(self.path_of(url))
            finally:
                unfinished.unlink(missing_ok=True)
        except OSError as error:
            raise CrlFileUnusable(f"cannot be kept in {self._directory}: {error.strerror}") from error


def _identity(status: os.stat_result) -> FileIdentity:
    return FileIdentity(status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
