"""A TLS handshake to look at: which certificates the server shows, of whose authorities it wants one, and
whether it goes along with ours.

Nothing is verified: the one who asks wants to see what is there, also where it is wrong.
"""

import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL

LOOK_SECONDS: Final = 5.0
_PIECE_BYTES: Final = 16_384
_MAX_HANDSHAKE_BYTES: Final = 262_144
_MAX_HEAD_BYTES: Final = 16_384

Connect = Callable[[], socket.socket]


class LookFailed(Exception):
    """There was no handshake to look at; the text says how far it came."""


class NameUnknown(LookFailed):
    """There is no address to connect to."""


@dataclass(frozen=True, slots=True)
class TlsSeen:
    """``chain`` as the server sent it, the leaf first (DER). ``client_authorities`` are the common names of
    the authorities of which it wants a certificate, () where it wants none or does not say. ``refusal`` is
    why it ended the handshake, "" where it did not."""

    chain: tuple[bytes, ...] = field(repr=False)
    client_authorities: tuple[str, ...]
    version: str
    refusal: str = ""

    @property
    def leaf_sha256(self) -> str:
        """Hexadecimal."""
        return sha256(self.chain[0]).hexdigest()

    @property
    def issuer(self) -> str:
        return issuer_name(self.chain[0])


@dataclass(frozen=True, slots=True)
class ShownFiles:
    """PEM: the certificate with its chain, and its key."""

    certificate: Path
    private_key: Path


def tls_look(connect: Connect, server_name: str, shown: ShownFiles | None = None) -> TlsSeen:
    """Raises LookFailed. ``connect`` opens a connection to the server, through a proxy perhaps; it raises
    OSError."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_verify(SSL.VERIFY_NONE)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    if shown is not None:
        try:
            context.use_certificate_chain_file(str(shown.certificate))
            context.use_privatekey_file(str(shown.private_key))
        except SSL.Error as error:
            raise LookFailed(f"{shown.certificate} cannot be shown: {_reasons(error)}") from None
    connection = SSL.Connection(context, None)
    connection.set_connect_state()
    try:
        connection.set_tlsext_host_name(server_name.encode("idna"))
        with connect() as wire:
            return _shaken(connection, wire, server_name, time.monotonic() + LOOK_SECONDS)
    except TimeoutError:
        raise LookFailed("it does not answer in time") from None
    except UnicodeError:
        raise LookFailed(f"{server_name!r} is no name of a host") from None
    except socket.gaierror as error:
        raise NameUnknown(f"its name is not known ({error.strerror})") from None
    except OSError as error:
        raise LookFailed(error.strerror or str(error)) from None


def connect_to(host: str, port: int) -> Connect:
    """Directly, by whatever address answers."""
    return lambda: socket.create_connection((host, port), LOOK_SECONDS)


def connect_through(proxy: tuple[str, int], authorization: str | None, host: str, port: int) -> Connect:
    """Through an HTTP proxy (RFC 9110 §9.3.6). ``authorization`` is the value of Proxy-Authorization."""

    def connect() -> socket.socket:
        wire = socket.create_connection(proxy, LOOK_SECONDS)
        try:
            _tunnel(wire, f"{host}:{port}", authorization)
        except BaseException:
            wire.close()
            raise
        return wire

    return connect


def issuer_name(certificate_der: bytes) -> str:
    """The issuer's common name, or its whole name where it has none; "?" for what is no certificate."""
    try:
        issuer = x509.load_der_x509_certificate(certificate_der).issuer
        names = issuer.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        return str(names[0].value) if names else issuer.rfc4514_string() or "nobody"
    except ValueError:
        return "?"


def _tunnel(wire: socket.socket, authority: str, authorization: str | None) -> None:
    head = f"CONNECT {authority} HTTP/1.1\r\nHost: {authority}\r\n"
    if authorization is not None:
        head += f"Proxy-Authorization: {authorization}\r\n"
    wire.sendall(head.encode() + b"\r\n")
    answer = bytearray()
    deadline = time.monotonic() + LOOK_SECONDS
    while b"\r\n\r\n" not in answer:
        _wait_no_longer_than(wire, deadline)
        # Byte by byte: what comes behind the head is TLS already.
        piece = wire.recv(1)
        if not piece or len(answer) > _MAX_HEAD_BYTES:
            raise OSError(f"the proxy does not connect to {authority}")
        answer += piece
    status = bytes(answer).split(b"\r\n", 1)[0].split(b" ")
    if len(status) < 2 or status[1] != b"200":
        said = bytes(answer).split(b"\r\n", 1)[0].decode("latin-1")
        raise OSError(f"the proxy does not connect to {authority}: {said[:80]}")


def _shaken(connection: SSL.Connection, wire: socket.socket, host: str, deadline: float) -> TlsSeen:
    refusal, read = "", 0
    while True:
        try:
            connection.do_handshake()
        except SSL.WantReadError:
            _send(connection, wire)
        except SSL.Error as error:
            refusal = _reasons(error) or "the handshake failed"
            break
        else:
            break
        _wait_no_longer_than(wire, deadline)
        piece = wire.recv(_PIECE_BYTES)
        read += len(piece)
        if not piece or read > _MAX_HANDSHAKE_BYTES:
            refusal = "it ended the connection"
            break
        connection.bio_write(piece)
    try:
        chain = connection.get_peer_cert_chain(as_cryptography=True) or []
    except ValueError as error:
        raise LookFailed(f"what it shows is no certificate: {error}") from None
    if not chain:
        raise LookFailed(refusal or "it showed no certificate")
    if not refusal:
        refusal = _after_the_handshake(connection, wire, host, deadline)
    return TlsSeen(
        tuple(each.public_bytes(Encoding.DER) for each in chain),
        tuple(_common_name(each) for each in connection.get_client_ca_list()),
        connection.get_protocol_version_name(),
        refusal,
    )


def _after_the_handshake(connection: SSL.Connection, wire: socket.socket, host: str, deadline: float) -> str:
    """In TLS 1.3 the client is through before the server has seen its certificate: a refusal comes behind.
    It is asked for something, so that it has to answer."""
    connection.sendall(f"HEAD / HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
    _send(connection, wire)
    while True:
        try:
            connection.recv(_PIECE_BYTES)
        except SSL.WantReadError:
            pass
        except SSL.ZeroReturnError:
            return ""
        except SSL.Error as error:
            return _reasons(error) or "it ended the connection"
        else:
            return ""
        try:
            _wait_no_longer_than(wire, deadline)
            piece = wire.recv(_PIECE_BYTES)
        except ConnectionError:
            return "it ended the connection"
        if not piece:
            return "it ended the connection"
        connection.bio_write(piece)


def _send(connection: SSL.Connection, wire: socket.socket) -> None:
    try:
        while True:
            wire.sendall(connection.bio_read(_PIECE_BYTES))
    except SSL.WantReadError:
        return


def _wait_no_longer_than(wire: socket.socket, deadline: float) -> None:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    wire.settimeout(left)


def _common_name(name: object) -> str:
    """pyOpenSSL's own kind of name."""
    common: str | None = getattr(name, "CN", None)
    return common or "?"


def _reasons(error: SSL.Error) -> str:
    """OpenSSL's reasons, without its names for the parts of itself."""
    if not error.args or not isinstance(error.args[0], list):
        return str(error)
    return ", ".join(reason for _library, _function, reason in error.args[0])
