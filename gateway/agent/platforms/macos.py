"""macOS: the login keychain, an identity preference for Safari, and launchd. The policies of Chrome, Edge and
Firefox come by a configuration profile, which only a person or an MDM can install.

Everything goes through the system's own programs (security, launchctl, logger). **None of it has been run**:
what is tested is which commands are given, and what stands in the files that they are given.
"""

import hashlib
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from gateway.agent.artefacts.macos import (
    DEVICE_LABEL,
    LOGIN_LABEL,
    USER_LABEL,
    configuration_profile,
    device_job,
    login_job,
    user_job,
)
from gateway.agent.certificate_names import issuer_common_name
from gateway.agent.commands import Commands, Finished, SystemCommands
from gateway.agent.platform import (
    EVENT_ID,
    BrowserPolicy,
    Change,
    Credential,
    EventLevel,
    FoundCertificate,
    PlatformFailed,
    PlatformKey,
    PlatformRequest,
    Schedule,
    Setting,
    StoreKind,
)
from gateway.agent.platforms.public_files import remove, write_public
from gateway.agent.platforms.settings_file import read_settings, settings_text
from gateway.agent.private_files import write_private

SUPPORT: Final = Path("Library/Application Support/DeviceTrust")
DEVICE_SOCKET: Final = "/var/run/devicetrust/device.sock"
MAX_COMMON_NAME_CHARACTERS: Final = 64
_IDENTITY: Final = re.compile(r'\s*\d+\) (?P<sha1>[0-9A-F]{40}) "')
_SHA1: Final = re.compile(r"[0-9A-F]{40}")
_PRIORITIES: Final = {
    EventLevel.INFORMATION: "user.notice",
    EventLevel.WARNING: "user.warning",
    EventLevel.ERROR: "user.err",
}


class MacPlatform:
    """``root`` is `/`, ``home`` this person's home directory."""

    def __init__(
        self,
        home: Path,
        commands: Commands,
        *,
        root: Path = Path("/"),
        user_id: int,
        make_directory: Callable[[], tempfile.TemporaryDirectory[str]] = tempfile.TemporaryDirectory,
    ) -> None:
        self._home = home
        self._commands = commands
        self._root = root
        self._user_id = user_id
        self._make_directory = make_directory
        self._keychain = str(home / "Library/Keychains/login.keychain-db")
        self._settings = root / SUPPORT / "agent.conf"

    @property
    def name(self) -> str:
        return "MACOS"

    @property
    def data_directory(self) -> Path:
        return self._home / SUPPORT

    @property
    def is_administrator(self) -> bool:
        return self._user_id == 0

    def settings(self) -> tuple[Setting, ...]:
        return read_settings(self._settings) or ()

    def save_settings(self, values: Mapping[str, str]) -> Change:
        return self._file("settings", self._settings, settings_text(values))

    def remove_settings(self) -> Change:
        self._removed(self._settings)
        return Change("settings", str(self._settings), True, "removed")

    def new_request(self, common_name: str, *, hardware: bool | None = None) -> PlatformRequest | None:
        """The key goes into the keychain, where it cannot be taken out of (`-x`), and nowhere else. Keychains
        of files know no secure enclave."""
        if hardware:
            raise PlatformFailed("keys in the secure enclave are not supported by this agent")
        key = ec.generate_private_key(ec.SECP256R1())
        subject = x509.NameAttribute(
            NameOID.COMMON_NAME, common_name[:MAX_COMMON_NAME_CHARACTERS] or "device"
        )
        request = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([subject]))
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
        with self._make_directory() as directory:
            file = Path(directory) / "key.pem"
            write_private(file, pem)
            into = ["-k", self._keychain, "-t", "priv", "-f", "openssl", "-x", "-A"]
            self._run(["security", "import", str(file), *into])
        signed = request.sign(key, hashes.SHA256())
        return PlatformRequest(PlatformKey(common_name), signed.public_bytes(Encoding.DER), hardware=False)

    def find_certificates(self, issuer_common_names: Sequence[str]) -> tuple[FoundCertificate, ...]:
        listed = self._commands.run(["security", "find-certificate", "-a", "-p", self._keychain])
        if listed.status != 0 or b"BEGIN" not in listed.output:
            return ()
        try:
            certificates = x509.load_pem_x509_certificates(listed.output)
        except ValueError as error:
            raise PlatformFailed(f"{self._keychain}: cannot be read ({error})") from error
        with_key = self._identities()
        found = []
        for certificate in certificates:
            der = certificate.public_bytes(Encoding.DER)
            if issuer_common_name(der) in issuer_common_names:
                handle = sha1_of(der)
                found.append(
                    FoundCertificate(StoreKind.KEYCHAIN, self._keychain, handle, der, handle in with_key)
                )
        return tuple(found)

    def install(self, credential: Credential) -> tuple[Change, ...]:
        """The keychain pairs the certificate with its key by itself."""
        if not isinstance(credential.key, PlatformKey):
            raise PlatformFailed(f"{self._keychain}: takes certificates only for keys that it has")
        with self._make_directory() as directory:
            for number, der in enumerate((credential.certificate_der, *credential.chain_der)):
                file = Path(directory) / f"certificate-{number}.cer"
                file.write_bytes(der)
                self._run(["security", "import", str(file), "-k", self._keychain, "-t", "cert"])
        return (Change("certificate", self._keychain, True),)

    def remove(self, found: FoundCertificate) -> Change:
        if not _SHA1.fullmatch(found.handle):
            raise PlatformFailed(f"{self._keychain}: {found.handle!r} names no certificate")
        verb = "delete-identity" if found.has_key else "delete-certificate"
        self._run(["security", verb, "-Z", found.handle, self._keychain])
        return Change("certificate", self._keychain, True, f"removed {found.handle}")

    def set_up_browsers(self, policy: BrowserPolicy) -> tuple[Change, ...]:
        """As administrator the profile is laid ready; as a person Safari is told of the certificate."""
        if self.is_administrator:
            profile = self._root / SUPPORT / "devicetrust.mobileconfig"
            change = self._file("configuration profile", profile, configuration_profile(policy))
            detail = "distribute it by MDM, or open it and install it in System Settings"
            return (Change(change.what, change.where, change.done, detail),)
        service = f"*.{policy.mtls_domain}"
        ours = [found for found in self.find_certificates([policy.issuer_common_name]) if found.has_key]
        if not ours:
            return (Change("identity preference of Safari", service, False, "there is no certificate yet"),)
        newest = max(
            ours, key=lambda found: x509.load_der_x509_certificate(found.certificate_der).not_valid_after_utc
        )
        command = ["security", "set-identity-preference", "-Z", newest.handle, "-s", service]
        self._run([*command, self._keychain])
        return (Change("identity preference of Safari", service, True),)

    def remove_browser_setup(self) -> tuple[Change, ...]:
        profile = self._root / SUPPORT / "devicetrust.mobileconfig"
        if not self.is_administrator or not self._removed(profile):
            return ()
        detail = "removed; the profile itself is removed in System Settings or by MDM"
        return (Change("configuration profile", str(profile), True, detail),)

    def schedule(self, schedule: Schedule) -> tuple[Change, ...]:
        changes = []
        for file, text in self._jobs(schedule).items():
            changes.append(self._file("launchd job", file, text))
            domain = self._domain(file)
            if domain is None:
                changes.append(Change("launchd", file.stem, True, "from the next login on"))
                continue
            # Known already: an older version is taken away first.
            self._commands.run(["launchctl", "bootout", f"{domain}/{file.stem}"])
            started = self._commands.run(["launchctl", "bootstrap", domain, str(file)])
            fine = started.status == 0
            changes.append(Change("launchd", file.stem, fine, "" if fine else started.complaint))
        return tuple(changes)

    def unschedule(self) -> tuple[Change, ...]:
        changes = []
        for file in self._jobs(Schedule(Path("/"))):
            domain = self._domain(file)
            if domain is not None:
                self._commands.run(["launchctl", "bootout", f"{domain}/{file.stem}"])
            if self._removed(file):
                changes.append(Change("launchd job", str(file), True, "removed"))
        return tuple(changes)

    def log_event(self, level: EventLevel, message: str, event_id: int = EVENT_ID) -> None:
        line = f"[{event_id}] {' '.join(message.split())}\n"
        command = ["logger", "-t", "devicetrust-agent", "-p", _PRIORITIES[level]]
        with suppress(PlatformFailed):
            self._commands.run(command, given=line.encode())

    def _jobs(self, schedule: Schedule) -> dict[Path, str]:
        agents = (self._root if self.is_administrator else self._home) / "Library/LaunchAgents"
        jobs = {
            agents / f"{LOGIN_LABEL}.plist": login_job(schedule),
            agents / f"{USER_LABEL}.plist": user_job(schedule),
        }
        if self.is_administrator:
            daemon = self._root / "Library/LaunchDaemons" / f"{DEVICE_LABEL}.plist"
            jobs[daemon] = device_job(schedule, DEVICE_SOCKET)
        return jobs

    def _domain(self, file: Path) -> str | None:
        """None for the agents of everybody: those who are logged in have them from their next login on."""
        if file.parent.name == "LaunchDaemons":
            return "system"
        return None if self.is_administrator else f"gui/{self._user_id}"

    def _identities(self) -> set[str]:
        listed = self._run(["security", "find-identity", "-p", "ssl-client", self._keychain])
        lines = listed.output.decode("utf-8", "replace").splitlines()
        return {match["sha1"] for line in lines if (match := _IDENTITY.match(line))}

    def _file(self, what: str, file: Path, text: str) -> Change:
        try:
            write_public(file, text)
        except OSError as error:
            raise PlatformFailed(f"{file}: {error.strerror or error}") from error
        return Change(what, str(file), True)

    def _removed(self, file: Path) -> bool:
        try:
            return remove(file)
        except OSError as error:
            raise PlatformFailed(f"{file}: {error.strerror or error}") from error

    def _run(self, arguments: Sequence[str]) -> Finished:
        finished = self._commands.run(list(arguments))
        if finished.status != 0:
            raise PlatformFailed(f"{' '.join(arguments[:2])}: {finished.complaint}")
        return finished


def sha1_of(certificate_der: bytes) -> str:
    """The name that a keychain gives a certificate; no proof of anything."""
    return hashlib.sha1(certificate_der, usedforsecurity=False).hexdigest().upper()


def this_platform() -> MacPlatform:
    return MacPlatform(Path.home(), SystemCommands(), user_id=os.getuid())
