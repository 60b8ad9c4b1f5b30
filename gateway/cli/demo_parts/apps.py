"""The demo's two sample apps: a wiki that takes SAML 2.0, a payroll that takes WS-Federation.

Each verifies every sign-on itself, as an app behind the gateway should: with its own expectation of the
identity provider's message (by the verifier in `gateway.federation`, the same code as the gateway's, in
another process), and the gateway's statement on the device with the keys that the org host publishes.
"""

import base64
import json
import secrets
import zlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any, Final, TypeVar, assert_never
from urllib.parse import urlencode

import aiohttp
import jwt
from aiohttp import web

from gateway.cli.demo_parts.messages import GROUP_CLAIM, authn_request
from gateway.cli.demo_parts.pages import page, wants_html
from gateway.federation.errors import MessageRejected
from gateway.federation.expectation import Expectation, IdentityProvider, VerifiedMessage
from gateway.federation.form import MAX_FORM_BYTES, parse_form
from gateway.federation.metadata import parse_idp_metadata
from gateway.federation.saml2 import verify_response
from gateway.federation.ws_fed import SIGN_IN, verify_wresult
from gateway.model.reasons import MessageReason
from gateway.model.settings import FederationProtocol

STATEMENT_HEADER: Final = "X-Device-Trust-Assertion"
_SHOWN_HEADERS: Final = ("X-Device-Trust", "X-Forwarded")
MAX_REMEMBERED: Final = 1000  # requests, replay keys and sessions, each; a demo never has as many

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class AppSettings:
    """What an app knows. ``origin`` and ``assertion_path`` are public; ``jwks_url`` is the gateway's."""

    name: str
    label: str
    protocol: FederationProtocol
    origin: str
    assertion_path: str
    entity_id: str
    idp_metadata: bytes
    statement_issuer: str
    jwks_url: str


@dataclass(frozen=True, slots=True)
class Session:
    """One signed-on browser: who, and what the gateway said about the device."""

    app: str
    user: str
    groups: tuple[str, ...]
    device_trust: str
    statement: dict[str, Any]
    headers: dict[str, str]


class StatementRefused(Exception):
    """The gateway's statement is missing, not signed by it, or about somebody else."""


class SampleApp:
    """Sessions in memory; the newest MAX_REMEMBERED of everything."""

    def __init__(self, settings: AppSettings, client: Callable[[], aiohttp.ClientSession]) -> None:
        self._settings = settings
        self._client = client
        metadata = parse_idp_metadata(settings.idp_metadata, datetime.now(UTC), None, settings.protocol)
        self._sso_url = metadata.sso_locations[0]
        self._expectation = Expectation(
            idp=IdentityProvider(
                "demo",
                metadata.entity_id,
                metadata.signing_keys,
                groups_attribute=GROUP_CLAIM if settings.protocol is FederationProtocol.WS_FED else "groups",
            ),
            audience=settings.entity_id,
            recipients=(settings.origin + settings.assertion_path,),
        )
        self._cookie = f"__Host-{settings.name}"
        self._asked: dict[str, None] = {}  # IDs of open AuthnRequests
        self._used: dict[str, None] = {}  # replay keys of assertions
        self._sessions: dict[str, Session] = {}

    def application(self) -> web.Application:
        application = web.Application(client_max_size=MAX_FORM_BYTES)
        application.add_routes(
            [
                web.get("/", self._home),
                web.post(self._settings.assertion_path, self._sign_on),
                web.post("/sign-out", self._sign_out),
                web.get("/signed-out", self._signed_out),
            ]
        )
        return application

    async def _home(self, request: web.Request) -> web.Response:
        session = self._sessions.get(request.cookies.get(self._cookie, ""))
        if session is None:
            raise web.HTTPSeeOther(self._sign_on_url())
        if wants_html(request):
            return page("app", label=self._settings.label, session=session)
        return web.json_response(asdict(session), headers={"Cache-Control": "no-store"}, dumps=_indented)

    async def _sign_on(self, request: web.Request) -> web.Response:
        try:
            verified = self._verified(await request.read())
            statement = await self._statement(request, verified.identity.user)
        except MessageRejected as rejected:
            return self._message(request, 403, "The sign-on was refused", f"{rejected.reason}")
        except StatementRefused as refused:
            return self._message(request, 403, "The gateway's statement was refused", str(refused))
        token = secrets.token_urlsafe(32)
        session = Session(
            app=self._settings.name,
            user=verified.identity.user,
            groups=tuple(sorted(verified.identity.groups)),
            device_trust=str(statement["device_trust"]),
            statement=statement,
            headers={n: v for n, v in request.headers.items() if n.startswith(_SHOWN_HEADERS)},
        )
        _remember(self._sessions, token, session)
        answer = web.Response(status=303, headers={"Location": "/", "Cache-Control": "no-store"})
        answer.set_cookie(self._cookie, token, secure=True, httponly=True, samesite="Lax", path="/")
        return answer

    async def _sign_out(self, request: web.Request) -> web.Response:
        self._sessions.pop(request.cookies.get(self._cookie, ""), None)
        answer = web.Response(status=303, headers={"Location": "/signed-out"})
        answer.del_cookie(self._cookie, path="/", secure=True, httponly=True, samesite="Lax")
        return answer

    async def _signed_out(self, request: web.Request) -> web.Response:
        return self._message(request, 200, "Signed out", f"You are signed out of {self._settings.label}.")

    def _sign_on_url(self) -> str:
        """Where the identity provider is asked (SAML Bindings §3.4, WS-Federation 1.2 §13.2.1)."""
        settings = self._settings
        match settings.protocol:
            case FederationProtocol.SAML2:
                acs_url = settings.origin + settings.assertion_path
                request_id, xml = authn_request(settings.entity_id, self._sso_url, acs_url)
                _remember(self._asked, request_id, None)
                deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
                deflated = deflater.compress(xml) + deflater.flush()
                query = {"SAMLRequest": base64.b64encode(deflated).decode("ascii")}
            case FederationProtocol.WS_FED:
                query = {"wa": SIGN_IN, "wtrealm": settings.entity_id, "wctx": "demo"}
            case _:
                assert_never(settings.protocol)
        return f"{self._sso_url}?{urlencode(query)}"

    def _verified(self, body: bytes) -> VerifiedMessage:
        """Raises MessageRejected. Sign-ons that begin at the identity provider are welcome."""
        form, now = parse_form(body), datetime.now(UTC)
        if self._settings.protocol is FederationProtocol.SAML2:
            verified = verify_response(form, self._expectation, now)
        else:
            verified = verify_wresult(form, self._expectation, now)
        answered = verified.in_response_to
        if answered is not None and answered not in self._asked:
            raise MessageRejected(MessageReason.MALFORMED, "it answers no request of this app")
        if verified.replay_key in self._used:
            raise MessageRejected(MessageReason.REPLAYED, "the assertion was used before")
        if answered is not None:
            del self._asked[answered]
        _remember(self._used, verified.replay_key, None)
        return verified

    async def _statement(self, request: web.Request, user: str) -> dict[str, Any]:
        """The claims of the gateway's statement on this sign-on. Raises StatementRefused."""
        token = request.headers.get(STATEMENT_HEADER)
        if token is None:
            raise StatementRefused(f"there is no {STATEMENT_HEADER}")
        try:
            async with self._client() as client, client.get(self._settings.jwks_url) as answer:
                answer.raise_for_status()
                keys = jwt.PyJWKSet.from_dict(await answer.json())
            key = keys[jwt.get_unverified_header(token).get("kid", "")]
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=["ES256"],
                audience=self._settings.name,
                issuer=self._settings.statement_issuer,
                options={"require": ["iss", "aud", "sub", "exp", "device_trust"]},
            )
        except (aiohttp.ClientError, TimeoutError) as error:
            raise StatementRefused(f"the gateway's keys cannot be had: {error}") from error
        except (jwt.PyJWTError, KeyError) as error:
            raise StatementRefused(str(error)) from error
        if claims["sub"] != user:
            raise StatementRefused("it is about another user than the assertion")
        return claims

    def _message(self, request: web.Request, status: int, title: str, text: str) -> web.Response:
        if wants_html(request):
            return page("message", status, label=self._settings.label, title=title, text=text)
        return web.json_response({"title": title, "detail": text}, status=status, dumps=_indented)


def _indented(value: object) -> str:
    """For the terminal of a person."""
    return json.dumps(value, indent=2)


def _remember(memory: dict[str, Value], key: str, value: Value) -> None:
    """Keep it; forget the oldest where there are too many."""
    while len(memory) >= MAX_REMEMBERED:
        del memory[next(iter(memory))]
    memory[key] = value
