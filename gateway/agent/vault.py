"""What the agent keeps of its own, in the directory of its user:

    keys/NAME.key           private keys (other storages keep theirs themselves)
    certificates/NAME.pem   the certificate of the key NAME, and its issuers
    begun/NAME              a key that is being made, and has no certificate yet
    state.json              what is remembered from run to run
    lock                    held by the run that is at work

A certificate is here from the moment that it was received, before it is installed anywhere: a run that is
interrupted then is finished by the next one.
"""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from gateway.agent.enrolled import AnswerInvalid, certificates_of_pem, pem_of
from gateway.agent.private_files import FileRefused, make_directory, read_private, remove_file, write_private
from gateway.agent.state import State, read_state, write_state
from gateway.pki.certificate import Certificate

_SUFFIX: Final = ".pem"


class VaultFailed(Exception):
    """The directory cannot be used: which file, what is wrong, what helps."""


class AlreadyRunning(Exception):
    """Another run of this user is at work."""


class Vault:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Raises AlreadyRunning, VaultFailed. The kernel gives the lock back when the process ends, however
        it ends: no lock outlives its run."""
        path = self.directory / "lock"
        try:
            make_directory(self.directory)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        except FileRefused as error:
            raise VaultFailed(str(error)) from None
        except OSError as error:
            raise VaultFailed(f"{path}: {error.strerror}") from None
        try:
            _lock(descriptor, path)
            yield
        finally:
            os.close(descriptor)

    def state(self) -> State:
        """Raises VaultFailed only where the file must not be believed: it is open to others."""
        return read_state(self._read(self.directory / "state.json"))

    def save_state(self, state: State) -> None:
        self._write(self.directory / "state.json", write_state(state))

    def begin(self, name: str) -> None:
        """Before a key is made: so that a run that is interrupted leaves none behind. What a token of several
        persons holds does not tell whose it is; this does."""
        self._make_directory(self._begun)
        self._write(self._begun / name, b"")

    def end(self, name: str) -> None:
        """It has its certificate, or is gone."""
        self._remove(self._begun / name)

    def begun(self) -> tuple[str, ...]:
        if not self._begun.is_dir():
            return ()
        return tuple(sorted(path.name for path in self._begun.iterdir() if not path.name.startswith(".")))

    def names(self) -> tuple[str, ...]:
        """Of the keys whose certificates are here."""
        return tuple(sorted(path.stem for path in self._certificates.glob(f"*{_SUFFIX}")))

    def certificate_file(self, name: str) -> Path:
        return self._certificates / f"{name}{_SUFFIX}"

    def certificate(self, name: str) -> tuple[Certificate, ...]:
        """It, and its issuers; () for a file that holds none."""
        content = self._read(self.certificate_file(name))
        try:
            return () if content is None else certificates_of_pem(content)
        except AnswerInvalid:
            return ()

    def save_certificate(self, name: str, certificate: Certificate, chain: tuple[Certificate, ...]) -> None:
        self._make_directory(self._certificates)
        self._write(self.certificate_file(name), pem_of([certificate, *chain]))

    def remove_certificate(self, name: str) -> None:
        self._remove(self.certificate_file(name))

    @property
    def _certificates(self) -> Path:
        return self.directory / "certificates"

    @property
    def _begun(self) -> Path:
        return self.directory / "begun"

    def _make_directory(self, directory: Path) -> None:
        try:
            make_directory(directory)
        except FileRefused as error:
            raise VaultFailed(str(error)) from None
        except OSError as error:
            raise VaultFailed(f"{directory}: {error.strerror}") from None

    def _remove(self, path: Path) -> None:
        try:
            remove_file(path)
        except OSError as error:
            raise VaultFailed(f"{path}: cannot be removed: {error.strerror}") from None

    def _read(self, path: Path) -> bytes | None:
        try:
            return read_private(path)
        except FileRefused as error:
            raise VaultFailed(str(error)) from None
        except OSError as error:
            raise VaultFailed(f"{path}: cannot be read: {error.strerror}") from None

    def _write(self, path: Path, content: bytes) -> None:
        try:
            write_private(path, content)
        except OSError as error:
            raise VaultFailed(f"{path}: cannot be written: {error.strerror}") from None


def _lock(descriptor: int, path: Path) -> None:
    """Some file systems know no locks (NFS without its lock daemon): then nobody else is at work."""
    try:
        if sys.platform != "win32":
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        else:
            import msvcrt

            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES, errno.EDEADLK):
            raise AlreadyRunning from None
        raise VaultFailed(f"{path}: cannot be locked: {error.strerror}") from None
