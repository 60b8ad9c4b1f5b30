"""The demo's identity provider: signs anybody on who says who they are, by SAML 2.0 and WS-Federation.

It listens on loopback, asks for no password, and its keys are trusted by the demo alone. What it does
take seriously is whom it answers: only registered apps, only at their registered addresses.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, assert_never
from urllib.parse import urlencode

from aiohttp import web

from gateway.cli.demo_parts.messages import (
    Person,
    Signer,
    saml_metadata,
    saml_response,
    sign_in_response,
    ws_fed_metadata,
)
from gateway.cli.demo_parts.pages import page
from gateway.cli.demo_parts.pki import message_signer
from gateway.federation import names
from gateway.federation.requests import redirect_message
from gateway.federation.ws_fed import SIGN_IN
from gateway.model.settings import FederationProtocol

SAML_PATH: Final = "/saml"
WS_FED_PATH: Final = "/ws-fed"

_ISSUER: Final = f"{{{names.SAML2}}}Issuer"


@dataclass(frozen=True, slots=True)
class RegisteredApp:
    """An app that may ask. ``endpoint`` is the one URL that its messages are posted to."""

    name: str
    label: str
    protocol: FederationProtocol
    entity_id: str
    endpoint: str


@dataclass(frozen=True, slots=True)
class SignOnRequest:
    """What is to be answered. ``in_response_to`` None: the person began here. ``state`` is returned as is."""

    app: RegisteredApp
    in_response_to: str | None = None
    state: str | None = None


class IdentityProvider:
    """Pages and messages. Everything it remembers was given to it at the start."""

    def __init__(self, origin: str, people: Sequence[Person], apps: Sequence[RegisteredApp]) -> None:
        credential = message_signer("Demo identity provider")
        self._saml = Signer(f"{origin}{SAML_PATH}/metadata", credential)
        self._ws_fed = Signer(f"{origin}{WS_FED_PATH}/metadata", credential)
        self._people = {person.user: person for person in people}
        self._apps = {app.name: app for app in apps}
        self.saml_metadata = saml_metadata(self._saml, origin + SAML_PATH)
        self.ws_fed_metadata = ws_fed_metadata(self._ws_fed, origin + WS_FED_PATH)

    def write_metadata(self, directory: Path) -> None:
        """What an administrator would download from the provider."""
        (directory / "idp-saml.xml").write_bytes(self.saml_metadata)
        (directory / "idp-ws-fed.xml").write_bytes(self.ws_fed_metadata)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(SAML_PATH, self._show),
            web.post(SAML_PATH, self._answer),
            web.get(WS_FED_PATH, self._show),
            web.post(WS_FED_PATH, self._answer),
            web.get("/launch/{app}", self._show),
            web.post("/launch/{app}", self._answer),
            web.get("/form/{app}/{user}", self._form_body),
        ]

    def message(self, request: SignOnRequest, person: Person) -> dict[str, str]:
        """The fields of the form that the browser posts to the app."""
        app = request.app
        match app.protocol:
            case FederationProtocol.SAML2:
                xml = saml_response(self._saml, person, app.entity_id, app.endpoint, request.in_response_to)
                fields = {"SAMLResponse": base64.b64encode(xml).decode("ascii")}
                state_field = "RelayState"
            case FederationProtocol.WS_FED:
                token = sign_in_response(self._ws_fed, person, app.entity_id)
                fields = {"wa": SIGN_IN, "wresult": token.decode()}
                state_field = "wctx"
            case _:
                assert_never(app.protocol)
        return fields if request.state is None else {**fields, state_field: request.state}

    async def _show(self, http_request: web.Request) -> web.Response:
        request = self._request(http_request)
        return page("sign-in", app=request.app, people=self._people.values())

    async def _answer(self, http_request: web.Request) -> web.Response:
        request = self._request(http_request)
        person = self._people.get(str((await http_request.post()).get("user", "")))
        if person is None:
            raise web.HTTPBadRequest(text="nobody of that name is known here\n")
        return page("post", app=request.app, fields=self.message(request, person).items())

    async def _form_body(self, http_request: web.Request) -> web.Response:
        """The body of the post alone, for curl: a sign-on that began here, by this person."""
        app = self._apps.get(http_request.match_info["app"])
        person = self._people.get(http_request.match_info["user"])
        if app is None or person is None:
            raise web.HTTPNotFound(text="no such app or person\n")
        body = urlencode(self.message(SignOnRequest(app), person))
        return web.Response(text=body, content_type="application/x-www-form-urlencoded")

    def _request(self, http_request: web.Request) -> SignOnRequest:
        """Who asks for what. Raises HTTPBadRequest or HTTPNotFound."""
        query = http_request.query
        if http_request.path == SAML_PATH:
            return self._saml_request(http_request.query_string, query)
        if http_request.path == WS_FED_PATH:
            app = self._by_entity_id(query.get("wtrealm"), FederationProtocol.WS_FED)
            if query.get("wa") != SIGN_IN:
                raise web.HTTPBadRequest(text=f"only wa={SIGN_IN} is understood\n")
            return SignOnRequest(app, state=query.get("wctx"))
        launched = self._apps.get(http_request.match_info["app"])
        if launched is None:
            raise web.HTTPNotFound(text="no such app\n")
        return SignOnRequest(launched)

    def _saml_request(self, query_string: str, query: Mapping[str, str]) -> SignOnRequest:
        message = redirect_message(query_string.encode(), "SAMLRequest")
        if message is None or message.tag != f"{{{names.SAMLP2}}}AuthnRequest":
            raise web.HTTPBadRequest(text="there is no AuthnRequest that can be read\n")
        app = self._by_entity_id(message.findtext(_ISSUER), FederationProtocol.SAML2)
        if message.get("AssertionConsumerServiceURL", app.endpoint) != app.endpoint:
            raise web.HTTPBadRequest(text="the app is not registered with that address\n")
        return SignOnRequest(app, message.get("ID"), query.get("RelayState"))

    def _by_entity_id(self, entity_id: str | None, protocol: FederationProtocol) -> RegisteredApp:
        for app in self._apps.values():
            if app.entity_id == entity_id and app.protocol is protocol:
                return app
        raise web.HTTPBadRequest(text="the app is not registered here\n")
