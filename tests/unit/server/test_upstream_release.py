"""In which state a connection to an app goes back to its pool, and when the app's time runs."""

import asyncio

from support.proxy_in_process import HealthChanges

from gateway.model.settings import Limits, Upstream
from gateway.proxy.http1 import ResponseEvent
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

    def upstream_events(self, events: list[ResponseEvent]) -> None:
        self.events += events

    def upstream_data(self, data: bytes) -> None: ...

    def upstream_failed(self, failure: UpstreamFailed) -> None:
        self.failures.append(failure.kind)

    def upstream_closed(self) -> None: ...

    def upstream_pause_writing(self) -> None: ...

    def upstream_resume_writing(self) -> None: ...


async def in_use(*, request_complete: bool = True) -> tuple[UpstreamServer, UpstreamConnection, Wire, Reader]:
    """A connection in the middle of an exchange."""
    loop = asyncio.get_running_loop()
    deadlines, limits = Deadlines(loop), Limits()
    upstream, changes = Upstream("http", "127.0.0.1", 1), HealthChanges()
    server = UpstreamServer(
        upstream, None, loop, deadlines, limits, NameLookup(loop), UpstreamHealth(), changes
    )
    connection, wire, reader = UpstreamConnection(server, deadlines, limits), Wire(), Reader()
    connection.connection_made(wire)
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
