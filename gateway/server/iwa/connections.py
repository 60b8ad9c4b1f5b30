"""The connections of the IWA web app: so many at once, and none that is idle for long, or slow to ask."""

import asyncio
import socket
import ssl
from collections import Counter
from typing import Any, Final

from aiohttp import web

# Between two requests, and for the whole head of one: the agent's two steps are a second apart.
IDLE_SECONDS: Final = 20.0
_SWEEP_SECONDS: Final = 1.0
_HANDSHAKE_SECONDS: Final = 10.0


class Connections:
    """``server`` makes the protocol of each; `began` and `ended` are to be called around each request. Where
    one connection more than ``limit`` comes, the oldest of whoever has the most goes."""

    def __init__(self, server: web.Server, limit: int) -> None:
        self._server = server
        self.limit = limit
        self._waiting_since: dict[asyncio.Transport, float] = {}
        self._listening: list[asyncio.Server] = []

    def __len__(self) -> int:
        return len(self._server.connections)

    async def listen(self, listening: socket.socket, context: ssl.SSLContext | None) -> None:
        """``listening`` is ours from now on."""
        loop = asyncio.get_running_loop()
        handshake = None if context is None else _HANDSHAKE_SECONDS
        self._listening.append(
            await loop.create_server(
                self._accept, sock=listening, ssl=context, ssl_handshake_timeout=handshake
            )
        )

    def close(self) -> None:
        """Take no new ones."""
        for each in self._listening:
            each.close()

    def began(self, transport: asyncio.Transport | None) -> None:
        if transport is not None:
            self._waiting_since[transport] = float("inf")

    def ended(self, transport: asyncio.Transport | None) -> None:
        if transport is not None:
            self._waiting_since[transport] = asyncio.get_running_loop().time()

    async def sweep(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_SWEEP_SECONDS)
            now = asyncio.get_running_loop().time()
            open_ones = self._open()
            self._waiting_since = {each: self._waiting_since.get(each, now) for each in open_ones}
            for transport, since in self._waiting_since.items():
                if now - since > IDLE_SECONDS:
                    transport.abort()

    def _accept(self) -> asyncio.BaseProtocol:
        open_ones = self._open()
        if len(open_ones) >= self.limit:
            by_address = Counter(map(_address, open_ones))
            most, _ = by_address.most_common(1)[0]
            next(each for each in open_ones if _address(each) == most).abort()
        protocol: asyncio.BaseProtocol = self._server()
        return protocol

    def _open(self) -> list[Any]:
        """The oldest first."""
        transports = [handler.transport for handler in self._server.connections]
        return [each for each in transports if each is not None and not each.is_closing()]


def _address(transport: asyncio.BaseTransport) -> str:
    peer = transport.get_extra_info("peername")
    return str(peer[0]) if isinstance(peer, tuple) and peer else ""
