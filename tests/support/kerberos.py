"""Two real Kerberos forests (MIT krb5) on loopback, with their own files and nothing of the system's.

    CORP.EXAMPLE.TEST       where the IWA web app is: alice, carol (disabled), the computers ws1 and ws2
    PARTNER.EXAMPLE.TEST    bob, the computer ws9

Tests take the fixture ``kerberos``: the forests run for the whole test run, with trust both ways, and this
process (and what it starts) uses them while the test runs. Whoever needs another trust, or stops a KDC,
starts forests of his own, which takes half a second::

    with Forests.running(Trust.NONE) as forests, forests.entered():
        cache = forests.partner.log_in("bob")          # as kinit
        forests.partner.log_in_computer("ws9")         # with the computer's keytab
        token = forests.negotiate(cache, IWA_HOST)     # the client's SPNEGO token
        environment = forests.environment(cache)       # for curl, the agent, a browser

Every password is the name. ``localhost`` is of the first forest, so that clients that cannot be told where a
host is find one all the same. Names that start with ``iwa`` need a client that can be told.
"""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from enum import Enum
from itertools import count
from pathlib import Path

import gssapi
import pytest
from gssapi.raw import ChannelBindings
from support.processes import ChildProcess, free_port, program

CORP = "CORP.EXAMPLE.TEST"
PARTNER = "PARTNER.EXAMPLE.TEST"
IWA_HOST = "iwa.corp.example.test"
IWA_SERVICES = (f"HTTP/{IWA_HOST}", "HTTP/localhost")
SPNEGO = gssapi.OID.from_int_seq("1.3.6.1.5.5.2")

_RUN_SECONDS = 20.0
_ENCTYPES = "aes256-cts-hmac-sha1-96 aes128-cts-hmac-sha1-96"


class Trust(Enum):
    """Who trusts whom: whose services accept the other's accounts."""

    BOTH_WAYS = ((CORP, PARTNER), (PARTNER, CORP))
    CORP_TRUSTS_PARTNER = ((CORP, PARTNER),)
    PARTNER_TRUSTS_CORP = ((PARTNER, CORP),)
    NONE = ()


class KerberosFailed(AssertionError):
    """A program of Kerberos refused; the message is what it said."""


class KerberosClients:
    """What uses some realms: by which configuration it finds them, and where its tickets are. ``iwa_keytab``
    is of the IWA web app there."""

    iwa_keytab: Path

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.configuration = directory / "krb5.conf"
        self._numbers = count(1)
        (directory / "replays").mkdir(0o700)

    def new_file(self, name: str) -> Path:
        return self.directory / f"{next(self._numbers)}-{name}"

    def environment(self, cache: str | None = None) -> dict[str, str]:
        """For a process that is to use these realms, and the tickets of ``cache``; without one it has
        none."""
        return {
            "KRB5_CONFIG": str(self.configuration),
            "KRB5CCNAME": cache or f"FILE:{self.directory}/nobody",
            "KRB5RCACHEDIR": str(self.directory / "replays"),
        }

    @contextmanager
    def entered(self) -> Iterator[None]:
        """This process uses these realms, and no tickets of its own."""
        changed = self.environment()
        before = {name: os.environ.get(name) for name in changed}
        os.environ.update(changed)
        try:
            yield
        finally:
            for name, value in before.items():
                if value is None:
                    del os.environ[name]
                else:
                    os.environ[name] = value

    def negotiate(
        self,
        cache: str,
        host: str = IWA_HOST,
        *,
        channel_bindings: bytes | None = None,
        service: str = "HTTP",
    ) -> bytes:
        """A client's first SPNEGO token for a service, by the tickets of ``cache``; within `entered`.
        ``channel_bindings`` is the application data, `tls-server-end-point:…`. Raises gssapi's GSSError
        where the KDC refuses."""
        return self.client(cache, host, channel_bindings=channel_bindings, service=service).step() or b""

    def client(
        self,
        cache: str,
        host: str = IWA_HOST,
        *,
        channel_bindings: bytes | None = None,
        service: str = "HTTP",
    ) -> gssapi.SecurityContext:
        """The same before its first step, for the answer to be checked: it wants mutual authentication."""
        bindings = None if channel_bindings is None else ChannelBindings(application_data=channel_bindings)
        return gssapi.SecurityContext(
            name=gssapi.Name(f"{service}@{host}", gssapi.NameType.hostbased_service),
            creds=gssapi.Credentials(usage="initiate", store={"ccache": cache}),
            mech=SPNEGO,
            usage="initiate",
            flags=gssapi.RequirementFlag.mutual_authentication,
            channel_bindings=bindings,
        )


class Realm:
    """One forest: its database and its KDC."""

    def __init__(self, name: str, forests: "Forests") -> None:
        self.name = name
        self.domain = name.lower()
        self.port = free_port()
        self.directory = forests.directory / self.domain
        self._forests = forests
        self._kdc: ChildProcess | None = None

    def create(self) -> None:
        self.directory.mkdir()
        (self.directory / "kdc.conf").write_text(
            f"""\
[kdcdefaults]
  kdc_listen = 127.0.0.1:{self.port}
  kdc_tcp_listen = 127.0.0.1:{self.port}
[realms]
  {self.name} = {{
    database_name = {self.directory}/principal
    key_stash_file = {self.directory}/stash
    max_life = 10h
    supported_enctypes = aes256-cts-hmac-sha1-96:normal
  }}
[logging]
  kdc = FILE:{self.directory}/kdc.log
"""
        )
        self._run("kdb5_util", "-r", self.name, "create", "-s", "-P", "master")

    def start(self) -> None:
        """Start the KDC. `wait` waits until it answers."""
        kdc = program("krb5kdc") or "krb5kdc"
        self._kdc = ChildProcess(
            f"kdc-{self.domain}",
            [kdc, "-n", "-r", self.name, "-P", str(self.directory / "kdc.pid")],
            self.directory,
            environment=self._environment(),
            own_logs=[self.directory / "kdc.log"],
        )

    def wait(self) -> None:
        assert self._kdc is not None
        self._kdc.wait_until_listening(self.port)

    def stop(self) -> None:
        """The domain controllers are away. `start` brings them back."""
        if self._kdc is not None:
            self._kdc.kill()
            self._kdc.wait()
            self._kdc = None

    def administer(self, *queries: str) -> None:
        """Commands of kadmin. Raises KerberosFailed."""
        said = self._run("kadmin.local", "-r", self.name, said="\n".join(queries) + "\n")
        if " while " in said:  # its exit status is that of the last command only
            raise KerberosFailed(said)

    def add_user(self, *names: str) -> None:
        self.administer(*(f"addprinc -pw {name} {name}" for name in names))

    def disable(self, name: str) -> None:
        """No new ticket; those that were issued stay good."""
        self.administer(f"modprinc -allow_tix {name}")

    def enable(self, name: str) -> None:
        self.administer(f"modprinc +allow_tix {name}")

    def add_computer(self, *names: str) -> None:
        """Accounts `name$`, each with a keytab that holds `host/name.domain`, too, as after joining."""
        for name in names:
            of_computer = (f"{name}$", f"host/{name}.{self.domain}")
            self.administer(
                *(f"addprinc -randkey {each}" for each in of_computer),
                f"ktadd -k {self.computer_keytab(name)} {' '.join(of_computer)}",
            )

    def computer_keytab(self, name: str) -> Path:
        return self.directory / f"{name}.keytab"

    def service_keytab(self, *services: str, new: bool = True) -> Path:
        """A new keytab for services such as `HTTP/iwa.corp.example.test`, which are made where ``new``, and
        get new keys in any case."""
        keytab = self._forests.new_file("service.keytab")
        made = [f"addprinc -randkey {service}" for service in services] if new else []
        self.administer(*made, f"ktadd -k {keytab} {' '.join(services)}")
        keytab.chmod(0o600)
        return keytab

    def log_in(self, user: str) -> str:
        """The person's new credential cache, with a ticket-granting ticket, as `KRB5CCNAME` names it."""
        return self._log_in(f"{user}@{self.name}", said=f"{user}\n")

    def log_in_computer(self, name: str) -> str:
        return self._log_in(f"{name}$@{self.name}", "-k", "-t", str(self.computer_keytab(name)))

    def _log_in(self, principal: str, *options: str, said: str = "") -> str:
        cache = f"FILE:{self._forests.new_file('cache')}"
        self._run("kinit", "-c", cache, *options, principal, said=said)
        return cache

    def _environment(self) -> dict[str, str]:
        return {**self._forests.environment(), "KRB5_KDC_PROFILE": str(self.directory / "kdc.conf")}

    def _run(self, name: str, *arguments: str, said: str = "") -> str:
        done = subprocess.run(
            [program(name) or name, *arguments],
            env={**os.environ, **self._environment()},
            input=said,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_RUN_SECONDS,
            check=False,
        )
        if done.returncode:
            raise KerberosFailed(f"{name} {' '.join(arguments)}: {done.stdout}")
        return done.stdout


class Forests(KerberosClients):
    """Both realms, and the configuration by which clients find them."""

    def __init__(self) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="dt-krb-")))
        self.corp = Realm(CORP, self)
        self.partner = Realm(PARTNER, self)
        self.configuration.write_text(self._client_configuration())

    @classmethod
    @contextmanager
    def running(cls, trust: Trust = Trust.BOTH_WAYS) -> Iterator["Forests"]:
        """New forests with the accounts of the module's docstring; gone at the end."""
        forests = cls()
        with ExitStack() as stack:
            stack.callback(forests.remove)
            for realm in forests.realms:
                realm.create()
            forests.add_accounts(trust)
            for realm in forests.realms:
                realm.start()
            for realm in forests.realms:
                realm.wait()
            yield forests

    @property
    def realms(self) -> tuple[Realm, Realm]:
        return self.corp, self.partner

    def add_accounts(self, trust: Trust) -> None:
        self.corp.add_user("alice", "carol")
        self.corp.disable("carol")
        self.corp.add_computer("ws1", "ws2")
        self.partner.add_user("bob")
        self.partner.add_computer("ws9")
        self.iwa_keytab = self.corp.service_keytab(*IWA_SERVICES)
        for trusting, trusted in trust.value:
            for realm in self.realms:
                realm.administer(f"addprinc -pw trust-{trusting}-{trusted} krbtgt/{trusting}@{trusted}")

    def remove(self) -> None:
        for realm in self.realms:
            realm.stop()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _client_configuration(self) -> str:
        realms = "".join(f"  {r.name} = {{\n    kdc = 127.0.0.1:{r.port}\n  }}\n" for r in self.realms)
        domains = "".join(f"  .{r.domain} = {r.name}\n  {r.domain} = {r.name}\n" for r in self.realms)
        return f"""\
[libdefaults]
  default_realm = {CORP}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
  permitted_enctypes = {_ENCTYPES}
[realms]
{realms}[domain_realm]
{domains}  localhost = {CORP}
[capaths]
  {CORP} = {{
    {PARTNER} = .
  }}
  {PARTNER} = {{
    {CORP} = .
  }}
"""


def missing_parts() -> list[str]:
    """What is not installed here; ``make test`` installs all of it."""
    return [name for name in ("krb5kdc", "kadmin.local", "kdb5_util", "kinit") if program(name) is None]


def run_at(moment: str, command: Sequence[str]) -> list[str]:
    """The command with a clock of its own, such as `-10m`: for clients whose clock is wrong."""
    return ["faketime", "-f", moment, *command]


@pytest.fixture(scope="session")
def kerberos_forests() -> Iterator[Forests]:
    """One for all tests, with trust both ways; do not stop its KDCs."""
    with Forests.running() as forests:
        yield forests


@pytest.fixture
def kerberos(kerberos_forests: Forests) -> Iterator[Forests]:
    with kerberos_forests.entered():
        yield kerberos_forests
