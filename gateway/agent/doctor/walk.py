"""The walk of the doctor over this computer: what is looked at, in which order, and side by side where one
does not need the other.

    1   the org (all else is held against what it says); what this computer remembers
    2   IWA web apps, tickets, the computer's part; the mTLS host; the certificate; the browsers
    3   with the certificate: a trial handshake, and what the org makes of it
"""

import secrets
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from cryptography.hazmat.primitives.asymmetric import ec

from gateway.agent.artefacts.systemd import TIMER
from gateway.agent.assembly import Connections, connections, means_of
from gateway.agent.commands import SystemCommands
from gateway.agent.device_part import default_socket
from gateway.agent.discovery import Discovery, Iwa
from gateway.agent.doctor import browsers_seen, certificate_seen, on_the_way, task_seen
from gateway.agent.doctor.probes import Probe, run_probes
from gateway.agent.doctor.routes_seen import connect_by, shown_routes
from gateway.agent.doctor.task_seen import ScheduleSeen
from gateway.agent.doctor.tls_look import LookFailed, ShownFiles, TlsSeen, tls_look
from gateway.agent.iwa_client import Asked
from gateway.agent.keys.device_key import DeviceKey, KeyFailed
from gateway.agent.keys.keepers import ConfiguredKeepers
from gateway.agent.negotiate import as_person, person_principal
from gateway.agent.org_client import OrgClient
from gateway.agent.plan import Held, Standing
from gateway.agent.platform import BrowserPolicy, KeyFile, Platform, PlatformFailed
from gateway.agent.platforms.linux_schedule import USER_UNITS_FOR_ALL
from gateway.agent.proxies.routes import ProxyRefused, Route
from gateway.agent.refusal import Refusal, Refused
from gateway.agent.settings import Settings
from gateway.agent.survey import Survey, survey
from gateway.agent.trace import NoTrace
from gateway.agent.vault import Vault, VaultFailed
from gateway.enrollment.proofs import PROOF_LIFETIME, ProofAct, ProofClaims, sign_proof
from gateway.enrollment.thumbprints import key_thumbprint
from gateway.model.checkup import Check
from gateway.pki.certificate import Certificate

_LINUX: Final = "LINUX"
_SYSTEMCTL_SECONDS: Final = 3.0
_HTTPS_PORT: Final = 443


def doctor_checks(
    settings: Settings,
    platform: Platform,
    environment: Mapping[str, str],
    *,
    home: Path,
    root: Path = Path("/"),
) -> list[Check]:
    """Raises Refused where CaFile or HttpProxy cannot be used, VaultFailed where the agent's own directory
    cannot."""
    vault = Vault(platform.data_directory)
    with connections(settings, vault.directory, environment, NoTrace()) as lines:
        return _Walk(settings, platform, environment, vault, lines, home, root).checks()


class _Walk:
    def __init__(
        self,
        settings: Settings,
        platform: Platform,
        environment: Mapping[str, str],
        vault: Vault,
        lines: Connections,
        home: Path,
        root: Path,
    ) -> None:
        self._settings = settings
        self._platform = platform
        self._environment = environment
        self._vault = vault
        self._lines = lines
        self._home = home
        self._root = root
        self._org = OrgClient(lines.outside, settings.org_url)
        self._keepers = ConfiguredKeepers(settings, vault.directory, platform)
        self._state = vault.state()
        self._told: Discovery | None = None
        self._authorities: tuple[Certificate, ...] = ()
        self._held: tuple[Held, ...] = ()

    def checks(self) -> list[Check]:
        now = datetime.now(UTC)
        found = [on_the_way.SETTINGS.ok(f"OrgUrl={self._settings.org_url}")]
        found += run_probes(
            [
                Probe(on_the_way.ORG, self._look_at_org),
                Probe(task_seen.SCHEDULE, self._look_at_schedule),
                Probe(task_seen.LAST_RUN, lambda: [task_seen.judge_last_run(self._state, now)]),
            ]
        )
        found += run_probes([Probe(certificate_seen.PRESENT, self._look_at_certificate), *self._of_the_org()])
        return found + run_probes(self._with_certificate())

    def _of_the_org(self) -> list[Probe]:
        told = self._told
        if told is None:
            why = "the org was not reached"
            return [
                Probe(subject, partial(_one, subject.skipped(why)))
                for subject in (task_seen.IWAS, on_the_way.MTLS_HOST, browsers_seen.CHROMIUM)
            ]
        probes = [
            Probe(task_seen.IWAS, lambda: [task_seen.judge_iwas(told.iwas)]),
            *(Probe(task_seen.IWAS, partial(self._look_at_iwa, iwa)) for iwa in told.iwas),
            Probe(on_the_way.MTLS_HOST, partial(self._look_at_mtls_host, told)),
            Probe(browsers_seen.CHROMIUM, partial(self._look_at_browsers, told)),
        ]
        if told.iwas:
            probes += [
                Probe(task_seen.TICKET, partial(_ask_for_ticket, told.iwas[0])),
                Probe(task_seen.DEVICE_PART, partial(self._ask_device_part, told, told.iwas[0])),
            ]
        return probes

    def _with_certificate(self) -> list[Probe]:
        told, found = self._told, certificate_seen.current(self._held, self._state)
        if told is None or found is None or found.key_name is None:
            why = "there is no certificate with a key of the agent's, or the org was not reached"
            return [Probe(on_the_way.SHOWN, partial(_one, on_the_way.SHOWN.skipped(why)))]
        try:
            key = self._keepers.of(found.key_name).open(found.key_name)
        except KeyFailed as failed:
            return [
                Probe(on_the_way.SHOWN, partial(_one, on_the_way.SHOWN.failed(str(failed), failed.remedy)))
            ]
        if key is None:
            return []
        return [
            Probe(on_the_way.SHOWN, partial(self._show, told, key)),
            Probe(certificate_seen.TRUSTED, partial(self._ask_about_self, told, found, key)),
        ]

    def _look_at_org(self) -> Iterator[Check]:
        url = self._settings.org_url
        asked = datetime.now(UTC)
        answer: Discovery | Refusal
        try:
            answer = self._told = self._org.discovery()
        except Refused as error:
            answer = error.refusal
        answered = datetime.now(UTC)
        host, port = urlsplit(url).hostname or "", urlsplit(url).port or _HTTPS_PORT
        ways = self._ways(url)
        seen = _seen(ways, host, port, host)
        issuer = "" if isinstance(seen, LookFailed) else seen.issuer
        yield on_the_way.judge_org(answer, url, shown_routes(ways), issuer)
        yield from on_the_way.judge_proxy(self._lines.chooser.notes)
        yield on_the_way.judge_clock(self._told, asked, answered)
        if self._told is not None:
            try:
                self._authorities = self._org.authorities()
            except Refused as error:
                yield certificate_seen.ISSUER.failed(
                    f"{url} does not give its authorities: {error.refusal.message}", error.refusal.remedy
                )

    def _look_at_schedule(self) -> Iterator[Check]:
        if self._platform.name != _LINUX:
            yield task_seen.SCHEDULE.skipped("seen with the system's own scheduler here")
            return
        config = Path(self._environment.get("XDG_CONFIG_HOME") or self._home / ".config")
        places = (self._root / USER_UNITS_FOR_ALL / TIMER, config / "systemd/user" / TIMER)
        file = next((str(place) for place in places if place.exists()), None)
        yield task_seen.judge_schedule(ScheduleSeen(file, None if file is None else _is_active()))

    def _look_at_certificate(self) -> Iterator[Check]:
        now = datetime.now(UTC)
        try:
            found = self._survey(now)
        except (VaultFailed, PlatformFailed) as error:
            remedy = error.remedy if isinstance(error, PlatformFailed) else ""
            yield certificate_seen.REMARKS.failed(str(error), remedy or "see the file that is named")
            return
        self._held = found.held
        in_stores = not self._settings.skip_browser_stores
        yield from certificate_seen.judge_certificate(
            found.held, self._state, self._told, now, in_stores=in_stores
        )
        for remark in found.remarks:
            yield certificate_seen.REMARKS.warning(remark, "run: devicetrust-agent --user")

    def _survey(self, now: datetime) -> Survey:
        def standing(certificate: Certificate, issuer: Certificate) -> Standing:
            return self._org.standing(certificate, issuer, now)

        return survey(self._vault, self._keepers, self._platform, self._authorities, standing, now)

    def _look_at_iwa(self, iwa: Iwa) -> Iterator[Check]:
        try:
            answer = self._lines.inside.send("GET", f"{iwa.url}/about")
        except Refused as error:
            yield task_seen.judge_about(iwa, None, b"", error.refusal)
            return
        yield task_seen.judge_about(iwa, answer.status, answer.body, None)

    def _ask_device_part(self, told: Discovery, iwa: Iwa) -> Iterator[Check]:
        means = means_of(self._settings, self._lines, self._platform.name, NoTrace(), lambda _: None)
        settings = self._settings
        where = settings.device_keytab or settings.device_socket or default_socket(sys.platform)
        key = ec.generate_private_key(ec.SECP256R1()).public_key()
        trouble = None
        try:
            means.device_token(iwa, Asked(told.nonce, key_thumbprint(key)))
        except Refused as error:
            trouble = error.refusal
        yield task_seen.judge_device_part(where, trouble)

    def _look_at_mtls_host(self, told: Discovery) -> Iterator[Check]:
        host = _challenge_host(told)
        ways = self._ways(_url(host, told.mtls_port))
        seen = _seen(ways, host, told.mtls_port, host)
        yield on_the_way.judge_mtls_host(told, host, seen, shown_routes(ways))
        yield on_the_way.judge_asked(told, seen)

    def _look_at_browsers(self, told: Discovery) -> Iterator[Check]:
        if self._settings.skip_browser_setup or self._platform.name != _LINUX:
            why = "SkipBrowserSetup is set" if self._settings.skip_browser_setup else "not looked at here"
            yield browsers_seen.CHROMIUM.skipped(why, "see chrome://policy")
            return
        policy = BrowserPolicy(told.mtls_domain, told.issuer_common_name, told.mtls_port)
        yield browsers_seen.judge_policies(policy, *browsers_seen.look_at_policies(self._root))
        asking = browsers_seen.look_at_firefox(self._root, self._home, self._environment)
        yield from browsers_seen.judge_firefox(asking)

    def _show(self, told: Discovery, key: DeviceKey) -> Iterator[Check]:
        place = key.place
        if not isinstance(place, KeyFile):
            yield on_the_way.SHOWN.skipped(f"the key is in {key.storage}, which only browsers show")
            return
        host = _challenge_host(told)
        ways = self._ways(_url(host, told.mtls_port))
        files = ShownFiles(self._vault.certificate_file(key.name), place.path)
        yield on_the_way.judge_shown(_seen(ways, host, told.mtls_port, host, files))

    def _ask_about_self(self, told: Discovery, held: Held, key: DeviceKey) -> Iterator[Check]:
        now = datetime.now(UTC)
        claims = ProofClaims(
            proof_id=secrets.token_urlsafe(16),
            audience=told.audience,
            act=ProofAct.SELF,
            nonce=told.nonce,
            issued=now,
            expires=now + PROOF_LIFETIME,
        )
        try:
            proof = sign_proof(claims, held.certificate.der, key.sign)
            answer = self._org.known_of_me(proof)
        except Refused as error:
            refusal = error.refusal
            yield certificate_seen.TRUSTED.failed(f"{refusal.code}: {refusal.message}", refusal.remedy)
            return
        except KeyFailed as failed:
            yield certificate_seen.TRUSTED.failed(str(failed), failed.remedy)
            return
        yield from certificate_seen.judge_self(answer)

    def _ways(self, url: str) -> tuple[Route, ...]:
        try:
            return self._lines.chooser.routes_for(url).ways
        except ProxyRefused:
            return ()  # the org's check has said why


def _seen(
    ways: Sequence[Route], host: str, port: int, server_name: str, files: ShownFiles | None = None
) -> TlsSeen | LookFailed:
    try:
        return tls_look(connect_by(ways, host, port), server_name, files)
    except LookFailed as failed:
        return failed


def _ask_for_ticket(iwa: Iwa) -> Iterator[Check]:
    host = urlsplit(iwa.url).hostname or ""
    trouble = None
    try:
        as_person()(host, None).first()
    except Refused as error:
        trouble = error.refusal
    yield task_seen.judge_ticket(person_principal(), host, trouble)


def _challenge_host(told: Discovery) -> str:
    return f"n{secrets.token_hex(8)}.{told.mtls_domain}"


def _url(host: str, port: int) -> str:
    return f"https://{host}" if port == _HTTPS_PORT else f"https://{host}:{port}"


def _is_active() -> bool | None:
    """Whether the person's systemd waits for the timer; None where it cannot be asked."""
    command = ["systemctl", "--user", "is-active", TIMER]
    try:
        finished = SystemCommands().run(command, seconds=_SYSTEMCTL_SECONDS)
    except PlatformFailed:
        return None
    if finished.status == 0:
        return True
    return False if finished.output.strip() in (b"inactive", b"failed") else None


def _one(check: Check) -> Iterator[Check]:
    yield check
