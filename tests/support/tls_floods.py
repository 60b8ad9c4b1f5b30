"""What a TLS client may send that is no data, by functions of OpenSSL that the binding does not offer."""

import contextlib
import ctypes
from functools import cache

from OpenSSL import SSL
from OpenSSL._util import ffi
from support.raw_tls import drain

from gateway.adapters.openssl_symbols import find_functions

KEY_UPDATE_BYTES = 27  # a record of TLS 1.3 with nothing but it
_NOT_REQUESTED, _REQUESTED = 0, 1  # openssl/ssl.h


def key_updates(client: SSL.Connection, count: int, *, requested: bool) -> bytes:
    """So many KeyUpdate messages (RFC 8446 §4.6.3), each asking for one in return, or not."""
    update = _function("SSL_key_update", ctypes.c_int)
    flood = b""
    for _ in range(count):
        assert update(_address(client), _REQUESTED if requested else _NOT_REQUESTED) == 1
        client.do_handshake()
        flood += drain(client)
    assert len(flood) == count * KEY_UPDATE_BYTES
    return flood


def renegotiation(client: SSL.Connection) -> bytes:
    """A ClientHello inside of a TLS 1.2 connection (RFC 5246 §7.4.1.2)."""
    assert _function("SSL_renegotiate")(_address(client)) == 1
    with contextlib.suppress(SSL.WantReadError):
        client.do_handshake()
    return drain(client)


@cache
def _function(name: str, *more: type[ctypes.c_int]) -> "ctypes._CFunctionType":
    addresses = find_functions(name)
    assert addresses is not None, f"this OpenSSL has no {name}"
    return ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, *more)(addresses[name])


def _address(connection: SSL.Connection) -> int:
    return int(ffi.cast("uintptr_t", connection._ssl))
