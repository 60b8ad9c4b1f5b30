"""Who may connect, and whose handshake comes next, without sockets and on a clock of the test's own."""

import asyncio
from collections.abc import Callable
from ipaddress import IPv4Network
from typing import Any

import pytest
from support.proxy_headers import proxy_header

from gateway.model.settings import Limits
from gateway.proxy.addresses import Network
from gateway.server import admission as module
from gateway.server.admission import PATIENCE_SECONDS, SLICE_SECONDS, Admission
from gateway.server.deadlines import Deadlines
from gateway.server.visit import Visit

HELLO = b"\x16\x03\x01\x00\x05hello"
PROXY = "10.0.0.1"


class _Loop:
    """As much of an event loop as is asked for. `turn` runs what was put off until its next turn."""

    def __init__(self) -> None:
        self.now = 1_000.0
        self.soon: list[Callable[[], None]] = []

    def time(self) -> float:
        return self.now

    def call_soon(self, call: Callable[..., None], *arguments: Any) -> None:
        self.soon.append(lambda: call(*arguments))

    def turn(self) -> None:
        soon, self.soon = self.soon, []
        for call in soon:
            call()


class _Transport:
    def __init__(self, host: str) -> None:
        self.host = host
        self.protocol: Any = None
        self.aborted = False
        self.reading = True

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return (self.host, 4711) if name == "peername" else None

    def set_protocol(self, protocol: Any) -> None:
        self.protocol = protocol

    def pause_reading(self) -> None:
        self.reading = False

    def resume_reading(self) -> None:
        self.reading = True

    def abort(self) -> None:
        self.aborted = True


class _Channel:
    def __init__(self, visit: Visit, desk: "Desk") -> None:
        self.visit = visit
        self._desk = desk
        self.received = b""
        self.peer_host = visit.client_host
        self.aborted = False
        self.deadline = 0.0

    def connection_made(self, transport: Any) -> None:
        pass

    def data_received(self, data: bytes) -> None:
        self.received += data
        self._desk.clock += self._desk.handshake_costs

    def abort(self) -> None:
        self.aborted = True


class Desk:
    """An admission with what comes to it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, capacity: int = 10_000, **limits: Any) -> None:
        self.loop = _Loop()
        self.clock = 0.0
        self.handshake_costs = 0.0
        self.shed: list[tuple[str, str]] = []
        self.results: list[str] = []
        self.channels: list[_Channel] = []
        self.trusted: tuple[Network, ...] = ()
        self.proxy_protocol = False
        monkeypatch.setattr(module, "perf_counter", lambda: self.clock)
        loop: Any = self.loop
        self.deadlines = Deadlines(loop)
        self.admission = Admission(
            loop,
            self.deadlines,
            Limits(**limits),
            lambda reason, address: self.shed.append((reason, address)),
            capacity=capacity,
        )

    def handshake(self, server_name: str | None, result: str, seconds: float) -> None:
        self.results.append(result)

    def connection_opened(self, server_name: str) -> str:
        return "app"

    def connection_closed(self, role: str) -> None:
        pass

    def comes(self, host: str, data: bytes = b"") -> tuple[Visit, _Transport]:
        def channel(visit: Visit) -> Any:
            self.channels.append(_Channel(visit, self))
            return self.channels[-1]

        visit = Visit(self.admission, channel, self, lambda: self.trusted, proxy_protocol=self.proxy_protocol)
        transport = _Transport(host)
        entry: Any = transport
        visit.connection_made(entry)
        if data and not transport.aborted:
            visit.data_received(data)
        return visit, transport

    def counts(self) -> tuple[int, int, int]:
        return self.admission.connections, self.admission.handshakes, self.admission.addresses


def test_a_first_record_is_handed_over_whole_and_counted_until_the_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    desk = Desk(monkeypatch)
    visit, transport = desk.comes("203.0.113.9")
    for byte in HELLO[:-1]:
        visit.data_received(bytes([byte]))
    assert desk.channels == []
    visit.data_received(HELLO[-1:])
    assert transport.protocol is desk.channels[0]
    assert desk.channels[0].received == HELLO
    assert desk.channels[0].peer_host == "203.0.113.9"
    assert desk.channels[0].deadline == desk.loop.now + Limits().handshake_timeout_seconds
    assert desk.counts() == (1, 1, 1)
    visit.established()
    assert desk.counts() == (1, 0, 1)
    visit.left()
    visit.left()
    assert desk.counts() == (0, 0, 0)


def test_what_is_no_tls_is_handed_over_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.comes("203.0.113.9", b"G")
    assert desk.channels[0].received == b"G"


@pytest.mark.parametrize(
    ("hosts", "limits", "shed"),
    [
        pytest.param(["192.0.2.1"] * 2, {"max_connections_per_address": 2}, None, id="as many as allowed"),
        pytest.param(
            ["192.0.2.1"] * 3, {"max_connections_per_address": 2}, "connections_per_address", id="IPv4"
        ),
        pytest.param(
            ["2001:db8::1", "2001:db8::2", "2001:db8::ffff:0:0:3"],
            {"max_connections_per_address": 2},
            "connections_per_address",
            id="a /64 is one address",
        ),
        pytest.param(
            ["2001:db8::1", "2001:db8:0:1::1", "2001:db8:0:2::1"],
            {"max_connections_per_address": 1},
            None,
            id="three /64 are three",
        ),
        pytest.param(
            ["192.0.2.1", "::ffff:192.0.2.1"],
            {"max_connections_per_address": 1},
            "connections_per_address",
            id="IPv4 mapped into IPv6",
        ),
        pytest.param(
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"], {"max_connections": 2}, "connections", id="in all"
        ),
        pytest.param(
            ["192.0.2.1"] * 3, {"max_handshakes_per_address": 2}, "handshakes_per_address", id="handshakes"
        ),
        pytest.param(
            ["192.0.2.1", "192.0.2.2", "192.0.2.3"], {"max_handshakes": 2}, "handshakes", id="all handshakes"
        ),
    ],
)
def test_the_last_one_past_a_bound_is_sent_away(
    hosts: list[str], limits: dict[str, int], shed: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = Desk(monkeypatch, **limits)
    transports = [desk.comes(host)[1] for host in hosts]
    assert desk.shed == ([] if shed is None else [(shed, hosts[-1])])
    assert [t.aborted for t in transports] == [False] * (len(hosts) - 1) + [shed is not None]
    assert desk.admission.connections == len(hosts) - (shed is not None)


def test_no_more_connections_than_descriptors(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, capacity=1)
    desk.comes("192.0.2.1")
    desk.comes("192.0.2.2")
    assert desk.shed == [("connections", "192.0.2.2")]


def test_trusted_proxies_are_not_counted_by_address(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, max_connections_per_address=1)
    desk.trusted = (IPv4Network("10.0.0.0/8"),)
    for _ in range(3):
        desk.comes(PROXY)
    assert desk.shed == []
    assert desk.counts() == (3, 3, 0)


def test_who_keeps_us_waiting_for_longest_makes_room(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, max_handshakes=2)
    silent, silent_transport = desk.comes("192.0.2.1")
    desk.comes("192.0.2.2", HELLO)
    desk.loop.now += PATIENCE_SECONDS + 0.1
    desk.comes("192.0.2.3", HELLO)
    assert silent_transport.aborted
    assert desk.shed == [("handshakes", "192.0.2.1")]
    desk.comes("192.0.2.4", HELLO)  # the second one's handshake goes on since before, too
    assert desk.channels[0].aborted
    desk.channels[0].visit.left()
    assert desk.shed == [("handshakes", "192.0.2.1"), ("handshakes", "192.0.2.2")]
    assert desk.admission.handshakes == 2
    silent.data_received(HELLO)  # what arrives behind its end
    assert len(desk.channels) == 3


def test_each_one_more_sends_another_one_away(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those who come in one turn come before any of those that they push out has left."""
    desk = Desk(monkeypatch, max_handshakes=2)
    desk.comes("192.0.2.1", HELLO)
    desk.comes("192.0.2.2", HELLO)
    desk.loop.now += PATIENCE_SECONDS + 0.1
    for last in (3, 4, 5):
        desk.comes(f"192.0.2.{last}", HELLO)
    assert [channel.aborted for channel in desk.channels] == [True, True, False, False]
    assert desk.shed == [("handshakes", f"192.0.2.{last}") for last in (1, 2, 5)]


def test_handshakes_wait_for_their_turn_while_others_are_served(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, max_handshakes=10)
    desk.handshake_costs = SLICE_SECONDS * 0.6
    transports = [desk.comes(f"192.0.2.{number}", HELLO)[1] for number in range(6)]
    assert len(desk.channels) == 2
    assert [t.reading for t in transports] == [True] * 2 + [False] * 4
    desk.loop.turn()
    assert len(desk.channels) == 4
    desk.loop.turn()
    assert [channel.peer_host for channel in desk.channels] == [f"192.0.2.{number}" for number in range(6)]
    assert all(t.reading for t in transports)
    desk.loop.turn()
    assert desk.loop.soon == []


def test_who_sends_many_waits_behind_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.handshake_costs = SLICE_SECONDS
    for _ in range(5):
        desk.comes("192.0.2.1", HELLO)
    desk.comes("192.0.2.2", HELLO)
    for _ in range(6):
        desk.loop.turn()
    order = [channel.peer_host for channel in desk.channels]
    assert order == ["192.0.2.1", "192.0.2.1", "192.0.2.2", "192.0.2.1", "192.0.2.1", "192.0.2.1"]


def test_who_waits_for_us_does_not_make_room(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch, max_handshakes=2)
    desk.handshake_costs = SLICE_SECONDS
    first, _ = desk.comes("192.0.2.1", HELLO)
    first.established()
    desk.comes("192.0.2.2", HELLO)
    desk.comes("192.0.2.3", HELLO)
    desk.loop.now += PATIENCE_SECONDS + 0.1
    desk.comes("192.0.2.4", HELLO)
    assert desk.shed == [("handshakes", "192.0.2.4")]


def test_who_leaves_while_waiting_is_not_begun(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    desk.handshake_costs = SLICE_SECONDS
    desk.comes("192.0.2.1", HELLO)
    waiting, _ = desk.comes("192.0.2.2", HELLO)
    waiting.connection_lost(None)
    desk.loop.turn()
    assert len(desk.channels) == 1
    assert desk.results == ["disconnected"]
    assert desk.admission.connections == 1


def test_a_deadline_ends_who_sends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = Desk(monkeypatch)
    visit, transport = desk.comes("192.0.2.1")
    assert visit.deadline == desk.loop.now + Limits().handshake_timeout_seconds
    visit.deadline_passed()
    assert transport.aborted
    assert desk.results == ["timeout"]
    assert desk.counts() == (0, 0, 0)


PROXIED = "203.0.113.9"


def _behind_a_proxy(monkeypatch: pytest.MonkeyPatch, **limits: int) -> Desk:
    desk = Desk(monkeypatch, **limits)
    desk.proxy_protocol = True
    desk.trusted = (IPv4Network("10.0.0.0/8"),)
    return desk


def test_behind_a_proxy_the_client_is_who_the_header_names(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = _behind_a_proxy(monkeypatch, max_connections_per_address=1)
    header = proxy_header(PROXIED)
    visit, _ = desk.comes(PROXY, header[:20])
    assert desk.counts() == (1, 1, 0)
    visit.data_received(header[20:] + HELLO)
    assert desk.channels[0].peer_host == PROXIED
    assert desk.channels[0].received == HELLO
    assert desk.counts() == (1, 1, 1)
    desk.comes(PROXY, proxy_header("203.0.113.10") + HELLO)
    desk.comes(PROXY, header + HELLO)
    assert desk.shed == [("connections_per_address", PROXIED)]


def test_a_proxy_may_speak_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    desk = _behind_a_proxy(monkeypatch)
    desk.comes(PROXY, proxy_header(None, command=0x20) + HELLO)
    assert desk.channels[0].peer_host == PROXY


@pytest.mark.parametrize(
    ("peer", "data"),
    [
        pytest.param(PROXIED, b"", id="from nobody's proxy"),
        pytest.param(PROXY, HELLO, id="without a header"),
        pytest.param(PROXY, b"PROXY TCP4 203.0.113.9 192.0.2.1 5 443\r\n", id="with the text of version 1"),
    ],
)
def test_a_listener_for_proxies_takes_nothing_else(
    peer: str, data: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk = _behind_a_proxy(monkeypatch)
    _, transport = desk.comes(peer, data)
    assert transport.aborted
    assert desk.shed == [("proxy_protocol", peer)]
    assert desk.counts() == (0, 0, 0)


async def test_a_loop_whose_turns_are_long_sheds_until_they_are_short(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = 0.0
    monkeypatch.setattr(module, "perf_counter", lambda: clock)
    monkeypatch.setattr(module, "_LAG_TICK_SECONDS", 0.001)
    loop = asyncio.get_running_loop()
    admission = Admission(loop, Deadlines(loop), Limits(), lambda *_: None, capacity=9)
    step = module.LAG_SECONDS * 1.5

    async def until(overloaded: bool) -> None:
        nonlocal clock
        async with asyncio.timeout(10):
            while admission.overloaded is not overloaded:
                clock += step
                await asyncio.sleep(0)

    admission.start()
    await until(overloaded=True)
    step = 0.0
    await until(overloaded=False)
    admission.stop()
