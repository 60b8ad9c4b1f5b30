"""A workstation: a computer of a domain with somebody logged on, and `devicetrust-agent` as it is installed.

What is root's and what is the person's are processes of their own: the device part has the computer's keytab
and listens at a socket, the user part has the person's tickets and home directory. /etc is the computer's
own, so agent.conf, the keytab and the browsers' managed policies are where they are in use.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from cryptography import x509
from playwright.sync_api import BrowserContext
from support.browser import LINUX_CHROME, Browser, Visit
from support.chromium import chromium_of, trust_root
from support.kerberos import Forests, KerberosClients, Realm, run_at
from support.pki import CredentialFiles
from support.private_etc import PrivateEtc
from support.processes import ChildProcess
from support.samba import SambaDomain
from support.site import MTLS_DOMAIN, Site

_AGENT = str(Path(sys.executable).parent / "devicetrust-agent")
_RUN_SECONDS = 90.0


@dataclass(frozen=True)
class Ran:
    """One run of the agent that has ended."""

    status: int
    output: str
    errors: str

    def __str__(self) -> str:
        return f"ended with {self.status}\n{self.output}\n{self.errors}"

    @property
    def json(self) -> Any:
        return json.loads(self.output)


class Workstation:
    def __init__(
        self,
        site: Site,
        clients: Forests | SambaDomain,
        realm: Realm | SambaDomain,
        computer: str,
        user: str,
        etc: PrivateEtc,
        settings: Mapping[str, str],
    ) -> None:
        self.site = site
        self.computer = computer
        self.user = user
        self.etc = etc
        self.directory = site.directory / f"{computer}-{user}"
        self.home = self.directory / "home"
        self.home.mkdir(parents=True)
        self.data = self.home / ".local/share/devicetrust"
        self._clients: KerberosClients = clients
        self._realm = realm
        self._device_part: ChildProcess | None = None
        self._numbers = count(1)
        self.cache: str | None = realm.log_in(user)
        etc.path("krb5.keytab").write_bytes(realm.computer_keytab(computer).read_bytes())
        etc.path("krb5.keytab").chmod(0o600)
        etc.path("web-root.pem").write_bytes(site.web.pem)
        self.settings = {
            "CaFile": "/etc/web-root.pem",
            "DeviceSocket": str(self.directory / "device.sock"),
            **settings,
        }
        self.configure()

    def configure(self, **settings: str) -> None:
        """Change agent.conf; an empty value takes a line away."""
        self.settings.update(settings)
        lines = [f"{name}={value}\n" for name, value in self.settings.items() if value]
        self.etc.path("devicetrust/agent.conf").write_text("".join(lines))

    def log_in(self, clock: str | None = None) -> None:
        """Somebody logs on: new tickets. ``clock`` is how wrong the computer's is then."""
        if clock is None:
            self.cache = self._realm.log_in(self.user)
            return
        assert isinstance(self._realm, Realm)
        cache = f"FILE:{self.directory}/cache{clock}"
        principal = f"{self.user}@{self._realm.name}"
        subprocess.run(
            run_at(clock, ["kinit", "-c", cache, principal]),
            env={**os.environ, **self._clients.environment()},
            input=f"{self.user}\n",
            text=True,
            capture_output=True,
            timeout=20,
            check=True,
        )
        self.cache = cache

    def log_out(self) -> None:
        """There are no tickets any more."""
        self.cache = None

    def start_device_part(self) -> None:
        """What systemd starts when somebody connects to the socket."""
        socket = self.settings["DeviceSocket"]
        self._device_part = ChildProcess(
            "device-part",
            self.etc.command([_AGENT, "--device", "--socket", socket]),
            self.directory,
            environment=self._environment(None),
        )
        self._device_part.wait_until(Path(socket).exists, "its socket is there")

    def kill(self) -> None:
        if self._device_part is not None:
            self._device_part.kill()

    def agent(self, *words: str, clock: str | None = None) -> Ran:
        """Run the agent as the person. ``clock`` is how wrong the computer's is, such as `+10m`."""
        command = self._command(words, clock)
        done = subprocess.run(
            command,
            env={**os.environ, **self._environment(self.cache)},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=_RUN_SECONDS,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout, done.stderr)
        assert "Traceback" not in ran.errors, ran
        return ran

    @contextmanager
    def running_agent(self, *words: str) -> Iterator[subprocess.Popen[str]]:
        """The agent while it runs: what it prints can be read from `stdout`, line by line. It is killed, and
        without being asked, at the end."""
        with subprocess.Popen(
            self._command(words, None),
            env={**os.environ, **self._environment(self.cache), "PYTHONUNBUFFERED": "1"},
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            bufsize=1,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    def enroll(self) -> x509.Certificate:
        """Run the agent, which has to come to an end that is good."""
        ran = self.agent("--user")
        assert ran.status == 0, ran
        return self.certificate()

    def status(self) -> Any:
        """`devicetrust-agent status --json`."""
        return self.agent("status", "--json").json

    @property
    def files(self) -> CredentialFiles:
        """Of the one certificate that the agent keeps, as it keeps it."""
        [certificate] = (self.data / "certificates").glob("*.pem")
        return CredentialFiles(certificate, self.data / "keys" / f"{certificate.stem}.key")

    def certificate(self) -> x509.Certificate:
        """The one that browsers find, which is the agent's."""
        [found] = self.installed()
        assert found == x509.load_pem_x509_certificate(self.files.certificate.read_bytes())
        return found

    def installed(self) -> list[x509.Certificate]:
        """Device certificates in the NSS database, with their keys, by certutil and nobody of ours."""
        database = self.home / ".pki/nssdb"
        if not database.exists():
            return []
        listed = self._certutil("-K", "-f", "/dev/null") if self._has_keys() else ""
        shown = self._certutil("-L", "-a", "-n", "Device Trust") if listed else ""
        return x509.load_pem_x509_certificates(shown.encode()) if shown else []

    def keys(self) -> list[str]:
        """Of the agent's key files, the names."""
        return sorted(path.stem for path in (self.data / "keys").glob("*.key"))

    def sign_on(self, login_url: str, *, certificate: bool = True) -> Visit:
        """In a small browser, with the agent's certificate."""
        files = self.files if certificate else None
        trusted = self.site.web.pem.decode()
        browser = Browser(trusted, files, {}, mtls_domain=MTLS_DOMAIN, user_agent=LINUX_CHROME)
        return browser.open(login_url)

    @contextmanager
    def chromium(self) -> Iterator[BrowserContext]:
        """A real one, with what the agent has set up: its database in the home directory, the policies in
        /etc."""
        trust_root(self.home / ".pki/nssdb", self.site.web.pem)
        profile = self.directory / f"profile-{next(self._numbers)}"
        policies = self.etc.directory / "chromium"
        with chromium_of(self.home, policies, profile) as context:
            yield context

    def _command(self, words: tuple[str, ...], clock: str | None) -> list[str]:
        command = self.etc.command([_AGENT, *words])
        return command if clock is None else run_at(clock, command)

    def _environment(self, cache: str | None) -> dict[str, str]:
        runtime = self.directory / "runtime"
        runtime.mkdir(mode=0o700, exist_ok=True)
        return {
            **self._clients.environment(cache),
            "HOME": str(self.home),
            "XDG_DATA_HOME": "",
            "XDG_CONFIG_HOME": "",
            "XDG_RUNTIME_DIR": str(runtime),
        }

    def _has_keys(self) -> bool:
        return "Device Trust" in self._certutil("-L")

    def _certutil(self, *words: str) -> str:
        command = ["certutil", "-d", f"sql:{self.home}/.pki/nssdb", *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=False).stdout
