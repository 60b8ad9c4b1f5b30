"""A request on its way to an app that takes no more than it likes, without sockets."""

import asyncio
from typing import Any

import pytest

from gateway.model.http import RequestHead
from gateway.proxy.http1 import RequestStart
from gateway.server.forward import Errand, ForwardExchange

POST = RequestStart(RequestHead(b"POST", b"/form", "1.1", ()), True, 3_000_000, False, False)


class _Browser:
    """The side of an exchange that it tells to go on, or to stop."""

    writing_paused = False

    def __init__(self) -> None:
        self.is_read = True

    def take_over(self, exchange: ForwardExchange) -> None: ...

    def body_expected(self) -> None: ...

    def pause_reading(self) -> None:
        self.is_read = False

    def resume_reading(self) -> None:
        self.is_read = True


class _App:
    """A connection whose buffer is full behind so many bytes."""

    def __init__(self, room: int) -> None:
        self._room = room
        self._reader: Any = None

    def begin(self, reader: ForwardExchange, *, head_only: bool, request_complete: bool) -> None:
        self._reader = reader

    def write(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            self._reader.upstream_pause_writing()


class _Pool:
    def __init__(self, app: _App) -> None:
        self._app = app

    def take_idle(self, safe_to_repeat: bool) -> None:
        return None

    async def connect(self) -> _App:
        await asyncio.sleep(0)
        return self._app


@pytest.mark.parametrize(("room", "is_read"), [(65_536, False), (4_000_000, True)])
async def test_what_waited_for_the_connection_may_fill_it_at_once(room: int, is_read: bool) -> None:
    """A form that was too large to be held is a megabyte already when the app's connection is there."""
    browser: Any = _Browser()
    unused: Any = None
    pool: Any = _Pool(_App(room))
    errand = Errand(b"POST", b"/form", (), body_begun=bytes(1_048_576))
    ForwardExchange(browser, POST, pool, errand, None, unused, unused, unused).run()
    assert not browser.is_read
    for _ in range(5):
        await asyncio.sleep(0)
    assert browser.is_read is is_read
