"""How the rows of the System Log hold on to each other: each one's hash is made of the one before it.

A row that was changed, left out or moved no longer fits its neighbours. Who can write to the store could
still make a whole new chain, or cut off its end: a hash that was kept elsewhere (an export, a syslog
server) shows that.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Final

FIRST_PREVIOUS_HASH: Final = bytes(32)
_ENCODER: Final = json.JSONEncoder(ensure_ascii=True, allow_nan=False, sort_keys=True, separators=(",", ":"))
_ROW: Final = b"devicetrust system log row 1\n"


def canonical(event: Mapping[str, object]) -> bytes:
    """The one form of a JSON object: ASCII, no spaces, keys in the order of their code points.

    Raises ValueError for what JSON cannot say (NaN, infinity) and TypeError for what is no JSON value.
    """
    return _ENCODER.encode(event).encode("ascii")


def row_hash(previous_hash: bytes, number: int, canonical_event: bytes) -> bytes:
    """SHA-256 over the hash of the row before, the row's number (8 bytes, big-endian) and its event."""
    return hashlib.sha256(_ROW + previous_hash + number.to_bytes(8, "big") + canonical_event).digest()
