"""Attestation of a computer's key by its TPM, in two requests between which nothing is kept here.

What was asked in the first one travels sealed with the device. It counts for its nonce alone, and so no
longer than that; whether the nonce is one of ours is for the caller to see.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.enrollment.attestation import Challenge, challenge, verify_attestation
from gateway.enrollment.attestation_messages import (
    AttestationRequest,
    binary_of,
    binary_text,
    read_request,
    read_shown,
)
from gateway.enrollment.credential_protection import SECRET_BYTES, SEED_BYTES
from gateway.enrollment.endorsement import VendorAuthorities, verify_endorsement
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.model.org import Device
from gateway.model.settings import AttestationMode
from gateway.pki.certification_request import CertificationRequest
from gateway.proxy.sealing import NONCE_BYTES, Sealer, TokenRefused
from gateway.services.ports import Randomness

_PURPOSE: Final = "attestation"
# The endorsement key that a device attested with first, in its profile.
TPM_MEMBER: Final = "tpm"


@dataclass(frozen=True, slots=True)
class AttestedKey:
    """The key of a certification request is in a TPM and stays there. Only `Attesting` makes one.
    ``endorsement_key`` is the hex SHA-256 of that TPM's public endorsement key."""

    endorsement_key: str


class Attesting:
    """``mode`` and ``vendors`` are those in force."""

    def __init__(
        self,
        mode: Callable[[], AttestationMode],
        vendors: Callable[[], VendorAuthorities],
        master_secret: bytes,
        randomness: Randomness,
    ) -> None:
        self._mode = mode
        self._vendors = vendors
        self._sealer = Sealer(master_secret)
        self._randomness = randomness

    def read(self, body: Mapping[str, Any]) -> AttestationRequest:
        """The body of the first request. Raises EnrollmentRefused."""
        return read_request(body)

    def begin(self, request: AttestationRequest, now: datetime) -> dict[str, Any]:
        """The answer to the first request, whose nonce the caller has checked. Raises EnrollmentRefused."""
        if self._mode() is AttestationMode.NONE:
            raise EnrollmentRefused(
                EnrollmentRefusal.ATTESTATION_INVALID, "this organization does not look at attestations"
            )
        endorsement_key = verify_endorsement(
            request.ek_certificate_der, request.ek_chain_der, self._vendors(), now
        )
        secret, seed = self._randomness.bytes(SECRET_BYTES), self._randomness.bytes(SEED_BYTES)
        asked, credential = challenge(endorsement_key, request.ak_public, request.nonce, secret, seed)
        return {
            "credential_blob": binary_text(credential.credential_blob),
            "encrypted_secret": binary_text(credential.encrypted_secret),
            "session": self._sealed(asked, now),
        }

    def attested(
        self, statement: Mapping[str, Any], nonce: str, request: CertificationRequest, now: datetime
    ) -> AttestedKey:
        """What the second request shows. ``nonce`` is the one in the person's token. Raises
        EnrollmentRefused."""
        shown = read_shown(statement)
        asked = self._opened(shown.session, now)
        verify_attestation(
            asked,
            shown.evidence,
            nonce=nonce,
            request_sha256=request.sha256,
            request_spki_der=request.spki_der,
        )
        return AttestedKey(asked.endorsement_key)

    def _sealed(self, asked: Challenge, now: datetime) -> str:
        content = {
            "n": asked.nonce,
            "a": binary_text(asked.ak_name),
            "e": asked.endorsement_key,
            "s": binary_text(asked.secret),
        }
        return self._sealer.seal(
            _PURPOSE,
            json.dumps(content).encode(),
            now_seconds=now.timestamp(),
            nonce=self._randomness.bytes(NONCE_BYTES),
        )

    def _opened(self, session: str, now: datetime) -> Challenge:
        try:
            content = json.loads(self._sealer.open(_PURPOSE, session, now_seconds=now.timestamp()))
            return Challenge(content["n"], binary_of(content["a"]), content["e"], binary_of(content["s"]))
        except (TokenRefused, KeyError, TypeError, ValueError):
            raise EnrollmentRefused(
                EnrollmentRefusal.ATTESTATION_INVALID, "session: not one of this organization, or too old"
            ) from None


def with_tpm(device: Device, attested: AttestedKey) -> Mapping[str, object] | None:
    """The profile that the device has after it attested with this TPM for the first time; None where it has
    it already. Raises EnrollmentRefused (ATTESTATION_OTHER_TPM): a computer does not change its TPM without
    anybody knowing, and another computer must not take its name."""
    pinned = device.profile.get(TPM_MEMBER)
    if pinned is None:
        return {**device.profile, TPM_MEMBER: attested.endorsement_key}
    if pinned != attested.endorsement_key:
        raise EnrollmentRefused(
            EnrollmentRefusal.ATTESTATION_OTHER_TPM,
            f"the device attested with TPM {str(pinned)[:16]}, now with {attested.endorsement_key[:16]}",
        )
    return None
