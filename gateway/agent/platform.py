"""What the agent needs of the computer that it runs on, as one small interface and its values.

The state machine of a run knows this module only; `platforms/` has an implementation for each system. All
calls block for at most some seconds, and raise PlatformFailed with a sentence for whoever runs the agent.

What a platform does *not* decide: which certificate is good, when a key is renewed, what is asked of the
org. It finds, keeps and removes.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol

# As the seed product's Registration Task reports: one event id for "a certificate was enrolled" and all else.
EVENT_ID: Final = 1000
EVENT_SOURCE: Final = "Device Trust"
DEFAULT_ISSUER_COMMON_NAME: Final = "MTLS Certificate Authority"
HTTPS_PORT: Final = 443


class PlatformFailed(Exception):
    """Something of this computer could not be read or changed: what, where, why, as one sentence.

    ``remedy`` is what to do about it, or "". ``transient`` is True where the next run may well succeed: a
    browser holds its database, a directory is not mounted yet.
    """

    def __init__(self, sentence: str, *, remedy: str = "", transient: bool = False) -> None:
        super().__init__(sentence)
        self.remedy = remedy
        self.transient = transient


class StoreKind(StrEnum):
    """Where browsers look for certificates."""

    NSS = "nss"  # ~/.pki/nssdb: Chromium, Chrome, Edge on Linux
    FIREFOX = "firefox"  # a profile's own NSS database
    WINDOWS = "windows"  # Cert:\CurrentUser\My
    KEYCHAIN = "keychain"  # the login keychain of macOS


class EventLevel(StrEnum):
    INFORMATION = "information"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class FoundCertificate:
    """A certificate in a store, whoever put it there.

    ``store`` names the store so that a person finds it (`/home/alice/.pki/nssdb`); ``handle`` is what the
    store calls the certificate, and with ``store`` enough to remove it. ``has_key`` is False where the store
    has no private key for it: a browser would never offer it.
    """

    kind: StoreKind
    store: str
    handle: str
    certificate_der: bytes = field(repr=False)
    has_key: bool

    @property
    def thumbprint(self) -> str:
        """`x5t#S256` (RFC 8705 §3.1): SHA-256 of the DER, base64url without padding."""
        digest = hashlib.sha256(self.certificate_der).digest()
        return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@dataclass(frozen=True, slots=True)
class KeyFile:
    """A private key that the agent keeps itself: PEM (PKCS #8, not encrypted), mode 0600."""

    path: Path


@dataclass(frozen=True, slots=True)
class ModuleKey:
    """A key that stays behind a PKCS #11 module (a TPM, a smart card): browsers load the module themselves.

    ``key_id`` is CKA_ID, which the certificate gets, too: NSS pairs the two by it. ``pin`` is "" for a token
    without one.
    """

    module: Path
    token_label: str
    key_id: bytes
    pin: str = field(default="", repr=False)


@dataclass(frozen=True, slots=True)
class PlatformKey:
    """A key that the platform's own store made and keeps (`Platform.new_request`); the platform knows it by
    ``name``."""

    name: str


KeyPlace = KeyFile | ModuleKey | PlatformKey


@dataclass(frozen=True, slots=True)
class PlatformRequest:
    """A certification request (PKCS #10, DER) of a key that the platform's store has just made.

    ``hardware`` is True where the store says that the key is in a TPM or a secure enclave.
    """

    key: PlatformKey
    request_der: bytes = field(repr=False)
    hardware: bool


@dataclass(frozen=True, slots=True)
class Credential:
    """What is to be installed: the new certificate, its issuers (leaf excluded, nearest first), its key."""

    certificate_der: bytes = field(repr=False)
    chain_der: tuple[bytes, ...] = field(repr=False)
    key: KeyPlace


@dataclass(frozen=True, slots=True)
class BrowserPolicy:
    """For which hosts browsers shall pick which certificate without asking: any name under ``mtls_domain``
    on ``port``, and certificates issued by ``issuer_common_name``."""

    mtls_domain: str
    issuer_common_name: str = DEFAULT_ISSUER_COMMON_NAME
    port: int = HTTPS_PORT


@dataclass(frozen=True, slots=True)
class Schedule:
    """When the agent runs by itself: `EXECUTABLE --user` at each login, and `EXECUTABLE --user --scheduled`
    every ``every``, up to ``spread`` later, so that a building does not call at once. With ``--scheduled`` it
    ends at once unless something is due: it looks after its certificate once a day, and sooner after it
    failed off the network. ``executable`` is the absolute path of devicetrust-agent."""

    executable: Path
    every: timedelta = timedelta(minutes=30)
    spread: timedelta = timedelta(minutes=10)


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that was, or was not, done to this computer. ``done`` False: ``detail`` says why not and
    what would help; the run as a whole goes on."""

    what: str  # "managed policy of Chromium"
    where: str  # a path, a registry key
    done: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Setting:
    """A stored setting and where it stands (`/etc/devicetrust/agent.conf:3`), for messages."""

    name: str
    value: str
    place: str


class Platform(Protocol):
    """One computer, as one user of it (or as its administrator) sees it."""

    @property
    def name(self) -> str:
        """`LINUX`, `WINDOWS` or `MACOS`, as the org spells it."""
        ...

    @property
    def data_directory(self) -> Path:
        """Of this user, for key, certificate, state and lock. It may not exist yet."""
        ...

    @property
    def is_administrator(self) -> bool: ...

    def settings(self) -> tuple[Setting, ...]:
        """What an administrator stored, in the order of the file; () where nothing is. Names are not judged,
        and may come more than once."""
        ...

    def save_settings(self, values: Mapping[str, str]) -> Change:
        """Keep exactly these. Raises PlatformFailed where that needs an administrator."""
        ...

    def remove_settings(self) -> Change: ...

    def new_request(self, common_name: str, *, hardware: bool | None = None) -> PlatformRequest | None:
        """Make a key in the platform's store; None where the agent makes keys itself (Linux).
        ``hardware`` None: in a TPM if there is one."""
        ...

    def find_certificates(self, issuer_common_names: Sequence[str]) -> tuple[FoundCertificate, ...]:
        """All certificates of this user, in all stores, whose issuer has one of these common names."""
        ...

    def install(self, credential: Credential) -> tuple[Change, ...]:
        """Put certificate and key into every store that browsers of this user read. Certificates that are
        there stay: they are removed afterwards, by `remove`, so that there is always one that works. A second
        installation of the same changes nothing."""
        ...

    def remove(self, found: FoundCertificate) -> Change:
        """Remove a certificate and, where no other certificate uses it, its key."""
        ...

    def set_up_browsers(self, policy: BrowserPolicy) -> tuple[Change, ...]:
        """Let browsers pick the certificate without asking. What needs an administrator is said in a Change
        that is not done. Settings by others stay."""
        ...

    def remove_browser_setup(self) -> tuple[Change, ...]: ...

    def schedule(self, schedule: Schedule) -> tuple[Change, ...]:
        """As administrator for every user of the computer, with the device part; else for this user."""
        ...

    def unschedule(self) -> tuple[Change, ...]: ...

    def log_event(self, level: EventLevel, message: str, event_id: int = EVENT_ID) -> None:
        """Into the system's own log. Never raises: a log that is not there must not stop an enrollment."""
        ...
