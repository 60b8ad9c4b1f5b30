"""The log: one JSON object a line, whatever is in it, and never in the way of a request."""

import json
import threading
from datetime import UTC, datetime

import pytest

from gateway.model.events import RequestServed
from gateway.server.log import LogWriter, encode_line, encode_request

NOW = datetime(2026, 11, 23, 12, 0, 0, 123_456, tzinfo=UTC)


def served(path: str = "/", status: int = 200) -> RequestServed:
    return RequestServed(
        NOW, "ref1", "app", "wiki", "wiki.example.test", "GET", path, status, 0.001, "192.0.2.1"
    )


def written(*events: RequestServed, limit: int = 100) -> list[dict[str, object]]:
    pieces: list[bytes] = []
    log = LogWriter(pieces.append, limit)
    for event in events:
        log.event(event)
    log.start()
    log.stop(5)
    return [json.loads(line) for line in b"".join(pieces).splitlines()]


def test_an_event_is_a_line_with_its_name_and_time_first() -> None:
    (line,) = written(served())
    assert list(line)[:3] == ["event", "at", "reference_id"]
    assert (line["event"], line["at"], line["status"]) == ("request", "2026-11-23T12:00:00.123Z", 200)


def test_what_a_peer_sends_ends_no_line() -> None:
    hostile = '/a\n{"event":"decision","access":"allow"}\r\u2028\x00'
    (line,) = written(served(hostile))
    assert line["path"] == hostile
    assert encode_line({"x": "\n\r\x00"}).count(b"\n") == 1


@pytest.mark.parametrize("path", ["/", '/a"b\\', "/\n\u2028\x00é"])
@pytest.mark.parametrize("error", [None, 'a "kind"'])
def test_a_request_is_written_as_any_other_line_would_be(path: str, error: str | None) -> None:
    event = served(path)._replace(upstream_error=error, seconds=1e-06)
    plain = {"event": "request", **event._asdict()}
    assert encode_request(event) == encode_line(plain)


def test_a_note_has_its_own_values() -> None:
    pieces: list[bytes] = []
    log = LogWriter(pieces.append)
    log.note("reload_refused", detail="apps[0].polcy: is not a known key")
    log.start()
    log.stop(5)
    (line,) = (json.loads(piece) for piece in pieces)
    assert (line["event"], line["detail"]) == ("reload_refused", "apps[0].polcy: is not a known key")


def test_what_does_not_fit_is_counted_and_said() -> None:
    lines = written(*(served(status=n) for n in range(7)), limit=5)
    assert [line.get("status") for line in lines[:5]] == [0, 1, 2, 3, 4]
    assert (lines[5]["event"], lines[5]["count"]) == ("log_lines_dropped", 2)


def test_a_reader_that_blocks_holds_nobody_up() -> None:
    blocked, release = threading.Event(), threading.Event()

    def write(_: bytes) -> None:
        blocked.set()
        release.wait(5)

    log = LogWriter(write)
    log.event(served())
    log.start()
    assert blocked.wait(5)
    log.event(served())  # would not return, if it waited
    release.set()
    log.stop(5)


def test_when_the_reader_is_gone_the_lines_are_counted_and_the_writer_lives() -> None:
    written_later: list[bytes] = []
    fails = [True]

    def write(lines: bytes) -> None:
        if fails[0]:
            fails[0] = False
            raise BrokenPipeError
        written_later.append(lines)

    log = LogWriter(write)
    log.event(served())
    log.start()
    deadline = threading.Event()
    while fails[0]:
        assert not deadline.wait(0.01)
    log.event(served(status=201))
    log.stop(5)
    lines = [json.loads(line) for line in b"".join(written_later).splitlines()]
    assert [line["event"] for line in lines] == ["request", "log_lines_dropped"]
