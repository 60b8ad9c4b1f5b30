"""Read the server name out of a ClientHello before OpenSSL sees a byte (RFC 8446 §4.1.2, RFC 6066 §3).

The role of a host (app, mTLS, org) decides the whole TLS context: whether a certificate is asked for,
whether sessions may resume. OpenSSL's server-name callback comes too late for that: swapping the context
of a live connection leaves its verify mode as it was. So the name is read here, the connection is made
with the right context from the start, and a name that nobody serves gets its alert without any handshake.

Not checked here: anything that OpenSSL checks itself. After the handshake the session compares the name
that OpenSSL saw with this one, which closes the gap of a second ClientHello after a HelloRetryRequest.
"""

from typing import Final

# A ClientHello with a post-quantum key share is about 1.8 KB; large ones with many tickets and ECH stay
# under 8 KB. More than this is not a browser.
MAX_CLIENT_HELLO_BYTES: Final = 16_384

ALERT_DECODE_ERROR: Final = 50
ALERT_UNRECOGNIZED_NAME: Final = 112

_HANDSHAKE_RECORD = 22
_CLIENT_HELLO = 1
_SERVER_NAME_EXTENSION = 0
_HOST_NAME = 0
_NAME_CHARACTERS = frozenset(b"abcdefghijklmnopqrstuvwxyz0123456789-._")


class ClientHelloRejected(Exception):
    """The first bytes are no ClientHello, or one that is too large or malformed."""


class ClientHelloReader:
    """Bytes in until a whole ClientHello is there. Holds them, to be handed to OpenSSL afterwards.

    Each record is looked at once, however small the pieces that it arrives in: work that grew with what is
    already held would let a few thousand tiny segments keep a core busy for seconds.
    """

    __slots__ = ("_complete", "_message", "_needed", "_next_record", "_received")

    def __init__(self) -> None:
        self._received = bytearray()
        self._next_record = 0
        self._message = bytearray()
        self._needed = 4  # bytes of the message, as far as is known
        self._complete = False

    @property
    def received(self) -> bytes:
        """Everything fed so far: the ClientHello and whatever came with it."""
        return bytes(self._received)

    def feed(self, data: bytes) -> bool:
        """Take bytes; True when the ClientHello is complete. Raises ClientHelloRejected."""
        received = self._received
        received += data
        if received and received[0] != _HANDSHAKE_RECORD:
            raise ClientHelloRejected("not a TLS handshake record")
        while not self._complete and self._take_record():
            pass
        if not self._complete and len(received) > 2 * MAX_CLIENT_HELLO_BYTES:
            # Many tiny records: the bound on the message alone would let their headers pile up.
            raise ClientHelloRejected("the ClientHello is too large")
        return self._complete

    def server_name(self) -> str | None:
        """The host name of a complete ClientHello in lower case; None where it carries none.

        Raises ClientHelloRejected on malformed extensions or a name that is no host name.
        """
        if not self._complete:
            raise ClientHelloRejected("the ClientHello is not complete")
        return parse_server_name(bytes(self._message[: self._needed]))

    def _take_record(self) -> bool:
        """Add the next record to the message, if all of it is there."""
        received, start = self._received, self._next_record
        if len(received) - start < 5:
            return False
        if received[start] != _HANDSHAKE_RECORD or received[start + 1] != 3:
            raise ClientHelloRejected("not a TLS handshake record")
        length = int.from_bytes(received[start + 3 : start + 5])
        if not 0 < length <= MAX_CLIENT_HELLO_BYTES:
            raise ClientHelloRejected("record length out of range")
        if len(received) - start < 5 + length:
            return False
        self._message += received[start + 5 : start + 5 + length]
        self._next_record = start + 5 + length
        if self._message[0] != _CLIENT_HELLO:
            raise ClientHelloRejected("the first message is not a ClientHello")
        if len(self._message) >= 4:
            self._needed = 4 + int.from_bytes(self._message[1:4])
            if self._needed > MAX_CLIENT_HELLO_BYTES:
                raise ClientHelloRejected("the ClientHello is too large")
            self._complete = len(self._message) >= self._needed
        return True


def parse_server_name(message: bytes) -> str | None:
    """The server name of one whole ClientHello handshake message. Raises ClientHelloRejected."""
    try:
        position = 4 + 2 + 32
        position += 1 + message[position]
        position += 2 + (message[position] << 8) + message[position + 1]
        position += 1 + message[position]
        if position == len(message):
            return None  # TLS 1.2 without extensions
        end = position + 2 + (message[position] << 8) + message[position + 1]
        if end != len(message):
            raise ClientHelloRejected("the extensions do not fill the message")
        position += 2
        name: str | None = None
        while position < end:
            content = position + 4
            following = content + (message[position + 2] << 8) + message[position + 3]
            if following > end:
                raise ClientHelloRejected("an extension ends too late")
            if message[position] == 0 and message[position + 1] == _SERVER_NAME_EXTENSION:
                if name is not None:
                    raise ClientHelloRejected("two server_name extensions")
                name = _host_name(message[content:following])
            position = following
    except IndexError:
        raise ClientHelloRejected("the ClientHello ends too early") from None
    return name


def alert_record(description: int) -> bytes:
    """A fatal alert in the clear, for a connection that has no keys yet (RFC 8446 §6)."""
    return bytes((21, 3, 3, 0, 2, 2, description))


def _host_name(content: bytes) -> str:
    """One ServerNameList (RFC 6066 §3). The list may hold one name of each type, so one host name."""
    if len(content) < 5 or int.from_bytes(content[:2]) != len(content) - 2 or content[2] != _HOST_NAME:
        raise ClientHelloRejected("malformed server_name extension")
    raw = content[5:]
    if int.from_bytes(content[3:5]) != len(raw):
        raise ClientHelloRejected("malformed server_name extension")
    name = raw.lower()
    if not 0 < len(name) <= 253 or not _NAME_CHARACTERS.issuperset(name):
        raise ClientHelloRejected("the server name is no host name")
    return name.decode("ascii")
