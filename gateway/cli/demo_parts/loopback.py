"""HTTP to this machine, whatever the host of a URL is called."""

import socket
import ssl
from pathlib import Path

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from typing_extensions import override

from gateway.cli.demo_parts.site import LOOPBACK

TIMEOUT_SECONDS = 15.0


class LoopbackResolver(AbstractResolver):
    """Every name is 127.0.0.1: libc resolves only ``localhost`` itself on many systems, not names below."""

    @override
    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=LOOPBACK, port=port, family=socket.AF_INET, proto=0, flags=0)
        ]

    @override
    async def close(self) -> None:
        """Holds nothing."""


def trusting(root_pem: str, certificate_file: Path | None = None) -> ssl.SSLContext:
    """TLS as a client that trusts this root alone and may show this certificate (PEM with its key)."""
    context = ssl.create_default_context(cadata=root_pem)
    if certificate_file is not None:
        context.load_cert_chain(certificate_file)
    return context


def client_session(context: ssl.SSLContext) -> aiohttp.ClientSession:
    """A client that keeps neither cookies nor connections, and uses no proxy of the environment."""
    return aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=context, resolver=LoopbackResolver(), force_close=True),
        cookie_jar=aiohttp.DummyCookieJar(),
        timeout=aiohttp.ClientTimeout(total=TIMEOUT_SECONDS),
        trust_env=False,
    )
