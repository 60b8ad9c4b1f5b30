"""From who, where and which device to a decision, its page, and its line in the log."""

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from gateway.model.decision import Access, Decision, DeviceTrust, FactorPrompt, SignOnRequest
from gateway.model.device import NotTrusted, TrustVerdict, VerifiedDevice
from gateway.model.events import SignOnDecided
from gateway.model.identity import Identity
from gateway.model.pages import Page, PageKind
from gateway.model.reasons import NO_HARDWARE_KEY, SYSTEM_LOG_FULL, TrustReason
from gateway.pki.trust import bind_user, recheck
from gateway.policy.engine import evaluate, evaluate_both
from gateway.policy.user_agent import classify
from gateway.services.arrivals import Arrival
from gateway.services.ports import Clock, EventSink, SystemLog, SystemLogFull
from gateway.services.snapshot import Live, Snapshot

# The clocks of identity provider and gateway may differ by this much.
_CLOCK_SKEW: Final = timedelta(seconds=60)

NOT_ASKED: Final = NotTrusted(TrustReason.NO_CERTIFICATE, "the answer did not depend on the device")


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision with what follows from it. ``page`` is None where the request goes to the app."""

    decision: Decision
    verdict: TrustVerdict
    device_trust: DeviceTrust
    reason: str
    page: Page | None
    needs_challenge: bool = False


class Decisions:
    def __init__(self, live: Live[Snapshot], clock: Clock, events: EventSink, system_log: SystemLog) -> None:
        self._live = live
        self._clock = clock
        self._events = events
        self._system_log = system_log

    def without_device(self, arrival: Arrival, identity: Identity) -> Decided:
        """Decide before any device was seen. ``needs_challenge`` where the device makes the difference."""
        snapshot = self._live.current
        request = _request(arrival, identity, DeviceTrust.UNKNOWN)
        answers = evaluate_both(arrival.app.policy, request, snapshot.zones)
        matters = answers.needs_challenge or (
            arrival.app.settings.challenge_for_monitor and answers.monitor_differs
        )
        if not snapshot.trust.enabled:
            verdict = NotTrusted(TrustReason.DEVICE_TRUST_DISABLED, "device trust is switched off")
            return self._decided(arrival, identity, answers.not_trusted, verdict, DeviceTrust.NOT_TRUSTED)
        if matters:
            unknown = self._decided(arrival, identity, answers.not_trusted, NOT_ASKED, DeviceTrust.UNKNOWN)
            return replace(unknown, needs_challenge=True)
        return self._decided(arrival, identity, answers.not_trusted, NOT_ASKED, DeviceTrust.UNKNOWN)

    def with_device(self, arrival: Arrival, identity: Identity, verdict: TrustVerdict) -> Decided:
        """Decide with the verdict on a device, which must be this user's device where that is required."""
        bound = bind_user(verdict, identity.user, self._live.current.trust.own)
        if isinstance(bound, VerifiedDevice):
            trust, hardware_key = DeviceTrust.TRUSTED, bound.hardware_key
        else:
            trust, hardware_key = DeviceTrust.NOT_TRUSTED, False
        request = _request(arrival, identity, trust, hardware_key)
        decision = evaluate(arrival.app.policy, request, self._live.current.zones)
        return self._decided(arrival, identity, decision, bound, trust)

    def still(self, arrival: Arrival, identity: Identity, decided: Decided) -> Decided:
        """What was decided, after something was waited for. What was revoked meanwhile counts: whoever did it
        was told that it does, and the request that this one becomes was not among those that were ended."""
        if not isinstance(decided.verdict, VerifiedDevice):
            return decided
        verdict = recheck(decided.verdict, self._live.current.trust, self._clock.now())
        if verdict is decided.verdict and not self._is_unbound(verdict, identity):
            return decided
        return self.with_device(arrival, identity, verdict)

    def _is_unbound(self, verdict: TrustVerdict, identity: Identity) -> bool:
        return isinstance(bind_user(verdict, identity.user, self._live.current.trust.own), NotTrusted)

    def report(
        self,
        arrival: Arrival,
        identity: Identity,
        decided: Decided,
        flow_id: str | None,
        *,
        session: bool = False,
        again: bool = False,
    ) -> None:
        """One event for the System Log, one line for the log, one count for the metrics.

        Raises SystemLogFull, when the others have it, as a refusal; not for a session: one that goes on is no
        event of the System Log, and one that is over lets nothing through. ``again``: its end was reported
        before, and is no further event."""
        event = self._decided_event(arrival, identity, decided, flow_id, session)
        if session:
            if decided.page is not None and not again:
                with suppress(SystemLogFull):
                    self._system_log.keep(event)
        else:
            try:
                self._system_log.keep(event)
            except SystemLogFull:
                self._events.emit(replace(event, access=Access.DENY.value, reason=SYSTEM_LOG_FULL))
                raise
        self._events.emit(event)

    def require_room(
        self, arrival: Arrival, identity: Identity, decided: Decided, flow_id: str | None
    ) -> None:
        """Raises SystemLogFull where `report` would, and reports the refusal."""
        try:
            self._system_log.require_room()
        except SystemLogFull:
            event = self._decided_event(arrival, identity, decided, flow_id, session=False)
            self._events.emit(replace(event, access=Access.DENY.value, reason=SYSTEM_LOG_FULL))
            raise

    def _decided_event(
        self,
        arrival: Arrival,
        identity: Identity,
        decided: Decided,
        flow_id: str | None,
        session: bool,
    ) -> SignOnDecided:
        client, platform = classify(arrival.user_agent)
        verdict = decided.verdict
        not_trusted = verdict if isinstance(verdict, NotTrusted) and verdict is not NOT_ASKED else None
        access = decided.decision.access.value
        if decided.page is not None and decided.page.kind is PageKind.FACTOR_REQUIRED:
            access = "prompt_for_factor"
        return SignOnDecided(
            at=self._clock.now(),
            reference_id=arrival.reference_id,
            app=arrival.app.settings.name,
            protocol=arrival.app.settings.protocol,
            user=identity.user,
            identity_provider=identity.identity_provider,
            ip=str(arrival.ip),
            client=client,
            platform=platform,
            access=access,
            reason=decided.reason,
            rule=decided.decision.rule,
            device_trust=decided.device_trust,
            trust_reason=None if not_trusted is None else not_trusted.reason,
            trust_detail="" if not_trusted is None else not_trusted.detail,
            device=verdict.device,
            certificate_thumbprint=verdict.certificate_thumbprint,
            flow_id=flow_id,
            monitored=decided.decision.monitored,
            session=session,
            hardware_key=isinstance(verdict, VerifiedDevice) and verdict.hardware_key,
        )

    def _decided(
        self,
        arrival: Arrival,
        identity: Identity,
        decision: Decision,
        verdict: TrustVerdict,
        trust: DeviceTrust,
    ) -> Decided:
        if decision.access is Access.DENY:
            reason = self._denial_reason(arrival, identity, decision, verdict, trust)
            return Decided(decision, verdict, trust, reason, self._page(PageKind.LOCKED, arrival, reason))
        prompt = decision.prompt_for_factor
        if prompt is not None and not factor_shown(
            prompt, arrival.app.settings.factor_contexts, identity, self._clock.now()
        ):
            page = self._page(PageKind.FACTOR_REQUIRED, arrival, decision.reason)
            return Decided(decision, verdict, trust, decision.reason, page)
        return Decided(decision, verdict, trust, decision.reason, None)

    def _denial_reason(
        self,
        arrival: Arrival,
        identity: Identity,
        decision: Decision,
        verdict: TrustVerdict,
        trust: DeviceTrust,
    ) -> str:
        """What is wrong with the device, where a better one would have been let in; else the rule."""
        if trust is DeviceTrust.UNKNOWN:
            return decision.reason
        policy, zones = arrival.app.policy, self._live.current.zones
        if isinstance(verdict, NotTrusted):
            would_be = evaluate(policy, _request(arrival, identity, DeviceTrust.TRUSTED), zones)
            if would_be.access is Access.ALLOW:
                return verdict.reason.value
        elif verdict.hardware_key:
            return decision.reason
        if policy.tells_keys_apart:
            would_be = evaluate(policy, _request(arrival, identity, DeviceTrust.TRUSTED, True), zones)
            if would_be.access is Access.ALLOW:
                return verdict.reason.value if isinstance(verdict, NotTrusted) else NO_HARDWARE_KEY
        return decision.reason

    def _page(self, kind: PageKind, arrival: Arrival, reason: str) -> Page:
        return Page(
            kind,
            403,
            reason,
            arrival.reference_id,
            arrival.app.settings.label,
            self._live.current.settings.learn_more_url,
        )


def factor_shown(
    prompt: FactorPrompt, factor_contexts: frozenset[str], identity: Identity, now: datetime
) -> bool:
    """True if the assertion itself shows a second factor that satisfies the prompt.

    Only the app's own list of authentication contexts counts, by exact string. ``every_minutes`` also needs
    an AuthnInstant that is recent enough; `every_sign_on` and `every_session` take the assertion's word,
    since each sign-on brings a new assertion.
    """
    if identity.authn_context_class_ref not in factor_contexts:
        return False
    if prompt.minutes is None:
        return True
    instant = identity.authn_instant
    return instant is not None and now - instant <= timedelta(minutes=prompt.minutes) + _CLOCK_SKEW


def _request(
    arrival: Arrival, identity: Identity, trust: DeviceTrust, hardware_key: bool = False
) -> SignOnRequest:
    client, platform = classify(arrival.user_agent)
    return SignOnRequest(identity.user, identity.groups, arrival.ip, client, platform, trust, hardware_key)
