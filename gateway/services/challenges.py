"""The challenge: begun on the app host, answered on the mTLS host, redeemed on the app host again.

Nothing waits on the server meanwhile. What binds the hops together:

    flow    sealed; names app, host label, body digest, user digest, and the digest of a cookie
    cookie  in the browser that began; a ticket won elsewhere is worth nothing without it
    ticket  sealed; the flow and the verdict; 60 seconds, once
"""

import hmac
import re
from base64 import urlsafe_b64encode
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from gateway.model.device import TrustVerdict, VerifiedDevice
from gateway.model.events import ChallengeAnswered, ChallengeBegun, TicketRefused
from gateway.model.pages import ChallengeForm, Page, PageKind
from gateway.model.reasons import TicketReason
from gateway.model.settings import ChallengeMode
from gateway.pki.path_cache import PathCache
from gateway.pki.trust import recheck, verify_device
from gateway.proxy.cookies import (
    FLOW_COOKIE_PREFIX,
    MAX_FLOW_COOKIES,
    clear_flow_cookie,
    flow_cookie_name,
    set_flow_cookie,
)
from gateway.proxy.sealing import NONCE_BYTES, Sealer, TokenRefused
from gateway.proxy.targets import with_ticket
from gateway.proxy.tokens import (
    FLOW_LIFETIME_SECONDS,
    TICKET_LIFETIME_SECONDS,
    Flow,
    Ticket,
    open_flow,
    open_ticket,
    seal_flow,
    seal_ticket,
)
from gateway.services.arrivals import Arrival, ChallengeArrival
from gateway.services.outcomes import HeaderField, PostOn, Redirect, ShowPage, log_full_page
from gateway.services.pending import PendingChallenges
from gateway.services.ports import (
    Clock,
    EventSink,
    OneUseKeys,
    OneUseKeysFull,
    OneUseKeysUnreachable,
    Randomness,
    SystemLog,
    SystemLogFull,
)
from gateway.services.snapshot import Live, Snapshot, public_origin

# A return target goes into a URL together with the tokens; browsers and proxies take about 8 KB.
MAX_RETURN_TARGET_BYTES: Final = 2_048
MAX_ORIGIN_CHARACTERS: Final = 512
# A browser sends back what was set; whoever else may send any name.
_FLOW_COOKIE: Final = re.compile(re.escape(FLOW_COOKIE_PREFIX) + rb"([A-Za-z0-9_-]{1,64})")


class TicketNotAccepted(Exception):
    """The way back does not fit what was begun."""

    def __init__(self, reason: TicketReason, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Challenges:
    def __init__(
        self,
        live: Live[Snapshot],
        sealer: Sealer,
        one_use_keys: OneUseKeys,
        pending: PendingChallenges,
        clock: Clock,
        randomness: Randomness,
        events: EventSink,
        system_log: SystemLog,
    ) -> None:
        self._live = live
        self._system_log = system_log
        self._sealer = sealer
        self._one_use_keys = one_use_keys
        self._pending = pending
        self._clock = clock
        self._randomness = randomness
        self._events = events
        self._paths = PathCache()

    def begin(
        self, arrival: Arrival, user: str, fields: tuple[tuple[str, str], ...] | None, body_digest: str
    ) -> PostOn | Redirect:
        """Send the browser to a fresh host under the mTLS domain. ``fields`` is the message to carry, None
        for a GET.

        A fresh host name means a fresh connection and a fresh choice of certificate: a browser keeps "no
        certificate" for a host that it has asked about once.
        """
        now = self._clock.now()
        settings = self._live.current.settings
        secret = _text(self._randomness.bytes(32))
        flow = Flow(
            flow_id=_text(self._randomness.bytes(12)),
            app=arrival.app.settings.name,
            label="n" + self._randomness.bytes(12).hex(),
            method="GET" if fields is None else "POST",
            return_target=arrival.target.decode("latin-1"),
            body_digest=body_digest,
            user_digest=digest(user),
            cookie_digest=digest(secret),
            origin=arrival.origin[:MAX_ORIGIN_CHARACTERS] if arrival.origin else None,
            expires_at=int(now.timestamp()) + FLOW_LIFETIME_SECONDS,
            reference_id=arrival.reference_id,
        )
        token = seal_flow(
            self._sealer, flow, now_seconds=now.timestamp(), nonce=self._randomness.bytes(NONCE_BYTES)
        )
        mtls_origin = public_origin(f"{flow.label}.{settings.mtls_domain}", settings.public_port)
        location = f"{mtls_origin}/challenge?flow={token}"
        cookies = (
            set_flow_cookie(flow.flow_id, secret, FLOW_LIFETIME_SECONDS),
            *_cleared_surplus(arrival.cookies),
        )
        self._pending.begin(flow)
        self._events.emit(
            ChallengeBegun(now, arrival.reference_id, flow.app, flow.flow_id, user, str(arrival.ip))
        )
        if fields is None:
            return Redirect(303, location, cookies)
        if arrival.app.settings.challenge is ChallengeMode.REDIRECT:
            return Redirect(307, location, cookies)
        return PostOn(
            ChallengeForm(
                action=location,
                fields=fields,
                app_label=arrival.app.settings.label,
                form_action_sources=(mtls_origin, arrival.app.origin),
            ),
            cookies,
        )

    def answer(self, arrival: ChallengeArrival) -> Redirect | ShowPage:
        """On the mTLS host: judge the certificate of this very handshake and send the browser back."""
        now = self._clock.now()
        snapshot = self._live.current
        try:
            flow = open_flow(self._sealer, arrival.flow_token, now_seconds=now.timestamp())
        except TokenRefused as refused:
            return self._refused(arrival, "", TicketReason.TICKET_INVALID, str(refused))
        app = snapshot.apps_by_name.get(flow.app)
        if app is None:
            return self._refused(arrival, flow.app, TicketReason.TICKET_INVALID, "the flow's app is gone")
        if flow.label != arrival.label or flow.method != arrival.method:
            detail = "the flow is for another host or method"
            return self._refused(arrival, flow.app, TicketReason.TICKET_INVALID, detail)
        if flow.expires_at <= now.timestamp():
            return self._refused(arrival, flow.app, TicketReason.TICKET_EXPIRED, "the flow has expired")
        verdict = verify_device(arrival.peer, snapshot.trust, now, self._paths)
        self._pending.arrived(flow.flow_id)
        answered = _answered(verdict, flow, arrival, now)
        self._events.emit(answered)
        try:
            self._system_log.keep(answered)
        except SystemLogFull:
            return ShowPage(log_full_page(flow.reference_id, app.settings.label))
        ticket = Ticket(
            ticket_id=_text(self._randomness.bytes(16)),
            flow=flow,
            verdict=verdict,
            expires_at=int(now.timestamp()) + TICKET_LIFETIME_SECONDS,
        )
        token = seal_ticket(
            self._sealer, ticket, now_seconds=now.timestamp(), nonce=self._randomness.bytes(NONCE_BYTES)
        )
        target = with_ticket(flow.return_target.encode("ascii"), token).decode("ascii")
        return Redirect(307 if flow.method == "POST" else 303, app.origin + target)

    async def redeem(self, arrival: Arrival, user: str, body_digest: str) -> tuple[Flow, TrustVerdict]:
        """On the app host again: the verdict, if ticket, cookie, app, target, message and user all belong
        together and the ticket is used for the first time. Raises TicketNotAccepted and
        OneUseKeysUnreachable.

        The verdict is checked once more against what is known now: the certificate may have been revoked
        between the hops.
        """
        now = self._clock.now()
        try:
            ticket = open_ticket(self._sealer, arrival.ticket or "", now_seconds=now.timestamp())
        except TokenRefused as refused:
            raise TicketNotAccepted(TicketReason.TICKET_INVALID, str(refused)) from refused
        flow = ticket.flow
        if ticket.expires_at <= now.timestamp():
            raise TicketNotAccepted(TicketReason.TICKET_EXPIRED, "the ticket has expired")
        if flow.app != arrival.app.settings.name or flow.return_target != arrival.target.decode("latin-1"):
            raise TicketNotAccepted(TicketReason.TICKET_NOT_YOURS, "the ticket is for another app or address")
        cookie = arrival.cookies.get(flow_cookie_name(flow.flow_id), b"").decode("latin-1")
        if not hmac.compare_digest(digest(cookie), flow.cookie_digest):
            # Somebody was lured into winning this ticket for another browser. It is spent here, before the
            # person can be talked into reading the address out of the browser's bar.
            await self._claim(ticket, now)
            raise TicketNotAccepted(TicketReason.TICKET_NOT_YOURS, "another browser began this sign-on")
        if flow.method != arrival.method or not hmac.compare_digest(body_digest, flow.body_digest):
            raise TicketNotAccepted(TicketReason.TICKET_NOT_YOURS, "the ticket is for another message")
        if not hmac.compare_digest(digest(user), flow.user_digest):
            raise TicketNotAccepted(TicketReason.TICKET_NOT_YOURS, "the ticket is for another user")
        if not await self._claim(ticket, now):
            raise TicketNotAccepted(TicketReason.TICKET_REPLAYED, "the ticket was used before")
        self._pending.returned(flow.flow_id)
        verdict = ticket.verdict
        if isinstance(verdict, VerifiedDevice):
            verdict = recheck(verdict, self._live.current.trust, now)
        return flow, verdict

    async def spend(self, arrival: Arrival) -> None:
        """Use up the ticket of a request that has no use for it, so that nobody else finds one."""
        now = self._clock.now()
        try:
            ticket = open_ticket(self._sealer, arrival.ticket or "", now_seconds=now.timestamp())
            if ticket.expires_at > now.timestamp():
                await self._claim(ticket, now)
        except (TokenRefused, TicketNotAccepted, OneUseKeysUnreachable):
            return  # no ticket, or none that can be redeemed now

    async def _claim(self, ticket: Ticket, now: datetime) -> bool:
        """True for the first use of a ticket. Raises TicketNotAccepted where that cannot be remembered, and
        OneUseKeysUnreachable."""
        expires = datetime.fromtimestamp(ticket.expires_at, UTC)
        try:
            return await self._one_use_keys.claim(f"ticket:{ticket.ticket_id}", expires, now)
        except OneUseKeysFull as full:
            raise TicketNotAccepted(TicketReason.TICKET_INVALID, str(full)) from full

    def ticket_page(self, arrival: Arrival, refused: TicketNotAccepted) -> ShowPage:
        """The page for a way back that does not fit, with its line in the log."""
        self._events.emit(
            TicketRefused(
                self._clock.now(),
                arrival.reference_id,
                arrival.app.settings.name,
                refused.reason,
                refused.detail,
                str(arrival.ip),
            )
        )
        return ShowPage(
            Page(
                PageKind.TICKET_REFUSED, 400, refused.reason, arrival.reference_id, arrival.app.settings.label
            )
        )

    def _refused(self, arrival: ChallengeArrival, app: str, reason: TicketReason, detail: str) -> ShowPage:
        now = self._clock.now()
        self._events.emit(TicketRefused(now, arrival.reference_id, app, reason, detail, str(arrival.ip)))
        return ShowPage(Page(PageKind.TICKET_REFUSED, 400, reason, arrival.reference_id))


def digest(text: str | bytes) -> str:
    return sha256(text.encode() if isinstance(text, str) else text).hexdigest()


def _text(raw: bytes) -> str:
    return urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


def _cleared_surplus(cookies: Mapping[bytes, bytes]) -> tuple[HeaderField, ...]:
    """Flow cookies past their bound, to be removed. Which of them are the oldest nobody knows."""
    flows = [match[1] for match in map(_FLOW_COOKIE.fullmatch, cookies) if match is not None]
    surplus = flows[: max(0, len(flows) - MAX_FLOW_COOKIES)]
    return tuple(clear_flow_cookie(flow_id.decode("ascii")) for flow_id in surplus)


def _answered(
    verdict: TrustVerdict, flow: Flow, arrival: ChallengeArrival, now: datetime
) -> ChallengeAnswered:
    trusted = isinstance(verdict, VerifiedDevice)
    return ChallengeAnswered(
        at=now,
        reference_id=flow.reference_id,
        app=flow.app,
        flow_id=flow.flow_id,
        verdict="trusted" if trusted else "not_trusted",
        reason="" if isinstance(verdict, VerifiedDevice) else verdict.reason,
        detail="" if isinstance(verdict, VerifiedDevice) else verdict.detail,
        device=verdict.device,
        certificate_thumbprint=verdict.certificate_thumbprint,
        ip=str(arrival.ip),
        user=verdict.user if isinstance(verdict, VerifiedDevice) else None,
        hardware_key=isinstance(verdict, VerifiedDevice) and verdict.hardware_key,
    )
