"""What is done for the holder of a certificate who proves to hold its key, without TLS: renewal from
anywhere, and the question what the org knows of them.

A certificate that has expired is not renewed by its key alone, however lately: the computer enrolls by
Kerberos, and names it there (`gateway.services.enrolling`).
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from gateway.enrollment.claims import ALLOWED_SKEW, TokenInvalid
from gateway.enrollment.nonces import NonceInvalid, check_nonce
from gateway.enrollment.proofs import Proof, ProofAct, verify_proof
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.thumbprints import key_thumbprint
from gateway.model.issued import IssuedCertificate
from gateway.model.org import Device, User
from gateway.model.settings import AttestationMode
from gateway.pki.certification_request import CertificationRequest
from gateway.pki.signer import SigningFailed
from gateway.services.attesting import AttestedKey, with_tpm
from gateway.services.authority_ports import SigningKeys
from gateway.services.enrollment_ports import Attester, EnrollmentStore, EnrollmentView, EnrollmentWork
from gateway.services.enrollment_refusals import refusal_of_issuing
from gateway.services.enrollment_terms import EnrollmentTerms
from gateway.services.failed_tries import FailedTries
from gateway.services.issuing import Issued, IssuingRefused, sign_and_complete
from gateway.services.ports import Randomness
from gateway.services.renewing import reserve_renewal
from gateway.system_log.catalog import Occasion
from gateway.system_log.certificate_events import issuance_refused


@dataclass(frozen=True, slots=True)
class Holder:
    """Whose certificate it is. A device or user that was deleted meanwhile is None."""

    row: IssuedCertificate
    device: Device | None
    user: User | None


class Proving:
    def __init__(self, keys: SigningKeys, nonce_key: bytes, failed: FailedTries, attester: Attester) -> None:
        self._keys = keys
        self._nonce_key = nonce_key
        self._failed = failed
        self._attester = attester

    def renew(
        self,
        store: EnrollmentStore,
        request: CertificationRequest,
        proof_text: str,
        terms: EnrollmentTerms,
        occasion: Occasion,
        randomness: Randomness,
        *,
        force: bool = False,
        statement: Mapping[str, Any] | None = None,
    ) -> Issued:
        """``statement``: of the TPM that has the new key. For callers that may block. Raises
        EnrollmentRefused, StoreUnavailable."""
        proof = self._verified(proof_text, ProofAct.RENEW, terms, occasion.at)
        with store.read() as view:
            former = _shown(view, proof)
        # By the certificate: who stole one that was revoked then keeps nobody else from renewing theirs.
        tried = proof.certificate.thumbprint
        if self._failed.too_many(tried, occasion.at.timestamp()):
            raise EnrollmentRefused(
                EnrollmentRefusal.TOO_OFTEN, "the certificate was refused many times; wait 10 minutes"
            )
        try:
            _check_key(proof, request)
            check_renewable(former, terms, occasion.at)
            attested = None
            if statement is not None and terms.enrollment.attestation is not AttestationMode.NONE:
                nonce = proof.claims.nonce
                attested = self._attester.attested(statement, nonce, request, occasion.at)
            return self._renewed(
                store, request, proof, former, terms, occasion, randomness, force=force, attested=attested
            )
        except EnrollmentRefused as refused:
            self._failed.add(tried, occasion.at.timestamp())
            _write_down(store, former, refused, occasion)
            raise

    def holder(
        self, store: EnrollmentStore, proof_text: str, terms: EnrollmentTerms, occasion: Occasion
    ) -> Holder:
        """For callers that may block. Raises EnrollmentRefused, StoreUnavailable."""
        proof = self._verified(proof_text, ProofAct.SELF, terms, occasion.at)
        with store.read() as view:
            row = _shown(view, proof)
            device = view.devices.get(row.device_id)
            user = None if row.user_id is None else view.users.get(row.user_id)
        with store.begin() as work:
            _claim(work, proof, occasion)
        return Holder(row, device, user)

    def _verified(self, text: str, act: ProofAct, terms: EnrollmentTerms, now: datetime) -> Proof:
        try:
            proof = verify_proof(text, audience=terms.audience, now=now)
            check_nonce(self._nonce_key, proof.claims.nonce, now)
        except TokenInvalid as invalid:
            raise EnrollmentRefused(EnrollmentRefusal.PROOF_INVALID, str(invalid)) from None
        except NonceInvalid as invalid:
            raise EnrollmentRefused(EnrollmentRefusal.NONCE_INVALID, str(invalid)) from None
        if proof.claims.act is not act:
            raise EnrollmentRefused(
                EnrollmentRefusal.PROOF_INVALID, f"it is to {proof.claims.act}, not to {act}"
            )
        return proof

    def _renewed(
        self,
        store: EnrollmentStore,
        request: CertificationRequest,
        proof: Proof,
        former: IssuedCertificate,
        terms: EnrollmentTerms,
        occasion: Occasion,
        randomness: Randomness,
        *,
        force: bool,
        attested: AttestedKey | None,
    ) -> Issued:
        try:
            with store.begin() as work:
                _claim(work, proof, occasion)
                reservation = reserve_renewal(
                    work,
                    request,
                    former,
                    terms.ca,
                    occasion,
                    randomness,
                    force=force,
                    hardware_key_needed=terms.enrollment.attestation is AttestationMode.REQUIRED,
                    attested=attested is not None and _is_its_tpm(work, former, attested),
                )
            return sign_and_complete(store, self._keys, reservation, occasion)
        except IssuingRefused as refused:
            raise refusal_of_issuing(refused) from refused
        except SigningFailed as failed:
            raise EnrollmentRefused(
                EnrollmentRefusal.UNAVAILABLE, "the authority's key is not at hand"
            ) from failed


def check_renewable(former: IssuedCertificate, terms: EnrollmentTerms, now: datetime) -> None:
    """Whether one may be renewed by its key alone. Raises EnrollmentRefused."""
    if not terms.enrollment.renew_anywhere:
        raise EnrollmentRefused(EnrollmentRefusal.RENEWAL_DISABLED)
    if former.withdrawn:
        raise EnrollmentRefused(EnrollmentRefusal.CERTIFICATE_REVOKED, f"it is {former.status}")
    if former.not_after <= now:
        raise EnrollmentRefused(
            EnrollmentRefusal.CERTIFICATE_EXPIRED, f"it ended at {former.not_after:%Y-%m-%d %H:%M} UTC"
        )


def _is_its_tpm(work: EnrollmentWork, former: IssuedCertificate, attested: AttestedKey) -> bool:
    """Whether the computer enrolled with this TPM before, by Kerberos. Where it never did with any, none is
    taken for its own here: whoever copied a key file would bring a TPM of theirs. Raises EnrollmentRefused
    for another one."""
    device = work.devices.get(former.device_id, lock=True)
    return device is not None and with_tpm(device, attested) is None


def _shown(view: EnrollmentView, proof: Proof) -> IssuedCertificate:
    shown = proof.certificate
    row = view.certificates.by_thumbprint(shown.thumbprint)
    if row is None or row.certificate_der != shown.der:
        raise EnrollmentRefused(EnrollmentRefusal.CERTIFICATE_UNKNOWN, f"thumbprint {shown.thumbprint}")
    return row


def _check_key(proof: Proof, request: CertificationRequest) -> None:
    if key_thumbprint(request.public_key) != proof.claims.key_thumbprint:
        raise EnrollmentRefused(EnrollmentRefusal.KEY_MISMATCH, "the request's key is not the proof's")


def _claim(work: EnrollmentWork, proof: Proof, occasion: Occasion) -> None:
    key = hashlib.sha256(f"proof {proof.certificate.thumbprint} {proof.claims.proof_id}".encode()).digest()
    if not work.one_use.claim(key, proof.claims.expires + ALLOWED_SKEW, occasion.at):
        raise EnrollmentRefused(EnrollmentRefusal.PROOF_INVALID, "it was used before")


def _write_down(
    store: EnrollmentStore, former: IssuedCertificate, refused: EnrollmentRefused, occasion: Occasion
) -> None:
    """In a transaction of its own: the one in which it was refused has left nothing."""
    with store.begin() as work:
        device = work.devices.get(former.device_id)
        user = None if former.user_id is None else work.users.get(former.user_id)
        work.log_event(issuance_refused(occasion, refused.reason.value, device, user, refused.detail))
