"""Sealed tokens: AES-256-GCM under keys that rotate by themselves and are the same in every worker.

All keys come from one master secret by HKDF (RFC 5869) with the purpose and the number of the period as its
info, so workers and nodes that share the secret share every key without talking, and a token of one purpose
opens under no other. A token names its period in clear; the current one and its neighbours are accepted,
which covers a token made just before the change and clocks that differ by less than a period.

    token = base64url( period (4 bytes) | nonce (12 bytes) | ciphertext and tag )

Not provided: forward secrecy. Who holds the master secret can open every token of all times.
"""

import base64
import binascii
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

ROTATION_SECONDS: Final = 86_400
NONCE_BYTES: Final = 12
# The longest token that is worth opening: a ticket with a return target of 2 KB, each character of which JSON
# escapes, and a certification path of ten certificates is about 10 KB. A usual one is 1 KB.
MAX_TOKEN_CHARACTERS: Final = 16_384
MAX_DERIVED_KEYS: Final = 128
MIN_MASTER_SECRET_BYTES: Final = 32

_PERIOD_BYTES = 4
_TAG_BYTES = 16


class TokenRefused(Exception):
    """A token that was not sealed here for this purpose, was changed, or is older than its keys."""


class Sealer:
    """Seals and opens tokens of all purposes. Holds derived keys only."""

    def __init__(self, master_secret: bytes, rotation_seconds: int = ROTATION_SECONDS) -> None:
        if len(master_secret) < MIN_MASTER_SECRET_BYTES:
            raise ValueError("the master secret is shorter than 32 bytes")
        self._master_secret = master_secret
        self._rotation_seconds = rotation_seconds
        self._keys: dict[tuple[str, int], AESGCM] = {}

    def seal(self, purpose: str, plaintext: bytes, *, now_seconds: float, nonce: bytes) -> str:
        """A URL- and cookie-safe token. ``nonce`` is 12 fresh random bytes."""
        if len(nonce) != NONCE_BYTES:
            raise ValueError("the nonce is not 12 bytes")
        period = self._period(now_seconds)
        header = period.to_bytes(_PERIOD_BYTES)
        sealed = self._key(purpose, period).encrypt(nonce, plaintext, header)
        return base64.urlsafe_b64encode(header + nonce + sealed).rstrip(b"=").decode("ascii")

    def open(self, purpose: str, token: str, *, now_seconds: float, max_age_periods: int = 1) -> bytes:
        """The plaintext of a token. Raises TokenRefused. Does not know when the content expires.

        ``max_age_periods``: how many periods before the current one are accepted.
        """
        if not 0 < len(token) <= MAX_TOKEN_CHARACTERS:
            raise TokenRefused("not a token: its length is out of range")
        try:
            raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise TokenRefused("not a token: it is not base64url") from None
        if len(raw) < _PERIOD_BYTES + NONCE_BYTES + _TAG_BYTES:
            raise TokenRefused("not a token: it is too short")
        period = int.from_bytes(raw[:_PERIOD_BYTES])
        current = self._period(now_seconds)
        if not current - max_age_periods <= period <= current + 1:
            raise TokenRefused("the token is older than its keys")
        nonce = raw[_PERIOD_BYTES : _PERIOD_BYTES + NONCE_BYTES]
        sealed = raw[_PERIOD_BYTES + NONCE_BYTES :]
        try:
            return self._key(purpose, period).decrypt(nonce, sealed, raw[:_PERIOD_BYTES])
        except InvalidTag:
            raise TokenRefused("the token was not sealed here") from None

    def _period(self, now_seconds: float) -> int:
        return int(now_seconds) // self._rotation_seconds

    def _key(self, purpose: str, period: int) -> AESGCM:
        """Only periods near the current one are ever asked for, so few keys are derived, and few are kept."""
        key = self._keys.get((purpose, period))
        if key is None:
            info = f"devicetrust token {purpose} {period}".encode()
            derived = HKDF(SHA256(), length=32, salt=None, info=info).derive(self._master_secret)
            if len(self._keys) >= MAX_DERIVED_KEYS:
                del self._keys[next(iter(self._keys))]
            key = self._keys[(purpose, period)] = AESGCM(derived)
        return key
