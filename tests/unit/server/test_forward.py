"""A request on its way to an app that takes no more than it likes, without sockets."""

import asyncio
import gc
from typing import Any

import pytest

from gateway.model.http import Headers, RequestHead, ResponseHead
from gateway.proxy.http1 import RequestStart, ResponseParser
from gateway.server.forward import Errand, ForwardExchange

POST = RequestStart(RequestHead(b"POST", b"/form", "1.1", ()), True, 3_000_000, False, False)


class _Browser:
    """The side of an exchange that it tells to go on, or to stop."""

    writing_paused = False

    def __init__(self) -> None:
        self.is_read = True
        self.heads: list[ResponseHead] = []

    def take_over(self, exchange: ForwardExchange) -> None: ...

    def body_expected(self) -> None: ...

    def interim(self, head: ResponseHead) -> None:
        self.heads.append(head)

    def send_head(self, head: ResponseHead, *, length_unknown: bool, close: bool) -> None:
        self.heads.append(head)

    def send(self, data: bytes, *, last: bool, trailers: Headers) -> None: ...

    def finish(self) -> None: ...

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

    def release(self) -> None: ...

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


class _Form(bytes):
    """A body that tells when nobody has it any more."""

    gone = 0

    def __del__(self) -> None:
        _Form.gone += 1


@pytest.mark.parametrize("part", ["body", "body_begun"])
async def test_a_form_is_not_held_while_the_app_thinks_about_it(part: str) -> None:
    browser: Any = _Browser()
    unused: Any = None
    pool: Any = _Pool(_App(4_000_000))
    fields: dict[str, Any] = {part: _Form(1_000)}
    errand = Errand(b"POST", b"/form", (), **fields)
    fields.clear()
    gone = _Form.gone
    exchange = ForwardExchange(browser, POST, pool, errand, None, unused, unused, unused)
    del errand
    exchange.run()
    for _ in range(5):
        await asyncio.sleep(0)
    gc.collect()
    assert _Form.gone == gone + 1


@pytest.mark.parametrize(
    ("response", "lengths"),
    [
        (b"103 Early Hints\r\nContent-Length: 5\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", [0, 1]),
        (b"204 No Content\r\ncontent-length: 5\r\n\r\n", [0]),
        (b"304 Not Modified\r\nContent-Length: 5\r\n\r\n", [1]),
    ],
)
async def test_no_length_is_named_where_there_may_be_none(response: bytes, lengths: list[int]) -> None:
    browser: Any = _Browser()
    pool: Any = _Pool(_App(4_000_000))
    get = RequestStart(RequestHead(b"GET", b"/", "1.1", ()), True, None, False, False)
    exchange = ForwardExchange(
        browser, get, pool, Errand(b"GET", b"/", ()), None, lambda *_: None, lambda _: None, lambda *_: None
    )
    exchange.run()
    for _ in range(5):
        await asyncio.sleep(0)
    exchange.upstream_events(ResponseParser(False, 65_536).feed(b"HTTP/1.1 " + response))
    assert [sum(name.lower() == b"content-length" for name, _ in head.headers) for head in browser.heads] == (
        lengths
    )
