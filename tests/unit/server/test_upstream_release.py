"""In which state a connection to an app goes back to its pool, and when the app's time runs."""

import asyncio
import socket
from pathlib import Path

import pytest
from support.proxy_in_process import HealthChanges

from gateway.model.settings import Limits, Upstream
from gateway.proxy.http1 import End, ResponseEvent
from gateway.proxy.upstream_health import UpstreamHealth
from gateway.server.deadlines import Deadlines
from gateway.server.name_lookup import NameLookup
from gateway.server.upstream import UpstreamConnection, UpstreamFailed
from gateway.server.upstream_server import UpstreamServer


class Wire(asyncio.Transport):
    """A transport that keeps what is written, and of that an unsent rest."""

    def __init__(self) -> None:
        super().__init__()
        self.reading = True
        self.aborted = False
        self.unsent = 0
        self.socket: socket.socket | None = None

    def get_extra_info(self, name: str, default: object = None) -> object:
        return self.socket if name == "socket" else default

    def write(self, data: bytes | bytearray | memoryview) -> None:
        pass

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.aborted = True


class Reader:
    """An exchange that only keeps what it was told."""

    def __init__(self) -> None:
        self.events: list[ResponseEvent] = []
        self.failures: list[str] = []
        self.ended = lambda: None

    def upstream_whole(self, status: int, response: bytes) -> bool:
        return False

    def upstream_events(self, events: list[ResponseEvent]) -> None:
        self.events += events
        if End.MESSAGE in events:
            self.ended()

    def upstream_data(self, data: bytes) -> None: ...

    def upstream_failed(self, failure: UpstreamFailed) -> None:
        self.failures.append(failure.kind)

    def upstream_closed(self) -> None: ...

    def upstream_pause_writing(self) -> None: ...

    def upstream_resume_writing(self) -> None: ...


async def made() -> tuple[UpstreamServer, UpstreamConnection, Wire, Reader]:
    """A connection that is open, and an exchange for it."""
    loop = asyncio.get_running_loop()
    deadlines, limits = Deadlines(loop), Limits()
    upstream, changes = Upstream("http", "127.0.0.1", 1), HealthChanges()
    server = UpstreamServer(
        upstream, None, loop, deadlines, limits, NameLookup(loop), UpstreamHealth(), changes
    )
    connection, wire, reader = UpstreamConnection(server, deadlines, limits), Wire(), Reader()
    connection.connection_made(wire)
    return server, connection, wire, reader


async def in_use(*, request_complete: bool = True) -> tuple[UpstreamServer, UpstreamConnection, Wire, Reader]:
    """A connection in the middle of an exchange."""
    server, connection, wire, reader = await made()
    connection.begin(reader, head_only=False, request_complete=request_complete)
    return server, connection, wire, reader


async def test_a_connection_that_a_slow_browser_had_paused_is_read_again() -> None:
    server, connection, wire, _ = await in_use()
    connection.pause_reading()
    connection.release()

    assert wire.reading
    assert server.take_idle(safe_to_repeat=True) is connection


async def test_a_connection_with_unsent_bytes_is_not_used_again() -> None:
    server, connection, wire, _ = await in_use()
    wire.unsent = 70_000
    connection.release()

    assert wire.aborted
    assert server.take_idle(safe_to_repeat=True) is None


async def test_a_paused_connection_has_no_deadline_even_while_a_body_goes_up() -> None:
    _, connection, _, reader = await in_use()
    assert connection.deadline < float("inf")
    connection.pause_reading()
    connection.write(b"more of the body")
    assert connection.deadline == float("inf")

    connection.resume_reading()
    assert connection.deadline < float("inf")
    connection.deadline_passed()
    assert reader.failures == ["timeout"]


async def test_the_apps_time_runs_when_it_has_the_whole_request_and_while_it_takes_none_of_it() -> None:
    _, connection, _, _ = await in_use(request_complete=False)
    assert connection.deadline == float("inf")  # the browser's turn
    connection.write(b"a piece of the body")
    assert connection.deadline == float("inf")
    connection.pause_writing()
    assert connection.deadline < float("inf")  # the app reads nothing
    connection.resume_writing()
    assert connection.deadline == float("inf")
    connection.request_complete()
    assert connection.deadline < float("inf")


async def test_an_app_that_speaks_unasked_loses_its_connection() -> None:
    _, connection, wire, reader = await in_use()
    connection.release()
    connection.data_received(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")

    assert wire.aborted
    assert reader.events == []
    assert not connection.is_open  # before asyncio tells that it is lost: nobody is given it meanwhile


async def test_an_idle_connection_that_was_cut_off_is_given_to_nobody() -> None:
    server, connection, wire, _ = await in_use()
    connection.release()
    connection.deadline_passed()

    assert wire.aborted
    assert server.take_idle(safe_to_repeat=True) is None


@pytest.mark.parametrize(
    ("said", "failures"),
    [
        pytest.param(b"HTTP/1.1 413 X\r\nContent-Length: 2\r\n\r\nno", [], id="all of it"),
        pytest.param(
            b"HTTP/1.1 413 X\r\nContent-Length: 9\r\n\r\nno", ["closed_in_response"], id="half of it"
        ),
        pytest.param(b"HTTP/1.1 413 X\r\n\r\nno", ["closed_in_response"], id="as much as came"),
        pytest.param(b"", ["closed_before_response"], id="nothing"),
    ],
)
async def test_what_the_app_answered_before_a_write_to_it_failed_is_read(
    said: bytes, failures: list[str]
) -> None:
    app, ours = socket.socketpair()
    ours.setblocking(False)
    _, connection, wire, reader = await made()
    wire.socket, reader.ended = ours, connection.retire
    connection.begin(reader, head_only=False, request_complete=False)
    app.sendall(said)
    app.close()
    ours.close()  # as the event loop does
    connection.connection_lost(BrokenPipeError())

    assert b"no" in reader.events or not said
    assert reader.failures == failures


async def test_no_descriptor_outlives_its_exchange() -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    before = descriptors()
    app, ours = socket.socketpair()
    _, connection, wire, reader = await made()
    wire.socket = ours
    for _ in range(3):
        connection.begin(reader, head_only=False, request_complete=False)
        assert descriptors() == before + 3
        connection.request_complete()
        connection.release()
        assert descriptors() == before + 2
    connection.begin(reader, head_only=False, request_complete=False)
    connection.connection_lost(None)
    app.close()
    ours.close()
    assert descriptors() == before
