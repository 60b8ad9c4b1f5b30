"""`/api/v1/certificates`, and those of a user or a device: what the built-in authority issued; revoking."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

from gateway.adapters.store import View, Work
from gateway.model.issued import CertificateQuery, CertificateStatus, IssuedCertificate, RevocationReason
from gateway.model.org import TokenScope
from gateway.server.org import members
from gateway.server.org.call import Call
from gateway.server.org.device_shape import certificate_json
from gateway.server.org.enforced import enforced
from gateway.server.org.errors import resource_not_found, validation_failed
from gateway.server.org.listing import PAGE_PARAMETERS, list_of
from gateway.server.org.openapi import answers, query_parameter, reference, takes
from gateway.server.org.paging import after, cursor_after, links
from gateway.server.org.route import Answer, Route
from gateway.services import devices, people, revoking
from gateway.services.refusals import NotAllowedNow
from gateway.services.revoking import Revocation

# Of RFC 5280 §5.3.1, all that is a reason to revoke; a hold has its own step.
REASONS: Final = tuple(
    reason.value
    for reason in RevocationReason
    if reason not in (RevocationReason.REMOVE_FROM_CRL, RevocationReason.CERTIFICATE_HOLD)
)


async def list_certificates(call: Call) -> Answer:
    limit, position = call.limit(), after(call, 2)
    query = CertificateQuery(
        device_id=call.text("deviceId"),
        user_id=call.text("userId"),
        authority_id=call.text("authorityId"),
        statuses=_statuses(call.text("status")),
    )

    def read(view: View) -> Sequence[IssuedCertificate]:
        last = None
        if position is not None:
            last = view.certificates.get(*_place(position))
            if last is None:
                raise validation_failed("after", "after: not a cursor of this list")
        return view.certificates.page(query, after=last, limit=limit + 1)

    found = await call.store.read(read)
    page = found[:limit]
    cursor = None
    if len(found) > limit:
        cursor = cursor_after(page[-1].issuer_hash.hex(), page[-1].serial_hex)
    return Answer(json=[certificate_json(each, call.base_url) for each in page], headers=links(call, cursor))


async def get_certificate(call: Call) -> Answer:
    name = call.parameters["thumbprint"]
    certificate = await call.store.read(lambda view: _found(view, name))
    return Answer(json=certificate_json(certificate, call.base_url))


async def revoke_certificate(call: Call) -> Answer:
    reason = _reason(call)

    def use_case(work: Work, certificate: IssuedCertificate) -> None:
        revocation = revoking.revoke(work, [certificate], reason, occasion)
        if not revocation.revoked:
            raise NotAllowedNow("the certificate is revoked already")

    occasion = call.occasion()
    return await _changed(call, use_case)


async def hold_certificate(call: Call) -> Answer:
    occasion = call.occasion()

    def use_case(work: Work, certificate: IssuedCertificate) -> None:
        held = revoking.revoke(work, [certificate], RevocationReason.CERTIFICATE_HOLD, occasion)
        if not held.revoked:
            raise NotAllowedNow("the certificate is on hold or revoked already")

    return await _changed(call, use_case)


async def release_certificate(call: Call) -> Answer:
    occasion = call.occasion()

    def use_case(work: Work, certificate: IssuedCertificate) -> None:
        if not revoking.release(work, certificate, occasion):
            raise NotAllowedNow("the certificate is not on hold")

    return await _changed(call, use_case)


async def list_certificates_of_user(call: Call) -> Answer:
    identifier = call.parameters["userId"]

    def read(view: View) -> Sequence[IssuedCertificate]:
        return view.certificates.of_user(people.find_user(view.users, identifier).id)

    return _listed(call, await call.store.read(read))


async def list_certificates_of_device(call: Call) -> Answer:
    device_id = call.parameters["deviceId"]

    def read(view: View) -> Sequence[IssuedCertificate]:
        return view.certificates.of_device(devices.find_device(view.devices, device_id).id)

    return _listed(call, await call.store.read(read))


async def revoke_certificates_of_user(call: Call) -> Answer:
    identifier, reason, occasion = call.parameters["userId"], _reason(call), call.occasion()

    def use_case(work: Work) -> Revocation:
        user = people.find_user(work.users, identifier, lock=True)
        return revoking.revoke_of_user(work, user.id, reason, occasion)

    return await _revoked(call, use_case)


async def revoke_certificates_of_device(call: Call) -> Answer:
    device_id, reason, occasion = call.parameters["deviceId"], _reason(call), call.occasion()

    def use_case(work: Work) -> Revocation:
        device = devices.find_device(work.devices, device_id, lock=True)
        return revoking.revoke_of_device(work, device.id, reason, occasion)

    return await _revoked(call, use_case)


async def _changed(call: Call, use_case: Callable[[Work, IssuedCertificate], None]) -> Answer:
    name = call.parameters["thumbprint"]

    def change(work: Work) -> IssuedCertificate:
        use_case(work, _found(work, name, lock=True))
        return _found(work, name)

    certificate, applied = await enforced(call, change)
    return Answer(
        json={
            "certificate": certificate_json(certificate, call.base_url),
            "enforcement": applied.json(),
        }
    )


async def _revoked(call: Call, use_case: Callable[[Work], Revocation]) -> Answer:
    revocation, applied = await enforced(call, use_case)
    return Answer(json={"revokedCertificates": len(revocation.revoked), "enforcement": applied.json()})


def _found(view: View, name: str, *, lock: bool = False) -> IssuedCertificate:
    certificate = view.certificates.by_thumbprint(name, lock=lock)
    if certificate is None:
        raise resource_not_found(name, "Certificate")
    return certificate


def _listed(call: Call, certificates: Sequence[IssuedCertificate]) -> Answer:
    return Answer(json=[certificate_json(each, call.base_url) for each in certificates])


def _reason(call: Call) -> RevocationReason:
    """Of the body, where there is one."""
    if not call.body:
        return RevocationReason.UNSPECIFIED
    body = call.json_object(known={"reason"})
    return RevocationReason(members.word(body, "reason", "", REASONS, RevocationReason.UNSPECIFIED))


def _statuses(text: str | None) -> frozenset[CertificateStatus]:
    if text is None:
        return frozenset()
    try:
        return frozenset(map(CertificateStatus, text.split(",")))
    except ValueError:
        words = ", ".join(CertificateStatus)
        raise validation_failed("status", f"status: must be of {words}, separated by commas") from None


def _place(position: tuple[str, ...]) -> tuple[bytes, int]:
    try:
        return bytes.fromhex(position[0]), int(position[1], 16)
    except ValueError:
        raise validation_failed("after", "after: not a cursor of this list") from None


_MANY: Final = answers("Certificates, oldest first.", list_of(reference("Certificate")))
_CHANGED: Final = answers(
    "The certificate as it is now, and how that came into force.",
    {
        "type": "object",
        "required": ["certificate", "enforcement"],
        "properties": {
            "certificate": reference("Certificate"),
            "enforcement": reference("Enforcement"),
        },
    },
)
_REASON: Final = takes(
    {
        "type": "object",
        "additionalProperties": False,
        "properties": {"reason": {"enum": [*REASONS, None]}},
    },
    required=False,
)


def _operation(summary: str, responses: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    return {"summary": summary, "tags": ["Certificates"], "responses": responses, **more}


def _step(
    path: str,
    handler: Callable[[Call], Awaitable[Answer]],
    operation: dict[str, Any],
) -> Route:
    return Route("POST", path, TokenScope.OPERATE, handler, operation)


_ALL_REVOKED: Final = answers("Done, and in force.", reference("EnforcedChange"))
ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        "/api/v1/certificates",
        TokenScope.READ,
        list_certificates,
        _operation(
            "List certificates",
            _MANY,
            parameters=[
                query_parameter("deviceId", "Of this device."),
                query_parameter("userId", "Of this user."),
                query_parameter("authorityId", "Of this authority."),
                query_parameter("status", "One or several, separated by commas."),
                *PAGE_PARAMETERS,
            ],
        ),
    ),
    Route(
        "GET",
        "/api/v1/certificates/{thumbprint}",
        TokenScope.READ,
        get_certificate,
        _operation("A certificate, by its x5t#S256", answers("It.", reference("Certificate"))),
    ),
    _step(
        "/api/v1/certificates/{thumbprint}/lifecycle/revoke",
        revoke_certificate,
        _operation("Revoke a certificate for good", _CHANGED, requestBody=_REASON),
    ),
    _step(
        "/api/v1/certificates/{thumbprint}/lifecycle/hold",
        hold_certificate,
        _operation("Put a certificate on hold", _CHANGED),
    ),
    _step(
        "/api/v1/certificates/{thumbprint}/lifecycle/release",
        release_certificate,
        _operation("Release a certificate from hold", _CHANGED),
    ),
    Route(
        "GET",
        "/api/v1/users/{userId}/certificates",
        TokenScope.READ,
        list_certificates_of_user,
        _operation("Certificates of a user", _MANY),
    ),
    _step(
        "/api/v1/users/{userId}/lifecycle/revoke_trust_certificates",
        revoke_certificates_of_user,
        _operation("Revoke all certificates of a user", _ALL_REVOKED, requestBody=_REASON),
    ),
    Route(
        "GET",
        "/api/v1/devices/{deviceId}/certificates",
        TokenScope.READ,
        list_certificates_of_device,
        _operation("Certificates of a device", _MANY),
    ),
    _step(
        "/api/v1/devices/{deviceId}/lifecycle/revoke_trust_certificates",
        revoke_certificates_of_device,
        _operation("Revoke all certificates of a device", _ALL_REVOKED, requestBody=_REASON),
    ),
)
