"""What an HTTP connection of the gateway is made with, without a socket, a clock or an app."""

from collections.abc import Callable

from gateway.model.http import Headers, ResponseHead
from gateway.proxy.http1 import HttpRefused, RequestStart
from gateway.server.exchange import Requester


class FakeChannel:
    """Keeps what is written; stays open until it is closed or aborted."""

    server_name = "wiki.apps.example.test"
    peer_host = "127.0.0.1"
    peer_certificate = None
    application_protocol = b"h2"

    def __init__(self) -> None:
        self.is_open = self.is_read = True
        self.deadline: float | None = None
        self.calls: list[Callable[[], None]] = []
        self.written: list[bytes] = []

    def soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def turn(self) -> None:
        """Run what was put off until the others had their turn."""
        calls, self.calls = self.calls, []
        for call in calls:
            call()

    def take(self) -> list[bytes]:
        written, self.written = self.written, []
        return written

    def set_deadline(self, seconds: float | None) -> None:
        self.deadline = seconds

    def extend_deadline(self, seconds: float, *, at_most: float) -> None:
        self.deadline = at_most if self.deadline is None else min(self.deadline + seconds, at_most)

    def write(self, data: bytes) -> None:
        self.written.append(data)

    def write_last(self, data: bytes, *, linger: bool = False) -> None:
        self.written.append(data)
        self.is_open = False

    def close(self, *, linger: bool = False) -> None:
        self.is_open = False

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True

    def abort(self) -> None:
        self.is_open = False


class FakeDeadlines:
    """Time stands still."""

    def __init__(self) -> None:
        self.watched: set[object] = set()
        self.calls: list[Callable[[], None]] = []

    def after(self, seconds: float) -> float:
        return seconds

    def watch(self, watched: object) -> None:
        self.watched.add(watched)

    def soon(self, call: Callable[[], None]) -> None:
        self.calls.append(call)

    def run_calls(self) -> None:
        while self.calls:
            self.calls.pop(0)()

    def forget(self, watched: object) -> None:
        self.watched.discard(watched)


class FakeExchange:
    """Answers with a few pieces, one at each `go_on`."""

    def __init__(self, requester: Requester) -> None:
        self._requester = requester
        self._pieces = [b"a" * 10, b"b" * 40_000, b""]
        self._is_paused = requester.writing_paused
        self._head_sent = False
        self.is_over = False

    def go_on(self) -> None:
        if self.is_over or self._is_paused:
            return
        if not self._head_sent:
            self._head_sent = True
            head = ResponseHead(200, b"OK", ((b"Content-Type", b"text/plain"),))
            self._requester.send_head(head, length_unknown=True, close=False)
        piece = self._pieces.pop(0)
        self._requester.send(piece, last=not self._pieces)
        if not self._pieces and not self.is_over:
            self.is_over = True
            self._requester.finish()

    def body(self, data: bytes) -> None:
        assert not self.is_over
        if len(data) % 2:
            self._requester.pause_reading()
        else:
            self._requester.resume_reading()

    def body_end(self, trailers: Headers = ()) -> None:
        assert not self.is_over

    def cancelled(self) -> None:
        assert not self.is_over
        self.is_over = True

    def pause_writing(self) -> None:
        self._is_paused = True

    def resume_writing(self) -> None:
        assert self._is_paused
        self._is_paused = False


class RecordingHandler:
    """A `Handler` whose exchanges go on when the test says so."""

    def __init__(self) -> None:
        self.exchanges: list[FakeExchange] = []
        self.defects: list[BaseException] = []
        self.refused = 0

    def begin(self, start: RequestStart, connection: Requester) -> None:
        exchange = FakeExchange(connection)
        self.exchanges.append(exchange)
        connection.take_over(exchange)
        connection.body_expected()

    def go_on(self, number: int) -> None:
        if self.exchanges:
            self.exchanges[number % len(self.exchanges)].go_on()

    def refuse(self, refused: HttpRefused, connection: Requester) -> None:
        self.refused += 1
        connection.answer(refused.status, (), refused.detail.encode(), close=True)

    def failed(self, error: BaseException, connection: Requester) -> None:
        self.defects.append(error)
        connection.channel.abort()

    def guard(self, call: Callable[[], None], connection: Requester) -> None:
        try:
            call()
        except Exception as error:  # noqa: BLE001  # as the gateway's boundary does
            self.failed(error, connection)
