"""Computers with `devicetrust-agent`: the real command, each with a home, settings and surroundings of its
own, so that nothing of the person's own is touched."""

import os
import re
import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.agent.vault import Vault
from gateway.cli.demo_parts.processes import ended
from gateway.cli.demo_parts.site import write_private

AGENT: Final = (sys.executable, "-P", "-m", "gateway.agent.cli")
NSS_TOOLS: Final = ("certutil", "pk12util", "modutil")

_RUN_SECONDS: Final = 60.0
_KEPT: Final = ("PATH", "LANG", "LC_ALL", "TERM")  # of this process's environment
_REFUSED: Final = re.compile(r"^devicetrust-agent: refused[^:]*: ([A-Z_]+): (.*)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class AgentRun:
    """``said``: standard output, then standard error."""

    status: int
    said: str

    @property
    def refusal(self) -> tuple[str, str] | None:
        """Why there is no certificate: the code and the sentence."""
        found = _REFUSED.search(self.said)
        return None if found is None else (found[1], found[2])

    @property
    def last_line(self) -> str:
        lines = self.said.split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")


class Agent:
    """One person at one computer. ``directory`` (of the demo) gets a directory of the agent's ``name``;
    ``settings`` are those of agent.conf, ``environment`` is what its processes have beside their own."""

    def __init__(
        self,
        directory: Path,
        name: str,
        org_url: str,
        proxy_url: str,
        settings: Mapping[str, str],
        environment: Mapping[str, str],
    ) -> None:
        self.name = name
        self._bundle = directory / f"{name}.pem"
        self._directory = directory / name
        self._home = self._directory / "home"
        self._home.mkdir(mode=0o700, parents=True)
        own = {
            "OrgUrl": org_url,
            "HttpProxy": proxy_url,
            "CaFile": str(directory / "web-root.pem"),
            "DeviceSocket": str(self._directory / "device.sock"),  # not that of this machine
            "SkipBrowserSetup": "true",
        }
        if not all(map(shutil.which, NSS_TOOLS)):
            own["SkipBrowserStores"] = "true"
        file = self._directory / "agent.conf"
        file.write_text("".join(f"{each}={value}\n" for each, value in {**own, **settings}.items()))
        self._environment = {
            "HOME": str(self._home),
            "DEVICETRUST_AGENT_CONF": str(file),
            "KRB5CCNAME": f"FILE:{self._directory}/tickets",
            **environment,
        }
        self.script = self._directory / "devicetrust-agent"
        self.script.write_text(_script(self._environment))

    @property
    def vault(self) -> Vault:
        return Vault(self._home / ".local/share/devicetrust")

    @property
    def certificate_pattern(self) -> tuple[str, str]:
        """Files of certificate and key, for a shell: the agent gives them new names."""
        data = shlex.quote(str(self.vault.directory))
        return f"{data}/certificates/*.pem", f"{data}/keys/*.key"

    async def run(self, *arguments: str, environment: Mapping[str, str] | None = None) -> AgentRun:
        """The command to its end. Raises OSError, TimeoutError."""
        return await self.run_command([*AGENT, *arguments], environment or {})

    async def run_command(self, command: Sequence[str], environment: Mapping[str, str]) -> AgentRun:
        """Any command in the agent's surroundings, with these values changed."""
        kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
        surroundings = {**kept, **self._environment, **environment}
        return AgentRun(*await ended(command, surroundings, _RUN_SECONDS, self._directory))

    def write_bundle(self) -> None:
        """``NAME.pem``: the certificate that it has, with its key, as the other devices have theirs."""
        vault = self.vault
        self._bundle.unlink(missing_ok=True)
        for name in vault.names():
            key = vault.directory / "keys" / f"{name}.key"
            write_private(self._bundle, vault.certificate_file(name).read_bytes() + key.read_bytes())


def _script(environment: Mapping[str, str]) -> str:
    """The same for people, from anywhere."""
    kept = " ".join(f'{name}="${{{name}:-}}"' for name in ("PATH", "LANG", "TERM"))
    own = " \\\n    ".join(f"{name}={shlex.quote(value)}" for name, value in environment.items())
    return f"""\
#!/bin/sh
# devicetrust-agent at a computer of the demo: nothing of your own home is read or changed.
exec env -i {kept} \\
    {own} \\
    {shlex.join(AGENT)} "$@"
"""
