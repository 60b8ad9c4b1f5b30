"""The server name is read from the first bytes, however they come; what is no ClientHello is refused."""

import ssl
import time

import pytest
from OpenSSL import SSL
from support.raw_tls import (
    drain,
    extension,
    hello_message,
    in_records,
    out_of_records,
    pyopenssl_client,
    real_hello,
    server_name_extension,
)

from gateway.tls.client_hello import (
    MAX_CLIENT_HELLO_BYTES,
    ClientHelloReader,
    ClientHelloRejected,
    alert_record,
    parse_server_name,
)

NAME = "wiki.apps.example.test"
OTHER_EXTENSION = extension(43, b"\x02\x03\x04")


def read(stream: bytes, piece_size: int | None = None) -> ClientHelloReader:
    """A reader that got the stream in pieces, and is complete at its last byte."""
    reader = ClientHelloReader()
    size = piece_size or len(stream)
    pieces = [stream[at : at + size] for at in range(0, len(stream), size)]
    for number, piece in enumerate(pieces, 1):
        assert reader.feed(piece) is (number == len(pieces))
    return reader


def feed_all(stream: bytes, piece_size: int) -> None:
    """None of the pieces completes a hello."""
    reader = ClientHelloReader()
    for at in range(0, len(stream), piece_size):
        assert not reader.feed(stream[at : at + piece_size])


def pyopenssl_hello() -> bytes:
    client = pyopenssl_client(NAME)
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    return drain(client)


@pytest.mark.parametrize(
    "hello",
    [
        pytest.param(real_hello(NAME), id="of the interpreter's TLS 1.3"),
        pytest.param(real_hello(NAME, newest=ssl.TLSVersion.TLSv1_2), id="of the interpreter's TLS 1.2"),
        pytest.param(pyopenssl_hello(), id="with a post-quantum key share"),
        pytest.param(in_records(hello_message(server_name_extension(NAME.encode()))), id="made by hand"),
    ],
)
@pytest.mark.parametrize("piece_size", [None, 1, 2, 5, 100], ids="in pieces of {}".format)
def test_a_real_hello_gives_its_name_however_it_is_cut(hello: bytes, piece_size: int | None) -> None:
    reader = read(hello, piece_size)

    assert reader.server_name() == NAME
    assert reader.received == hello


def test_a_hello_cut_once_gives_its_name_wherever_the_cut_is() -> None:
    hello = real_hello(NAME)
    for cut in range(1, len(hello)):
        reader = ClientHelloReader()
        assert not reader.feed(hello[:cut])
        assert reader.feed(hello[cut:])
        assert reader.server_name() == NAME


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 38, 39, 200], ids="records of {} bytes".format)
def test_a_hello_split_over_records_gives_its_name(size: int) -> None:
    assert read(in_records(out_of_records(real_hello(NAME)), size)).server_name() == NAME


def test_bytes_behind_the_hello_are_kept_for_openssl() -> None:
    hello = real_hello(NAME)
    reader = ClientHelloReader()

    assert reader.feed(hello + b"\x14\x03\x03\x00\x01\x01")
    assert reader.server_name() == NAME
    assert reader.received == hello + b"\x14\x03\x03\x00\x01\x01"


@pytest.mark.parametrize(
    ("message", "name"),
    [
        pytest.param(hello_message(None), None, id="TLS 1.2 without extensions"),
        pytest.param(hello_message(b""), None, id="an empty extension block"),
        pytest.param(hello_message(OTHER_EXTENSION), None, id="without server_name"),
        pytest.param(
            hello_message(OTHER_EXTENSION + server_name_extension(b"a.test")), "a.test", id="as the last one"
        ),
        pytest.param(
            hello_message(server_name_extension(b"a.test") + OTHER_EXTENSION), "a.test", id="as the first one"
        ),
        pytest.param(hello_message(server_name_extension(b"A.TEST")), "a.test", id="in capitals"),
        pytest.param(
            hello_message(server_name_extension(b"a.test."), session_id=bytes(32)),
            "a.test.",
            id="with a trailing dot, which no host name here has",
        ),
        pytest.param(
            hello_message(server_name_extension(b"xn--bcher-kva.test")), "xn--bcher-kva.test", id="IDN"
        ),
        pytest.param(hello_message(server_name_extension(b"a" * 253)), "a" * 253, id="the longest name"),
    ],
)
def test_the_name_of_a_hello(message: bytes, name: str | None) -> None:
    assert read(in_records(message)).server_name() == name


def test_every_extension_has_an_exact_length() -> None:
    message = hello_message(OTHER_EXTENSION + server_name_extension(b"a.test"))
    for cut in range(1, len(message) - 4):
        shorter = bytes([1]) + (len(message) - 4 - cut).to_bytes(3) + message[4:-cut]
        if len(shorter) == len(hello_message(None)):
            assert parse_server_name(shorter) is None  # exactly the hello without extensions
            continue
        with pytest.raises(ClientHelloRejected):
            parse_server_name(shorter)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(
            hello_message(server_name_extension(b"a.test") + server_name_extension(b"b.test")),
            id="two server_name extensions",
        ),
        pytest.param(
            hello_message(server_name_extension(b"a.test") + server_name_extension(b"a.test")),
            id="the same server_name twice",
        ),
        pytest.param(hello_message(server_name_extension(b"a.test", b"b.test")), id="two names in one list"),
        pytest.param(hello_message(server_name_extension(b"a.test", name_type=1)), id="another type of name"),
        pytest.param(hello_message(server_name_extension(b"")), id="an empty name"),
        pytest.param(hello_message(server_name_extension()), id="an empty list"),
        pytest.param(hello_message(extension(0, b"")), id="an empty extension"),
        pytest.param(hello_message(server_name_extension(b"a" * 254)), id="a name that is too long"),
        pytest.param(hello_message(server_name_extension("bücher.test".encode())), id="UTF-8 instead of IDN"),
        pytest.param(hello_message(server_name_extension(b"a.test\x00.b.test")), id="NUL in the name"),
        pytest.param(hello_message(server_name_extension(b"a.test/")), id="a slash in the name"),
        pytest.param(hello_message(server_name_extension(b"*.test")), id="a wildcard"),
        pytest.param(hello_message(server_name_extension(b"[::1]")), id="an address in brackets"),
        pytest.param(hello_message(b"\x00\x00\x00\xff\x00"), id="an extension that runs past the message"),
        pytest.param(hello_message(b"\x00\x00\x00"), id="half an extension header"),
        pytest.param(hello_message(extension(0, b"\x00\x08\x00\x00\x06a.test")), id="a list not filled"),
        pytest.param(hello_message(extension(0, b"\x00\x09\x00\x00\x05a.test")), id="a name not filled"),
        pytest.param(b"\x01\x00\x00\x02\x03\x03", id="nothing but a version"),
        pytest.param(b"\x01\x00\x00\x00", id="an empty message"),
        pytest.param(
            b"\x01\x00\x00\x24" + b"\x03\x03" + bytes(32) + b"\xff" + b"\x00", id="a session ID past the end"
        ),
    ],
)
def test_a_malformed_hello_is_rejected(message: bytes) -> None:
    reader = read(in_records(message))
    with pytest.raises(ClientHelloRejected):
        reader.server_name()


@pytest.mark.parametrize(
    "stream",
    [
        pytest.param(b"GET / HTTP/1.1\r\nHost: wiki\r\n\r\n", id="HTTP on the TLS port"),
        pytest.param(b"G", id="the first letter of HTTP"),
        pytest.param(b"\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10", id="an SSLv2 hello"),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", id="SSH"),
        pytest.param(b"\x00" * 32, id="zeros"),
        pytest.param(b"\xff" * 32, id="ones"),
        pytest.param(b"\x16\x02\x00\x00\x05\x01\x00\x00\x01\x00", id="a record of SSL 2.0"),
        pytest.param(b"\x17\x03\x03\x00\x05hello", id="application data first"),
        pytest.param(b"\x15\x03\x03\x00\x02\x02\x28", id="an alert first"),
        pytest.param(b"\x16\x03\x01\x00\x00", id="a record of no length"),
        pytest.param(
            in_records(hello_message(None)[:20]) + b"\x16\x03\x01\x00\x00", id="no length in between"
        ),
        pytest.param(b"\x16\x03\x01\x40\x01", id="a record longer than TLS allows"),
        pytest.param(in_records(hello_message(None, kind=2)), id="a ServerHello"),
        pytest.param(
            in_records(hello_message(None)[:20]) + b"\x17\x03\x01\x00\x01x", id="data between its records"
        ),
        pytest.param(in_records(b"\x01\xff\xff\xff" + bytes(100)), id="a hello of 16 MB announced"),
        pytest.param(
            in_records(hello_message(extension(21, bytes(MAX_CLIENT_HELLO_BYTES)))),
            id="a hello that is too large",
        ),
    ],
)
@pytest.mark.parametrize("piece_size", [None, 1], ids=["at once", "byte by byte"])
def test_what_is_no_hello_is_rejected(stream: bytes, piece_size: int | None) -> None:
    with pytest.raises(ClientHelloRejected):
        feed_all(stream, piece_size or len(stream))


def test_records_of_one_byte_do_not_pile_up() -> None:
    record = b"\x16\x03\x01\x00\x01"
    stream = b"".join(record + bytes([octet]) for octet in b"\x01\x00\x3f\xf0" + bytes(8_000))
    with pytest.raises(ClientHelloRejected, match="too large"):
        feed_all(stream, 6)


def test_the_smallest_segments_cost_no_more_than_their_number() -> None:
    """32 KB in single bytes, in records of one byte: the work must not grow with what is already held."""
    message = hello_message(extension(21, bytes(5_000)))
    stream = in_records(message, 1)
    reader = ClientHelloReader()
    began = time.process_time()
    for at in range(len(stream)):
        reader.feed(stream[at : at + 1])
    assert time.process_time() - began < 1.0  # looking at all records again for each byte takes 10 s


def test_an_incomplete_hello_has_no_name() -> None:
    reader = ClientHelloReader()
    assert not reader.feed(real_hello(NAME)[:-1])
    with pytest.raises(ClientHelloRejected, match="not complete"):
        reader.server_name()


def test_an_alert_in_the_clear_is_a_record_of_its_own() -> None:
    assert alert_record(112) == b"\x15\x03\x03\x00\x02\x02\x70"
