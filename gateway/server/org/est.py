"""EST (RFC 7030): devices enroll and renew over HTTPS, with the tools that they have.

cacerts, csrattrs     open to everybody
simpleenroll          HTTP Basic: the password is a one-time enrollment code, or an API token that may
                      operate, with USER/DEVICE as user name (RFC 7030 §3.2.3)
simplereenroll        over the certificate that is to be renewed: on est.<mtls_domain> the worker has
                      verified it, and passes it on in a header that nobody else can set
"""

import base64
import binascii
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Final

from gateway.adapters.store import Store, View, Work
from gateway.enrollment.refusal_answers import refusal_document
from gateway.enrollment.refusals import EXPLANATIONS, EnrollmentRefusal, EnrollmentRefused
from gateway.model.issued import AuthorityKind, AuthorityStatus
from gateway.model.org import Device, TokenScope, User
from gateway.model.settings import AttestationMode, CaSettings, EnrollmentSettings
from gateway.pki import est as bodies
from gateway.pki.certificate import (
    MAX_CERTIFICATE_BYTES,
    Certificate,
    CertificateRejected,
    parse_certificate,
)
from gateway.pki.certification_request import CertificationRequest, CertificationRequestRefused
from gateway.pki.signer import SigningFailed
from gateway.server.org.authentication import token_sha256
from gateway.server.org.call import Actor, Call
from gateway.server.org.openapi import json_content, reference
from gateway.server.org.route import PUBLIC, Answer, Budget, Route
from gateway.services.authority_ports import SigningKeys
from gateway.services.enrollment_codes import CodeRefused, EnrollmentCode, read_code
from gateway.services.enrollment_refusals import refusal_of_issuing
from gateway.services.issuing import (
    Issued,
    IssuingRefused,
    certificate_of,
    log_refusal,
    reserve,
    sign_and_complete,
)
from gateway.services.renewing import renew
from gateway.system_log.catalog import Occasion

CERTIFICATE_HEADER: Final = "x-device-trust-certificate"
# A whole office enrolls from one address.
ENROLLMENT: Final = Budget("enrollment", 1_200)
_MAX_CREDENTIALS_CHARACTERS: Final = 1_024
_BASE: Final = "/.well-known/est"
_REALM: Final = 'Basic realm="Device Trust enrollment", charset="UTF-8"'


class _Refused(Exception):
    """An answer that is no certificate: status, and a sentence for whoever reads logs at the client.
    ``reason``: its code among those of enrollment."""

    def __init__(
        self, status: int, sentence: str, reason: EnrollmentRefusal = EnrollmentRefusal.REQUEST_INVALID
    ) -> None:
        super().__init__(sentence)
        self.status = status
        self.sentence = sentence
        self.reason = reason


class EstRoutes:
    """``master_secret`` seals enrollment codes."""

    def __init__(
        self,
        keys: SigningKeys,
        rules: Callable[[], CaSettings],
        master_secret: bytes,
        enrollment: Callable[[], EnrollmentSettings] = EnrollmentSettings,
    ) -> None:
        self._keys = keys
        self._rules = rules
        self._enrollment = enrollment
        self._master_secret = master_secret

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            _route("GET", "cacerts", self.cacerts, "The authorities' certificates"),
            _route("GET", "csrattrs", self.csrattrs, "What a certification request should be"),
            _route("POST", "simpleenroll", self.simpleenroll, "Enroll a device"),
            _route("POST", "simplereenroll", self.simplereenroll, "Renew the certificate that is shown"),
        )

    async def cacerts(self, call: Call) -> Answer:
        certificates = await call.store.read(_trusted_certificates)
        if not certificates:
            return _refusal(_Refused(404, "there is no certification authority yet"), call)
        return _in_base64(bodies.certificates_body(certificates), bodies.CACERTS_TYPE)

    async def csrattrs(self, call: Call) -> Answer:
        return _in_base64(bodies.attributes_body(), bodies.ATTRIBUTES_TYPE)

    async def simpleenroll(self, call: Call) -> Answer:
        try:
            request = _request(call)
            username, password = _basic_credentials(call)
            if password.startswith("dtk_"):
                caller = replace(call, actor=await self._actor(call, password))
                device, user = await call.store.read(lambda view: _named_people(view, username))
                return await self._enroll(caller, request, device.id, None if user is None else user.id, None)
            code = read_code(self._master_secret, password, call.clock.now())
            return await self._enroll(call, request, code.device_id, code.user_id, code)
        except CodeRefused:
            return _unauthorized()
        except _Refused as refused:
            return _unauthorized() if refused.status == 401 else _refusal(refused, call)

    async def simplereenroll(self, call: Call) -> Answer:
        try:
            request = _request(call)
            shown = _shown_certificate(call)
            force = call.flag("force")
            former = await call.store.read(lambda view: view.certificates.by_thumbprint(shown.thumbprint))
            if former is None:
                sentence = "the certificate is not one of this organization"
                raise _Refused(403, sentence, EnrollmentRefusal.CERTIFICATE_UNKNOWN)
            enrollment = self._enrollment()
            if not enrollment.renew_anywhere:
                explained = EXPLANATIONS[EnrollmentRefusal.RENEWAL_DISABLED].sentence
                raise _Refused(403, explained, EnrollmentRefusal.RENEWAL_DISABLED)
            occasion, rules, randomness = call.occasion(), self._rules(), call.randomness

            def renewed(store: Store) -> Issued:
                return renew(
                    store,
                    self._keys,
                    request,
                    former,
                    rules,
                    occasion,
                    randomness,
                    force=force,
                    hardware_key_needed=enrollment.attestation is AttestationMode.REQUIRED,
                )

            return _issued(await _translated(call, renewed))
        except _Refused as refused:
            return _refusal(refused, call)

    async def _actor(self, call: Call, token: str) -> Actor:
        found = await call.store.read(lambda view: view.tokens.by_secret_sha256(token_sha256(token)))
        if found is None or not found.usable(call.clock.now()) or not found.scope.covers(TokenScope.OPERATE):
            raise _Refused(401, "")
        return Actor(found)

    async def _enroll(
        self,
        call: Call,
        request: CertificationRequest,
        device_id: str,
        user_id: str | None,
        code: EnrollmentCode | None,
    ) -> Answer:
        occasion, rules, randomness = call.occasion(), self._rules(), call.randomness

        def enrolled(store: Store) -> Issued:
            try:
                with store.begin() as work:
                    _claim(work, code, occasion)
                    if call.actor is not None:
                        work.tokens.mark_used(call.actor.token.id, occasion.at)
                    reservation = reserve(work, request, device_id, user_id, rules, occasion, randomness)
                return sign_and_complete(store, self._keys, reservation, occasion)
            except IssuingRefused as refused:
                with store.begin() as work:
                    log_refusal(work, refused, device_id, user_id, occasion)
                raise
            except SigningFailed:
                if code is not None:  # what was reserved is never given out
                    with store.begin() as work:
                        work.one_use.give_back(code.digest)
                raise

        return _issued(await _translated(call, enrolled))


async def _translated(call: Call, use_case: Callable[[Store], Issued]) -> Issued:
    try:
        return await call.store.run(use_case)
    except IssuingRefused as refused:
        raise _Refused(403, refused.detail, refusal_of_issuing(refused).reason) from None
    except SigningFailed:
        sentence = "the authority's key is not at hand; try again later"
        raise _Refused(503, sentence, EnrollmentRefusal.UNAVAILABLE) from None


def _claim(work: Work, code: EnrollmentCode | None, occasion: Occasion) -> None:
    """In the transaction of the reservation: a code whose request is refused may be used again, and so may
    one whose certificate could not be signed."""
    if code is not None and not work.one_use.claim(code.digest, code.until, occasion.at):
        raise CodeRefused


def _request(call: Call) -> CertificationRequest:
    kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != bodies.REQUEST_TYPE:
        raise _Refused(415, f"Content-Type must be {bodies.REQUEST_TYPE}")
    try:
        return bodies.read_request(call.body)
    except CertificationRequestRefused as refused:
        raise _Refused(400, str(refused)) from None


def _basic_credentials(call: Call) -> tuple[str, str]:
    scheme, _, credentials = call.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic" or len(credentials) > _MAX_CREDENTIALS_CHARACTERS:
        raise _Refused(401, "")
    try:
        text = base64.b64decode(credentials.strip(), validate=True).decode()
    except (binascii.Error, UnicodeDecodeError):
        raise _Refused(401, "") from None
    username, _, password = text.partition(":")
    return username, password


def _named_people(view: View, username: str) -> tuple[Device, User | None]:
    """``USER/DEVICE``: a login, and a device's id or its name in certificates; without a user ``/DEVICE``."""
    login, slash, name = username.partition("/")
    device = view.devices.get(name) or view.devices.by_certificate_name(name) if slash else None
    user = view.users.by_login(login) if login else None
    if device is None or (login and user is None):
        raise _Refused(403, "the user name has to be USER/DEVICE, both of which are registered")
    return device, user


def _shown_certificate(call: Call) -> Certificate:
    text = call.headers.get(CERTIFICATE_HEADER, "")
    try:
        der = base64.b64decode(text[: 2 * MAX_CERTIFICATE_BYTES], validate=True)
        return parse_certificate(der)
    except (binascii.Error, ValueError, CertificateRejected):
        raise _Refused(
            403, "simplereenroll needs the certificate that is to be renewed: use the host est.<mtls_domain>"
        ) from None


def _trusted_certificates(view: View) -> list[Certificate]:
    """What clients need to verify a device's certificate: issuing authorities, and the roots above them."""
    return [
        certificate_of(each.certificate_der)
        for each in view.authorities.all()
        if each.kind is AuthorityKind.ROOT or each.status is not AuthorityStatus.RETIRED
    ]


def _issued(done: Issued) -> Answer:
    return _in_base64(bodies.certificates_body([done.certificate]), bodies.CERTIFICATES_TYPE)


def _in_base64(body: bytes, content_type: str) -> Answer:
    headers = (("Content-Type", content_type), ("Content-Transfer-Encoding", "base64"))
    return Answer(200, headers=headers, body=body)


def _refusal(refused: _Refused, call: Call) -> Answer:
    """RFC 7030 §4.2.3: text for a person; for who asks for JSON, the same with its code."""
    headers = [("Retry-After", "60")] if refused.status == 503 else []
    if "application/json" in call.headers.get("accept", ""):
        told = EnrollmentRefused(refused.reason, refused.sentence)
        return Answer(refused.status, refusal_document(told, call.reference_id), tuple(headers))
    headers.append(("Content-Type", "text/plain; charset=utf-8"))
    return Answer(refused.status, headers=tuple(headers), body=refused.sentence.encode() + b"\n")


def _unauthorized() -> Answer:
    headers = (("Content-Type", "text/plain; charset=utf-8"), ("WWW-Authenticate", _REALM))
    return Answer(401, headers=headers, body=b"an enrollment code or an API token is needed\n")


def _route(method: str, name: str, handler: Any, summary: str) -> Route:
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": f"est{name.title()}",
        "responses": {
            "200": {"description": "RFC 7030.", "content": {_TYPES[name]: {"schema": _TEXT}}},
            "default": {
                "description": "A sentence for people (RFC 7030 §4.2.3), or an error of the API.",
                "content": {"text/plain": {"schema": _TEXT}, **json_content(reference("Error"))},
            },
        },
    }
    if method == "POST":
        operation["requestBody"] = {
            "required": True,
            "content": {bodies.REQUEST_TYPE: {"schema": _TEXT}},
        }
    # Each run of each agent asks for the authorities: a morning of those must leave enrollments their own.
    budget = ENROLLMENT if method == "POST" else PUBLIC
    return Route(
        method,
        f"{_BASE}/{name}",
        None,
        handler,
        operation,
        budget=budget,
        max_body_bytes=bodies.MAX_EST_REQUEST_BYTES,
    )


_TEXT: Final = {"type": "string"}
_TYPES: Final = {
    "cacerts": bodies.CACERTS_TYPE,
    "csrattrs": bodies.ATTRIBUTES_TYPE,
    "simpleenroll": bodies.CACERTS_TYPE,
    "simplereenroll": bodies.CACERTS_TYPE,
}
