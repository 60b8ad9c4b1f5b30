"""What travels sealed between the hops of a sign-on, and in the session cookie.

    flow     in the URL of the challenge: what was asked, by whom, and where to go back to
    ticket   in the URL of the return: the flow together with the verdict on the device; used once
    session  in the cookie of an app with `enforcement: session`

A flow is bound to the browser by a cookie of which it holds only the digest: who sees the URL cannot make the
cookie. Each decoder raises TokenRefused and nothing else.
"""

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from operator import attrgetter
from typing import Any, Final

from gateway.model.device import CertificateId, NotTrusted, TrustVerdict, VerifiedDevice
from gateway.model.reasons import TrustReason
from gateway.proxy.sealing import Sealer, TokenRefused

FLOW_PURPOSE: Final = "flow"
TICKET_PURPOSE: Final = "ticket"
SESSION_PURPOSE: Final = "session"

# What the contents of another version can make of the decoders below.
_UNREADABLE: Final = (KeyError, TypeError, ValueError, OverflowError, OSError)

# A person may have to find a smart card or type a PIN.
FLOW_LIFETIME_SECONDS: Final = 300
# A session may last 30 days; the keys that it was sealed under have to as well.
SESSION_KEY_PERIODS: Final = 31
# The way back is a redirect.
TICKET_LIFETIME_SECONDS: Final = 60


@dataclass(frozen=True, slots=True)
class Flow:
    """One challenge under way. Digests are SHA-256, hexadecimal."""

    flow_id: str
    app: str
    label: str  # the random host label under the mTLS domain
    method: str  # POST: a message comes back; GET: a session is checked again
    return_target: str  # path and query on the app host
    body_digest: str  # of the posted message; "" for GET
    user_digest: str  # of the user the message or session names
    cookie_digest: str
    origin: str | None  # the Origin of the first POST: a 307 chain loses it
    expires_at: int  # seconds since the epoch
    reference_id: str


# A flow travels as a list, since its names would be a quarter of a URL that browsers carry twice. The first
# element says which fields these are; it changes with them.
_FLOW_FORMAT: Final = 1
_flow_values = attrgetter(*Flow.__dataclass_fields__)
_FLOW_ELEMENTS: Final = 1 + len(Flow.__dataclass_fields__)


@dataclass(frozen=True, slots=True)
class Ticket:
    ticket_id: str
    flow: Flow
    verdict: TrustVerdict
    expires_at: int


@dataclass(frozen=True, slots=True)
class Session:
    """Who signed on to one app, from which device, and what the policy needs to decide again."""

    session_id: str
    app: str
    user: str
    groups: tuple[str, ...]  # only those that the app's policy names
    identity_provider: str
    authn_context_class_ref: str | None
    authn_instant: int | None
    verdict: TrustVerdict
    expires_at: int


def seal_flow(sealer: Sealer, flow: Flow, *, now_seconds: float, nonce: bytes) -> str:
    return sealer.seal(FLOW_PURPOSE, _encode(_flow_content(flow)), now_seconds=now_seconds, nonce=nonce)


def open_flow(sealer: Sealer, token: str, *, now_seconds: float) -> Flow:
    """Raises TokenRefused. The caller checks ``expires_at`` and every binding."""
    return _flow(_decode(sealer.open(FLOW_PURPOSE, token, now_seconds=now_seconds)))


def seal_ticket(sealer: Sealer, ticket: Ticket, *, now_seconds: float, nonce: bytes) -> str:
    content = {
        "i": ticket.ticket_id,
        "f": _flow_content(ticket.flow),
        "v": _verdict_content(ticket.verdict),
        "e": ticket.expires_at,
    }
    return sealer.seal(TICKET_PURPOSE, _encode(content), now_seconds=now_seconds, nonce=nonce)


def open_ticket(sealer: Sealer, token: str, *, now_seconds: float) -> Ticket:
    """Raises TokenRefused. The caller checks ``expires_at``, every binding, and that it is used once."""
    content = _decode(sealer.open(TICKET_PURPOSE, token, now_seconds=now_seconds))
    try:
        return Ticket(content["i"], _flow(content["f"]), _verdict(content["v"]), content["e"])
    except _UNREADABLE as error:
        raise TokenRefused("the token is of another version") from error


def seal_session(sealer: Sealer, session: Session, *, now_seconds: float, nonce: bytes) -> str:
    content = {
        "i": session.session_id,
        "a": session.app,
        "u": session.user,
        "g": session.groups,
        "p": session.identity_provider,
        "c": session.authn_context_class_ref,
        "t": session.authn_instant,
        "v": _verdict_content(session.verdict),
        "e": session.expires_at,
    }
    return sealer.seal(SESSION_PURPOSE, _encode(content), now_seconds=now_seconds, nonce=nonce)


def open_session(sealer: Sealer, token: str, *, now_seconds: float) -> Session:
    """Raises TokenRefused. The caller checks ``expires_at``, the app, and the verdict once more."""
    plaintext = sealer.open(
        SESSION_PURPOSE, token, now_seconds=now_seconds, max_age_periods=SESSION_KEY_PERIODS
    )
    content = _decode(plaintext)
    try:
        return Session(
            session_id=content["i"],
            app=content["a"],
            user=content["u"],
            groups=tuple(content["g"]),
            identity_provider=content["p"],
            authn_context_class_ref=content["c"],
            authn_instant=content["t"],
            verdict=_verdict(content["v"]),
            expires_at=content["e"],
        )
    except _UNREADABLE as error:
        raise TokenRefused("the token is of another version") from error


# `json.dumps` would make an encoder for each call.
_JSON: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


def _encode(content: dict[str, Any] | list[Any]) -> bytes:
    return _JSON.encode(content).encode()


def _decode(plaintext: bytes) -> Any:
    """What the seal covered was written by this module, perhaps by another version of it."""
    try:
        return json.loads(plaintext.decode())
    except (ValueError, RecursionError) as error:
        raise TokenRefused("the token is of another version") from error


def _flow_content(flow: Flow) -> list[Any]:
    return [_FLOW_FORMAT, *_flow_values(flow)]


def _flow(content: Any) -> Flow:
    if not isinstance(content, list) or len(content) != _FLOW_ELEMENTS or content[0] != _FLOW_FORMAT:
        raise TokenRefused("the token is of another version")
    return Flow(*content[1:])


def _verdict_content(verdict: TrustVerdict) -> dict[str, Any]:
    if isinstance(verdict, NotTrusted):
        return {
            "r": verdict.reason.value,
            "m": verdict.detail[:200],
            "d": verdict.device,
            "x": verdict.certificate_thumbprint,
        }
    return {
        "a": verdict.authority,
        "d": verdict.device,
        "u": verdict.user,
        "b": verdict.user_binding_required,
        "x": verdict.certificate_thumbprint,
        "p": [[c.issuer.hex(), f"{c.serial_number:x}"] for c in verdict.certification_path],
        "n": int(verdict.not_after.timestamp()),
        "h": verdict.hardware_key,
    }


def _verdict(content: dict[str, Any]) -> TrustVerdict:
    if "r" in content:
        return NotTrusted(TrustReason(content["r"]), content["m"], content["d"], content["x"])
    return VerifiedDevice(
        authority=content["a"],
        device=content["d"],
        user=content["u"],
        user_binding_required=content["b"],
        certificate_thumbprint=content["x"],
        certification_path=tuple(
            CertificateId(bytes.fromhex(issuer), int(serial, 16)) for issuer, serial in content["p"]
        ),
        not_after=datetime.fromtimestamp(content["n"], UTC),
        hardware_key=content["h"],
    )
