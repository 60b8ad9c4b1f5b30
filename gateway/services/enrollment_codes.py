"""One-time codes with which a device enrolls: an administrator makes one for a device and a user, and it says
so itself, sealed with a key of the gateway's own. It is good once, until it ends.

Nothing is stored until a code is used; then its hash is, so that it is not used again.
"""

import base64
import binascii
import hashlib
import hmac
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.services.ports import Randomness

_PREFIX: Final = "dte_"
_MAC_BYTES: Final = 32
_NONCE_BYTES: Final = 12
MAX_CODE_CHARACTERS: Final = 512
_PURPOSE: Final = b"enrollment codes of the Device Trust Gateway"


class CodeRefused(Exception):
    """No code of ours, or one that has ended. Which of both is nobody's business."""


@dataclass(frozen=True, slots=True)
class EnrollmentCode:
    device_id: str
    user_id: str | None
    until: datetime
    digest: bytes  # under which its use is remembered


def new_code(
    master_secret: bytes, device_id: str, user_id: str | None, until: datetime, randomness: Randomness
) -> str:
    """``until`` is aware; fractions of a second are cut off."""
    nonce = base64.urlsafe_b64encode(randomness.bytes(_NONCE_BYTES)).decode()
    said = json.dumps([device_id, user_id, int(until.timestamp()), nonce], separators=(",", ":")).encode()
    return _PREFIX + base64.urlsafe_b64encode(_mac(master_secret, said) + said).rstrip(b"=").decode()


def read_code(master_secret: bytes, code: str, now: datetime) -> EnrollmentCode:
    """Raises CodeRefused. Whether it was used before is for the store to say."""
    if not code.startswith(_PREFIX) or len(code) > MAX_CODE_CHARACTERS or not code.isascii():
        raise CodeRefused
    text = code.removeprefix(_PREFIX)
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error:
        raise CodeRefused from None
    mac, said = sealed[:_MAC_BYTES], sealed[_MAC_BYTES:]
    if not hmac.compare_digest(mac, _mac(master_secret, said)):
        raise CodeRefused
    device_id, user_id, end, _ = json.loads(said)  # which only this module writes
    until = datetime.fromtimestamp(end, UTC)
    if now >= until:
        raise CodeRefused
    return EnrollmentCode(device_id, user_id, until, hashlib.sha256(sealed).digest())


def _mac(master_secret: bytes, said: bytes) -> bytes:
    key = hmac.digest(master_secret, _PURPOSE, "sha256")
    return hmac.digest(key, said, "sha256")
