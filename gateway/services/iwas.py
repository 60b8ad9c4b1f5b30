"""Use cases for the IWA web apps: registered, switched on and off, one of them the first that agents try.

Each runs within one transaction, with its event in the System Log.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from gateway.enrollment.iwa_keys import key_id_of, key_of_jwk, public_jwk
from gateway.enrollment.reports import REPORT_SECONDS, IwaReport
from gateway.model.iwa import Iwa, IwaStatus
from gateway.model.log_event import LogEvent
from gateway.services.refusals import InvalidValue, NotAllowedNow, NotFound
from gateway.system_log.catalog import EventType, Occasion
from gateway.system_log.enrollment_events import iwa_event

# Three reports that did not come.
OFFLINE_AFTER: Final = timedelta(seconds=3 * REPORT_SECONDS)
MAX_IWAS: Final = 100
MAX_NAME_CHARACTERS: Final = 64
MAX_URL_CHARACTERS: Final = 1_024
MAX_VERSION_CHARACTERS: Final = 64
MAX_REALMS: Final = 200
MAX_REALM_CHARACTERS: Final = 255


class FindsIwas(Protocol):
    def get(self, iwa_id: str, *, lock: bool = False) -> Iwa | None: ...
    def by_name(self, name: str, *, lock: bool = False) -> Iwa | None: ...
    def by_key_id(self, key_id: str, *, lock: bool = False) -> Iwa | None: ...
    def all(self) -> Sequence[Iwa]: ...


class Iwas(FindsIwas, Protocol):
    def add(self, iwa: Iwa) -> None: ...
    def update(self, iwa: Iwa) -> bool: ...
    def make_primary(self, iwa_id: str) -> None: ...
    def report(self, iwa_id: str, at: datetime, version: str, health: Mapping[str, object]) -> bool: ...
    def mark_offline(self, not_seen_since: datetime) -> Sequence[Iwa]: ...
    def delete(self, iwa_id: str) -> bool: ...


class IwaWork(Protocol):
    @property
    def iwas(self) -> Iwas: ...
    def log_event(self, event: LogEvent) -> None: ...


@dataclass(frozen=True, slots=True)
class IwaProfile:
    """What an IWA web app says of itself when it is registered."""

    name: str
    url: str
    public_jwk: Mapping[str, Any]
    version: str = ""
    realms: tuple[str, ...] = ()


def find_iwa(iwas: FindsIwas, identifier: str, *, lock: bool = False) -> Iwa:
    """By id or by name. Raises NotFound."""
    iwa = iwas.get(identifier, lock=lock) or iwas.by_name(identifier, lock=lock)
    if iwa is None:
        raise NotFound("IWA", identifier)
    return iwa


def in_order(iwas: Sequence[Iwa]) -> list[Iwa]:
    """The enabled ones, in the order in which agents try: the primary, those that are online, the rest."""
    return sorted(
        (iwa for iwa in iwas if iwa.enabled), key=lambda iwa: (not iwa.is_primary, not iwa.online, iwa.name)
    )


def register_iwa(work: IwaWork, occasion: Occasion, iwa_id: str, profile: IwaProfile) -> Iwa:
    """One that is known by its name is registered again, and keeps its id and its place. ``iwa_id``: of a new
    one. The first of all becomes the primary. Raises InvalidValue, NotAllowedNow, AlreadyExists."""
    known = work.iwas.by_name(profile.name, lock=True)
    if known is not None:
        return update_iwa(work, occasion, known, profile)
    jwk, key_id = _checked(profile)
    others = work.iwas.all()
    if len(others) >= MAX_IWAS:
        raise NotAllowedNow(f"there are {MAX_IWAS} IWA web apps already; remove one first")
    iwa = Iwa(
        id=iwa_id,
        name=profile.name,
        url=profile.url.rstrip("/"),
        public_jwk=jwk,
        key_id=key_id,
        version=profile.version,
        realms=list(profile.realms),
        status=IwaStatus.ENABLED,
        is_primary=not others,
        created=occasion.at,
        last_updated=occasion.at,
    )
    work.iwas.add(iwa)
    work.log_event(iwa_event(occasion, EventType.IWA_CREATED, iwa))
    return iwa


def update_iwa(work: IwaWork, occasion: Occasion, iwa: Iwa, profile: IwaProfile) -> Iwa:
    """``iwa`` was read with its lock. What the former key signed counts no more, where the key is another.
    Raises InvalidValue, AlreadyExists."""
    jwk, key_id = _checked(profile)
    updated = replace(
        iwa,
        name=profile.name,
        url=profile.url.rstrip("/"),
        public_jwk=jwk,
        key_id=key_id,
        version=profile.version,
        realms=list(profile.realms),
        last_updated=occasion.at,
    )
    work.iwas.update(updated)
    before, after = _values(iwa), _values(updated)
    work.log_event(
        iwa_event(
            occasion,
            EventType.IWA_UPDATED,
            updated,
            changed_from={name: value for name, value in before.items() if after[name] != value},
            changed_to={name: value for name, value in after.items() if before[name] != value},
        )
    )
    return updated


def set_iwa_status(work: IwaWork, occasion: Occasion, iwa: Iwa, status: IwaStatus) -> Iwa:
    """``iwa`` was read with its lock. Raises NotAllowedNow where it is so already."""
    if iwa.status is status:
        raise NotAllowedNow(f"the IWA web app is {status} already")
    updated = replace(iwa, status=status, last_updated=occasion.at)
    work.iwas.update(updated)
    work.log_event(
        iwa_event(
            occasion,
            EventType.IWA_UPDATED,
            updated,
            changed_from={"status": iwa.status.value},
            changed_to={"status": status.value},
        )
    )
    return updated


def promote_iwa(work: IwaWork, occasion: Occasion, iwa: Iwa) -> Iwa:
    """Agents try this one first from now on. Raises NotAllowedNow for one that is disabled."""
    if not iwa.enabled:
        raise NotAllowedNow("the IWA web app is DISABLED: activate it first")
    promoted = replace(iwa, is_primary=True)
    if not iwa.is_primary:
        work.iwas.make_primary(iwa.id)
        work.log_event(iwa_event(occasion, EventType.IWA_PROMOTED, promoted))
    return promoted


def remove_iwa(work: IwaWork, occasion: Occasion, iwa: Iwa) -> None:
    """Nothing that it signed counts any more. Where it was the primary, another one becomes it."""
    work.iwas.delete(iwa.id)
    work.log_event(iwa_event(occasion, EventType.IWA_REMOVED, iwa))
    rest = in_order(work.iwas.all())
    if iwa.is_primary and rest:
        promote_iwa(work, occasion, rest[0])


def iwa_reported(work: IwaWork, occasion: Occasion, iwa: Iwa, report: IwaReport) -> None:
    if work.iwas.report(iwa.id, occasion.at, report.version, report.health):
        work.log_event(iwa_event(occasion, EventType.IWA_WENT_ONLINE, replace(iwa, online=True)))


def mark_silent_offline(work: IwaWork, occasion: Occasion) -> int:
    """Those that have not reported themselves for `OFFLINE_AFTER`. How many."""
    silent = work.iwas.mark_offline(occasion.at - OFFLINE_AFTER)
    for iwa in silent:
        work.log_event(iwa_event(occasion, EventType.IWA_WENT_OFFLINE, replace(iwa, online=False)))
    return len(silent)


def _checked(profile: IwaProfile) -> tuple[dict[str, str], str]:
    """The public key's members and no others, and its id."""
    if not 0 < len(profile.name) <= MAX_NAME_CHARACTERS or not profile.name.isprintable():
        raise InvalidValue("name", f"must have 1 to {MAX_NAME_CHARACTERS} printable characters")
    if not _is_web_address(profile.url):
        raise InvalidValue("url", "must be an http or https address without query, such as https://HOST/iwa")
    if len(profile.version) > MAX_VERSION_CHARACTERS or not profile.version.isprintable():
        raise InvalidValue("version", f"must have at most {MAX_VERSION_CHARACTERS} printable characters")
    if len(profile.realms) > MAX_REALMS or not all(map(_is_realm, profile.realms)):
        raise InvalidValue("realms", f"must be at most {MAX_REALMS} names of realms")
    try:
        key = key_of_jwk(profile.public_jwk)
    except ValueError as refused:
        raise InvalidValue("public_jwk", str(refused)) from None
    return public_jwk(key), key_id_of(key)


def _is_realm(text: str) -> bool:
    return 0 < len(text) <= MAX_REALM_CHARACTERS and text.isprintable()


def _is_web_address(url: str) -> bool:
    if len(url) > MAX_URL_CHARACTERS or not url.isascii() or not url.isprintable() or " " in url:
        return False
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        return False
    return (
        parts.scheme in ("http", "https")
        and bool(parts.hostname)
        and not (parts.query or parts.fragment or parts.username or parts.password)
    )


def _values(iwa: Iwa) -> dict[str, object]:
    return {
        "name": iwa.name,
        "url": iwa.url,
        "keyId": iwa.key_id,
        "version": iwa.version,
        "realms": list(iwa.realms),
    }
