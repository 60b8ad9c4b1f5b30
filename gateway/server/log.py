"""JSON lines on standard output, one per event, by a thread of their own.

A request only appends its event to a list; the thread looks at the list ten times a second, and makes and
writes the lines. Waking it for each line would cost a request more than the line does. So a reader of the log
is up to a tenth of a second behind, and a crash of the process loses as much.

The list is bounded: when the reader is slower than the events for long, lines are dropped and the next line
that passes says how many.
"""

import json
import threading
from collections import deque
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Final

from gateway.model.events import (
    ChallengeAbandoned,
    ChallengeAnswered,
    ChallengeBegun,
    Event,
    MessageAccepted,
    MessageRefused,
    RequestServed,
    SignOnDecided,
    TicketRefused,
)

MAX_WAITING_LINES: Final = 50_000
WRITE_SECONDS: Final = 0.1

_NAMES: Final[dict[type[Any], str]] = {
    RequestServed: "request",
    SignOnDecided: "decision",
    MessageRefused: "message_refused",
    MessageAccepted: "message_accepted",
    ChallengeBegun: "challenge_begun",
    ChallengeAnswered: "challenge_answered",
    ChallengeAbandoned: "challenge_abandoned",
    TicketRefused: "ticket_refused",
}
_FIELDS: Final[dict[type[Any], tuple[str, ...]]] = {
    kind: getattr(kind, "_fields", None) or tuple(kind.__dataclass_fields__) for kind in _NAMES
}

Line = dict[str, Any]


class LogWriter:
    """``write`` takes bytes and may block; it is called from one thread only."""

    def __init__(self, write: Callable[[bytes], object], limit: int = MAX_WAITING_LINES) -> None:
        self._write = write
        self._limit = limit
        self._waiting: deque[Event | Line] = deque()
        self._dropped = 0
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Write what waits, for at most this long."""
        self._ends.set()
        self._thread.join(timeout_seconds)

    def event(self, event: Event) -> None:
        self._append(event)

    def note(self, name: str, **values: object) -> None:
        """A line that is no event of a sign-on: start, reload, a CRL that failed."""
        self._append({"event": name, "at": datetime.now(UTC), **values})

    def _append(self, entry: Event | Line) -> None:
        if len(self._waiting) < self._limit:
            self._waiting.append(entry)  # atomic, and needs no lock
        else:
            self._dropped += 1

    def _run(self) -> None:
        while not self._ends.wait(WRITE_SECONDS):
            self._write_waiting()
        self._write_waiting()

    def _write_waiting(self) -> None:
        lines: list[bytes] = []
        while self._waiting:
            entry = self._waiting.popleft()
            if isinstance(entry, RequestServed):
                lines.append(encode_request(entry))
            else:
                lines.append(encode_line(entry if isinstance(entry, dict) else _line_of(entry)))
        if self._dropped:
            note = {"event": "log_lines_dropped", "at": datetime.now(UTC), "count": self._dropped}
            lines.append(encode_line(note))
            self._dropped = 0
        if not lines:
            return
        try:
            self._write(b"".join(lines))
        except OSError:
            # The reader of standard output is gone. Sign-ons go on; metrics still count them.
            self._dropped += len(lines)


def _line_of(event: Event) -> Line:
    kind = type(event)
    line: Line = {"event": _NAMES[kind]}
    line.update((name, getattr(event, name)) for name in _FIELDS[kind])
    return line


def encode_line(line: Line) -> bytes:
    """One line; whatever a peer sent is inside a JSON string, so it can end no line."""
    return _ENCODER.encode(line).encode() + b"\n"


def encode_request(served: RequestServed) -> bytes:
    """What `encode_line` would write, in a third of the time: there is a line like this for every request."""
    error = served.upstream_error
    line = _REQUEST_LINE % (
        _time(served.at),
        _quoted(served.reference_id),
        _quoted(served.role),
        _quoted(served.app),
        _quoted(served.host),
        _quoted(served.method),
        _quoted(served.path),
        served.status,
        served.seconds,
        _quoted(served.ip),
        "null" if error is None else _quoted(error),
    )
    return line.encode()


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds")[:-6] + "Z"


def _plain(value: object) -> object:
    return _time(value) if isinstance(value, datetime) else str(value)


_quoted: Final = json.encoder.encode_basestring_ascii
_REQUEST_LINE: Final = (
    '{"event":"request","at":"%s",'
    + ",".join(
        f'"{name}":{"%d" if name == "status" else "%r" if name == "seconds" else "%s"}'
        for name in RequestServed._fields[1:]
    )
    + "}\n"
)


_ENCODER: Final = json.JSONEncoder(separators=(",", ":"), default=_plain)
