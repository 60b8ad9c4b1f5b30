"""What signs for an authority: a key in memory, or one in an HSM that never leaves it.

Certificates, CRLs and OCSP answers are all SEQUENCE { what is signed, AlgorithmIdentifier, BIT STRING }, and
all of them are made here.
"""

from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from gateway.pki import der as asn1
from gateway.pki import der_writing as write
from gateway.pki.signature import PublicKey, verify_signature

ECDSA_WITH_SHA256 = bytes.fromhex("300a06082a8648ce3d040302")
ECDSA_WITH_SHA384 = bytes.fromhex("300a06082a8648ce3d040303")
RSA_WITH_SHA256 = bytes.fromhex("300d06092a864886f70d01010b0500")


class SigningFailed(Exception):
    """The key could not be used, or what it returned is no signature by it. Nothing was signed."""


class Signer(Protocol):
    """An authority's key. ``sign`` may raise `SigningFailed`."""

    @property
    def public_key(self) -> PublicKey: ...
    @property
    def algorithm_der(self) -> bytes:
        """AlgorithmIdentifier of the signatures."""

    def sign(self, signed: bytes) -> bytes:
        """A signature in the form that X.509 wants: for ECDSA the DER of r and s (RFC 3279 §2.2.3)."""


def algorithm_for(key: PublicKey) -> bytes:
    """The AlgorithmIdentifier that a signer with this key uses. Raises `SigningFailed` for other kinds."""
    if isinstance(key, rsa.RSAPublicKey):
        return RSA_WITH_SHA256
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp256r1":
        return ECDSA_WITH_SHA256
    if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.name == "secp384r1":
        return ECDSA_WITH_SHA384
    raise SigningFailed("an authority's key has to be ECDSA P-256, ECDSA P-384 or RSA")


def signed_document(tbs_der: bytes, signer: Signer) -> bytes:
    """Sign. Raises `SigningFailed`, also when the signature does not verify: a faulty signature can give an
    RSA key away (Boneh, DeMillo, Lipton, 1997), and a broken one would be published to every gateway."""
    signature = signer.sign(tbs_der)
    if not verify_signature(signer.public_key, signer.algorithm_der, tbs_der, signature):
        raise SigningFailed("the key made a signature that does not verify; nothing was issued")
    return write.sequence(tbs_der, signer.algorithm_der, write.bit_string(signature))


def spki_of(key: PublicKey) -> bytes:
    """The SubjectPublicKeyInfo of a key."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def key_bits(spki_der: bytes) -> bytes:
    """The content of subjectPublicKey without its count of unused bits: what key identifiers and OCSP are
    hashes of (RFC 5280 §4.2.1.2, RFC 6960 §4.1.1). ``spki_der`` is a SubjectPublicKeyInfo that was parsed."""
    start, end = asn1.content_of(spki_der, asn1.SEQUENCE)
    _, (_, _, bits_start, bits_end) = asn1.elements(spki_der, start, end, 2)
    return spki_der[bits_start + 1 : bits_end]
