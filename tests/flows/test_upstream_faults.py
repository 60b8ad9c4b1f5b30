"""An app that fails in every way, as processes: what the browser sees, and what the log says."""

import contextlib
import http.client
import signal
import ssl
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from support.app_side import HOST, AppSide, app_side, begun, raw_app_process
from support.pki import Authority
from support.processes import ChildProcess, free_port
from support.site import Site

LIMITS = {"upstream_connect_timeout": "1s", "upstream_response_timeout": "1s"}


@dataclass
class World:
    side: AppSide
    app: ChildProcess
    app_port: int


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    site = Site(tmp_path_factory.mktemp("site"))
    plain, over_tls = free_port(), free_port()
    certificate = Authority.create_root("Nobody's root").issue_server(["127.0.0.1"])
    files = certificate.write(site.directory, "app")
    upstreams: dict[str, str | list[str]] = {
        "wiki": f"http://127.0.0.1:{plain}",
        "untrusted": f"https://127.0.0.1:{over_tls}",
        "no-tls": f"https://127.0.0.1:{plain}",
        "refused": f"http://127.0.0.1:{free_port()}",
        "unknown": "http://no-such-app.invalid",
        "no-socket": f"unix:{site.directory}/no.sock",
        "two": [f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{plain}"],
    }
    with ExitStack() as stack:
        app = stack.enter_context(raw_app_process(site.directory, plain))
        stack.enter_context(raw_app_process(site.directory, over_tls, files.certificate, files.private_key))
        yield World(stack.enter_context(app_side(site, upstreams, LIMITS)), app, plain)


@pytest.mark.parametrize(
    ("path", "status", "error"),
    [
        ("/dies-before-head", 502, "closed_before_response"),
        ("/dies-in-head", 502, "closed_in_response"),
        ("/garbage", 502, "bad_response"),
        ("/too-much", 502, "bad_response"),
        ("/two-answers", 502, "bad_response"),
        ("/never", 504, "timeout"),
    ],
)
def test_an_app_that_fails_before_its_answer_has_a_head_is_an_error_page(
    world: World, path: str, status: int, error: str
) -> None:
    with world.side.get(path) as response:
        assert response.status == status
        assert b"evil" not in response.read()
    assert world.side.error_of(path) == error


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("/dies-in-body", "closed_in_response"),
        ("/dies-in-chunks", "closed_in_response"),
        ("/never-ends", "timeout"),
    ],
)
def test_an_app_that_fails_inside_its_body_is_cut_off_and_never_a_clean_end(
    world: World, path: str, error: str
) -> None:
    with world.side.connect() as connection:
        connection.sendall(f"GET {path} HTTP/1.1\r\nHost: {HOST}\r\n\r\n".encode())
        received, clean = to_the_end(connection)
    assert b" 200 OK\r\n" in received
    assert b"hello" in received
    assert not received.endswith(b"0\r\n\r\n")
    assert not clean  # no close_notify either: an attacker could cut a connection off as well
    assert world.side.error_of(path) == error


def to_the_end(connection: ssl.SSLSocket) -> tuple[bytes, bool]:
    """What is received, and whether TLS says that this was all."""
    connection.suppress_ragged_eofs = False
    received = b""
    while True:
        try:
            piece = connection.recv(65_536)
        except (ssl.SSLEOFError, ConnectionError):
            return received, False
        if not piece:
            return received, True
        received += piece


def test_an_app_that_speaks_unasked_is_not_heard_by_the_next_request(world: World) -> None:
    with world.side.connect() as connection:
        assert world.side.ask(connection, "/speaks-unasked") == b"ok"
        time.sleep(0.2)  # a request in which the app speaks would be answered by what it says
        for _ in range(5):
            assert world.side.ask(connection).startswith(b"GET /echo HTTP/1.1\r\n")


@pytest.mark.parametrize("size", [1_000, 300_000, 20_000_000])
def test_an_answer_that_comes_before_the_body_was_sent_is_passed_on(world: World, size: int) -> None:
    for _ in range(5):
        with world.side.connect() as connection:
            head = f"POST /early HTTP/1.1\r\nHost: {HOST}\r\nContent-Length: {size}\r\n\r\n"
            connection.sendall(head.encode())
            send_what_is_taken(connection, size)
            with begun(connection) as response:
                assert response.status == 413
                assert response.read() == b"too much"


def send_what_is_taken(connection: ssl.SSLSocket, size: int) -> None:
    """A body, as far as the other side reads it."""
    connection.settimeout(5)
    piece = bytes(65_536)
    try:
        for begin in range(0, size, len(piece)):
            connection.sendall(piece[: size - begin])
    except (ConnectionError, TimeoutError, ssl.SSLError):
        pass  # the answer says why
    connection.settimeout(20)


@pytest.mark.parametrize(
    ("app", "status", "error"),
    [
        pytest.param("untrusted", 502, "tls", id="a certificate of nobody's"),
        pytest.param("no-tls", 504, "connect_timeout", id="no TLS there"),
        pytest.param("refused", 502, "connect", id="nobody listens"),
        pytest.param("unknown", 502, "resolve", id="no such name"),
        pytest.param("no-socket", 502, "connect", id="no such socket"),
    ],
)
def test_an_app_that_cannot_be_reached_is_an_error_page(
    world: World, app: str, status: int, error: str
) -> None:
    with world.side.get(f"/{app}", f"{app}.apps.example.test") as response:
        assert response.status == status
    assert world.side.error_of(f"/{app}", app) == error
    assert world.side.gateway.metric("devicetrust_upstream_errors_total", app=app, kind=error) == 1


def test_a_server_that_is_not_there_costs_nobody_an_answer_and_is_named_in_log_and_metric(
    world: World,
) -> None:
    host = "two.apps.example.test"
    with world.side.connect(host) as connection:
        for _ in range(8):
            assert world.side.ask(connection, host=host).startswith(b"GET /echo")
    down = world.side.gateway.wait_for_record(
        lambda r: r["event"] == "upstream_down" and r["apps"] == ["two"]
    )
    assert down["kind"] == "connect"
    assert world.side.gateway.metric("devicetrust_upstreams_out", app="two") == 1
    assert world.side.gateway.metric("devicetrust_upstream_errors_total", app="two") == 0


def test_an_app_that_is_killed_in_a_download_cuts_it_off_and_is_found_again_when_it_is_back(
    world: World, tmp_path_factory: pytest.TempPathFactory
) -> None:
    cut_off = (http.client.IncompleteRead, ssl.SSLError, ConnectionError)
    with world.side.get("/down/100000000") as response:
        assert len(response.read(1_000_000)) == 1_000_000
        world.app.send_signal(signal.SIGKILL)
        world.app.wait()
        with contextlib.suppress(*cut_off):
            response.read()
            raise AssertionError("a download that was cut off ended cleanly")
    for _ in range(4):
        with world.side.get("/echo") as gone:
            assert gone.status == 502
    world.side.gateway.wait_for_record(lambda r: r["event"] == "upstream_down" and "wiki" in r["apps"])
    again = raw_app_process(tmp_path_factory.mktemp("again"), world.app_port)
    with again, world.side.get("/echo") as response:
        assert response.status == 200  # the only one: it is tried although it is out
    up = world.side.gateway.wait_for_record(lambda r: r["event"] == "upstream_up" and "wiki" in r["apps"])
    assert up["upstream"] == f"http://127.0.0.1:{world.app_port}"
