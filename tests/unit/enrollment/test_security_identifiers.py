"""SIDs as bytes and as text."""

import pytest

from gateway.enrollment.security_identifiers import SidInvalid, sid_octets, sid_text

SAME = [
    ("S-1-0", "0100000000000000"),
    ("S-1-1-0", "010100000000000100000000"),
    ("S-1-5-32-544", "01020000000000052000000020020000"),
    ("S-1-5-21-1-4294967295-3-1103", "010500000000000515000000" + "01000000ffffffff030000004f040000"),
    ("S-1-0x0100000000AA-7", "01010100000000aa07000000"),
    ("S-1-5" + "-9" * 15, "010f000000000005" + "09000000" * 15),
]


@pytest.mark.parametrize(("text", "octets"), SAME)
def test_text_and_octets_are_the_same_sid(text: str, octets: str) -> None:
    assert sid_text(bytes.fromhex(octets)) == text
    assert sid_octets(text) == bytes.fromhex(octets)


@pytest.mark.parametrize(
    ("what", "octets"),
    [
        ("nothing", ""),
        ("a part of the header", "01010000000000"),
        ("another revision", "020100000000000500000000"),
        ("fewer sub-authorities than counted", "0102000000000005" + "20000000"),
        ("more octets than counted", "010100000000000520000000" + "00"),
        ("sixteen sub-authorities", "0110000000000005" + "09000000" * 16),
    ],
)
def test_what_is_no_sid_is_refused(what: str, octets: str) -> None:
    with pytest.raises(SidInvalid):
        sid_text(bytes.fromhex(octets))


@pytest.mark.parametrize(
    "text",
    [
        "",
        "S-1",
        "S-2-5",
        "s-1-5",
        "S-1-5-",
        "S-1-5-21 ",
        "S-1-5-4294967296",
        "S-1-5-٣",
        "S-1-5-+1",
        "S-1-0x5",
        "S-1-5" + "-9" * 16,
    ],
)
def test_what_is_not_written_as_a_sid_is_refused(text: str) -> None:
    with pytest.raises(SidInvalid):
        sid_octets(text)
