"""What one gateway hands to the next, however much it is."""

import asyncio
import os
import resource
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from gateway.adapters.shared_table import SharedTable
from gateway.server.log import LogWriter
from gateway.server.log_output import new_output_lock
from gateway.server.take_over import SOCKET_NAME, Estate, Offer, TakeOverFailed, ask


@pytest.fixture(autouse=True)
def _many_descriptors() -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4_096, hard), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_more_sockets_than_go_into_one_message_are_handed_over_in_their_groups(tmp_path: Path) -> None:
    """Two addresses of a machine with 256 processors."""
    groups = [[socket.socket() for _ in range(256)] for _ in range(2)]
    metrics = socket.socket()
    table = SharedTable.create("table", 1)
    assert table.claim(b"key", 2e9, 1e9)
    lock = new_output_lock()
    estate = Estate(groups, metrics, lock, table, table, table, b"secret")
    completed = asyncio.Event()
    offer = Offer(str(tmp_path), lambda: estate, completed.set, LogWriter(lambda _: None))
    offering = asyncio.create_task(offer.run())
    while not (tmp_path / SOCKET_NAME).exists():
        await asyncio.sleep(0.01)
    try:
        inheritance = await ask(str(tmp_path), take_over=True)
        assert inheritance is not None
        received = inheritance.estate
        assert [len(group) for group in received.https] == [256, 256]
        for given, got in zip(groups, received.https, strict=True):
            assert [inode(one) for one in got] == [inode(one) for one in given]
        assert received.metrics is not None
        assert inode(received.metrics) == inode(metrics)
        assert not received.one_use_keys.claim(b"key", 2e9, 1e9)
        inheritance.complete()
        async with asyncio.timeout(10):
            await offering
        assert (offer.has_handed_over, completed.is_set()) == (True, True)
    finally:
        offering.cancel()
        for one in (*(each for group in groups for each in group), metrics):
            one.close()
        os.close(lock)
    for one in (*(each for group in received.https for each in group), received.metrics):
        one.close()


@pytest.mark.parametrize("ends", [False, True], ids=["it goes on", "it has ended"])
async def test_who_comes_too_late_takes_over_only_from_one_that_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: bool
) -> None:
    monkeypatch.setattr("gateway.server.take_over._READY_SECONDS", 0.05)
    table, lock = SharedTable.create("table", 1), new_output_lock()
    estate = Estate([], None, lock, table, table, table, b"secret")
    offer = Offer(str(tmp_path), lambda: estate, lambda: None, LogWriter(lambda _: None))
    offering = asyncio.create_task(offer.run())
    while not (tmp_path / SOCKET_NAME).exists():
        await asyncio.sleep(0.01)
    inheritance = await ask(str(tmp_path), take_over=True)
    assert inheritance is not None
    await asyncio.sleep(0.5)
    if ends:
        offering.cancel()
        await asyncio.gather(offering, return_exceptions=True)
        inheritance.complete()
    else:
        with pytest.raises(TakeOverFailed, match="does not wait any longer"):
            inheritance.complete()
        offering.cancel()
    os.close(lock)


def inode(one: socket.socket) -> int:
    return os.fstat(one.fileno()).st_ino
