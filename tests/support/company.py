"""A company on loopback, every part of it a process as its administrators run it.

two Kerberos forests (MIT), or one Active Directory domain (Samba)
devicetrust serve          org with the CA in the store, two workers, and one app behind it
devicetrust iwa serve      two IWA web apps: hq-1 is the primary, branch-1 the next
devicetrust-agent          on workstations, see `support.workstation`

with company(kerberos_forests, tmp_path) as corp:
    corp.add_user("alice@example.test")
    station = corp.workstation("ws1", "alice")
    assert station.agent("--user").status == 0
"""

import base64
import hashlib
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.gateway_process import GatewayProcess, gateway_process
from support.iwa_process import IwaProcess
from support.kerberos import CORP, PARTNER, Forests, Realm
from support.org_api import Api, answered
from support.peers import IdentityProviderKind, Peers, RelyingParty, RelyingPartyKind, User
from support.private_etc import PrivateEtc
from support.samba import SambaDomain
from support.site import MTLS_DOMAIN, TRUSTED_LINUX_ONLY, Site
from support.workstation import Workstation

WIKI = "wiki.apps.example.test"
ORG_HOST = "sso.example.test"
HOSTS = {"localhost": "127.0.0.1", ORG_HOST: "127.0.0.1", f"est.{MTLS_DOMAIN}": "127.0.0.1"}
BOTH_FORESTS = [
    {"realm": CORP, "login": "{name}@example.test"},
    {"realm": PARTNER, "login": "principal"},
]
_PROGRAM = str(Path(sys.executable).parent / "devicetrust")
_COMMAND_SECONDS = 60.0
_EVENT_SECONDS = 20.0


@dataclass
class Company:
    """``configuration`` is gateway.yaml as a value; `reconfigure` changes it."""

    site: Site
    domain: Forests | SambaDomain
    configuration: dict[str, Any]
    app: RelyingParty
    gateway: GatewayProcess
    api: Api
    open: ExitStack
    iwas: list[IwaProcess]

    @property
    def org_url(self) -> str:
        return self.site.public_base(ORG_HOST)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Of a successful answer of the API the JSON."""
        return answered(self.api, method, path, body)

    def add_user(self, login: str) -> dict[str, Any]:
        """One that the directory is the master of."""
        body = {
            "profile": {"login": login, "firstName": "", "lastName": ""},
            "credentials": {"provider": {"type": "ACTIVE_DIRECTORY", "name": "ACTIVE_DIRECTORY"}},
        }
        user: dict[str, Any] = self.ask("POST", "/api/v1/users?activate=true", body)
        return user

    def set_settings(self, **settings: Any) -> None:
        self.ask("PUT", "/api/v1/settings", settings)

    def events(self, question: str) -> list[dict[str, Any]]:
        """Of the System Log, those that fit a filter."""
        found: list[dict[str, Any]] = self.ask("GET", f"/api/v1/logs?limit=1000&filter={quote(question)}")
        return found

    def wait_for_event(
        self, question: str, fits: Callable[[dict[str, Any]], bool] = lambda _: True
    ) -> dict[str, Any]:
        """The last one that fits."""
        deadline = time.monotonic() + _EVENT_SECONDS
        while True:
            found = [event for event in self.events(question) if fits(event)]
            if found:
                return found[-1]
            assert time.monotonic() < deadline, f"no event {question}"
            time.sleep(0.05)

    def certificates(self, device_id: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ask("GET", f"/api/v1/devices/{device_id}/certificates")
        return found

    def certificate(self, certificate: x509.Certificate) -> dict[str, Any]:
        """What the org knows of it."""
        thumbprint = thumbprint_of(certificate)
        known: dict[str, Any] = self.ask("GET", f"/api/v1/certificates/{thumbprint}")
        return known

    def set_lifetime(self, lifetime: timedelta, renew_before: timedelta) -> None:
        """Of certificates, from now on: change gateway.yaml, and wait until the org goes by it."""
        minutes = {"certificate_lifetime": lifetime, "renew_before": renew_before}
        self.configuration["device_trust"]["ca"] = {
            name: f"{value // timedelta(minutes=1)}m" for name, value in minutes.items()
        }
        self.gateway.write(self.configuration)
        self.gateway.reload()
        days = renew_before / timedelta(days=1)
        deadline = time.monotonic() + _EVENT_SECONDS
        while abs(self.ask("GET", "/enroll/discovery")["renew_before_days"] - days) > 0.01:
            assert time.monotonic() < deadline, self.gateway.output()
            time.sleep(0.05)

    def command(self, *words: str) -> str:
        """A command of `devicetrust` on the gateway's machine; what it prints."""
        return _command(self.site, *words)

    @property
    def token(self) -> str:
        return self.api.token

    def workstation(
        self, computer: str, user: str, *, realm: Realm | SambaDomain | None = None, **settings: str
    ) -> Workstation:
        """A computer with somebody who is logged on. ``settings`` are more lines of agent.conf."""
        if realm is None:
            realm = self.domain if isinstance(self.domain, SambaDomain) else self.domain.corp
        station = Workstation(
            self.site,
            self.domain,
            realm,
            computer,
            user,
            PrivateEtc(self.site.directory / f"{computer}-{user}-etc", HOSTS),
            {"OrgUrl": self.org_url, **settings},
        )
        self.open.callback(station.kill)
        return station


def thumbprint_of(certificate: x509.Certificate) -> str:
    """`x5t#S256`."""
    digest = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


@contextmanager
def company(
    domain: Forests | SambaDomain,
    directory: Path,
    *,
    user: User | None = None,
    iwas: Sequence[str] = ("hq-1", "branch-1"),
    iwa_changes: Mapping[str, Any] | None = None,
    **enrollment: Any,
) -> Iterator[Company]:
    """Everything but workstations. The identity provider signs ``user`` on at the app. The first
    of ``iwas`` is the primary; ``iwa_changes`` are keys of their iwa.yaml, ``enrollment`` such of
    device_trust.enrollment."""
    user = user or User()
    with ExitStack() as stack:
        peers = stack.enter_context(Peers())
        site = Site(directory, user=user.name)
        made = [_iwa(site, domain, name, iwa_changes or {}) for name in iwas]
        for iwa in made:
            stack.callback(iwa.kill)
            iwa.launch()
        app = peers.plan(RelyingPartyKind.PASSPORT_SAML, site.public_base(WIKI))
        idp = peers.start_identity_provider(IdentityProviderKind.SAMLP, [app], user=user)
        peers.start_relying_party(app, idp)
        configuration = site.configuration(
            [site.identity_provider("wiki", idp)], [site.app("wiki", app, policy=TRUSTED_LINUX_ONLY)]
        )
        configuration["store"] = "sqlite:///var/org.db"
        configuration["listen"]["workers"] = 2
        trust = configuration["device_trust"]
        trust["authorities"] = [{"name": "builtin", "builtin": True}]
        trust["enrollment"] = {"max_per_hour": 200, **enrollment}
        gateway = stack.enter_context(gateway_process(configuration, directory))
        with ThreadPoolExecutor() as pool:
            token = pool.submit(_command, site, "token", "create", "--name", "tests", "--scope", "admin")
            pool.submit(_make_authority, site).result()
        api = Api(site, token.result().strip())
        for iwa in made:  # one after the other: the first is the primary
            iwa.register(api.token)
        for iwa in made:
            iwa.wait_until_listening()
        yield Company(site, domain, configuration, app, gateway, api, stack, made)
        assert gateway.stderr_text() == ""


def _iwa(site: Site, domain: Forests | SambaDomain, name: str, changes: Mapping[str, Any]) -> IwaProcess:
    """Its TLS certificate is of the site's web authority."""
    limits = {"per_principal": 1_000, "per_address": 10_000}
    return IwaProcess(
        domain,
        site.directory / name,
        https=site.web.issue_server(["localhost"]),
        org_url=site.public_base(ORG_HOST),
        org_ca=site.web.pem,
        name=name,
        changes={"limits": limits, **changes},
        etc=PrivateEtc(site.directory / f"{name}-etc", HOSTS),
    )


def _make_authority(site: Site) -> None:
    passphrase = site.directory / "outputs" / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("long enough a phrase")
    root = site.directory / "outputs" / "root.key"
    _command(site, "ca", "init", "--root-key", str(root), "--root-passphrase-file", str(passphrase))


def _command(site: Site, *words: str) -> str:
    group, verb, *rest = words
    done = subprocess.run(
        [_PROGRAM, group, verb, "-c", str(site.directory / "gateway.yaml"), *rest],
        capture_output=True,
        text=True,
        timeout=_COMMAND_SECONDS,
        check=False,
    )
    assert done.returncode == 0, f"devicetrust {' '.join(words)}: {done.stdout}{done.stderr}"
    return done.stdout
