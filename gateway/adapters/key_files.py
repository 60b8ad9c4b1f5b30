"""Private keys and secrets in files: read only where nobody else can, made once where they are missing.

Reading looks at the file that was opened, not at its name, so nothing can be swapped in between.
Symbolic links are followed, because mounted secrets are links: the target's owner and mode count. A
link's own owner is not checked; who can plant one in the directory could as well plant a file, and
that file would belong to somebody else, which is refused.
"""

import os
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Never

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from gateway.adapters.held_files import held_content, names_in, remember

# A PEM file with an RSA key of 16,384 bits has 13 KB.
MAX_KEY_FILE_BYTES: Final = 65_536
# AES-256 keys are derived from it (RFC 5869 §3.3: as long as the hash, or less).
MASTER_SECRET_BYTES: Final = 32
MASTER_FILE: Final = "master-secret"
# jwt-1.pem, jwt-2.pem …: the highest number signs, the others are still published for verification.
_JWT_KEY_PREFIX: Final = "jwt-"
_JWT_KEY_SUFFIX: Final = ".pem"


class KeyFileRefused(Exception):
    """A key file that must not be used: which one, what is wrong, and what to do about it."""

    def __init__(self, path: str, what: str, do: str) -> None:
        super().__init__(f"{path}: {what}; {do}")
        self.path = path
        self.what = what
        self.do = do


@dataclass(frozen=True, slots=True, repr=False)  # the secret must not reach a log through repr()
class GatewayKeys:
    """The gateway's own keys, shared by all its workers.

    ``master_secret`` has 32 bytes; flow and ticket keys are derived from it. ``jwt_keys`` (P-256, for
    ES256) are ordered newest first and never empty.
    """

    master_secret: bytes
    jwt_keys: tuple[ec.EllipticCurvePrivateKey, ...]


def read_key_file(path: str) -> bytes:
    """The content of a secret file. Raises KeyFileRefused where it is missing, is not a regular file,
    is larger than any key, belongs to somebody other than this process's user or root, or gives its
    group or others any access. Not checked: access control lists beyond the mode, and the content. Of a
    copy (`gateway.adapters.held_files`) nothing is checked: that was done when it was made."""
    try:
        held = held_content(path)
    except FileNotFoundError as error:
        _refuse_unreadable(path, error)
    if held is not None:
        return held
    try:
        # Non-blocking: opening a FIFO must not wait for somebody to write to it.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (OSError, ValueError) as error:
        _refuse_unreadable(path, error)
    try:
        _check_ownership(path, os.fstat(descriptor))
        with open(descriptor, "rb", closefd=False) as file:
            content = file.read(MAX_KEY_FILE_BYTES + 1)
    except OSError as error:
        _refuse_unreadable(path, error)
    finally:
        os.close(descriptor)
    if len(content) > MAX_KEY_FILE_BYTES:
        raise KeyFileRefused(
            path, f"is larger than {MAX_KEY_FILE_BYTES} bytes", "name the file of the key alone"
        )
    remember(path, content)
    return content


def _check_ownership(path: str, status: os.stat_result) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise KeyFileRefused(path, "is not a regular file", "name a file that holds the key")
    if status.st_uid not in (os.geteuid(), 0):
        raise KeyFileRefused(
            path, f"belongs to user {status.st_uid}", "make it belong to the gateway's user or root"
        )
    mode = stat.S_IMODE(status.st_mode)
    if mode & 0o077:
        raise KeyFileRefused(
            path, f"is open to its group or others (mode {mode:04o})", f"run: chmod 600 {path}"
        )


def load_or_create_keys(directory: str) -> GatewayKeys:
    """The keys in a directory (mode 0700), each made (mode 0600) where it is missing.

    Several workers and gateways may start at once: a new file appears under its name complete or not
    at all, the first one wins, and all read what it wrote. To rotate the signing key, put a file with
    the next number beside it. Raises KeyFileRefused.
    """
    try:
        make_keys_directory(directory)
        create_once(Path(directory, MASTER_FILE), secrets.token_bytes(MASTER_SECRET_BYTES))
        if not signing_key_files(directory):
            create_once(Path(directory, f"{_JWT_KEY_PREFIX}1{_JWT_KEY_SUFFIX}"), new_signing_key_pem())
    except (OSError, ValueError) as error:
        _refuse_unreadable(directory, error)
    return load_keys(directory)


def load_keys(directory: str) -> GatewayKeys:
    """The keys in a directory that has them. Makes nothing. Raises KeyFileRefused."""
    secret_path = Path(directory, MASTER_FILE)
    try:
        if held_content(str(secret_path)) is None:
            _check_directory(Path(directory))
        jwt_files = signing_key_files(directory)
    except (OSError, ValueError) as error:
        _refuse_unreadable(directory, error)
    if not jwt_files:
        raise KeyFileRefused(directory, "holds no signing key", "start the gateway once, which makes one")
    secret = read_key_file(str(secret_path))
    if len(secret) != MASTER_SECRET_BYTES:
        raise KeyFileRefused(
            str(secret_path),
            f"has {len(secret)} bytes instead of {MASTER_SECRET_BYTES}",
            "restore it, or remove it to get a new one (sign-ons under way begin again)",
        )
    return GatewayKeys(secret, tuple(read_signing_key(path) for path in jwt_files))


def make_keys_directory(directory: str) -> None:
    """See that it is there, for its owner alone. Raises KeyFileRefused and OSError."""
    path = Path(directory)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.mkdir(mode=0o700, exist_ok=True)
    _check_directory(path)


def _check_directory(directory: Path) -> None:
    status = directory.stat()
    if status.st_uid not in (os.geteuid(), 0) or status.st_mode & 0o077:
        raise KeyFileRefused(
            str(directory),
            f"is not the gateway's alone (owner {status.st_uid}, mode {stat.S_IMODE(status.st_mode):04o})",
            f"make it belong to the gateway's user and run: chmod 700 {directory}",
        )


def create_once(path: Path, content: bytes) -> None:
    """Write a new file under its final name in one step, unless there is one already. A link to a
    finished file is such a step, and unlike a rename it never replaces what another worker made."""
    if path.exists():
        return
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor opened with O_EXCL and its mode
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        try:
            path.hardlink_to(unfinished)
        except FileExistsError:
            return
    finally:
        unfinished.unlink()
    sync_directory(path.parent)


def sync_directory(directory: Path) -> None:
    """Make the new names survive a power cut: tokens signed with a key that is lost are lost too."""
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def signing_key_files(directory: str) -> list[str]:
    """Paths of the signing keys, the highest number first."""
    numbered: list[tuple[int, str]] = []
    for name in names_in(directory):
        number = name.removeprefix(_JWT_KEY_PREFIX).removesuffix(_JWT_KEY_SUFFIX)
        if name == f"{_JWT_KEY_PREFIX}{number}{_JWT_KEY_SUFFIX}" and number.isdecimal():
            numbered.append((int(number), str(Path(directory, name))))
    return [path for _, path in sorted(numbered, reverse=True)]


def new_signing_key_pem() -> bytes:
    """A new P-256 key, not encrypted."""
    key = ec.generate_private_key(ec.SECP256R1())
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def read_signing_key(path: str) -> ec.EllipticCurvePrivateKey:
    """A P-256 key in PEM form. Raises KeyFileRefused."""
    try:
        key = load_pem_private_key(read_key_file(path), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KeyFileRefused(
            path, "holds no unencrypted private key in PEM form", "restore it, or remove it to get a new one"
        ) from error
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise KeyFileRefused(path, "is not a P-256 key", "replace it by a P-256 key, which ES256 needs")
    return key


def _refuse_unreadable(path: str, error: OSError | ValueError) -> Never:
    what = f"cannot be used: {error.strerror}" if isinstance(error, OSError) else "is not the path of a file"
    raise KeyFileRefused(path, what, "check that it exists and that the gateway's user may use it") from error
