"""A server-side TLS session without a socket: ciphertext in, plaintext and ciphertext out.

The owner feeds what it read and writes what `take_output` returns. Nothing here blocks, waits or knows a
clock; the handshake deadline is the owner's.

    hello       ClientHello bytes gather; the server name picks the context
    handshake   OpenSSL works; when it is done `established` is True and `peer_certificate` is set
    open        `feed` returns plaintext, `send` takes it
    closed      the peer said close_notify (`peer_closed`), or TlsFailure was raised
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from OpenSSL import SSL

from gateway.model.device import PeerCertificate
from gateway.tls.client_hello import (
    ALERT_DECODE_ERROR,
    ALERT_UNRECOGNIZED_NAME,
    ClientHelloReader,
    ClientHelloRejected,
    alert_record,
)
from gateway.tls.records import PUBLIC_RECORDS, Records, bytes_missing

# Ciphertext in a row that holds no plaintext. The largest record comes in pieces of together 16 KB; more is a
# peer that sends something else, such as KeyUpdates (RFC 8446 §4.6.3), of which OpenSSL takes any number.
MAX_BARREN_BYTES: Final = 65_536
# Ciphertext beyond its plaintext after which `take_output` has to be asked. What OpenSSL answers by itself,
# again to KeyUpdates, waits there, and no answer of ours may ever come to take it along.
OVERHEAD_BYTES: Final = 65_536
# What a peer may present above its own certificate. OpenSSL bounds the message itself to 100 KB.
_MAX_PRESENTED_CHAIN: Final = 16


class FailureKind(StrEnum):
    """Why a session ended before its time: the ``result`` label of the handshake metric."""

    NOT_TLS = "not_tls"
    UNKNOWN_NAME = "unknown_name"
    HANDSHAKE_FAILED = "handshake_failed"
    PROTOCOL_ERROR = "protocol_error"


class TlsFailure(Exception):
    """The peer broke the protocol or asked for a host that nobody serves. The session is over; an alert may
    still wait in `take_output`."""

    def __init__(self, kind: FailureKind, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


@dataclass(frozen=True, slots=True)
class HostContext:
    """The context for one server name, and whether it asks for a certificate."""

    context: SSL.Context
    asks_for_certificate: bool


ContextSelector = Callable[[str | None], HostContext | None]


class TlsSession:
    """See the module's docstring. ``select_context`` maps a server name to a context, None if unknown."""

    __slots__ = (
        "_barren",
        "_connection",
        "_hello",
        "_missing",
        "_output",
        "_records",
        "_select_context",
        "established",
        "overhead",
        "peer_certificate",
        "peer_closed",
        "server_name",
    )

    def __init__(self, select_context: ContextSelector, records: Records = PUBLIC_RECORDS) -> None:
        self._records = records
        self._select_context = select_context
        self._hello: ClientHelloReader | None = ClientHelloReader()
        self._connection: SSL.Connection | None = None
        self._output = b""
        self._missing = 0
        self._barren = 0
        self.overhead = 0  # bytes; set to 0 by whoever asks `take_output` because of it
        self.established = False
        self.peer_closed = False
        self.peer_certificate: PeerCertificate | None = None
        self.server_name: str | None = None

    @property
    def version(self) -> str:
        """``TLSv1.3`` or ``TLSv1.2``; only after the handshake."""
        return "" if self._connection is None else self._connection.get_protocol_version_name()

    @property
    def application_protocol(self) -> bytes:
        """What ALPN agreed on (RFC 7301), empty if nothing; only after the handshake."""
        return b"" if self._connection is None else self._connection.get_alpn_proto_negotiated()

    def feed(self, ciphertext: bytes) -> bytes:
        """Take bytes from the wire, return the plaintext they held. Raises TlsFailure."""
        connection = self._connection
        if self.established:
            assert connection is not None
            size = len(ciphertext)
            # The usual request: one segment, one record.
            whole = not self._missing and size > 5 and (ciphertext[3] << 8) + ciphertext[4] == size - 5
            if not whole:
                self._missing = bytes_missing(self._missing, ciphertext)
            try:
                plaintext, self.peer_closed = self._records.open(connection, ciphertext, is_one_record=whole)
            except SSL.Error as error:
                raise TlsFailure(FailureKind.PROTOCOL_ERROR, _describe(error)) from error
            if not (whole and plaintext):
                self._count(size, len(plaintext))
            return plaintext
        self._missing = bytes_missing(self._missing, ciphertext)
        if connection is None:
            connection, ciphertext = self._begin(ciphertext)
            if connection is None:
                return b""
        self._records.put(connection, ciphertext)
        if not self._shake_hands(connection):
            return b""
        return self._read(connection)

    def send(self, plaintext: bytes) -> None:
        """Encrypt; the ciphertext waits in `take_output`. Only on an established session."""
        assert self._connection is not None
        try:
            self._records.write(self._connection, plaintext)
        except SSL.Error as error:
            raise TlsFailure(FailureKind.PROTOCOL_ERROR, _describe(error)) from error

    def seal(self, plaintext: bytes) -> bytes:
        """`send` and `take_output` in one."""
        assert self._connection is not None
        try:
            return self._records.seal(self._connection, plaintext)
        except SSL.Error as error:
            raise TlsFailure(FailureKind.PROTOCOL_ERROR, _describe(error)) from error

    def take_output(self) -> bytes:
        """Ciphertext (or an alert) to be written to the wire; empty when there is none."""
        if self._connection is None:
            output, self._output = self._output, b""
            return output
        return self._records.take(self._connection)

    def close(self) -> None:
        """Say close_notify; it waits in `take_output`. Harmless before the handshake and when repeated."""
        if self._connection is None or not self.established:
            return
        try:
            self._connection.shutdown()
        except SSL.Error:
            return  # the session already failed; there is nothing left to say

    def free(self) -> None:
        """Give OpenSSL's memory back, 20 KB and more, whoever may still hold this session. Only `server_name`
        and `peer_certificate` are of use after that."""
        self._connection = None

    def _count(self, ciphertext_bytes: int, plaintext_bytes: int) -> None:
        """Bound what a peer sends beyond plaintext. A read that is one record of it needs no look."""
        self.overhead += ciphertext_bytes - plaintext_bytes
        self._barren = 0 if plaintext_bytes else self._barren + ciphertext_bytes
        if self._barren > MAX_BARREN_BYTES:
            raise TlsFailure(FailureKind.PROTOCOL_ERROR, "records without content")

    def _begin(self, data: bytes) -> tuple[SSL.Connection | None, bytes]:
        hello = self._hello
        assert hello is not None
        try:
            if not hello.feed(data):
                return None, b""
            self.server_name = hello.server_name()
        except ClientHelloRejected as rejected:
            if len(hello.received) > 5 and hello.received[0] == 22:
                self._output = alert_record(ALERT_DECODE_ERROR)
            raise TlsFailure(FailureKind.NOT_TLS, str(rejected)) from rejected
        host = self._select_context(self.server_name)
        if host is None:
            self._output = alert_record(ALERT_UNRECOGNIZED_NAME)
            raise TlsFailure(FailureKind.UNKNOWN_NAME, self.server_name or "no server name")
        received = hello.received
        self._hello = None
        self._connection = SSL.Connection(host.context, None)
        self._connection.set_accept_state()
        return self._connection, received

    def _shake_hands(self, connection: SSL.Connection) -> bool:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            return False
        except SSL.Error as error:
            raise TlsFailure(FailureKind.HANDSHAKE_FAILED, _describe(error)) from error
        if connection.get_protocol_version() == SSL.TLS1_3_VERSION:
            self._check_server_name(connection)
        self.established = True
        # As bytes, not as objects of `cryptography`: its parser refuses certificates that OpenSSL takes, and
        # what a peer presented is judged later, where a refusal has a reason.
        presented = self._records.presented(connection, 1 + _MAX_PRESENTED_CHAIN)
        if presented:
            self.peer_certificate = PeerCertificate(presented[0], presented[1:])
        return True

    def _check_server_name(self, connection: SSL.Connection) -> None:
        """TLS 1.3 may have had a second ClientHello, after a HelloRetryRequest: it names the same host.

        Not for TLS 1.2, which has one, and where OpenSSL answers a resumption with the name in the session.
        """
        seen = connection.get_servername()
        if (seen.decode("latin-1").lower() if seen else None) != self.server_name:
            raise TlsFailure(FailureKind.HANDSHAKE_FAILED, "the server name changed during the handshake")

    def _read(self, connection: SSL.Connection) -> bytes:
        try:
            plaintext, self.peer_closed = self._records.read(connection)
        except SSL.Error as error:
            raise TlsFailure(FailureKind.PROTOCOL_ERROR, _describe(error)) from error
        return plaintext


def _describe(error: SSL.Error) -> str:
    """OpenSSL's own words for what went wrong, for the log; never shown to the peer."""
    if error.args and isinstance(error.args[0], list):
        return "; ".join(str(entry[-1]) for entry in error.args[0])[:200]
    return type(error).__name__
