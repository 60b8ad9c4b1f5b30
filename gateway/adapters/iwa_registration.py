"""What the IWA web app keeps in a directory of its own: the key that it signs with, and under which id the
org knows it. Both files are for its user alone.

    iwa.key             P-256, made when it is missing; the org is told its public half
    registration.json   {"id", "audience", "key_id", "org"}, written by `devicetrust iwa register`
    kerberos/           the tickets that were accepted lately (`gateway.adapters.kerberos`)
"""

import json
import os
import secrets
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey

from gateway.adapters.key_files import (
    KeyFileRefused,
    create_once,
    make_keys_directory,
    new_signing_key_pem,
    read_key_file,
    read_signing_key,
    sync_directory,
)
from gateway.enrollment.iwa_keys import key_id_of
from gateway.enrollment.iwa_registration import Registration

_KEY_FILE: Final = "iwa.key"
_REGISTRATION_FILE: Final = "registration.json"
_REPLAY_DIRECTORY: Final = "kerberos"
_MEMBERS: Final = ("id", "audience", "key_id", "org")


def replay_directory(keys: str) -> str:
    return str(Path(keys, _REPLAY_DIRECTORY))


def load_or_create_key(keys: str) -> EllipticCurvePrivateKey:
    """Raises KeyFileRefused."""
    path = Path(keys, _KEY_FILE)
    try:
        make_keys_directory(keys)
        create_once(path, new_signing_key_pem())
    except OSError as error:
        raise _unusable(keys, error) from error
    return read_signing_key(str(path))


def write_registration(keys: str, key: EllipticCurvePrivateKey, iwa_id: str, audience: str, org: str) -> None:
    """In place of a former one, at once: who reads meanwhile reads either. Raises KeyFileRefused."""
    said = {"id": iwa_id, "audience": audience, "key_id": key_id_of(key.public_key()), "org": org}
    path = Path(keys, _REGISTRATION_FILE)
    unfinished = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        create_once(unfinished, json.dumps(said, indent=2).encode() + b"\n")
        unfinished.replace(path)
        sync_directory(path.parent)
    except OSError as error:
        raise _unusable(str(path), error) from error


class RegistrationFile:
    """The registration with one org, as it is at the time: `current` sees a new one by the next call."""

    def __init__(self, keys: str, org: str) -> None:
        self._key = load_or_create_key(keys)
        self._key_id = key_id_of(self._key.public_key())
        self._path = str(Path(keys, _REGISTRATION_FILE))
        self._org = org
        self._seen: tuple[int, ...] | None = None
        self._current: Registration | None = None
        self.problem = ""  # why there is none, for people

    def current(self) -> Registration | None:
        """None: there is none, or it is of another org or key, or cannot be used; `problem` says which."""
        try:
            status = os.stat(self._path)  # noqa: PTH116 - for each request
        except OSError as error:
            self._seen, self._current = None, None
            self.problem = f"{self._path}: {error.strerror}"
            return None
        seen = (status.st_mtime_ns, status.st_ino, status.st_size, status.st_mode, status.st_uid)
        if seen != self._seen:
            self._current = self._read()
            self._seen = seen
        return self._current

    def _read(self) -> Registration | None:
        try:
            said = json.loads(read_key_file(self._path))
        except KeyFileRefused as refused:
            self.problem = str(refused)
            return None
        except (ValueError, RecursionError):
            said = None
        if not isinstance(said, dict) or not all(isinstance(said.get(name), str) for name in _MEMBERS):
            self.problem = f"{self._path}: is no registration; register again"
            return None
        if said["org"] != self._org:
            self.problem = f"{self._path}: is for {said['org']}, not for {self._org}; register again"
            return None
        if said["key_id"] != self._key_id:
            self.problem = f"{self._path}: is for another key than {_KEY_FILE}; register again"
            return None
        self.problem = ""
        return Registration(said["id"], said["audience"], self._key, self._key_id)


def _unusable(path: str, error: OSError) -> KeyFileRefused:
    return KeyFileRefused(
        path, f"cannot be used: {error.strerror}", "check that it exists and that this user may write to it"
    )
