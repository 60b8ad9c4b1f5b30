"""The app behind the proxies where bodies and sockets matter: plain HTTP/1.1 on loopback, one process.

    GET  /bytes/N     N bytes
    POST /count       reads the body and answers how long it was
    POST /digest      reads the body and answers its SHA-256
    GET  /socket      switches to a protocol that sends back whatever comes
    anything else     answers, as JSON, method, target and the header fields that came

``streaming_app.py PORT``. It serves the benchmarks only: what it is sent comes from them.
"""

import asyncio
import hashlib
import json
import sys
from typing import Final, cast

import httptools
import uvloop
from typing_extensions import override

_PIECE: Final = memoryview(bytes(262_144))


class _Connection(asyncio.Protocol):
    def __init__(self) -> None:
        self._parser = httptools.HttpRequestParser(self)
        self._to_send = 0
        self._socket = False
        self._writable = True
        self._fields: list[tuple[str, str]] = []
        self._target = b""
        self._received = 0
        self._digest = hashlib.sha256()

    # Transport

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own classes are none by name
        self._transport.set_write_buffer_limits(1_048_576)

    @override
    def data_received(self, data: bytes) -> None:
        if self._socket:
            self._transport.write(data)
            return
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as upgrade:
            self._socket = True
            if rest := data[int(upgrade.args[0]) :]:
                self._transport.write(rest)

    @override
    def pause_writing(self) -> None:
        self._writable = False
        if self._socket:
            self._transport.pause_reading()

    @override
    def resume_writing(self) -> None:
        self._writable = True
        if self._socket:
            self._transport.resume_reading()
        self._send()

    # Parser

    def on_message_begin(self) -> None:
        self._fields, self._target, self._received = [], b"", 0
        self._digest = hashlib.sha256()

    def on_url(self, url: bytes) -> None:
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self._fields.append((name.decode("latin-1"), value.decode("latin-1")))

    def on_body(self, body: bytes) -> None:
        self._received += len(body)
        if self._target == b"/digest":
            self._digest.update(body)

    def on_message_complete(self) -> None:
        path = self._target.partition(b"?")[0]
        if self._parser.should_upgrade():
            self._transport.write(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
            )
        elif path.startswith(b"/bytes/"):
            self._to_send = int(path[7:])
            self._head(self._to_send, "application/octet-stream")
            self._send()
        elif path == b"/count":
            self._answer(str(self._received))
        elif path == b"/digest":
            self._answer(self._digest.hexdigest())
        else:
            method = self._parser.get_method().decode()
            seen = {"method": method, "target": self._target.decode(), "headers": self._fields}
            self._answer(json.dumps(seen), "application/json")

    # Answers

    def _answer(self, text: str, content_type: str = "text/plain") -> None:
        self._head(len(text), content_type, text)

    def _head(self, length: int, content_type: str, text: str = "") -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Type: {content_type}\r\nContent-Length: {length}\r\n\r\n{text}"
        self._transport.write(head.encode())

    def _send(self) -> None:
        while self._to_send and self._writable:
            piece = _PIECE[: min(len(_PIECE), self._to_send)]
            self._to_send -= len(piece)
            self._transport.write(piece)


async def _serve(port: int) -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(_Connection, "127.0.0.1", port, backlog=8192)
    await server.serve_forever()


if __name__ == "__main__":
    uvloop.run(_serve(int(sys.argv[1])))
