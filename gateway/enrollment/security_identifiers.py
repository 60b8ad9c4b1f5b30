"""Security identifiers of Windows (SIDs), as bytes and as text (MS-DTYP §2.4.2).

A directory is asked and answers in bytes; people, tokens and the store have the text: `S-1-5-21-…-1103`.
"""

import re
import struct
from typing import Final

REVISION: Final = 1
# MS-DTYP §2.4.2.2: SubAuthorityCount is at most 15.
MAX_SUB_AUTHORITIES: Final = 15
HEADER_OCTETS: Final = 8
MAX_SID_OCTETS: Final = HEADER_OCTETS + 4 * MAX_SUB_AUTHORITIES

# MS-DTYP §2.4.2.1 writes identifier authorities of 2^32 and above in hexadecimal.
_TEXT = re.compile(r"S-1-(0x[0-9A-Fa-f]{12}|[0-9]{1,10})((?:-[0-9]{1,10}){0,15})", re.ASCII)
_FIRST_HEXADECIMAL_AUTHORITY = 1 << 32


class SidInvalid(ValueError):
    """Not a SID."""


def sid_text(octets: bytes) -> str:
    """`S-1-…` of a SID that fills ``octets`` (MS-DTYP §2.4.2.2). Raises SidInvalid."""
    if len(octets) < HEADER_OCTETS or octets[0] != REVISION:
        raise SidInvalid("not a SID of revision 1")
    count = octets[1]
    if count > MAX_SUB_AUTHORITIES or len(octets) != HEADER_OCTETS + 4 * count:
        raise SidInvalid(f"{count} sub-authorities in {len(octets)} octets")
    authority = int.from_bytes(octets[2:8])
    written = f"0x{authority:012X}" if authority >= _FIRST_HEXADECIMAL_AUTHORITY else str(authority)
    return "-".join(["S", "1", written, *map(str, struct.unpack_from(f"<{count}I", octets, HEADER_OCTETS))])


def sid_octets(text: str) -> bytes:
    """The other way round (MS-DTYP §2.4.2.1). Raises SidInvalid."""
    match = _TEXT.fullmatch(text)
    if match is None:
        raise SidInvalid("not written as a SID")
    authority = int(match[1], 16 if match[1].startswith("0x") else 10)
    parts = [int(part) for part in match[2].split("-")[1:]]
    if any(part > 0xFFFF_FFFF for part in parts):
        raise SidInvalid("a sub-authority above 2^32")
    return struct.pack(f"<BB6s{len(parts)}I", REVISION, len(parts), authority.to_bytes(6), *parts)
