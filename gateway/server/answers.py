"""Our own answers on the wire: pages, redirects, the challenge form, JSON."""

import base64
import json
from collections.abc import Iterable
from typing import Any, Final

from gateway.model.http import Headers, header
from gateway.model.pages import ChallengeForm, Page
from gateway.server.exchange import HeaderField, Requester
from gateway.server.pages import PageRenderer
from gateway.services.ports import Randomness

_NONCE_BYTES: Final = 18
_NO_STORE: Final = ((b"Cache-Control", b"no-store"), (b"Referrer-Policy", b"no-referrer"))
# Browsers that reach us by HTTPS once stay with it. Not for subdomains: they are not all ours.
_STRICT_TRANSPORT: Final = (b"Strict-Transport-Security", b"max-age=31536000")


class Answers:
    def __init__(self, pages: PageRenderer, randomness: Randomness) -> None:
        self._pages = pages
        self._randomness = randomness

    def replace_pages(self, pages: PageRenderer) -> None:
        self._pages = pages

    def show(
        self,
        connection: Requester,
        page: Page,
        headers: Headers | None,
        fields: Iterable[HeaderField] = (),
        *,
        close: bool = False,
    ) -> None:
        """A page; ``headers`` are the request's, None where it could not be parsed."""
        headers = headers or ()
        rendered = self._pages.render(
            page, header(headers, b"accept"), header(headers, b"accept-language"), self._nonce()
        )
        connection.answer(
            rendered.status, (*rendered.headers, _STRICT_TRANSPORT, *fields), rendered.body, close=close
        )

    def post_on(
        self, connection: Requester, form: ChallengeForm, headers: Headers, fields: Iterable[HeaderField]
    ) -> None:
        rendered = self._pages.render_challenge_form(form, header(headers, b"accept-language"), self._nonce())
        connection.answer(rendered.status, (*rendered.headers, _STRICT_TRANSPORT, *fields), rendered.body)

    def redirect(
        self,
        connection: Requester,
        status: int,
        location: str,
        fields: Iterable[HeaderField],
        *,
        close: bool = False,
    ) -> None:
        where = (b"Location", location.encode("ascii"))
        connection.answer(status, (where, *_NO_STORE, _STRICT_TRANSPORT, *fields), b"", close=close)

    def json(self, connection: Requester, content: dict[str, Any]) -> None:
        body = json.dumps(content, indent=1).encode()
        kind = (b"Content-Type", b"application/json")
        connection.answer(200, (kind, (b"Cache-Control", b"max-age=300"), _STRICT_TRANSPORT), body)

    def _nonce(self) -> str:
        return base64.b64encode(self._randomness.bytes(_NONCE_BYTES)).decode("ascii")
