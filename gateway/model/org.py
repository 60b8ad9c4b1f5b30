"""The people, devices, rules and gateways of the organization, as the store keeps them.

Times are aware UTC. Ids have the shape of `gateway.model.ids`.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final

EVERYONE: Final = "Everyone"  # the group that everybody is in, without being listed


class UserStatus(StrEnum):
    STAGED = "STAGED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    DEPROVISIONED = "DEPROVISIONED"


class UserSource(StrEnum):
    LOCAL = "local"
    AD = "ad"
    JIT = "jit"  # made by the first assertion that named them


def login_key(login: str) -> str:
    """The form in which logins are compared: with each other, and with the user that an assertion names."""
    return login.casefold()


@dataclass(frozen=True, slots=True)
class User:
    id: str
    login: str  # as it was written; `login_key` is what is compared
    email: str
    first_name: str
    last_name: str
    status: UserStatus
    source: UserSource
    created: datetime
    last_updated: datetime
    status_changed: datetime | None = None
    external: Mapping[str, object] = field(default_factory=dict)  # what the source calls the user
    directory_key: str | None = None  # unique; the directory's account with which they enrolled first

    @property
    def login_key(self) -> str:
        return login_key(self.login)

    @property
    def active(self) -> bool:
        return self.status is UserStatus.ACTIVE


class GroupType(StrEnum):
    OKTA_GROUP = "OKTA_GROUP"
    APP_GROUP = "APP_GROUP"  # comes from a directory
    BUILT_IN = "BUILT_IN"  # Everyone


@dataclass(frozen=True, slots=True)
class Group:
    id: str
    name: str
    description: str
    type: GroupType
    created: datetime
    last_updated: datetime


class NameKind(StrEnum):
    """Of what was deleted."""

    USER = "user"
    DEVICE = "device"


class DeviceStatus(StrEnum):
    CREATED = "CREATED"
    ACTIVE = "ACTIVE"
    SUSPENDED = "SUSPENDED"
    DEACTIVATED = "DEACTIVATED"


def default_certificate_name(device_id: str) -> str:
    """What certificates call a device unless it was registered with a name of its own."""
    return f"urn:devicetrust:device:{device_id}"


@dataclass(frozen=True, slots=True)
class Device:
    id: str
    name: str  # for people to read
    certificate_name: str  # what certificates call it; unique
    platform: str  # WINDOWS | MACOS | LINUX | IOS | ANDROID | OTHER, as it was registered
    status: DeviceStatus
    created: datetime
    last_updated: datetime
    serial_number: str | None = None
    profile: Mapping[str, object] = field(default_factory=dict)
    directory_key: str | None = None  # unique; the directory's account of a computer that enrolled by it

    @property
    def active(self) -> bool:
        """A device that was registered and never deactivated or suspended is in use."""
        return self.status in (DeviceStatus.CREATED, DeviceStatus.ACTIVE)


@dataclass(frozen=True, slots=True)
class DeviceUser:
    """A person who uses a device. A device may have several, a person too."""

    device_id: str
    user_id: str
    created: datetime


class Lifecycle(StrEnum):
    ACTIVE = "ACTIVE"
    INACTIVE = "INACTIVE"


class PolicySource(StrEnum):
    FILE = "file"
    EDITED = "edited"  # changed through the API: counts instead of the file


@dataclass(frozen=True, slots=True)
class StoredPolicy:
    """The sign-on policy of one app. ``document`` has the shape of a policy file, with an ``id`` per rule."""

    id: str
    app: str  # unique
    name: str
    document: Mapping[str, object]
    source: PolicySource
    file_sha256: str | None  # hex, of the file that the document was read from or that was edited
    status: Lifecycle
    priority: int
    created: datetime
    last_updated: datetime


@dataclass(frozen=True, slots=True)
class StoredZone:
    id: str
    name: str  # unique
    document: Mapping[str, object]
    status: Lifecycle
    created: datetime
    last_updated: datetime


class SettingName(StrEnum):
    DEVICE_TRUST_ENABLED = "device_trust_enabled"
    LEARN_MORE_URL = "learn_more_url"
    READ_ONLY = "read_only"


class TokenScope(StrEnum):
    READ = "read"
    OPERATE = "operate"
    ADMIN = "admin"

    def covers(self, needed: "TokenScope") -> bool:
        """admin may do what operate may, and operate what read may."""
        order = tuple(TokenScope)
        return order.index(self) >= order.index(needed)


@dataclass(frozen=True, slots=True)
class ApiToken:
    """A key to the API. The secret itself is nowhere; its SHA-256 is what is looked up."""

    id: str
    name: str
    scope: TokenScope
    secret_sha256: bytes = field(repr=False)
    user: str  # for whom it was made, for the log
    created: datetime
    expires: datetime | None = None
    last_used: datetime | None = None
    revoked: datetime | None = None

    def usable(self, now: datetime) -> bool:
        return self.revoked is None and (self.expires is None or now < self.expires)


@dataclass(frozen=True, slots=True)
class GatewayRecord:
    """One gateway of the fleet, as it last reported itself."""

    id: str
    name: str
    version: str
    started_at: datetime
    seen_at: datetime
    keys_fingerprint: str  # gateways of a fleet must share their keys
    address: str | None = None
    health: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """How far one worker of a gateway has come in the change feed."""

    gateway_id: str
    worker: int
    applied_number: int
    seen_at: datetime
