"""The signature algorithms that are accepted, and no others (RFC 9231 names them).

What is not in these tables does not exist here: no HMAC, no MD5, no RSA-PSS with parameters to get wrong.
SHA-1 is in a table of its own, used only where the configuration makes an exception for one provider.
"""

from collections.abc import Callable
from dataclasses import dataclass

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from gateway.federation.errors import MessageRejected
from gateway.model.reasons import MessageReason

SigningPublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
SigningPrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

MIN_RSA_BITS = 2048
MAX_RSA_BITS = 8192  # verifying with a larger modulus costs milliseconds for each message
_CURVES = (ec.SECP256R1, ec.SECP384R1, ec.SECP521R1)

_MORE = "http://www.w3.org/2001/04/xmldsig-more#"
_XENC = "http://www.w3.org/2001/04/xmlenc#"
RSA_SHA256 = _MORE + "rsa-sha256"
ECDSA_SHA256 = _MORE + "ecdsa-sha256"
SHA256 = _XENC + "sha256"

HashFactory = Callable[[], hashes.HashAlgorithm]


@dataclass(frozen=True, slots=True)
class SignatureAlgorithm:
    """One signature method: the kind of key it takes and the hash it signs."""

    elliptic: bool
    hash_factory: HashFactory


_SIGNATURES = {
    RSA_SHA256: SignatureAlgorithm(False, hashes.SHA256),
    _MORE + "rsa-sha384": SignatureAlgorithm(False, hashes.SHA384),
    _MORE + "rsa-sha512": SignatureAlgorithm(False, hashes.SHA512),
    ECDSA_SHA256: SignatureAlgorithm(True, hashes.SHA256),
    _MORE + "ecdsa-sha384": SignatureAlgorithm(True, hashes.SHA384),
    _MORE + "ecdsa-sha512": SignatureAlgorithm(True, hashes.SHA512),
}
_DIGESTS: dict[str, HashFactory] = {
    SHA256: hashes.SHA256,
    _MORE + "sha384": hashes.SHA384,
    _XENC + "sha512": hashes.SHA512,
}
RSA_SHA1 = "http://www.w3.org/2000/09/xmldsig#rsa-sha1"
SHA1 = "http://www.w3.org/2000/09/xmldsig#sha1"
_SHA1_SIGNATURE = SignatureAlgorithm(False, hashes.SHA1)


def signature_algorithm(uri: str, *, allow_sha1: bool) -> SignatureAlgorithm:
    """Look a SignatureMethod up. Raises MessageRejected (ALGORITHM_REFUSED)."""
    if uri == RSA_SHA1 and allow_sha1:
        return _SHA1_SIGNATURE
    found = _SIGNATURES.get(uri)
    if found is None:
        raise _refused("signature method", uri)
    return found


def digest(uri: str, octets: bytes, *, allow_sha1: bool) -> bytes:
    """Hash with a DigestMethod. Raises MessageRejected (ALGORITHM_REFUSED)."""
    factory = hashes.SHA1 if uri == SHA1 and allow_sha1 else _DIGESTS.get(uri)
    if factory is None:
        raise _refused("digest method", uri)
    context = hashes.Hash(factory())
    context.update(octets)
    return context.finalize()


def verifies(
    algorithm: SignatureAlgorithm, key: SigningPublicKey, signature: bytes, signed_octets: bytes
) -> bool:
    """Whether ``key`` made the signature. A key of the other kind never did."""
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if algorithm.elliptic:
                return False
            key.verify(signature, signed_octets, padding.PKCS1v15(), algorithm.hash_factory())
        else:
            size = (key.curve.key_size + 7) // 8
            if not algorithm.elliptic or len(signature) != 2 * size:
                return False
            # XML signature has r and s side by side (RFC 4050 §3.3), OpenSSL wants DER.
            r, s = int.from_bytes(signature[:size], "big"), int.from_bytes(signature[size:], "big")
            key.verify(encode_dss_signature(r, s), signed_octets, ec.ECDSA(algorithm.hash_factory()))
    except InvalidSignature:
        return False
    return True


def signing_method(key: SigningPrivateKey) -> str:
    """The SHA-256 signature method for the key's kind."""
    return RSA_SHA256 if isinstance(key, rsa.RSAPrivateKey) else ECDSA_SHA256


def sign_octets(key: SigningPrivateKey, octets: bytes) -> bytes:
    """The signature value of `signing_method` over the octets."""
    if isinstance(key, rsa.RSAPrivateKey):
        return key.sign(octets, padding.PKCS1v15(), hashes.SHA256())
    size = (key.curve.key_size + 7) // 8
    r, s = decode_dss_signature(key.sign(octets, ec.ECDSA(hashes.SHA256())))
    return r.to_bytes(size, "big") + s.to_bytes(size, "big")


def signing_public_key(key: object) -> SigningPublicKey:
    """Accept a public key that is strong enough for signatures; ValueError says why it is not."""
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise ValueError(
                f"an RSA key of {key.key_size} bits; {MIN_RSA_BITS} to {MAX_RSA_BITS} are accepted"
            )
        return key
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, _CURVES):
        return key
    raise ValueError("a key that is neither RSA nor ECDSA on P-256, P-384 or P-521")


def _refused(what: str, uri: str) -> MessageRejected:
    return MessageRejected(MessageReason.ALGORITHM_REFUSED, f"the {what} {uri[:100]!r} is not accepted")
