"""The groups of the key exchange: those that browsers use, and none that only costs more.

OpenSSL's own list also has X448 and finite fields. A peer that asks for the dearest of them makes a handshake
four times as expensive as it has to be, for itself and for us. What stays are the curves of RFC 9325 and the
hybrid with ML-KEM that browsers prefer. P-521 costs twice the time, but has to stay: in TLS 1.2 the list also
says which curves the certificate of a client may have (RFC 8422 §5.1.1).
"""

from typing import Final

from OpenSSL import SSL
from OpenSSL._util import ffi, lib

# The first list that OpenSSL takes; one that does not know ML-KEM, or "?", refuses the whole first one.
_LISTS: Final = (b"?X25519MLKEM768:X25519:P-256:P-384:P-521", b"X25519:P-256:P-384:P-521")


def restrict_groups(context: SSL.Context) -> bool:
    """True if the context now has these groups only; False, and OpenSSL's own list stays, where the binding
    does not have the function: pyOpenSSL has no method for it."""
    try:
        set_list, pointer = lib.SSL_CTX_set1_curves_list, context._context
    except AttributeError:
        return False
    for groups in _LISTS:
        if set_list(pointer, ffi.from_buffer("char[]", groups + b"\0")) == 1:
            return True
        lib.ERR_clear_error()
    return False
