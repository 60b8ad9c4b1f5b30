"""The IWA web app at its own machine: keytab, directory, certificate, registration, the org, the clocks."""

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from http.client import HTTPException
from pathlib import Path
from typing import Any, Final
from urllib.error import URLError
from urllib.parse import urlsplit
from urllib.request import HTTPSHandler, build_opener

from cryptography import x509

from gateway.adapters.held_files import read_file
from gateway.adapters.iwa_org_client import OrgCallFailed, tls_context
from gateway.adapters.iwa_registration import RegistrationFile, replay_directory
from gateway.adapters.key_files import KeyFileRefused, read_key_file
from gateway.agent.doctor.probes import Probe
from gateway.agent.keytab import KeytabInvalid
from gateway.cli.checks.finding import EXPIRING_WITHIN, when
from gateway.cli.doctor_parts.web_apps import MAX_SKEW, AboutSeen, ask_about, shown_skew
from gateway.model.checkup import Check, CheckGroup, Subject
from gateway.model.directory import DirectoryUnavailable
from gateway.model.iwa_settings import DirectorySettings, IwaSettings

RUNNING: Final = Subject(CheckGroup.IWA, "it answers at its url")
CERTIFICATE: Final = Subject(CheckGroup.IWA, "HTTPS certificate")
REGISTRATION: Final = Subject(CheckGroup.IWA, "registration with the org")
ORG: Final = Subject(CheckGroup.IWA, "org is reached")
CLOCK: Final = Subject(CheckGroup.IWA, "clock against that of the org")
REPLAYS: Final = Subject(CheckGroup.IWA, "replay cache")
KERBEROS: Final = Subject(CheckGroup.IWA, "Kerberos")
_SECONDS: Final = 5.0
_MAX_BYTES: Final = 262_144


def iwa_probes(settings: IwaSettings) -> list[Probe]:
    return [
        Probe(RUNNING, lambda: [judge_running(settings, ask_about(settings.url))]),
        Probe(CERTIFICATE, lambda: [judge_certificate(settings, datetime.now(UTC))]),
        Probe(REGISTRATION, lambda: [judge_registration(settings)]),
        Probe(ORG, lambda: ask_org(settings)),
        Probe(REPLAYS, lambda: [judge_replays(replay_directory(settings.keys))]),
        Probe(KERBEROS, lambda: kerberos_checks(settings)),
        *(Probe(_realm_subject(each.realm), partial(_ask_realm, each.realm)) for each in settings.realms),
        *(Probe(_directory_subject(each), partial(ask_directory, each)) for each in settings.directories),
    ]


def kerberos_checks(settings: IwaSettings) -> Iterator[Check]:
    try:
        from gateway.cli.doctor_parts import kerberos_trial as trial
    except ImportError as error:
        yield KERBEROS.failed(
            f"{error.name} is not installed", "pip install 'devicetrust-gateway[iwa]' (it needs libkrb5-dev)"
        )
        return
    try:
        read_key_file(settings.keytab)
        entries = trial.look_into_keytab(settings.keytab)
    except (OSError, KeytabInvalid, KeyFileRefused) as error:
        yield trial.unreadable_keytab(settings.keytab, error)
        return
    yield trial.KEYTAB.ok(f"{settings.keytab}, readable by its owner only")
    host = urlsplit(settings.url).hostname or ""
    component = settings.service.partition("@")[0]
    yield from trial.judge_keytab(settings.keytab, entries, host, component)
    tried = trial.try_ticket(settings.keytab, entries, host, settings.service)
    yield from trial.judge_ticket(tried, entries, f"{component}/{host}")


def _realm_subject(realm: str) -> Subject:
    return Subject(CheckGroup.IWA, f"KDC of {realm}")


def _ask_realm(realm: str) -> Iterator[Check]:
    try:
        from gateway.cli.doctor_parts import kerberos_trial as trial
    except ImportError:
        return  # which the check of Kerberos says
    yield trial.judge_realm(_realm_subject(realm), trial.ask_realm(realm))


def judge_running(settings: IwaSettings, about: AboutSeen) -> Check:
    if about.trouble:
        return RUNNING.failed(
            f"{settings.url}: {about.trouble}",
            f"start it: devicetrust iwa serve -c {settings.source}; and see that the name of url leads here",
        )
    return RUNNING.ok(f"{settings.url}, version {about.version}")


def judge_certificate(settings: IwaSettings, now: datetime) -> Check:
    """Names and dates; whether computers trust its issuer is theirs."""
    host = urlsplit(settings.url).hostname or ""
    if settings.certificate is None:
        if urlsplit(settings.url).scheme == "https":
            return CERTIFICATE.skipped("a proxy before it has the certificate")
        return CERTIFICATE.warning(
            "url is http: tokens cross the network in clear, and tickets are bound to no connection",
            "take https: listen.https, certificate, private_key",
        )
    try:
        leaf = x509.load_pem_x509_certificates(read_file(settings.certificate, _MAX_BYTES))[0]
    except (OSError, ValueError) as error:
        return CERTIFICATE.failed(f"{settings.certificate}: {error}", "put the certificate in place, as PEM")
    names = _names(leaf)
    if not any(name == host or name == f"*.{host.partition('.')[2]}" for name in names):
        return CERTIFICATE.failed(
            f"it is for {', '.join(names) or 'no host'}, and url says {host}", f"get one for {host}"
        )
    end = leaf.not_valid_after_utc
    if end <= now:
        return CERTIFICATE.failed(f"expired on {when(end)}", "replace it, and reload: kill -HUP")
    if end - now <= EXPIRING_WITHIN:
        return CERTIFICATE.warning(f"expires on {when(end)}", "replace it, and reload: kill -HUP")
    return CERTIFICATE.ok(f"for {host}, until {when(end)}")


def judge_registration(settings: IwaSettings) -> Check:
    """Makes no key: where there is none, nothing is registered."""
    helps = f"run: devicetrust iwa register -c {settings.source} --token-file FILE"
    if not Path(settings.keys).exists():
        return REGISTRATION.failed(f"{settings.keys} is not there", helps)
    try:
        registration = RegistrationFile(settings.keys, settings.org_url)
        current = registration.current()
    except KeyFileRefused as refused:
        return REGISTRATION.failed(str(refused), helps)
    if current is None:
        return REGISTRATION.failed(registration.problem, helps)
    return REGISTRATION.ok(f"as {current.iwa_id}, for {current.audience}")


def judge_replays(directory: str) -> Check:
    path = Path(directory)
    while not path.exists() and path != path.parent:
        path = path.parent
    if not os.access(path, os.W_OK | os.X_OK):
        return REPLAYS.failed(
            f"{path} cannot be written to by this user",
            "run this as the user of the IWA web app; else give that one the directory",
        )
    return REPLAYS.ok(f"{directory} can be written to")


def ask_org(settings: IwaSettings) -> Iterator[Check]:
    """Discovery: that the org knows this IWA web app, and what time it is there."""
    try:
        context = tls_context(settings.org_ca_file)
    except OrgCallFailed as failed:
        yield ORG.failed(str(failed), "correct org.ca")
        return
    began = datetime.now(UTC)
    try:
        told, date = _discovery(settings.org_url, context)
    except (OSError, HTTPException, ValueError, RecursionError) as error:
        reason = error.reason if isinstance(error, URLError) else error
        yield ORG.failed(
            f"{settings.org_url}: {getattr(reason, 'verify_message', None) or reason}",
            "see the network, org.url and org.ca",
        )
        return
    yield judge_listed(settings, told)
    yield judge_clock(date, began, datetime.now(UTC))


def judge_listed(settings: IwaSettings, told: dict[str, Any]) -> Check:
    iwas = told.get("iwas")
    found = [each for each in iwas if isinstance(each, dict)] if isinstance(iwas, list) else []
    own = next((each for each in found if each.get("name") == settings.name), None)
    if own is None:
        return ORG.failed(
            f"{settings.org_url} tells agents of no IWA web app named {settings.name}",
            f"see devicetrust iwa list there: it is not registered, or disabled; "
            f"devicetrust iwa enable {settings.name}",
        )
    if own.get("url") != settings.url:
        return ORG.failed(
            f"agents are told {own.get('url')}, and url says {settings.url}",
            f"register anew: devicetrust iwa register -c {settings.source} --token-file FILE",
        )
    place = "the primary" if own.get("primary") is True else "not the primary"
    if own.get("online") is not True:
        return ORG.warning(f"registered, {place}, and offline", "see that devicetrust iwa serve runs")
    return ORG.ok(f"{settings.org_url} tells agents of it: {place}, online")


def judge_clock(theirs: datetime | None, began: datetime, ended: datetime) -> Check:
    if theirs is None:
        return CLOCK.skipped("its answer has no time")
    skew = began + (ended - began) / 2 - theirs
    if abs(skew) > MAX_SKEW:
        return CLOCK.failed(
            f"{shown_skew(skew)} that of the org", "let both machines follow a time server (NTP)"
        )
    return CLOCK.ok(f"within {MAX_SKEW.total_seconds():.0f} s")


def ask_directory(settings: DirectorySettings) -> Iterator[Check]:
    subject = _directory_subject(settings)
    try:
        from gateway.adapters.directory import LdapDirectory
    except ImportError as error:
        yield subject.failed(f"{error.name} is not installed", "pip install 'devicetrust-gateway[iwa]'")
        return

    async def check() -> None:
        directory = LdapDirectory([settings])
        try:
            await directory.check(settings.realm)
        finally:
            await directory.close()

    try:
        asyncio.run(check())
    except DirectoryUnavailable as error:
        yield subject.failed(str(error), "see directory in iwa.yaml: urls, ca, bind and base; and port 636")
    except KeyFileRefused as refused:
        yield subject.failed(str(refused), "correct bind in iwa.yaml")
    else:
        yield subject.ok("it takes us in, and knows the base")


def _discovery(url: str, context: ssl.SSLContext) -> tuple[dict[str, Any], datetime | None]:
    """The document, and the time of the answer. By the environment's proxy, if there is one."""
    opener = build_opener(HTTPSHandler(context=context))
    with opener.open(f"{url}/enroll/discovery", timeout=_SECONDS) as response:
        date = response.headers.get("Date")
        told = json.loads(response.read(_MAX_BYTES))
    if not isinstance(told, dict):
        raise HTTPException("it does not answer as an org")
    said = told.get("time")
    with contextlib.suppress(ValueError, TypeError, OverflowError):
        if isinstance(said, str):
            return told, datetime.fromisoformat(said).astimezone(UTC)
        if date is not None:
            return told, parsedate_to_datetime(date).astimezone(UTC) + timedelta(seconds=0.5)
    return told, None


def _directory_subject(settings: DirectorySettings) -> Subject:
    return Subject(CheckGroup.IWA, f"directory of {settings.realm}")


def _names(certificate: x509.Certificate) -> list[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except (x509.ExtensionNotFound, ValueError):
        return []
    return [name.lower() for name in found.value.get_values_for_type(x509.DNSName)]
