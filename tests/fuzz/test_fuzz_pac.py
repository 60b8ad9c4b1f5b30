"""Any PAC buffer: what it says of an account, with SIDs that are SIDs, or PacInvalid."""

import struct

from hypothesis import given, settings
from hypothesis import strategies as st
from support.pac_buffers import PACKED, RECORDED

from gateway.enrollment.pac import AccountKind, PacInvalid, parse_logon_info, parse_upn_dns_info
from gateway.enrollment.security_identifiers import SidInvalid, sid_octets, sid_text

bounded = settings(deadline=None, max_examples=400)

LOGON = [octets for name, octets in {**RECORDED, **PACKED}.items() if "upn" not in name]
UPN = [octets for name, octets in RECORDED.items() if "upn" in name]
INTERESTING = st.sampled_from([0, 1, 2, 7, 8, 15, 16, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF])


@st.composite
def changed(draw: st.DrawFn, originals: list[bytes]) -> bytes:
    """A real one in which some fields have other values, cut or not."""
    buffer = bytearray(draw(st.sampled_from(originals)))
    for _ in range(draw(st.integers(0, 4))):
        offset = draw(st.integers(0, len(buffer) // 4 - 1)) * 4
        struct.pack_into("<I", buffer, offset, draw(INTERESTING | st.integers(0, 0xFFFF_FFFF)))
    for _ in range(draw(st.integers(0, 3))):
        buffer[draw(st.integers(0, len(buffer) - 1))] = draw(st.integers(0, 255))
    return bytes(buffer[: draw(st.just(len(buffer)) | st.integers(0, len(buffer)))])


@bounded
@given(st.binary(max_size=300) | changed(LOGON))
def test_logon_information_is_read_or_refused(buffer: bytes) -> None:
    try:
        info = parse_logon_info(buffer)
    except PacInvalid:
        return
    for sid in (info.user_sid, info.primary_group_sid, info.logon_domain_sid, *info.group_sids):
        assert sid_text(sid_octets(sid)) == sid
    assert info.kind in AccountKind
    assert len(info.group_sids) * 8 < len(buffer)


@bounded
@given(st.binary(max_size=120) | changed(UPN))
def test_upn_information_is_read_or_refused(buffer: bytes) -> None:
    try:
        info = parse_upn_dns_info(buffer)
    except PacInvalid:
        return
    assert (info.sam_name is None) == (info.sid is None)
    assert info.sid is None or sid_text(sid_octets(info.sid)) == info.sid


@bounded
@given(st.text(alphabet="S-1x05aF9", max_size=40) | st.from_regex(r"S-1-(0x[0-9A-F]{12}|\d+)(-\d+){0,16}"))
def test_written_sids_are_read_or_refused(text: str) -> None:
    try:
        octets = sid_octets(text)
    except SidInvalid:
        return
    assert sid_octets(sid_text(octets)) == octets
