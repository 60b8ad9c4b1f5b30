"""Certification requests (PKCS#10, RFC 2986): a key, and the proof that whoever asks holds it. No more.

Subject, subjectAltName and every other wish in a request are never read: who a certificate is for is said by
whoever authenticated the request. Reading them is how other authorities came to issue for strangers.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass
from enum import StrEnum

from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.pki import der as asn1
from gateway.pki.signature import (
    MIN_RSA_BITS,
    KeyRefused,
    PublicKey,
    is_signature_algorithm_allowed,
    load_public_key,
    verify_signature,
)

# A request has 300 bytes to 2 KiB; with attestation statements of a TPM about 10.
MAX_CERTIFICATION_REQUEST_BYTES = 32_768
# Larger than the verifier's bound for foreign certificates: these keys are made for us, and every sign-on of
# the device pays for their size.
MAX_REQUESTED_RSA_BITS = 4_096
# FIPS 186-5 §A.1.1: odd, at least 65537. All software of the last twenty years takes 65537.
_RSA_EXPONENT = 65_537
_SMALL_PRIMES = tuple(n for n in range(2, 752) if all(n % factor for factor in range(2, n)))
# Moduli of the Infineon library are powers of 65537 modulo each of these primes; of others, one in 2^27 is
# (Nemec et al., "The Return of Coppersmith's Attack", 2017, §2.3). Such keys are in TPMs and smart cards.
_INFINEON_PRIMES = (11, 13, 17, 19, 37, 53, 61, 71, 73, 79, 97, 103, 107, 109, 127, 151, 157)
_INFINEON_RESIDUES = {
    prime: frozenset(pow(_RSA_EXPONENT, power, prime) for power in range(prime)) for prime in _INFINEON_PRIMES
}

_PEM_BEGIN = (b"-----BEGIN CERTIFICATE REQUEST-----", b"-----BEGIN NEW CERTIFICATE REQUEST-----")
_PEM_END = b"-----END "
_VERSION_1 = bytes.fromhex("020100")
_ATTRIBUTES_TAG = 0xA0
_BIT_STRING = 0x03
_INFO_FIELDS = 4


class RequestRefusal(StrEnum):
    TOO_LARGE = "TOO_LARGE"
    MALFORMED = "MALFORMED"
    WEAK_KEY = "WEAK_KEY"
    ALGORITHM_REFUSED = "ALGORITHM_REFUSED"
    NO_PROOF_OF_POSSESSION = "NO_PROOF_OF_POSSESSION"


class CertificationRequestRefused(Exception):
    """A request that no certificate is made for. The one exception of this module."""

    def __init__(self, reason: RequestRefusal, detail: str) -> None:
        super().__init__(f"certification request refused: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class CertificationRequest:
    """A key whose holder proved to hold it. Only `parse_certification_request` makes one."""

    spki_der: bytes
    public_key: PublicKey
    sha256: bytes  # of the DER: what else is said about the request names it by this


def parse_certification_request(data: bytes) -> CertificationRequest:
    """Read a request in DER or PEM and check its signature with the key in it.

    Raises `CertificationRequestRefused`. Not read: subject and attributes, though their place is checked.
    """
    if len(data) > MAX_CERTIFICATION_REQUEST_BYTES:
        raise CertificationRequestRefused(
            RequestRefusal.TOO_LARGE, f"larger than {MAX_CERTIFICATION_REQUEST_BYTES} bytes"
        )
    der = _from_pem(data) if data.lstrip().startswith(b"-----") else data
    try:
        return _read(der)
    except KeyRefused as refused:
        raise CertificationRequestRefused(RequestRefusal.WEAK_KEY, str(refused)) from None
    except asn1.DerError as problem:
        raise _malformed(str(problem)) from None


def _from_pem(data: bytes) -> bytes:
    text = data.strip()
    begin = next((one for one in _PEM_BEGIN if text.startswith(one)), None)
    end = text.find(_PEM_END)
    if begin is None or end < 0:
        raise _malformed("not a certificate request in PEM")
    try:
        return base64.b64decode(b"".join(text[len(begin) : end].split()), validate=True)
    except binascii.Error:
        raise _malformed("not base64") from None


def _read(der: bytes) -> CertificationRequest:
    start, end = asn1.content_of(der, asn1.SEQUENCE)
    outer = list(asn1.elements(der, start, end, 3))
    if [tag for tag, *_ in outer] != [asn1.SEQUENCE, asn1.SEQUENCE, _BIT_STRING]:
        raise asn1.DerError("not a certification request")
    (_, info_offset, info_start, info_end), (_, algorithm_offset, _, algorithm_end), signature = outer
    fields = list(asn1.elements(der, info_start, info_end, _INFO_FIELDS))
    tags = [tag for tag, *_ in fields]
    # Attributes are not optional in RFC 2986 §4, but left out by some who have none.
    if tags[:3] != [asn1.INTEGER, asn1.SEQUENCE, asn1.SEQUENCE] or tags[3:] not in ([_ATTRIBUTES_TAG], []):
        raise asn1.DerError("not a certification request")
    if der[fields[0][1] : fields[0][3]] != _VERSION_1:
        raise asn1.DerError("not a version 1 certification request")
    _, spki_offset, spki_start, spki_end = fields[2]
    _, key_algorithm_offset, _, key_algorithm_end = next(
        asn1.elements(der, spki_start, spki_end, 1), (0,) * 4
    )
    spki_der = der[spki_offset:spki_end]
    public_key = load_public_key(spki_der, der[key_algorithm_offset:key_algorithm_end])
    _check_strength(public_key)
    algorithm_der = der[algorithm_offset:algorithm_end]
    if not is_signature_algorithm_allowed(algorithm_der):
        raise CertificationRequestRefused(
            RequestRefusal.ALGORITHM_REFUSED, "signature algorithm is not allowed (SHA-256 or stronger is)"
        )
    _, _, bits_start, bits_end = signature
    if bits_start == bits_end or der[bits_start] != 0:
        raise asn1.DerError("the signature is not of whole bytes")
    if not verify_signature(
        public_key, algorithm_der, der[info_offset:info_end], der[bits_start + 1 : bits_end]
    ):
        raise CertificationRequestRefused(
            RequestRefusal.NO_PROOF_OF_POSSESSION, "its signature is not by the key in it"
        )
    return CertificationRequest(spki_der, public_key, hashlib.sha256(der).digest())


def _check_strength(key: PublicKey) -> None:
    if not isinstance(key, rsa.RSAPublicKey):
        return
    if key.key_size > MAX_REQUESTED_RSA_BITS:
        raise KeyRefused(
            f"RSA key of {key.key_size} bits, allowed are {MIN_RSA_BITS} to {MAX_REQUESTED_RSA_BITS}"
        )
    numbers = key.public_numbers()
    if numbers.e != _RSA_EXPONENT:
        raise KeyRefused(f"RSA exponent is not {_RSA_EXPONENT}")
    if any(numbers.n % prime == 0 for prime in _SMALL_PRIMES):
        raise KeyRefused("RSA modulus has a small factor")
    if all(numbers.n % prime in residues for prime, residues in _INFINEON_RESIDUES.items()):
        raise KeyRefused("RSA key of a generator whose keys can be factored (CVE-2017-15361)")


def _malformed(detail: str) -> CertificationRequestRefused:
    return CertificationRequestRefused(RequestRefusal.MALFORMED, detail)
