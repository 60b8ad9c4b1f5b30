"""A real Active Directory domain: a Samba domain controller with its own files, network and processes.

Tests take the fixture ``samba``: one domain for the whole test run, which this process (and what it starts)
uses while the test runs::

    cache = samba.log_in("alice")                       # as kinit
    cache = samba.log_in_computer("ws1")                # with the keytab that adcli made when it joined
    token = samba.negotiate(cache, IWA_HOST)            # the client's SPNEGO token
    samba.iwa_keytab                                    # of the service account svc-iwa
    samba.ldap_url, samba.ldaps_url, samba.ca_file      # host name: 127.0.0.1
    with samba.changed("alice", userAccountControl="514"): ...
    with samba.stopped(): ...    with samba.silent(): ...

With ``samba_partner`` there is a second forest, PARTNER.EXAMPLE.TEST, with the same accounts; the two trust
each other.

The controller is in namespaces of its own, where it may have the ports that it insists on; what it offers is
passed on to free ports of this machine's loopback. So it takes no root, several domains do not meet, and
nothing stays behind whatever becomes of the test run.
"""

import json
import os
import select
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from support.kerberos import KerberosClients
from support.pki import Authority
from support.processes import program

REALM = "AD.EXAMPLE.TEST"
SHORT_NAME = "CORP"
BASE = "DC=ad,DC=example,DC=test"
IWA_HOST = "iwa.ad.example.test"
SERVICE_ACCOUNT = "svc-iwa"
PARTNER_REALM = "PARTNER.EXAMPLE.TEST"
COMPUTER = "ws1"

_IN_NAMESPACES = (
    *("setpriv", "--pdeathsig", "KILL", "--"),
    *("unshare", "--net", "--mount", "--pid", "--fork", "--kill-child"),
)
_PYTHON = "/usr/bin/python3"
_CONTROLLER = Path(__file__).parent / "samba_controller.py"
_ADMINISTRATOR_PASSWORD = "Only.For.One.Run.1"
_TRUST_SECRET = "Only.For.One.Run.2"
_START_SECONDS = 120.0  # 4 s on an idle machine
_ANSWER_SECONDS = 60.0
_KILL_SECONDS = 10.0

_GLOBAL_GROUP, _DOMAIN_LOCAL_GROUP = -2147483646, -2147483644  # groupType (MS-ADTS §2.2.12)

_SERVICES = [f"HTTP/{IWA_HOST}", "HTTP/localhost"]

# alice is in Engineers, and by way of it in Staff; the computer ws1 is in Laptops, and so in Managed.
_USERS: dict[str, dict[str, Any]] = {
    "alice": {"mail": "alice@example.com", "attributes": {"userPrincipalName": "alice@example.com"}},
    "bob": {},
    "carol": {"attributes": {"userAccountControl": "514"}},  # disabled (MS-ADTS §2.2.16)
    "erin": {"attributes": {"accountExpires": "130000000000000000"}},  # in 2012
    SERVICE_ACCOUNT: {
        "attributes": {
            "servicePrincipalName": _SERVICES,
            "msDS-SupportedEncryptionTypes": "24",  # AES 128 and 256; counts from the next password on
        }
    },
}
_GROUPS: dict[str, dict[str, Any]] = {
    "Engineers": {"type": _GLOBAL_GROUP, "members": ["alice"]},
    "Staff": {"type": _GLOBAL_GROUP, "members": ["Engineers"]},
    "Printers": {"type": _DOMAIN_LOCAL_GROUP, "members": ["Staff"]},
    "Laptops": {"type": _GLOBAL_GROUP, "members": []},
    "Managed": {"type": _GLOBAL_GROUP, "members": ["Laptops"]},
}


def password(user: str) -> str:
    """Which every account of the domain has, but computers."""
    return f"{user.title()}.Pw.123"


class SambaFailed(AssertionError):
    """The domain controller did not do as told. The message holds what it said."""


class SambaDomain(KerberosClients):
    """``base`` is the distinguished name of all that is in it."""

    def __init__(self, realm: str = REALM, short_name: str = SHORT_NAME) -> None:
        super().__init__(Path(tempfile.mkdtemp(prefix="dt-ad-")))
        self.realm, self.short_name = realm, short_name
        self.base = ",".join(f"DC={label}" for label in realm.lower().split("."))
        self._trusted: list[SambaDomain] = []
        # Of `HTTP/iwa…`, `HTTP/localhost` and the service account itself, by whose name it logs in.
        self.iwa_keytab = self.directory / "iwa.keytab"
        self._process: subprocess.Popen[str] | None = None
        self._ports: dict[int, int] = {}

    @classmethod
    @contextmanager
    def running(cls, realm: str = REALM, short_name: str = SHORT_NAME) -> Iterator["SambaDomain"]:
        """A new domain with the accounts above and a computer; gone at the end."""
        domain = cls(realm, short_name)
        try:
            domain._start()
            yield domain
        finally:
            domain._end()

    @property
    def ldap_url(self) -> str:
        return f"ldap://127.0.0.1:{self._ports[389]}"

    @property
    def ldaps_url(self) -> str:
        return f"ldaps://127.0.0.1:{self._ports[636]}"

    @property
    def ca_file(self) -> Path:
        return self.directory / "ca.pem"

    def computer_keytab(self, name: str) -> Path:
        return self.directory / f"{name}.keytab"

    def log_in(self, user: str, password_of: str | None = None) -> str:
        """The person's new credential cache, as `KRB5CCNAME` names it. Raises SambaFailed."""
        return self._log_in(user, said=f"{password(password_of or user)}\n")

    def log_in_computer(self, name: str) -> str:
        return self._log_in(f"{name.upper()}$", "-k", "-t", str(self.computer_keytab(name)))

    def join(self, name: str) -> None:
        """Make the computer a member of the domain, with a keytab, as adcli does it; one that is a member
        already gets another password."""
        keytab = self.computer_keytab(name)
        keytab.unlink(missing_ok=True)
        domain = self.realm.lower()
        command = ["adcli", "join", f"--domain={domain}", f"--domain-realm={self.realm}"]
        command += [f"--domain-controller=dc.{domain}", f"--computer-name={name.upper()}"]
        command += [f"--host-fqdn={name}.{domain}", f"--host-keytab={keytab}"]
        command += ["--login-user=Administrator", "--stdin-password"]
        self._ask("run", command, _ADMINISTRATOR_PASSWORD)
        keytab.chmod(0o600)

    def domain_sid(self) -> str:
        """With which the SIDs of its accounts begin."""
        return str(self._ask("domain_sid"))

    def trust(self, partner: "SambaDomain") -> None:
        """Both forests trust each other from now on, and clients of each find the other."""
        for one, other in ((self, partner), (partner, self)):
            one._ask("trust", other.realm, other.short_name, other.domain_sid(), _TRUST_SECRET)
            one._trusted.append(other)
            one._write_client_configuration()

    def modify(self, name: str, **attributes: str | list[str]) -> None:
        """Replace attributes of the account with this sAMAccountName; ``_`` stands for ``-``."""
        self._ask("modify", name, {key.replace("_", "-"): value for key, value in attributes.items()})

    def add_user(self, name: str) -> None:
        self._ask("add_user", name, password(name))

    def delete(self, name: str) -> None:
        """The account with this sAMAccountName."""
        self._ask("delete", name)

    @contextmanager
    def changed(self, name: str, **attributes: str) -> Iterator[None]:
        """The account is different meanwhile. At the end it is an ordinary person's again, which is
        `userAccountControl=512` and nothing else."""
        ordinary = {"userAccountControl": "512", "accountExpires": "0", "lockoutTime": "0"}
        self.modify(name, **attributes)
        try:
            yield
        finally:
            self.modify(name, **{attribute: ordinary[attribute] for attribute in attributes})

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """The domain controller is away meanwhile: every connection ends at once."""
        self._ask("stop")
        try:
            yield
        finally:
            self._ask("start")

    @contextmanager
    def silent(self) -> Iterator[None]:
        """The domain controller takes connections meanwhile, and says nothing."""
        self._ask("pause", True)
        try:
            yield
        finally:
            self._ask("pause", False)

    def _log_in(self, principal: str, *options: str, said: str = "") -> str:
        cache = f"FILE:{self.new_file('cache')}"
        done = subprocess.run(
            ["kinit", "-c", cache, *options, f"{principal}@{self.realm}"],
            env={**os.environ, **self.environment()},
            input=said,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=_ANSWER_SECONDS,
            check=False,
        )
        if done.returncode:
            raise SambaFailed(done.stdout)
        return cache

    def _start(self) -> None:
        authority = Authority.create_root("Corp CA")
        self.ca_file.write_bytes(authority.trust_pem)
        authority.issue_server([f"dc.{self.realm.lower()}", "127.0.0.1"]).write(self.directory, "dc")
        sockets = {port: socket.create_server(("127.0.0.1", 0)) for port in (88, 389, 464, 636)}
        self._ports = {port: each.getsockname()[1] for port, each in sockets.items()}
        self._write_client_configuration()
        (self.directory / "inside.krb5.conf").write_text(_client_configuration({self.realm: (88, 464)}))
        descriptors = {port: each.fileno() for port, each in sockets.items()}
        private = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
        with (self.directory / "controller.errors").open("wb") as errors:
            self._process = subprocess.Popen(
                [*_IN_NAMESPACES, *private, _PYTHON, "-P", str(_CONTROLLER), str(self.directory)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
                pass_fds=tuple(descriptors.values()),
                process_group=0,
            )
        for each in sockets.values():
            each.close()
        self._say(
            {
                "realm": self.realm,
                "short_name": self.short_name,
                "administrator_password": _ADMINISTRATOR_PASSWORD,
                "sockets": descriptors,
                "users": {name: {"password": password(name), **user} for name, user in _USERS.items()},
                "groups": _GROUPS,
                "keytabs": {self.iwa_keytab.name: [*_SERVICES, SERVICE_ACCOUNT]},
            }
        )
        self._heard(_START_SECONDS)
        self.join(COMPUTER)
        self._ask("add_member", "Laptops", f"{COMPUTER.upper()}$")

    def _ask(self, *command: Any) -> Any:
        self._say(command)
        return self._heard(_ANSWER_SECONDS)

    def _say(self, said: Any) -> None:
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(said) + "\n")
        self._process.stdin.flush()

    def _heard(self, seconds: float) -> Any:
        assert self._process is not None
        assert self._process.stdout is not None
        # It answers line by line, so that nothing waits in the buffer of this file.
        if not select.select([self._process.stdout], [], [], seconds)[0]:
            raise SambaFailed(f"no answer in {seconds:g} s\n{self.log()}")
        line = self._process.stdout.readline()
        if not line:
            raise SambaFailed(f"the domain controller ended\n{self.log()}")
        answer = json.loads(line)
        if isinstance(answer, dict) and "failed" in answer:
            raise SambaFailed(f"{answer['failed']}\n{self.log()}")
        return answer

    def log(self) -> str:
        names = ("controller.errors", "samba.output", "samba.log")
        return "\n".join(
            f"--- {name}\n{path.read_text(errors='replace')[-4_000:]}"
            for name in names
            if (path := self.directory / name).exists()
        )

    def _end(self) -> None:
        if self._process is not None:
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            with suppress(OSError):
                self._process.stdin.close()
            try:
                self._process.wait(_KILL_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process.stdout.close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def _write_client_configuration(self) -> None:
        realms = {each.realm: (each._ports[88], each._ports[464]) for each in (self, *self._trusted)}
        new = self.directory / "new.krb5.conf"
        new.write_text(_client_configuration(realms))
        new.replace(self.configuration)


def _client_configuration(realms: Mapping[str, tuple[int, int]]) -> str:
    """``realms`` have the ports of their KDC and its password service; the first one is the default."""
    places = "".join(
        f"  {realm} = {{\n    kdc = 127.0.0.1:{kdc}\n    kpasswd_server = 127.0.0.1:{passwords}\n  }}\n"
        for realm, (kdc, passwords) in realms.items()
    )
    domains = "".join(f"  .{r.lower()} = {r}\n  {r.lower()} = {r}\n" for r in realms)
    default = next(iter(realms))
    return f"""\
[libdefaults]
  default_realm = {default}
  dns_lookup_kdc = false
  dns_lookup_realm = false
  dns_canonicalize_hostname = false
  rdns = false
  udp_preference_limit = 1
[realms]
{places}[domain_realm]
{domains}  localhost = {REALM}
"""


def missing_parts() -> list[str]:
    """What is not installed here; ``make test`` installs all of it."""
    missing = [name for name in ("samba", "adcli", "kinit", "unshare", "ip") if program(name) is None]
    if subprocess.run([_PYTHON, "-c", "import samba.provision"], capture_output=True, check=False).returncode:
        missing.append("python3-samba")
    return missing


@pytest.fixture(scope="session")
def samba_domain() -> Iterator[SambaDomain]:
    """One for all tests, which leave it as it was."""
    with SambaDomain.running() as domain:
        yield domain


@pytest.fixture
def samba(samba_domain: SambaDomain) -> Iterator[SambaDomain]:
    with samba_domain.entered():
        yield samba_domain


@pytest.fixture(scope="session")
def samba_partner_domain(samba_domain: SambaDomain) -> Iterator[SambaDomain]:
    with SambaDomain.running(PARTNER_REALM, "PARTNER") as partner:
        samba_domain.trust(partner)
        yield partner


@pytest.fixture
def samba_partner(samba: SambaDomain, samba_partner_domain: SambaDomain) -> SambaDomain:
    """The second forest, as the clients of the first one find it."""
    return samba_partner_domain
