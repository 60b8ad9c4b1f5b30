"""The structures of a TPM 2.0 that attestation reads (TCG TPM 2.0 Library, Part 2), as frozen values.

Everything is big-endian; a TPM2B is a length of two bytes and that many bytes (Part 2 §10.4). A reader ends
where its structure ends, or refuses. What is larger than a TPM of today makes it is refused before it is
read. Read are RSA and ECC keys; whatever else a TPM may have (symmetric keys, sealed data, other signature
schemes) is refused by name.
"""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntFlag
from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

# An RSA key of 4096 bits takes some 550 bytes; a signature by it 518.
MAX_STRUCTURE_BYTES: Final = 2_048

# Part 2 §6.3, TPM_ALG_ID.
_RSA: Final = 0x0001
_NULL: Final = 0x0010
_RSASSA: Final = 0x0014
_RSAPSS: Final = 0x0016
_ECDSA: Final = 0x0018
_ECC: Final = 0x0023
# Part 2 §6.2 and §6.9.
_GENERATED: Final = 0xFF544347
_ATTEST_CERTIFY: Final = 0x8017
# Part 2 §10.11.1, TPMS_CLOCK_INFO: clock, resetCount, restartCount, safe. After it the firmware version.
_CLOCK_INFO_BYTES: Final = 8 + 4 + 4 + 1
_FIRMWARE_VERSION_BYTES: Final = 8
_DEFAULT_EXPONENT: Final = 65_537  # where the structure has 0 (Part 2 §12.2.3.5)
_MIN_RSA_BITS: Final = 2_048
_MAX_RSA_BITS: Final = 4_096

HASHES: Final[Mapping[int, Callable[[bytes], bytes]]] = {
    0x000B: lambda data: hashlib.sha256(data).digest(),
    0x000C: lambda data: hashlib.sha384(data).digest(),
    0x000D: lambda data: hashlib.sha512(data).digest(),
}
_HASH_ALGORITHMS: Final[Mapping[int, hashes.HashAlgorithm]] = {
    0x000B: hashes.SHA256(),
    0x000C: hashes.SHA384(),
    0x000D: hashes.SHA512(),
}
# Part 2 §6.4, TPM_ECC_CURVE.
_CURVES: Final[Mapping[int, ec.EllipticCurve]] = {
    0x0003: ec.SECP256R1(),
    0x0004: ec.SECP384R1(),
    0x0005: ec.SECP521R1(),
}

TpmPublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey


class TpmStructureInvalid(Exception):
    """Not the structure that was expected, or one of a kind that is not read here. The detail says which."""


class ObjectAttributes(IntFlag):
    """Part 2 §8.3, TPMA_OBJECT; those that are looked at."""

    FIXED_TPM = 1 << 1
    FIXED_PARENT = 1 << 4
    SENSITIVE_DATA_ORIGIN = 1 << 5
    RESTRICTED = 1 << 16
    DECRYPT = 1 << 17
    SIGN = 1 << 18


@dataclass(frozen=True, slots=True)
class TpmPublic:
    """The public area of a key (Part 2 §12.2.4, TPMT_PUBLIC). ``name`` is what the TPM calls the object: the
    digest of this very area, with the algorithm in front (Part 1 §16)."""

    name: bytes
    attributes: ObjectAttributes
    public_key: TpmPublicKey


@dataclass(frozen=True, slots=True)
class Certified:
    """What TPM2_Certify says of an object (Part 2 §10.12.12, TPMS_ATTEST with TPMS_CERTIFY_INFO)."""

    extra_data: bytes  # the caller's qualifyingData
    name: bytes


@dataclass(frozen=True, slots=True)
class TpmSignature:
    """Part 2 §11.3.4, TPMT_SIGNATURE."""

    scheme: int
    hash: hashes.HashAlgorithm
    signature: bytes  # as the scheme has it; of ECDSA the DER of r and s

    def is_by(self, key: TpmPublicKey, signed: bytes) -> bool:
        """Whether ``key`` made it over ``signed``. Never raises for what is in the signature."""
        from cryptography.exceptions import InvalidSignature

        try:
            if isinstance(key, rsa.RSAPublicKey) and self.scheme in (_RSASSA, _RSAPSS):
                # Part 1 §B.7: the salt is as long as fits, or as the digest.
                pss = padding.PSS(padding.MGF1(self.hash), padding.PSS.AUTO)
                scheme = pss if self.scheme == _RSAPSS else padding.PKCS1v15()
                key.verify(self.signature, signed, scheme, self.hash)
            elif isinstance(key, ec.EllipticCurvePublicKey) and self.scheme == _ECDSA:
                key.verify(self.signature, signed, ec.ECDSA(self.hash))
            else:
                return False
        except InvalidSignature:
            return False
        return True


def read_public(data: bytes) -> TpmPublic:
    """A TPMT_PUBLIC, without the length of a TPM2B_PUBLIC around it. Raises TpmStructureInvalid."""
    reader = _Reader(data)
    kind, name_algorithm = reader.number(2), reader.number(2)
    if name_algorithm not in HASHES:
        raise TpmStructureInvalid(f"a name by algorithm {name_algorithm:#06x}; SHA-256, 384 and 512 are read")
    attributes = ObjectAttributes(reader.number(4) & sum(ObjectAttributes))
    reader.sized()  # authPolicy
    if kind == _RSA:
        public_key: TpmPublicKey = _rsa_key(reader)
    elif kind == _ECC:
        public_key = _ecc_key(reader)
    else:
        raise TpmStructureInvalid(f"an object of type {kind:#06x}; RSA and ECC keys are read")
    reader.end()
    return TpmPublic(name_algorithm.to_bytes(2) + HASHES[name_algorithm](data), attributes, public_key)


def read_certified(data: bytes) -> Certified:
    """A TPMS_ATTEST by TPM2_Certify. Raises TpmStructureInvalid, also for one of another command."""
    reader = _Reader(data)
    if reader.number(4) != _GENERATED:
        raise TpmStructureInvalid("not made by a TPM (TPM_GENERATED)")
    kind = reader.number(2)
    if kind != _ATTEST_CERTIFY:
        raise TpmStructureInvalid(f"an attestation of type {kind:#06x}, not of TPM2_Certify")
    reader.sized()  # qualifiedSigner: hangs on the parents of the signing key, which are not known here
    extra_data = reader.sized()
    reader.take(_CLOCK_INFO_BYTES + _FIRMWARE_VERSION_BYTES)
    name = reader.sized()
    reader.sized()  # qualifiedName
    reader.end()
    return Certified(extra_data, name)


def read_signature(data: bytes) -> TpmSignature:
    """Raises TpmStructureInvalid."""
    reader = _Reader(data)
    scheme, hash_algorithm = reader.number(2), reader.number(2)
    if hash_algorithm not in _HASH_ALGORITHMS:
        raise TpmStructureInvalid(
            f"a signature with hash {hash_algorithm:#06x}; SHA-256, 384 and 512 are read"
        )
    if scheme in (_RSASSA, _RSAPSS):
        signature = reader.sized()
    elif scheme == _ECDSA:
        r, s = (int.from_bytes(reader.sized(limit=66)) for _ in range(2))
        signature = encode_dss_signature(r, s)
    else:
        raise TpmStructureInvalid(f"a signature of scheme {scheme:#06x}; RSASSA, RSAPSS and ECDSA are read")
    reader.end()
    return TpmSignature(scheme, _HASH_ALGORITHMS[hash_algorithm], signature)


def sized(data: bytes) -> bytes:
    """A TPM2B of it."""
    return len(data).to_bytes(2) + data


class _Reader:
    def __init__(self, data: bytes) -> None:
        if len(data) > MAX_STRUCTURE_BYTES:
            raise TpmStructureInvalid(f"larger than {MAX_STRUCTURE_BYTES} bytes")
        self._data = data
        self._at = 0

    def take(self, count: int) -> bytes:
        taken = self._data[self._at : self._at + count]
        if len(taken) != count:
            raise TpmStructureInvalid("truncated")
        self._at += count
        return taken

    def number(self, count: int) -> int:
        return int.from_bytes(self.take(count))

    def sized(self, *, limit: int = MAX_STRUCTURE_BYTES) -> bytes:
        size = self.number(2)
        if size > limit:
            raise TpmStructureInvalid(f"a part of {size} bytes, where at most {limit} make sense")
        return self.take(size)

    def end(self) -> None:
        if self._at != len(self._data):
            raise TpmStructureInvalid("something comes after its end")

    def algorithm_with_hash(self) -> None:
        """A scheme, with its hash unless it is TPM_ALG_NULL (Part 2 §11.2)."""
        if self.number(2) != _NULL:
            self.number(2)


def _symmetric(reader: _Reader) -> None:
    """Part 2 §11.1.6, TPMT_SYM_DEF_OBJECT: of a storage key, which must not sign; else TPM_ALG_NULL."""
    if reader.number(2) != _NULL:
        reader.take(4)  # keyBits, mode


def _rsa_key(reader: _Reader) -> rsa.RSAPublicKey:
    """Part 2 §12.2.3.5, TPMS_RSA_PARMS, and the modulus."""
    _symmetric(reader)
    reader.algorithm_with_hash()
    bits, exponent = reader.number(2), reader.number(4) or _DEFAULT_EXPONENT
    modulus = int.from_bytes(reader.sized())
    if not _MIN_RSA_BITS <= bits <= _MAX_RSA_BITS or modulus.bit_length() != bits:
        raise TpmStructureInvalid(f"an RSA key of {modulus.bit_length()} bits")
    try:
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        raise TpmStructureInvalid("not an RSA key") from None


def _ecc_key(reader: _Reader) -> ec.EllipticCurvePublicKey:
    """Part 2 §12.2.3.6, TPMS_ECC_PARMS, and the point."""
    _symmetric(reader)
    reader.algorithm_with_hash()
    curve_id = reader.number(2)
    reader.algorithm_with_hash()  # kdf
    curve = _CURVES.get(curve_id)
    if curve is None:
        raise TpmStructureInvalid(f"a key on curve {curve_id:#06x}; P-256, P-384 and P-521 are read")
    x, y = (int.from_bytes(reader.sized(limit=66)) for _ in range(2))
    try:
        return ec.EllipticCurvePublicNumbers(x, y, curve).public_key()
    except ValueError:
        raise TpmStructureInvalid("not a point of its curve") from None
