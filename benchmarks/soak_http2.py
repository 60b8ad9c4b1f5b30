"""HTTP/2 for the soak: several requests at once on one connection, each read to its end."""

import asyncio
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    ResponseReceived,
    StreamEnded,
    StreamReset,
)

from benchmarks.load_client import WINDOWS_CHROME
from benchmarks.site import APP_HOST, Site
from benchmarks.soak_client import STEP_SECONDS, Answer, Unexpected

_READ_BYTES: Final = 65_536


@dataclass(slots=True)
class _Stream:
    to_send: bytes
    fields: tuple[tuple[str, str], ...] = ()
    received: bytearray = field(default_factory=bytearray)
    ended: bool = False

    def answer(self) -> Answer:
        named = dict(self.fields)
        return Answer(int(named[":status"]), self.fields, bytes(self.received))


@dataclass(frozen=True, slots=True)
class Http2Request:
    method: str
    target: str
    fields: tuple[tuple[str, str], ...] = ()
    body: bytes = b""


async def exchange(site: Site, requests: Sequence[Http2Request]) -> list[Answer]:
    """All requests at once on a new connection; their answers in the same order.

    Raises Unexpected where the gateway agrees on no HTTP/2, resets a stream or ends the connection.
    """
    context = ssl.create_default_context(cadata=site.web_pem)
    context.set_alpn_protocols(["h2"])
    async with asyncio.timeout(STEP_SECONDS):
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", site.https_port, ssl=context, server_hostname=APP_HOST
        )
        try:
            if writer.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
                raise Unexpected("no HTTP/2")
            return await _exchange(site, requests, reader, writer)
        finally:
            writer.transport.abort()


async def _exchange(
    site: Site, requests: Sequence[Http2Request], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> list[Answer]:
    connection = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
    connection.initiate_connection()
    streams: dict[int, _Stream] = {}
    for request in requests:
        number = connection.get_next_available_stream_id()
        head = [
            (":method", request.method),
            (":scheme", "https"),
            (":authority", f"{APP_HOST}:{site.https_port}"),
            (":path", request.target),
            ("user-agent", WINDOWS_CHROME),
            *request.fields,
        ]
        connection.send_headers(number, head, end_stream=not request.body)
        streams[number] = _Stream(request.body)
    while not all(stream.ended for stream in streams.values()):
        for number, stream in streams.items():
            _send_body(connection, number, stream)
        writer.write(connection.data_to_send())
        await writer.drain()
        data = await reader.read(_READ_BYTES)
        if not data:
            raise Unexpected("the connection ended before its answers")
        for event in connection.receive_data(data):
            match event:
                case ResponseReceived():
                    streams[event.stream_id].fields = tuple(
                        (str(name), str(value)) for name, value in event.headers
                    )
                case DataReceived():
                    streams[event.stream_id].received += event.data
                    connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                case StreamEnded():
                    streams[event.stream_id].ended = True
                case StreamReset() | ConnectionTerminated():
                    raise Unexpected(repr(event))
    return [stream.answer() for stream in streams.values()]


def _send_body(connection: H2Connection, number: int, stream: _Stream) -> None:
    """As much of a body as the windows leave room for."""
    while stream.to_send and (room := connection.local_flow_control_window(number)) > 0:
        piece = stream.to_send[: min(room, connection.max_outbound_frame_size)]
        stream.to_send = stream.to_send[len(piece) :]
        connection.send_data(number, piece, end_stream=not stream.to_send)
