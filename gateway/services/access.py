"""The sign-on, one screen: a message comes in, and is forwarded, or not, with the reason.

message      verified whole: signature, conditions, audience, recipient, not seen before
policy       with trust unknown: where both answers are the same, that is the answer
challenge    else the browser goes to the mTLS host and comes back with a ticket
             and the message with it, verified again or known from a moment ago
ticket       belongs to this browser, app, message and user; used once; gives the verdict
enforce      policy with the verdict: forward, locked page, or factor required
"""

from dataclasses import replace

from gateway.federation.errors import MessageRejected
from gateway.model.events import MessageAccepted, MessageRefused
from gateway.model.pages import Page, PageKind
from gateway.model.reasons import MessageReason
from gateway.model.settings import Enforcement
from gateway.proxy.cookies import clear_flow_cookie, set_session_cookie
from gateway.services.arrivals import Arrival, PostedMessage
from gateway.services.challenges import MAX_RETURN_TARGET_BYTES, Challenges, TicketNotAccepted
from gateway.services.decisions import Decided, Decisions
from gateway.services.messages import ReadMessage, read_message
from gateway.services.outcomes import Forward, Outcome, ShowPage, log_full_page
from gateway.services.ports import (
    Clock,
    EventSink,
    OneUseKeys,
    OneUseKeysFull,
    OneUseKeysUnreachable,
    SeenRequests,
    SystemLogFull,
)
from gateway.services.sessions import Sessions, SessionTooLarge
from gateway.services.statements import IdentityStatement
from gateway.services.verified_messages import VerifiedMessages


class Access:
    """Lets a sign-on through, or says why not."""

    def __init__(
        self,
        decisions: Decisions,
        challenges: Challenges,
        sessions: Sessions,
        one_use_keys: OneUseKeys,
        seen_requests: SeenRequests,
        clock: Clock,
        events: EventSink,
    ) -> None:
        self._decisions = decisions
        self._challenges = challenges
        self._sessions = sessions
        self._one_use_keys = one_use_keys
        self._seen_requests = seen_requests
        self._clock = clock
        self._events = events
        self._expected = VerifiedMessages()

    async def sign_on(self, posted: PostedMessage) -> Outcome:
        """Decide on one form posted to an assertion endpoint."""
        try:
            return await self._sign_on(posted)
        except OneUseKeysUnreachable as unreachable:
            return self._refuse(posted, MessageRejected(MessageReason.STORE_UNAVAILABLE, str(unreachable)))

    async def _sign_on(self, posted: PostedMessage) -> Outcome:
        """Raises OneUseKeysUnreachable."""
        arrival, now = posted.arrival, self._clock.now()
        try:
            message = await read_message(posted, self._seen_requests, self._expected, now)
            if message.signs_on and await self._one_use_keys.is_claimed(message.replay_key, now):
                raise MessageRejected(MessageReason.REPLAYED, "the assertion was used before")
        except MessageRejected as refused:
            await self._challenges.spend(arrival)
            return self._refuse(posted, refused)
        if not message.signs_on:
            await self._challenges.spend(arrival)
            return self._no_sign_on(arrival, message)
        identity = message.identity

        if arrival.ticket is None:
            decided = self._decisions.without_device(arrival, identity)
            if decided.needs_challenge:
                if len(arrival.target) > MAX_RETURN_TARGET_BYTES:
                    return ShowPage(Page(PageKind.ERROR, 414, "", arrival.reference_id))
                if message.verified is not None:
                    self._expected.expect(arrival, message.body_digest, message.verified, now)
                return self._challenges.begin(arrival, identity.user, message.fields, message.body_digest)
            return await self._enforce(posted, message, decided, flow_id=None)
        try:
            flow, verdict = await self._challenges.redeem(arrival, identity.user, message.body_digest)
        except TicketNotAccepted as refused_ticket:
            return self._challenges.ticket_page(arrival, refused_ticket)
        decided = self._decisions.with_device(arrival, identity, verdict)
        outcome = await self._enforce(posted, message, decided, flow_id=flow.flow_id)
        return _returned(outcome, flow.flow_id, flow.origin)

    def _no_sign_on(self, arrival: Arrival, message: ReadMessage) -> Outcome:
        """A form of another kind is a request like any: with `enforcement: session` it needs its session."""
        outcome: Outcome = Forward()
        if arrival.app.settings.enforcement is Enforcement.SESSION:
            outcome = self._sessions.check(arrival)
        return replace(outcome, body=message.rebuilt_body) if isinstance(outcome, Forward) else outcome

    async def _enforce(
        self, posted: PostedMessage, message: ReadMessage, decided: Decided, flow_id: str | None
    ) -> Outcome:
        try:
            return await self._enforced(posted, message, decided, flow_id)
        except SystemLogFull:
            return ShowPage(log_full_page(posted.arrival.reference_id, posted.arrival.app.settings.label))

    async def _enforced(
        self, posted: PostedMessage, message: ReadMessage, decided: Decided, flow_id: str | None
    ) -> Outcome:
        """Raises SystemLogFull: before the assertion is used up, unless the disk fails just then."""
        arrival = posted.arrival
        if decided.page is not None:
            self._decisions.report(arrival, message.identity, decided, flow_id)
            return ShowPage(decided.page)
        self._decisions.require_room(arrival, message.identity, decided, flow_id)
        try:
            session = self._sessions.begin(arrival, message.identity, decided.verdict)
            await self._use_up(message)
        except SessionTooLarge as large:
            return self._refuse(posted, MessageRejected(MessageReason.TOO_LARGE, str(large)))
        except MessageRejected as refused:
            return self._refuse(posted, refused)
        decided = self._decisions.still(arrival, message.identity, decided)
        self._decisions.report(arrival, message.identity, decided, flow_id)
        if decided.page is not None:
            return ShowPage(decided.page)
        settings = arrival.app.settings
        self._events.emit(
            MessageAccepted(self._clock.now(), arrival.reference_id, settings.name, settings.protocol)
        )
        return Forward(
            statement=IdentityStatement(settings.name, message.identity.user, decided.verdict),
            body=message.rebuilt_body,
            response_fields=(set_session_cookie(*session),) if session else (),
        )

    async def _use_up(self, message: ReadMessage) -> None:
        """The assertion's one use (SAML Profiles §4.1.4.5). Raises MessageRejected and
        OneUseKeysUnreachable."""
        try:
            first = await self._one_use_keys.claim(
                message.replay_key, message.replay_until, self._clock.now()
            )
        except OneUseKeysFull as full:
            raise MessageRejected(MessageReason.REPLAYED, str(full)) from full
        if not first:
            raise MessageRejected(MessageReason.REPLAYED, "the assertion was used before")

    def _refuse(self, posted: PostedMessage, refused: MessageRejected) -> ShowPage:
        arrival, settings = posted.arrival, posted.arrival.app.settings
        self._events.emit(
            MessageRefused(
                self._clock.now(),
                arrival.reference_id,
                settings.name,
                settings.protocol,
                refused.reason,
                refused.detail,
                str(arrival.ip),
            )
        )
        status = 503 if refused.reason is MessageReason.STORE_UNAVAILABLE else 400
        page = Page(PageKind.MESSAGE_REFUSED, status, refused.reason, arrival.reference_id, settings.label)
        return ShowPage(page)


def _returned(outcome: Outcome, flow_id: str, origin: str | None) -> Outcome:
    """The flow is over: its cookie goes, and the app sees the Origin that the 307 chain lost."""
    clear = clear_flow_cookie(flow_id)
    if isinstance(outcome, Forward):
        return Forward(
            statement=outcome.statement,
            body=outcome.body,
            origin=origin,
            response_fields=(clear, *outcome.response_fields),
        )
    if isinstance(outcome, ShowPage):
        return ShowPage(outcome.page, (clear, *outcome.response_fields))
    return outcome
