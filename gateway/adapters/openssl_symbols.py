"""The OpenSSL functions that we need and the Python binding does not offer.

`SSL_CTX_set_num_tickets`: without it a TLS 1.3 server sends two session tickets after every full handshake,
also where no session is kept. On the mTLS hosts they open nothing, but a ticket that is never sent needs no
argument.

`SSL_CTX_ctrl`, through which the keys of session tickets are set (`SSL_CTX_set_tlsext_ticket_keys` is a macro
over it): without it every worker has keys of its own, and a session resumes only with the worker that it
began with.

OpenSSL is linked into the binding's shared library. Where that is done dynamically (a distribution's
package), the dynamic linker finds the function. Where it is static (the wheels), the function is in the
library's symbol table only, and its address is worked out from that of a function that both know. Nothing
is set before a question, asked the same way, has had the answer that OpenSSL gives for a new context; and
what was set is read back. Anything unexpected on the way means: not found.
"""

import ctypes
import struct
from pathlib import Path
from typing import Final

from cryptography.hazmat.bindings import _rust
from OpenSSL import SSL
from OpenSSL._util import ffi

from gateway.tls.contexts import TICKET_KEY_BYTES, SendNoTickets, SetTicketKeys

DEFAULT_TICKETS: Final = 2  # what SSL_CTX_new sets (SSL_CTX_set_num_tickets(3))

_SETTER: Final = "SSL_CTX_set_num_tickets"
_GETTER: Final = "SSL_CTX_get_num_tickets"
_CONTROL: Final = "SSL_CTX_ctrl"
# openssl/ssl.h, openssl/tls1.h
_GET_TICKET_KEYS: Final = 58
_SET_TICKET_KEYS: Final = 59
# Exported by the binding and listed in its symbol table, so that one gives the base of the other.
_LANDMARK: Final = "PyInit__rust"

_ELF_64_LITTLE_ENDIAN: Final = b"\x7fELF\x02\x01"
_SECTION_SYMBOLS: Final = 2  # SHT_SYMTAB
_SYMBOL_FUNCTION: Final = 2  # STT_FUNC
_SECTION_HEADER: Final = struct.Struct("<IIQQQQIIQQ")
_SYMBOL: Final = struct.Struct("<IBBHQQ")


def find_ticket_switch() -> SendNoTickets | None:
    """A function that makes a context send no TLS 1.3 tickets and says whether it does; None where OpenSSL's
    own is not found."""
    addresses = find_functions(_SETTER, _GETTER)
    if addresses is None:
        return None
    set_number = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_size_t)(addresses[_SETTER])
    get_number = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p)(addresses[_GETTER])
    fresh = SSL.Context(SSL.TLS_SERVER_METHOD)  # named, so that it lives while it is asked
    if get_number(address_of(fresh)) != DEFAULT_TICKETS:
        return None

    def send_no_tickets(context: SSL.Context) -> bool:
        address = address_of(context)
        set_number(address, 0)
        return int(get_number(address)) == 0

    return send_no_tickets


def find_ticket_key_setter() -> SetTicketKeys | None:
    """A function that gives a context its ticket keys and says whether it has them; None where OpenSSL's own
    is not found."""
    addresses = find_functions(_CONTROL)
    if addresses is None:
        return None
    control = ctypes.CFUNCTYPE(ctypes.c_long, ctypes.c_void_p, ctypes.c_int, ctypes.c_long, ctypes.c_void_p)(
        addresses[_CONTROL]
    )
    # Asked without a place for them, it tells how long the keys are.
    fresh = SSL.Context(SSL.TLS_SERVER_METHOD)
    size = control(address_of(fresh), _GET_TICKET_KEYS, 0, None)
    if size != TICKET_KEY_BYTES:
        return None

    def set_ticket_keys(context: SSL.Context, keys: bytes) -> bool:
        address = address_of(context)
        given = ctypes.create_string_buffer(keys, TICKET_KEY_BYTES)
        control(address, _SET_TICKET_KEYS, TICKET_KEY_BYTES, ctypes.addressof(given))
        read_back = ctypes.create_string_buffer(TICKET_KEY_BYTES)
        control(address, _GET_TICKET_KEYS, TICKET_KEY_BYTES, ctypes.addressof(read_back))
        return read_back.raw == given.raw

    return set_ticket_keys


def symbol_values(elf: bytes, names: tuple[str, ...]) -> dict[str, int] | None:
    """The values of functions in the symbol table of a 64-bit little-endian ELF file (System V ABI, "Symbol
    Table"); None where the file is of another kind, is cut short, or has no symbol table with all of them."""
    if not elf.startswith(_ELF_64_LITTLE_ENDIAN):
        return None
    try:
        section_offset = struct.unpack_from("<Q", elf, 40)[0]
        entry_size, count = struct.unpack_from("<HH", elf, 58)
        if entry_size != _SECTION_HEADER.size:
            return None
        sections = [_SECTION_HEADER.unpack_from(elf, section_offset + i * entry_size) for i in range(count)]
        for _, kind, _, _, offset, size, link, *_ in sections:
            if kind == _SECTION_SYMBOLS:
                strings_at, strings_size = sections[link][4:6]
                strings = elf[strings_at : strings_at + strings_size]
                symbols = elf[offset : offset + size - size % _SYMBOL.size]
                return _function_values(symbols, strings, names)
    except (struct.error, IndexError):
        return None
    return None


def _function_values(symbols: bytes, strings: bytes, names: tuple[str, ...]) -> dict[str, int] | None:
    wanted = {strings.find(b"\0" + name.encode("ascii") + b"\0") + 1: name for name in names}
    found = {
        wanted[name]: value
        for name, info, _, section, value, _ in _SYMBOL.iter_unpack(symbols)
        if name in wanted and name and info & 0xF == _SYMBOL_FUNCTION and section
    }
    return found if len(found) == len(names) else None


def find_functions(*names: str) -> dict[str, int] | None:
    """The addresses of OpenSSL's functions in the library that pyOpenSSL uses; None unless all are found."""
    path = _rust.__file__
    return _dynamic_addresses(path, names) or _static_addresses(path, names)


def _dynamic_addresses(path: str, names: tuple[str, ...]) -> dict[str, int] | None:
    library = ctypes.CDLL(path)
    try:
        functions = {name: getattr(library, name) for name in names}
    except AttributeError:
        return None
    return {name: _pointer(function) for name, function in functions.items()}


def _static_addresses(path: str, names: tuple[str, ...]) -> dict[str, int] | None:
    try:
        values = symbol_values(Path(path).read_bytes(), (*names, _LANDMARK))
    except OSError:
        return None
    if values is None:
        return None
    base = _pointer(getattr(ctypes.CDLL(path), _LANDMARK)) - values[_LANDMARK]
    return {name: base + values[name] for name in names}


def _pointer(function: object) -> int:
    return ctypes.cast(function, ctypes.c_void_p).value or 0  # type: ignore[arg-type]  # a foreign function


def address_of(context: SSL.Context) -> int:
    """Of OpenSSL's own context."""
    return int(ffi.cast("uintptr_t", context._context))
