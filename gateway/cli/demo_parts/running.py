"""Everything of the demo, running: identity provider and apps in this process, the gateway in its own ones.

The gateway is the real command (`devicetrust serve`), started as an administrator starts it. What is begun
here ends here, however the block is left.
"""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Final

import aiohttp
from aiohttp import web

from gateway.cli.demo_parts.agents import Agent
from gateway.cli.demo_parts.api import Api, DemoOrg
from gateway.cli.demo_parts.apps import AppSettings, SampleApp
from gateway.cli.demo_parts.client import Browser
from gateway.cli.demo_parts.corp import OtherAuthorities
from gateway.cli.demo_parts.desk import Desk
from gateway.cli.demo_parts.domain import CompanyNetwork, Domain, DomainPorts
from gateway.cli.demo_parts.idp import IdentityProvider, RegisteredApp
from gateway.cli.demo_parts.kdc import Missing, missing
from gateway.cli.demo_parts.loopback import client_session, trusting
from gateway.cli.demo_parts.processes import DEVICETRUST, DemoFailed, started
from gateway.cli.demo_parts.proxy import web_proxy
from gateway.cli.demo_parts.site import (
    APPS,
    LOOPBACK,
    ORG_HOST,
    ORG_NAME,
    PEOPLE,
    WINDOWS_BROWSER,
    Addresses,
    DemoApp,
    claim_port,
    port_of,
    write_site,
)
from gateway.model.settings import FederationProtocol

HTTPS_PORT: Final = 8443
HTTP_PORT: Final = 8480
METRICS_PORT: Final = 9464
IDP_PORT: Final = 9080
IWA_PORT: Final = 8444
GATEWAY_LOG: Final = "log/gateway.log"  # apart from the files that the gateway watches

_DOMAIN: Final = ("kdc", "iwa", "iwa metrics")
_READY_SECONDS: Final = 30.0
_LOG_LINES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Seen:
    """How a sign-on ended: ``forwarded``, ``locked``, ``refused`` or ``broken``; and the reason. ``note`` is
    what was measured on the way, and no part of what is expected."""

    outcome: str
    reason: str
    note: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class Demo:
    """The running demo. ``laptop`` is a new computer whose agent has not run yet, ``domain`` None without
    Kerberos, of which ``missing`` is not installed. ``seen``: how the sign-ons of the walk ended, in their
    order."""

    directory: Path
    configuration: Path
    addresses: Addresses
    others: OtherAuthorities
    identity_provider: IdentityProvider
    gateway: asyncio.subprocess.Process
    org: DemoOrg
    api: Api
    laptop: Agent
    domain: Domain | None
    missing: Missing
    seen: list[Seen] = field(default_factory=list)

    def browser(
        self, person: str, device: str | None = None, *, user_agent: str = WINDOWS_BROWSER
    ) -> Browser:
        """A fresh browser of this person, with the certificate in ``DEVICE.pem`` or none."""
        certificate = None if device is None else self.directory / f"{device}.pem"
        tls = trusting(_root_pem(self.directory), certificate)
        return Browser(tls, person, user_agent=user_agent)

    def registered(self, app: DemoApp) -> RegisteredApp:
        return _registered(app, self.addresses)


@asynccontextmanager
async def running(
    directory: Path,
    https_port: int | None,
    meanwhile: Callable[[Demo], None] | None = None,
    *,
    kerberos: bool = True,
) -> AsyncIterator[Demo]:
    """Start everything in ``directory`` (empty) and wait until the gateway is ready; stop it after the block.

    ``https_port`` None: 8443, or any where that is taken. ``meanwhile`` is called, in a thread, while the
    gateway starts. ``kerberos``: with a domain, where it is installed. Raises DemoFailed, OSError.
    """
    async with AsyncExitStack() as stack:
        claimed = _claim_ports(stack, https_port)
        addresses = Addresses(
            https_port=port_of(claimed["gateway"]),
            http_port=port_of(claimed["http"]),
            metrics_port=port_of(claimed["metrics"]),
            idp_port=port_of(claimed["idp"]),
            upstream_ports={app.name: port_of(claimed[app.name]) for app in APPS},
        )
        registered = [_registered(app, addresses) for app in APPS]
        configuration = await asyncio.to_thread(write_site, directory, addresses)
        others = await asyncio.to_thread(OtherAuthorities, directory)
        provider = await asyncio.to_thread(IdentityProvider, addresses.idp_origin, PEOPLE, registered)
        await asyncio.to_thread(provider.write_metadata, directory)
        for name in ("gateway", "http", "metrics"):
            claimed[name].close()
        lacking = missing() if kerberos else Missing()
        proxy_url = f"http://{LOOPBACK}:{port_of(claimed['proxy'])}"
        await stack.enter_async_context(web_proxy(claimed["proxy"]))
        # It starts while its store is filled: to it, that is an administrator at work.
        gateway = await stack.enter_async_context(
            started(
                [*DEVICETRUST, "serve", "-c", str(configuration)],
                directory / GATEWAY_LOG,
                {**os.environ, "PYTHONUNBUFFERED": "1"},
            )
        )
        org, network = await asyncio.gather(
            asyncio.to_thread(_set_up_org, directory, configuration, addresses),
            _company_network(
                directory,
                addresses,
                proxy_url,
                DomainPorts(*(port_of(claimed[name]) for name in _DOMAIN)),
                wanted=kerberos and not lacking,
            ),
        )
        for name in _DOMAIN:
            claimed[name].close()
        if network is not None:
            await stack.enter_async_context(network.running())
        api = Api(addresses.org_origin, org.token, _root_pem(directory))
        desk = Desk(registered, api, org)
        served = web.Application()
        served.add_routes([*provider.routes(), *desk.routes()])
        await _serve(stack, served, claimed["idp"])
        client = partial(client_session, trusting(_root_pem(directory)))
        for app in APPS:
            sample = SampleApp(_settings(app, addresses, provider), client)
            await _serve(stack, sample.application(), claimed[app.name])
        laptop = Agent(directory, "laptop", addresses.org_origin, proxy_url, {}, {})
        demo = Demo(
            directory, configuration, addresses, others, provider, gateway, org, api, laptop, None, lacking
        )
        if meanwhile is not None:
            await asyncio.to_thread(meanwhile, demo)
        await _wait_until_ready(demo)
        if network is not None:
            demo = replace(demo, domain=await network.registered(org.token))
        yield demo


async def _company_network(
    directory: Path, addresses: Addresses, proxy_url: str, ports: DomainPorts, *, wanted: bool
) -> CompanyNetwork | None:
    if not wanted:
        return None
    return await asyncio.to_thread(CompanyNetwork, directory, addresses, proxy_url, ports)


def _set_up_org(directory: Path, configuration: Path, addresses: Addresses) -> DemoOrg:
    # Imported while the gateway starts: the store's modules take a second.
    from gateway.cli.demo_parts.org import set_up_org

    return set_up_org(directory, configuration, addresses)


def last_words(directory: Path) -> str:
    """The end of the gateway's log."""
    lines = (directory / GATEWAY_LOG).read_text(errors="replace").splitlines()
    return "\n".join(lines[-_LOG_LINES_SHOWN:])


def _claim_ports(stack: AsyncExitStack, https_port: int | None) -> dict[str, socket.socket]:
    claimed: dict[str, socket.socket] = {}
    wanted: dict[str, tuple[int, ...]] = {
        "gateway": (HTTPS_PORT if https_port is None else https_port,),
        "http": (HTTP_PORT,),
        "metrics": (METRICS_PORT,),
        "idp": (IDP_PORT,),
        "proxy": (),
        "kdc": (),
        "iwa": (IWA_PORT,),
        "iwa metrics": (),
        **{app.name: () for app in APPS},
    }
    for name, ports in wanted.items():
        claimed[name] = stack.enter_context(claim_port(ports))
    if https_port is not None and port_of(claimed["gateway"]) != https_port:
        raise DemoFailed(f"port {https_port} is taken")
    return claimed


def _registered(app: DemoApp, addresses: Addresses) -> RegisteredApp:
    return RegisteredApp(
        app.name, app.label, app.protocol, addresses.entity_id(app), addresses.assertion_url(app)
    )


def _settings(app: DemoApp, addresses: Addresses, provider: IdentityProvider) -> AppSettings:
    saml = app.protocol is FederationProtocol.SAML2
    return AppSettings(
        name=app.name,
        label=app.label,
        protocol=app.protocol,
        origin=addresses.origin(app.host),
        assertion_path=app.assertion_path,
        entity_id=addresses.entity_id(app),
        idp_metadata=provider.saml_metadata if saml else provider.ws_fed_metadata,
        statement_issuer=ORG_NAME,
        jwks_url=f"{addresses.origin(ORG_HOST)}/.well-known/jwks.json",
    )


async def _serve(stack: AsyncExitStack, application: web.Application, claimed: socket.socket) -> None:
    runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.SockSite(runner, claimed).start()


async def _wait_until_ready(demo: Demo) -> None:
    """Raises DemoFailed where the gateway ends, or is not ready in time."""
    try:
        async with asyncio.timeout(_READY_SECONDS), aiohttp.ClientSession() as client:
            while not await _is_ready(client, demo.addresses.readiness_url):
                if demo.gateway.returncode is not None:
                    status = demo.gateway.returncode
                    raise DemoFailed(f"the gateway ended with {status}\n{last_words(demo.directory)}")
                await asyncio.sleep(0.05)
    except TimeoutError:
        words = last_words(demo.directory)
        raise DemoFailed(f"the gateway was not ready in {_READY_SECONDS:g} s\n{words}") from None


async def _is_ready(client: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with client.get(url) as answer:
            return answer.status == 200
    except aiohttp.ClientConnectionError:
        return False


def _root_pem(directory: Path) -> str:
    return (directory / "web-root.pem").read_text()
