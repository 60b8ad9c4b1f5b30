"""A secret that only one TPM can open, and only for one of its keys (TPM 2.0 Library, Part 1 §24).

It is encrypted to the TPM's endorsement key together with the name of an attestation key.
TPM2_ActivateCredential gives it out if both keys are in the same TPM: so whoever knows the secret afterwards
has that attestation key in the TPM whose endorsement key is in the vendor's certificate.

Nobody sends the parameters of the endorsement key: they follow from its kind, by the TCG's EK Credential
Profile, Annex B.
"""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.decrepit.ciphers.modes import CFB
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms

from gateway.enrollment.tpm_structures import TpmPublicKey, sized

# Shorter than the digest of every kind of endorsement key, as TPM2_MakeCredential wants it.
SECRET_BYTES: Final = 32
SEED_BYTES: Final = 64  # as many as the longest digest has; shorter ones take what they need
_IDENTITY: Final = b"IDENTITY\0"


class EndorsementKeyRefused(Exception):
    """A key of a kind that no template for endorsement keys has."""


@dataclass(frozen=True, slots=True)
class Credential:
    """What TPM2_ActivateCredential takes, without the lengths of the TPM2Bs around them."""

    credential_blob: bytes  # TPMS_ID_OBJECT
    encrypted_secret: bytes


@dataclass(frozen=True, slots=True)
class _Template:
    hash: hashes.HashAlgorithm
    symmetric_bits: int

    @property
    def digest_name(self) -> str:
        return self.hash.name

    @property
    def digest_bits(self) -> int:
        return self.hash.digest_size * 8


def make_credential(endorsement_key: TpmPublicKey, name: bytes, secret: bytes, seed: bytes) -> Credential:
    """``name`` is that of the attestation key, ``secret`` at most `SECRET_BYTES`; ``seed`` are `SEED_BYTES`
    unpredictable bytes. Raises EndorsementKeyRefused."""
    template = _template(endorsement_key)
    if isinstance(endorsement_key, rsa.RSAPublicKey):
        # Part 1 §B.10.3: OAEP with the hash of the template, and the label with its NUL.
        used = seed[: template.hash.digest_size]
        oaep = padding.OAEP(padding.MGF1(template.hash), template.hash, _IDENTITY)
        encrypted_secret = endorsement_key.encrypt(used, oaep)
    else:
        used, encrypted_secret = _shared_seed(endorsement_key, template)
    key = _kdfa(template, used, b"STORAGE\0", name, template.symmetric_bits)
    encryptor = Cipher(algorithms.AES(key), CFB(bytes(16))).encryptor()
    encrypted = encryptor.update(sized(secret)) + encryptor.finalize()
    mac_key = _kdfa(template, used, b"INTEGRITY\0", b"", template.digest_bits)
    mac = hmac.digest(mac_key, encrypted + name, template.digest_name)
    return Credential(sized(mac) + encrypted, encrypted_secret)


def _template(key: TpmPublicKey) -> _Template:
    """L-1, L-2, and the high range (H-2 to H-7) of the profile."""
    if isinstance(key, rsa.RSAPublicKey):
        small, known = key.key_size == 2_048, key.key_size in (2_048, 3_072, 4_096)
        template = _Template(hashes.SHA256(), 128) if small else _Template(hashes.SHA384(), 256)
    else:
        by_curve = {
            "secp256r1": _Template(hashes.SHA256(), 128),
            "secp384r1": _Template(hashes.SHA384(), 256),
            "secp521r1": _Template(hashes.SHA512(), 256),
        }
        known = key.curve.name in by_curve
        template = by_curve.get(key.curve.name, _Template(hashes.SHA256(), 128))
    if not known:
        raise EndorsementKeyRefused("the endorsement key is of a kind that no TPM has by default")
    return template


def _shared_seed(endorsement_key: ec.EllipticCurvePublicKey, template: _Template) -> tuple[bytes, bytes]:
    """Part 1 §C.6.1: one-pass Diffie-Hellman with a key of this moment. (seed, TPMS_ECC_POINT)."""
    ephemeral = ec.generate_private_key(endorsement_key.curve)
    width = (endorsement_key.curve.key_size + 7) // 8
    mine, theirs = ephemeral.public_key().public_numbers(), endorsement_key.public_numbers()
    x, y = mine.x.to_bytes(width), mine.y.to_bytes(width)
    # Part 1 §11.4.10.3, KDFe: one round, since the seed is as long as a digest.
    shared = ephemeral.exchange(ec.ECDH(), endorsement_key)
    counted = (1).to_bytes(4) + shared + _IDENTITY + x + theirs.x.to_bytes(width)
    return hashlib.new(template.digest_name, counted).digest(), sized(x) + sized(y)


def _kdfa(template: _Template, key: bytes, label: bytes, context: bytes, bits: int) -> bytes:
    """Part 1 §11.4.10.2; one round is enough for all that is derived here. The label ends with its NUL."""
    counted = (1).to_bytes(4) + label + context + bits.to_bytes(4)
    return hmac.digest(key, counted, template.digest_name)[: bits // 8]
