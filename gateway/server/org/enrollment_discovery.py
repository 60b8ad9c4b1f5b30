"""`/enroll/discovery`: what an agent asks first, and `/enroll/iwa/report`: how an IWA web app says that it is
there, so that agents are told."""

import hashlib
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final
from urllib.parse import urlsplit

from gateway.adapters.store import View, Work
from gateway.enrollment.claims import ALLOWED_SKEW, MAX_TOKEN_CHARACTERS, TokenInvalid
from gateway.enrollment.iwa_keys import key_of_jwk
from gateway.enrollment.nonces import NONCE_LIFETIME, RANDOM_BYTES, new_nonce
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.reports import REPORT_SECONDS, IwaReport, verify_report
from gateway.enrollment.tokens import token_key_id
from gateway.model.issued import AuthorityKind, AuthorityRecord, AuthorityStatus
from gateway.model.iwa import Iwa
from gateway.pki.names import COMMON_NAME
from gateway.server.org import members
from gateway.server.org.call import Call
from gateway.server.org.enrollment_answers import (
    enroll_route,
    error_answer,
    operation,
    refusal_answer,
    shown_time,
)
from gateway.server.org.route import PUBLIC, Answer, Route
from gateway.services.enrollment_terms import EnrollmentTerms
from gateway.services.issuing import certificate_of
from gateway.services.iwas import in_order, iwa_reported

_HTTPS_PORT: Final = 443


class DiscoveryRoutes:
    """``terms`` are those in force."""

    def __init__(self, terms: Callable[[], EnrollmentTerms], nonce_key: bytes) -> None:
        self._terms = terms
        self._nonce_key = nonce_key

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            Route(
                "GET",
                "/enroll/discovery",
                None,
                self.discovery,
                operation("enrollDiscovery", "Where to enroll, and a nonce to begin with", _DISCOVERY),
                budget=PUBLIC,
                max_body_bytes=0,
                error_answer=error_answer,
            ),
            enroll_route("iwa/report", self.report, "An IWA web app says how it is", _REPORT, _REPORTED),
        )

    async def discovery(self, call: Call) -> Answer:
        iwas, authorities = await call.store.read(_published)
        terms, now = self._terms(), call.clock.now()
        port = urlsplit(call.base_url).port or _HTTPS_PORT
        shown_port = "" if port == _HTTPS_PORT else f":{port}"
        return Answer(
            json={
                "org": terms.org_name,
                "audience": terms.audience,
                "nonce": new_nonce(self._nonce_key, now, call.randomness.bytes(RANDOM_BYTES)),
                "nonce_expires_in": int(NONCE_LIFETIME.total_seconds()),
                "time": shown_time(now),
                "iwas": [
                    {
                        "id": iwa.id,
                        "name": iwa.name,
                        "url": iwa.url,
                        "primary": iwa.is_primary,
                        "online": iwa.online,
                    }
                    for iwa in iwas
                ],
                "mtls_domain": terms.mtls_domain,
                "mtls_port": port,
                "est_url": f"https://est.{terms.mtls_domain}{shown_port}",
                "issuer_common_name": _common_name(authorities),
                "issuers": [hashlib.sha256(each.certificate_der).hexdigest() for each in authorities],
                "mtls_certificates": list(terms.mtls_certificates),
                "renew_before_days": terms.ca.renew_before / timedelta(days=1),
                "renew_anywhere": terms.enrollment.renew_anywhere,
                "attestation": terms.enrollment.attestation.value,
            }
        )

    async def report(self, call: Call) -> Answer:
        try:
            text = members.text(call.json_object(), "report", "", limit=MAX_TOKEN_CHARACTERS)
            occasion, audience = call.occasion(), self._terms().audience

            def use_case(work: Work) -> None:
                iwa, report = _signed(work, text, audience, occasion.at)
                key = hashlib.sha256(f"report {iwa.id} {report.report_id}".encode()).digest()
                if not work.one_use.claim(key, report.expires + ALLOWED_SKEW, occasion.at):
                    raise TokenInvalid("the report came before")
                iwa_reported(work, occasion, iwa, report)

            # Strangers must not get at the one who writes. Each IWA web app tells everybody its key's id.
            await call.store.read(lambda view: _signed(view, text, audience, occasion.at))
            await call.store.change(use_case)
        except TokenInvalid as invalid:
            refused = EnrollmentRefused(EnrollmentRefusal.IWA_UNKNOWN, str(invalid))
            return refusal_answer(refused, call.reference_id)
        return Answer(json={"time": shown_time(call.clock.now()), "next_report_in": int(REPORT_SECONDS)})


def _published(view: View) -> tuple[list[Iwa], list[AuthorityRecord]]:
    """IWA web apps in the order in which agents try them; issuing authorities, first the one that issues
    now."""
    issuing = [
        each
        for each in view.authorities.all(AuthorityKind.ISSUING)
        if each.status is not AuthorityStatus.RETIRED
    ]
    issuing.sort(key=lambda each: (each.status is not AuthorityStatus.ACTIVE, -each.generation))
    return in_order(view.iwas.all()), issuing


def _common_name(authorities: list[AuthorityRecord]) -> str | None:
    if not authorities:
        return None
    subject = certificate_of(authorities[0].certificate_der).subject_attributes
    return next((str(value) for kind, value in subject if kind == COMMON_NAME), None)


def _signed(view: View, text: str, audience: str, now: datetime) -> tuple[Iwa, IwaReport]:
    """Who sends the report, and what it says. Raises TokenInvalid."""
    iwa = view.iwas.by_key_id(token_key_id(text))
    if iwa is None:
        raise TokenInvalid("no IWA web app with this key is registered")
    return iwa, verify_report(text, key_of_jwk(iwa.public_jwk), audience=audience, now=now)


_TEXT: Final = {"type": "string"}
_DISCOVERY: Final = {
    "type": "object",
    "required": ["org", "audience", "nonce", "nonce_expires_in", "time", "iwas", "mtls_domain", "est_url"],
    "properties": {
        "org": _TEXT,
        "audience": {"type": "string", "description": "`aud` of user tokens, proofs and reports."},
        "nonce": {"type": "string", "description": "To be in all tokens of this enrollment."},
        "nonce_expires_in": {"type": "integer", "description": "Seconds."},
        "time": {"type": "string", "format": "date-time"},
        "iwas": {
            "type": "array",
            "description": "In the order in which to try them.",
            "items": {
                "type": "object",
                "required": ["id", "name", "url", "primary", "online"],
                "properties": {
                    "id": _TEXT,
                    "name": _TEXT,
                    "url": _TEXT,
                    "primary": {"type": "boolean"},
                    "online": {"type": "boolean"},
                },
            },
        },
        "mtls_domain": _TEXT,
        "mtls_port": {"type": "integer"},
        "est_url": _TEXT,
        "issuer_common_name": {"type": ["string", "null"]},
        "issuers": {"type": "array", "items": _TEXT, "description": "SHA-256 of the issuers' DER, hex."},
        "mtls_certificates": {
            "type": "array",
            "items": _TEXT,
            "description": "SHA-256 of the server certificates of mTLS hosts, hex.",
        },
        "renew_before_days": {"type": "number", "description": "May be less than one."},
        "renew_anywhere": {"type": "boolean"},
        "attestation": {"enum": ["none", "accepted", "required"]},
    },
}
_REPORT: Final = {
    "type": "object",
    "required": ["report"],
    "properties": {"report": {"type": "string", "description": "A JWT, typ dt-iwa+jwt."}},
}
_REPORTED: Final = {
    "type": "object",
    "required": ["time", "next_report_in"],
    "properties": {
        "time": {"type": "string", "format": "date-time"},
        "next_report_in": {"type": "integer", "description": "Seconds."},
    },
}
