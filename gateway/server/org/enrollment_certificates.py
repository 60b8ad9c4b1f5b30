"""`/enroll/certificate`, `/enroll/renew` and `/enroll/self`: what agents ask for with a token or a proof."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Address, ip_address
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.adapters.store import View
from gateway.enrollment.claims import MAX_TOKEN_CHARACTERS
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.model.decision import IPAddress
from gateway.model.issued import CertificateStatus
from gateway.model.org import SettingName
from gateway.pki.certificate import Certificate
from gateway.pki.certificate_profile import HARDWARE_DEVICE
from gateway.pki.certification_request import (
    MAX_CERTIFICATION_REQUEST_BYTES,
    CertificationRequest,
    CertificationRequestRefused,
    parse_certification_request,
)
from gateway.server.org import members
from gateway.server.org.call import Call
from gateway.server.org.enrollment_answers import enroll_route, refusal_answer, shown_time
from gateway.server.org.route import Answer, Route
from gateway.services.directory_accounts import PLATFORMS
from gateway.services.enrolling import Enrolling, EnrollmentAsked
from gateway.services.enrollment_terms import EnrollmentTerms
from gateway.services.issuing import Issued
from gateway.services.proving import Holder, Proving
from gateway.services.what_applies import AppAnswer, what_applies

_MAX_VERSION_CHARACTERS: Final = 64
_MAX_THUMBPRINT_CHARACTERS: Final = 64


@dataclass(frozen=True, slots=True)
class Outcome:
    """How one request ended. ``result``: issued, renewed or refused; ``reason``: why refused."""

    result: str
    reference_id: str
    ip: str
    reason: EnrollmentRefusal | None = None
    detail: str = ""


class CertificateRoutes:
    def __init__(
        self,
        enrolling: Enrolling,
        proving: Proving,
        terms: Callable[[], EnrollmentTerms],
        told: Callable[[Outcome], None],
    ) -> None:
        self._enrolling = enrolling
        self._proving = proving
        self._terms = terms
        self._told = told

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            enroll_route(
                "certificate",
                self.certificate,
                "A certificate for whom an IWA web app has vouched for",
                _ASKED,
                _ISSUED,
            ),
            enroll_route("renew", self.renew, "Renew the certificate that is proven", _RENEWAL, _ISSUED),
            enroll_route("self", self.own, "What is known of the certificate that is proven", _PROOF, _SELF),
        )

    async def certificate(self, call: Call) -> Answer:
        async def issued() -> Answer:
            body = call.json_object()
            asked = EnrollmentAsked(
                user_token=members.text(body, "user_token", "", limit=MAX_TOKEN_CHARACTERS),
                request=_request(body),
                platform=members.word(body, "platform", "", PLATFORMS),
                replaces=members.optional_text(body, "replaces", "", _MAX_THUMBPRINT_CHARACTERS),
                statement=None if body.get("attestation") is None else members.an_object(body, "attestation"),
                agent_version=members.text(body, "agent_version", "", "", _MAX_VERSION_CHARACTERS),
            )
            terms, occasion, randomness = self._terms(), call.occasion(), call.randomness
            done = await call.store.run(
                lambda store: self._enrolling.enroll(store, asked, terms, occasion, randomness)
            )
            return self._issued(call, done, terms)

        return await self._answered(call, issued)

    async def renew(self, call: Call) -> Answer:
        async def renewed() -> Answer:
            body = call.json_object()
            proof, request = _proof(body), _request(body)
            force = members.flag(body, "force", "", False)
            statement = None if body.get("attestation") is None else members.an_object(body, "attestation")
            terms, occasion, randomness = self._terms(), call.occasion(), call.randomness
            done = await call.store.run(
                lambda store: self._proving.renew(
                    store,
                    request,
                    proof,
                    terms,
                    occasion,
                    randomness,
                    force=force,
                    statement=statement,
                )
            )
            return self._issued(call, done, terms)

        return await self._answered(call, renewed)

    async def own(self, call: Call) -> Answer:
        async def known() -> Answer:
            proof, terms, occasion = _proof(call.json_object()), self._terms(), call.occasion()
            holder = await call.store.run(lambda store: self._proving.holder(store, proof, terms, occasion))
            return Answer(json=await call.store.read(lambda view: _self_json(call, view, holder, terms)))

        return await self._answered(call, known)

    async def _answered(self, call: Call, done: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            return await done()
        except EnrollmentRefused as refused:
            self._told(Outcome("refused", call.reference_id, call.client.ip, refused.reason, refused.detail))
            return refusal_answer(refused, call.reference_id)

    def _issued(self, call: Call, done: Issued, terms: EnrollmentTerms) -> Answer:
        row, user = done.row, done.user
        result = "issued" if row.replaces is None else "renewed"
        self._told(Outcome(result, call.reference_id, call.client.ip))
        return Answer(
            json={
                "certificate": _pem(done.certificate),
                "chain": [_pem(done.issuer)],
                "thumbprint": row.thumbprint,
                "not_after": shown_time(row.not_after),
                "renew_from": shown_time(row.not_after - terms.ca.renew_before),
                "device": {"id": done.device.id, "name": done.device.name},
                "user": None if user is None else {"id": user.id, "login": user.login},
                "hardware_key": row.profile == HARDWARE_DEVICE.name,
            }
        )


def _self_json(call: Call, view: View, holder: Holder, terms: EnrollmentTerms) -> dict[str, Any]:
    row, device, user, now = holder.row, holder.device, holder.user, call.clock.now()
    valid = row.status is CertificateStatus.ISSUED and row.not_before <= now < row.not_after
    trusted = valid and device is not None and device.active and (user is None or user.active)
    hardware_key = row.profile == HARDWARE_DEVICE.name
    switch = view.settings.get(SettingName.DEVICE_TRUST_ENABLED)
    revoked_at, reason = row.revoked_at, row.revocation_reason
    apps: list[AppAnswer] = []
    # Who has a key that was withdrawn, or a computer that was lost, is not told which apps let anybody in.
    is_withdrawn = row.withdrawn or (device is not None and not device.active)
    if device is not None and user is not None and user.active and not is_withdrawn:
        apps = list(
            what_applies(
                view,
                call.configuration,
                user,
                _address(call.client.ip),
                device.platform,
                trusted=trusted,
                hardware_key=hardware_key,
            )
        )
    return {
        "time": shown_time(now),
        "certificate": {
            "thumbprint": row.thumbprint,
            "serial_number": row.serial_hex,
            "status": row.status.value,
            "not_before": shown_time(row.not_before),
            "not_after": shown_time(row.not_after),
            "renew_from": shown_time(row.not_after - terms.ca.renew_before),
            "replaces": row.replaces,
            "first_seen": None if row.first_seen is None else shown_time(row.first_seen),
            "revoked_at": None if revoked_at is None else shown_time(revoked_at),
            "revocation_reason": None if reason is None else reason.value,
            "hardware_key": hardware_key,
        },
        "device": None
        if device is None
        else {"id": device.id, "name": device.name, "status": device.status.value},
        "user": None if user is None else {"id": user.id, "login": user.login, "status": user.status.value},
        "trusted": trusted,
        "device_trust_enabled": bool(terms.device_trust_enabled if switch is None else switch),
        "read_only": view.settings.get(SettingName.READ_ONLY) is True,
        "apps": [
            {
                "name": each.app,
                "label": each.label,
                "access": each.access.value,
                "rule": each.rule,
                "reason": each.reason,
                "asks_for_factor": each.asks_for_factor,
            }
            for each in apps
        ],
    }


def _request(body: Mapping[str, Any]) -> CertificationRequest:
    text = members.text(body, "csr", "", limit=MAX_CERTIFICATION_REQUEST_BYTES)
    try:
        return parse_certification_request(text.encode())
    except CertificationRequestRefused as refused:
        raise EnrollmentRefused(EnrollmentRefusal.REQUEST_INVALID, refused.detail) from None


def _proof(body: Mapping[str, Any]) -> str:
    return members.text(body, "proof", "", limit=MAX_TOKEN_CHARACTERS)


def _address(text: str) -> IPAddress:
    """Of a request over the socket itself nothing is known: it is in no zone."""
    try:
        return ip_address(text)
    except ValueError:
        return IPv4Address(0)


def _pem(certificate: Certificate) -> str:
    return x509.load_der_x509_certificate(certificate.der).public_bytes(Encoding.PEM).decode()


_TEXT: Final = {"type": "string"}
_TEXT_OR_NULL: Final = {"type": ["string", "null"]}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_MOMENT_OR_NULL: Final = {"type": ["string", "null"], "format": "date-time"}
_CSR: Final = {"type": "string", "description": "PKCS #10 in PEM; only its key is read."}
_ASKED: Final = {
    "type": "object",
    "required": ["user_token", "csr", "platform"],
    "properties": {
        "user_token": {"type": "string", "description": "A JWT of an IWA web app, typ dt-user+jwt."},
        "csr": _CSR,
        "replaces": {**_TEXT_OR_NULL, "description": "Thumbprint of the certificate that is installed."},
        "platform": {"enum": PLATFORMS},
        "agent_version": {"type": "string", "maxLength": _MAX_VERSION_CHARACTERS},
        "attestation": {
            "type": ["object", "null"],
            "description": "What the computer's TPM says of the key.",
        },
    },
}
_PROOF_TEXT: Final = {"type": "string", "description": "A JWT by the certificate's key, typ dt-proof+jwt."}
_PROOF: Final = {"type": "object", "required": ["proof"], "properties": {"proof": _PROOF_TEXT}}
_RENEWAL: Final = {
    "type": "object",
    "required": ["proof", "csr"],
    "properties": {
        "proof": _PROOF_TEXT,
        "csr": _CSR,
        "force": {"type": "boolean", "description": "Although it is not due."},
        "attestation": {"type": ["object", "null"], "description": "Of the new key, as at enrollment."},
    },
}
_ISSUED: Final = {
    "type": "object",
    "required": ["certificate", "chain", "thumbprint", "not_after", "renew_from", "device", "hardware_key"],
    "properties": {
        "certificate": {"type": "string", "description": "PEM."},
        "chain": {"type": "array", "items": _TEXT, "description": "Its issuer, PEM."},
        "thumbprint": {"type": "string", "description": "x5t#S256."},
        "not_after": _MOMENT,
        "renew_from": _MOMENT,
        "device": {"type": "object", "properties": {"id": _TEXT, "name": _TEXT}},
        "user": {"type": ["object", "null"], "properties": {"id": _TEXT, "login": _TEXT}},
        "hardware_key": {"type": "boolean", "description": "It was verified to be in a TPM."},
    },
}
_SELF: Final = {
    "type": "object",
    "required": ["time", "certificate", "trusted", "device_trust_enabled", "read_only", "apps"],
    "properties": {
        "time": _MOMENT,
        "certificate": {
            "type": "object",
            "properties": {
                "thumbprint": _TEXT,
                "serial_number": _TEXT,
                "status": {"enum": [status.value for status in CertificateStatus]},
                "not_before": _MOMENT,
                "not_after": _MOMENT,
                "renew_from": _MOMENT,
                "replaces": _TEXT_OR_NULL,
                "first_seen": _MOMENT_OR_NULL,
                "revoked_at": _MOMENT_OR_NULL,
                "revocation_reason": _TEXT_OR_NULL,
                "hardware_key": {"type": "boolean"},
            },
        },
        "device": {"type": ["object", "null"]},
        "user": {"type": ["object", "null"]},
        "trusted": {"type": "boolean", "description": "While Device Trust is enabled."},
        "device_trust_enabled": {"type": "boolean"},
        "read_only": {"type": "boolean"},
        "apps": {
            "type": "array",
            "description": "What a sign-on from here with a web browser would meet. Empty for a certificate, "
            "device or user that was withdrawn.",
            "items": {
                "type": "object",
                "properties": {
                    "name": _TEXT,
                    "label": _TEXT,
                    "access": {"enum": ["allow", "deny"]},
                    "rule": _TEXT_OR_NULL,
                    "reason": _TEXT,
                    "asks_for_factor": {"type": "boolean"},
                },
            },
        },
    },
}
