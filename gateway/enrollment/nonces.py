"""The nonce with which each enrollment begins: tokens and proofs that carry it were made after the org gave
it out. It says itself when it ends, under a MAC, so that nothing is kept for those who never come back, and
any gateway of a fleet knows those of the others.

That each enrollment happens once is for the tokens' ids to see to; a nonce may be used for several steps.
"""

import base64
import binascii
import hmac
from datetime import datetime, timedelta
from typing import Final

NONCE_LIFETIME: Final = timedelta(minutes=10)
RANDOM_BYTES: Final = 16
_END_BYTES: Final = 6  # seconds since 1970
_MAC_BYTES: Final = 16
_NONCE_BYTES: Final = _END_BYTES + RANDOM_BYTES + _MAC_BYTES
MAX_NONCE_CHARACTERS: Final = 52
_PURPOSE: Final = b"enrollment nonces of the Device Trust Gateway"


class NonceInvalid(Exception):
    """Not of this org, or too old. The detail says which."""


def nonce_key(master_secret: bytes) -> bytes:
    """The key of the MAC, out of the secret that a fleet shares."""
    return hmac.digest(master_secret, _PURPOSE, "sha256")


def new_nonce(key: bytes, now: datetime, random: bytes) -> str:
    """``random`` are `RANDOM_BYTES` unpredictable bytes."""
    end = int((now + NONCE_LIFETIME).timestamp()).to_bytes(_END_BYTES)
    said = end + random[:RANDOM_BYTES]
    return base64.urlsafe_b64encode(said + _mac(key, said)).rstrip(b"=").decode()


def check_nonce(key: bytes, nonce: str, now: datetime) -> None:
    """Raises NonceInvalid."""
    if len(nonce) > MAX_NONCE_CHARACTERS or not nonce.isascii():
        raise NonceInvalid("no nonce of this organization")
    try:
        raw = base64.b64decode(nonce + "=" * (-len(nonce) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise NonceInvalid("no nonce of this organization") from None
    said, mac = raw[:-_MAC_BYTES], raw[-_MAC_BYTES:]
    if len(raw) != _NONCE_BYTES or not hmac.compare_digest(mac, _mac(key, said)):
        raise NonceInvalid("no nonce of this organization")
    if now.timestamp() >= int.from_bytes(said[:_END_BYTES]):
        raise NonceInvalid(f"older than {NONCE_LIFETIME.seconds // 60} minutes")


def _mac(key: bytes, said: bytes) -> bytes:
    return hmac.digest(key, said, "sha256")[:_MAC_BYTES]
