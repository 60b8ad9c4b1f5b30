"""Looking into a compressed body as it streams by; what goes to the app is the body as it came.

A small body may inflate to a huge one, and each byte that comes out costs us: past the bound the body is
refused.
"""

import zlib
from typing import Final

from gateway.services.stray_messages import Scanner

# JSON and multipart forms shrink to a tenth or a thirtieth. The first bytes may do better.
MAX_INFLATION: Final = 100
FREE_INFLATED_BYTES: Final = 1_048_576
CODINGS: Final = frozenset((b"gzip", b"x-gzip", b"deflate"))
_PIECE_BYTES: Final = 65_536
_GZIP_OR_ZLIB: Final = 32 + zlib.MAX_WBITS  # zlib finds out which by the header


class InflatingScanner:
    """Gives the plain text of a gzip or zlib stream (RFC 1952, RFC 1950) to another scanner.

    A raw stream (RFC 1951 alone, which some call ``deflate``), what is broken, and what inflates past the
    bound do not pass. Bytes behind the end are another gzip member.
    """

    __slots__ = ("_budget", "_inflater", "_scanner")

    def __init__(self, scanner: Scanner) -> None:
        self._scanner = scanner
        self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
        self._budget = FREE_INFLATED_BYTES

    def passes(self, piece: bytes) -> bool:
        self._budget += MAX_INFLATION * len(piece)
        try:
            while True:
                if self._inflater.eof and piece:
                    self._inflater = zlib.decompressobj(_GZIP_OR_ZLIB)
                plain = self._inflater.decompress(piece, _PIECE_BYTES)
                self._budget -= len(plain)
                if self._budget < 0 or not self._scanner.passes(plain):
                    return False
                piece = self._inflater.unconsumed_tail or self._inflater.unused_data
                if not piece and len(plain) < _PIECE_BYTES:
                    return True  # a full piece may have left more inside, with no input left over
        except zlib.error:
            return False
