"""A TPM without hardware: it makes the structures of a real one, also false ones, and opens credentials.

What it signs is whatever a test wants to have signed, which is what no real TPM does. Its opening of
credentials is written from the specification's other side (TPM 2.0 Library Part 3 §12.5), not from our code.
"""

import hashlib
import hmac
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from support.forge import DAY, NOW, Forged, forge, forge_authority

PrivateKey = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

FIXED_TPM, FIXED_PARENT, SENSITIVE_DATA_ORIGIN = 1 << 1, 1 << 4, 1 << 5
USER_WITH_AUTH, RESTRICTED, DECRYPT, SIGN = 1 << 6, 1 << 16, 1 << 17, 1 << 18
DEVICE_KEY = FIXED_TPM | FIXED_PARENT | SENSITIVE_DATA_ORIGIN | USER_WITH_AUTH | SIGN
ATTESTATION_KEY = DEVICE_KEY | RESTRICTED
EK_CERTIFICATE = x509.ObjectIdentifier("2.23.133.8.1")
_CURVES = {"secp256r1": 3, "secp384r1": 4, "secp521r1": 5}
_HASHES: dict[int, hashes.HashAlgorithm] = {
    0x0B: hashes.SHA256(),
    0x0C: hashes.SHA384(),
    0x0D: hashes.SHA512(),
}


def sized(data: bytes) -> bytes:
    return len(data).to_bytes(2) + data


def public_area(
    key: PrivateKey, attributes: int, *, name_algorithm: int = 0x0B, scheme: bytes = bytes.fromhex("0010")
) -> bytes:
    """TPMT_PUBLIC."""
    head = name_algorithm.to_bytes(2) + attributes.to_bytes(4) + sized(b"") + bytes.fromhex("0010") + scheme
    if isinstance(key, rsa.RSAPrivateKey):
        modulus = key.public_key().public_numbers().n.to_bytes(key.key_size // 8)
        return (1).to_bytes(2) + head + key.key_size.to_bytes(2) + bytes(4) + sized(modulus)
    numbers, width = key.public_key().public_numbers(), (key.key_size + 7) // 8
    curve = _CURVES[key.curve.name].to_bytes(2)
    point = sized(numbers.x.to_bytes(width)) + sized(numbers.y.to_bytes(width))
    return (0x23).to_bytes(2) + head + curve + bytes.fromhex("0010") + point


def name_of(public: bytes) -> bytes:
    algorithm = int.from_bytes(public[2:4])
    return public[2:4] + hashlib.new(_HASHES[algorithm].name, public).digest()


def certify_info(name: bytes, extra_data: bytes, *, magic: int = 0xFF544347, kind: int = 0x8017) -> bytes:
    """TPMS_ATTEST of TPM2_Certify."""
    head = magic.to_bytes(4) + kind.to_bytes(2) + sized(b"\x00\x0bqualified") + sized(extra_data)
    return head + bytes(17 + 8) + sized(name) + sized(b"\x00\x0bqualified")


def signature(key: PrivateKey, signed: bytes, *, pss: bool = False, hash_id: int = 0x0B) -> bytes:
    """TPMT_SIGNATURE."""
    algorithm = _HASHES[hash_id]
    if isinstance(key, rsa.RSAPrivateKey):
        scheme = (
            padding.PSS(padding.MGF1(algorithm), padding.PSS.DIGEST_LENGTH) if pss else padding.PKCS1v15()
        )
        kind = 0x16 if pss else 0x14
        return kind.to_bytes(2) + hash_id.to_bytes(2) + sized(key.sign(signed, scheme, algorithm))
    r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(algorithm)))
    width = (key.key_size + 7) // 8
    return (0x18).to_bytes(2) + hash_id.to_bytes(2) + sized(r.to_bytes(width)) + sized(s.to_bytes(width))


@cache
def rsa_key(number: int = 0, bits: int = 2_048) -> rsa.RSAPrivateKey:
    """Making one takes a while: tests share a few."""
    return rsa.generate_private_key(65_537, bits)


def open_credential(ek: PrivateKey, name: bytes, blob: bytes, encrypted_secret: bytes) -> bytes | None:
    """What TPM2_ActivateCredential gives out; None where it gives nothing. The key's parameters are those of
    the EK Credential Profile's templates."""
    if isinstance(ek, rsa.RSAPrivateKey):
        algorithm, bits = ("sha256", 128) if ek.key_size == 2_048 else ("sha384", 256)
        used = hashes.SHA256() if algorithm == "sha256" else hashes.SHA384()
        seed = ek.decrypt(encrypted_secret, padding.OAEP(padding.MGF1(used), used, b"IDENTITY\x00"))
    else:
        algorithm, bits = {
            "secp256r1": ("sha256", 128),
            "secp384r1": ("sha384", 256),
            "secp521r1": ("sha512", 256),
        }[ek.curve.name]
        width = (ek.key_size + 7) // 8
        x, y = encrypted_secret[2 : 2 + width], encrypted_secret[4 + width :]
        point = ec.EllipticCurvePublicNumbers(int.from_bytes(x), int.from_bytes(y), ek.curve).public_key()
        mine = ek.public_key().public_numbers().x.to_bytes(width)
        shared = ek.exchange(ec.ECDH(), point)
        seed = hashlib.new(algorithm, b"\x00\x00\x00\x01" + shared + b"IDENTITY\x00" + x + mine).digest()
    size = int.from_bytes(blob[:2])
    mac, encrypted = blob[2 : 2 + size], blob[2 + size :]
    digest_bits = hashlib.new(algorithm).digest_size * 8
    mac_key = hmac.digest(seed, b"\0\0\0\1INTEGRITY\0" + digest_bits.to_bytes(4), algorithm)
    if not hmac.compare_digest(hmac.digest(mac_key, encrypted + name, algorithm), mac):
        return None
    key = hmac.digest(seed, b"\0\0\0\1STORAGE\0" + name + bits.to_bytes(4), algorithm)[: bits // 8]
    plain, before = b"", bytes(16)
    for at in range(0, len(encrypted), 16):  # CFB, block by block
        stream = Cipher(algorithms.AES(key), modes.ECB()).encryptor().update(before)
        before = encrypted[at : at + 16]
        plain += bytes(a ^ b for a, b in zip(before, stream, strict=False))
    return plain[2 : 2 + int.from_bytes(plain[:2])]


VENDOR = forge_authority("TPM vendor")


def endorsement_certificate(ek: PrivateKey, vendor: Forged = VENDOR, **changes: Any) -> bytes:
    """As vendors make it: no subject, the TPM named by a critical directoryName, an encryption key."""
    is_rsa = isinstance(ek, rsa.RSAPrivateKey)
    usage = x509.KeyUsage(False, False, is_rsa, False, not is_rsa, False, False, False, False)
    tpm = x509.Name(
        [
            x509.NameAttribute(x509.ObjectIdentifier("2.23.133.2.1"), "id:00001014"),
            x509.NameAttribute(x509.ObjectIdentifier("2.23.133.2.2"), "soft"),
            x509.NameAttribute(x509.ObjectIdentifier("2.23.133.2.3"), "id:20191023"),
        ]
    )
    extensions = [
        (x509.BasicConstraints(False, None), True),
        (usage, True),
        (x509.ExtendedKeyUsage(changes.pop("usages", [EK_CERTIFICATE])), False),
        (x509.SubjectAlternativeName([x509.DirectoryName(tpm)]), True),
    ]
    dates = {"not_after": NOW + 3000 * DAY} | changes  # as long as a computer lives, and longer
    return forge(x509.Name([]), vendor, key=ek, extensions=extensions, **dates).der


@dataclass
class SoftwareTpm:
    """``attributes`` are what it claims of its keys."""

    ek: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    ak: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    key: PrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))
    ak_attributes: int = ATTESTATION_KEY
    key_attributes: int = DEVICE_KEY

    @property
    def ek_certificate(self) -> bytes:
        return endorsement_certificate(self.ek)

    @property
    def ak_public(self) -> bytes:
        return public_area(self.ak, self.ak_attributes)

    @property
    def key_public(self) -> bytes:
        return public_area(self.key, self.key_attributes)

    @property
    def key_spki(self) -> bytes:
        return self.key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)

    def certify(self, extra_data: bytes) -> tuple[bytes, bytes]:
        info = certify_info(name_of(self.key_public), extra_data)
        return info, signature(self.ak, info)
