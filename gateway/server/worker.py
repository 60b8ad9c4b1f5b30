"""One worker: everything put together, started, reloaded and drained.

start     listen, serve metrics, watch files and CRLs
apply     new material: contexts, snapshot and pools are swapped at once; connections stay
drain     stop listening, let exchanges finish until the deadline, then close what is left
"""

import asyncio
import os
import socket
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from time import perf_counter
from typing import Final

from gateway.adapters.crl_store import CrlStore
from gateway.adapters.key_files import GatewayKeys
from gateway.adapters.memory import MemoryOneUseKeys, MemorySeenRequests, SystemClock, SystemRandomness
from gateway.adapters.openssl_symbols import find_ticket_switch
from gateway.adapters.tls_records import choose_records
from gateway.model.events import Event
from gateway.model.settings import Address, GatewaySettings
from gateway.pki.authority import TrustSnapshot
from gateway.pki.revocation import HeldCrl, RevocationIndex
from gateway.policy.user_agent import preload
from gateway.proxy.sealing import Sealer
from gateway.server.admission import Admission, Visit
from gateway.server.answers import Answers
from gateway.server.app_handler import AppHandler, AppServices
from gateway.server.boundary import Boundary
from gateway.server.channel import Channel, Speaker
from gateway.server.collect import HeldBodies
from gateway.server.deadlines import Deadlines
from gateway.server.descriptors import connections_that_fit, raise_descriptor_limit
from gateway.server.exchange import Handler
from gateway.server.hosts import HostTable, Role, host_table
from gateway.server.http_connection import HttpConnection
from gateway.server.log import LogWriter
from gateway.server.metrics import Metrics
from gateway.server.metrics_listener import MetricsListener
from gateway.server.mtls_handler import MtlsHandler
from gateway.server.org_handler import OrgHandler
from gateway.server.pages import PageRenderer
from gateway.server.pools import Pools
from gateway.server.trusted_connections import TrustedConnections
from gateway.services.access import Access
from gateway.services.challenges import Challenges
from gateway.services.decisions import Decisions
from gateway.services.material import Material
from gateway.services.pending import PendingChallenges
from gateway.services.sessions import Sessions
from gateway.services.snapshot import Live, Snapshot, build_snapshot
from gateway.services.statements import StatementSigner

LISTEN_BACKLOG: Final = 4_096
DRAIN_SECONDS: Final = 30.0
_ENDED_CHECK_SECONDS: Final = 5.0
_REFERENCE_BYTES: Final = 8
_REFERENCE_SUPPLY_BYTES: Final = 4_096


class Worker:
    """Made on the running loop."""

    def __init__(
        self,
        material: Material,
        keys: GatewayKeys,
        log: LogWriter,
        crl_cache_directory: str | None,
    ) -> None:
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
        self._pending = PendingChallenges()
        self._references = b""
        self._reference_at = 0
        self._changes = 0
        self._draining = False
        self._generation = 0
        self._send_no_tickets = find_ticket_switch()
        self._records = choose_records()
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
        self._crls = CrlStore(
            material.authorities, crl_cache_directory, self._clock, self._crls_changed, self
        )
        self._live: Live[Snapshot] = Live(self._snapshot(material, RevocationIndex()))
        self._hosts: Live[HostTable] = Live(self._host_table(self._live.current, material))
        self._answers = Answers(
            PageRenderer(settings.pages_directory, org_name=settings.org_name), self._randomness
        )
        self._pools = Pools(self._loop, self._deadlines, self)
        self._pools.replace(settings)
        self._signer = StatementSigner(settings.org_name, keys.jwt_keys)
        self._handlers = self._make_handlers(Sealer(keys.master_secret))
        self._metrics_listener = MetricsListener(self._metrics.registry, self._not_ready)
        self._metrics.certificates(material.certificates)
        self._metrics.count_expiring(self._clock.now())

    async def start(self) -> None:
        """Read the CRLs, then listen. Raises OSError where an address cannot be had."""
        settings = self._live.current.settings
        await self._crls.load()
        self._deadlines.start()
        self._admission.start()
        if settings.listen_metrics is not None:
            with _names_address("listen.metrics", settings.listen_metrics):
                await self._metrics_listener.start(settings.listen_metrics)
        for address in self._listens:
            with _names_address("listen.https", address):
                self._servers.append(await self._listen(address))
        self._background = [
            self._loop.create_task(self._crls.run(), name="CRLs"),
            self._loop.create_task(
                self._look_for_what_has_ended(), name="abandoned challenges, ended sessions"
            ),
        ]
        self._log.note(
            "started",
            https=[_text(address) for address in self._listens],
            tls13_tickets_on_mtls_hosts=self._send_no_tickets is None,
            tls_records=type(self._records).__name__,
        )

    @property
    def background(self) -> tuple["asyncio.Task[None]", ...]:
        """Tasks that end only by a defect. Whoever runs the worker has to end it then: without them it would
        go on with CRLs that grow stale."""
        return tuple(self._background)

    def apply(self, material: Material) -> None:
        """Swap in a new configuration. Raises NoCertificateFor, ServerCertificateRefused, PageTemplateRefused
        or OSError (a CA file for an upstream) with nothing changed. Listening addresses, the org's name and
        keys stay as they were."""
        material = replace(material, settings=self._reachable(material.settings))
        settings = material.settings
        snapshot = self._snapshot(material, self._live.current.trust.revocation)
        hosts = self._host_table(snapshot, material)
        pages = PageRenderer(settings.pages_directory, org_name=settings.org_name)
        self._pools.replace(settings)
        # Nothing below can fail.
        self._admission.limits = settings.limits
        self._answers.replace_pages(pages)
        self._live.replace(snapshot)
        self._hosts.replace(hosts)
        self._crls.replace_authorities(material.authorities)
        self._metrics.certificates(material.certificates)
        self._metrics.count_expiring(self._clock.now())
        self._report_crls()
        self._close_untrusted(self._clock.now())
        self._changed()

    async def drain(self, deadline_seconds: float = DRAIN_SECONDS) -> None:
        """Stop taking connections, let what runs finish, close the rest."""
        self._draining = True
        for server in self._servers:
            server.close()
        self._admission.stop()
        for channel in list(self._connections):
            channel.close_when_idle()
        ends = self._loop.time() + deadline_seconds
        # Looked at now and then: an event would have to be set at every close, for the one drain there is.
        while self._connections and self._loop.time() < ends:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        for channel in list(self._connections):
            channel.abort()
        for task in (*self._background, *self._tasks):
            task.cancel()
        await asyncio.gather(*self._background, *self._tasks, return_exceptions=True)
        self._pools.close()
        self._deadlines.stop()
        await self._metrics_listener.stop()
        self._log.note("stopped")

    # Reports from below.

    def emit(self, event: Event) -> None:
        self._metrics.count(event)
        self._log.event(event)

    def handshake(self, server_name: str | None, result: str, seconds: float) -> None:
        self._metrics.handshake(self._hosts.current.role(server_name), result, seconds)

    def connection_opened(self, server_name: str) -> str:
        role = self._hosts.current.role(server_name)
        self._metrics.connections.labels(role).inc()
        return role

    def connection_closed(self, role: str) -> None:
        self._metrics.connections.labels(role).dec()

    def crl_loaded(
        self, authority: str, location: str, crl_number: int | None, entries: int, next_update: datetime
    ) -> None:
        self._log.note(
            "crl_loaded",
            authority=authority,
            location=location,
            crl_number=crl_number,
            entries=entries,
            next_update=next_update,
        )

    def crl_failed(self, authority: str, location: str, detail: str) -> None:
        self._log.note("crl_failed", authority=authority, location=location, detail=detail)

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

    def _snapshot(self, material: Material, revocation: RevocationIndex) -> Snapshot:
        self._generation += 1
        settings = material.settings
        trust = TrustSnapshot(
            settings.device_trust_enabled, material.authorities, revocation, self._generation
        )
        return build_snapshot(material, trust)

    def _host_table(self, snapshot: Snapshot, material: Material) -> HostTable:
        return host_table(snapshot, material.certificates, self._send_no_tickets)

    def _make_handlers(self, sealer: Sealer) -> Mapping[Role, Handler]:
        clock, randomness = self._clock, self._randomness
        one_use_keys, seen_requests = MemoryOneUseKeys(), MemorySeenRequests()
        decisions = Decisions(self._live, clock, self)
        challenges = Challenges(self._live, sealer, one_use_keys, self._pending, clock, randomness, self)
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
            clock=clock,
            events=self,
            reference=self._reference,
            tasks=self._tasks,
            held_bodies=held_bodies,
            stopwatch=perf_counter,
            trusted_connections=self._trusted,
        )
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
                self._tasks,
                held_bodies,
                boundary,
            ),
            Role.ORG: OrgHandler(
                self._live, self._signer, self._answers, clock, self, self._reference, boundary
            ),
        }

    def _speaker(self, channel: Channel) -> Speaker:
        role = self._hosts.current.role(channel.server_name)
        if role is Role.UNKNOWN:  # a reload took the host away during the handshake
            role = Role.APP  # which answers 421
        return HttpConnection(channel, self._handlers[role], self._live.current.settings.limits)

    async def _listen(self, address: Address) -> asyncio.Server:
        def channel(visit: Visit) -> Channel:
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

        def accept() -> Visit:
            return Visit(
                self._admission,
                channel,
                self,
                lambda: self._live.current.settings.trusted_proxies,
                proxy_protocol=self._proxy_protocol,
            )

        server = await self._loop.create_server(accept, address.host, address.port, backlog=LISTEN_BACKLOG)
        for listening in server.sockets:
            # Accepted sockets inherit it: a peer that is gone without a word does not hold a tunnel for ever.
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        return server

    def _crls_changed(self, revocation: RevocationIndex) -> None:
        """A new index: in force for the next request at once, and for connections that last."""
        self._live.replace(self._live.current.with_revocation(revocation))
        self._close_untrusted(self._clock.now())
        self._report_crls()
        self._changed()

    def _close_untrusted(self, now: datetime) -> None:
        self._trusted.close_untrusted(self._live.current.trust, now)

    def _lost_trust(self, connections: int, seconds: float) -> None:
        self._metrics.closed_by_revocation.inc(connections)
        self._metrics.revocation_seconds.observe(seconds)

    def _report_crls(self) -> None:
        trust = self._live.current.trust
        report: dict[str, tuple[int, datetime | None]] = {}
        for authority in trust.authorities:
            held = [crl for c in authority.certificates for crl in trust.revocation.held_for(c.issuer_hash)]
            earliest = min((crl.next_update for crl in held), default=None)
            report[authority.name] = sum(map(_entries, held)), earliest
        self._metrics.crls(report)

    def _changed(self) -> None:
        self._changes += 1
        self._metrics.change_number.set(self._changes)

    def _not_ready(self) -> list[str]:
        if self._draining:
            return ["draining"]
        return [
            f"{state.authority}: {state.location}: {state.detail or 'the CRL is stale'}"
            for state in self._crls.freshness(self._clock.now())
            if not state.fresh
        ]

    async def _look_for_what_has_ended(self) -> None:
        """Challenges that nobody came back from; connections whose certificate or session has run out; server
        certificates that soon will."""
        while True:
            await asyncio.sleep(_ENDED_CHECK_SECONDS)
            now = self._clock.now()
            for event in self._pending.expire(now):
                self.emit(event)
            self._close_untrusted(now)
            self._metrics.count_expiring(now)
            self._report_shed()

    def _reference(self) -> str:
        """Drawn from a supply: asking the system each time costs a microsecond of every request."""
        at = self._reference_at
        if at == len(self._references):
            self._references = self._randomness.bytes(_REFERENCE_SUPPLY_BYTES)
            at = 0
        self._reference_at = at + _REFERENCE_BYTES
        return self._references[at : at + _REFERENCE_BYTES].hex()


@contextmanager
def _names_address(key: str, address: Address) -> Iterator[None]:
    """Say which key of the configuration asked for an address that cannot be had."""
    try:
        yield
    except OSError as error:
        cause = os.strerror(error.errno) if error.errno else str(error)
        raise OSError(error.errno, f"{key}: cannot listen on {_text(address)}: {cause}") from error


def _entries(crl: HeldCrl) -> int:
    return len(crl.full.revoked) + (0 if crl.delta is None else len(crl.delta.revoked))


def _text(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"
