"""What the authority in the store publishes: CRLs, its certificates, and OCSP. All of it is signed, so it
goes to everybody, with TLS or without.
"""

import asyncio
import base64
import binascii
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from email.utils import format_datetime
from typing import Any, Final
from urllib.parse import unquote

from gateway.adapters.store import View
from gateway.model.issued import AuthorityKind, AuthorityRecord
from gateway.model.settings import CaSettings
from gateway.pki.ocsp import (
    MAX_OCSP_REQUEST_BYTES,
    CertId,
    CertStatus,
    OcspFailure,
    OcspRequest,
    OcspRequestRefused,
    Unknown,
    failure_answer,
    parse_ocsp_request,
    signed_answer,
)
from gateway.pki.ocsp_answers import KeptAnswer, KeptAnswers
from gateway.pki.publication import read_name
from gateway.pki.signer import SigningFailed
from gateway.server.org.call import Call
from gateway.server.org.errors import path_not_found, unsupported_media_type
from gateway.server.org.route import PUBLIC, Answer, Route
from gateway.services.authority_ports import SigningKeys
from gateway.services.issuing import certificate_of
from gateway.services.publishing import certificate_statuses, ocsp_issuers

CRL_TYPE: Final = "application/pkix-crl"
CERTIFICATE_TYPE: Final = "application/pkix-cert"
OCSP_REQUEST_TYPE: Final = "application/ocsp-request"
OCSP_ANSWER_TYPE: Final = "application/ocsp-response"
# A list is replaced at a revocation, long before its next update: caches shall ask again soon.
_MAX_CACHED_SECONDS: Final = 600
# An HSM may sign 20 in a second, and certificates and lists are signed by the same key.
_MAX_BEING_SIGNED: Final = 32
_THREADS: Final = 2
# An authority's certificate never changes under its name.
_CERTIFICATE_CACHED_SECONDS: Final = 86_400


class PublicationRoutes:
    """The handlers, with the keys that sign OCSP answers and the answers that were signed."""

    def __init__(self, keys: SigningKeys, rules: Callable[[], CaSettings]) -> None:
        self._keys = keys
        self._rules = rules
        self._kept = KeptAnswers()
        self._being_signed = 0
        # Of its own: a key that hangs must not hold what else the process does in threads.
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="OCSP")

    @property
    def routes(self) -> tuple[Route, ...]:
        return (
            _public("GET", "/crl/{name}", self.crl, "A revocation list", CRL_TYPE),
            _public("GET", "/ca/{name}", self.certificate, "An authority's certificate", CERTIFICATE_TYPE),
            _public("GET", "/ocsp/{request*}", self.ocsp_by_path, "Status of certificates", OCSP_ANSWER_TYPE),
            _public("POST", "/ocsp", self.ocsp, "Status of certificates", OCSP_ANSWER_TYPE),
        )

    async def crl(self, call: Call) -> Answer:
        wanted = _named(call, ".crl")
        shard = wanted.shard
        if shard is None:
            raise path_not_found()

        def find(view: View) -> Any:
            authority = _authority(view, wanted.kind, wanted.generation)
            return None if authority is None else view.crls.get(authority.id, shard)

        held = await call.store.read(find)
        if held is None:
            raise path_not_found()
        left = int((held.next_update - call.clock.now()).total_seconds())
        return _cached(
            call,
            held.der,
            CRL_TYPE,
            f'"{held.number}"',
            held.this_update,
            max(0, min(left, _MAX_CACHED_SECONDS)),
        )

    async def certificate(self, call: Call) -> Answer:
        wanted = _named(call, ".cer")
        if wanted.shard is not None:
            raise path_not_found()
        authority = await call.store.read(lambda view: _authority(view, wanted.kind, wanted.generation))
        if authority is None:
            raise path_not_found()
        tag = f'"{authority.issuer_hash.hex()[:32]}"'
        return _cached(
            call,
            authority.certificate_der,
            CERTIFICATE_TYPE,
            tag,
            authority.created,
            _CERTIFICATE_CACHED_SECONDS,
        )

    async def ocsp(self, call: Call) -> Answer:
        kind = call.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind != OCSP_REQUEST_TYPE:
            raise unsupported_media_type(f"Content-Type must be {OCSP_REQUEST_TYPE}")
        return await self._answer(call, call.body, cached=False)

    async def ocsp_by_path(self, call: Call) -> Answer:
        """The request in base64 in the path (RFC 6960 §A.1), where some clients encode characters twice."""
        text = unquote(call.parameters["request"]).replace(" ", "+")
        try:
            der = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
        except (binascii.Error, ValueError):
            return _failed(OcspFailure.MALFORMED_REQUEST)
        return await self._answer(call, der, cached=True)

    async def _answer(self, call: Call, der: bytes, *, cached: bool) -> Answer:
        try:
            request = parse_ocsp_request(der)
        except OcspRequestRefused as refused:
            return _failed(refused.failure)
        now = call.clock.now().replace(microsecond=0)
        key = request.asked[0].der if request.nonce is None and len(request.asked) == 1 else None
        state, kept = 0, None
        if key is not None:
            # Read before the statuses: an answer may be newer than it is taken for, and never older.
            state = await call.store.read(lambda view: view.feed.head())
            kept = self._kept.get(key, state, now)
        if kept is None:
            issuer, statuses = await call.store.read(lambda view: _asked(view, request))
            if issuer is None:
                return _failed(OcspFailure.UNAUTHORIZED)
            if self._being_signed >= _MAX_BEING_SIGNED:
                return _failed(OcspFailure.TRY_LATER)
            next_update = now + self._rules().ocsp_lifetime
            signing = asyncio.get_running_loop().run_in_executor(
                self._threads, self._signed, issuer, statuses, request, now, next_update
            )
            self._being_signed += 1
            signing.add_done_callback(self._was_signed)
            try:
                signed = await asyncio.shield(
                    signing
                )  # a key that hangs has its thread also when nobody waits
            except SigningFailed:
                return _failed(OcspFailure.TRY_LATER)
            kept = KeptAnswer(signed, next_update, state)
            # What is unknown now may be issued in a moment.
            if key is not None and not isinstance(statuses[0][1], Unknown):
                self._kept.put(key, kept)
        headers = [("Content-Type", OCSP_ANSWER_TYPE)]
        if cached and request.nonce is None:  # RFC 5019 §6.2
            left = min(int((kept.next_update - now).total_seconds()), _MAX_CACHED_SECONDS)
            headers.append(("Cache-Control", f"max-age={left}, public, no-transform, must-revalidate"))
        return Answer(200, headers=tuple(headers), body=kept.der)

    def _was_signed(self, signing: "asyncio.Future[bytes]") -> None:
        self._being_signed -= 1
        if not signing.cancelled():
            signing.exception()  # told to whoever waits, if anybody still does

    def _signed(
        self,
        issuer: AuthorityRecord,
        statuses: list[tuple[CertId, CertStatus]],
        request: OcspRequest,
        now: datetime,
        next_update: datetime,
    ) -> bytes:
        return signed_answer(
            statuses,
            self._keys.signer(issuer),
            this_update=now,
            next_update=next_update,
            produced_at=now,
            nonce=request.nonce,
            responder_spki_der=certificate_of(issuer.certificate_der).spki_der,
        )


def _asked(
    view: View, request: OcspRequest
) -> tuple[AuthorityRecord | None, list[tuple[CertId, CertStatus]]]:
    """The issuer of all that is asked about, and what is said. No issuer: some are not ours, or not of
    one issuer, for whom one key could answer."""
    for authority, issuer in ocsp_issuers(view):
        if all(issuer.is_named_by(asked) for asked in request.asked):
            found = certificate_statuses(view, authority, [asked.serial_number for asked in request.asked])
            return authority, list(zip(request.asked, found, strict=True))
    return None, []


def _authority(view: View, kind: AuthorityKind, generation: int) -> AuthorityRecord | None:
    found = (each for each in view.authorities.all(kind) if each.generation == generation)
    return next(found, None)


def _named(call: Call, ending: str) -> Any:
    text = call.parameters["name"]
    name = read_name(text.removesuffix(ending)) if text.endswith(ending) else None
    if name is None:
        raise path_not_found()
    return name


def _cached(call: Call, body: bytes, content_type: str, tag: str, modified: datetime, seconds: int) -> Answer:
    headers = (
        ("Content-Type", content_type),
        ("ETag", tag),
        ("Last-Modified", format_datetime(modified.replace(microsecond=0), usegmt=True)),
        ("Cache-Control", f"public, max-age={seconds}"),
    )
    held = {each.strip().removeprefix("W/") for each in call.headers.get("if-none-match", "").split(",")}
    if tag in held or "*" in held:
        return Answer(304, headers=headers[1:])
    return Answer(200, headers=headers, body=body)


def _failed(failure: OcspFailure) -> Answer:
    """An OCSP error is an answer like others to HTTP (RFC 6960 §2.3)."""
    return Answer(200, headers=(("Content-Type", OCSP_ANSWER_TYPE),), body=failure_answer(failure))


def _public(method: str, path: str, handler: Any, summary: str, content_type: str) -> Route:
    operation: dict[str, Any] = {
        "summary": summary,
        "operationId": f"{handler.__name__}{method.title()}",
        "responses": {
            "200": {
                "description": "DER.",
                "content": {content_type: {"schema": {"type": "string", "format": "binary"}}},
            }
        },
    }
    if method == "GET" and not path.startswith("/ocsp"):
        operation["responses"]["304"] = {"description": "It is what the client has."}
    if method == "POST":
        operation["requestBody"] = {
            "required": True,
            "content": {OCSP_REQUEST_TYPE: {"schema": {"type": "string", "format": "binary"}}},
        }
    return Route(method, path, None, handler, operation, budget=PUBLIC, max_body_bytes=MAX_OCSP_REQUEST_BYTES)
