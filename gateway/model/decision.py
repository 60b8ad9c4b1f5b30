"""What the policy decides on, and what it answers."""

from dataclasses import dataclass
from enum import StrEnum
from ipaddress import IPv4Address, IPv6Address

IPAddress = IPv4Address | IPv6Address


class DeviceTrust(StrEnum):
    TRUSTED = "trusted"
    NOT_TRUSTED = "not_trusted"
    UNKNOWN = "unknown"  # not asked yet: conditions on it are UNDEFINED


class Client(StrEnum):
    WEB_BROWSER = "web_browser"
    MODERN_AUTH = "modern_auth"
    EXCHANGE_ACTIVESYNC_OR_LEGACY_AUTH = "exchange_activesync_or_legacy_auth"


class Platform(StrEnum):
    IOS = "ios"
    ANDROID = "android"
    OTHER_MOBILE = "other_mobile"
    WINDOWS = "windows"
    MACOS = "macos"
    LINUX = "linux"  # a computer; where a policy selects OTHER_DESKTOP, it selects this one, too
    OTHER_DESKTOP = "other_desktop"


class Access(StrEnum):
    ALLOW = "allow"
    DENY = "deny"


class Match(StrEnum):
    MATCH = "MATCH"
    NOT_MATCH = "NOT_MATCH"
    UNDEFINED = "UNDEFINED"


@dataclass(frozen=True, slots=True)
class SignOnRequest:
    """All that a rule may look at."""

    user: str
    groups: frozenset[str]
    ip: IPAddress
    client: Client
    platform: Platform
    device_trust: DeviceTrust
    hardware_key: bool = False  # True only where the device is trusted


@dataclass(frozen=True, slots=True)
class FactorPrompt:
    """``every_sign_on``, ``every_session``, or at most ``minutes`` since the last factor."""

    frequency: str  # every_sign_on | every_session | every_minutes
    minutes: int | None = None


@dataclass(frozen=True, slots=True)
class ConditionResult:
    condition: str
    match: Match
    detail: str


@dataclass(frozen=True, slots=True)
class RuleTrace:
    """How one rule met one request. ``match`` is the conjunction of its conditions."""

    rule: str
    match: Match
    conditions: tuple[ConditionResult, ...]
    monitor: bool = False


@dataclass(frozen=True, slots=True)
class Decision:
    """Allow or deny, by which rule, and why. ``reason`` is a name of the contract:
    ``RULE <name>``, ``DEFAULT_RULE`` or ``POLICY_ERROR``."""

    access: Access
    reason: str
    rule: str | None
    prompt_for_factor: FactorPrompt | None = None
    trace: tuple[RuleTrace, ...] = ()
    monitored: tuple[str, ...] = ()  # names of monitor rules that matched
