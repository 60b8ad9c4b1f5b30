"""A TLS server that says which client certificate it was shown. It trusts none and refuses none."""

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from socket import SHUT_RDWR, socket

from cryptography import x509
from OpenSSL import SSL
from support.pki import Credential
from support.processes import free_port


@contextmanager
def certificate_mirror(
    server: Credential,
    named_authorities: Sequence[x509.Certificate],
    shown: Callable[[str], None] = lambda _: None,
) -> Iterator[int]:
    """Serve on loopback; gives the port. ``named_authorities`` are the CA names in its request for a
    certificate. The body of each answer is the subject of the leaf, or ``none``; ``shown`` is told, too."""
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(server.certificate)
    for intermediate in server.intermediates:
        context.add_extra_chain_cert(intermediate)
    context.use_privatekey(server.key)
    context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    for authority in named_authorities:
        context.add_client_ca(authority)
    port = free_port()
    listener = socket()
    listener.bind(("127.0.0.1", port))
    listener.listen()
    thread = threading.Thread(target=_accept, args=(listener, context, shown), name="certificate-mirror")
    thread.start()
    try:
        yield port
    finally:
        listener.shutdown(SHUT_RDWR)
        listener.close()
        thread.join(10)


def _accept(listener: socket, context: SSL.Context, shown: Callable[[str], None]) -> None:
    while True:
        try:
            plain, _ = listener.accept()
        except OSError:
            return  # closed by the owner
        threading.Thread(target=_answer, args=(plain, context, shown), daemon=True).start()


def _answer(plain: socket, context: SSL.Context, shown: Callable[[str], None]) -> None:
    with plain, suppress(SSL.Error):
        plain.settimeout(None)
        connection = SSL.Connection(context, plain)
        connection.set_accept_state()
        connection.do_handshake()
        connection.recv(65_536)
        leaf = connection.get_peer_certificate(as_cryptography=True)
        subject = leaf.subject.rfc4514_string() if leaf else "none"
        shown(subject)
        body = subject.encode()
        head = f"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
        connection.sendall(head.encode() + b"Connection: close\r\n\r\n" + body)
        connection.shutdown()
