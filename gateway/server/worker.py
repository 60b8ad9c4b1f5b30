"""One worker: everything put together, started, reloaded and drained.

prepare   new material: contexts, snapshot and pages are made of it; may fail, and may be done in a thread
commit    what was prepared is swapped in at once; connections stay
drain     stop listening, let exchanges finish until the deadline, then close what is left

A worker reads no file and watches none: `gateway.server.supervisor` does, for all of them.
"""

import asyncio
import math
import socket
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Final, Protocol

from prometheus_client import CollectorRegistry

from gateway.adapters.key_files import GatewayKeys
from gateway.adapters.memory import (
    MAX_SEEN_REQUESTS,
    SEEN_REQUEST_LIFETIME,
    SystemClock,
    SystemRandomness,
)
from gateway.adapters.openssl_symbols import find_ticket_key_setter, find_ticket_switch
from gateway.adapters.peer_verification import find_verification_switch
from gateway.adapters.spool import Spool
from gateway.adapters.system_log import NoSystemLog, SpooledSystemLog
from gateway.adapters.tls_records import choose_records
from gateway.model.events import Event
from gateway.model.settings import GatewaySettings
from gateway.policy.conditions import ConditionParsers
from gateway.policy.user_agent import preload
from gateway.proxy.sealing import Sealer
from gateway.server.admission import Admission
from gateway.server.answers import Answers
from gateway.server.app_handler import AppHandler, AppServices
from gateway.server.boundary import Boundary
from gateway.server.channel import Channel, Speaker
from gateway.server.collect import HeldBodies
from gateway.server.deadlines import Deadlines
from gateway.server.descriptors import connections_that_fit, raise_descriptor_limit
from gateway.server.est_requests import EstRequests
from gateway.server.exchange import Handler
from gateway.server.hosts import Role
from gateway.server.http2_connection import Http2Connection
from gateway.server.http_connection import HttpConnection
from gateway.server.in_force import InForce, Laid
from gateway.server.listening import LISTEN_BACKLOG
from gateway.server.log import LogWriter
from gateway.server.metrics import Metrics
from gateway.server.mtls_handler import MtlsHandler
from gateway.server.org_handler import OrgHandler
from gateway.server.org_passage import OrgPassage
from gateway.server.org_upstream import OrgUpstream
from gateway.server.pages import PageRenderer
from gateway.server.pools import Pools, PreparedPools
from gateway.server.spool_watch import SpoolWatch
from gateway.server.ticket_keys import TicketKeys
from gateway.server.trusted_connections import TrustedConnections
from gateway.server.visit import Visit
from gateway.services.access import Access
from gateway.services.challenges import Challenges
from gateway.services.decisions import Decisions
from gateway.services.fair_share import FairShare
from gateway.services.material import Material
from gateway.services.pending import ChallengeMarks, PendingChallenges
from gateway.services.ports import OneUseKeys, SeenRequests
from gateway.services.sessions import Sessions
from gateway.services.statements import StatementSigner

# How long an idle connection may still bring a request when the worker drains.
_LAST_REQUEST_SECONDS: Final = 1.0
_ENDED_CHECK_SECONDS: Final = 5.0
_REFERENCE_BYTES: Final = 8
_REFERENCE_SUPPLY_BYTES: Final = 4_096


class FetchedMarks(ChallengeMarks, Protocol):
    async def fetch(self, flow_ids: Sequence[str]) -> None:
        """See what other gateways know of these."""
        ...


class FleetMemories(Protocol):
    """What this worker remembers together with those of all gateways, instead of what is `Shared`."""

    @property
    def one_use_keys(self) -> OneUseKeys: ...

    @property
    def seen_requests(self) -> SeenRequests: ...

    @property
    def challenge_marks(self) -> FetchedMarks: ...

    async def start(self) -> "asyncio.Task[None]":
        """Returns what keeps them up, when they are known to be there or not."""
        ...


# (count of claims by where and result, log)
JoinFleet = Callable[[Callable[[str, str], None], LogWriter], FleetMemories]


@dataclass(frozen=True, slots=True)
class Shared:
    """What all workers of a gateway have in common. ``ticket_secret`` is that of `TicketKeys`."""

    keys: GatewayKeys
    one_use_keys: OneUseKeys
    seen_requests: SeenRequests
    challenge_marks: ChallengeMarks
    ticket_secret: bytes
    spool: Spool | None  # None where there is no store
    join_fleet: "JoinFleet | None" = None  # None where there is no other gateway to remember things with
    slot: int = 1


@dataclass(frozen=True, slots=True)
class Prepared:
    """A configuration that only has to be swapped in."""

    laid: Laid
    pages: PageRenderer
    pools: PreparedPools


class Worker:
    """Made on the running loop. Raises what `prepare` raises. ``in_force`` takes what is revoked, and what
    the org says; connections of devices that lost trust by it are closed."""

    def __init__(self, material: Material, shared: Shared, log: LogWriter, parsers: ConditionParsers) -> None:
        preload()
        self._loop = asyncio.get_running_loop()
        self._log = log
        self._clock = SystemClock()
        self._randomness = SystemRandomness()
        self._metrics = Metrics()
        self._deadlines = Deadlines(self._loop)
        self._connections: set[Channel] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._servers: list[asyncio.Server] = []
        self._background: list[asyncio.Task[None]] = []
        self._trusted = TrustedConnections(self._loop, self._connections, self._lost_trust)
        self._spool_watch: SpoolWatch | None = None
        self._fleet = (
            None if shared.join_fleet is None else shared.join_fleet(self._metrics.one_use_claim, log)
        )
        self._pending = PendingChallenges(marks=(self._fleet or shared).challenge_marks)
        self._references = b""
        self._reference_at = 0
        self._draining = False
        self._drain_ends = math.inf
        self._send_no_tickets = find_ticket_switch()
        self._leave_unverified = find_verification_switch()
        self._records = choose_records()
        self._tickets = TicketKeys(shared.ticket_secret, find_ticket_key_setter())
        settings = material.settings
        self._listens = settings.listen_https
        self._proxy_protocol = settings.proxy_protocol
        self._admission = Admission(
            self._loop,
            self._deadlines,
            settings.limits,
            self._connection_shed,
            capacity=connections_that_fit(raise_descriptor_limit()),
        )
        self._shed: dict[str, tuple[int, str]] = {}
        self._pools = Pools(self._loop, self._deadlines, self)
        self.in_force = InForce(
            material,
            parsers,
            self._send_no_tickets,
            self._leave_unverified,
            self._tickets,
            self._trusted,
            self._clock,
        )
        self._live, self._hosts = self.in_force.live, self.in_force.hosts
        self._answers = Answers(_pages(settings), self._randomness)
        self._pools.commit(self._pools.prepare(settings))
        self._system_log = self._make_system_log(shared, settings)
        self._org_upstream: OrgUpstream | None = None
        if settings.store_url is not None:
            self._org_upstream = OrgUpstream(settings.keys_directory, self._loop, self._deadlines)
        self._signer = StatementSigner(settings.org_name, shared.keys.jwt_keys)
        self._handlers = self._make_handlers(shared)

    async def start(self, sockets: Sequence[socket.socket]) -> None:
        """Take connections from listening sockets, which are the worker's from now on."""
        if self._fleet is not None:
            self._background.append(await self._fleet.start())
        self._deadlines.start()
        self._admission.start()
        for listening in sockets:
            # Accepted sockets inherit it: a peer that is gone without a word does not hold a tunnel for ever.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            # It listens again, and with asyncio's 100 a second's burst of new connections would overflow.
            self._servers.append(
                await self._loop.create_server(self._accept, sock=listening, backlog=LISTEN_BACKLOG)
            )
        self._background.append(
            self._loop.create_task(
                self._look_for_what_has_ended(), name="abandoned challenges, ended sessions"
            )
        )
        if self._spool_watch is not None:
            watching = self._loop.create_task(self._spool_watch.run(), name="spool of the System Log")
            self._background.append(watching)

    @property
    def features(self) -> Mapping[str, object]:
        """For the log: what of OpenSSL was found."""
        return {
            "tls13_tickets_on_mtls_hosts": self._send_no_tickets is None,
            "shared_ticket_keys": self._tickets.are_shared,
            "tls_records": type(self._records).__name__,
            "verified_by_openssl_first": self._leave_unverified is None,
        }

    @property
    def registry(self) -> CollectorRegistry:
        return self._metrics.registry

    @property
    def background(self) -> tuple["asyncio.Task[None]", ...]:
        """Tasks that end only by a defect. Whoever runs the worker has to end it then."""
        return tuple(self._background)

    def prepare(self, material: Material) -> Prepared:
        """Make all that a new configuration needs, and change nothing. Raises NoCertificateFor,
        ServerCertificateRefused, PageTemplateRefused and OSError (a CA file for an upstream). Listening
        addresses, the org's name and keys stay as they were."""
        settings = self._reachable(material.settings)
        laid = self.in_force.lay(replace(material, settings=settings))
        return Prepared(laid, _pages(settings), self._pools.prepare(settings))

    def commit(self, prepared: Prepared) -> None:
        """Swap in what was prepared since the last commit. Cannot fail."""
        self._pools.commit(prepared.pools)
        self._admission.limits = prepared.laid.snapshot.settings.limits
        self._system_log.apply(prepared.laid.snapshot.settings.system_log)
        self._answers.replace_pages(prepared.pages)
        self.in_force.swap_in(prepared.laid)

    def replace_ticket_secret(self, secret: bytes) -> None:
        self._tickets.replace_secret(secret, self._hosts.current)

    async def drain(self) -> None:
        """Stop taking connections, let what runs finish, close the rest (``limits.drain_timeout``).

        A browser may be about to send on a connection that is idle, or to finish a handshake. So for a moment
        each gets the answer to one request more, and is told that the connection ends with it.
        """
        self._draining = True
        seconds = self._live.current.settings.limits.drain_timeout_seconds
        self._drain_ends = min(self._drain_ends, self._loop.time() + seconds)
        for server in self._servers:
            server.close()
        for channel in list(self._connections):
            channel.close_after_next()
        await self._until_gone(self._loop.time() + _LAST_REQUEST_SECONDS)
        self._admission.stop()
        for channel in list(self._connections):
            channel.close_when_idle()
        await self._until_gone(math.inf)
        for channel in list(self._connections):
            channel.abort()
        for task in (*self._background, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._background, *self._tasks, return_exceptions=True)
        self._pools.close()
        if self._org_upstream is not None:
            self._org_upstream.close()
        self._deadlines.stop()

    async def _until_gone(self, latest: float) -> None:
        # Looked at now and then: an event would have to be set at every close, for the one drain there is.
        while self._admission.connections:
            if self._loop.time() >= min(latest, self._drain_ends):
                return
            await asyncio.sleep(0.05)

    def hurry(self) -> None:
        """Let a drain end at once."""
        self._drain_ends = 0.0

    # Reports from below.

    def emit(self, event: Event) -> None:
        self._metrics.count(event)
        self._log.event(event)

    def handshake(self, server_name: str | None, result: str, seconds: float) -> None:
        self._metrics.handshake(self._hosts.current.role(server_name), result, seconds)

    def connection_opened(self, server_name: str) -> str:
        role = self._hosts.current.role(server_name)
        self._metrics.connection(role, 1)
        return role

    def connection_closed(self, role: str) -> None:
        self._metrics.connection(role, -1)

    def upstream_down(self, address: str, apps: list[str], kind: str, pause_seconds: float) -> None:
        self._log.note(
            "upstream_down", upstream=address, apps=apps, kind=kind, tried_again_in_seconds=pause_seconds
        )

    def upstream_up(self, address: str, apps: list[str]) -> None:
        self._log.note("upstream_up", upstream=address, apps=apps)

    def upstreams_out(self, numbers: Iterable[tuple[str, int]]) -> None:
        for app, number in numbers:
            self._metrics.upstreams_out.labels(app).set(number)

    # Inside.

    def _connection_shed(self, reason: str, address: str) -> None:
        self._metrics.shed(reason)
        self._shed[reason] = self._shed.get(reason, (0, ""))[0] + 1, address

    def _report_shed(self) -> None:
        """One line for each reason now and then: under attack a line for each connection is one more load."""
        shed, self._shed = self._shed, {}
        for reason, (count, last_address) in shed.items():
            self._log.note("connections_shed", reason=reason, count=count, last_address=last_address)

    def _reachable(self, settings: GatewaySettings) -> GatewaySettings:
        """Addresses count only after a restart; so does a public port that follows from them, or browsers
        would be sent to a port where nobody listens yet."""
        follows = settings.public_port == settings.listen_https[0].port
        if follows and settings.listen_https != self._listens:
            return replace(settings, public_port=self._live.current.settings.public_port)
        return settings

    def _make_system_log(self, shared: Shared, settings: GatewaySettings) -> NoSystemLog | SpooledSystemLog:
        if shared.spool is None:
            return NoSystemLog()
        self._spool_watch = SpoolWatch(
            shared.spool, self._log, self._metrics.spooled, alarms=shared.slot == 1
        )
        return SpooledSystemLog(shared.spool, settings.system_log, self._metrics.unlogged.inc)

    def _make_handlers(self, shared: Shared) -> Mapping[Role, Handler]:
        clock, randomness = self._clock, self._randomness
        sealer = Sealer(shared.keys.master_secret)
        memories = self._fleet or shared
        one_use_keys, seen_requests = memories.one_use_keys, memories.seen_requests
        system_log = self._system_log
        decisions = Decisions(self._live, clock, self, system_log)
        challenges = Challenges(
            self._live, sealer, one_use_keys, self._pending, clock, randomness, self, system_log
        )
        sessions = Sessions(self._live, decisions, challenges, sealer, clock, randomness)
        access = Access(decisions, challenges, sessions, one_use_keys, seen_requests, clock, self)
        held_bodies = HeldBodies()
        boundary = Boundary(self._live, self._answers, self._reference, clock, self)
        services = AppServices(
            live=self._live,
            access=access,
            sessions=sessions,
            answers=self._answers,
            pool_of=self._pools.of,
            signer=self._signer,
            seen_requests=seen_requests,
            fair_share=FairShare(MAX_SEEN_REQUESTS, SEEN_REQUEST_LIFETIME.total_seconds()),
            clock=clock,
            events=self,
            reference=self._reference,
            tasks=self._tasks,
            held_bodies=held_bodies,
            stopwatch=perf_counter,
            trusted_connections=self._trusted,
        )
        passage = None
        if self._org_upstream is not None:
            org = self._org_upstream
            passage = OrgPassage(org.api, org.public, self._live, self._answers, clock, self, perf_counter)
        return {
            Role.APP: AppHandler(services, boundary),
            Role.MTLS: MtlsHandler(
                self._live,
                self._hosts,
                challenges,
                self._answers,
                clock,
                self,
                self._reference,
                boundary,
                None if passage is None else EstRequests(self._live, clock, passage),
            ),
            Role.ORG: OrgHandler(
                self._live, self._signer, self._answers, clock, self, self._reference, boundary, passage
            ),
        }

    def _speaker(self, channel: Channel) -> Speaker:
        role = self._hosts.current.role(channel.server_name)
        if role is Role.UNKNOWN:  # a reload took the host away during the handshake
            role = Role.APP  # which answers 421
        limits = self._live.current.settings.limits
        handler = self._handlers[role]
        speaker: Http2Connection | HttpConnection
        if channel.application_protocol == b"h2":
            speaker = Http2Connection(channel, handler, limits, self._deadlines)
        else:
            speaker = HttpConnection(channel, handler, limits)
        if self._draining:
            speaker.end_soon()
        return speaker

    def _accept(self) -> Visit:
        return Visit(
            self._admission,
            self._channel,
            self,
            lambda: self._live.current.settings.trusted_proxies,
            proxy_protocol=self._proxy_protocol,
        )

    def _channel(self, visit: Visit) -> Channel:
        return Channel(
            lambda name: self._hosts.current.context(name),
            self._speaker,
            self,
            self._deadlines,
            self._live.current.settings.limits.handshake_timeout_seconds,
            self._connections,
            visit,
            self._records,
        )

    def _lost_trust(self, connections: int, seconds: float) -> None:
        self._metrics.closed_by_revocation.inc(connections)
        self._metrics.revocation_seconds.observe(seconds)

    async def _look_for_what_has_ended(self) -> None:
        """Challenges that nobody came back from; connections whose certificate or session has run out."""
        while True:
            await asyncio.sleep(_ENDED_CHECK_SECONDS)
            now = self._clock.now()
            if self._fleet is not None:
                await self._fleet.challenge_marks.fetch(self._pending.due(now))
            for event in self._pending.expire(now):
                self.emit(event)
            self.in_force.close_untrusted()
            self._report_shed()

    def _reference(self) -> str:
        """Drawn from a supply: asking the system each time costs a microsecond of every request."""
        at = self._reference_at
        if at == len(self._references):
            self._references = self._randomness.bytes(_REFERENCE_SUPPLY_BYTES)
            at = 0
        self._reference_at = at + _REFERENCE_BYTES
        return self._references[at : at + _REFERENCE_BYTES].hex()


def _pages(settings: GatewaySettings) -> PageRenderer:
    return PageRenderer(settings.pages_directory, org_name=settings.org_name)
