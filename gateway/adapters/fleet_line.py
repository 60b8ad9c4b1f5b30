"""The line of one worker to the PostgreSQL of the fleet: one connection, and desks that take turns on it.

Nobody who asks a desk is ever kept waiting by a store that is gone. The line has two states:

    up      desks are asked, and do all that came in meanwhile in one statement. Who has waited for longer
            than the deadline hangs up: the connection is given up, and the line is down.
    down    desks are not asked at all. The line is tried again in the background; when it stands, each desk
            first does what was left over (`Desk.restore`), and then the line is up.

A connection that breaks while the line is up is replaced once, at once, before anybody is told: a server
that was started anew costs no answer. What was asked on the broken one is asked again, so desks ask such that
twice is the same as once.
"""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, Never, Protocol, TypeVar

import psycopg
from psycopg import waiting
from psycopg.abc import PQGen
from typing_extensions import override

from gateway.adapters.postgresql import SESSION_SETTINGS, connection_parameters

_FIRST_PAUSE_SECONDS: Final = 0.1
_LONGEST_PAUSE_SECONDS: Final = 2.0
_CONNECT_SECONDS: Final = 5.0
# What is left over may be much, after an outage of an hour.
_RESTORE_SECONDS: Final = 60.0
# So that a connection that died in its sleep is replaced before anybody needs it.
_SILENCE_SECONDS: Final = 3.0

_R = TypeVar("_R")


class Connection(psycopg.AsyncConnection[Any]):
    """Is given up at once when who waits for it is cancelled: it may be one to a server that is gone."""

    @override
    async def wait(
        self, gen: PQGen[_R], interval: float = _SILENCE_SECONDS, timeout: float | None = None
    ) -> _R:
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval=interval, timeout=timeout)
        except asyncio.CancelledError:
            self.pgconn.finish()
            raise


class Desk(Protocol):
    """Questions of one kind."""

    @property
    def is_asked(self) -> bool:
        """Something is waiting to be done."""
        ...

    async def perform(self, connection: Connection) -> None:
        """Do what is waiting, or a part of it. Whatever was not done when it raises is done again."""
        ...

    async def restore(self, connection: Connection) -> None:
        """Do what is left over from the time without a store."""
        ...

    def hang_up(self) -> None:
        """There is no store: whoever waits is told so."""
        ...


class FleetLine:
    """Made on the running loop. ``changed`` is told each time that the line goes up or down, and why."""

    def __init__(self, conninfo: str, deadline_seconds: float, changed: Callable[[bool, str], None]) -> None:
        self.deadline_seconds = deadline_seconds
        self._conninfo = conninfo
        self._changed = changed
        self._desks: Sequence[Desk] = ()
        self._is_up = False
        self._has_served = False
        self._told: bool | None = None
        self._called = asyncio.Event()
        self._tried = asyncio.Event()
        self._serving: asyncio.Task[None] | None = None

    @property
    def is_up(self) -> bool:
        return self._is_up

    def open_desks(self, desks: Sequence[Desk]) -> None:
        """The first ones have precedence."""
        self._desks = desks

    def call(self) -> None:
        """A desk was asked something."""
        self._called.set()

    def give_up(self, detail: str) -> None:
        """Whoever asked has waited for too long."""
        self._down(detail)
        if self._serving is not None:
            self._serving.cancel()

    async def first_attempt(self) -> None:
        """Until the line was up once, or could not be had at once. Takes no longer than the deadline."""
        with suppress(TimeoutError):
            async with asyncio.timeout(self.deadline_seconds):
                await self._tried.wait()

    async def run(self) -> Never:
        """Keep the line, until cancelled."""
        pause = _FIRST_PAUSE_SECONDS
        try:
            while True:
                self._has_served = False
                detail = await self._until_it_breaks()
                if self._is_up and self._has_served:
                    continue  # once more, before anybody is told
                self._down(detail)
                pause = _FIRST_PAUSE_SECONDS if self._has_served else min(pause * 2, _LONGEST_PAUSE_SECONDS)
                await asyncio.sleep(pause)
        finally:  # nobody need be told that a worker ends
            self._hang_up()

    async def _until_it_breaks(self) -> str:
        """One connection, as long as it stands; why it does not any more."""
        try:
            async with asyncio.timeout(self.deadline_seconds if self._is_up else _CONNECT_SECONDS):
                connection = await self._connect()
            try:
                async with asyncio.timeout(_RESTORE_SECONDS):
                    for desk in self._desks:
                        await desk.restore(connection)
                self._up()
                return await self._served(connection)
            finally:
                connection.pgconn.finish()
        except psycopg.Error as error:
            return str(error).strip().partition("\n")[0][:300] or type(error).__name__
        except TimeoutError:
            return "the store does not answer"

    async def _served(self, connection: Connection) -> str:
        self._serving = asyncio.create_task(self._serve(connection), name="fleet line")
        try:
            await asyncio.wait((self._serving,))
        finally:
            self._serving.cancel()
            (ended,) = await asyncio.gather(self._serving, return_exceptions=True)
            self._serving = None
        if isinstance(ended, asyncio.CancelledError):
            return "the store does not answer in time"
        raise ended

    async def _connect(self) -> Connection:
        parameters: dict[str, Any] = dict(connection_parameters(self._conninfo, _CONNECT_SECONDS))
        connection = await Connection.connect(self._conninfo, autocommit=True, **parameters)
        try:
            # Longer than anybody waits, so that nothing is done for those who are gone.
            await connection.execute(
                f"SELECT set_config('statement_timeout', %s, false), {SESSION_SETTINGS}".encode(),
                (str(round(self.deadline_seconds * 2_000)),),
            )
        except BaseException:
            connection.pgconn.finish()
            raise
        return connection

    async def _serve(self, connection: Connection) -> Never:
        while True:
            try:
                async with asyncio.timeout(_SILENCE_SECONDS):
                    await self._called.wait()
            except TimeoutError:
                async with asyncio.timeout(self.deadline_seconds):
                    await connection.execute("SELECT 1")
            self._called.clear()
            while asked := [desk for desk in self._desks if desk.is_asked]:
                await asked[0].perform(connection)
            self._has_served = True

    def _up(self) -> None:
        self._is_up = True
        self._tell(True, "")
        self._called.set()

    def _down(self, detail: str) -> None:
        self._hang_up()
        self._tell(False, detail)

    def _hang_up(self) -> None:
        self._is_up = False
        for desk in self._desks:
            desk.hang_up()

    def _tell(self, is_up: bool, detail: str) -> None:
        self._tried.set()
        if self._told is not is_up:
            self._told = is_up
            self._changed(is_up, detail)
