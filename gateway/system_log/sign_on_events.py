"""Events of sign-ons, made from what a worker saw and what the store knows of people and devices.

    challenge answered    user.authentication.authenticate
    sign-on decided       policy.evaluate_sign_on, and as it ends
                          user.authentication.sso | application.policy.sign_on.deny_access
    session ended         application.policy.sign_on.deny_access
    CRL failed            pki.cert.crl_download_failure

All events of one sign-on have one transaction: the flow of its challenge, or the reference id of the request.
Requests, and sessions that go on, are no events here: they come by the thousand for each sign-on, are decided
by what was logged already, and stand in the access log. Neither are messages and tickets that are refused:
anybody can send them, so they would fill the log at will; they stand in the gateway's own log and its
metrics.
"""

import hashlib
import uuid
from dataclasses import dataclass
from typing import Protocol

from gateway.model.events import ChallengeAnswered, CrlFailed, SignOnDecided
from gateway.model.log_event import (
    Actor,
    Authentication,
    Client,
    LogEvent,
    LoggedDevice,
    Outcome,
    Target,
    Transaction,
)
from gateway.model.org import Device, StoredPolicy, User
from gateway.system_log.catalog import EventType, Occasion, event, job
from gateway.system_log.certificate_events import crl_download_failed
from gateway.system_log.spooled import SpooledEvent
from gateway.system_log.targets import (
    app_target,
    fingerprint,
    logged_device,
    named_policy_target,
    rule_target,
    user_actor,
)

_OS_NAMES = {"ios": "iOS", "android": "Android", "windows": "Windows", "macos": "macOS", "linux": "Linux"}
_MOBILE = frozenset(("ios", "android", "other_mobile"))


class Directory(Protocol):
    """Who the names of certificates and assertions belong to; None where the store does not know."""

    def user(self, login: str) -> User | None: ...

    def device(self, certificate_name: str) -> Device | None: ...

    def policy(self, app: str) -> StoredPolicy | None: ...


def log_events(spooled: SpooledEvent, place: str, directory: Directory) -> list[LogEvent]:
    """``place`` names the record that was read for ever, and so the events made of it."""
    if isinstance(spooled, CrlFailed):
        uuid_of_it = event_uuid(place, 0)
        occasion = job(spooled.at, lambda: uuid_of_it, uuid_of_it)
        return [crl_download_failed(occasion, spooled.authority, spooled.location, spooled.detail)]
    if isinstance(spooled, ChallengeAnswered):
        return [_authenticated(spooled, place, directory)]
    if spooled.session:
        return [_denied(spooled, _Made(spooled, place, directory))]
    return _sign_on(spooled, _Made(spooled, place, directory))


def event_uuid(place: str, number: int) -> str:
    """The same for the same record, however often it is read: tools take it for the document's id."""
    digest = bytearray(hashlib.sha256(f"devicetrust spool {place} {number}".encode()).digest()[:16])
    digest[6] = digest[6] & 0x0F | 0x80  # RFC 9562 §5.8: version 8, bits of our own making
    digest[8] = digest[8] & 0x3F | 0x80
    return str(uuid.UUID(bytes=bytes(digest)))


@dataclass(frozen=True, slots=True)
class _Seen:
    """The device of a certificate, as far as it is known. ``id`` is what the certificate calls it where the
    store does not know it."""

    id: str | None
    name: str
    logged: LoggedDevice | None


class _Made:
    """What the events of one decision have in common."""

    def __init__(self, decided: SignOnDecided, place: str, directory: Directory) -> None:
        numbers = iter(range(1_000))
        person = directory.user(decided.user)
        self.occasion = Occasion(
            decided.at,
            lambda: event_uuid(place, next(numbers)),
            Transaction(decided.flow_id or decided.reference_id),
            Actor(decided.user, "User", decided.user, decided.user) if person is None else user_actor(person),
            _client(decided.ip, decided.client, decided.platform),
            Authentication(
                provider="FEDERATION",
                credential_type="ASSERTION",
                issuer_id=decided.identity_provider,
                issuer_type="IDENTITY_PROVIDER",
            ),
        )
        device = _seen(decided.device, directory)
        self.device = device.logged
        self.debug_data: dict[str, object] = {
            "deviceId": device.id,
            "deviceName": decided.device,
            "certificateThumbprint": decided.certificate_thumbprint,
            "reason": decided.reason,
            "rule": decided.rule,
            "flowId": decided.flow_id,
            "referenceId": decided.reference_id,
            "deviceTrust": decided.device_trust,
            "trustReason": decided.trust_reason,
            "trustDetail": decided.trust_detail,
            "monitorRules": list(decided.monitored) or None,
            "hardwareKey": decided.hardware_key if decided.device_trust == "trusted" else None,
            "session": True if decided.session else None,
        }
        self.app = app_target(decided.app, decided.app, decided.protocol)
        policy = directory.policy(decided.app)
        policy_id, policy_name = (decided.app, decided.app) if policy is None else (policy.id, policy.name)
        self.policy: list[Target] = [named_policy_target(policy_id, policy_name)]
        if decided.rule is not None:
            self.policy.append(rule_target(decided.rule, decided.rule, policy_id))


def _sign_on(decided: SignOnDecided, made: _Made) -> list[LogEvent]:
    outcome = {"allow": Outcome.ALLOW, "prompt_for_factor": Outcome.CHALLENGE}.get(
        decided.access, Outcome.DENY
    )
    evaluated = event(
        made.occasion,
        EventType.SIGN_ON_EVALUATED,
        *made.policy,
        made.app,
        outcome=outcome,
        reason=decided.reason,
        device=made.device,
        debug_data=made.debug_data,
    )
    if outcome is Outcome.CHALLENGE:
        return [evaluated]
    if outcome is Outcome.DENY:
        return [evaluated, _denied(decided, made)]
    mode = {"saml2": "SAML 2.0", "ws-fed": "WS-Federation"}.get(decided.protocol, decided.protocol)
    signed_on = event(
        made.occasion,
        EventType.SIGNED_ON,
        made.app,
        device=made.device,
        debug_data={**made.debug_data, "signOnMode": mode},
    )
    return [evaluated, signed_on]


def _denied(decided: SignOnDecided, made: _Made) -> LogEvent:
    return event(
        made.occasion,
        EventType.ACCESS_DENIED,
        made.app,
        *made.policy,
        outcome=Outcome.DENY,
        reason=decided.reason,
        device=made.device,
        debug_data=made.debug_data,
    )


def _authenticated(answered: ChallengeAnswered, place: str, directory: Directory) -> LogEvent:
    trusted = answered.verdict == "trusted"
    device = _seen(answered.device, directory)
    person = None if answered.user is None else directory.user(answered.user)
    name = answered.user or answered.device or "unknown"
    kind = "User" if answered.user is not None else "Device"
    occasion = Occasion(
        answered.at,
        lambda: event_uuid(place, 0),
        Transaction(answered.flow_id),
        Actor(name, kind, name, name) if person is None else user_actor(person),
        _client(answered.ip, None, None),
        Authentication(credential_type="CERTIFICATE"),
    )
    target = []
    if answered.device is not None:
        detail = fingerprint(answered.certificate_thumbprint or "")
        target = [Target(device.id or answered.device, "Device", answered.device, device.name, detail)]
    result = "TRUSTED" if trusted else "NOT_VERIFIED"
    return event(
        occasion,
        EventType.DEVICE_AUTHENTICATED,
        *target,
        app_target(answered.app, answered.app),
        outcome=Outcome.SUCCESS if trusted else Outcome.FAILURE,
        reason=answered.reason,
        device=device.logged,
        debug_data={
            "deviceId": device.id,
            "deviceName": answered.device,
            "certificateThumbprint": answered.certificate_thumbprint,
            "reason": answered.reason,
            "detail": answered.detail,
            "hardwareKey": answered.hardware_key if trusted else None,
            "flowId": answered.flow_id,
            "referenceId": answered.reference_id,
            "result": "NOT_ENROLLED" if answered.reason == "NO_CERTIFICATE" else result,
        },
    )


def _seen(certificate_name: str | None, directory: Directory) -> _Seen:
    if certificate_name is None:
        return _Seen(None, "", None)
    device = directory.device(certificate_name)
    if device is None:  # of another authority
        return _Seen(certificate_name, certificate_name, None)
    return _Seen(device.id, device.name, logged_device(device))


def _client(ip: str, client: str | None, platform: str | None) -> Client:
    return Client(
        ip=ip,
        browser=client,
        os=None if platform is None else _OS_NAMES.get(platform, platform),
        device=None if platform is None else "Mobile" if platform in _MOBILE else "Computer",
        ip_chain=(ip,),
    )
