"""Connections that rest on a device: with `enforcement: session`, those that carried a running session.

A request is checked when it comes. One that lasts, a download or a WebSocket, is remembered here, so that
it ends when its device loses trust or its session ends, and not when it pleases. A kept-alive connection
between two requests is closed, too, when its device loses trust.

    close_untrusted   looks at all of them, after a change that may concern any: a CRL, a configuration, time
    close_touched     looks at those that a change of the org speaks of, first of all
"""

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass, field
from datetime import datetime
from time import perf_counter
from typing import Final, NamedTuple, TypeVar

from gateway.model.device import CertificateId, TrustVerdict, VerifiedDevice
from gateway.model.org_state import OrgChange
from gateway.pki.authority import TrustSnapshot
from gateway.pki.trust import bind_user, recheck
from gateway.server.exchange import Connection, Line, Rested

T = TypeVar("T")

# Looking at a device takes 5 microseconds, closing a connection 30. Between two steps the loop serves others.
STEP_SECONDS: Final = 0.002


class _Running(NamedTuple):
    rested: Rested
    session_ends: datetime | None


@dataclass(frozen=True, slots=True)
class Touched:
    """Whom changes may have cost their trust. Looking whether a connection is among them takes a fraction of
    a microsecond, so that one revocation among thousands of connections judges none of the others anew."""

    serial_numbers: frozenset[int]
    devices: frozenset[str]
    users: frozenset[str]  # in folded case

    @classmethod
    def by(cls, changes: Iterable[OrgChange]) -> "Touched":
        """What is released or active again closes nothing."""
        certificates: set[CertificateId] = set()
        devices: set[str] = set()
        users: set[str] = set()
        for change in changes:
            if change.certificate is not None and change.revoked:
                certificates.add(change.certificate)
            if change.device is not None and not change.device[1]:
                devices.add(change.device[0])
            if change.user is not None and not change.user[1]:
                users.add(change.user[0].casefold())
        numbers = frozenset(certificate.serial_number for certificate in certificates)
        return cls(numbers, frozenset(devices), frozenset(users))

    def __bool__(self) -> bool:
        return bool(self.serial_numbers or self.devices or self.users)

    def may_concern(self, rested: Rested) -> bool:
        """Issuers are not compared here: that is left to who judges."""
        verdict = rested.verdict
        if not isinstance(verdict, VerifiedDevice):
            return False
        if verdict.device in self.devices or rested.user in self.users:
            return True
        # `any` with a generator takes thrice as long.
        for certificate in verdict.certification_path:
            if certificate.serial_number in self.serial_numbers:
                return True
        return False


@dataclass(slots=True)
class _Look:
    """One look at all connections, or at those that were touched."""

    trust: TrustSnapshot
    now: datetime
    began: float
    touched: Touched | None
    lines_left: list[Line]
    idle_left: list[Connection]
    judged: dict[tuple[str, str], bool] = field(default_factory=dict)  # a device is judged once
    lost: int = 0
    waiting: "list[asyncio.Future[None]]" = field(default_factory=list)


class TrustedConnections:
    """``connections`` are all that are open. ``lost`` is told, at the end of a look that cut off some, how
    many requests and idle connections that was for lost trust, and how many seconds after its begin."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        connections: Set[Connection],
        lost: Callable[[int, float], None],
    ) -> None:
        self._loop = loop
        self._connections = connections
        self._lost = lost
        self._running: dict[Line, _Running] = {}
        self._looks: deque[_Look] = deque()  # those at what was touched come before the one at all
        self._next_step: asyncio.Handle | None = None

    def rests_on(self, line: Line, verdict: TrustVerdict, user: str, session_ends: datetime | None) -> None:
        """A request of a user's session runs. ``verdict`` need not be a device: where the policy asks for
        none, the session ends all the same."""
        self._running[line] = _Running(Rested(verdict, user.casefold()), session_ends)
        line.connection.rested_on = None

    def served(self, line: Line) -> None:
        """The request that ran is answered."""
        running = self._running.pop(line, None)
        if running is not None:
            line.connection.rested_on = running.rested

    def close_untrusted(self, trust: TrustSnapshot, now: datetime) -> "asyncio.Future[None]":
        """Cut off every request whose session has ended or whose device is no longer trusted, and close the
        idle connections of such devices. Begins at once, and goes on in steps of `STEP_SECONDS`; the result
        is there when it is done.

        While a look goes on, a new one takes over what it had not come to, first of all.
        """
        former = self._looks.pop() if self._looks and self._looks[-1].touched is None else None
        idle = [each for each in self._connections if each.rested_on is not None]
        look = _Look(
            trust,
            now,
            perf_counter(),
            None,
            _last(self._running, [] if former is None else former.lines_left),
            _last(idle, [] if former is None else former.idle_left),
        )
        if former is not None:
            look.lost, look.waiting = former.lost, former.waiting
        self._looks.append(look)
        return self._go_on(look)

    def close_touched(self, touched: Touched, trust: TrustSnapshot, now: datetime) -> "asyncio.Future[None]":
        """The same for those only whom ``touched`` may concern, before any look at all."""
        look = _Look(trust, now, perf_counter(), touched, [], [])
        if touched:
            look.lines_left = list(self._running)
            look.idle_left = [each for each in self._connections if each.rested_on is not None]
        if self._looks and self._looks[-1].touched is None:
            self._looks.insert(len(self._looks) - 1, look)
        else:
            self._looks.append(look)
        return self._go_on(look)

    def _go_on(self, look: _Look) -> "asyncio.Future[None]":
        done: asyncio.Future[None] = self._loop.create_future()
        look.waiting.append(done)
        if self._next_step is None:
            self._step()
        return done

    def _step(self) -> None:
        self._next_step = None
        ends = perf_counter() + STEP_SECONDS
        while self._looks:
            look = self._looks[0]
            while look.lines_left or look.idle_left:
                if perf_counter() >= ends:
                    self._next_step = self._loop.call_soon(self._step)
                    return
                if look.lines_left:
                    self._look_at_running(look.lines_left.pop(), look)
                else:
                    self._look_at_idle(look.idle_left.pop(), look)
            self._looks.popleft()
            if look.lost:
                self._lost(look.lost, perf_counter() - look.began)
            for done in look.waiting:
                if not done.done():
                    done.set_result(None)

    def _look_at_running(self, line: Line, look: _Look) -> None:
        running = self._running.get(line)
        if running is None:
            return
        rested, session_ends = running
        if look.touched is not None and not look.touched.may_concern(rested):
            return
        trusted = _is_trusted(rested, look)
        if not trusted or (session_ends is not None and session_ends <= look.now):
            del self._running[line]
            look.lost += not trusted
            line.abort()

    def _look_at_idle(self, connection: Connection, look: _Look) -> None:
        rested = connection.rested_on
        if rested is None or not connection.is_open:
            return
        if look.touched is not None and not look.touched.may_concern(rested):
            return
        if not _is_trusted(rested, look):
            connection.rested_on = None
            look.lost += 1
            connection.close_when_idle()


def _last(all_of_them: Iterable[T], left: list[T]) -> list[T]:
    """Each once, what was left at the end, which is taken first."""
    known = set(left)
    return [each for each in all_of_them if each not in known] + left


def _is_trusted(rested: Rested, look: _Look) -> bool:
    verdict, user = rested
    if not isinstance(verdict, VerifiedDevice):
        return True
    known = look.judged.get((verdict.certificate_thumbprint, user))
    if known is None:
        now = recheck(verdict, look.trust, look.now)
        known = isinstance(now, VerifiedDevice) and isinstance(
            bind_user(now, user, look.trust.own), VerifiedDevice
        )
        look.judged[verdict.certificate_thumbprint, user] = known
    return known
