"""What the small DER writer writes is what the strict reader and the library read."""

from datetime import UTC, datetime

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from gateway.pki import der as asn1
from gateway.pki import der_writing as write


@given(st.integers(0, 0x1E), st.binary(max_size=70_000))
def test_an_element_reads_back_with_the_shortest_length(tag, content):
    der = write.element(tag, content)
    assert der[slice(*asn1.content_of(der, tag))] == content


@given(st.integers(-(2**200), 2**200))
def test_an_integer_is_as_short_as_it_can_be(value):
    der = write.integer(value)
    start, end = asn1.content_of(der, asn1.INTEGER)
    assert int.from_bytes(der[start:end], signed=True) == value
    assert end - start == 1 or der[start : start + 2] not in (b"\x00\x00", b"\xff\xff")
    assert end - start == 1 or not (der[start] == 0 and der[start + 1] < 0x80)


@given(st.integers(0, 2), st.integers(0, 39), st.lists(st.integers(0, 2**40), max_size=12))
def test_an_object_identifier_is_what_the_library_makes_of_it(first, second, rest):
    dotted = ".".join(str(arc) for arc in (first, second, *rest))
    try:
        expected = x509.RelativeDistinguishedName([x509.NameAttribute(x509.ObjectIdentifier(dotted), "x")])
    except ValueError:
        return
    assert write.object_identifier(dotted) in x509.Name([expected]).public_bytes()


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (datetime(2049, 12, 31, 23, 59, 59, tzinfo=UTC), b"\x17\x0d491231235959Z"),
        (datetime(2050, 1, 1, tzinfo=UTC), b"\x18\x0f20500101000000Z"),
        (datetime(2026, 11, 26, 1, 2, 3, 999_999, tzinfo=UTC), b"\x17\x0d261126010203Z"),
    ],
)
def test_times_are_written_as_rfc_5280_says(at, expected):
    assert write.time(at) == expected


def test_a_set_is_in_the_order_of_der():
    assert write.set_of(b"\x05\x00", b"\x02\x01\x01") == b"\x31\x05\x02\x01\x01\x05\x00"
