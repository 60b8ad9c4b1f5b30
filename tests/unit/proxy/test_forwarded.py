"""The Forwarded field: what each hop says, and what is no such field."""

import pytest

from gateway.proxy.forwarded import ForwardedRefused, forwarded_for


@pytest.mark.parametrize(
    ("fields", "hops"),
    [
        ([b"for=192.0.2.60;proto=http;by=203.0.113.43"], ["192.0.2.60"]),
        ([b'For="[2001:db8:cafe::17]:4711"'], ["[2001:db8:cafe::17]:4711"]),
        ([b"for=192.0.2.43, for=198.51.100.17"], ["192.0.2.43", "198.51.100.17"]),
        ([b"for=192.0.2.43", b"for=198.51.100.17;by=_x"], ["192.0.2.43", "198.51.100.17"]),
        ([b"for=192.0.2.43,for=198.51.100.17 ;\tproto=https"], ["192.0.2.43", "198.51.100.17"]),
        ([b"proto=https, for=_gazonk"], ["", "_gazonk"]),
        ([b'for="a,b;c=\\"d"'], ['a,b;c="d']),
        ([b" for=unknown "], ["unknown"]),
        ([], []),
    ],
)
def test_the_hops_of_a_field(fields: list[bytes], hops: list[str]) -> None:
    assert forwarded_for(fields) == hops


@pytest.mark.parametrize(
    "field",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"for", id="no value"),
        pytest.param(b"for=", id="an empty value"),
        pytest.param(b"for=1.2.3.4,", id="an empty element"),
        pytest.param(b"for =1.2.3.4", id="a blank before ="),
        pytest.param(b"for=1.2.3.4 for=5.6.7.8", id="no separator"),
        pytest.param(b"for=1.2.3.4;for=5.6.7.8", id="two in one element"),
        pytest.param(b"for=[2001:db8::1]", id="IPv6 without quotes"),
        pytest.param(b'for="1.2.3.4', id="a quote that does not end"),
        pytest.param(b'for=6.6.6.6;x=", for="[2001:db8::1]"', id="a quote that swallows the next hop"),
        pytest.param(b'for=6.6.6.6;x=", for=5.6.7.8;host="h"', id="the same with a later quote"),
        pytest.param(b'for=6.6.6.6;x="\\, for="[2001:db8::1]"', id="the same with a backslash"),
        pytest.param(b'for="a\x00b"', id="a control character"),
    ],
)
def test_what_is_malformed_says_nothing(field: bytes) -> None:
    with pytest.raises(ForwardedRefused):
        forwarded_for([field])
