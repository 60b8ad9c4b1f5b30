"""The IWA web app as the agent asks it: steps 2 and 3, each with a Kerberos ticket."""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from gateway.agent.http import Http, HttpAnswer
from gateway.agent.negotiate import StartConversation, negotiate_token, offers_negotiate
from gateway.agent.refusal import LocalRefusal, Refused, refusal_of_answer, refused
from gateway.enrollment.channel_bindings import request_binding, tls_server_end_point

MAX_TOKEN_CHARACTERS: Final = 8_192
_MAX_ANSWER_BYTES: Final = 65_536


@dataclass(frozen=True, slots=True)
class Asked:
    """What both tokens are bound to: the org's nonce, and the key that the certificate is to be for."""

    nonce: str
    key_thumbprint: str


class IwaClient:
    """One IWA web app. ``url`` without a slash at its end."""

    def __init__(self, http: Http, url: str) -> None:
        self._http = http
        self._url = url

    def device_token(self, asked: Asked, start: StartConversation) -> str:
        """Step 2, with the computer's ticket. Raises Refused."""
        body = {"nonce": asked.nonce, "key_thumbprint": asked.key_thumbprint}
        return self._token("device", body, start)

    def user_token(self, asked: Asked, device_token: str, start: StartConversation) -> str:
        """Step 3, with the person's ticket. Raises Refused."""
        body = {
            "nonce": asked.nonce,
            "key_thumbprint": asked.key_thumbprint,
            "device_token": device_token,
        }
        return self._token("user", body, start)

    def _token(self, step: str, body: Mapping[str, str], start: StartConversation) -> str:
        binding = request_binding(step, body["nonce"], body["key_thumbprint"])
        answer = self._negotiated(f"{self._url}/{step}", json.dumps(body).encode(), binding, start)
        token = _member(answer.body, f"{step}_token")
        if not isinstance(token, str) or not 0 < len(token) <= MAX_TOKEN_CHARACTERS or not token.isascii():
            raise refused(
                LocalRefusal.ANSWER_INVALID,
                f"{self._url} does not answer as an IWA web app",
                "See that the address with which it was registered is its own.",
                transient=True,
            )
        return token

    def _negotiated(self, url: str, body: bytes, without_tls: bytes, start: StartConversation) -> HttpAnswer:
        """The first request shows the server's certificate, to which the second one's ticket is bound;
        ``without_tls`` is what it is bound to where there is none."""
        headers = {"content-type": "application/json"}
        asked = self._send(url, headers, body)
        challenge = asked.headers.get("www-authenticate")
        if asked.status != 401 or not offers_negotiate(challenge):
            raise self._refused(asked)
        certificate = asked.peer_certificate_der
        bindings = without_tls if certificate is None else tls_server_end_point(certificate)
        conversation = start(urlsplit(url).hostname or "", bindings)
        token = base64.b64encode(conversation.first()).decode()
        answer = self._send(url, {**headers, "authorization": f"Negotiate {token}"}, body)
        if answer.status != 200:
            raise self._refused(answer)
        conversation.finish(negotiate_token(answer.headers.get("www-authenticate")))
        return answer

    def _send(self, url: str, headers: Mapping[str, str], body: bytes) -> HttpAnswer:
        return self._http.send("POST", url, headers=headers, body=body, limit=_MAX_ANSWER_BYTES)

    def _refused(self, answer: HttpAnswer) -> Refused:
        if answer.status == 200:
            return refused(
                LocalRefusal.ANSWER_INVALID,
                f"{self._url} does not ask for a Kerberos ticket",
                "It is not the IWA web app, or something before it answers in its place.",
                transient=True,
            )
        return Refused(refusal_of_answer(answer.status, answer.body, f"the IWA web app at {self._url}"))


def _member(body: bytes, name: str) -> Any:
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        return None
    return told.get(name) if isinstance(told, dict) else None
