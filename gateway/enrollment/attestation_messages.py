"""What travels between agent and org about a TPM, as JSON: members in base64url without padding.

`POST /enroll/attestation` takes `ek_certificate`, `ek_chain`, `ak_public`, `nonce`, and answers with
`credential_blob`, `encrypted_secret`, `session`. `POST /enroll/certificate` takes, as `attestation`,
`session`, `secret`, `ak_public`, `certify_info`, `signature`, `key_public`.
"""

import base64
import binascii
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from gateway.enrollment.attestation import Evidence
from gateway.enrollment.nonces import MAX_NONCE_CHARACTERS
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.tpm_structures import MAX_STRUCTURE_BYTES
from gateway.pki.certificate import MAX_CERTIFICATE_BYTES

MAX_CHAIN: Final = 6
# A sealed challenge has some 400 characters.
MAX_SESSION_CHARACTERS: Final = 2_048


@dataclass(frozen=True, slots=True)
class AttestationRequest:
    ek_certificate_der: bytes
    ek_chain_der: tuple[bytes, ...]
    ak_public: bytes
    nonce: str


@dataclass(frozen=True, slots=True)
class AttestationShown:
    session: str
    evidence: Evidence


def read_request(body: Mapping[str, Any]) -> AttestationRequest:
    """Raises EnrollmentRefused (ATTESTATION_INVALID)."""
    chain = body.get("ek_chain") or []
    if not isinstance(chain, list) or len(chain) > MAX_CHAIN:
        raise _invalid(f"ek_chain: not a list of at most {MAX_CHAIN} certificates")
    return AttestationRequest(
        _binary(body.get("ek_certificate"), "ek_certificate", MAX_CERTIFICATE_BYTES),
        tuple(_binary(each, "ek_chain", MAX_CERTIFICATE_BYTES) for each in chain),
        _binary(body.get("ak_public"), "ak_public", MAX_STRUCTURE_BYTES),
        _text(body.get("nonce"), "nonce", MAX_NONCE_CHARACTERS),
    )


def read_shown(statement: Mapping[str, Any]) -> AttestationShown:
    """Raises EnrollmentRefused (ATTESTATION_INVALID)."""
    parts = {
        name: _binary(statement.get(name), name, MAX_STRUCTURE_BYTES)
        for name in ("secret", "ak_public", "certify_info", "signature", "key_public")
    }
    session = _text(statement.get("session"), "session", MAX_SESSION_CHARACTERS)
    return AttestationShown(session, Evidence(**parts))


def binary_text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def binary_of(text: str) -> bytes:
    """Raises ValueError."""
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


def _binary(value: object, name: str, limit: int) -> bytes:
    text = _text(value, name, (limit * 4 + 2) // 3)
    try:
        return binary_of(text)
    except (binascii.Error, ValueError):
        raise _invalid(f"{name}: not base64url") from None


def _text(value: object, name: str, limit: int) -> str:
    if not isinstance(value, str) or not value or not value.isascii():
        raise _invalid(f"{name}: is missing, or no text")
    if len(value) > limit:
        raise _invalid(f"{name}: longer than {limit} characters")
    return value


def _invalid(detail: str) -> EnrollmentRefused:
    return EnrollmentRefused(EnrollmentRefusal.ATTESTATION_INVALID, detail)
