"""Leaving the peer's certificate to our own judgement, without OpenSSL verifying it first.

A handshake on an mTLS host takes every certificate: it proves possession of the key, and the verdict comes
later, in memory. With a verify callback OpenSSL still builds a path and verifies its signatures, only for
the callback to say yes to whatever came of it: a sixth of the handshake, and more where a hostile peer
presents a long chain with large keys. `SSL_CTX_set_cert_verify_callback` replaces that work as a whole. The
binding does not offer it.

Nobody uses it before a handshake in memory has shown that it does what is said here, and everything works
without.
"""

import ctypes
from typing import Final

from OpenSSL import SSL

from gateway.adapters.openssl_symbols import address_of, find_functions
from gateway.adapters.trial_handshake import trial_context, trial_handshake
from gateway.tls.contexts import LeaveUnverified

_SETTER: Final = "SSL_CTX_set_cert_verify_callback"
_VERIFIED: Final = 1

_Callback: Final = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)


# OpenSSL calls it at any time: it has to live as long as the process does.
_TAKE_AS_VERIFIED: Final = _Callback(lambda _store_context, _argument: _VERIFIED)


def find_verification_switch() -> LeaveUnverified | None:
    """A function that makes a context leave the peer's certificate unverified; None where OpenSSL's own is
    not found or does something else."""
    addresses = find_functions(_SETTER)
    if addresses is None:
        return None
    set_callback = ctypes.CFUNCTYPE(None, ctypes.c_void_p, _Callback, ctypes.c_void_p)(addresses[_SETTER])

    def leave_unverified(context: SSL.Context) -> None:
        set_callback(address_of(context), _TAKE_AS_VERIFIED, None)

    return leave_unverified if _trial(leave_unverified) else None


def _trial(leave_unverified: LeaveUnverified) -> bool:
    """A certificate that passes no verification finishes the handshake with the switch, and not without."""
    client = trial_context(SSL.TLS_CLIENT_METHOD)

    def handshake(*, switched: bool) -> tuple[SSL.Connection, SSL.Connection] | None:
        server = trial_context(SSL.TLS_SERVER_METHOD)
        server.set_verify(SSL.VERIFY_PEER)
        if switched:
            leave_unverified(server)
        return trial_handshake(server, client)

    finished = handshake(switched=True)
    return (
        finished is not None
        and finished[0].get_peer_certificate() is not None
        and handshake(switched=False) is None
    )
