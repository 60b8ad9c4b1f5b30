"""Finding a function in a symbol table: the real library, and files that are none or lie."""

import struct
from pathlib import Path

import pytest
from cryptography.hazmat.bindings import _rust
from OpenSSL import SSL

from gateway.adapters.openssl_symbols import find_ticket_switch, symbol_values

NAMES = ("SSL_CTX_set_num_tickets", "SSL_CTX_get_num_tickets")


def test_the_switch_is_found_and_says_that_it_works() -> None:
    switch = find_ticket_switch()
    assert switch is not None
    assert switch(SSL.Context(SSL.TLS_SERVER_METHOD))


def elf(symbols: list[tuple[bytes, int, int]]) -> bytes:
    """A file with nothing but a symbol table: (name, type, value)."""
    strings = b"\0" + b"".join(name + b"\0" for name, _, _ in symbols)
    table = b"".join(
        struct.pack("<IBBHQQ", strings.index(b"\0" + name + b"\0") + 1, kind, 0, 1, value, 0)
        for name, kind, value in symbols
    )
    sections = struct.pack("<IIQQQQIIQQ", 0, 2, 0, 0, 192, len(table), 1, 0, 8, 24)
    sections += struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 192 + len(table), len(strings), 0, 0, 1, 0)
    header = b"\x7fELF\x02\x01".ljust(40, b"\0") + struct.pack("<Q", 64) + bytes(10)
    header += struct.pack("<HHH", 64, 2, 0)
    return header.ljust(64, b"\0") + sections + table + strings


FUNCTION, OBJECT = 2, 1
GOOD = elf(
    [
        (NAMES[0].encode(), FUNCTION, 16),
        (b"X" + NAMES[1].encode(), FUNCTION, 8),
        (NAMES[1].encode(), FUNCTION, 32),
    ]
)


def test_whole_names_of_functions_are_found() -> None:
    assert symbol_values(GOOD, NAMES) == {NAMES[0]: 16, NAMES[1]: 32}


UNUSABLE = [
    ("an empty file", b""),
    ("another kind of file", b"MZ" + GOOD[2:]),
    ("a 32-bit file", GOOD.replace(b"ELF\x02", b"ELF\x01")),
    ("a file cut short in its sections", GOOD[:100]),
    ("a file with one of them", elf([(NAMES[0].encode(), FUNCTION, 16)])),
    ("a file where one is data", elf([(NAMES[0].encode(), FUNCTION, 16), (NAMES[1].encode(), OBJECT, 8)])),
    ("a file whose sections are elsewhere", GOOD[:40] + struct.pack("<Q", 1 << 60) + GOOD[48:]),
]


@pytest.mark.parametrize("content", [c[1] for c in UNUSABLE], ids=[c[0] for c in UNUSABLE])
def test_nothing_is_found_in(content: bytes) -> None:
    assert symbol_values(content, NAMES) is None


@pytest.mark.parametrize("length", range(0, 1_000, 7))
def test_a_library_cut_short_anywhere_is_no_more_than_not_found(length: int) -> None:
    with Path(_rust.__file__).open("rb") as library:
        assert symbol_values(library.read(length), NAMES) is None
