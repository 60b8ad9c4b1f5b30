"""`enforcement: session`: every request of an app rests on a device that is still trusted.

The session is a sealed cookie bound to user, device and certificate; nothing is kept on the server but a
bounded cache of opened cookies. Each request checks again: the certificate against what is known now, and
the policy with the address and client of this very request.

A request without a session goes to the app as an anonymous one, without the app's own cookies and
credentials: the app can start a sign-on, and an app cookie taken to another computer opens nothing.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.model.device import NotTrusted, TrustVerdict, VerifiedDevice
from gateway.model.identity import Identity
from gateway.model.pages import Page, PageKind
from gateway.model.reasons import NO_HARDWARE_KEY
from gateway.model.settings import Enforcement
from gateway.pki.trust import recheck
from gateway.proxy.cookies import SESSION_COOKIE, clear_flow_cookie, clear_session_cookie, set_session_cookie
from gateway.proxy.sealing import NONCE_BYTES, Sealer, TokenRefused
from gateway.proxy.tokens import Session, open_session, seal_session
from gateway.services.arrivals import Arrival
from gateway.services.challenges import MAX_RETURN_TARGET_BYTES, Challenges, TicketNotAccepted
from gateway.services.decisions import NOT_ASKED, Decided, Decisions
from gateway.services.outcomes import Forward, Outcome, Redirect, ShowPage, store_unavailable_page
from gateway.services.ports import Clock, OneUseKeysUnreachable, Randomness
from gateway.services.recent import Recent
from gateway.services.snapshot import Live, Snapshot
from gateway.services.statements import IdentityStatement

# Opened session cookies that are remembered while people work with them: 1.1 KB each.
MAX_CACHED_SESSIONS: Final = 20_000
# A browser refuses a cookie of more than 4096 bytes with its name and attributes.
MAX_SESSION_CHARACTERS: Final = 3_900


@dataclass(frozen=True, slots=True)
class _Opened:
    """A session with what each of its requests needs of it, made ready once."""

    session: Session
    identity: Identity
    ends: datetime


class Sessions:
    def __init__(
        self,
        live: Live[Snapshot],
        decisions: Decisions,
        challenges: Challenges,
        sealer: Sealer,
        clock: Clock,
        randomness: Randomness,
    ) -> None:
        self._live = live
        self._decisions = decisions
        self._challenges = challenges
        self._sealer = sealer
        self._clock = clock
        self._randomness = randomness
        self._opened: Recent[bytes, _Opened] = Recent(MAX_CACHED_SESSIONS)
        self._ended: Recent[str, bool] = Recent(MAX_CACHED_SESSIONS)

    def begin(self, arrival: Arrival, identity: Identity, verdict: TrustVerdict) -> tuple[str, int] | None:
        """(cookie value, Max-Age in seconds) after a sign-on that was let through; None where the app has no
        sessions. Raises SessionTooLarge."""
        settings = arrival.app.settings
        if settings.enforcement is not Enforcement.SESSION:
            return None
        now = self._clock.now()
        ends = now + settings.session_lifetime
        if identity.session_not_on_or_after is not None:
            ends = min(ends, identity.session_not_on_or_after)
        return self._seal(
            Session(
                session_id=self._randomness.bytes(9).hex(),
                app=settings.name,
                user=identity.user,
                groups=tuple(sorted(identity.groups & arrival.app.referenced_groups)),
                identity_provider=identity.identity_provider,
                authn_context_class_ref=identity.authn_context_class_ref,
                authn_instant=_seconds(identity.authn_instant),
                verdict=verdict,
                expires_at=int(ends.timestamp()),
            ),
            now,
        )

    def check(self, arrival: Arrival) -> Outcome:
        """Decide on one request of a running session, in memory."""
        opened = self._open(arrival)
        if opened is None:
            return Forward(anonymous=True)
        session, identity = opened.session, opened.identity
        verdict = session.verdict
        if isinstance(verdict, VerifiedDevice):
            verdict = recheck(verdict, self._live.current.trust, self._clock.now())
        if verdict == NOT_ASKED:
            decided = self._decisions.without_device(arrival, identity)
        else:
            decided = self._decisions.with_device(arrival, identity, verdict)
        if decided.page is None and not decided.needs_challenge:
            return Forward(
                statement=IdentityStatement(session.app, session.user, decided.verdict),
                session_ends=opened.ends,
            )
        return self._lapsed(arrival, session.session_id, identity, decided)

    async def returned(self, arrival: Arrival) -> Outcome:
        """A GET came back from the challenge with a ticket: the session goes on, or ends."""
        opened = self._open(arrival)
        if opened is None:
            # Whoever began this was signed on; a ticket alone signs nobody on.
            await self._challenges.spend(arrival)
            return Redirect(303, arrival.app.origin + arrival.target.decode("ascii"))
        session, identity = opened.session, opened.identity
        try:
            flow, verdict = await self._challenges.redeem(arrival, identity.user, "")
        except TicketNotAccepted as refused:
            return self._challenges.ticket_page(arrival, refused)
        except OneUseKeysUnreachable:
            return ShowPage(store_unavailable_page(arrival.reference_id, arrival.app.settings.label))
        decided = self._decisions.with_device(arrival, identity, verdict)
        self._decisions.report(arrival, identity, decided, flow.flow_id, session=True)
        clear = clear_flow_cookie(flow.flow_id)
        if decided.page is not None:
            return ShowPage(decided.page, (clear, clear_session_cookie()))
        now = self._clock.now()
        renewed = self._seal(
            Session(
                session_id=session.session_id,
                app=session.app,
                user=session.user,
                groups=session.groups,
                identity_provider=session.identity_provider,
                authn_context_class_ref=session.authn_context_class_ref,
                authn_instant=session.authn_instant,
                verdict=decided.verdict,
                expires_at=session.expires_at,
            ),
            now,
        )
        return Redirect(
            303, arrival.app.origin + arrival.target.decode("ascii"), (clear, set_session_cookie(*renewed))
        )

    def _lapsed(self, arrival: Arrival, session_id: str, identity: Identity, decided: Decided) -> Outcome:
        """The device of the session no longer does. A person's navigation may show another certificate (the
        old one was renewed, or the policy now asks); anything else is told so and ends."""
        trust_matters = (
            decided.needs_challenge
            or isinstance(decided.verdict, NotTrusted)
            or decided.reason == NO_HARDWARE_KEY
        )
        if trust_matters and arrival.navigation and len(arrival.target) <= MAX_RETURN_TARGET_BYTES:
            without = self._decisions.without_device(arrival, identity)
            if without.needs_challenge:
                return self._challenges.begin(arrival, identity.user, None, "")
        again = self._has_ended_before(session_id)
        self._decisions.report(arrival, identity, decided, None, session=True, again=again)
        page = decided.page or Page(
            PageKind.LOCKED, 403, decided.reason, arrival.reference_id, arrival.app.settings.label
        )
        return ShowPage(page, (clear_session_cookie(),) if arrival.navigation else ())

    def _has_ended_before(self, session_id: str) -> bool:
        """A script may go on asking with a session that is over: that is one event, not one for each."""
        now_seconds = self._clock.now().timestamp()
        if self._ended.get(session_id, now_seconds):
            return True
        self._ended.put(session_id, True, now_seconds)
        return False

    def _open(self, arrival: Arrival) -> _Opened | None:
        """The session of the request's cookie; None if there is none, or it is over, or for another app.

        What the exact bytes of a cookie open to never changes, so it is kept; that it still counts is not.
        """
        token = arrival.cookies.get(SESSION_COOKIE)
        if token is None:
            return None
        now_seconds = self._clock.now().timestamp()
        opened = self._opened.get(token, now_seconds)
        if opened is None:
            try:
                session = open_session(self._sealer, token.decode("latin-1"), now_seconds=now_seconds)
            except TokenRefused:
                return None
            ends = datetime.fromtimestamp(session.expires_at, UTC)
            opened = _Opened(session, _identity(session), ends)
            self._opened.put(token, opened, now_seconds)
        session = opened.session
        if session.expires_at <= now_seconds or session.app != arrival.app.settings.name:
            return None
        return opened

    def _seal(self, session: Session, now: datetime) -> tuple[str, int]:
        token = seal_session(
            self._sealer,
            session,
            now_seconds=now.timestamp(),
            nonce=self._randomness.bytes(NONCE_BYTES),
        )
        if len(token) > MAX_SESSION_CHARACTERS:
            raise SessionTooLarge(f"a session of {len(token)} characters does not fit into a cookie")
        return token, max(0, session.expires_at - int(now.timestamp()))


class SessionTooLarge(Exception):
    """User, groups and certificate of a session do not fit into a cookie."""


def _identity(session: Session) -> Identity:
    instant = session.authn_instant
    return Identity(
        user=session.user,
        groups=frozenset(session.groups),
        identity_provider=session.identity_provider,
        authn_context_class_ref=session.authn_context_class_ref,
        authn_instant=None if instant is None else datetime.fromtimestamp(instant, UTC),
    )


def _seconds(moment: datetime | None) -> int | None:
    return None if moment is None else int(moment.timestamp())
