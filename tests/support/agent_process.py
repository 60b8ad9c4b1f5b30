"""The agent as a person runs it: ``devicetrust-agent --user`` in a process and with a home of its own.

    with connect_proxy() as proxy:
        alice = AgentProcess(tmp_path / "alice", org_url, ca_file, HttpProxy=proxy.url)
        done = alice.run("--user", "--code", code)          # done.returncode, done.stdout, done.stderr
        alice.nss_certificates()                            # what her Chromium would find
        alice.status()                                      # `status --json`

Browsers' policies and systemd are left alone, since the tests may run as root: SkipBrowserSetup is set.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cryptography import x509
from support.processes import program

RUN_SECONDS = 60
_COMMAND = (sys.executable, "-m", "gateway.agent.cli")


class AgentProcess:
    """One person at one computer. ``settings`` are names and values of agent.conf; ``environment`` is for
    Kerberos, such as `KRB5CCNAME`."""

    def __init__(
        self,
        home: Path,
        org_url: str,
        ca_file: Path,
        environment: Mapping[str, str] | None = None,
        **settings: str,
    ) -> None:
        self.home = home
        self.home.mkdir(parents=True, exist_ok=True)
        self.settings = {
            "OrgUrl": org_url,
            "CaFile": str(ca_file),
            "SkipBrowserSetup": "true",
            "DeviceSocket": str(home / "device.sock"),
            **settings,
        }
        self.configuration = home / "agent.conf"
        self.write()
        kept = {name: os.environ[name] for name in ("PATH", "LANG", "CI") if name in os.environ}
        self.environment = {
            **kept,
            "HOME": str(home),
            "DEVICETRUST_AGENT_CONF": str(self.configuration),
            **(environment or {}),
        }

    @property
    def data(self) -> Path:
        """Key, certificate and state."""
        return self.home / ".local/share/devicetrust"

    @property
    def nss(self) -> Path:
        return self.home / ".pki/nssdb"

    def write(self, **changes: str) -> None:
        """agent.conf, with some settings changed; an empty value takes one away."""
        self.settings |= changes
        lines = [f"{name}={value}\n" for name, value in self.settings.items() if value]
        self.configuration.write_text("".join(lines))

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """The command, to its end."""
        return subprocess.run(
            [*_COMMAND, *arguments],
            env=self.environment,
            cwd=self.home,
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )

    def succeed(self, *arguments: str) -> str:
        """Its output; it has to end with 0."""
        done = self.run(*arguments)
        assert done.returncode == 0, f"{arguments}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout

    def command(self, *arguments: str) -> list[str]:
        """For whoever starts it otherwise; with ``environment``."""
        return [*_COMMAND, *arguments]

    def start(self, *arguments: str) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            [*_COMMAND, *arguments],
            env=self.environment,
            cwd=self.home,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def run_until(self, seen: Callable[[], bool], *arguments: str) -> bool:
        """Kill it (SIGKILL) as soon as something is seen; whether it was at work then."""
        process = self.start(*arguments)
        deadline = time.monotonic() + RUN_SECONDS
        while process.poll() is None and not seen():
            assert time.monotonic() < deadline
            time.sleep(0.002)
        process.send_signal(signal.SIGKILL)
        return process.wait(RUN_SECONDS) == -signal.SIGKILL

    def status(self) -> dict[str, Any]:
        told: dict[str, Any] = json.loads(self.succeed("status", "--json"))
        return told

    def nss_certificates(self) -> list[x509.Certificate]:
        """Of the person's NSS database, those with their private key, by their beginning."""
        listed = self._certutil("-K")
        found = []
        for nickname in self._nicknames():
            if nickname not in listed:
                continue
            pem = self._certutil("-L", "-n", nickname, "-a")
            found += x509.load_pem_x509_certificates(pem.encode())
        return sorted(found, key=lambda each: each.not_valid_before_utc)

    def delete_from_nss(self, nickname: str) -> None:
        self._certutil("-D", "-n", nickname)

    def nicknames(self) -> Sequence[str]:
        return self._nicknames()

    def _nicknames(self) -> list[str]:
        lines = self._certutil("-L").splitlines()
        return [line.rsplit(None, 1)[0].strip() for line in lines if line.rstrip().endswith("u,u,u")]

    def _certutil(self, *arguments: str) -> str:
        certutil = program("certutil") or "certutil"
        done = subprocess.run(
            [certutil, "-d", f"sql:{self.nss}", *arguments],
            capture_output=True,
            text=True,
            timeout=RUN_SECONDS,
            check=False,
        )
        return done.stdout
