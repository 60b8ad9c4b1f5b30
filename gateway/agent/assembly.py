"""A run and the device part, put together from the settings and this computer."""

import contextlib
import os
import ssl
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from random import SystemRandom
from typing import Final

import httpx

from gateway import __version__
from gateway.agent.device_part import DeviceRequest, ask_device_part, default_socket
from gateway.agent.discovery import Iwa
from gateway.agent.http import Http
from gateway.agent.iwa_client import Asked, IwaClient
from gateway.agent.keys.keepers import ConfiguredKeepers
from gateway.agent.negotiate import StartConversation, as_computer, as_person
from gateway.agent.org_client import OrgClient
from gateway.agent.platform import Platform
from gateway.agent.proxies.chooser import ProxyChooser
from gateway.agent.proxies.routes import ProxyRefused
from gateway.agent.proxies.transport import ProxiedTransport
from gateway.agent.refusal import LocalRefusal, refused
from gateway.agent.run import Run
from gateway.agent.settings import DEFAULT_DEVICE_KEYTAB, Settings
from gateway.agent.steps import Means
from gateway.agent.trace import Trace
from gateway.agent.vault import Vault

# How long the device part goes by what the org said of its IWA web apps.
_DISCOVERY_SECONDS: Final = 60.0


@dataclass(frozen=True, slots=True)
class Connections:
    """To the org, and to what is inside the company network: that is tried directly before a proxy is."""

    outside: Http
    inside: Http
    chooser: ProxyChooser


@contextmanager
def connections(
    settings: Settings, copies: Path, environment: Mapping[str, str], trace: Trace
) -> Iterator[Connections]:
    """Raises Refused where CaFile or HttpProxy cannot be used. ``copies``: see ProxyChooser."""
    try:
        chooser = ProxyChooser(
            http_proxy=settings.http_proxy,
            pac_location=settings.http_proxy_pac_location,
            environment=environment,
            copies=copies,
        )
    except ProxyRefused as error:
        raise refused(LocalRefusal.PROXY_FAILED, str(error), "Correct HttpProxy.") from None

    def outside(context: ssl.SSLContext) -> httpx.BaseTransport:
        return ProxiedTransport(chooser, context)

    def inside(context: ssl.SSLContext) -> httpx.BaseTransport:
        return ProxiedTransport(chooser, context, inside=True)

    with contextlib.ExitStack() as stack:
        outer, inner = (Http(settings.ca_file, make, trace) for make in (outside, inside))
        stack.callback(outer.close)
        stack.callback(inner.close)
        yield Connections(outer, inner, chooser)


@contextmanager
def assembled_run(
    settings: Settings,
    platform: Platform,
    environment: Mapping[str, str],
    trace: Trace,
    say: Callable[[str], None],
) -> Iterator[Run]:
    """Raises Refused."""
    vault = Vault(platform.data_directory)
    with connections(settings, vault.directory, environment, trace) as lines:
        means = means_of(settings, lines, platform.name, trace, say)
        keepers = ConfiguredKeepers(settings, vault.directory, platform)
        yield Run(settings, platform, vault, keepers, means, SystemRandom().random())
        for note in lines.chooser.notes:
            say(note)


def means_of(
    settings: Settings, lines: Connections, platform: str, trace: Trace, say: Callable[[str], None]
) -> Means:
    def iwa(url: str) -> IwaClient:
        return IwaClient(lines.inside, url)

    def device_token(found: Iwa, asked: Asked) -> str:
        if settings.device_keytab is not None and os.access(settings.device_keytab, os.R_OK):
            trace.note(f"with the computer's keytab {settings.device_keytab}")
            computer = as_computer(settings.device_keytab, settings.device_principal)
            return iwa(found.url).device_token(asked, computer)
        address = settings.device_socket or default_socket(sys.platform)
        trace.note(f"asked of the device part at {address}")
        return ask_device_part(address, DeviceRequest(found.url, asked))

    return Means(
        org=OrgClient(lines.outside, settings.org_url),
        iwa=iwa,
        device_token=device_token,
        person=as_person,
        platform=platform,
        version=__version__,
        trace=trace,
        say=say,
        now=lambda: datetime.now(UTC),
    )


class ComputersTokens:
    """Device tokens with the computer's own keytab: what the device part serves."""

    def __init__(self, settings: Settings, lines: Connections) -> None:
        self._settings = settings
        self._org = OrgClient(lines.outside, settings.org_url)
        self._http = lines.inside
        self._iwas: tuple[Iwa, ...] = ()
        self._until = 0.0
        self._computer: StartConversation | None = None

    def iwas(self) -> tuple[Iwa, ...]:
        """As the org names them, not older than a minute. Raises Refused."""
        if time.monotonic() >= self._until:
            self._iwas = self._org.discovery().iwas
            self._until = time.monotonic() + _DISCOVERY_SECONDS
        return self._iwas

    def iwa_urls(self) -> tuple[str, ...]:
        return tuple(each.url for each in self.iwas())

    def device_token(self, iwa_url: str, asked: Asked) -> str:
        """Raises Refused."""
        if self._computer is None:
            keytab = self._settings.device_keytab or DEFAULT_DEVICE_KEYTAB
            self._computer = as_computer(keytab, self._settings.device_principal)
        return IwaClient(self._http, iwa_url).device_token(asked, self._computer)
