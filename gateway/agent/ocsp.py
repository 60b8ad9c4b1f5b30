"""Asking the org whether a certificate of its own still counts (OCSP, RFC 6960). Pure: bytes in, bytes out.

The org's answers are signed by the authority that issued the certificate (§4.2.2.2), so nothing but that
authority's certificate is needed to check them.
"""

from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from gateway.agent.plan import Standing
from gateway.pki.certificate import Certificate

CONTENT_TYPE: Final = "application/ocsp-request"
NONCE_BYTES: Final = 32
MAX_OCSP_ANSWER_BYTES: Final = 16_384
# Between the clock of this computer and that of the org.
_SKEW: Final = timedelta(minutes=10)
_HASHES: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


class OcspInvalid(Exception):
    """Not an answer about this certificate by its authority. The text says what is wrong with it."""


def ocsp_request(certificate: Certificate, issuer: Certificate, nonce: bytes) -> bytes:
    """The DER of a question about one certificate. ``nonce`` has `NONCE_BYTES`."""
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        x509.load_der_x509_certificate(certificate.der),
        x509.load_der_x509_certificate(issuer.der),
        hashes.SHA256(),
    )
    asked = builder.add_extension(x509.OCSPNonce(nonce), critical=False).build()
    return asked.public_bytes(Encoding.DER)


def standing_of(
    answer: bytes, certificate: Certificate, issuer: Certificate, nonce: bytes, now: datetime
) -> Standing:
    """What the answer says. Raises OcspInvalid. An answer without the nonce counts within its dates."""
    if len(answer) > MAX_OCSP_ANSWER_BYTES:
        raise OcspInvalid(f"larger than {MAX_OCSP_ANSWER_BYTES} bytes")
    try:
        told = ocsp.load_der_ocsp_response(answer)
        if told.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
            raise OcspInvalid(f"the responder says {told.response_status.name}")
        _check_signature(told, issuer)
        _check_subject(told, certificate, issuer)
        _check_age(told, nonce, now)
        return _standing(told)
    except (ValueError, UnsupportedAlgorithm, NotImplementedError) as error:
        raise OcspInvalid(f"not an OCSP answer: {error}") from None


def _check_signature(told: ocsp.OCSPResponse, issuer: Certificate) -> None:
    digest = told.signature_hash_algorithm
    if not isinstance(digest, _HASHES):
        raise OcspInvalid("the signature's algorithm is not allowed")
    key = issuer.public_key
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            key.verify(told.signature, told.tbs_response_bytes, ec.ECDSA(digest))
        elif isinstance(key, rsa.RSAPublicKey):
            key.verify(told.signature, told.tbs_response_bytes, padding.PKCS1v15(), digest)
        else:
            raise OcspInvalid("the authority's key is of another kind")
    except InvalidSignature:
        raise OcspInvalid("it is not signed by the authority that issued the certificate") from None


def _check_subject(told: ocsp.OCSPResponse, certificate: Certificate, issuer: Certificate) -> None:
    asked = ocsp.load_der_ocsp_request(ocsp_request(certificate, issuer, bytes(NONCE_BYTES)))
    same = (
        told.serial_number == asked.serial_number
        and told.issuer_key_hash == asked.issuer_key_hash
        and told.issuer_name_hash == asked.issuer_name_hash
    )
    if not same:
        raise OcspInvalid("it is about another certificate")


def _check_age(told: ocsp.OCSPResponse, nonce: bytes, now: datetime) -> None:
    try:
        echoed = told.extensions.get_extension_for_class(x509.OCSPNonce).value.nonce
    except x509.ExtensionNotFound:
        echoed = nonce
    if echoed != nonce:
        raise OcspInvalid("it answers somebody else's question")
    until = told.next_update_utc or told.this_update_utc + timedelta(days=1)
    if not told.this_update_utc - _SKEW <= now.astimezone(UTC) <= until + _SKEW:
        raise OcspInvalid("it is not of this time: an old answer, or the clock of this computer is wrong")


def _standing(told: ocsp.OCSPResponse) -> Standing:
    match told.certificate_status:
        case ocsp.OCSPCertStatus.GOOD:
            return Standing.GOOD
        case ocsp.OCSPCertStatus.REVOKED:
            on_hold = told.revocation_reason is x509.ReasonFlags.certificate_hold
            return Standing.ON_HOLD if on_hold else Standing.REVOKED
        case _:
            return Standing.UNKNOWN
