"""Any first bytes: a ClientHello with its name, or ClientHelloRejected, and the pieces make no difference."""

from hypothesis import given, settings
from hypothesis import strategies as st
from support.raw_tls import extension, hello_message, in_records, real_hello, server_name_extension

from gateway.tls.client_hello import ClientHelloReader, ClientHelloRejected, parse_server_name
from gateway.tls.session import TlsFailure, TlsSession

bounded = settings(deadline=None, max_examples=200)

HELLO = real_hello("wiki.apps.example.test")
EXTENSIONS = st.lists(
    st.one_of(
        st.builds(extension, st.integers(0, 65_535), st.binary(max_size=40)),
        st.builds(server_name_extension, st.binary(max_size=40)),
        st.just(server_name_extension(b"a.test")),
        st.binary(max_size=6),
    ),
    max_size=5,
).map(b"".join)
MESSAGES = st.one_of(
    st.builds(
        hello_message,
        st.none() | EXTENSIONS,
        session_id=st.binary(max_size=32),
        ciphers=st.binary(max_size=8),
    ),
    st.binary(max_size=120).map(lambda rest: b"\x01\x00" + len(rest).to_bytes(2) + rest),
)


@st.composite
def changed_hellos(draw: st.DrawFn) -> bytes:
    hello = bytearray(HELLO)
    for position, octet in draw(
        st.lists(st.tuples(st.integers(0, len(HELLO) - 1), st.integers(0, 255)), min_size=1, max_size=4)
    ):
        hello[position] = octet
    return bytes(hello[: draw(st.integers(1, len(hello)))])


STREAMS = st.one_of(
    st.binary(max_size=100),
    changed_hellos(),
    st.builds(in_records, MESSAGES, st.integers(1, 200)),
)


def reading(stream: bytes, size: int) -> tuple[str, str | None]:
    reader = ClientHelloReader()
    try:
        for at in range(0, len(stream), size):
            if reader.feed(stream[at : at + size]):
                return "complete", reader.server_name()
    except ClientHelloRejected:
        return "rejected", None
    return "incomplete", None


@bounded
@given(STREAMS, st.integers(1, 50))
def test_a_hello_reads_alike_however_it_is_cut(stream: bytes, size: int) -> None:
    if stream:
        assert reading(stream, len(stream)) == reading(stream, size) == reading(stream, 1)


@bounded
@given(st.one_of(st.binary(max_size=200), MESSAGES))
def test_a_message_has_a_host_name_or_none_or_is_rejected(message: bytes) -> None:
    try:
        name = parse_server_name(message)
    except ClientHelloRejected:
        return
    if name is not None:
        assert 0 < len(name) <= 253
        assert name == name.lower()
        assert set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-._")


@bounded
@given(STREAMS)
def test_a_session_takes_any_first_bytes(stream: bytes) -> None:
    session = TlsSession(lambda _: None)
    try:
        assert session.feed(stream) == b""
    except TlsFailure:
        assert session.take_output()[:3] in (b"", b"\x15\x03\x03")
    assert not session.established
