"""HTTP that is meant to be read in two ways, in both directions, through a gateway that runs.

What one server takes for a body and the next for a request is how requests are smuggled. So each of these is
refused with 400 and the end of the connection, or read in the one way that leaves nothing to smuggle.
"""

import contextlib
import os
import signal
import socket
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml
from support import messages
from support.byte_app import ByteApp, byte_app
from support.echo_app import SSO_URL
from support.gateway_process import GatewayProcess, gateway_process
from support.site import TRUSTED_WINDOWS_ONLY, Site

HOST = "wiki.apps.example.test"
OTHER = "payroll.apps.example.test"
H = f"Host: {HOST}\r\n".encode()
CHUNKED = b"Transfer-Encoding: chunked\r\n"
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: wiki.apps.example.test\r\n\r\n"


@dataclass
class Line:
    site: Site
    gateway: GatewayProcess
    app: ByteApp

    def send(self, *pieces: bytes, host: str = HOST) -> bytes:
        """All that comes back for these bytes, until the gateway closes; the test fails if it does not."""
        context = ssl.create_default_context(cadata=self.site.web.pem.decode())
        with (
            socket.create_connection(("127.0.0.1", self.site.https_port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname=host) as connection,
        ):
            received = b""
            try:
                for piece in pieces:
                    connection.sendall(piece)
                while piece := connection.recv(65_536):
                    received += piece
            except (ssl.SSLError, ConnectionError):
                pass
            return received

    def is_well(self) -> bool:
        """Somebody else is served."""
        return status_of(self.send(b"GET /well HTTP/1.1\r\n" + H + b"Connection: close\r\n\r\n")) == 200


@pytest.fixture(scope="module")
def line(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Line]:
    site = Site(tmp_path_factory.mktemp("hostile-http"))
    keys = messages.key_descriptor(messages.rsa_key())
    (site.directory / "idp.xml").write_text(messages.idp_entity(keys, sso=SSO_URL))
    (site.directory / "policy.yaml").write_text(yaml.safe_dump(dict(TRUSTED_WINDOWS_ONLY)))
    with byte_app() as app:
        entries = [
            {
                "name": host.partition(".")[0],
                "host": host,
                "upstream": f"http://127.0.0.1:{app.port}",
                "protocol": "saml2",
                "identity_provider": "idp",
                "entity_id": f"https://{host}",
                "assertion_endpoints": ["/saml/acs"],
                "policy": "policy.yaml",
            }
            for host in (HOST, OTHER)
        ]
        provider = {"name": "idp", "protocol": "saml2", "metadata": "idp.xml"}
        configuration = site.configuration([provider], entries)
        with gateway_process(configuration, site.directory) as gateway:
            yield Line(site, gateway, app)


def status_of(response: bytes) -> int:
    return int(response.split(b" ", 2)[1])


def heads_in(response: bytes) -> int:
    return response.count(b"HTTP/1.1 ")


def post(*fields: bytes, body: bytes = b"") -> bytes:
    return b"POST /page HTTP/1.1\r\n" + H + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body


def get(line: bytes, *fields: bytes) -> bytes:
    return line + b"\r\n" + H + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def chunks(body: bytes) -> bytes:
    return post(b"Transfer-Encoding: chunked", body=body + SMUGGLED)


REFUSED: list[tuple[str, bytes, int]] = [
    # Two framings.
    (
        "CL and TE",
        post(b"Content-Length: 4", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n" + SMUGGLED),
        400,
    ),
    (
        "TE and CL",
        post(b"Transfer-Encoding: chunked", b"Content-Length: 4", body=b"0\r\n\r\n" + SMUGGLED),
        400,
    ),
    ("two CL", post(b"Content-Length: 0", b"Content-Length: 58", body=SMUGGLED), 400),
    ("two CL alike", post(b"Content-Length: 2", b"content-length: 2", body=b"ok"), 400),
    ("a list of CL", post(b"Content-Length: 2, 2", body=b"ok"), 400),
    ("two TE", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked", body=b"0\r\n\r\n"), 400),
    ("TE, then TE identity", post(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity"), 400),
    ("TE in HTTP/1.0", chunks(b"0\r\n\r\n").replace(b"HTTP/1.1", b"HTTP/1.0", 1), 400),
    # A length that is none.
    *(
        (f"CL {value!r}", post(b"Content-Length: " + value, body=b"hello"), 400)
        for value in (
            *(b"+5", b"-5", b"0x5", b"5 5", b"", b"5a", b"1e1", b"5.0", b"5;", b"\xd9\xa5", b"_5", b"'5'"),
            *(b"18446744073709551616", b"9" * 300),
        )
    ),
    # A coding that is nearly chunked.
    *(
        (f"TE {value!r}", post(b"Transfer-Encoding: " + value, body=b"0\r\n\r\n" + SMUGGLED), 400)
        for value in (
            *(b"xchunked", b"chunked, identity", b"identity", b"gzip, chunked", b"chunked, chunked"),
            *(
                b"chunked \t",
                b"chunked;q=1",
                b"\x0bchunked",
                b"chunked\x00",
                b'"chunked"',
                b"",
                b"chunked,",
                b",chunked",
            ),
        )
    ),
    # Lines that are not ended as lines are.
    ("LF for all line ends", get(b"GET /page HTTP/1.1").replace(b"\r\n", b"\n"), 400),
    ("LF behind one field", get(b"GET /page HTTP/1.1", b"A: b\nC: d"), 400),
    ("LF behind the request line", get(b"GET /page HTTP/1.1\nA: b"), 400),
    ("LF for the empty line", b"GET /page HTTP/1.1\r\nHost: wiki.apps.example.test\r\n\n", 400),
    ("CR in a value", get(b"GET /page HTTP/1.1", b"A: b\rContent-Length: 5"), 400),
    ("CR CR LF", get(b"GET /page HTTP/1.1", b"A: b\r"), 400),
    ("a folded line", get(b"GET /page HTTP/1.1", b"A: b\r\n c: d"), 400),
    ("a folded TE", post(b"Transfer-Encoding:\r\n chunked", body=b"0\r\n\r\n" + SMUGGLED), 400),
    ("a folded first line", b"GET /page HTTP/1.1\r\n Host: x\r\n" + H + b"\r\n", 400),
    # Names that are none.
    ("a blank before the colon", post(b"Content-Length : 5", body=b"hello"), 400),
    ("a tab before the colon", post(b"Transfer-Encoding\t: chunked", body=b"0\r\n\r\n"), 400),
    ("a blank in a name", get(b"GET /page HTTP/1.1", b"A b: c"), 400),
    ("no name", get(b"GET /page HTTP/1.1", b": c"), 400),
    ("no colon", get(b"GET /page HTTP/1.1", b"A"), 400),
    ("NUL in a name", get(b"GET /page HTTP/1.1", b"A\x00: c"), 400),
    ("NUL in a value", get(b"GET /page HTTP/1.1", b"A: b\x00c"), 400),
    ("a control character in a value", get(b"GET /page HTTP/1.1", b"A: b\x01c"), 400),
    ("DEL in a value", get(b"GET /page HTTP/1.1", b"A: b\x7fc"), 400),
    ("a name that is not ASCII", get(b"GET /page HTTP/1.1", b"Tr\xc3\xa4nsfer: c"), 400),
    ("a name in brackets", get(b"GET /page HTTP/1.1", b"(A): c"), 400),
    # Chunks.
    *(
        (f"chunk {body!r}", chunks(body), 400)
        for body in (
            *(b"g\r\nhello\r\n0\r\n\r\n", b"0x5\r\nhello\r\n0\r\n\r\n", b"-5\r\nhello\r\n0\r\n\r\n"),
            *(b"+5\r\nhello\r\n0\r\n\r\n", b" 5\r\nhello\r\n0\r\n\r\n", b"5 \r\nhello\r\n0\r\n\r\n"),
            *(b"\r\nhello\r\n0\r\n\r\n", b"5\nhello\r\n0\r\n\r\n", b"5\rhello\r\n0\r\n\r\n"),
            *(b"5\r\nhello0\r\n\r\n", b"5\r\nhello\n0\r\n\r\n", b"4\r\nhello\r\n0\r\n\r\n"),
            *(
                b"5;a\nb\r\nhello\r\n0\r\n\r\n",
                b"5;a\rb\r\nhello\r\n0\r\n\r\n",
                b"5;a=\x00\r\nhello\r\n0\r\n\r\n",
            ),
            *(
                b"ffffffffffffffff1\r\nhello\r\n0\r\n\r\n",
                b"5_\r\nhello\r\n0\r\n\r\n",
                b"0\n\r\n",
                b"0\r\n\n",
            ),
        )
    ),
    ("a chunk extension of 600 KB", chunks(b"5;" + b"a" * 600_000 + b"\r\nhello\r\n0\r\n\r\n"), 400),
    ("a length in the trailers", chunks(b"0\r\nContent-Length: 5\r\n\r\n"), 400),
    ("a coding in the trailers", chunks(b"0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400),
    ("trailers of 600 KB", chunks(b"0\r\n" + b"A: b\r\n" * 100_000 + b"\r\n"), 400),
    # Request lines.
    ("HTTP/0.9", b"GET /page\r\n\r\n", 505),
    ("HTTP/2.0", get(b"GET /page HTTP/2.0"), 505),
    ("the preface of HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(9), 400),
    ("HTTP/1.10", get(b"GET /page HTTP/1.10"), 400),
    ("HTTP/01.1", get(b"GET /page HTTP/01.1"), 400),
    ("HTTP in small letters", get(b"GET /page http/1.1"), 400),
    ("a blank in the version", get(b"GET /page HTTP/ 1.1"), 400),
    ("a blank before the method", b" " + get(b"GET /page HTTP/1.1"), 400),
    ("NUL before the method", b"\x00" + get(b"GET /page HTTP/1.1"), 400),
    ("a method of its own", get(b"SMUGGLE /page HTTP/1.1"), 400),
    ("a method in small letters", get(b"get /page HTTP/1.1"), 400),
    ("tabs for blanks", get(b"GET\t/page\tHTTP/1.1"), 400),
    ("two targets", get(b"GET /page /other HTTP/1.1"), 400),
    ("NUL in the target", get(b"GET /pa\x00ge HTTP/1.1"), 400),
    ("a target that is not ASCII", get(b"GET /p\xc3\xa4ge HTTP/1.1"), 400),
    ("a fragment", get(b"GET /page#top HTTP/1.1"), 400),
    ("no path", get(b"GET page HTTP/1.1"), 400),
    ("CONNECT", get(b"CONNECT wiki.apps.example.test:443 HTTP/1.1"), 405),
    # Hosts.
    ("no Host", b"GET /page HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", get(b"GET /page HTTP/1.1", H[:-2]), 400),
    ("two Hosts, the second another", get(b"GET /page HTTP/1.1", b"Host: " + OTHER.encode()), 400),
    ("a list of hosts", b"GET /page HTTP/1.1\r\nHost: wiki.apps.example.test, x\r\n\r\n", 400),
    ("user information", b"GET /page HTTP/1.1\r\nHost: x@wiki.apps.example.test\r\n\r\n", 400),
    ("an empty Host", b"GET /page HTTP/1.1\r\nHost:\r\n\r\n", 400),
    ("a path behind the host", b"GET /page HTTP/1.1\r\nHost: wiki.apps.example.test/x\r\n\r\n", 400),
    ("another host", b"GET /page HTTP/1.1\r\nHost: payroll.apps.example.test\r\n\r\n", 421),
    ("absolute form of another host", get(b"GET https://payroll.apps.example.test/page HTTP/1.1"), 421),
    ("absolute form with a user", get(b"GET https://x@wiki.apps.example.test/page HTTP/1.1"), 400),
    ("absolute form of another scheme", get(b"GET ftp://wiki.apps.example.test/page HTTP/1.1"), 400),
    # Too much.
    ("201 fields", get(b"GET /page HTTP/1.1", *[b"A: b"] * 201), 431),
    ("a head of 100 KB", get(b"GET /page HTTP/1.1", *[b"A: " + b"b" * 990] * 100), 431),
    ("a target of 40 KB", get(b"GET /" + b"a" * 40_000 + b" HTTP/1.1"), 414),
    # What belongs to another connection.
    (
        "an Upgrade with a body",
        post(b"Upgrade: websocket", b"Connection: Upgrade", b"Content-Length: 5"),
        400,
    ),
    ("more behind Connection: close", get(b"GET /page HTTP/1.1", b"Connection: close") + SMUGGLED, 400),
]


@pytest.mark.parametrize(
    ("request_bytes", "status"), [case[1:] for case in REFUSED], ids=[c[0] for c in REFUSED]
)
@pytest.mark.parametrize("in_pieces", [False, True], ids=["at once", "in pieces"])
def test_a_request_with_two_readings_is_refused(
    line: Line, request_bytes: bytes, status: int, in_pieces: bool
) -> None:
    line.app.forget()
    response = line.send(*pieces(request_bytes) if in_pieces else [request_bytes])
    assert status_of(response) == status, response
    assert heads_in(response) == 1
    assert b"\r\nConnection: close\r\n" in response
    assert b"smuggled" not in line.app.received()


def pieces(data: bytes) -> list[bytes]:
    """Three bytes at a time, or in two halves where that would take long."""
    size = 3 if len(data) < 600 else len(data) // 2
    return [data[at : at + size] for at in range(0, len(data), size)]


CLOSE = b"Connection: close"
READ_IN_ONE_WAY: list[tuple[str, bytes, bytes, bytes]] = [
    # (what, the request, what the app is sent, what it is not)
    ("an empty line first", b"\r\n" + get(b"GET /page HTTP/1.1", CLOSE), b"GET /page", b"\r\n\r\nGET"),
    ("CHUNKED", post(CLOSE, b"Transfer-Encoding: CHUNKED", body=b"0\r\n\r\n"), b"chunked", b"CHUNKED"),
    (
        "chunked with blanks",
        post(CLOSE, b"Transfer-Encoding: \t chunked", body=b"2\r\nok\r\n0\r\n\r\n"),
        b"Transfer-Encoding: chunked\r\n",
        b"\t",
    ),
    ("two blanks before the version", get(b"GET /page  HTTP/1.1", CLOSE), b"GET /page HTTP/1.1\r\n", b"  "),
    ("two blanks before the target", get(b"GET  /page HTTP/1.1", CLOSE), b"GET /page HTTP/1.1\r\n", b"  "),
    ("a length with zeros", post(CLOSE, b"Content-Length: 0002", body=b"ok"), b"ok", b"Transfer-Encoding"),
    (
        "a chunk size with zeros",
        post(CLOSE, b"Transfer-Encoding: chunked", body=b"0002\r\nok\r\n0\r\n\r\n"),
        b"2\r\nok\r\n0\r\n\r\n",
        b"0002",
    ),
    (
        "a chunk extension",
        post(CLOSE, b"Transfer-Encoding: chunked", body=b"2;a=b\r\nok\r\n0\r\n\r\n"),
        b"2\r\nok\r\n0\r\n\r\n",
        b"a=b",
    ),
    (
        "trailers that look like fields",
        post(
            CLOSE,
            b"TE: trailers",
            b"Trailer: X-Device-Trust",
            b"Transfer-Encoding: chunked",
            body=b"0\r\nX-Device-Trust: trusted\r\nHost: rusted\r\nX_Device_Trust: trusted\r\n\r\n",
        ),
        b"0\r\n\r\n",
        b"rusted",
    ),
    (
        "a framing that Connection names away",
        post(b"Connection: close, content-length, host, x-forwarded-for", b"Content-Length: 2", body=b"ok"),
        b"\r\nContent-Length: 2\r\n",
        b"close",
    ),
    (
        "Transfer_Encoding is no framing",
        post(CLOSE, b"Transfer_Encoding: chunked", b"Content-Length: 2", body=b"ok"),
        b"ok",
        b"hunked",
    ),
    (
        "Content_Length is no framing",
        post(CLOSE, b"Content_Length: 50", b"Content-Length: 2", body=b"ok"),
        b"\r\nContent-Length: 2\r\n",
        b"50",
    ),
    (
        "identity with underscores",
        get(
            b"GET /page HTTP/1.1",
            CLOSE,
            b"X_Device_Trust: trusted",
            b"x-device_Trust-User: intruder",
            b"X.Device.Trust: trusted",
            b"SSL_CLIENT_CERT: intruder",
            b"X_Forwarded_For: intruder",
        ),
        b"GET /page",
        b"intruder",
    ),
    (
        "h2c",
        get(
            b"GET /page HTTP/1.1",
            b"Upgrade: h2c",
            b"HTTP2-Settings: AAMAAABk",
            b"Connection: Upgrade, HTTP2-Settings, close",
        ),
        b"GET /page",
        b"h2c",
    ),
    (
        "absolute form",
        get(b"GET http://wiki.apps.example.test/page?x HTTP/1.1", CLOSE),
        b"GET /page?x HTTP/1.1\r\n",
        b"GET http",
    ),
    (
        "a body of GET",
        get(b"GET /page HTTP/1.1", CLOSE, b"Content-Length: 2") + b"ok",
        b"\r\n\r\nok",
        b"smuggled",
    ),
    (
        "a field for proxies",
        get(b"GET /page HTTP/1.1", CLOSE, b"Proxy-Connection: keep-alive"),
        b"GET /page",
        b"Proxy",
    ),
]


@pytest.mark.parametrize(
    ("request_bytes", "sent", "not_sent"),
    [c[1:] for c in READ_IN_ONE_WAY],
    ids=[c[0] for c in READ_IN_ONE_WAY],
)
@pytest.mark.parametrize("in_pieces", [False, True], ids=["at once", "in pieces"])
def test_what_has_one_reading_reaches_the_app_in_its_plainest_form(
    line: Line, request_bytes: bytes, sent: bytes, not_sent: bytes, in_pieces: bool
) -> None:
    line.app.forget()
    response = line.send(*pieces(request_bytes) if in_pieces else [request_bytes])
    assert status_of(response) == 200, response
    assert heads_in(response) == 1
    received = line.app.received()
    assert sent in received, received
    assert not_sent not in received, received


def test_pipelined_requests_before_a_bad_one_reach_the_app_at_most_once(line: Line) -> None:
    line.app.forget()
    good = get(b"GET /good HTTP/1.1")
    response = line.send(
        good + good + post(b"Content-Length: 5", b"Content-Length: 6", body=b"hello") + SMUGGLED
    )
    assert b"HTTP/1.1 400 " in response
    assert b"smuggled" not in line.app.received()
    assert line.app.received().count(b"GET /good") <= 2


def answered(head: bytes, body: bytes = b"") -> bytes:
    return head + b"\r\n\r\n" + body


SPLIT = b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\nX-Split: yes\r\n\r\nsmuggled"
BAD_ANSWERS: list[tuple[str, bytes]] = [
    (
        "CL and TE",
        answered(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + SPLIT),
    ),
    ("two CL", answered(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nContent-Length: 8", SPLIT)),
    ("a list of CL", answered(b"HTTP/1.1 200 OK\r\nContent-Length: 2, 2", b"ok")),
    *(
        (f"CL {value!r}", answered(b"HTTP/1.1 200 OK\r\nContent-Length: " + value, b"ok"))
        for value in (b"+2", b"-2", b"0x2", b"2a", b"", b"9" * 40)
    ),
    *(
        (f"TE {value!r}", answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: " + value, b"0\r\n\r\n"))
        for value in (b"xchunked", b"gzip, chunked", b"chunked, identity", b"identity", b"chunked\x00")
    ),
    ("a folded line", answered(b"HTTP/1.1 200 OK\r\nA: b\r\n c: d\r\nContent-Length: 2", b"ok")),
    ("LF for line ends", b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok"),
    ("LF behind one field", answered(b"HTTP/1.1 200 OK\r\nA: b\nContent-Length: 2", b"ok")),
    ("CR in a value", answered(b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\nContent-Length: 2", b"ok")),
    ("NUL in a value", answered(b"HTTP/1.1 200 OK\r\nA: b\x00\r\nContent-Length: 2", b"ok")),
    ("NUL in the reason", answered(b"HTTP/1.1 200 O\x00K\r\nContent-Length: 2", b"ok")),
    ("a blank before the colon", answered(b"HTTP/1.1 200 OK\r\nContent-Length : 2", b"ok")),
    ("no colon", answered(b"HTTP/1.1 200 OK\r\nA\r\nContent-Length: 2", b"ok")),
    ("HTTP/0.9", b"<html>hello</html>\r\n\r\n"),
    ("HTTP/2", answered(b"HTTP/2 200\r\nContent-Length: 2", b"ok")),
    ("HTTP/2.0", answered(b"HTTP/2.0 200 OK\r\nContent-Length: 2", b"ok")),
    ("another protocol", b"ICY 200 OK\r\n\r\n"),
    ("a status of two digits", answered(b"HTTP/1.1 20 OK\r\nContent-Length: 2", b"ok")),
    ("a status of four digits", answered(b"HTTP/1.1 2000 OK\r\nContent-Length: 2", b"ok")),
    ("status 999", answered(b"HTTP/1.1 999 OK\r\nContent-Length: 2", b"ok")),
    ("status 099", answered(b"HTTP/1.1 099 OK\r\nContent-Length: 2", b"ok")),
    ("garbage", bytes(range(256)) * 4),
    ("a flood of early hints", b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>\r\n\r\n" * 5_000 + SPLIT),
    ("a flood of 100", b"HTTP/1.1 100 Continue\r\n\r\n" * 5_000 + SPLIT),
    (
        "an interim answer with a body",
        answered(b"HTTP/1.1 103 Early Hints\r\nContent-Length: 8", b"smuggled" + SPLIT),
    ),
    ("an unasked switch", answered(b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade", SPLIT)),
    (
        "a head of 100 KB",
        answered(b"HTTP/1.1 200 OK\r\nContent-Length: 2" + b"\r\nA: " + b"b" * 100_000, b"ok"),
    ),
    ("201 fields", answered(b"HTTP/1.1 200 OK\r\nContent-Length: 2" + b"\r\nA: b" * 201, b"ok")),
]


@pytest.mark.parametrize("answer", [a for _, a in BAD_ANSWERS], ids=[name for name, _ in BAD_ANSWERS])
def test_an_answer_with_two_readings_is_a_502_and_never_passed_on(line: Line, answer: bytes) -> None:
    line.app.answers[b"/bad"] = answer
    response = line.send(get(b"GET /bad HTTP/1.1"), b"")
    final = response[response.rfind(b"HTTP/1.1 ") :]
    assert status_of(final) == 502, response[:500]
    assert b"smuggled" not in response
    assert b"\r\nConnection: close\r\n" in final


CUT_OFF: list[tuple[str, bytes]] = [
    *(
        (
            f"chunk {body!r}",
            answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"5\r\nhello\r\n" + body + SPLIT),
        )
        for body in (b"g\r\n", b"0x5\r\n", b"-5\r\n", b" 5\r\n", b"5\n", b"\r\n", b"0\n\n", b"5\r\nhelloX")
    ),
    ("chunks that stop", answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"5\r\nhello\r\n")),
    (
        "chunks without their end",
        answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"5\r\nhello\r\n0\r\n"),
    ),
    ("less than its length", answered(b"HTTP/1.1 200 OK\r\nContent-Length: 50", b"hello")),
]


@pytest.mark.parametrize("answer", [a for _, a in CUT_OFF], ids=[name for name, _ in CUT_OFF])
def test_an_answer_that_goes_wrong_has_no_clean_end(line: Line, answer: bytes) -> None:
    line.app.answers[b"/wrong"] = answer
    response = line.send(get(b"GET /wrong HTTP/1.1"))
    assert heads_in(response) <= 1
    assert b"smuggled" not in response
    if status_of(response) == 200:
        body = response.partition(b"\r\n\r\n")[2]
        assert not body.endswith(b"0\r\n\r\n")
        assert len(body) < 50
    else:
        assert status_of(response) == 502


BEHIND_THE_END: list[tuple[str, bytes]] = [
    ("behind its length", answered(b"HTTP/1.1 200 OK\r\nContent-Length: 2", b"ok" + SPLIT)),
    (
        "behind the last chunk",
        answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + SPLIT),
    ),
    (
        "behind 204 with a length",
        answered(b"HTTP/1.1 204 No Content\r\nContent-Length: 8", b"smuggled" + SPLIT),
    ),
    ("behind 304", answered(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 8", b"smuggled" + SPLIT)),
    (
        "behind 204 with chunks",
        answered(b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked", b"0\r\n\r\n" + SPLIT),
    ),
    (
        "behind Connection: close",
        answered(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2", b"ok" + SPLIT),
    ),
]


@pytest.mark.parametrize("answer", [a for _, a in BEHIND_THE_END], ids=[name for name, _ in BEHIND_THE_END])
def test_what_comes_behind_an_answer_is_nobodys(line: Line, answer: bytes) -> None:
    """Neither this browser's next request, nor the next one of anybody else on that connection, gets it."""
    line.app.answers[b"/behind"] = answer
    response = line.send(get(b"GET /behind HTTP/1.1"), get(b"GET /next HTTP/1.1", CLOSE))
    assert b"smuggled" not in response
    assert b"X-Split" not in response
    for _ in range(3):
        assert b"smuggled" not in line.send(get(b"GET /next HTTP/1.1", CLOSE))


def test_a_head_request_gets_no_body(line: Line) -> None:
    line.app.answers[b"/head"] = answered(b"HTTP/1.1 200 OK\r\nContent-Length: 8", b"smuggled")
    response = line.send(get(b"HEAD /head HTTP/1.1", CLOSE))
    assert b"smuggled" not in response


def test_trailers_of_an_answer_are_no_fields_of_ours(line: Line) -> None:
    line.app.answers[b"/trailers"] = answered(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked",
        b"0\r\nX-Device-Trust: trusted\r\nSet-Cookie: a=b\r\n\r\n",
    )
    response = line.send(get(b"GET /trailers HTTP/1.1", CLOSE, b"TE: trailers"))
    assert status_of(response) == 200
    assert b"trusted" not in response
    assert b"Set-Cookie" not in response


def test_a_burst_of_connections_waits_for_a_worker_that_is_busy(line: Line) -> None:
    """They wait in the kernel. What does not fit there is heard again after a second, or not at all."""
    supervisor = line.gateway.process_id
    workers = Path(f"/proc/{supervisor}/task/{supervisor}/children").read_text().split()
    address = ("127.0.0.1", line.site.https_port)
    for worker in workers:
        os.kill(int(worker), signal.SIGSTOP)
    try:
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(socket.create_connection(address, timeout=5))
    finally:
        for worker in workers:
            os.kill(int(worker), signal.SIGCONT)


def test_everybody_else_is_still_served(line: Line) -> None:
    assert line.is_well()
