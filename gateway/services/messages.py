"""Read what was posted to an assertion endpoint: a sign-on, verified whole, or something that is none."""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from gateway.federation.errors import MessageRejected
from gateway.federation.expectation import Expectation, VerifiedMessage
from gateway.federation.form import MessageForm, parse_form, rebuild_form
from gateway.federation.kinds import MessageKind, message_kind
from gateway.federation.saml2 import verify_response
from gateway.federation.ws_fed import verify_wresult
from gateway.model.identity import Identity
from gateway.model.reasons import MessageReason
from gateway.model.settings import FederationProtocol
from gateway.services.arrivals import PostedMessage
from gateway.services.challenges import digest
from gateway.services.ports import SeenRequests
from gateway.services.snapshot import App
from gateway.services.verified_messages import ExpectedMessage, VerifiedMessages

_NOBODY: Final = Identity("", frozenset(), "", None, None)
_EPOCH: Final = datetime.fromtimestamp(0, UTC)
# Another charset, or a parameter that only some servers read, would give the app another form than ours.
_CONTENT_TYPE: Final = re.compile(
    rb'application/x-www-form-urlencoded[ \t]*(?:;[ \t]*charset="?utf-8"?[ \t]*)?'
)


@dataclass(frozen=True, slots=True)
class ReadMessage:
    """``signs_on`` False: nothing that could sign anybody on. ``rebuilt_body`` is what the app gets.

    ``verified`` is what the verification gave; None where one of a moment ago stands for it.
    """

    signs_on: bool
    identity: Identity = _NOBODY
    replay_key: str = ""
    replay_until: datetime = _EPOCH
    fields: tuple[tuple[str, str], ...] = ()
    body_digest: str = ""
    rebuilt_body: bytes = b""
    verified: VerifiedMessage | None = None


async def read_message(
    posted: PostedMessage, seen_requests: SeenRequests, expected: VerifiedMessages, now: datetime
) -> ReadMessage:
    """Raises MessageRejected. Does not claim the assertion's one use."""
    arrival = posted.arrival
    app = arrival.app
    if _CONTENT_TYPE.fullmatch(posted.content_type.lower()) is None:
        raise MessageRejected(
            MessageReason.MALFORMED, "an assertion endpoint takes urlencoded UTF-8 forms only"
        )
    form = parse_form(posted.body, came_back=arrival.ticket is not None)
    if arrival.ticket is not None:
        body = rebuild_form(form)
        body_digest = digest(body)
        known = expected.take(arrival, body_digest, now)
        if known is not None:
            _check_metadata(app, now)
            await _check_in_response_to(app, known.in_response_to, seen_requests, now)
            return _sign_on(known, form, body, body_digest)
    if message_kind(form) is not MessageKind.SIGN_ON:
        return ReadMessage(signs_on=False, rebuilt_body=rebuild_form(form))
    _check_metadata(app, now)
    expectation = Expectation(
        idp=app.identity_provider,
        audience=app.settings.entity_id,
        recipients=(app.origin + arrival.path,),
        decryption_key=app.decryption_key,
    )
    if app.settings.protocol is FederationProtocol.SAML2:
        verified = verify_response(form, expectation, now)
    else:
        verified = verify_wresult(form, expectation, now)
    await _check_in_response_to(app, verified.in_response_to, seen_requests, now)
    return _sign_on(verified, form, verified.rebuilt_body, digest(verified.rebuilt_body), verified)


def _sign_on(
    found: VerifiedMessage | ExpectedMessage,
    form: MessageForm,
    body: bytes,
    body_digest: str,
    verified: VerifiedMessage | None = None,
) -> ReadMessage:
    return ReadMessage(
        signs_on=True,
        identity=found.identity,
        replay_key=f"assertion:{found.replay_key}",
        replay_until=found.replay_until,
        fields=form.fields,
        body_digest=body_digest,
        rebuilt_body=body,
        verified=verified,
    )


def _check_metadata(app: App, now: datetime) -> None:
    if app.metadata_valid_until is not None and app.metadata_valid_until <= now:
        raise MessageRejected(MessageReason.ISSUER_UNKNOWN, "the identity provider's metadata has expired")


async def _check_in_response_to(
    app: App, in_response_to: str | None, seen_requests: SeenRequests, now: datetime
) -> None:
    """SAML Profiles §4.1.4.3. The gateway sees a request only if it leaves the app as a redirect, so an
    unknown ID counts as unsolicited; an ID of another app's request never passes."""
    own = None
    if in_response_to is not None:
        own = await seen_requests.is_from(app.settings.name, in_response_to, now)
    if own:
        return
    if own is False:
        raise MessageRejected(MessageReason.MALFORMED, "the response answers the request of another app")
    if app.settings.protocol is FederationProtocol.SAML2 and not app.settings.allow_unsolicited:
        raise MessageRejected(
            MessageReason.MALFORMED, "the response answers no request of this app (allow_unsolicited: false)"
        )
