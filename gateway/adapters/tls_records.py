"""Choose how bytes move in and out of OpenSSL: the cheaper way, once it has passed a trial with this
binding."""

from typing import Final

from OpenSSL import SSL

from gateway.adapters.trial_handshake import trial_context, trial_handshake
from gateway.tls.records import PUBLIC_RECORDS, NativeRecords, Records

# More than one record each way, and not a multiple of any buffer.
_TRIAL_MESSAGE: Final = bytes(range(251)) * 801
_SHORT_MESSAGE: Final = b"one record"


def choose_records() -> Records:
    """The native way where it does what the public one does, else the public one."""
    native = NativeRecords()
    try:
        passed = _trial(native)
    except (AttributeError, TypeError, ValueError, SSL.Error):
        return PUBLIC_RECORDS  # a version of the binding that has changed inside
    return native if passed else PUBLIC_RECORDS


def _trial(records: Records) -> bool:
    """The peer's certificate, long and short messages each way, nothing more, close_notify, garbage."""
    server_context = trial_context(SSL.TLS_SERVER_METHOD)
    server_context.set_verify(SSL.VERIFY_PEER, lambda *_: True)
    both = trial_handshake(server_context, trial_context(SSL.TLS_CLIENT_METHOD))
    if both is None:
        return False
    server, client = both
    if len(records.presented(server, 8)) != 1 or records.presented(server, 8) != PUBLIC_RECORDS.presented(
        server, 8
    ):
        return False
    records.write(server, _TRIAL_MESSAGE)
    _carry(records, server, client)
    if PUBLIC_RECORDS.read(client) != (_TRIAL_MESSAGE, False):
        return False
    PUBLIC_RECORDS.write(client, _TRIAL_MESSAGE)
    _carry(records, client, server)
    if records.read(server) != (_TRIAL_MESSAGE, False) or records.read(server) != (b"", False):
        return False
    for message in (_SHORT_MESSAGE, _TRIAL_MESSAGE):
        sealed = records.seal(server, message)
        if PUBLIC_RECORDS.open(client, sealed, is_one_record=False) != (message, False):
            return False
        sealed = PUBLIC_RECORDS.seal(client, message)
        opened = records.open(server, sealed, is_one_record=message is _SHORT_MESSAGE)
        if opened != (message, False):
            return False
    client.shutdown()
    _carry(records, client, server)
    if records.read(server) != (b"", True):
        return False
    records.put(server, b"\x17\x03\x03\x00\x04junk")
    return records.read(server) == (b"", True)


def _carry(records: Records, source: SSL.Connection, target: SSL.Connection) -> None:
    ciphertext = records.take(source)
    if ciphertext:
        records.put(target, ciphertext)
