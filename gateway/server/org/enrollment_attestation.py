"""`POST /enroll/attestation`: a TPM is asked for what only it can know, before its key gets a certificate.

Nothing is kept, and nothing is written down: whoever asks has shown no account yet. What is refused here is
told to the agent; what it tries all the same is refused, and logged, at `/enroll/certificate`.
"""

from typing import Any, Final

from gateway.enrollment.nonces import NonceInvalid, check_nonce
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.server.org.call import Call
from gateway.server.org.enrollment_answers import REFUSED, error_answer, refusal_answer
from gateway.server.org.openapi import answers, takes
from gateway.server.org.route import Answer, Budget, Route
from gateway.services.attesting import Attesting

# A whole office enrolls from one address.
ATTESTATION: Final = Budget("attestation", 1_200)
# A certificate of 16 KiB and some above it, in base64.
_MAX_BODY_BYTES: Final = 192 * 1024


class AttestationRoutes:
    """``nonce_key``: of the nonces that discovery gives out."""

    def __init__(self, attesting: Attesting, nonce_key: bytes) -> None:
        self._attesting = attesting
        self._nonce_key = nonce_key

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                "POST",
                "/enroll/attestation",
                None,
                self.attestation,
                {
                    "tags": ["Enrollment"],
                    "summary": "Begin to show that a key is in a TPM",
                    "operationId": "enrollAttestation",
                    "requestBody": takes(_ASKED),
                    "responses": {**answers("What the TPM is to open.", _ANSWER), **REFUSED},
                },
                budget=ATTESTATION,
                max_body_bytes=_MAX_BODY_BYTES,
                error_answer=error_answer,
            ),
        )

    async def attestation(self, call: Call) -> Answer:
        now = call.clock.now()
        try:
            request = self._attesting.read(call.json_object())
            try:
                check_nonce(self._nonce_key, request.nonce, now)
            except NonceInvalid as invalid:
                raise EnrollmentRefused(EnrollmentRefusal.NONCE_INVALID, str(invalid)) from None
            return Answer(json=self._attesting.begin(request, now))
        except EnrollmentRefused as refused:
            return refusal_answer(refused, call.reference_id)


_BINARY: Final[dict[str, Any]] = {"type": "string", "description": "base64url"}
_ASKED: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["ek_certificate", "ak_public", "nonce"],
    "properties": {
        "ek_certificate": {**_BINARY, "description": "DER of the endorsement key's certificate, base64url."},
        "ek_chain": {"type": ["array", "null"], "items": _BINARY, "maxItems": 6},
        "ak_public": {**_BINARY, "description": "TPMT_PUBLIC of a restricted signing key, base64url."},
        "nonce": {"type": "string", "description": "Of discovery; the same as in the user token."},
    },
}
_ANSWER: Final[dict[str, Any]] = {
    "type": "object",
    "required": ["credential_blob", "encrypted_secret", "session"],
    "properties": {
        "credential_blob": {**_BINARY, "description": "TPMS_ID_OBJECT, base64url."},
        "encrypted_secret": {**_BINARY, "description": "For TPM2_ActivateCredential, base64url."},
        "session": {"type": "string", "description": "To be sent back."},
    },
}
