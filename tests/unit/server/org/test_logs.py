"""The System Log over the API, as pollers and people read it."""

import asyncio
import re
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import aiohttp
import pytest
from support.log_events import log_event
from support.org_in_process import NOW, StandingClock, running_app
from support.org_world import issue_token
from yarl import URL

from gateway.adapters.store import Store
from gateway.model.log_event import Severity
from gateway.model.org import TokenScope
from gateway.server.org.logs import ROUTES, SCHEMAS
from gateway.server.org.store_threads import StoreThreads

BEGIN = NOW - timedelta(hours=1)


class Reader:
    def __init__(self, client: aiohttp.ClientSession, token: str) -> None:
        self._client = client
        self._token = token

    async def get(self, path: str) -> tuple[int, Any, list[str]]:
        """(status, JSON, the Link fields)."""
        headers = {"Authorization": f"SSWS {self._token}"}
        async with self._client.get(URL(path, encoded=True), headers=headers) as response:
            return response.status, await response.json(), response.headers.getall("Link", [])

    async def page(self, path: str) -> tuple[list[dict[str, Any]], str | None]:
        """(events, path of the next page)."""
        status, events, links = await self.get(path)
        assert status == 200, events
        following = [link for link in links if link.endswith('; rel="next"')]
        if not following:
            return events, None
        match = re.fullmatch(r'<https://sso\.example\.test(/api/v1/logs\?[^>,]*)>; rel="next"', following[0])
        assert match is not None, following
        return events, match[1]


@asynccontextmanager
async def reading(store: Store) -> AsyncIterator[Reader]:
    token = issue_token(store, TokenScope.READ)
    async with running_app(ROUTES, StoreThreads(store), clock=StandingClock(), schemas=SCHEMAS) as client:
        yield Reader(client, token)


def write(store: Store, *numbers: int, **changes: Any) -> None:
    with store.begin() as work:
        work.log.append_many(
            log_event(number, **{"published": BEGIN + timedelta(seconds=number), **changes})
            for number in numbers
        )


def uuids(events: list[dict[str, Any]]) -> list[int]:
    return [int(event["uuid"][-12:]) for event in events]


async def test_a_poller_sees_each_event_once_while_others_write(store: Store) -> None:
    """Several writers at once, and events that were published before what the poller has seen already."""
    total, writers = 240, 3

    def writer(own: int) -> None:
        for first in range(own, total, 5 * writers):
            numbers = range(first, min(first + 5 * writers, total), writers)
            late = timedelta(seconds=600 if first % 2 else 0)
            with store.begin() as work:
                work.log.append_many(
                    log_event(n, published=BEGIN + timedelta(seconds=n) - late / 2) for n in numbers
                )

    threads = [threading.Thread(target=writer, args=(own,)) for own in range(writers)]
    async with reading(store) as reader:
        path: str | None = "/api/v1/logs?limit=7&since=" + BEGIN.strftime("%Y-%m-%dT%H:%M:%SZ")
        seen: list[int] = []
        idle = 0
        for thread in threads:
            thread.start()
        while idle < 5:
            assert path is not None
            events, path = await reader.page(path)
            seen += uuids(events)
            idle = 0 if events or any(thread.is_alive() for thread in threads) else idle + 1
            if not events:
                await asyncio.sleep(0.01)
    assert len(seen) == len(set(seen))
    with store.read() as view:
        written = list(view.log.rows())
    first = next(place for place, row in enumerate(written) if row.published >= BEGIN)
    assert seen == [int(row.uuid[-12:]) for row in written[first:]]
    assert len(written) == total


async def test_bounded_pages_are_in_order_and_end(store: Store) -> None:
    write(store, 5, 3, 9, 1, 7, 2, 8)
    async with reading(store) as reader:
        for order, expected in (("ASCENDING", [2, 3, 5, 7, 8]), ("DESCENDING", [8, 7, 5, 3, 2])):
            since, until = (
                (BEGIN + timedelta(seconds=second)).strftime("%Y-%m-%dT%H:%M:%SZ") for second in (2, 9)
            )
            path: str | None = f"/api/v1/logs?since={since}&until={until}&limit=2&sortOrder={order}"
            pages = []
            while path is not None:
                events, path = await reader.page(path)
                pages.append(uuids(events))
            assert [number for page in pages for number in page] == expected
            assert [len(page) for page in pages] == [2, 2, 1]


async def test_self_is_the_first_link_and_next_the_last_and_neither_has_a_comma(store: Store) -> None:
    write(store, 1, 2, 3)
    async with reading(store) as reader:
        query = 'filter=eventType+eq+"a,b"+or+uuid+pr&limit=2&q=alice'.replace('"', "%22").replace(",", "%2C")
        status, events, links = await reader.get(f"/api/v1/logs?{query}")
    assert (status, uuids(events)) == (200, [1, 2])
    assert [link.rpartition("; ")[2] for link in links] == ['rel="self"', 'rel="next"']
    assert all("," not in link for link in links)
    assert "filter=eventType+eq+%22a%2Cb%22+or+uuid+pr" in links[1]
    assert "limit=2" in links[1]
    assert "q=alice" in links[1]


async def test_a_poller_that_has_seen_all_is_told_where_to_ask_again(store: Store) -> None:
    async with reading(store) as reader:
        events, path = await reader.page("/api/v1/logs")
        assert events == []
        assert path is not None
        write(store, 1)
        events, path = await reader.page(path)
        assert uuids(events) == [1]
        assert path is not None
        assert await reader.page(path) == ([], path)


async def test_descending_without_until_ends_where_it_began(store: Store) -> None:
    write(store, 1, 2, 3)
    async with reading(store) as reader:
        events, path = await reader.page("/api/v1/logs?sortOrder=DESCENDING&limit=2")
        assert path is not None
        write(store, 4)
        rest, end = await reader.page(path)
    assert (uuids(events), uuids(rest), end) == ([3, 2], [1], None)


async def test_filter_and_words_are_asked_of_each_event(store: Store) -> None:
    write(store, 1, 2, severity=Severity.WARN)
    write(store, 3, severity=Severity.WARN, reason="the needle")
    write(store, 4, reason="the needle")
    async with reading(store) as reader:
        events, _ = await reader.page("/api/v1/logs?filter=severity+eq+%22WARN%22&q=needle")
        assert uuids(events) == [3]
        events, _ = await reader.page("/api/v1/logs?filter=target.id+eq+%22wiki%22+and+uuid+ew+%222%22")
        assert uuids(events) == [2]


@pytest.mark.parametrize(
    ("query", "code", "summary"),
    [
        ("filter=a+eqq+%22b%22", "E0000053", "Unrecognized attribute operator 'eqq' at position 2"),
        ("filter=nothing+pr", "E0000053", "field is not valid: nothing"),
        (
            "filter=debugContext.debugData.url+co+%22x%22",
            "E0000031",
            "The supplied combination of operator and field is not currently supported. "
            "Operator: co, Field: debugContext.debugData.url",
        ),
        (
            "since=2020-01-01",
            "E0000053",
            "Invalid parameter: The since parameter is over 180 days prior to the current day.",
        ),
        ("until=x", "E0000001", "Api validation failed: 'until': The date format"),
        ("limit=5000", "E0000001", "Api validation failed: 'limit'"),
        ("q=" + "x" * 41, "E0000001", "Freeform search cannot contain items longer than 40 characters"),
    ],
)
async def test_errors_are_those_of_the_api(
    query: str, code: str, summary: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store.open(f"sqlite:///{tmp_path_factory.mktemp('store')}/org.db")
    try:
        async with reading(store) as reader:
            status, error, _ = await reader.get(f"/api/v1/logs?{query}")
    finally:
        store.close()
    assert (status, error["errorCode"]) == (400, code)
    assert summary in error["errorSummary"]
    assert set(error) == {"errorCode", "errorSummary", "errorLink", "errorId", "errorCauses"}
