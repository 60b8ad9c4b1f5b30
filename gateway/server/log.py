"""JSON lines on standard output: one per event, by a thread of its own, so that a slow reader of the log
never holds up a request.

The queue is bounded: when the reader is slower than the events for long, lines are dropped and the next line
that passes says how many.
"""

import json
import queue
import threading
from collections.abc import Callable
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, Final

from gateway.model.events import Event

MAX_WAITING_LINES: Final = 50_000

_NAMES: Final = {
    "RequestServed": "request",
    "SignOnDecided": "decision",
    "MessageRefused": "message_refused",
    "MessageAccepted": "message_accepted",
    "ChallengeBegun": "challenge_begun",
    "ChallengeAnswered": "challenge_answered",
    "ChallengeAbandoned": "challenge_abandoned",
    "TicketRefused": "ticket_refused",
}


class LogWriter:
    """``write`` takes bytes and may block; it is called from one thread only."""

    def __init__(self, write: Callable[[bytes], object], limit: int = MAX_WAITING_LINES) -> None:
        self._write = write
        self._queue: queue.Queue[dict[str, Any] | None] = queue.Queue(limit)
        self._dropped = 0
        self._thread = threading.Thread(target=self._run, name="log writer", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, timeout_seconds: float) -> None:
        """Write what waits, for at most this long."""
        try:
            self._queue.put(None, timeout=timeout_seconds)
        except queue.Full:
            return
        self._thread.join(timeout_seconds)

    def event(self, event: Event) -> None:
        line = {"event": _NAMES[type(event).__name__]}
        line.update((field.name, getattr(event, field.name)) for field in fields(event))
        self._put(line)

    def note(self, name: str, **values: object) -> None:
        """A line that is no event of a sign-on: start, reload, a CRL that failed."""
        self._put({"event": name, "at": datetime.now(UTC), **values})

    def _put(self, line: dict[str, Any]) -> None:
        try:
            self._queue.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def _run(self) -> None:
        while True:
            line = self._queue.get()
            if line is None:
                return
            lines = [line]
            ended = False
            while len(lines) < 500:
                try:
                    following = self._queue.get_nowait()
                except queue.Empty:
                    break
                if following is None:
                    ended = True
                    break
                lines.append(following)
            if self._dropped:
                lines.append({"event": "log_lines_dropped", "at": datetime.now(UTC), "count": self._dropped})
                self._dropped = 0
            try:
                self._write(b"".join(encode_line(entry) for entry in lines))
            except OSError:
                # The reader of standard output is gone. Sign-ons go on; metrics still count them.
                self._dropped += len(lines)
            if ended:
                return


def encode_line(line: dict[str, Any]) -> bytes:
    """One line; whatever a peer sent is inside a JSON string, so it can end no line."""
    return json.dumps(line, separators=(",", ":"), default=_plain).encode() + b"\n"


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"
    return str(value)
