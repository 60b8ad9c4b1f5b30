"""A strict reader of NDR octet streams (C706 §14) in the one form in which they stand in a PAC: type
serialization version 1, little-endian (MS-RPCE §2.2.6).

A structure comes first, and what its pointers point to comes after it, in the order of the pointers. So the
caller reads the fields, keeps which pointers are not null, and then reads what is pointed to. Every count is
compared with what is left of the buffer before anything of that size is read.
"""

import struct
from typing import Final

from gateway.enrollment.security_identifiers import HEADER_OCTETS, MAX_SUB_AUTHORITIES, SidInvalid, sid_text

_VERSION: Final = 1
_LITTLE_ENDIAN: Final = 0x10
_COMMON_HEADER_OCTETS: Final = 8
_HEADERS_OCTETS: Final = 16


class NdrInvalid(ValueError):
    """Not what was announced, or more than there is. Callers turn it into the exception of their own core."""


class NdrReader:
    def __init__(self, serialized: bytes) -> None:
        """``serialized``: both headers (MS-RPCE §2.2.6.1, §2.2.6.2) and the object buffer. Octets after the
        object buffer are not looked at: buffers of a PAC are padded."""
        if len(serialized) < _HEADERS_OCTETS:
            raise NdrInvalid("shorter than its headers")
        version, endianness, header_length, _, length, _ = struct.unpack_from("<BBHIII", serialized)
        if (version, endianness, header_length) != (_VERSION, _LITTLE_ENDIAN, _COMMON_HEADER_OCTETS):
            raise NdrInvalid("not type serialization version 1, little-endian")
        if length > len(serialized) - _HEADERS_OCTETS:
            raise NdrInvalid("truncated")
        # Alignment counts from the begin of the object buffer.
        self._octets = serialized[_HEADERS_OCTETS : _HEADERS_OCTETS + length]
        self._at = 0

    def octets(self, count: int) -> bytes:
        """The next ones, without alignment."""
        end = self._at + count
        if end > len(self._octets):
            raise NdrInvalid("truncated")
        taken = self._octets[self._at : end]
        self._at = end
        return taken

    def unsigned_short(self) -> int:
        self._align(2)
        return int.from_bytes(self.octets(2), "little")

    def unsigned_long(self) -> int:
        self._align(4)
        return int.from_bytes(self.octets(4), "little")

    def unsigned_longs(self, count: int) -> tuple[int, ...]:
        self._align(4)
        return struct.unpack(f"<{count}I", self.octets(4 * count))

    def pointer(self) -> bool:
        """Whether it points to something. Referents are not compared: no pointer of a PAC is a full one."""
        return self.unsigned_long() != 0

    def unicode_string(self) -> int | None:
        """RPC_UNICODE_STRING (MS-DTYP §2.3.10): how many code units `characters` has to find; None: null."""
        length, maximum = self.unsigned_short(), self.unsigned_short()
        present = self.pointer()
        if length % 2 or length > maximum:
            raise NdrInvalid("a string longer than its maximum, or of half a character")
        if not present:
            if length:
                raise NdrInvalid("a string without characters that has a length")
            return None
        return length // 2

    def characters(self, announced: int | None) -> str:
        """What the pointer of a `unicode_string` points to: a conformant varying array (C706 §14.3.4.2)."""
        if announced is None:
            return ""
        maximum, offset, count = self.unsigned_longs(3)
        if offset or count != announced or count > maximum:
            raise NdrInvalid("an array of characters that is not the one announced")
        try:
            return self.octets(2 * count).decode("utf-16-le")
        except UnicodeDecodeError:
            raise NdrInvalid("not UTF-16") from None

    def array(self, announced: int, words: int) -> tuple[tuple[int, ...], ...]:
        """A conformant array (C706 §14.3.3.2) of structures of so many unsigned longs each."""
        if self.unsigned_long() != announced:
            raise NdrInvalid("an array of another length than announced")
        flat = self.unsigned_longs(announced * words)
        return tuple(flat[at : at + words] for at in range(0, len(flat), words))

    def sid(self) -> str:
        """RPC_SID (MS-DTYP §2.4.2.3), whose sub-authorities are a conformant array."""
        count = self.unsigned_long()
        if count > MAX_SUB_AUTHORITIES:
            raise NdrInvalid(f"a SID of more than {MAX_SUB_AUTHORITIES} sub-authorities")
        try:
            return sid_text(self.octets(HEADER_OCTETS + 4 * count))
        except SidInvalid as error:
            raise NdrInvalid(str(error)) from None

    def _align(self, size: int) -> None:
        self._at += -self._at % size
