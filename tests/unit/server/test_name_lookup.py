"""What is known of an app's host name, and who waits for it to be known."""

import asyncio
import socket
from typing import Any

import pytest
from support.proxy_in_process import until

from gateway.server.name_lookup import AddressInfo, NameLookup, NameUnknown, with_port

HOST = "app.internal"


class Resolver:
    """Stands for the system's: answers what it is told to, as often as it is let."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answer: list[str] | OSError = ["192.0.2.1"]
        self.asked = 0
        self.answers = asyncio.Event()
        self.answers.set()
        monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", self._getaddrinfo)

    async def _getaddrinfo(self, host: str, port: None, **_: Any) -> list[AddressInfo]:
        self.asked += 1
        await self.answers.wait()
        if isinstance(self.answer, OSError):
            raise self.answer
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, 0)) for ip in self.answer]


class Clock:
    """The loop's time, moved by the test."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.later = 0.0
        loop = asyncio.get_running_loop()
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self.later)


async def found(names: NameLookup) -> list[str]:
    return [address[4][0] for address in await names.addresses(HOST, 1.0)]


async def test_many_who_ask_at_once_are_one_lookup(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, names = Resolver(monkeypatch), NameLookup(asyncio.get_running_loop())
    assert await asyncio.gather(*(found(names) for _ in range(50))) == [["192.0.2.1"]] * 50
    assert await found(names) == ["192.0.2.1"]
    assert resolver.asked == 1


async def test_old_addresses_are_used_while_new_ones_are_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, clock = Resolver(monkeypatch), Clock(monkeypatch)
    names = NameLookup(asyncio.get_running_loop())
    await found(names)
    resolver.answer = ["192.0.2.2"]
    clock.later = 29
    assert await found(names) == ["192.0.2.1"]
    assert resolver.asked == 1
    clock.later = 31
    assert await found(names) == ["192.0.2.1"]
    await until(lambda: resolver.asked == 2)
    await asyncio.sleep(0)
    assert await found(names) == ["192.0.2.2"]


async def test_whoever_doubts_the_addresses_waits_for_new_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, clock = Resolver(monkeypatch), Clock(monkeypatch)
    names = NameLookup(asyncio.get_running_loop())
    await found(names)
    assert not names.doubt(HOST)  # they are a moment old: asking again would tell the same
    clock.later = 2
    resolver.answer = ["192.0.2.2"]
    assert names.doubt(HOST)
    assert await found(names) == ["192.0.2.2"]


async def test_when_dns_is_gone_the_last_addresses_go_on(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, clock = Resolver(monkeypatch), Clock(monkeypatch)
    names = NameLookup(asyncio.get_running_loop())
    await found(names)
    resolver.answer = socket.gaierror(-2, "Name or service not known")
    for hours in (1, 100):
        clock.later = hours * 3_600
        names.doubt(HOST)
        assert await found(names) == ["192.0.2.1"]
    assert resolver.asked == 3


async def test_a_name_without_addresses_is_asked_for_once_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, clock = Resolver(monkeypatch), Clock(monkeypatch)
    names = NameLookup(asyncio.get_running_loop())
    resolver.answer = socket.gaierror(-2, "Name or service not known")
    for _ in range(5):
        with pytest.raises(NameUnknown, match="Name or service not known"):
            await found(names)
    assert resolver.asked == 1
    clock.later = 1.1
    resolver.answer = ["192.0.2.1"]
    assert await found(names) == ["192.0.2.1"]


async def test_nobody_waits_longer_than_it_said_for_a_resolver_that_hangs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    resolver, names = Resolver(monkeypatch), NameLookup(asyncio.get_running_loop())
    resolver.answers.clear()
    for _ in range(3):
        with pytest.raises(NameUnknown, match="no answer yet"):
            await names.addresses(HOST, 0.01)
    assert resolver.asked == 1
    resolver.answers.set()
    assert await found(names) == ["192.0.2.1"]


async def test_a_hundred_addresses_of_one_name_are_sixteen(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, names = Resolver(monkeypatch), NameLookup(asyncio.get_running_loop())
    resolver.answer = [f"192.0.2.{number}" for number in range(100)]
    assert len(await found(names)) == 16


async def test_a_name_that_is_not_configured_any_more_is_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    resolver, names = Resolver(monkeypatch), NameLookup(asyncio.get_running_loop())
    await found(names)
    names.keep_only(["other.internal"])
    await found(names)
    assert resolver.asked == 2


async def test_a_label_that_no_name_can_have_is_an_unknown_name() -> None:
    names = NameLookup(asyncio.get_running_loop())
    with pytest.raises(NameUnknown):
        await names.addresses("a" * 64 + ".internal", 5.0)


def test_a_port_is_put_into_an_address_of_either_family() -> None:
    four = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 0))
    six = (socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("2001:db8::1", 0, 0, 3))
    assert with_port(four, 80)[4] == ("192.0.2.1", 80)
    assert with_port(six, 80)[4] == ("2001:db8::1", 80, 0, 3)
