"""Choose how bytes move in and out of OpenSSL: the cheaper way, once it has passed a trial with this
binding."""

from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from OpenSSL import SSL

from gateway.tls.records import PUBLIC_RECORDS, NativeRecords, Records

# More than one record each way, and not a multiple of any buffer.
_TRIAL_MESSAGE: Final = bytes(range(251)) * 801


def choose_records() -> Records:
    """The native way where it does what the public one does, else the public one."""
    native = NativeRecords()
    try:
        passed = _trial(native)
    except (AttributeError, TypeError, ValueError, SSL.Error):
        return PUBLIC_RECORDS  # a version of the binding that has changed inside
    return native if passed else PUBLIC_RECORDS


def _trial(records: Records) -> bool:
    """A handshake in memory, a long message each way, nothing more to read, close_notify, and garbage."""
    server, client = SSL.Connection(_server_context(), None), SSL.Connection(_client_context(), None)
    server.set_accept_state()
    client.set_connect_state()
    for side, other in ((client, server), (server, client)) * 3:
        _shake_hands(side)
        _carry(records, side, other)
    records.write(server, _TRIAL_MESSAGE)
    _carry(records, server, client)
    if PUBLIC_RECORDS.read(client) != (_TRIAL_MESSAGE, False):
        return False
    PUBLIC_RECORDS.write(client, _TRIAL_MESSAGE)
    _carry(records, client, server)
    if records.read(server) != (_TRIAL_MESSAGE, False) or records.read(server) != (b"", False):
        return False
    client.shutdown()
    _carry(records, client, server)
    if records.read(server) != (b"", True):
        return False
    records.put(server, b"\x17\x03\x03\x00\x04junk")
    return records.read(server) == (b"", True)


def _shake_hands(side: SSL.Connection) -> None:
    try:
        side.do_handshake()
    except SSL.WantReadError:
        return


def _carry(records: Records, source: SSL.Connection, target: SSL.Connection) -> None:
    ciphertext = records.take(source)
    if ciphertext:
        records.put(target, ciphertext)


def _client_context() -> SSL.Context:
    return SSL.Context(SSL.TLS_CLIENT_METHOD)


def _server_context() -> SSL.Context:
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
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.use_certificate(certificate)
    context.use_privatekey(key)
    return context
