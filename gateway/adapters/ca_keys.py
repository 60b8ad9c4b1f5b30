"""The keys of the built-in authority: made, encrypted, and opened to sign with.

An issuing key stands in the store as PKCS#8, encrypted with a passphrase that is not there: whoever has a
copy of the store alone cannot issue. A root's key goes to a file of the operator's choice, to go offline.
"""

import os
import secrets
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.adapters.key_files import KeyFileRefused, read_key_file
from gateway.adapters.pkcs11_keys import PKCS11_PREFIX, Pkcs11Login, open_pkcs11_key
from gateway.model.issued import AuthorityKind, AuthorityRecord
from gateway.model.settings import CaSettings
from gateway.pki.signature import PublicKey
from gateway.pki.signer import ECDSA_WITH_SHA384, Signer, SigningFailed, algorithm_for

PASSPHRASE_VARIABLE: Final = "DEVICETRUST_CA_PASSPHRASE"  # noqa: S105 - where it is, not what it is
PASSPHRASE_FILE: Final = "ca.passphrase"  # noqa: S105 - where it is, not what it is
KEY_KINDS: Final = ("ecdsa-p256", "rsa-3072")
_PASSPHRASE_BYTES: Final = 32
_RSA_BITS: Final = 3072
# A key that is opened twice at once costs no more than time.
_MAX_OPEN_KEYS: Final = 16

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


class LocalSigner:
    """A key in this process's memory. May be used by several threads."""

    def __init__(self, key: PrivateKey) -> None:
        self._key = key
        self.public_key: PublicKey = key.public_key()
        self.algorithm_der = algorithm_for(self.public_key)

    def sign(self, signed: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(signed, padding.PKCS1v15(), hashes.SHA256())
        digest = hashes.SHA384() if self.algorithm_der == ECDSA_WITH_SHA384 else hashes.SHA256()
        return self._key.sign(signed, ec.ECDSA(digest))


class CaKeys:
    """The signers of the authorities in the store, each opened once. ``settings`` gives those in force."""

    def __init__(self, settings: Callable[[], CaSettings], keys_directory: str) -> None:
        self._settings = settings
        self._keys_directory = keys_directory
        self._lock = threading.Lock()
        self._open: dict[str, Signer] = {}

    def signer(self, authority: AuthorityRecord) -> Signer:
        """Raises SigningFailed, with a sentence that names the key, where it cannot be opened."""
        with self._lock:
            found = self._open.get(authority.id)
            if found is None:
                found = self._opened(authority)
                if len(self._open) >= _MAX_OPEN_KEYS:
                    self._open.clear()
                self._open[authority.id] = found
            return found

    def _opened(self, authority: AuthorityRecord) -> Signer:
        settings = self._settings()
        if authority.key_reference is not None:
            if not authority.key_reference.startswith(PKCS11_PREFIX):
                raise SigningFailed(f"the key of {authority.name} is in a place that is not known here")
            return open_pkcs11_key(authority.key_reference, pkcs11_login(settings))
        if authority.key_pem is None:
            where = "offline: name its file" if authority.kind is AuthorityKind.ROOT else "not in the store"
            raise SigningFailed(f"the key of {authority.name} is {where}")
        try:
            passphrase = read_passphrase(settings, self._keys_directory)
        except KeyFileRefused as refused:
            raise SigningFailed(str(refused)) from None
        return LocalSigner(decrypted(authority.key_pem, passphrase, f"key of {authority.name} in the store"))


def pkcs11_login(settings: CaSettings) -> Pkcs11Login:
    """Raises SigningFailed where gateway.yaml does not say which library to load."""
    if settings.pkcs11_module is None:
        raise SigningFailed("the key is in an HSM; set device_trust.ca.pkcs11_module to its PKCS#11 library")
    return Pkcs11Login(settings.pkcs11_module, settings.pkcs11_pin_file)


def new_key(kind: str) -> PrivateKey:
    """``kind`` is one of KEY_KINDS."""
    if kind == "rsa-3072":
        return rsa.generate_private_key(65537, _RSA_BITS)
    assert kind == "ecdsa-p256"
    return ec.generate_private_key(ec.SECP256R1())


def encrypted(key: PrivateKey, passphrase: bytes) -> bytes:
    """PKCS#8 in PEM, encrypted (PBES2; RFC 8018)."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(passphrase))


def decrypted(pem: bytes, passphrase: bytes | None, what: str) -> PrivateKey:
    """Raises SigningFailed; ``what`` names the key in it."""
    try:
        key = load_pem_private_key(pem, passphrase)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SigningFailed(f"the {what} cannot be opened: wrong passphrase, or no private key") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise SigningFailed(f"the {what} is neither ECDSA nor RSA")
    return key


def read_passphrase(settings: CaSettings, keys_directory: str) -> bytes:
    """From the environment, else from the file. Raises KeyFileRefused."""
    given = os.environ.get(PASSPHRASE_VARIABLE)
    if given:
        return given.encode()
    path = passphrase_path(settings, keys_directory)
    passphrase = read_key_file(path).strip()
    if not passphrase:
        raise KeyFileRefused(path, "is empty", "restore it: the issuing key cannot be opened without it")
    return passphrase


def make_passphrase(settings: CaSettings, keys_directory: str) -> bytes:
    """The passphrase, made where there is none yet. Raises KeyFileRefused and OSError."""
    path = Path(passphrase_path(settings, keys_directory))
    if not os.environ.get(PASSPHRASE_VARIABLE) and not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_secret(path, secrets.token_urlsafe(_PASSPHRASE_BYTES).encode() + b"\n")
    return read_passphrase(settings, keys_directory)


def passphrase_path(settings: CaSettings, keys_directory: str) -> str:
    return settings.passphrase_file or str(Path(keys_directory, PASSPHRASE_FILE))


def write_secret(path: Path, content: bytes) -> None:
    """A new file of mode 0600, on the disk when this returns. Raises FileExistsError where there is one."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
