"""The company's web proxy: it takes CONNECT to names of this machine.

The agent and the IWA web app go by it, since many a libc resolves ``localhost`` alone, and no name below.
"""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from gateway.cli.demo_parts.site import LOOPBACK

_MAX_HEAD_BYTES: Final = 8_192
_HEAD_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 60.0
_PIECE_BYTES: Final = 65_536
_CONNECTED: Final = b"HTTP/1.1 200 Connection established\r\n\r\n"
_REFUSED: Final = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
_UNREACHABLE: Final = b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"


@asynccontextmanager
async def web_proxy(claimed: socket.socket) -> AsyncIterator[None]:
    """Serve at ``claimed``, which is bound; what still runs is ended behind the block."""
    connections: set[asyncio.Task[None]] = set()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(_serve(reader, writer), name="a connection of the web proxy")
        connections.add(task)
        task.add_done_callback(connections.discard)

    server = await asyncio.start_server(accept, sock=claimed, limit=_MAX_HEAD_BYTES)
    try:
        yield
    finally:
        server.close()
        for task in connections:
            task.cancel()
        await asyncio.gather(*connections, return_exceptions=True)


def target_port(request_line: bytes) -> int | None:
    """Of a CONNECT to this machine; None for anything else."""
    match request_line.decode("ascii", "replace").split(" "):
        case ["CONNECT", target, _]:
            host, _, port = target.rpartition(":")
            here = host.lower() == "localhost" or host.lower().endswith(".localhost")
            return int(port) if here and port.isdecimal() and len(port) <= len("65535") else None
        case _:
            return None


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        try:
            async with asyncio.timeout(_HEAD_SECONDS):
                head = await reader.readuntil(b"\r\n\r\n")
            port = target_port(head.split(b"\r\n", 1)[0])
            if port is None:
                writer.write(_REFUSED)
            else:
                await _join(reader, writer, port)
        finally:
            writer.close()


async def _join(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int) -> None:
    try:
        there, answers = await asyncio.open_connection(LOOPBACK, port)
    except (OSError, OverflowError):
        writer.write(_UNREACHABLE)
        return
    try:
        writer.write(_CONNECTED)
        async with asyncio.TaskGroup() as both_ways:
            both_ways.create_task(_pass_on(reader, answers))
            both_ways.create_task(_pass_on(there, writer))
    finally:
        answers.close()


async def _pass_on(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, TimeoutError):
        while True:
            async with asyncio.timeout(_IDLE_SECONDS):
                piece = await source.read(_PIECE_BYTES)
            if not piece:
                break
            target.write(piece)
            await target.drain()
    with contextlib.suppress(OSError):
        target.write_eof()
