"""Which keys and signatures count, and checking one signature with one key.

An algorithm is allowed by the exact DER of its AlgorithmIdentifier, so nothing about parameters is left
to interpretation: explicit curves, SHA-1, MD5, odd PSS parameters and all that is not listed is refused
(NIST SP 800-131A; RFC 4055, RFC 5480, RFC 5758, RFC 8410).
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.serialization import load_der_public_key

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey

MIN_RSA_BITS = 2048
# Verification cost grows with the square of the modulus; no public CA issues above 4096, and 8192 still
# verifies in well under a millisecond. The modulus is chosen by whoever presents the certificate.
MAX_RSA_BITS = 8192
# A large exponent makes verification as slow as signing. All usual keys have 65537 (NIST SP 800-56B).
MAX_RSA_EXPONENT = 2**32

_KEY_ALGORITHMS = {
    bytes.fromhex("300d06092a864886f70d0101010500"): "RSA",
    bytes.fromhex("301306072a8648ce3d020106082a8648ce3d030107"): "ECDSA P-256",
    bytes.fromhex("301006072a8648ce3d020106052b81040022"): "ECDSA P-384",
    bytes.fromhex("301006072a8648ce3d020106052b81040023"): "ECDSA P-521",
    bytes.fromhex("300506032b6570"): "Ed25519",
}

_Scheme = tuple[str, hashes.SHA256 | hashes.SHA384 | hashes.SHA512 | None]

_SIGNATURE_ALGORITHMS: dict[bytes, _Scheme] = {
    bytes.fromhex("300d06092a864886f70d01010b0500"): ("pkcs1", hashes.SHA256()),
    bytes.fromhex("300d06092a864886f70d01010c0500"): ("pkcs1", hashes.SHA384()),
    bytes.fromhex("300d06092a864886f70d01010d0500"): ("pkcs1", hashes.SHA512()),
    bytes.fromhex("300a06082a8648ce3d040302"): ("ecdsa", hashes.SHA256()),
    bytes.fromhex("300a06082a8648ce3d040303"): ("ecdsa", hashes.SHA384()),
    bytes.fromhex("300a06082a8648ce3d040304"): ("ecdsa", hashes.SHA512()),
    bytes.fromhex("300506032b6570"): ("ed25519", None),
}


def _pss_identifier(hash_oid: str, salt_length: int) -> bytes:
    """id-RSASSA-PSS whose hash, MGF1 hash and salt length are those of one digest (RFC 4055 §3.1)."""
    hash_algorithm = bytes.fromhex(f"300d0609{hash_oid}0500")
    parameters = (
        b"\xa0\x0f" + hash_algorithm
        + b"\xa1\x1c\x30\x1a" + bytes.fromhex("06092a864886f70d010108") + hash_algorithm
        + bytes((0xA2, 0x03, 0x02, 0x01, salt_length))
    )  # fmt: skip
    body = bytes.fromhex("06092a864886f70d01010a") + bytes((0x30, len(parameters))) + parameters
    return bytes((0x30, len(body))) + body


_SIGNATURE_ALGORITHMS |= {
    _pss_identifier("608648016503040201", 32): ("pss", hashes.SHA256()),
    _pss_identifier("608648016503040202", 48): ("pss", hashes.SHA384()),
    _pss_identifier("608648016503040203", 64): ("pss", hashes.SHA512()),
}


class KeyRefused(ValueError):
    """A public key of a kind or size that does not count. Never leaves this room."""


def load_public_key(spki_der: bytes, algorithm_der: bytes) -> PublicKey:
    """The key of a SubjectPublicKeyInfo. Raises `KeyRefused`.

    ``algorithm_der`` is the AlgorithmIdentifier within it, as it was sent.
    """
    kind = _KEY_ALGORITHMS.get(algorithm_der)
    if kind is None:
        raise KeyRefused("key algorithm or curve is not allowed")
    try:
        key: PublicKeyTypes = load_der_public_key(spki_der)
    except ValueError:
        raise KeyRefused(f"not a valid {kind} key") from None
    if isinstance(key, rsa.RSAPublicKey):
        if not MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            raise KeyRefused(f"RSA key of {key.key_size} bits, allowed are {MIN_RSA_BITS} to {MAX_RSA_BITS}")
        if key.public_numbers().e > MAX_RSA_EXPONENT:
            raise KeyRefused("RSA exponent is too large")
        return key
    if isinstance(key, ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey):
        return key
    raise KeyRefused("key algorithm is not allowed")


def is_signature_algorithm_allowed(algorithm_der: bytes) -> bool:
    return algorithm_der in _SIGNATURE_ALGORITHMS


def verify_signature(key: PublicKey, algorithm_der: bytes, signed: bytes, signature: bytes) -> bool:
    """Whether ``signature`` over ``signed`` is by ``key``, with an allowed algorithm that fits the key."""
    scheme = _SIGNATURE_ALGORITHMS.get(algorithm_der)
    if scheme is None:
        return False
    name, digest = scheme
    try:
        if isinstance(key, rsa.RSAPublicKey):
            if digest is None or name not in {"pkcs1", "pss"}:
                return False
            if name == "pkcs1":
                key.verify(signature, signed, padding.PKCS1v15(), digest)
            else:
                pss = padding.PSS(mgf=padding.MGF1(digest), salt_length=digest.digest_size)
                key.verify(signature, signed, pss, digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            if digest is None or name != "ecdsa":
                return False
            key.verify(signature, signed, ec.ECDSA(digest))
        else:
            if name != "ed25519":
                return False
            key.verify(signature, signed)
    except InvalidSignature:
        return False
    return True
