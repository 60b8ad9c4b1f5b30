"""A TLS handshake in memory, by which what is not public of the binding is tried before it is used."""

from datetime import UTC, datetime

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL

_FLIGHTS = 6  # a full handshake has three, in TLS 1.2 four
_BYTES = 65_536


def trial_context(method: int) -> SSL.Context:
    """A context of either side with a key and a certificate that signs itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
        .not_valid_after(datetime(2040, 1, 1, tzinfo=UTC))
        .sign(key, SHA256())
    )
    context = SSL.Context(method)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    return context


def trial_handshake(
    server_context: SSL.Context, client_context: SSL.Context
) -> tuple[SSL.Connection, SSL.Connection] | None:
    """(server, client) after a finished handshake; None where either side refused it."""
    server, client = SSL.Connection(server_context, None), SSL.Connection(client_context, None)
    server.set_accept_state()
    client.set_connect_state()
    finished: set[SSL.Connection] = set()
    for side, other in ((client, server), (server, client)) * _FLIGHTS:
        try:
            side.do_handshake()
            finished.add(side)
        except SSL.WantReadError:
            pass
        except SSL.Error:
            return None
        carry(side, other)
    return (server, client) if len(finished) == 2 else None


def carry(source: SSL.Connection, target: SSL.Connection) -> None:
    """Bring what one side has to say to the other."""
    try:
        while True:
            target.bio_write(source.bio_read(_BYTES))
    except SSL.WantReadError:
        return
