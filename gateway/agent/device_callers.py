"""Who is at the socket of the device part: connections whose line has not come yet, and lines to answer.

Anybody of this computer may connect, also to be in the way. So nobody is waited for: all connections are
listened to at once, each for some seconds; of one person few are kept; and of the lines that have come, the
next is that of the person who was answered longest ago.
"""

import contextlib
import selectors
import socket
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

MAX_LINE_BYTES: Final = 4_096
LINE_SECONDS: Final = 2.0
# The oldest make room for the newest. A run has one at a time.
MAX_OF_ONE_PERSON: Final = 8
MAX_CALLERS: Final = 256
# What has come is taken in before one of it is chosen; who comes without end is not waited for.
_ROUNDS: Final = 4
_UNKNOWN: Final = -1
_CREDENTIALS: Final = struct.Struct("3i")


@dataclass(slots=True, eq=False)
class Caller:
    """A connection. ``person`` is the user id at its other end; ``line`` what has come of it, without its
    end once it is whole."""

    connection: socket.socket
    person: int
    until: float
    line: bytearray = field(default_factory=bytearray)
    is_whole: bool = False


class Callers:
    """``log`` takes a sentence for each one that goes unanswered."""

    def __init__(
        self, listener: socket.socket, log: Callable[[str], None], monotonic: Callable[[], float]
    ) -> None:
        self._listener = listener
        self._log = log
        self._monotonic = monotonic
        self._selector = selectors.DefaultSelector()
        self._callers: list[Caller] = []  # the oldest first
        self._answered: dict[int, float] = {}
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)

    def close(self) -> None:
        for caller in list(self._callers):
            self._let_go(caller)
        self._selector.close()

    def following(self, idle_seconds: float | None) -> Caller | None:
        """Whose line is to be answered next; None where nobody has come for ``idle_seconds``."""
        idle_until = None if idle_seconds is None else self._monotonic() + idle_seconds
        timeout: float | None = 0.0  # first whatever has come while the last one was answered
        while True:
            for _ in range(_ROUNDS):
                if not self._listen(timeout):
                    break
                timeout = 0.0
            self._give_up_the_slow()
            whole = [caller for caller in self._callers if caller.is_whole]
            if whole:
                return min(whole, key=lambda caller: self._answered.get(caller.person, float("-inf")))
            now = self._monotonic()
            ends = [caller.until for caller in self._callers]
            if not ends and idle_until is not None:
                if now >= idle_until:
                    return None
                ends = [idle_until]
            timeout = max(0.0, min(ends) - now) if ends else None

    @contextmanager
    def answering(self, caller: Caller) -> Iterator[socket.socket]:
        """Its connection, which does not block; closed afterwards."""
        try:
            yield caller.connection
        finally:
            if len(self._answered) >= MAX_CALLERS:
                self._answered.clear()
            self._answered[caller.person] = self._monotonic()
            self._let_go(caller)

    def _listen(self, timeout: float | None) -> bool:
        """Whether anything came."""
        events = self._selector.select(timeout)
        for key, _ in events:
            if key.fileobj is self._listener:
                self._accept_all()
            elif key.data in self._callers:
                self._read(key.data)
        return bool(events)

    def _accept_all(self) -> None:
        for _ in range(MAX_CALLERS):
            try:
                connection, _ = self._listener.accept()
            except ConnectionAbortedError:
                continue
            except BlockingIOError:
                return
            self._begin(connection)

    def _begin(self, connection: socket.socket) -> None:
        connection.setblocking(False)
        caller = Caller(connection, _person_of(connection), self._monotonic() + LINE_SECONDS)
        same = [each for each in self._callers if each.person == caller.person != _UNKNOWN]
        if len(same) >= MAX_OF_ONE_PERSON:
            self._drop(same[0], f"has more than {MAX_OF_ONE_PERSON} connections")
        elif len(self._callers) >= MAX_CALLERS:
            self._drop(self._callers[0], "more persons came than can be listened to")
        self._callers.append(caller)
        self._selector.register(connection, selectors.EVENT_READ, caller)

    def _read(self, caller: Caller) -> None:
        try:
            part = caller.connection.recv(MAX_LINE_BYTES)
        except BlockingIOError:
            return
        except OSError as error:
            self._drop(caller, f"no request came: {error}")
            return
        caller.line += part
        if not part:
            self._drop(caller, "no request came: the line is cut off")
        elif len(caller.line) > 2 * MAX_LINE_BYTES:
            self._drop(caller, "no request came: the line is too long")
        elif caller.line.endswith(b"\n"):
            del caller.line[-1:]
            caller.is_whole = True
            self._selector.unregister(caller.connection)

    def _give_up_the_slow(self) -> None:
        now = self._monotonic()
        for caller in list(self._callers):
            if not caller.is_whole and now >= caller.until:
                self._drop(caller, "no request came: the line did not come in time")

    def _drop(self, caller: Caller, why: str) -> None:
        self._log(f"user {caller.person}: {why}")
        self._let_go(caller)

    def _let_go(self, caller: Caller) -> None:
        self._callers.remove(caller)
        with contextlib.suppress(KeyError):  # its line is whole
            self._selector.unregister(caller.connection)
        caller.connection.close()


def _person_of(connection: socket.socket) -> int:
    """The user id at the other end, as the kernel says (SO_PEERCRED); -1 where it does not."""
    if not hasattr(socket, "SO_PEERCRED") or connection.family != socket.AF_UNIX:
        return _UNKNOWN
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, person, _ = _CREDENTIALS.unpack(told)
    return int(person)
