"""What the org says to every agent at the beginning: where the IWA web apps are, the nonce, the rules.

It comes over TLS from the org that the settings name, and is still read within bounds: a wrong address leads
to some other server, which answers with something else. Pure.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.agent.platform import DEFAULT_ISSUER_COMMON_NAME

MAX_DISCOVERY_BYTES: Final = 65_536
MAX_IWAS: Final = 64
_MAX_TEXT: Final = 1_024
_MAX_ISSUERS: Final = 256
_SHA256_HEX_CHARACTERS: Final = 64
_MAX_DAYS: Final = 3_650
_DOMAIN: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?", re.ASCII)


class DiscoveryInvalid(Exception):
    """Not the discovery document of an org. The text says what is wrong with it."""


class AttestationRule(StrEnum):
    NONE = "none"
    ACCEPTED = "accepted"
    REQUIRED = "required"


@dataclass(frozen=True, slots=True)
class Iwa:
    """An IWA web app; ``url`` without a slash at its end."""

    id: str
    name: str
    url: str
    primary: bool
    online: bool


@dataclass(frozen=True, slots=True)
class Discovery:
    """``iwas`` in the order in which they are to be tried. ``issuers`` and ``mtls_certificates`` are hex
    SHA-256 of certificates in DER: of the authorities that issue for devices, and of what serves the hosts of
    challenges. ``time`` is the org's clock when it answered, None from an org that does not say."""

    org: str
    audience: str
    nonce: str
    time: datetime | None
    iwas: tuple[Iwa, ...]
    mtls_domain: str
    mtls_port: int
    est_url: str
    issuer_common_name: str
    issuers: frozenset[str]
    mtls_certificates: frozenset[str]
    renew_before: timedelta
    renew_anywhere: bool
    attestation: AttestationRule


def parse_discovery(body: bytes) -> Discovery:
    """Raises DiscoveryInvalid. Members that are not known are passed over: an org may be newer."""
    if len(body) > MAX_DISCOVERY_BYTES:
        raise DiscoveryInvalid(f"larger than {MAX_DISCOVERY_BYTES} bytes")
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise DiscoveryInvalid("not JSON") from None
    if not isinstance(told, dict):
        raise DiscoveryInvalid("not an object")
    mtls_port = _whole(told, "mtls_port", 1, 65_535, default=443)
    mtls_domain = _text(told, "mtls_domain")
    if not _DOMAIN.fullmatch(mtls_domain):  # an administrator's run writes it into policies for everybody
        raise DiscoveryInvalid("mtls_domain is no name of a domain")
    return Discovery(
        org=_text(told, "org"),
        audience=_text(told, "audience"),
        nonce=_text(told, "nonce"),
        time=_moment(told.get("time")),
        iwas=_iwas(told.get("iwas")),
        mtls_domain=mtls_domain,
        mtls_port=mtls_port,
        est_url=_https(told, "est_url"),
        issuer_common_name=_issuer_common_name(told),
        issuers=_digests(told, "issuers"),
        mtls_certificates=_digests(told, "mtls_certificates"),
        renew_before=_days(told, "renew_before_days", default=30),
        renew_anywhere=_flag(told, "renew_anywhere", default=False),
        attestation=_attestation(told),
    )


def _iwas(found: object) -> tuple[Iwa, ...]:
    if not isinstance(found, list) or len(found) > MAX_IWAS:
        raise DiscoveryInvalid(f"iwas is no list of up to {MAX_IWAS}")
    return tuple(_iwa(each) for each in found)


def _iwa(found: object) -> Iwa:
    if not isinstance(found, dict):
        raise DiscoveryInvalid("iwas: not an object")
    url = _text(found, "url").rstrip("/")
    if not is_service_url(url):
        raise DiscoveryInvalid("iwas: url is no http or https address")
    return Iwa(
        id=_text(found, "id"),
        name=_text(found, "name"),
        url=url,
        primary=_flag(found, "primary", default=False),
        online=_flag(found, "online", default=True),
    )


def is_service_url(url: str) -> bool:
    """An address that the agent would send a ticket to: http or https with a host, without user, query or
    fragment."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        return False
    plain = url.isascii() and url.isprintable() and " " not in url and len(url) <= _MAX_TEXT
    return (
        plain
        and parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and port != 0
        and "@" not in parts.netloc
        and not parts.query
        and not parts.fragment
    )


def _https(told: Mapping[str, Any], name: str) -> str:
    url = _text(told, name).rstrip("/")
    if not is_service_url(url) or urlsplit(url).scheme != "https":
        raise DiscoveryInvalid(f"{name} is no https address")
    return url


def _digests(told: Mapping[str, Any], name: str) -> frozenset[str]:
    found = told.get(name, [])
    if not isinstance(found, list) or len(found) > _MAX_ISSUERS:
        raise DiscoveryInvalid(f"{name} is no list of up to {_MAX_ISSUERS}")
    for each in found:
        if not isinstance(each, str) or len(each) != _SHA256_HEX_CHARACTERS:
            raise DiscoveryInvalid(f"{name}: not a SHA-256 in hexadecimal")
    return frozenset(each.lower() for each in found)


def _attestation(told: Mapping[str, Any]) -> AttestationRule:
    try:
        return AttestationRule(told.get("attestation", AttestationRule.NONE))
    except ValueError:
        raise DiscoveryInvalid("attestation is neither none, accepted nor required") from None


def _moment(found: object) -> datetime | None:
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(found) if isinstance(found, str) and len(found) <= 64 else None
        if at is not None and at.tzinfo is not None:
            return at.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter at the ends of the calendar
        pass
    raise DiscoveryInvalid("time is no moment with its zone")


def _text(told: Mapping[str, Any], name: str) -> str:
    value = told.get(name)
    if not isinstance(value, str) or not 0 < len(value) <= _MAX_TEXT or not value.isprintable():
        raise DiscoveryInvalid(f"{name} is no text of 1 to {_MAX_TEXT} characters")
    return value


def _whole(told: Mapping[str, Any], name: str, least: int, most: int, *, default: int) -> int:
    value = told.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise DiscoveryInvalid(f"{name} is no whole number from {least} to {most}")
    return value


def _issuer_common_name(told: Mapping[str, Any]) -> str:
    """Null before there is an authority; the name that one gets unless it is told otherwise."""
    if told.get("issuer_common_name") is None:
        return DEFAULT_ISSUER_COMMON_NAME
    return _text(told, "issuer_common_name")


def _days(told: Mapping[str, Any], name: str, *, default: float) -> timedelta:
    value = told.get(name, default)
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= _MAX_DAYS:
        raise DiscoveryInvalid(f"{name} is no number from 0 to {_MAX_DAYS}")
    return timedelta(days=value)


def _flag(told: Mapping[str, Any], name: str, *, default: bool) -> bool:
    value = told.get(name, default)
    if not isinstance(value, bool):
        raise DiscoveryInvalid(f"{name} is neither true nor false")
    return value
