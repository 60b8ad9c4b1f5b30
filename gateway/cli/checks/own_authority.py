"""The CA in the store: whether there is one, its keys open, and nothing of it ends soon."""

from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

from gateway.adapters.ca_keys import CaKeys
from gateway.adapters.store import Store
from gateway.cli.checks.finding import Finding, Severity, when
from gateway.model.issued import AuthorityKind, AuthorityRecord, AuthorityStatus, PublishedCrl
from gateway.model.settings import GatewaySettings
from gateway.model.store_errors import StoreError
from gateway.pki.signer import SigningFailed

# The root's key is offline: whoever has to fetch it wants to know a while before.
_ROOT_CRL_DUE = timedelta(days=60)
_SQLITE = "sqlite:///"


def check_own_authority(settings: GatewaySettings, now: datetime) -> Iterator[Finding]:
    """Not checked: a store on another machine, to which no connection is opened."""
    if not any(authority.builtin for authority in settings.authorities):
        return
    url = settings.store_url or ""
    if not url.startswith(_SQLITE):
        yield Finding(
            Severity.NOTICE,
            "store-not-checked",
            settings.source,
            "the CA is in a store on another machine, which is not connected to here",
            "run: devicetrust ca list",
        )
        return
    path = url.removeprefix(_SQLITE)
    if not Path(path).exists():
        yield _missing(path)
        return
    try:
        store = Store.open(url)
        try:
            with store.read() as view:
                authorities = view.authorities.all()
                lists = {each.id: view.crls.get(each.id, 0) for each in authorities}
        finally:
            store.close()
    except StoreError as error:
        yield Finding(
            Severity.PROBLEM,
            "store-unusable",
            path,
            str(error),
            "see that the store can be used: without it no device of its CA is trusted",
        )
        return
    keys = CaKeys(lambda: settings.ca, settings.keys_directory)
    issuing = [each for each in authorities if each.kind is AuthorityKind.ISSUING]
    if not issuing:
        yield _missing(path)
    for authority in issuing:
        if authority.status is not AuthorityStatus.RETIRED:
            yield from _issuing(path, authority, keys, settings, now)
    for authority in authorities:
        if authority.kind is AuthorityKind.ROOT:
            yield from _root(path, authority, lists[authority.id], now)


def _missing(path: str) -> Finding:
    return Finding(
        Severity.PROBLEM,
        "own-authority-missing",
        path,
        "there is no CA in the store yet, so that no device of it is trusted",
        "run: devicetrust ca init",
    )


def _issuing(
    path: str, authority: AuthorityRecord, keys: CaKeys, settings: GatewaySettings, now: datetime
) -> Iterator[Finding]:
    name = f"{authority.name}, generation {authority.generation},"
    try:
        keys.signer(authority)
    except SigningFailed as error:
        yield Finding(
            Severity.PROBLEM,
            "own-key-unusable",
            path,
            f"{name} cannot sign: {error}",
            "bring its key back; until then nothing is issued, and its CRLs run out",
        )
    left = authority.not_after - now
    if left <= timedelta(0):
        yield Finding(
            Severity.PROBLEM,
            "authority-expired",
            path,
            f"{name} expired on {when(authority.not_after)}; what it issued is not trusted",
            "run: devicetrust ca rollover",
        )
    elif authority.status is AuthorityStatus.ACTIVE and left <= settings.ca.certificate_lifetime:
        yield Finding(
            Severity.WARNING,
            "certificates-expiring",
            path,
            f"{name} expires on {when(authority.not_after)}, and what it issues lives no longer than that",
            "run: devicetrust ca rollover",
        )


def _root(path: str, root: AuthorityRecord, crl: PublishedCrl | None, now: datetime) -> Iterator[Finding]:
    if crl is None or crl.next_update - now <= _ROOT_CRL_DUE:
        until = "is missing" if crl is None else f"is valid until {when(crl.next_update)}"
        yield Finding(
            Severity.WARNING,
            "root-crl-due",
            path,
            f"the revocation list of {root.name} {until}; others that check CRLs need it",
            "run: devicetrust ca crl --root-key FILE",
        )
