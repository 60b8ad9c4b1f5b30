"""Instants, validity windows and replay keys, the same for SAML 1.1 and SAML 2.0."""

import hashlib
import re
from datetime import UTC, datetime, timedelta

from gateway.federation.errors import MessageRejected, malformed
from gateway.federation.structure import Element
from gateway.model.reasons import MessageReason

# xs:dateTime as SAML narrows it (SAML Core §1.3.3): UTC, written with or without a zone.
_INSTANT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,12}))?"
    r"(?:Z|([+-])([0-9]{2}):([0-9]{2}))?"
)
# What most providers write, which the library reads by itself, in a sixth of the time.
_USUAL_INSTANT = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{3})?Z")
_FAR_FUTURE = datetime(9000, 1, 1, tzinfo=UTC)  # "never" of some vendors; beyond it sums overflow


def parse_instant(text: str, what: str) -> datetime:
    """Read an xs:dateTime as aware UTC; no zone means UTC. Raises MessageRejected (MALFORMED)."""
    if _USUAL_INSTANT.fullmatch(text) is not None:
        try:
            return min(datetime.fromisoformat(text), _FAR_FUTURE)
        except ValueError:
            raise malformed(f"{what} is not a date and time: {text[:40]!r}") from None
    match = _INSTANT.fullmatch(text.strip(" \t\r\n"))
    if match is None:
        raise malformed(f"{what} is not a date and time: {text[:40]!r}")
    fraction, sign, hours, minutes = match.group(7, 8, 9, 10)
    try:
        year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
        microsecond = int((fraction or "0")[:6].ljust(6, "0"))
        instant = datetime(year, month, day, hour, minute, second, microsecond, tzinfo=UTC)
        if sign is not None:
            offset = timedelta(hours=int(hours), minutes=int(minutes))
            instant = instant - offset if sign == "+" else instant + offset
    except (ValueError, OverflowError):
        raise malformed(f"{what} is not a date and time: {text[:40]!r}") from None
    return min(instant, _FAR_FUTURE)


def instant_attribute(element: Element, name: str) -> datetime | None:
    """The instant in an attribute; None when it is absent. Raises MessageRejected (MALFORMED)."""
    text = element.get(name)
    return None if text is None else parse_instant(text, name)


def check_not_before(instant: datetime | None, now: datetime, skew: timedelta, what: str) -> None:
    """Raises MessageRejected (NOT_YET_VALID_ASSERTION) while ``now`` is before the instant."""
    if instant is not None and now + skew < instant:
        raise MessageRejected(
            MessageReason.NOT_YET_VALID_ASSERTION, f"{what} {instant.isoformat()} is not reached"
        )


def check_not_on_or_after(instant: datetime | None, now: datetime, skew: timedelta, what: str) -> None:
    """Raises MessageRejected (EXPIRED_ASSERTION) as soon as ``now`` has reached the instant."""
    if instant is not None and now - skew >= instant:
        raise MessageRejected(MessageReason.EXPIRED_ASSERTION, f"{what} {instant.isoformat()} has passed")


def replay_key(issuer: str, assertion_id: str) -> str:
    """Hex SHA-256 that is different for every pair of issuer and assertion ID."""
    hasher = hashlib.sha256(len(issuer.encode()).to_bytes(4, "big"))
    hasher.update(issuer.encode())
    hasher.update(assertion_id.encode())
    return hasher.hexdigest()
