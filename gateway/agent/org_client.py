"""The org as the agent asks it: discovery, authorities, certificates, revocation.

Every call raises Refused with what the org said, or what kept the agent from asking it.
"""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from gateway.agent.discovery import MAX_DISCOVERY_BYTES, Discovery, DiscoveryInvalid, parse_discovery
from gateway.agent.enrolled import (
    AnswerInvalid,
    Enrolled,
    certificates_of_est,
    enrolled_of_est,
    enrolled_of_json,
)
from gateway.agent.http import ClientCertificate, Http, HttpAnswer
from gateway.agent.ocsp import (
    CONTENT_TYPE,
    MAX_OCSP_ANSWER_BYTES,
    NONCE_BYTES,
    OcspInvalid,
    ocsp_request,
    standing_of,
)
from gateway.agent.plan import Standing
from gateway.agent.refusal import LocalRefusal, Refused, refusal_of_answer, refused
from gateway.pki.certificate import Certificate
from gateway.pki.certification_request import parse_certification_request
from gateway.pki.signature import PublicKey

_JSON: Final = "application/json"
# Refusals come with their codes to who takes JSON.
_PKCS7_OR_REFUSAL: Final = "application/pkcs7-mime, application/json"
_PKCS10: Final = "application/pkcs10"
_EST: Final = "/.well-known/est"
_WHOSE: Final = "the organization"


@dataclass(frozen=True, slots=True)
class CertificateWanted:
    """What step 4 sends beside the user token. ``replaces`` is a thumbprint."""

    request_der: bytes
    replaces: str | None
    platform: str
    agent_version: str
    attestation: Mapping[str, Any] | None = None


class OrgClient:
    """``org_url`` is of the settings: scheme, host and port."""

    def __init__(self, http: Http, org_url: str) -> None:
        self._http = http
        self._url = org_url

    def discovery(self) -> Discovery:
        answer = self._success(
            self._http.send("GET", f"{self._url}/enroll/discovery", limit=MAX_DISCOVERY_BYTES)
        )
        try:
            return parse_discovery(answer.body)
        except DiscoveryInvalid as error:
            raise refused(
                LocalRefusal.ANSWER_INVALID,
                f"{self._url} does not answer as the org of a Device Trust Gateway: {error}",
                "See that OrgUrl is the address of the org, not of an app.",
                transient=True,  # a captive portal, perhaps
            ) from None

    def authorities(self) -> tuple[Certificate, ...]:
        """The certificates of the org's authorities: what issues for devices, and the roots above."""
        answer = self._success(self._http.send("GET", f"{self._url}{_EST}/cacerts"))
        try:
            return certificates_of_est(answer.body)
        except AnswerInvalid as error:
            raise _unusable("cacerts", error) from None

    def standing(self, certificate: Certificate, issuer: Certificate, now: datetime) -> Standing:
        """Whether it is revoked. An answer that does not count is none: UNKNOWN."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        try:
            answer = self._http.send(
                "POST",
                f"{self._url}/ocsp",
                headers={"content-type": CONTENT_TYPE},
                body=ocsp_request(certificate, issuer, nonce),
                limit=MAX_OCSP_ANSWER_BYTES,
            )
            return standing_of(answer.body, certificate, issuer, nonce, now)
        except (Refused, OcspInvalid):
            return Standing.UNKNOWN

    def attestation(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        return self._json_object(self._post("/enroll/attestation", body))

    def certificate(self, user_token: str, wanted: CertificateWanted) -> Enrolled:
        """Step 4."""
        body = {
            "user_token": user_token,
            "csr": _pem(wanted.request_der),
            "replaces": wanted.replaces,
            "platform": wanted.platform,
            "agent_version": wanted.agent_version,
            "attestation": wanted.attestation,
        }
        return self._enrolled(self._post("/enroll/certificate", body), wanted.request_der)

    def renewed_with_proof(
        self, request_der: bytes, proof: str, *, force: bool, attestation: Mapping[str, Any] | None = None
    ) -> Enrolled:
        body = {"csr": _pem(request_der), "proof": proof, "force": force, "attestation": attestation}
        return self._enrolled(self._post("/enroll/renew", body), request_der)

    def known_of_me(self, proof: str) -> Mapping[str, Any]:
        """What the org knows of the certificate of the proof, its device and user, and what would apply."""
        return self._json_object(self._post("/enroll/self", {"proof": proof}))

    def enrolled_by_code(self, code: str, request_der: bytes, authorities: Sequence[Certificate]) -> Enrolled:
        """EST simpleenroll (RFC 7030 §4.2.1) with a one-time enrollment code."""
        answer = self._http.send(
            "POST",
            f"{self._url}{_EST}/simpleenroll",
            headers={
                "content-type": _PKCS10,
                "accept": _PKCS7_OR_REFUSAL,
                "authorization": "Basic " + base64.b64encode(f"agent:{code}".encode()).decode(),
            },
            body=base64.encodebytes(request_der),
        )
        if answer.status == 401:
            raise refused(
                LocalRefusal.CODE_REFUSED,
                "The enrollment code is wrong, was used or has ended.",
                "devicetrust ca enrollment-code makes a new one.",
            )
        return self._enrolled_over_est(self._success(answer), request_der, authorities)

    def renewed_over_tls(
        self,
        est_url: str,
        shown: ClientCertificate,
        request_der: bytes,
        authorities: Sequence[Certificate],
        *,
        force: bool,
    ) -> Enrolled:
        """EST simplereenroll (RFC 7030 §4.2.2) over the certificate that is to be renewed."""
        answer = self._http.send(
            "POST",
            f"{est_url}{_EST}/simplereenroll" + ("?force=true" if force else ""),
            headers={"content-type": _PKCS10, "accept": _PKCS7_OR_REFUSAL},
            body=base64.encodebytes(request_der),
            client_certificate=shown,
        )
        return self._enrolled_over_est(self._success(answer), request_der, authorities)

    def _post(self, path: str, body: Mapping[str, Any]) -> HttpAnswer:
        content = json.dumps(body).encode()
        return self._success(
            self._http.send("POST", self._url + path, headers={"content-type": _JSON}, body=content)
        )

    def _success(self, answer: HttpAnswer) -> HttpAnswer:
        if answer.status != 200:
            raise Refused(refusal_of_answer(answer.status, answer.body, _WHOSE))
        return answer

    def _json_object(self, answer: HttpAnswer) -> Mapping[str, Any]:
        try:
            told = json.loads(answer.body)
        except (ValueError, RecursionError):
            told = None
        if not isinstance(told, dict):
            raise refused(LocalRefusal.ANSWER_INVALID, "the organization's answer is no JSON object")
        return told

    def _enrolled(self, answer: HttpAnswer, request_der: bytes) -> Enrolled:
        try:
            return enrolled_of_json(answer.body, _key(request_der))
        except AnswerInvalid as error:
            raise _unusable("the certificate", error) from None

    def _enrolled_over_est(
        self, answer: HttpAnswer, request_der: bytes, authorities: Sequence[Certificate]
    ) -> Enrolled:
        try:
            return enrolled_of_est(answer.body, _key(request_der), authorities)
        except AnswerInvalid as error:
            raise _unusable("the certificate", error) from None


def _key(request_der: bytes) -> PublicKey:
    return parse_certification_request(request_der).public_key


def _pem(request_der: bytes) -> str:
    text = base64.encodebytes(request_der).decode()
    return f"-----BEGIN CERTIFICATE REQUEST-----\n{text}-----END CERTIFICATE REQUEST-----\n"


def _unusable(what: str, error: AnswerInvalid) -> Refused:
    return refused(
        LocalRefusal.ANSWER_INVALID,
        f"{what} that the organization sent cannot be used: {error}",
        "Nothing was changed. Please report it.",
        transient=True,
    )
