"""Keys in files, mode 0600: where there is no TPM, or none that browsers can use."""

from pathlib import Path
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.agent.keys.device_key import KeyFailed
from gateway.agent.keys.requests import certification_request
from gateway.agent.platform import KeyFile
from gateway.agent.private_files import FileRefused, make_directory, read_private, remove_file, write_private

STORAGE: Final = "file"
_SUFFIX: Final = ".key"
_REMEDY: Final = "Without it the agent makes a new one, with a new certificate."


class FileKey:
    def __init__(self, name: str, path: Path, key: ec.EllipticCurvePrivateKey) -> None:
        self.name = name
        self._path = path
        self._key = key

    @property
    def storage(self) -> str:
        return STORAGE

    @property
    def place(self) -> KeyFile:
        return KeyFile(self._path)

    def public_key(self) -> ec.EllipticCurvePublicKey:
        return self._key.public_key()

    def sign(self, data: bytes) -> bytes:
        return self._key.sign(data, ec.ECDSA(hashes.SHA256()))

    def certification_request(self) -> bytes:
        return certification_request(self)


class FileKeys:
    """All keys in one directory, which is their user's alone."""

    storage: Final = STORAGE

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def create(self, name: str) -> FileKey:
        key = ec.generate_private_key(ec.SECP256R1())
        path = self._path(name)
        try:
            make_directory(self._directory)
            write_private(path, key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        except FileRefused as refused:
            raise KeyFailed(str(refused)) from None
        except OSError as error:
            raise KeyFailed(f"{path}: cannot be written: {error.strerror}") from None
        return FileKey(name, path, key)

    def open(self, name: str) -> FileKey | None:
        path = self._path(name)
        try:
            content = read_private(path)
        except FileRefused as refused:
            raise KeyFailed(str(refused)) from None
        except OSError as error:
            raise KeyFailed(f"{path}: cannot be read: {error.strerror}", _REMEDY) from None
        if content is None:
            return None
        try:
            key = load_pem_private_key(content, password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm):
            raise KeyFailed(f"{path}: holds no private key", _REMEDY) from None
        if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
            raise KeyFailed(f"{path}: holds no P-256 key", _REMEDY)
        return FileKey(name, path, key)

    def delete(self, name: str) -> None:
        path = self._path(name)
        try:
            remove_file(path)
        except OSError as error:
            raise KeyFailed(f"{path}: cannot be removed: {error.strerror}") from None

    def names(self) -> frozenset[str]:
        return frozenset(path.stem for path in self._directory.glob(f"*{_SUFFIX}"))

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}{_SUFFIX}"
