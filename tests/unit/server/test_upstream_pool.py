"""Turns in the line for a connection that come at the very moment in which nobody wants them any more."""

import asyncio
from typing import Any

import pytest
from support.upstreams_without_sockets import pool_of

from gateway.model.settings import Limits
from gateway.server.upstream import UpstreamFailed
from gateway.server.upstream_pool import UpstreamPool

ONE = Limits(max_upstream_connections=1, upstream_queue_timeout_seconds=5.0)


async def one_in_use_and_waiting(number: int) -> tuple[UpstreamPool, Any, list[asyncio.Task[Any]]]:
    pool = pool_of(1, ONE)
    connection = await pool.connect()
    waiting = [asyncio.create_task(pool.connect()) for _ in range(number)]
    await asyncio.sleep(0)
    return pool, connection, waiting


async def test_a_connection_that_was_given_to_a_browser_that_leaves_goes_to_the_next() -> None:
    pool, connection, (leaves, waits) = await one_in_use_and_waiting(2)
    pool.servers[0].release(connection)
    leaves.cancel()
    assert await waits is connection
    assert leaves.cancelled()


async def test_a_place_that_was_given_to_a_browser_that_leaves_goes_to_the_next() -> None:
    pool, connection, (leaves, waits) = await one_in_use_and_waiting(2)
    connection.abort()
    await asyncio.sleep(0)  # the server hears of it, and gives the place away
    leaves.cancel()
    assert await waits is not connection
    assert pool.servers[0].in_use == 1


@pytest.mark.parametrize("known_at_once", [False, True], ids=["known later", "known before it has it"])
async def test_a_connection_that_dies_on_its_way_to_who_waits_is_a_place_for_it(known_at_once: bool) -> None:
    pool, connection, (waits,) = await one_in_use_and_waiting(1)
    pool.servers[0].release(connection)
    if known_at_once:
        connection.is_open = False
        pool.servers[0].forget(connection)
    else:
        connection.abort()
    assert await waits is not connection
    assert pool.servers[0].in_use == 1


async def test_nobody_is_left_in_line_behind_a_browser_that_left() -> None:
    pool, connection, (leaves,) = await one_in_use_and_waiting(1)
    pool.servers[0].release(connection)
    leaves.cancel()
    with pytest.raises(asyncio.CancelledError):
        await leaves
    assert pool.take_idle(safe_to_repeat=True) is connection


async def test_whoever_waits_too_long_is_told_when_to_come_again() -> None:
    pool = pool_of(1, Limits(max_upstream_connections=1, upstream_queue_timeout_seconds=0.01))
    connection = await pool.connect()
    with pytest.raises(UpstreamFailed) as failed:
        await pool.connect()
    assert (failed.value.kind, failed.value.status, failed.value.retry_after_seconds) == ("busy", 503, 2)
    pool.servers[0].release(connection)
    assert pool.take_idle(safe_to_repeat=True) is connection
