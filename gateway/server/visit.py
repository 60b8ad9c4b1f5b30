"""The first moments of a connection, before a byte of TLS is worked on. It costs next to nothing.

entered      counted by `gateway.server.admission`, or closed at once
gathering    its first TLS record, and before it a PROXY header where the listener wants one
waiting      for its turn to begin the handshake
handed over  the transport has its `Channel`; the visit goes on counting until the connection is gone
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from time import perf_counter
from typing import Final

from gateway.proxy.addresses import Network, address_group, is_within, peer_address
from gateway.proxy.proxy_protocol import ProxyHeaderReader, ProxyHeaderRefused
from gateway.server.admission import Admission
from gateway.server.channel import Channel, HandshakeReport
from gateway.server.deadlines import NEVER

_HANDSHAKE_RECORD: Final = 22
_RECORD_HEADER_BYTES: Final = 5
_MAX_RECORD_BYTES: Final = _RECORD_HEADER_BYTES + 16_384
# close() then sends RST: the peer knows at once, and nothing stays behind here (socket(7), SO_LINGER).
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)

MakeChannel = Callable[["Visit"], Channel]
ProxiesNow = Callable[[], tuple[Network, ...]]


class Visit(asyncio.Protocol):
    """See the module's docstring. The transport's protocol until the `Channel` is."""

    __slots__ = (
        "_admission",
        "_channel",
        "_early",
        "_entered",
        "_group",
        "_make_channel",
        "_over",
        "_proxy_header",
        "_report",
        "_transport",
        "_trusted_proxies",
        "_waits",
        "began",
        "client_host",
        "deadline",
    )

    def __init__(
        self,
        admission: Admission,
        make_channel: MakeChannel,
        report: HandshakeReport,
        trusted_proxies: ProxiesNow,
        *,
        proxy_protocol: bool,
    ) -> None:
        self._admission = admission
        self._make_channel = make_channel
        self._report = report
        self._trusted_proxies = trusted_proxies
        self._proxy_header = ProxyHeaderReader() if proxy_protocol else None
        self._transport: asyncio.Transport | None = None
        self._channel: Channel | None = None
        self._early = b""
        self._entered = False
        self._group: int | None = None
        self._over = False
        self._waits = False
        self.began = 0.0
        self.client_host = ""
        self.deadline = NEVER

    # For the channel.

    def established(self) -> None:
        """The handshake is done."""
        self._channel = None
        self._admission.finish_handshake(self, self._group)

    def left(self) -> None:
        """The connection is gone."""
        self._channel = None
        if self._entered:
            self._entered = False
            self._admission.leave(self, self._group)

    # For the admission.

    def turn_away(self, reason: str) -> None:
        """Close by a reset. Only before the handshake is finished."""
        self._admission.report_shed(reason, self.client_host)
        assert self._transport is not None
        connection: socket.socket | None = self._transport.get_extra_info("socket")
        if connection is not None:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.abort()

    def abort(self) -> None:
        """Give up a connection whose handshake is not finished."""
        if self._channel is not None:
            self._channel.abort()
        elif not self._over and self._transport is not None:
            self._end()
            self._transport.abort()

    def take_turn(self) -> None:
        """Hand the transport over to a channel, with what was received."""
        transport = self._transport
        if self._over or transport is None:
            return
        self._over = True
        self._admission.deadlines.forget(self)
        early, self._early = self._early, b""
        channel = self._channel = self._make_channel(self)
        transport.set_protocol(channel)
        channel.connection_made(transport)
        channel.deadline = self.deadline
        if self._waits:
            transport.resume_reading()
        channel.data_received(early)

    # For asyncio.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment]  # uvloop's class is no subclass of asyncio's
        self.began = perf_counter()
        deadlines = self._admission.deadlines
        peer = transport.get_extra_info("peername")
        if peer is None:  # it has gone already, and later the socket would not tell either
            self._report.handshake(None, "disconnected", 0.0)
            self.abort()
            return
        self.client_host = str(peer[0])
        reason = self._admission.enter(self)
        if reason is None:
            self._entered = True
            reason = self._enter_address()
        if reason is not None:
            self.turn_away(reason)
            return
        self.deadline = deadlines.after(self._admission.limits.handshake_timeout_seconds)
        deadlines.watch(self)

    def data_received(self, data: bytes) -> None:
        if self._over:
            return
        if self._proxy_header is not None:
            rest = self._read_proxy_header(data)
            if not rest:
                return
            data = rest
        self._early = self._early + data if self._early else data
        if (
            not self._waits
            and _first_record_is_whole(self._early)
            and not self._admission.turn(self, self._group)
        ):
            assert self._transport is not None
            self._waits = True
            self._transport.pause_reading()

    def eof_received(self) -> bool:
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        if not self._over:
            self._report.handshake(None, "disconnected", 0.0)
            self._end()

    def deadline_passed(self) -> None:
        self._report.handshake(None, "timeout", 0.0)
        self.abort()

    # Inside.

    def _enter_address(self) -> str | None:
        """Count this connection under its client, once that is known. A listener that wants PROXY headers
        takes connections from trusted proxies only: anybody else could name any client."""
        proxies = self._trusted_proxies()
        address = peer_address(self.client_host)
        if proxies and is_within(address, proxies):
            return None
        if self._proxy_header is not None:
            return "proxy_protocol"
        group = address_group(address)
        reason = self._admission.enter_address(group)
        if reason is None:
            self._group = group
        return reason

    def _read_proxy_header(self, data: bytes) -> bytes:
        """What follows the header, once it is whole; nothing while it is not, or is refused."""
        assert self._proxy_header is not None
        try:
            rest = self._proxy_header.feed(data)
        except ProxyHeaderRefused:
            self.turn_away("proxy_protocol")
            return b""
        if rest is None:
            return b""
        source, self._proxy_header = self._proxy_header.source, None
        if source is not None:
            self.client_host = str(source)
            reason = self._enter_address()
            if reason is not None:
                self.turn_away(reason)
                return b""
        return rest

    def _end(self) -> None:
        self._over = True
        self._early = b""
        self._admission.deadlines.forget(self)
        self.left()


def _first_record_is_whole(received: bytes) -> bool:
    """True also where it is no handshake record at all: the session refuses that at once."""
    if received[0] != _HANDSHAKE_RECORD:
        return True
    if len(received) < _RECORD_HEADER_BYTES:
        return False
    needed = _RECORD_HEADER_BYTES + int.from_bytes(received[3:5])
    return len(received) >= min(needed, _MAX_RECORD_BYTES)
