"""The gateway's own keys as one file, to be taken to the other gateways of a fleet.

Of a keys directory only what every gateway must share goes along: the master secret (a sign-on that one
gateway began is finished by another), the keys that statements to apps are signed with, and the passphrase of
the CA's key in the store. The rest of the directory is of one gateway alone.

The file is JSON. Under a passphrase its content is sealed with AES-256-GCM and a key from scrypt (RFC 7914);
without one it is as secret as the keys are, and read only where nobody else can read it.
"""

import hmac
import json
import os
import secrets
from base64 import b64decode, b64encode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from gateway.adapters.key_files import (
    MASTER_FILE,
    GatewayKeys,
    KeyFileRefused,
    load_keys,
    load_or_create_keys,
    make_keys_directory,
    read_key_file,
    signing_key_files,
    sync_directory,
)

# Of the CA in the store; the file has this name where gateway.yaml names no other one.
CA_PASSPHRASE_FILE: Final = "ca.passphrase"  # noqa: S105 - where it is, not what it is
MIN_PASSPHRASE_CHARACTERS: Final = 12
_FORMAT: Final = "devicetrust-keys-1"
# 64 MiB and about 0.2 s: what RFC 7914 recommends for files, and OWASP at least.
_SCRYPT_COST: Final = 65_536
_SCRYPT_BLOCK: Final = 8
_SEALED_MEMBERS: Final = ("salt", "nonce", "sealed")
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_FINGERPRINT_BYTES: Final = 16


def keys_fingerprint(keys: GatewayKeys) -> str:
    """Tells whether two gateways have the same master secret, and nothing about it: 32 hexadecimal digits.

    Signing keys are left out: they are public in the JWKS, and a new one may reach the gateways one by one.
    """
    digest = hmac.digest(keys.master_secret, b"devicetrust: fingerprint of the keys", "sha256")
    return digest[:_FINGERPRINT_BYTES].hex()


def export_keys(directory: str, path: str, passphrase: bytes | None) -> str:
    """Write the keys in a directory, made where they are missing, to a new file of mode 0600; their
    fingerprint. Raises KeyFileRefused, and OSError (FileExistsError where the file is there already)."""
    keys = load_or_create_keys(directory)
    names = [MASTER_FILE, *(Path(each).name for each in signing_key_files(directory))]
    if Path(directory, CA_PASSPHRASE_FILE).exists():
        names.append(CA_PASSPHRASE_FILE)
    files = {name: b64encode(read_key_file(str(Path(directory, name)))).decode() for name in names}
    _write_new(Path(path), json.dumps(_sealed(files, passphrase), indent=1).encode() + b"\n")
    return keys_fingerprint(keys)


def is_sealed(path: str) -> bool:
    """Whether a passphrase is needed to read the file. Raises KeyFileRefused."""
    return "sealed" in _document(path)


def import_keys(path: str, directory: str, passphrase: bytes | None, *, replace: bool) -> str:
    """Put the keys of a file into a directory, which is made where it is missing; their fingerprint.

    Raises KeyFileRefused where the file is damaged, sealed with another passphrase, or where the directory
    has other keys and ``replace`` is false; nothing is changed then. Raises OSError.
    """
    files = _opened(path, passphrase)
    make_keys_directory(directory)
    present = {
        name: read_key_file(str(Path(directory, name))) for name in files if Path(directory, name).exists()
    }
    surplus = [name for name in map(_name, signing_key_files(directory)) if name not in files]
    differing = sorted([name for name, content in present.items() if content != files[name]] + surplus)
    if differing and not replace:
        raise KeyFileRefused(
            directory,
            f"has keys of its own ({', '.join(differing)})",
            "stop the gateway and import with --replace, which removes them",
        )
    for name, content in files.items():
        if present.get(name) != content:
            _put(Path(directory, name), content)
    for name in surplus:
        Path(directory, name).unlink()
    sync_directory(Path(directory))
    return keys_fingerprint(load_keys(directory))


def _name(path: str) -> str:
    return Path(path).name


def _sealed(files: Mapping[str, str], passphrase: bytes | None) -> dict[str, object]:
    if passphrase is None:
        return {"format": _FORMAT, "files": files}
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    sealed = AESGCM(_key(passphrase, salt)).encrypt(nonce, json.dumps(files).encode(), _FORMAT.encode())
    return {
        "format": _FORMAT,
        "salt": b64encode(salt).decode(),
        "nonce": b64encode(nonce).decode(),
        "sealed": b64encode(sealed).decode(),
    }


def _opened(path: str, passphrase: bytes | None) -> dict[str, bytes]:
    document = _document(path)
    try:
        files: Any = document.get("files")
        if "sealed" in document:
            salt, nonce, sealed = (b64decode(document[name], validate=True) for name in _SEALED_MEMBERS)
            files = json.loads(AESGCM(_key(passphrase or b"", salt)).decrypt(nonce, sealed, _FORMAT.encode()))
        opened = {name: b64decode(content, validate=True) for name, content in files.items()}
    except InvalidTag:
        raise KeyFileRefused(path, "cannot be opened", "check the passphrase; or export it again") from None
    except (ValueError, KeyError, TypeError, AttributeError):
        raise KeyFileRefused(path, "is damaged", "export it again") from None
    if MASTER_FILE not in opened or not all(map(_is_of_keys, opened)):
        raise KeyFileRefused(path, "does not hold the keys of a gateway", "export it again")
    return opened


def _is_of_keys(name: str) -> bool:
    return name in (MASTER_FILE, CA_PASSPHRASE_FILE) or (
        name.startswith("jwt-") and name.endswith(".pem") and name[4:-4].isdecimal()
    )


def _document(path: str) -> dict[str, str]:
    try:
        document = json.loads(read_key_file(path))
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("format") != _FORMAT:
        raise KeyFileRefused(
            path, "is no file of devicetrust keys export", "name one that this version wrote"
        )
    return document


def _key(passphrase: bytes, salt: bytes) -> bytes:
    return Scrypt(salt=salt, length=32, n=_SCRYPT_COST, r=_SCRYPT_BLOCK, p=1).derive(passphrase)


def _write_new(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        path.unlink()
        raise


def _put(path: Path, content: bytes) -> None:
    """In place of what is there, complete or not at all."""
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        _write_new(unfinished, content)
        unfinished.replace(path)
    finally:
        with suppress(FileNotFoundError):
            unfinished.unlink()
