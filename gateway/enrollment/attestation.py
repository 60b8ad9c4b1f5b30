"""A key of a device is in a TPM and cannot leave it: what has to be shown, and how it is verified.

Two steps. First the device shows the certificate of its TPM's endorsement key (EK) and the public area of
an attestation key (AK); it gets a secret that only that TPM opens, and only if the AK is in it (`challenge`).
Then it shows the secret, and what the AK says of the device's key (TPM2_Certify, TPM 2.0 Library Part 3
§18.2) over the nonce and the certification request (`verify_attestation`).

From this follows that the key of the request was made in that TPM (sensitiveDataOrigin) and cannot be taken
out or copied (fixedTPM, fixedParent), by the word of the vendor whose certificate the EK has. Not shown, and
not asked: that the TPM is in this very computer, that nobody else may use the key there, and in which state
the computer is (no PCRs).
"""

import hashlib
import hmac
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.enrollment.credential_protection import Credential, EndorsementKeyRefused, make_credential
from gateway.enrollment.endorsement import EndorsementKey
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.tpm_structures import (
    ObjectAttributes,
    TpmPublic,
    TpmStructureInvalid,
    read_certified,
    read_public,
    read_signature,
)

Read = TypeVar("Read")

# Part 1 §25.3: an object with all three was made by its TPM and stays there for good.
_STAYS: Final = (
    ObjectAttributes.FIXED_TPM | ObjectAttributes.FIXED_PARENT | ObjectAttributes.SENSITIVE_DATA_ORIGIN
)
# A restricted key signs only what its TPM has made itself, so it cannot be talked into a false attestation.
# Keys that come from outside (TPM2_LoadExternal) cannot be restricted.
_ATTESTS: Final = _STAYS | ObjectAttributes.RESTRICTED | ObjectAttributes.SIGN


@dataclass(frozen=True, slots=True)
class Challenge:
    """What was asked of a TPM; sealed, it travels with the device until it answers."""

    nonce: str
    ak_name: bytes
    endorsement_key: str  # hex SHA-256 of the subject public key of the EK
    secret: bytes


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a device shows in the second step. TPM structures without the lengths of TPM2Bs around them."""

    secret: bytes
    ak_public: bytes  # TPMT_PUBLIC
    certify_info: bytes  # TPMS_ATTEST
    signature: bytes  # TPMT_SIGNATURE
    key_public: bytes  # TPMT_PUBLIC


def challenge(
    endorsement_key: EndorsementKey, ak_public: bytes, nonce: str, secret: bytes, seed: bytes
) -> tuple[Challenge, Credential]:
    """What the device gets, and what is to be remembered of it. ``secret`` and ``seed`` are unpredictable, of
    `SECRET_BYTES` and `SEED_BYTES`. Raises EnrollmentRefused (ATTESTATION_INVALID)."""
    attestation_key = _attestation_key(ak_public)
    try:
        credential = make_credential(endorsement_key.public_key, attestation_key.name, secret, seed)
    except EndorsementKeyRefused as refused:
        raise _invalid(str(refused)) from None
    return Challenge(nonce, attestation_key.name, endorsement_key.fingerprint, secret), credential


def verify_attestation(
    asked: Challenge, evidence: Evidence, *, nonce: str, request_sha256: bytes, request_spki_der: bytes
) -> None:
    """Whether the key of the certification request is in the TPM that was asked. ``nonce`` is that of this
    enrollment; ``request_sha256`` the digest of the request's DER and ``request_spki_der`` its subject public
    key. The caller has verified its signature. Raises EnrollmentRefused (ATTESTATION_INVALID)."""
    if not hmac.compare_digest(asked.nonce.encode(), nonce.encode()):
        raise _invalid("the attestation was begun with another nonce")
    attestation_key = _attestation_key(evidence.ak_public)
    if attestation_key.name != asked.ak_name:
        raise _invalid("another attestation key than the one that the secret was for")
    if not hmac.compare_digest(evidence.secret, asked.secret):
        raise _invalid("the secret is not the one that the TPM was sent")
    key = _structure("key_public", read_public, evidence.key_public)
    certified = _structure("certify_info", read_certified, evidence.certify_info)
    signature = _structure("signature", read_signature, evidence.signature)
    if not signature.is_by(attestation_key.public_key, evidence.certify_info):
        raise _invalid("what was certified is not signed by the attestation key")
    if not hmac.compare_digest(certified.extra_data, qualifying_data(nonce, request_sha256)):
        raise _invalid("what was certified is for another nonce or another certification request")
    if certified.name != key.name:
        raise _invalid("another key was certified than the one that is shown")
    if key.attributes & _STAYS != _STAYS:
        raise _invalid("the key may leave its TPM, or was not made there")
    spki_der = key.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    if spki_der != request_spki_der:
        raise _invalid("the certified key is not the one of the certification request")


def qualifying_data(nonce: str, request_sha256: bytes) -> bytes:
    """What TPM2_Certify is to be called with: SHA-256 over the nonce (ASCII) and the SHA-256 of the
    certification request's DER."""
    return hashlib.sha256(nonce.encode() + request_sha256).digest()


def _attestation_key(ak_public: bytes) -> TpmPublic:
    key = _structure("ak_public", read_public, ak_public)
    if key.attributes & _ATTESTS != _ATTESTS or key.attributes & ObjectAttributes.DECRYPT:
        raise _invalid("the attestation key is not a restricted signing key that stays in its TPM")
    return key


def _structure(what: str, read: Callable[[bytes], Read], data: bytes) -> Read:
    try:
        return read(data)
    except TpmStructureInvalid as invalid:
        raise _invalid(f"{what}: {invalid}") from None


def _invalid(detail: str) -> EnrollmentRefused:
    return EnrollmentRefused(EnrollmentRefusal.ATTESTATION_INVALID, detail)
