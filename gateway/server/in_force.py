"""What is in force in a worker: the files, and what the org says laid over them, swapped in as one.

lay           material and org → snapshot and hosts; may fail, and may be done in a thread
swap_in       what was laid is in force; connections that rested on what is gone are closed
remember      what the org said last before the start, until it speaks
replace_org   a new state of the org: laid over the files that are in force, and swapped in
change_own    single changes: whom the org has revoked; nothing else is made anew
revoked       a new index of foreign CRLs
"""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gateway.model.org_state import OrgChange
from gateway.pki.authority import TrustSnapshot
from gateway.pki.own_revocations import OwnRevocations
from gateway.pki.revocation import RevocationIndex
from gateway.policy.conditions import ConditionParsers
from gateway.policy.rules import Policy
from gateway.server.hosts import HostTable, host_table
from gateway.server.ticket_keys import TicketKeys
from gateway.server.trusted_connections import Touched, TrustedConnections
from gateway.services.material import Material
from gateway.services.org_material import OrgContent, with_org
from gateway.services.ports import Clock
from gateway.services.snapshot import Live, Snapshot, build_snapshot
from gateway.tls.contexts import LeaveUnverified, SendNoTickets


@dataclass(frozen=True, slots=True)
class Laid:
    """``material`` is that of the files. ``refused`` says which of the org's policies are not in force, and
    why."""

    material: Material
    org: OrgContent | None
    snapshot: Snapshot
    hosts: HostTable
    policies: Mapping[str, Policy]
    refused: tuple[str, ...]


class InForce:
    """Raises what `lay` raises for the first ``material``."""

    def __init__(
        self,
        material: Material,
        parsers: ConditionParsers,
        send_no_tickets: SendNoTickets | None,
        leave_unverified: LeaveUnverified | None,
        tickets: TicketKeys,
        trusted: TrustedConnections,
        clock: Clock,
    ) -> None:
        self._parsers = parsers
        self._send_no_tickets = send_no_tickets
        self._leave_unverified = leave_unverified
        self._tickets = tickets
        self._trusted = trusted
        self._clock = clock
        # With a store, nothing is trusted before its org has said whom it has revoked.
        self._own = OwnRevocations() if material.settings.store_url is None else None
        self._revocation = RevocationIndex()
        self._generation = 0
        self._laid: Laid | None = None
        first = self.lay(material)
        self._laid = first
        self._generation = first.snapshot.trust.generation
        self.live: Live[Snapshot] = Live(first.snapshot)
        self.hosts: Live[HostTable] = Live(first.hosts)
        tickets.apply(first.hosts)

    def lay(self, material: Material) -> Laid:
        """A configuration, with what the org says now laid over it. Raises NoCertificateFor and
        ServerCertificateRefused."""
        return self._lay(material, None if self._laid is None else self._laid.org)

    def swap_in(self, laid: Laid) -> "asyncio.Future[None]":
        """Cannot fail. The result is there when no connection rests on what is gone."""
        former = self._laid
        if former is not None and laid.org is not former.org:  # it said something new meanwhile
            laid = self._lay(laid.material, former.org)
        return self._replace(laid)

    def remember(self, org: OrgContent) -> None:
        """Its policies, zones and settings count before any connection is taken, as the files alone may let
        in whom they keep out. Whom the org has revoked is still not known, so nobody is trusted yet."""
        assert self._laid is not None, "there is a configuration"
        self._replace(self._lay(self._laid.material, org))

    async def replace_org(
        self, org: OrgContent, own: OwnRevocations
    ) -> tuple[tuple[str, ...], "asyncio.Future[None]"]:
        """A new state of the org, which is in force when this returns. (which of its policies are not, and
        why; there when no connection rests on what is gone). Not to be called again before it has returned.
        """
        while True:
            former = self._laid
            assert former is not None, "there is a configuration"
            laid = await asyncio.to_thread(self._lay, former.material, org)
            if former is self._laid:  # else the configuration was replaced meanwhile
                break
        self._own = own
        return laid.refused, self._replace(laid)

    def change_own(self, changes: Sequence[OrgChange]) -> "asyncio.Future[None]":
        """Single changes that the org tells of: in force when this returns, and on connections that last when
        the result is there. Before there is a state nothing is trusted, and nothing is left to take away."""
        if self._own is not None:
            self._own = self._own.with_changes(changes)
            self.live.replace(self.live.current.with_own(self._own))
        return self._trusted.close_touched(Touched.by(changes), self.live.current.trust, self._clock.now())

    def revoked(self, revocation: RevocationIndex) -> None:
        """In force for the next request at once, and for connections that last."""
        self._revocation = revocation
        self.live.replace(self.live.current.with_revocation(revocation))
        self.close_untrusted()

    def close_untrusted(self) -> "asyncio.Future[None]":
        return self._trusted.close_untrusted(self.live.current.trust, self._clock.now())

    def _lay(self, material: Material, org: OrgContent | None) -> Laid:
        former = self._laid
        merged = with_org(material, org, self._parsers, {} if former is None else former.policies)
        trust = TrustSnapshot(
            merged.material.settings.device_trust_enabled,
            merged.material.authorities,
            self._revocation,
            self._generation + 1,
            self._own,
        )
        snapshot = build_snapshot(merged.material, trust)
        hosts = host_table(
            snapshot,
            material.certificates,
            self._send_no_tickets,
            None if former is None else former.hosts,
            self._leave_unverified,
        )
        return Laid(material, org, snapshot, hosts, merged.policies, merged.refused)

    def _replace(self, laid: Laid) -> "asyncio.Future[None]":
        self._laid = laid
        self._generation += 1
        # What is revoked may have changed since it was laid, and so may the generation.
        trust = replace(
            laid.snapshot.trust,
            revocation=self._revocation,
            own=self._own,
            generation=self._generation,
        )
        self.live.replace(replace(laid.snapshot, trust=trust))
        self.hosts.replace(laid.hosts)
        self._tickets.apply(laid.hosts)
        return self.close_untrusted()
