"""Two whole gateways on one PostgreSQL that has a synchronous standby, behind a balancer.

Gateway ``one`` is set to go on without the store, ``two`` to refuse. Each reaches primary and standby over
cables of its own, which can be pulled (`support.relay`).
"""

import http.client
import json
import shutil
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import yaml
from click.testing import CliRunner
from support import messages
from support.app_side import begun
from support.browser import Browser, Step, Visit
from support.gateway_process import GatewayProcess
from support.org_world import issue_token
from support.pki import CredentialFiles
from support.postgres import PostgresCluster
from support.processes import free_port
from support.relay import Relay, relay
from support.site import MTLS_DOMAIN, Site
from support.two_apps import ACS, PAYROLL, two_apps
from typing_extensions import override

from gateway.adapters.store import Store
from gateway.adapters.store.address import store_address
from gateway.cli.main import devicetrust
from gateway.model.org import TokenScope

FORM = "application/x-www-form-urlencoded"
LONG = 40.0  # guards against a hang; nothing waits so long
_SYNCHRONOUS = "synchronous_standby_names = '*'\nwal_retrieve_retry_interval = 100ms\n"


class Standby(PostgresCluster):
    """Follows a primary, which waits for it with every commit."""

    def __init__(self, port: int, primary: PostgresCluster) -> None:
        super().__init__(port)
        self._primary = primary

    @override
    def initialize(self) -> None:
        self.run(
            "pg_basebackup", "-D", self.data, "-R", "-X", "stream", "--checkpoint=fast", "--no-sync",
            "-h", self._primary.directory, "-p", self._primary.port, "-U", "postgres",
        )  # fmt: skip
        with (self.data / "postgresql.conf").open("a") as file:
            file.write("synchronous_standby_names = ''\n")

    def promote(self) -> None:
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute("SELECT pg_promote()")


@dataclass
class Gateway:
    """One of them: how it is asked, and what its log and store connection do."""

    name: str
    process: GatewayProcess
    cables: tuple[Relay, ...]
    token: str
    host: str = "127.0.0.1"
    entered: Callable[[], AbstractContextManager[None]] = nullcontext  # to be where its loopback is

    @property
    def address(self) -> tuple[str, int]:
        return self.host, self.process.https_port

    @property
    def configuration_file(self) -> str:
        return str(self.process.configuration_file)

    def api(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """The org's answer, over its own socket."""
        connection = _OverSocket(self.process.directory / "var/keys/org")
        headers = {"Authorization": f"SSWS {self.token}", "Content-Type": "application/json"}
        with closing(connection):
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            response = connection.getresponse()
            text = response.read()
        return response.status, json.loads(text) if text else None

    def command(self, *arguments: str) -> Any:
        """What `devicetrust … --json` prints, on this gateway's machine."""
        with self.entered():
            return command(*arguments, "-c", self.configuration_file, "--json")

    def cut(self) -> None:
        for cable in self.cables:
            cable.cut()

    def heal(self) -> None:
        for cable in self.cables:
            cable.heal()


@dataclass(kw_only=True)
class OneGateway:
    """A gateway on PostgreSQL, and people who sign on through it."""

    site: Site
    primary: PostgresCluster
    balancer: Relay
    one: Gateway
    let_through: int = 0  # of what `sign_on` tried
    _numbers: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def send_to(self, gateway: Gateway) -> None:
        """New connections of browsers go there."""
        self.balancer.target = gateway.address

    def certificate(self, device: str) -> tuple[CredentialFiles, str]:
        """(files, thumbprint) of a new certificate of the CA in the store for the site's user."""
        directory = self.site.directory / device
        directory.mkdir()
        whose = ("--user", self.site.user, "--device", device, "--create")
        issued = self.one.command("ca", "issue", *whose, "--new-key", str(directory))
        return CredentialFiles(directory / "device.pem", directory / "device.key"), issued["thumbprint"]

    def browser(self, credential: CredentialFiles | None) -> Browser:
        return Browser(self.site.web.pem.decode(), credential, {}, mtls_domain=MTLS_DOMAIN)

    def message(self, host: str) -> Step:
        """An assertion that the identity provider signs just now, about to be posted."""
        with self._lock:
            self._numbers += 1
            name = f"_{self._numbers}"
        recipient = f"https://{host}:{self.balancer.port}{ACS}"
        now = datetime.now(UTC)
        assertion = messages.Saml2Assertion(
            assertion_id=name,
            user=self.site.user,
            recipient=recipient,
            audiences=((f"https://{host}",),),
            in_response_to=None,
            now=now,
        )
        response = messages.Saml2Response(destination=recipient, in_response_to=None, now=now)
        signed = messages.sign(response.xml(assertion.xml()), "assertion", assertion_id=name)
        return Step(
            "POST", recipient, messages.body_of(messages.saml_form(signed)), FORM, "https://idp.example.test"
        )

    def sign_on(self, credential: CredentialFiles | None, host: str, gateway: Gateway) -> Visit:
        """A whole one, at one gateway."""
        self.send_to(gateway)
        visit = self.browser(credential).follow(self.message(host))
        self.let_through += visit.status == 200
        return visit


@dataclass(kw_only=True)
class TwoGateways(OneGateway):
    two: Gateway

    @property
    def gateways(self) -> tuple[Gateway, Gateway]:
        return self.one, self.two

    def connection(self, gateway: Gateway, host: str) -> ssl.SSLSocket:
        """One that stays open, as a browser's."""
        context = ssl.create_default_context(cadata=self.site.web.pem.decode())
        plain = socket.create_connection(gateway.address, timeout=LONG)
        return context.wrap_socket(plain, server_hostname=host)


@dataclass(kw_only=True)
class Fleet(TwoGateways):
    standby: Standby


class _OverSocket(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("sso.example.test", timeout=LONG)
        self._path = path

    @override
    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(LONG)
        self.sock.connect(str(self._path))


def command(*arguments: str) -> Any:
    done = CliRunner().invoke(devicetrust, arguments, standalone_mode=False)
    assert done.exception is None, (arguments, done.output, done.exception)
    return json.loads(done.stdout)


def eventually(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LONG
    while not holds():
        assert time.monotonic() < deadline, f"not in {LONG:g} s: {what}"
        time.sleep(0.02)


def workers(answer: Any, what: str) -> set[tuple[str, int]]:
    return {(each["gateway"], each["worker"]) for each in answer["enforcement"][what]}


def revoke(gateway: Gateway, device: str) -> Any:
    """Deactivate a device over the API; the answer."""
    status, devices = gateway.api("GET", "/api/v1/devices")
    assert status == 200, devices
    (found,) = (each for each in devices if each["profile"]["displayName"] == device)
    status, answer = gateway.api("POST", f"/api/v1/devices/{found['id']}/lifecycle/deactivate")
    assert status < 300, answer
    return answer


def session_connection(fleet: TwoGateways, gateway: Gateway, credential: CredentialFiles) -> ssl.SSLSocket:
    """An open connection with a session that rests on the device."""
    fleet.send_to(gateway)
    browser = fleet.browser(credential)
    assert browser.follow(fleet.message(PAYROLL)).status == 200
    connection = fleet.connection(gateway, PAYROLL)
    cookie = browser.cookies.header_for(urlsplit(f"https://{PAYROLL}:{fleet.balancer.port}/echo"))
    head = (
        "GET /echo HTTP/1.1",
        f"Host: {PAYROLL}",
        f"User-Agent: {browser.user_agent}",
        f"Cookie: {cookie}",
    )
    connection.sendall("\r\n".join((*head, "", "")).encode())
    with begun(connection) as response:
        assert response.status == 200
        response.read()
    return connection


def is_closed(connection: ssl.SSLSocket) -> bool:
    """By the gateway, sooner or later."""
    with connection:
        return connection.recv(1) == b""


@contextmanager
def running_fleet(directory: Path) -> Iterator[Fleet]:
    with ExitStack() as stack:
        primary = stack.enter_context(PostgresCluster.running(free_port(), settings=_SYNCHRONOUS))
        standby = Standby(free_port(), primary)
        stack.callback(standby.remove)
        standby.initialize()
        standby.start()
        site, configuration, balancer, token = stack.enter_context(prepared(directory, primary))
        shutil.copytree(directory / "one", directory / "two")
        gateways = []
        for name, without_store in (("one", "local"), ("two", "refuse")):
            cables = tuple(
                stack.enter_context(relay(("127.0.0.1", server.port or 0))) for server in (primary, standby)
            )
            hosts = ",".join(f"127.0.0.1:{cable.port}" for cable in cables)
            configuration["store"] = f"postgresql://postgres@{hosts}/org?target_session_attrs=read-write"
            configuration["fleet"] = {"name": name, "without_store": without_store, "claim_timeout": "1s"}
            if name == "one":
                make_authority(directory / name, configuration)
            else:
                configuration["listen"]["https"] = [f"127.0.0.1:{free_port()}"]
                configuration["listen"]["metrics"] = f"127.0.0.1:{free_port()}"
                share_keys(directory, configuration)
            gateways.append(_started(stack, name, configuration, directory, cables, token))
        one, two = gateways
        with ready(one, two):
            yield Fleet(site=site, primary=primary, balancer=balancer, one=one, standby=standby, two=two)


@contextmanager
def running_gateway(directory: Path) -> Iterator[OneGateway]:
    with ExitStack() as stack:
        primary = stack.enter_context(PostgresCluster.running())
        site, configuration, balancer, token = stack.enter_context(prepared(directory, primary))
        configuration["store"] = primary.url("org")
        make_authority(directory / "one", configuration)
        one = _started(stack, "one", configuration, directory, (), token)
        with ready(one):
            yield OneGateway(site=site, primary=primary, balancer=balancer, one=one)


@contextmanager
def prepared(
    directory: Path, primary: PostgresCluster, address: str = "127.0.0.1"
) -> Iterator[tuple[Site, dict[str, Any], Relay, str]]:
    """Site, configuration, balancer and API token of gateway ``one``, with a store that has its tables."""
    primary.create_database("org")
    store = Store.reach(store_address(primary.url("org")))
    store.migrate()
    token = issue_token(store, TokenScope.ADMIN)
    store.close()
    (directory / "one").mkdir(parents=True)
    site = Site(directory / "one")
    with two_apps(site, address) as configuration, relay(("127.0.0.1", site.https_port)) as balancer:
        configuration["device_trust"]["authorities"] = [{"name": "builtin", "builtin": True}]
        configuration["listen"] |= {"workers": 2, "public_port": balancer.port}
        yield site, configuration, balancer, token


def _started(
    stack: ExitStack,
    name: str,
    configuration: dict[str, Any],
    directory: Path,
    cables: tuple[Relay, ...],
    token: str,
) -> Gateway:
    process = GatewayProcess(configuration, directory / name, name=name)
    stack.callback(process.kill)
    return Gateway(name, process, cables, token)


@contextmanager
def ready(*gateways: Gateway) -> Iterator[None]:
    try:
        for gateway in gateways:
            with gateway.entered():
                gateway.process.wait_until_ready(60)
        yield
    except BaseException as error:
        for gateway in gateways:
            error.add_note(gateway.process.output())
        raise


def make_authority(directory: Path, configuration: dict[str, Any]) -> None:
    _write(directory, configuration)
    passphrase = directory / "root.passphrase"
    passphrase.write_text("a passphrase for the root")
    passphrase.chmod(0o600)
    command(
        "ca", "init", "-c", str(directory / "gateway.yaml"), "--json",
        "--root-key", str(directory / "root.key"), "--root-passphrase-file", str(passphrase),
    )  # fmt: skip


def share_keys(directory: Path, configuration: dict[str, Any]) -> None:
    _write(directory / "two", configuration)
    copy = str(directory / "keys.json")
    command("keys", "export", "-c", str(directory / "one" / "gateway.yaml"), "--plain", "--json", copy)
    command("keys", "import", "-c", str(directory / "two" / "gateway.yaml"), "--json", copy)


def _write(directory: Path, configuration: dict[str, Any]) -> None:
    (directory / "gateway.yaml").write_text(yaml.safe_dump(configuration))
