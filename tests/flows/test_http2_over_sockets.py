"""HTTP/2 to the browser, HTTP/1.1 to the app: one connection, many requests, and who gets into whose way."""

import asyncio
import contextlib
import itertools
import ssl

import pytest
from h2.errors import ErrorCodes
from h2.events import PingAckReceived, WindowUpdated
from h2.exceptions import StreamClosedError
from h2.settings import SettingCodes
from hyperframe.frame import (
    ContinuationFrame,
    DataFrame,
    GoAwayFrame,
    HeadersFrame,
    PingFrame,
    RstStreamFrame,
    SettingsFrame,
    WindowUpdateFrame,
)
from support.http2_client import Answer, Http2Client, http2_client_of, many, request_fields
from support.proxy_in_process import (
    HOST,
    WEB,
    Running,
    app_server,
    client_of,
    gateway_before,
    request_head,
    until,
)

from gateway.model.settings import Limits
from gateway.proxy.http2_frames import ALLOWANCE
from gateway.server import deadlines
from gateway.server.http2_connection import (
    CONNECTION_WINDOW_BYTES,
    MAX_CONCURRENT_STREAMS,
    REQUESTS_AT_ONCE,
    STREAM_WINDOW_BYTES,
)

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
MEGABYTE = 1_048_576
# What may be in memory and buffers of the kernel between an app and a browser that does not read.
UNDERWAY_BYTES = 6 * MEGABYTE
POST = b"POST"


@pytest.fixture(autouse=True)
def quick_ticks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadlines, "TICK_SECONDS", 0.02)


async def hello_app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        await request_head(reader)
        writer.write(OK)


def app_that_says(response: bytes) -> object:
    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        writer.write(response)

    return app


async def echo_app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answers with the head that it saw, and the body with its framing."""
    while True:
        head = await request_head(reader)
        body = b""
        if b"chunked" in head:
            body = await reader.readuntil(b"0\r\n") + await reader.readuntil(b"\r\n")
            if not body.endswith(b"0\r\n\r\n"):
                body += await reader.readuntil(b"\r\n")
        elif b"content-length: " in head:
            body = await reader.readexactly(int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        content = head + body
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(content), content))


async def endless_app(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Says more than anybody reads, and keeps count in `sent_by_endless_app`."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (1_000 * MEGABYTE))
    while True:
        writer.write(bytes(65_536))
        await writer.drain()
        sent_by_endless_app[0] += 65_536


sent_by_endless_app = [0]


async def by_path(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """/endless never ends, /deaf reads nothing, /page says ok."""
    head = await request_head(reader)
    if head.startswith((b"GET /endless", b"POST /endless")):
        await endless_app(reader, writer)
    if b" /deaf " in head:
        await asyncio.sleep(60)
    writer.write(OK)
    await hello_app(reader, writer)


# One request after the other, and at once.


async def test_requests_of_one_connection_are_answered_and_the_apps_connection_is_used_again() -> None:
    connections = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connections.append(writer)
        await hello_app(reader, writer)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway:
        async with http2_client_of(gateway) as client:
            for _ in range(3):
                answer = await client.fetch()
                assert (answer.status, answer.headers) == (200, {b"content-length": b"2"})
                assert answer.body == b"ok"
        assert len(connections) == 1
        assert gateway.forwarder.statuses == [200, 200, 200]


async def test_a_request_that_waits_does_not_hold_up_the_others() -> None:
    go_on = asyncio.Event()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await request_head(reader)
        if head.startswith(b"GET /slow"):
            await go_on.wait()
        writer.write(OK)

    async with (
        app_server(app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        slow = client.get(b"/slow")
        for _ in range(3):
            assert (await client.fetch()).body == b"ok"
        assert not client.answers[slow].ended
        go_on.set()
        assert (await client.answer(slow)).body == b"ok"


async def test_requests_of_one_read_are_begun_a_few_at_a_time() -> None:
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        await client.quiet(0.05)
        streams = [client.protocol.get_next_available_stream_id()]
        for _ in range(5 * REQUESTS_AT_ONCE):
            client.protocol.send_headers(streams[-1], request_fields(b"/own?hi"), end_stream=True)
            client.answers[streams[-1]] = Answer()
            streams.append(client.protocol.get_next_available_stream_id())
        begun: list[int] = []

        def look() -> None:
            begun.append(len(gateway.forwarder.requesters))
            if begun[-1] < len(streams) - 1:
                asyncio.get_running_loop().call_soon(look)

        client.flush()
        await until(lambda: bool(gateway.forwarder.requesters) or look())  # type: ignore[func-returns-value]
        for stream in streams[:-1]:
            assert (await client.answer(stream)).body == b"hi"
        steps = [after - before for before, after in itertools.pairwise(begun)]
        assert max(steps) <= REQUESTS_AT_ONCE


async def test_as_many_requests_as_are_offered_run_at_once() -> None:
    arrived = []
    go_on = asyncio.Event()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        arrived.append(await request_head(reader))
        await go_on.wait()
        writer.write(OK)

    async with (
        app_server(app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        streams = [client.get() for _ in range(MAX_CONCURRENT_STREAMS)]
        await until(lambda: len(arrived) == MAX_CONCURRENT_STREAMS, seconds=10)
        go_on.set()
        for stream in streams:
            assert (await client.answer(stream)).body == b"ok"


async def test_more_requests_at_once_than_are_offered_end_the_connection() -> None:
    async with (
        app_server(by_path) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        await client.fetch()
        client.protocol.remote_settings.update({SettingCodes.MAX_CONCURRENT_STREAMS: 1_000})
        client.protocol.remote_settings.acknowledge()
        for _ in range(MAX_CONCURRENT_STREAMS + 5):
            client.get(b"/deaf")
        await client.rest()
        assert client.goaway is not None


# What the app sees.


async def test_the_app_sees_a_request_of_http_1_1_by_the_same_rules() -> None:
    async with (
        app_server(echo_app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        answer = await client.fetch(
            b"/a?b=%20c",
            (b"x-device-trust", b"trusted"),
            (b"x_device_trust_user", b"root"),
            (b"accept", b"*/*"),
        )
        assert answer.body == b"GET /a?b=%20c HTTP/1.1\r\nHost: wiki\r\naccept: */*\r\n\r\n"


async def test_a_body_goes_on_by_its_length_or_in_chunks() -> None:
    async with (
        app_server(echo_app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        stream = client.begin(request_fields(b"/", (b"content-length", b"6"), method=POST), ended=False)
        client.send(stream, b"abc", b"def")
        assert (await client.answer(stream)).body.endswith(b"content-length: 6\r\n\r\nabcdef")

        stream = client.begin(request_fields(b"/", method=POST), ended=False)
        client.send(stream, b"abcdef")
        body = (await client.answer(stream)).body
        assert body.endswith(b"Transfer-Encoding: chunked\r\n\r\n6\r\nabcdef\r\n0\r\n\r\n")


async def test_trailers_go_on_and_padding_priorities_and_unknown_frames_change_nothing() -> None:
    async with (
        app_server(echo_app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        stream = client.begin(request_fields(b"/", method=POST), ended=False)
        client.protocol.prioritize(stream, weight=7)
        client.protocol.send_data(stream, b"abc", pad_length=100)
        client.raw(b"\0\0\4\xbb\xff" + stream.to_bytes(4) + b"what")
        client.protocol.send_headers(stream, [(b"x-checksum", b"1")], end_stream=True)
        client.flush()
        body = (await client.answer(stream)).body
        assert body.endswith(b"\r\n\r\n3\r\nabc\r\n0\r\nx-checksum: 1\r\n\r\n")


async def test_who_asks_before_sending_a_body_is_told_to_send_it() -> None:
    async with (
        app_server(echo_app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        fields = request_fields(b"/", (b"content-length", b"3"), (b"expect", b"100-continue"), method=POST)
        stream = client.begin(fields, ended=False)
        await client.until(lambda: client.answers[stream].interim == [100])
        client.send(stream, b"abc")
        assert (await client.answer(stream)).body.endswith(b"abc")


async def test_a_body_larger_than_all_windows_arrives_whole() -> None:
    async with (
        app_server(echo_app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        fields = request_fields(b"/", (b"content-length", b"%d" % (3 * MEGABYTE)), method=POST)
        stream = client.begin(fields, ended=False)
        left = 3 * MEGABYTE
        while left:
            window = client.protocol.local_flow_control_window(stream)
            size = min(left, window, 16_384)
            if size:
                left -= size
                client.send(stream, b"z" * size, ended=not left)
            else:
                events = len(client.events)
                await client.until(lambda seen=events: len(client.events) > seen)
        answer = await client.answer(stream)
        assert answer.body.endswith(b"\r\n\r\n" + b"z" * 3 * MEGABYTE)


# What the browser sees.


@pytest.mark.parametrize(
    ("response", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", 200, b"ok"),
        (b"HTTP/1.0 200 OK\r\n\r\nuntil the end", 200, b"until the end"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b'HTTP/1.1 304 Not Modified\r\nETag: "a"\r\nContent-Length: 9\r\n\r\n', 304, b""),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", 200, b""),
    ],
    ids=["chunked", "until the close", "no content", "not modified", "empty"],
)
async def test_bodies_end_as_the_app_ends_them(response: bytes, status: int, body: bytes) -> None:
    async with (
        app_server(app_that_says(response)) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        answer = await client.fetch()
        assert (answer.status, answer.body, answer.ended) == (status, body, True)
        assert not answer.headers.keys() & {b"transfer-encoding", b"connection"}


async def test_head_is_answered_without_a_body() -> None:
    response = b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n"
    async with (
        app_server(app_that_says(response)) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        for path in (b"/page", b"/own?hello"):
            answer = await client.answer(client.begin(request_fields(path, method=b"HEAD")))
            assert (answer.status, answer.body, answer.ended) == (200, b"", True)


@pytest.mark.parametrize("window", [65_535, 10], ids=["at once", "behind a body that waits"])
async def test_trailers_of_the_app_come_behind_the_body_for_who_takes_them(window: int) -> None:
    response = (
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n"
        b"14\r\n12345678901234567890\r\n0\r\nX-Sum: 1\r\nX-Device-Trust: trusted\r\n\r\n"
    )
    settings = {int(SettingCodes.INITIAL_WINDOW_SIZE): window}
    async with (
        app_server(app_that_says(response)) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway, settings=settings) as client,
    ):
        for asked, seen in (([(b"te", b"trailers")], {b"x-sum": b"1"}), ([], {})):
            stream = client.get(b"/page", *asked)
            await client.quiet(0.05)
            with contextlib.suppress(StreamClosedError):
                client.protocol.increment_flow_control_window(100, stream)
            client.flush()
            answer = await client.answer(stream)
            assert (answer.body, answer.trailers) == (b"12345678901234567890", seen)


async def test_early_hints_come_before_the_answer() -> None:
    response = b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n" + OK
    async with (
        app_server(app_that_says(response)) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        answer = await client.fetch()
        assert (answer.interim, answer.body) == ([103], b"ok")


@pytest.mark.parametrize(
    ("response", "failure"),
    [
        (b"", "closed_before_response"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok", "bad_response"),
        (b"HTTP/1.1 101 Switching\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\r\n", "bad_response"),
    ],
    ids=["nothing", "two lengths", "another protocol"],
)
async def test_a_bad_response_is_a_502_for_this_request_alone(response: bytes, failure: str) -> None:
    async with (
        app_server(app_that_says(response)) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        assert (await client.fetch()).status == 502
        assert gateway.forwarder.failures[-1] == failure
        assert (await client.fetch(b"/own?on")).body == b"on"


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
    ids=["by length", "in chunks"],
)
async def test_half_an_answer_is_reset_and_never_ended(response: bytes) -> None:
    async with (
        app_server(app_that_says(response)) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        answer = await client.fetch()
        assert (answer.body, answer.ended, answer.reset) == (b"half", False, ErrorCodes.INTERNAL_ERROR)
        assert (await client.fetch(b"/own?on")).body == b"on"


async def test_a_defect_answers_500_to_its_request_alone() -> None:
    async with app_server(by_path) as upstream, gateway_before(upstream) as gateway:
        async with http2_client_of(gateway) as client:
            running = client.get(b"/deaf")
            assert (await client.fetch(b"/defect")).status == 500
            assert (await client.fetch(b"/own?on")).body == b"on"
            assert client.answers[running].reset is None
        assert len(gateway.forwarder.defects) == 1
        gateway.forwarder.defects.clear()


async def test_an_answer_before_the_body_is_whole_asks_for_no_more_of_it() -> None:
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        stream = client.begin(request_fields(b"/collect", method=POST), ended=False)
        client.send(stream, b"a" * 2_000, ended=False)
        answer = client.answers[stream]
        await client.until(lambda: answer.reset is not None)
        assert (answer.status, answer.ended, answer.reset) == (413, True, ErrorCodes.NO_ERROR)
        assert (await client.fetch()).body == b"ok"


async def test_a_browser_that_goes_on_sending_to_an_answered_request_disturbs_nobody() -> None:
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        for _ in range(20):
            stream = client.begin(request_fields(b"/collect", method=POST), ended=False)
            for _ in range(4):
                client.raw(DataFrame(stream, b"a" * 16_000))
                client.protocol.outbound_flow_control_window -= 16_000
            await client.until(lambda stream=stream: client.answers[stream].reset is not None)
        # 1.3 MB went to requests that were over: the window of the connection was given back.
        assert (await client.fetch()).body == b"ok"
        assert client.protocol.outbound_flow_control_window > 0


# Slow browsers, slow apps.


async def test_a_browser_that_takes_nothing_stops_the_app_and_no_other_request() -> None:
    async with (
        app_server(by_path) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway, takes_data=False) as client,
    ):
        client.get(b"/endless")
        sent_by_endless_app[0] = 0
        await client.quiet(0.3)
        assert sent_by_endless_app[0] < UNDERWAY_BYTES
        # The rest of the connection's window; the page needs two bytes of it.
        client.protocol.increment_flow_control_window(1_000)
        client.flush()
        assert (await client.fetch()).body == b"ok"
        before = sent_by_endless_app[0]
        await client.quiet(0.2)
        assert sent_by_endless_app[0] == before


async def test_with_no_window_the_app_is_not_read_at_all() -> None:
    async with app_server(by_path) as upstream, gateway_before(upstream) as gateway:
        settings = {int(SettingCodes.INITIAL_WINDOW_SIZE): 0}
        async with http2_client_of(gateway, takes_data=False, settings=settings) as client:
            await client.quiet(0.05)
            stream = client.get()
            await client.quiet(0.2)
            assert client.answers[stream].status == 0
            client.protocol.increment_flow_control_window(1, stream)
            client.flush()
            await client.until(lambda: client.answers[stream].body == b"o")
            assert not client.answers[stream].ended
            client.protocol.increment_flow_control_window(1, stream)
            client.flush()
            assert (await client.answer(stream)).body == b"ok"


async def test_a_large_answer_arrives_whole_through_small_windows() -> None:
    body = bytes(range(256)) * 8_192
    response = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    async with (
        app_server(app_that_says(response)) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        streams = [client.get() for _ in range(3)]
        for stream in streams:
            answer = await client.answer(stream)
            assert answer.body == body


async def test_a_browser_that_takes_nothing_for_long_loses_that_answer_alone() -> None:
    limits = Limits(body_timeout_seconds=0.2)
    async with (
        app_server(by_path) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        http2_client_of(gateway, takes_data=False) as client,
    ):
        stream = client.get(b"/endless")
        assert (await client.answer(stream)).reset == ErrorCodes.INTERNAL_ERROR
        assert (await client.fetch(b"/own")).status == 200


async def test_a_window_that_never_opens_does_not_hold_the_app() -> None:
    limits = Limits(body_timeout_seconds=0.2)
    settings = {int(SettingCodes.INITIAL_WINDOW_SIZE): 0}
    async with (
        app_server(by_path) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        http2_client_of(gateway, settings=settings) as client,
    ):
        await client.quiet(0.05)
        answer = await client.answer(client.get())
        assert (answer.status, answer.reset) == (0, ErrorCodes.INTERNAL_ERROR)


async def test_windows_that_open_byte_by_byte_are_no_progress() -> None:
    limits = Limits(body_timeout_seconds=0.3)
    async with (
        app_server(by_path) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        http2_client_of(gateway, takes_data=False) as client,
    ):
        stream = client.get(b"/endless")
        answer = client.answers[stream]
        async with asyncio.timeout(5):
            while answer.reset is None:
                await client.quiet(0.05)
                if answer.reset is None:
                    client.protocol.increment_flow_control_window(1)
                    client.protocol.increment_flow_control_window(1, stream)
                    client.flush()
        assert not answer.ended


async def test_an_app_that_reads_nothing_stops_the_upload_and_no_other_request() -> None:
    async with (
        app_server(by_path) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        stream = client.begin(request_fields(b"/deaf", method=POST), ended=False)
        sent = 0
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1.0) as no_more_window:
                while sent < 100 * MEGABYTE:
                    size = min(16_384, client.protocol.local_flow_control_window(stream))
                    if size:
                        client.send(stream, bytes(size), ended=False)
                        sent += size
                    else:
                        updates = len(client.seen(WindowUpdated))
                        await client.until(lambda seen=updates: len(client.seen(WindowUpdated)) > seen)
                        no_more_window.reschedule(asyncio.get_running_loop().time() + 0.5)
        assert sent < 4 * UNDERWAY_BYTES
        assert client.protocol.outbound_flow_control_window > 0
        assert (await client.fetch()).body == b"ok"


async def test_uploads_that_end_unread_leave_the_window_to_others() -> None:
    """The window is the connection's: kept by streams that are gone, it would close for all that follow."""
    limits = Limits(max_upstream_connections=1, upstream_queue_timeout_seconds=30)
    async with (
        app_server(by_path) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        http2_client_of(gateway) as client,
    ):
        client.get(b"/deaf")
        for _ in range(2 * CONNECTION_WINDOW_BYTES // STREAM_WINDOW_BYTES):
            stream = client.begin(request_fields(b"/in-line", method=POST), ended=False)
            while size := min(16_384, client.protocol.local_flow_control_window(stream)):
                client.send(stream, bytes(size), ended=False)
            await client.quiet(0.02)
            client.protocol.reset_stream(stream)
            client.flush()
            await client.quiet(0.02)
        assert client.protocol.outbound_flow_control_window >= CONNECTION_WINDOW_BYTES // 2


# Requests that are refused.


@pytest.mark.parametrize(
    ("more", "status"),
    [
        ([(b"transfer-encoding", b"chunked")], 400),
        ([(b"x-a", b"b\r\nx-device-trust: trusted")], 400),
        ([(b"content-length", b"5")], 400),
        ([(b"host", b"mail.example.test")], 400),
        ([(b"x-a", b"a" * 66_000)], 431),
    ],
    ids=["transfer-encoding", "two lines", "a length and no body", "another host", "too large"],
)
async def test_a_request_that_cannot_be_read_is_answered_and_the_connection_goes_on(
    more: list[tuple[bytes, bytes]], status: int
) -> None:
    async with app_server(hello_app) as upstream, gateway_before(upstream) as gateway:
        async with http2_client_of(gateway) as client:
            assert (await client.fetch(b"/page", *more)).status == status
            assert (await client.fetch()).body == b"ok"
        assert gateway.forwarder.statuses == [200]


def _too_short(client: Http2Client, stream: int) -> None:
    client.send(stream, b"abc")


def _too_long(client: Http2Client, stream: int) -> None:
    client.send(stream, b"abcdefgh", ended=False)


def _too_short_with_trailers(client: Http2Client, stream: int) -> None:
    client.send(stream, b"abc", ended=False)
    client.protocol.send_headers(stream, [(b"x-checksum", b"1")], end_stream=True)
    client.flush()


def _a_length_in_the_trailers(client: Http2Client, stream: int) -> None:
    client.send(stream, b"abc", ended=False)
    client.protocol.send_headers(stream, [(b"content-length", b"3")], end_stream=True)
    client.flush()


def _a_path_in_the_trailers(client: Http2Client, stream: int) -> None:
    client.send(stream, b"abcdef", ended=False)
    client.protocol.send_headers(stream, [(b":path", b"/admin")], end_stream=True)
    client.flush()


@pytest.mark.parametrize(
    "lie",
    [
        _too_short,
        _too_long,
        _too_short_with_trailers,
        _a_length_in_the_trailers,
        _a_path_in_the_trailers,
    ],
    ids=lambda lie: lie.__name__.strip("_").replace("_", " "),
)
async def test_a_body_that_contradicts_its_head_never_reaches_the_app_whole(lie: object) -> None:
    seen: list[bytes] = []

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        with contextlib.suppress(asyncio.IncompleteReadError):
            seen.append(await reader.readexactly(6))
        seen.append(await reader.read())

    async with app_server(app) as upstream, gateway_before(upstream) as gateway:
        async with http2_client_of(gateway) as client:
            stream = client.begin(request_fields(b"/", (b"content-length", b"6"), method=POST), ended=False)
            await client.quiet(0.05)
            lie(client, stream)  # type: ignore[operator]
            await client.quiet(0.2)
            answer = client.answers[stream]
            assert answer.reset == ErrorCodes.PROTOCOL_ERROR or client.goaway == ErrorCodes.PROTOCOL_ERROR
            assert answer.status == 0
        # What went on went on before the lie was seen, and the connection to the app is cut off behind it.
        await until(lambda: bool(seen))
        assert len(b"".join(seen)) <= 6
        assert gateway.forwarder.statuses == [499]


# Requests that end early.


async def test_a_request_that_the_browser_resets_ends_at_the_app_too() -> None:
    gone = asyncio.Event()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await request_head(reader)
        if head.startswith(b"GET /slow"):
            await reader.read()
            gone.set()
        writer.write(OK)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway:
        async with http2_client_of(gateway) as client:
            slow = client.get(b"/slow")
            await client.fetch()
            client.protocol.reset_stream(slow, ErrorCodes.CANCEL)
            client.flush()
            await asyncio.wait_for(gone.wait(), 5)
            assert (await client.fetch()).body == b"ok"
        assert 499 in gateway.forwarder.statuses


async def test_all_requests_end_with_the_connection() -> None:
    gone = []

    async def app(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        await reader.read()
        gone.append(1)

    async with app_server(app) as upstream, gateway_before(upstream) as gateway:
        async with http2_client_of(gateway) as client:
            for _ in range(3):
                client.get()
            await client.quiet()
        await until(lambda: len(gone) == 3)
        assert gateway.forwarder.statuses == [499] * 3


async def test_cutting_one_request_off_leaves_the_others() -> None:
    async with (
        app_server(by_path) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway, takes_data=False) as client,
    ):
        one, other = client.get(b"/endless"), client.get(b"/deaf")
        await client.until(lambda: client.answers[one].status == 200)
        next(iter(gateway.forwarder.requesters)).channel.abort()
        assert (await client.answer(one)).reset == ErrorCodes.INTERNAL_ERROR
        assert client.answers[other].reset is None
        assert (await client.fetch(b"/own")).status == 200


# The end of the connection.


async def test_an_idle_connection_is_closed_with_a_goaway() -> None:
    limits = Limits(idle_timeout_seconds=0.2)
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        http2_client_of(gateway) as client,
    ):
        assert (await client.fetch()).body == b"ok"
        await client.rest()
        assert client.goaway == ErrorCodes.NO_ERROR


async def test_pings_do_not_keep_an_idle_connection() -> None:
    limits = Limits(idle_timeout_seconds=0.3)
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        http2_client_of(gateway) as client,
    ):
        await client.fetch()
        async with asyncio.timeout(5):
            while not client.closed:
                if client.goaway is None:
                    client.protocol.ping(b"12345678")
                    client.flush()
                await client.quiet(0.05)
        assert client.seen(PingAckReceived)


async def test_a_connection_that_never_begins_is_closed() -> None:
    limits = Limits(request_head_timeout_seconds=0.2)
    async with app_server(hello_app) as upstream, gateway_before(upstream, limits=limits) as gateway:
        context = ssl.create_default_context(cadata=WEB.pem.decode())
        context.set_alpn_protocols(["h2"])
        reader, writer = await asyncio.open_connection(
            gateway.host, gateway.port, ssl=context, server_hostname=HOST
        )
        writer.write(b"PRI * HTTP/2.0\r\n")
        await asyncio.wait_for(reader.read(), 5)
        writer.transport.abort()


async def test_a_body_that_does_not_come_is_answered_408() -> None:
    limits = Limits(body_timeout_seconds=0.2)
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream, limits=limits) as gateway,
        http2_client_of(gateway) as client,
    ):
        stream = client.begin(request_fields(b"/collect", method=POST), ended=False)
        assert (await client.answer(stream)).status == 408
        assert (await client.fetch()).body == b"ok"


async def test_a_draining_connection_finishes_what_runs_and_refuses_what_comes() -> None:
    go_on = asyncio.Event()

    async def app(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request_head(reader)
        await go_on.wait()
        writer.write(OK)

    async with (
        app_server(app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        running = client.get()
        await client.quiet(0.05)
        for channel in list(gateway.connections):
            channel.close_when_idle()
        late = client.get(b"/own")
        # The client's library takes a GOAWAY for the end and is asked no more: what comes is read as bytes.
        received = await _raw_rest(client, go_on)
        assert GoAwayFrame(0, last_stream_id=running).serialize() in received
        assert RstStreamFrame(late, ErrorCodes.REFUSED_STREAM).serialize() in received
        assert DataFrame(running, b"ok", flags=["END_STREAM"]).serialize() in received


async def _raw_rest(client: Http2Client, then: asyncio.Event) -> bytes:
    received = b""
    async with asyncio.timeout(5):
        while piece := await client.reader.read(65_536):
            received += piece
            then.set()
    return received


async def test_who_comes_while_the_worker_drains_is_served_once() -> None:
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        await client.quiet(0.05)
        for speaker in gateway.speakers:
            speaker.end_soon()
        client.get(b"/own?hi")
        await client.rest()
        assert client.answers[1].body == b"hi"
        assert client.goaway == ErrorCodes.NO_ERROR


async def test_an_idle_connection_is_drained_at_once() -> None:
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        await client.fetch()
        for channel in list(gateway.connections):
            channel.close_when_idle()
        await client.rest()
        assert client.goaway == ErrorCodes.NO_ERROR


async def test_a_browser_that_says_goodbye_still_gets_its_answers() -> None:
    async with (
        app_server(hello_app) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        stream = client.get()
        client.raw(GoAwayFrame(0, last_stream_id=0))
        assert (await client.answer(stream)).body == b"ok"
        await client.rest()


# Frames for their own sake, and frames that are wrong.


def _more_than_allowed(frame: bytes) -> list[bytes]:
    return [frame] * int(ALLOWANCE + 1)


FLOODS = {
    "pings": _more_than_allowed(PingFrame(0, b"12345678").serialize()),
    "settings": _more_than_allowed(SettingsFrame(0, {1: 1}).serialize()),
    "window updates": _more_than_allowed(WindowUpdateFrame(0, 1).serialize()),
    "frames nobody knows": _more_than_allowed(b"\0\0\0\xee\0\0\0\0\0"),
    "data without data": _more_than_allowed(DataFrame(1, b"").serialize()),
    "a header block without an end": [
        HeadersFrame(3, b"\x82").serialize(),
        *_more_than_allowed(ContinuationFrame(3, b"").serialize()),
    ],
    "a header block that is too large": [
        HeadersFrame(3, b"\x82").serialize(),
        *[ContinuationFrame(3, b"\x82" * 16_000).serialize()] * 10,
    ],
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS.keys())
async def test_a_flood_is_told_to_calm_down(flood: list[bytes]) -> None:
    async with app_server(by_path) as upstream, gateway_before(upstream) as gateway:
        async with http2_client_of(gateway) as client:
            client.begin(request_fields(b"/deaf", method=POST), ended=False)
            client.raw(b"".join(flood))
            await client.rest()
            # The library counts continuations, too, and calls too many a PROTOCOL_ERROR.
            assert client.goaway in (ErrorCodes.ENHANCE_YOUR_CALM, ErrorCodes.PROTOCOL_ERROR)
        async with http2_client_of(gateway) as client:
            assert (await client.fetch()).body == b"ok"


async def test_requests_that_are_reset_at_once_end_before_they_cost_much() -> None:
    async with app_server(by_path) as upstream, gateway_before(upstream) as gateway:
        async with http2_client_of(gateway) as client:
            for _ in range(1_000):
                stream = client.protocol.get_next_available_stream_id()
                client.protocol.send_headers(stream, request_fields(b"/deaf"), end_stream=True)
                client.protocol.reset_stream(stream, ErrorCodes.CANCEL)
            client.flush()
            await client.rest()
            assert client.goaway == ErrorCodes.ENHANCE_YOUR_CALM
        assert 0 < len(gateway.forwarder.statuses) <= ALLOWANCE


async def test_a_hundred_requests_reset_at_once_are_a_tab_that_was_closed() -> None:
    async with (
        app_server(by_path) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        streams = [client.get(b"/deaf") for _ in range(100)]
        for stream in streams:
            client.protocol.reset_stream(stream, ErrorCodes.CANCEL)
        client.flush()
        assert (await client.fetch()).body == b"ok"


async def test_windows_opened_too_far_reset_their_stream_and_are_counted() -> None:
    """Makes the server reset, where the client may not any more (CVE-2025-8671)."""
    async with (
        app_server(by_path) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        for _ in range(300):
            stream = client.protocol.get_next_available_stream_id()
            client.protocol.send_headers(stream, request_fields(b"/deaf"), end_stream=True)
            client.raw(WindowUpdateFrame(stream, 2**31 - 1))
            client.protocol.streams.pop(stream)
        await client.rest()
        assert client.goaway == ErrorCodes.ENHANCE_YOUR_CALM


@pytest.mark.parametrize(
    ("frames", "code"),
    [
        (b"GET / HTTP/1.1\r\nHost: wiki\r\n\r\n", ErrorCodes.FRAME_SIZE_ERROR),
        (many([DataFrame(5, b"a" * 300)]), ErrorCodes.PROTOCOL_ERROR),
        (many([HeadersFrame(2, b"\x82", flags=["END_HEADERS"])]), ErrorCodes.PROTOCOL_ERROR),
        (many([HeadersFrame(3, b"\xff\xff\xff\xff\xff", flags=["END_HEADERS"])]), None),
        (many([WindowUpdateFrame(0, 2**31 - 1)]), ErrorCodes.FLOW_CONTROL_ERROR),
        (b"\0\0\4\x08\0\0\0\0\0\0\0\0\0", ErrorCodes.PROTOCOL_ERROR),
        (b"\0\0\7\x06\0\0\0\0\0" + bytes(7), None),
        (b"\0\x40\x01\0\0\0\0\0\1", ErrorCodes.FRAME_SIZE_ERROR),
        (many([ContinuationFrame(1, b"")]), ErrorCodes.PROTOCOL_ERROR),
        (many([HeadersFrame(3, b"\x82"), PingFrame(0, b"12345678")]), ErrorCodes.PROTOCOL_ERROR),
        (b"\0\0\4\x05\4\0\0\0\1\0\0\0\2", ErrorCodes.PROTOCOL_ERROR),
    ],
    ids=[
        *("HTTP/1.1", "data on a stream that is none", "a server's stream", "headers that are none"),
        *("a window too large", "a window update of nothing", "a short ping", "a frame too large"),
        *("a continuation of nothing", "a ping within headers", "a push"),
    ],
)
async def test_what_is_not_http_2_ends_the_connection(frames: bytes, code: ErrorCodes | None) -> None:
    async with app_server(hello_app) as upstream, gateway_before(upstream) as gateway:
        async with http2_client_of(gateway) as client:
            await client.fetch()
            client.raw(frames)
            await client.rest()
            assert client.goaway is not None
            assert code in (None, client.goaway)
        async with http2_client_of(gateway) as client:
            assert (await client.fetch()).body == b"ok"


async def test_more_body_than_the_window_allows_ends_the_connection() -> None:
    async with (
        app_server(by_path) as upstream,
        gateway_before(upstream) as gateway,
        http2_client_of(gateway) as client,
    ):
        stream = client.begin(request_fields(b"/deaf", method=POST), ended=False)
        await client.quiet(0.05)
        frame = DataFrame(stream, bytes(16_384)).serialize()
        with contextlib.suppress(ConnectionError):
            # More than the windows, and what is underway to an app that does not read.
            client.raw(frame * (8 * UNDERWAY_BYTES // 16_384))
        await client.rest()
        assert client.goaway in (ErrorCodes.FLOW_CONTROL_ERROR, None)


# Who speaks what.


async def _agreed(gateway: Running, *offered: str) -> str | None:
    context = ssl.create_default_context(cadata=WEB.pem.decode())
    if offered:
        context.set_alpn_protocols(list(offered))
    _, writer = await asyncio.open_connection(gateway.host, gateway.port, ssl=context, server_hostname=HOST)
    agreed: str | None = writer.get_extra_info("ssl_object").selected_alpn_protocol()
    writer.transport.abort()
    return agreed


async def test_http_2_is_for_who_asks_for_it() -> None:
    async with app_server(hello_app) as upstream, gateway_before(upstream) as gateway:
        assert await _agreed(gateway, "http/1.1", "h2") == "h2"
        assert await _agreed(gateway, "http/1.1") == "http/1.1"
        assert await _agreed(gateway, "h3") is None
        assert await _agreed(gateway) is None
        async with client_of(gateway) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: wiki\r\n\r\n")
            assert (await client.response())[1] == b"ok"
