"""Splitting CRL files: any bytes give parts of themselves to parse, or the one declared exception."""

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.adapters.crl_files import MAX_CRLS_IN_A_FILE, CrlFileUnusable, split_crls

BEGIN, END = b"-----BEGIN X509 CRL-----", b"-----END X509 CRL-----"
PIECES = st.sampled_from(
    [BEGIN, END, b"\n", b"MIIB", b"\x30\x03\x02\x01\x01", b"-----BEGIN CERTIFICATE-----", b""]
)


@settings(deadline=None, max_examples=300)
@given(st.lists(PIECES | st.binary(max_size=20), max_size=150).map(b"".join))
def test_any_file_is_split_into_parts_of_itself(data: bytes) -> None:
    try:
        crls = split_crls(data)
    except CrlFileUnusable:
        assert data.count(BEGIN) > MAX_CRLS_IN_A_FILE
        return
    assert 1 <= len(crls) <= MAX_CRLS_IN_A_FILE
    rest = data
    for crl in crls:
        _, found, rest = rest.partition(crl) if crl else (b"", crl, rest)
        assert found == crl
    if len(crls) > 1:
        assert all(crl.startswith(BEGIN) and crl.count(END) <= 1 for crl in crls)
