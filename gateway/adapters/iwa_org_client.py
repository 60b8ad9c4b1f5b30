"""The IWA web app's calls to the org: it registers once, and reports itself every half minute.

Where it may not go out by itself, `https_proxy` (and `no_proxy`) of its environment say how.
"""

import json
import ssl
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp

_REGISTER_PATH: Final = "/api/v1/iwas"
_REPORT_PATH: Final = "/enroll/iwa/report"
_TIMEOUT: Final = aiohttp.ClientTimeout(total=15.0, connect=10.0)
_MAX_ANSWER_BYTES: Final = 256 * 1024
_MAX_SAID_CHARACTERS: Final = 300


class OrgCallFailed(Exception):
    """The org was not reached, or said no; the message says which and is fit for a terminal."""


def tls_context(ca_file: str | None) -> ssl.SSLContext:
    """``ca_file``: PEM of authorities beside those that the system trusts. Raises OrgCallFailed."""
    context = ssl.create_default_context()
    if ca_file is not None:
        try:
            context.load_verify_locations(ca_file)
        except OSError as error:  # ssl.SSLError is one
            raise OrgCallFailed(f"{ca_file}: cannot be used: {error.strerror or error}") from None
    return context


class IwaOrgClient:
    """``url`` is `https://host[:port]`."""

    def __init__(self, url: str, context: ssl.SSLContext) -> None:
        self._url = url
        self._context = context
        self._proxy = _proxy_of_environment(url)

    async def register(self, token: str, document: Mapping[str, Any]) -> tuple[str, str]:
        """Registers, or registers anew by its name: (id, audience). ``token`` is one of the API's with scope
        admin. Raises OrgCallFailed."""
        answer = await self._post(_REGISTER_PATH, document, {"Authorization": f"SSWS {token}"})
        iwa_id, audience = answer.get("id"), answer.get("audience")
        if not isinstance(iwa_id, str) or not isinstance(audience, str):
            raise OrgCallFailed(f"{self._url}: its answer has no id and audience; is it an organization?")
        return iwa_id, audience

    async def report(self, report: str) -> None:
        """``report`` is the JWT of `gateway.enrollment.reports`. Raises OrgCallFailed."""
        await self._post(_REPORT_PATH, {"report": report}, {})

    async def _post(
        self, path: str, document: Mapping[str, Any], headers: Mapping[str, str]
    ) -> dict[str, Any]:
        connector = aiohttp.TCPConnector(ssl=self._context, force_close=True)
        try:
            async with (
                aiohttp.ClientSession(connector=connector, timeout=_TIMEOUT) as session,
                session.post(
                    self._url + path, json=document, headers=headers, allow_redirects=False, proxy=self._proxy
                ) as response,
            ):
                body = bytearray()
                async for piece in response.content.iter_any():
                    body += piece[: _MAX_ANSWER_BYTES - len(body)]
                return self._answer(response.status, bytes(body))
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:  # ValueError: of the proxy
            said = " ".join(str(error).split()) or "no answer in time"
            raise OrgCallFailed(f"{self._url} cannot be reached: {said[:_MAX_SAID_CHARACTERS]}") from None

    def _answer(self, status: int, body: bytes) -> dict[str, Any]:
        try:
            value = json.loads(body) if body else {}
        except (ValueError, RecursionError):
            value = {}
        if not isinstance(value, dict):
            value = {}
        if not 200 <= status < 300:
            causes = value.get("errorCauses") or []
            said = [value.get("errorSummary"), value.get("code"), value.get("detail")]
            said += [cause.get("errorSummary") for cause in causes if isinstance(cause, dict)]
            words = "; ".join(dict.fromkeys(str(each) for each in said if each))
            printable = "".join(character if character.isprintable() else " " for character in words)
            raise OrgCallFailed(f"{self._url} answers {status}: {printable[:_MAX_SAID_CHARACTERS]}")
        return value


def _proxy_of_environment(url: str) -> str | None:
    found = getproxies().get("https")
    if not found or proxy_bypass(urlsplit(url).netloc):
        return None
    return found if "://" in found else f"http://{found}"
