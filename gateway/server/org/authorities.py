"""`/api/v1/authorities` and `/api/v1/gateways`: the built-in authority and the gateways, and how they are."""

import base64
from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final

from gateway.adapters.store import View
from gateway.model.issued import (
    AuthorityKind,
    AuthorityRecord,
    AuthorityStatus,
    CertificateStatus,
    PublishedCrl,
)
from gateway.model.org import GatewayRecord, TokenScope, WorkerRecord
from gateway.server.org.call import Call
from gateway.server.org.errors import resource_not_found
from gateway.server.org.fleet import SEEN_WITHIN
from gateway.server.org.listing import list_of
from gateway.server.org.openapi import answers, reference
from gateway.server.org.route import Answer, Route
from gateway.system_log.wire import timestamp

# Devices need the new issuer known before their certificates end, and browsers' policies need time.
AUTHORITY_ENDS_SOON: Final = timedelta(days=90)

_MOMENT: Final = {"type": "string", "format": "date-time"}
_TEXTS: Final = {"type": "array", "items": {"type": "string"}}
_AUTHORITY: Final = {
    "id": {"type": "string"},
    "name": {"type": "string"},
    "kind": {"enum": [kind.value for kind in AuthorityKind]},
    "generation": {"type": "integer"},
    "status": {"enum": [status.value for status in AuthorityStatus]},
    "created": _MOMENT,
    "notAfter": _MOMENT,
    "key": {"enum": ["store", "pkcs11", "elsewhere"], "description": "Where the private key is."},
    "x5c": {**_TEXTS, "description": "Base64 of the DER."},
    "crls": {
        "type": "array",
        "items": {
            "type": "object",
            "properties": {
                "shard": {"type": "integer"},
                "number": {"type": "integer"},
                "thisUpdate": _MOMENT,
                "nextUpdate": _MOMENT,
                "ageSeconds": {"type": "number"},
            },
        },
    },
    "findings": {**_TEXTS, "description": "What is to be done something about; empty: nothing."},
    "_links": {"type": "object"},
}
SCHEMAS: Final[dict[str, Any]] = {
    "Authority": {
        "type": "object",
        "required": ["id", "kind", "status", "notAfter", "findings", "_links"],
        "properties": {
            **_AUTHORITY,
            "certificates": {
                "type": "object",
                "description": "How many, by status. Only of a single authority.",
                "additionalProperties": {"type": "integer"},
            },
        },
    },
    "Gateway": {
        "type": "object",
        "required": ["id", "name", "version", "startedAt", "seenAt", "isSeen", "workers"],
        "properties": {
            "id": {"type": "string"},
            "name": {"type": "string"},
            "version": {"type": "string"},
            "address": {"type": ["string", "null"]},
            "startedAt": _MOMENT,
            "seenAt": _MOMENT,
            "isSeen": {"type": "boolean", "description": "It said lately that it is there."},
            "keysFingerprint": {"type": "string", "description": "The same on all gateways of a fleet."},
            "workers": {
                "type": "array",
                "items": {
                    "type": "object",
                    "properties": {
                        "worker": {"type": "integer"},
                        "appliedNumber": {"type": "integer"},
                        "behind": {"type": "integer", "description": "Changes that it has yet to apply."},
                        "seenAt": _MOMENT,
                    },
                },
            },
            "health": {"type": "object"},
        },
    },
    "Health": {
        "type": "object",
        "required": ["status", "findings", "changeNumber", "gateways"],
        "properties": {
            "status": {"enum": ["ok", "degraded"]},
            "findings": _TEXTS,
            "changeNumber": {"type": "integer"},
            "gateways": {"type": "array", "items": reference("Gateway")},
        },
    },
}


async def list_authorities(call: Call) -> Answer:
    found = await call.store.read(
        lambda view: [(each, view.crls.of_authority(each.id)) for each in view.authorities.all()]
    )
    now = call.clock.now()
    return Answer(json=[_authority(each, crls, now, call.base_url) for each, crls in found])


async def get_authority(call: Call) -> Answer:
    """Counts its certificates, which takes a moment where there are millions."""
    authority_id = call.parameters["authorityId"]

    def read(view: View) -> tuple[AuthorityRecord, Sequence[PublishedCrl], dict[str, int]]:
        authority = view.authorities.get(authority_id)
        if authority is None:
            raise resource_not_found(authority_id, "CertificateAuthority")
        counts = {
            status.value: count
            for (owner, status), count in view.certificates.count_by_status().items()
            if owner == authority_id
        }
        return authority, view.crls.of_authority(authority_id), counts

    authority, crls, counts = await call.store.read(read)
    whole = _authority(authority, crls, call.clock.now(), call.base_url)
    every_status = {status.value: counts.get(status.value, 0) for status in CertificateStatus}
    return Answer(json={**whole, "certificates": every_status})


async def list_gateways(call: Call) -> Answer:
    fleet, head = await call.store.read(_fleet)
    now = call.clock.now()
    return Answer(json=[_gateway(gateway, workers, head, now) for gateway, workers in fleet])


async def health(call: Call) -> Answer:
    """Whatever would be a finding elsewhere, in one place for monitoring."""

    def read(view: View) -> tuple[Any, ...]:
        authorities = [(each, view.crls.of_authority(each.id)) for each in view.authorities.all()]
        return (*_fleet(view), authorities)

    fleet, head, authorities = await call.store.read(read)
    now = call.clock.now()
    findings = [
        f"authority {each.name} {each.generation}: {finding}"
        for each, crls in authorities
        for finding in _findings(each, crls, now)
    ]
    findings += [
        f"gateway {gateway.name}: last seen {timestamp(gateway.seen_at)}"
        for gateway, _ in fleet
        if now - gateway.seen_at > SEEN_WITHIN
    ]
    if len({gateway.keys_fingerprint for gateway, _ in fleet}) > 1:
        findings.append("gateways have different keys: a sign-on begun at one cannot be finished at another")
    return Answer(
        json={
            "status": "degraded" if findings else "ok",
            "findings": findings,
            "changeNumber": head,
            "gateways": [_gateway(gateway, workers, head, now) for gateway, workers in fleet],
        }
    )


def _fleet(view: View) -> tuple[list[tuple[GatewayRecord, list[WorkerRecord]]], int]:
    workers = defaultdict(list)
    for worker in view.gateways.workers():
        workers[worker.gateway_id].append(worker)
    return [(gateway, workers[gateway.id]) for gateway in view.gateways.all()], view.feed.head()


def _gateway(
    gateway: GatewayRecord, workers: Sequence[WorkerRecord], head: int, now: datetime
) -> dict[str, Any]:
    return {
        "id": gateway.id,
        "name": gateway.name,
        "version": gateway.version,
        "address": gateway.address,
        "startedAt": timestamp(gateway.started_at),
        "seenAt": timestamp(gateway.seen_at),
        "isSeen": now - gateway.seen_at <= SEEN_WITHIN,
        "keysFingerprint": gateway.keys_fingerprint,
        "workers": [
            {
                "worker": worker.worker,
                "appliedNumber": worker.applied_number,
                "behind": max(0, head - worker.applied_number),
                "seenAt": timestamp(worker.seen_at),
            }
            for worker in workers
        ],
        "health": dict(gateway.health),
    }


def _authority(
    authority: AuthorityRecord, crls: Sequence[PublishedCrl], now: datetime, base_url: str
) -> dict[str, Any]:
    key = "pkcs11" if authority.key_reference is not None else "store"
    return {
        "id": authority.id,
        "name": authority.name,
        "kind": authority.kind.value,
        "generation": authority.generation,
        "status": authority.status.value,
        "created": timestamp(authority.created),
        "notAfter": timestamp(authority.not_after),
        "key": "elsewhere" if authority.key_reference is None and authority.key_pem is None else key,
        "x5c": [base64.b64encode(authority.certificate_der).decode()],
        "crls": [
            {
                "shard": crl.shard,
                "number": crl.number,
                "thisUpdate": timestamp(crl.this_update),
                "nextUpdate": timestamp(crl.next_update),
                "ageSeconds": round((now - crl.this_update).total_seconds(), 3),
            }
            for crl in crls
        ],
        "findings": _findings(authority, crls, now),
        "_links": {"self": {"href": f"{base_url}/api/v1/authorities/{authority.id}"}},
    }


def _findings(authority: AuthorityRecord, crls: Sequence[PublishedCrl], now: datetime) -> list[str]:
    if authority.status is AuthorityStatus.RETIRED:
        return []
    findings = []
    if authority.not_after <= now:
        findings.append("its certificate has ended")
    elif authority.not_after - now < AUTHORITY_ENDS_SOON and authority.status is AuthorityStatus.ACTIVE:
        findings.append(f"its certificate ends {timestamp(authority.not_after)}: roll over")
    if authority.kind is AuthorityKind.ISSUING and len(crls) < authority.crl_shards:
        findings.append(f"{authority.crl_shards - len(crls)} of its revocation lists were never published")
    findings += [
        f"revocation list {crl.shard} is overdue since {timestamp(crl.next_update)}"
        for crl in crls
        if crl.next_update <= now
    ]
    return findings


def _operation(summary: str, tag: str, responses: Mapping[str, Any]) -> dict[str, Any]:
    return {"summary": summary, "tags": [tag], "responses": responses}


ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        "/api/v1/authorities",
        TokenScope.READ,
        list_authorities,
        _operation(
            "List authorities",
            "Authorities",
            answers("Roots first, the newest generation of a kind last.", list_of(reference("Authority"))),
        ),
    ),
    Route(
        "GET",
        "/api/v1/authorities/{authorityId}",
        TokenScope.READ,
        get_authority,
        _operation("An authority", "Authorities", answers("It.", reference("Authority"))),
    ),
    Route(
        "GET",
        "/api/v1/gateways",
        TokenScope.READ,
        list_gateways,
        _operation("List gateways", "Gateways", answers("Gateways.", list_of(reference("Gateway")))),
    ),
    Route(
        "GET",
        "/api/v1/health",
        TokenScope.READ,
        health,
        _operation("What needs attention", "Gateways", answers("Health.", reference("Health"))),
    ),
)
