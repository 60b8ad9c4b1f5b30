"""TLS by hand: ClientHellos byte by byte, and whole handshakes in memory, without a socket."""

import ssl
from collections.abc import Iterable

from OpenSSL import SSL
from support.pki import Authority, Credential

from gateway.tls.session import TlsSession

SERVER_NAME = 0
MAX_ROUNDS = 12  # more flights than any handshake has


def extension(kind: int, content: bytes) -> bytes:
    return kind.to_bytes(2) + len(content).to_bytes(2) + content


def server_name_extension(*names: bytes, name_type: int = 0) -> bytes:
    """RFC 6066 §3, with as many names as told."""
    entries = b"".join(bytes([name_type]) + len(name).to_bytes(2) + name for name in names)
    return extension(SERVER_NAME, len(entries).to_bytes(2) + entries)


def hello_message(
    extensions: bytes | None,
    *,
    session_id: bytes = b"",
    ciphers: bytes = b"\x13\x01",
    compression: bytes = b"\x00",
    kind: int = 1,
) -> bytes:
    """A ClientHello handshake message; ``extensions`` None leaves the whole block out (RFC 5246 §7.4.1.2)."""
    body = b"\x03\x03" + bytes(32) + bytes([len(session_id)]) + session_id
    body += len(ciphers).to_bytes(2) + ciphers + bytes([len(compression)]) + compression
    if extensions is not None:
        body += len(extensions).to_bytes(2) + extensions
    return bytes([kind]) + len(body).to_bytes(3) + body


def in_records(message: bytes, size: int = 16_384, kind: int = 22) -> bytes:
    """The message in TLS records of at most ``size`` bytes each."""
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    return b"".join(bytes((kind, 3, 1)) + len(piece).to_bytes(2) + piece for piece in pieces)


def out_of_records(stream: bytes) -> bytes:
    """The contents of the records one after the other."""
    content = b""
    while stream:
        length = int.from_bytes(stream[3:5])
        content += stream[5 : 5 + length]
        stream = stream[5 + length :]
    return content


def real_hello(server_name: str | None, *, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> bytes:
    """The first flight of the interpreter's own TLS library."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.maximum_version = newest
    outgoing = ssl.MemoryBIO()
    client = context.wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=server_name)
    try:
        client.do_handshake()
    except ssl.SSLWantReadError:
        return outgoing.read()
    raise AssertionError("a handshake cannot end without an answer")


class MemoryClient:
    """A client of the interpreter's ssl module, joined to a `TlsSession` without a socket."""

    def __init__(
        self,
        server: TlsSession,
        context: ssl.SSLContext,
        server_name: str | None,
        session: ssl.SSLSession | None = None,
    ) -> None:
        self.server = server
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=server_name, session=session
        )
        self.received_by_server = b""

    def shake_hands(self) -> "MemoryClient":
        """Until both sides are done. Raises what either side raises."""
        done = False
        for _ in range(MAX_ROUNDS):
            if not done:
                try:
                    self.tls.do_handshake()
                    done = True
                except ssl.SSLWantReadError:
                    pass
            self.exchange()
            if done and self.server.established:
                return self
        raise AssertionError("the handshake does not end")

    def exchange(self) -> None:
        """Carry what either side wants to write to the other one."""
        ciphertext = self._outgoing.read()
        if ciphertext:
            self.received_by_server += self.server.feed(ciphertext)
        self._incoming.write(self.server.take_output())

    def send(self, plaintext: bytes) -> bytes:
        """Returns what the server read."""
        before = len(self.received_by_server)
        self.tls.write(plaintext)
        self.exchange()
        return self.received_by_server[before:]

    def read(self) -> bytes:
        """All plaintext that the server has sent."""
        self.exchange()
        pieces = []
        while True:
            try:
                piece = self.tls.read(65_536)
            except ssl.SSLWantReadError:
                break
            if not piece:
                break
            pieces.append(piece)
        return b"".join(pieces)


def client_context(
    authority: Authority, *, version: ssl.TLSVersion, alpn: Iterable[str] = ("http/1.1",)
) -> ssl.SSLContext:
    """A client that verifies the server and speaks exactly this version."""
    context = ssl.create_default_context(cadata=authority.pem.decode())
    context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(list(alpn))
    return context


def pyopenssl_client(
    server_name: str, credential: Credential | None = None, *, version: int | None = None
) -> SSL.Connection:
    """A pyOpenSSL client in memory that verifies nothing, with a certificate and its chain or none."""
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    if version is not None:
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
    if credential is not None:
        context.use_certificate(credential.certificate)
        context.use_privatekey(credential.key)
        for intermediate in credential.intermediates:
            context.add_extra_chain_cert(intermediate)
    client = SSL.Connection(context, None)
    client.set_tlsext_host_name(server_name.encode())
    client.set_connect_state()
    return client


def carry(client: SSL.Connection, server: TlsSession) -> bytes:
    """One round of ciphertext from client to server and back; returns what the server read."""
    plaintext = server.feed(outgoing) if (outgoing := drain(client)) else b""
    if output := server.take_output():
        client.bio_write(output)
    return plaintext


def drain(client: SSL.Connection) -> bytes:
    """What the client wants to write."""
    pieces = []
    while True:
        try:
            pieces.append(client.bio_read(65_536))
        except SSL.WantReadError:
            return b"".join(pieces)


def shake_hands(client: SSL.Connection, server: TlsSession) -> None:
    """Until both sides are done. Raises what either side raises."""
    done = False
    for _ in range(MAX_ROUNDS):
        if not done:
            try:
                client.do_handshake()
                done = True
            except SSL.WantReadError:
                pass
        carry(client, server)
        if done and server.established:
            return
    raise AssertionError("the handshake does not end")
