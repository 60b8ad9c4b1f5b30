"""The company's network with its domain: a KDC, the IWA web app, and computers that are joined.

The IWA web app is the real command, `devicetrust iwa serve`, and made known to the org by the real one,
`devicetrust iwa register`.
"""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import aiohttp
import yaml

from gateway.cli.demo_parts.agents import Agent
from gateway.cli.demo_parts.kdc import COMPUTER, REALM, SERVICE, Realm
from gateway.cli.demo_parts.processes import DEVICETRUST, DemoFailed, ended, started
from gateway.cli.demo_parts.site import LOOPBACK, Addresses, write_private

_PEOPLE: Final = ("alice", "bob")  # as the domain calls them
_READY_SECONDS: Final = 20.0
_COMMAND_SECONDS: Final = 30.0
_HOST: Final = SERVICE.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Domain:
    """``computers`` are by the name of the person in front of them; ``impostor`` is the same computer with a
    person's key in the computer's place. ``elsewhere`` is the environment of one that left the network."""

    iwa_url: str
    computers: dict[str, Agent]
    impostor: Agent
    elsewhere: dict[str, str]


@dataclass(frozen=True, slots=True)
class DomainPorts:
    """``iwa`` is for HTTPS."""

    kdc: int
    iwa: int
    metrics: int


class CompanyNetwork:
    """Everything of it that can be made before the gateway is ready."""

    def __init__(self, directory: Path, addresses: Addresses, proxy_url: str, ports: DomainPorts) -> None:
        """Raises DemoFailed, OSError."""
        self._directory = directory
        self._org_url = addresses.org_origin
        self._proxy_url = proxy_url
        self._ports = ports
        self._realm = Realm(directory / "kdc", ports.kdc)
        self._realm.create(_PEOPLE)
        self._url = f"https://{_HOST}:{ports.iwa}/iwa"
        self._configuration = directory / "iwa.yaml"
        self._configuration.write_text(yaml.safe_dump(self._iwa_configuration(), sort_keys=False))

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """KDC and IWA web app, which waits to be registered."""
        iwa = [*DEVICETRUST, "iwa", "serve", "-c", str(self._configuration)]
        async with AsyncExitStack() as stack:
            for name, command, environment in (
                ("kdc", self._realm.command, self._realm.kdc_environment),
                ("iwa", iwa, self._iwa_environment),
            ):
                log = self._directory / "log" / f"{name}.log"
                await stack.enter_async_context(started(command, log, environment))
            yield

    async def registered(self, token: str) -> Domain:
        """Once the org answers. Raises DemoFailed, OSError."""
        token_file = self._directory / "iwa.token"
        write_private(token_file, token.encode())
        register = ["iwa", "register", "-c", str(self._configuration), "--token-file", str(token_file)]
        status, said = await ended([*DEVICETRUST, *register], self._iwa_environment, _COMMAND_SECONDS)
        if status != 0:
            raise DemoFailed(f"the IWA web app was not registered: {said}")
        await self._wait_until_ready()
        return Domain(
            self._url,
            {name: self._computer(f"{COMPUTER}-{name}", name) for name in _PEOPLE},
            self._computer(
                "impostor",
                "bob",
                DeviceKeytab=str(self._realm.keytab("bob")),
                DevicePrincipal=f"bob@{REALM}",
            ),
            self._realm.elsewhere,
        )

    def _computer(self, name: str, person: str, **settings: str) -> Agent:
        """It may read the computer's keytab itself, as test machines do, instead of asking the device part;
        and the person is logged on by a keytab instead of a password."""
        return Agent(
            self._directory,
            name,
            self._org_url,
            self._proxy_url,
            {"DeviceKeytab": str(self._realm.keytab(COMPUTER)), **settings},
            {**self._realm.environment, "KRB5_CLIENT_KTNAME": str(self._realm.keytab(person))},
        )

    @property
    def _iwa_environment(self) -> dict[str, str]:
        return {**os.environ, **self._realm.environment, "https_proxy": self._proxy_url, "no_proxy": ""}

    async def _wait_until_ready(self) -> None:
        url = f"http://{LOOPBACK}:{self._ports.metrics}/readyz"
        try:
            async with asyncio.timeout(_READY_SECONDS), aiohttp.ClientSession() as client:
                while True:
                    try:
                        async with client.get(url) as answer:
                            if answer.status == 200:
                                return
                    except aiohttp.ClientConnectionError:
                        pass
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise DemoFailed(f"the IWA web app was not ready in {_READY_SECONDS:g} s: log/iwa.log") from None

    def _iwa_configuration(self) -> dict[str, Any]:
        return {
            "name": "hq-1",
            "org": {"url": self._org_url, "ca": "web-root.pem"},
            "listen": {
                "https": [f"{LOOPBACK}:{self._ports.iwa}"],
                "certificate": "server.pem",
                "private_key": "server.key",
                "metrics": f"{LOOPBACK}:{self._ports.metrics}",
            },
            "url": self._url,
            # MIT Kerberos writes no account flags into its tickets; with Active Directory, leave it out.
            "kerberos": {"keytab": str(self._realm.keytab(SERVICE)), "computers": "dollar_sign"},
            "realms": [{"realm": REALM, "login": "{name}@example.test"}],
            "keys": "iwa-keys",
        }
