"""One NSS database: what is in it, putting a certificate with its key in, and taking one out.

Done by certutil, pk12util and modutil (Debian: libnss3-tools), and by libnss3 where these cannot
(`nss_child`). Databases of the old format (cert8.db) are not read: browsers have not for years.
"""

import base64
import json
import os
import re
import secrets
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    load_pem_private_key,
    pkcs12,
)

from gateway.agent.certificate_names import issuer_common_name
from gateway.agent.commands import Commands, Finished
from gateway.agent.platform import (
    Credential,
    FoundCertificate,
    KeyFile,
    ModuleKey,
    PlatformFailed,
    StoreKind,
)

CHILD: Final = "gateway.agent.stores.nss_child"
NICKNAME: Final = "Device Trust"
PACKAGES: Final = dict.fromkeys(("certutil", "pk12util", "modutil"), "libnss3-tools")
# One person's certificates; more is not one person's database.
MAX_CERTIFICATES: Final = 1_000

# `nickname   u,u,u`: nicknames may hold spaces, so that the end of the line decides.
_ROW: Final = re.compile(r"(?P<nickname>.*\S)\s+[a-zA-Z]*,[a-zA-Z]*,[a-zA-Z]*\s*")
_BUSY_REMEDY: Final = "a browser may be writing to it: it is tried again at the next run"


class NssDatabase:
    """``directory`` holds cert9.db and key4.db, or will."""

    def __init__(self, directory: Path, kind: StoreKind, commands: Commands) -> None:
        self.directory = directory
        self.kind = kind
        self._commands = commands

    def __str__(self) -> str:
        return str(self.directory)

    @property
    def exists(self) -> bool:
        return (self.directory / "cert9.db").exists()

    def create(self) -> None:
        """Without a password, as browsers make theirs. Raises PlatformFailed."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise PlatformFailed(f"{self.directory}: {error.strerror or error}") from error
        self._check(self._run("certutil", "-N", "--empty-password"), "cannot be made")

    def find(self, issuer_common_names: Sequence[str]) -> tuple[FoundCertificate, ...]:
        """All whose issuer has one of these common names. Raises PlatformFailed."""
        if not self.exists:
            return ()
        found = [
            (nickname, der)
            for nickname, der in self._certificates()
            if issuer_common_name(der) in issuer_common_names
        ]
        keys = self._ask("keys", [der for _, der in found])
        return tuple(
            FoundCertificate(self.kind, str(self.directory), nickname, der, has_key)
            for (nickname, der), has_key in zip(found, keys, strict=True)
        )

    def install(self, credential: Credential) -> bool:
        """Put certificate and key in, beside what is there; False where both are there already. Raises
        PlatformFailed."""
        if not self.exists:
            self.create()
        if self._ask("keys", [credential.certificate_der]) == [True]:
            return False
        match credential.key:
            case KeyFile(path):
                self._import(credential, path)
            case ModuleKey() as key:
                paired = self._pair(credential, key)
                if key.pin:  # NSS shows such a key to nobody before it was told the PIN
                    return paired
            case _:
                raise PlatformFailed(f"{self.directory}: cannot use a key that another store keeps")
        if self._ask("keys", [credential.certificate_der]) != [True]:
            raise PlatformFailed(f"{self.directory}: has the certificate now, but not its key")
        return True

    def remove(self, found: FoundCertificate) -> None:
        """The certificate and its key; nothing else with the same name. Raises PlatformFailed."""
        if self._ask("remove", [found.certificate_der]) != [True]:
            raise PlatformFailed(
                f"{self.directory}: the certificate {found.handle!r} cannot be removed",
                remedy=_BUSY_REMEDY,
                transient=True,
            )

    def _certificates(self) -> list[tuple[str, bytes]]:
        listing = self._check(self._run("certutil", "-L", "-h", "all"), "cannot be read")
        rows = (_ROW.fullmatch(line) for line in listing.output.decode(errors="replace").splitlines()[4:])
        nicknames = list(dict.fromkeys(row["nickname"] for row in rows if row is not None))
        found: list[tuple[str, bytes]] = []
        for nickname in nicknames[:MAX_CERTIFICATES]:
            shown = self._run("certutil", "-L", "-n", nickname, "-r")
            if shown.status == 0:  # else it went while we looked
                found += [(nickname, der) for der in split_der(shown.output)]
        return found

    def _import(self, credential: Credential, key_file: Path) -> None:
        try:
            key = load_pem_private_key(key_file.read_bytes(), password=None)
        except (OSError, ValueError, TypeError) as error:
            raise PlatformFailed(f"{key_file}: no private key that can be read ({error})") from error
        if not isinstance(key, EllipticCurvePrivateKey):
            raise PlatformFailed(f"{key_file}: is not an EC key")
        password = secrets.token_urlsafe(32).encode()
        leaf = x509.load_der_x509_certificate(credential.certificate_der)
        issuers = [x509.load_der_x509_certificate(der) for der in credential.chain_der]
        bundle = pkcs12.serialize_key_and_certificates(
            NICKNAME.encode(),
            key,
            leaf,
            [issuer for issuer in issuers if issuer.subject != issuer.issuer],
            BestAvailableEncryption(password),
        )
        with _private_files({"bundle.p12": bundle, "bundle.password": password, "password": b"\n"}) as files:
            bundled = ["-i", str(files / "bundle.p12"), "-w", str(files / "bundle.password")]
            self._check(
                self._run("pk12util", *bundled, "-k", str(files / "password")),
                "does not take the certificate",
            )

    def _pair(self, credential: Credential, key: ModuleKey) -> bool:
        """The key stays where it is; the certificate goes into its token, where NSS pairs them. False where
        it is there already."""
        modules = self._check(self._run_modutil("-list"), "cannot be read").output.decode(errors="replace")
        if str(key.module) not in modules:
            name = f"{NICKNAME} ({key.module.name})"
            added = self._run_modutil("-add", name, "-libfile", str(key.module))
            self._check(added, f"does not take the module {key.module}")
        if any(der == credential.certificate_der for _, der in self._certificates()):
            return False
        contents = {"certificate.der": credential.certificate_der, "pin": key.pin.encode() + b"\n"}
        with _private_files(contents) as files:
            # NSS gives the certificate the id that it computes of its public key: the key must have it, too.
            into_token = ["-A", "-h", key.token_label, "-n", NICKNAME, "-t", ",,"]
            file = ["-i", str(files / "certificate.der"), "-f", str(files / "pin")]
            self._check(
                self._run("certutil", *into_token, *file),
                f"the token {key.token_label!r} does not take the certificate",
            )
        return True

    def _run(self, program: str, *arguments: str) -> Finished:
        return self._commands.run([program, "-d", f"sql:{self.directory}", *arguments])

    def _run_modutil(self, *arguments: str) -> Finished:
        return self._commands.run(["modutil", "-force", "-dbdir", f"sql:{self.directory}", *arguments])

    def _check(self, finished: Finished, what: str) -> Finished:
        if finished.status == 0:
            return finished
        if "BAD_PASSWORD" in finished.errors or "Incorrect password" in finished.errors:
            raise self._has_password()
        busy = any(word in finished.errors for word in ("PKCS11_GENERAL_ERROR", "BAD_DATABASE", "BUSY"))
        raise PlatformFailed(
            f"{self.directory}: {what}: {finished.complaint}",
            remedy=_BUSY_REMEDY if busy else "",
            transient=busy,
        )

    def _ask(self, action: str, certificates: Sequence[bytes]) -> list[bool]:
        if not certificates:
            return []
        question = {
            "database": str(self.directory),
            "action": action,
            "certificates": [base64.b64encode(der).decode() for der in certificates],
        }
        finished = self._commands.run(
            [sys.executable, "-I", "-m", CHILD], given=json.dumps(question).encode()
        )
        try:
            answer = json.loads(finished.output)
        except ValueError:
            answer = {"failed": "open"}
        match answer:
            case {"results": list(results)} if len(results) == len(certificates):
                return [result is True for result in results]
            case {"failed": "password"}:
                raise self._has_password()
            case {"failed": "library"}:
                raise PlatformFailed("the library libnss3 is not installed", remedy="install libnss3-tools")
            case _:
                raise PlatformFailed(
                    f"{self.directory}: cannot be opened", remedy=_BUSY_REMEDY, transient=True
                )

    def _has_password(self) -> PlatformFailed:
        return PlatformFailed(
            f"{self.directory}: is protected by a password, so that nothing can be put in unattended",
            remedy="remove the password (in Firefox: the primary password) of this database",
        )


def split_der(concatenated: bytes) -> Iterator[bytes]:
    """Certificates that stand one behind the other (X.690 §8.1.3); ends at what is none."""
    at = 0
    while at + 4 <= len(concatenated) and concatenated[at] == 0x30:
        first = concatenated[at + 1]
        octets = first & 0x7F if first & 0x80 else 0
        if octets > 3:
            return
        length = int.from_bytes(concatenated[at + 2 : at + 2 + octets]) if octets else first
        end = at + 2 + octets + length
        if end > len(concatenated):
            return
        yield concatenated[at:end]
        at = end


@contextmanager
def _private_files(contents: dict[str, bytes]) -> Iterator[Path]:
    """Files (0600) in a directory (0700) that is gone afterwards; in memory where the session has such a
    place."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    place = runtime if runtime and os.access(runtime, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="devicetrust-", dir=place) as directory:
        for name, content in contents.items():
            descriptor = os.open(Path(directory) / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with open(descriptor, "wb") as file:  # noqa: PTH123 - a descriptor
                file.write(content)
        yield Path(directory)
