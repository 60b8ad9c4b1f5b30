"""A browser's HTTP/2 connection for tests, by the client side of the library, over a real TLS socket.

`Http2Client` is what a test talks through: whole requests by `get` and `fetch`, or the library's own calls on
`protocol` with `flush` behind them. Frames that no library would send go by `raw`.
"""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass, field
from typing import TypeVar

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    InformationalResponseReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)
from hyperframe.frame import Frame
from support.proxy_in_process import HOST, WEB, Running

Fields = list[tuple[bytes, bytes]]
SECONDS = 5.0
_SomeEvent = TypeVar("_SomeEvent", bound=Event)


@dataclass
class Answer:
    """What came on one stream so far."""

    interim: list[int] = field(default_factory=list)
    status: int = 0
    headers: dict[bytes, bytes] = field(default_factory=dict)
    body: bytes = b""
    trailers: dict[bytes, bytes] = field(default_factory=dict)
    ended: bool = False
    reset: ErrorCodes | int | None = None


def request_fields(
    path: bytes = b"/page", *more: tuple[bytes, bytes], method: bytes = b"GET", host: str = HOST
) -> Fields:
    return [
        (b":method", method),
        (b":scheme", b"https"),
        (b":authority", host.encode()),
        (b":path", path),
        *more,
    ]


class Http2Client:
    """``takes_data``: give the gateway its windows back as bodies come, as browsers do."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, takes_data: bool
    ) -> None:
        self.reader = reader
        self._writer = writer
        self.takes_data = takes_data
        self.protocol = H2Connection(
            # What a test sends wrongly is wrong on purpose.
            H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        )
        self.events: list[Event] = []
        self.answers: dict[int, Answer] = {}
        self.goaway: ErrorCodes | int | None = None
        self.closed = False

    def flush(self) -> None:
        self._writer.write(self.protocol.data_to_send())

    def raw(self, *frames: Frame | bytes) -> None:
        self.flush()
        for frame in frames:
            self._writer.write(frame if isinstance(frame, bytes) else frame.serialize())

    def begin(self, fields: Fields, *, ended: bool = True) -> int:
        """Send a request's head; returns its stream."""
        stream_id = self.protocol.get_next_available_stream_id()
        self.answers[stream_id] = Answer()
        self.protocol.send_headers(stream_id, fields, end_stream=ended)
        self.flush()
        return stream_id

    def get(self, path: bytes = b"/page", *more: tuple[bytes, bytes]) -> int:
        return self.begin(request_fields(path, *more))

    def send(self, stream_id: int, *pieces: bytes, ended: bool = True) -> None:
        for piece in pieces[:-1]:
            self.protocol.send_data(stream_id, piece)
        self.protocol.send_data(stream_id, pieces[-1], end_stream=ended)
        self.flush()

    async def fetch(self, path: bytes = b"/page", *more: tuple[bytes, bytes]) -> Answer:
        return await self.answer(self.get(path, *more))

    async def answer(self, stream_id: int) -> Answer:
        """The answer, when it is whole or cut off."""
        answer = self.answers[stream_id]
        await self.until(lambda: answer.ended or answer.reset is not None)
        return answer

    async def until(self, condition: Callable[[], bool]) -> None:
        """Read until this is so. Fails where the gateway closes before."""
        async with asyncio.timeout(SECONDS):
            while not condition():
                assert not self.closed, f"the gateway closed; GOAWAY {self.goaway!r}"
                await self._read()

    async def rest(self) -> None:
        """Read until the gateway closes."""
        async with asyncio.timeout(SECONDS):
            while not self.closed:
                await self._read()

    async def quiet(self, seconds: float = 0.1) -> None:
        """Read what comes within a moment."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while not self.closed:
                    await self._read()

    def seen(self, kind: type[_SomeEvent]) -> list[_SomeEvent]:
        return [event for event in self.events if isinstance(event, kind)]

    def close(self) -> None:
        self._writer.transport.abort()

    async def _read(self) -> None:
        try:
            data = await self.reader.read(65_536)
        except (ConnectionError, ssl.SSLError):
            data = b""
        if not data:
            self.closed = True
            return
        for event in self.protocol.receive_data(data):
            self.events.append(event)
            self._take(event)
        self.flush()

    def _take(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.goaway = event.error_code
            return
        answer = self.answers.get(getattr(event, "stream_id", 0) or 0)
        if answer is None:
            return
        if isinstance(event, InformationalResponseReceived):
            answer.interim.append(int(dict(event.headers)[b":status"]))
        elif isinstance(event, ResponseReceived):
            fields = dict(event.headers)
            answer.status = int(fields.pop(b":status"))
            answer.headers = fields
        elif isinstance(event, DataReceived):
            answer.body += event.data
            if self.takes_data:
                self.protocol.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, TrailersReceived):
            answer.trailers = dict(event.headers)
        elif isinstance(event, StreamEnded):
            answer.ended = True
        elif isinstance(event, StreamReset):
            answer.reset = event.error_code


@contextlib.asynccontextmanager
async def http2_client_of(
    gateway: Running, *, takes_data: bool = True, settings: dict[int, int] | None = None
) -> AsyncIterator[Http2Client]:
    """``settings`` are what the client says of itself in its first SETTINGS."""
    async with http2_client(
        gateway.host, gateway.port, HOST, WEB.pem, takes_data=takes_data, settings=settings
    ) as client:
        yield client


@contextlib.asynccontextmanager
async def http2_client(
    address: str,
    port: int,
    server_name: str,
    root_pem: bytes,
    *,
    takes_data: bool = True,
    settings: dict[int, int] | None = None,
    own_address: str | None = None,
) -> AsyncIterator[Http2Client]:
    context = ssl.create_default_context(cadata=root_pem.decode())
    context.set_alpn_protocols(["h2", "http/1.1"])
    reader, writer = await asyncio.open_connection(
        address,
        port,
        ssl=context,
        server_hostname=server_name,
        limit=2**22,
        local_addr=None if own_address is None else (own_address, 0),
    )
    assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == "h2"
    client = Http2Client(reader, writer, takes_data=takes_data)
    client.protocol.initiate_connection()
    if settings is not None:
        client.protocol.update_settings(settings)
    client.flush()
    try:
        yield client
    finally:
        client.close()


def many(frames: Iterable[Frame]) -> bytes:
    """Frames in one piece."""
    return b"".join(frame.serialize() for frame in frames)
