"""Certification requests by keys of any kind (PKCS #10, RFC 2986)."""

from typing import Final, Protocol

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.agent.keys.device_key import KeyFailed
from gateway.pki import der_writing as write
from gateway.pki.signature import verify_signature
from gateway.pki.signer import ECDSA_WITH_SHA256

# Says in a list of requests what made this one; the org takes nothing from it.
_SUBJECT: Final = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "devicetrust-agent")])
_NO_ATTRIBUTES: Final = write.implicit(0, b"", constructed=True)


class SigningKey(Protocol):
    def public_key(self) -> EllipticCurvePublicKey: ...
    def sign(self, data: bytes) -> bytes: ...


def certification_request(key: SigningKey) -> bytes:
    """The DER of a request that ``key`` signed. Raises KeyFailed, also where the signature is none by it."""
    public_key = key.public_key()
    body = write.sequence(
        write.integer(0),
        _SUBJECT.public_bytes(),
        public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
        _NO_ATTRIBUTES,
    )
    signature = key.sign(body)
    if not verify_signature(public_key, ECDSA_WITH_SHA256, body, signature):
        raise KeyFailed("the key made a signature that does not verify", "See to the TPM or the token.")
    return write.sequence(body, ECDSA_WITH_SHA256, write.bit_string(signature))
