"""One CRL over HTTP, from a server that may be slow, broken or hostile (RFC 5280 §5, RFC 9110 §13).

What comes back is bytes. Whether they are a CRL, and whose, is for `gateway.pki.crl` to say; so plain http is
enough, and what is guarded here is this process: its memory, its time, and where it can be sent.
"""

import asyncio
from dataclasses import dataclass
from http import HTTPStatus
from typing import Final
from urllib.parse import urljoin, urlsplit

import aiohttp

from gateway.adapters.crl_content import PIECE_BYTES, ContentRefused, ContentWriter, CrlContent
from gateway.pki.crl import MAX_CRL_BYTES

# An authority's host, a mirror, a content network: nobody needs more hops.
MAX_REDIRECTS: Final = 3
# A validator is sent back with every request; entity tags are a hash or two in practice.
_MAX_VALIDATOR_CHARACTERS: Final = 256
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class CrlFetchFailed(Exception):
    """The one exception for CRLs that cannot be fetched. ``detail`` is the same for the same cause."""

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Validators:
    """What makes the next request conditional, and the address (after redirects) that it was given by."""

    url: str
    entity_tag: str | None
    last_modified: str | None


@dataclass(frozen=True, slots=True)
class Fetched:
    content: CrlContent
    validators: Validators


async def fetch_crl(
    url: str, known: Validators | None, *, within_seconds: float, limit_bytes: int = MAX_CRL_BYTES
) -> Fetched | None:
    """GET ``url``, following redirects; None when it is not modified since ``known``.

    Raises CrlFetchFailed: not answered in full within the time, larger than ``limit_bytes`` (reading stops
    there, whatever Content-Length says), encoded (nothing is ever decompressed), another status, or a
    redirect that is one too many, leaves http(s), or goes from https to http. Keeps no connection and no
    cookie, reads no proxy or netrc setting of the environment. Not checked: where a redirect points to; a GET
    without credentials goes there, and nobody but the CRL parser sees the answer.
    """
    try:
        async with (
            asyncio.timeout(within_seconds),
            aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(force_close=True),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"Accept-Encoding": "identity", "User-Agent": "devicetrust-gateway"},
                timeout=aiohttp.ClientTimeout(total=within_seconds),
                auto_decompress=False,
            ) as session,
        ):
            return await _follow(session, url, known, limit_bytes)
    except TimeoutError:
        raise CrlFetchFailed(f"no complete answer within {within_seconds:g} s") from None
    except aiohttp.ClientConnectorError as problem:
        raise CrlFetchFailed(f"no connection: {problem}") from problem
    except (aiohttp.ClientError, OSError, ValueError) as problem:
        raise CrlFetchFailed(f"not a usable answer: {type(problem).__name__}") from problem


async def _follow(
    session: aiohttp.ClientSession, url: str, known: Validators | None, limit_bytes: int
) -> Fetched | None:
    for _ in range(MAX_REDIRECTS + 1):
        conditions = _conditions(known) if known is not None and known.url == url else {}
        async with session.get(url, headers=conditions, allow_redirects=False) as response:
            if response.status in _REDIRECTS:
                url = _next_url(url, response.headers.get("Location", ""))
                continue
            if response.status == HTTPStatus.NOT_MODIFIED and conditions:
                return None
            if response.status != HTTPStatus.OK:
                raise CrlFetchFailed(f"answered with status {response.status}")
            return Fetched(await _bounded_body(response, limit_bytes), _validators(url, response))
    raise CrlFetchFailed(f"more than {MAX_REDIRECTS} redirects")


def _next_url(url: str, location: str) -> str:
    target = urljoin(url, location)
    schemes = ("https",) if urlsplit(url).scheme == "https" else ("http", "https")
    if not location or urlsplit(target).scheme not in schemes:
        raise CrlFetchFailed("a redirect to nowhere, or to something other than http(s)")
    return target


async def _bounded_body(response: aiohttp.ClientResponse, limit_bytes: int) -> CrlContent:
    encoding = response.headers.get("Content-Encoding", "identity").strip().lower()
    if encoding != "identity":
        raise CrlFetchFailed("answered with an encoding, which was not asked for")
    try:
        with ContentWriter(limit_bytes) as writer:
            if response.content_length is not None and response.content_length > limit_bytes:
                raise ContentRefused(f"is larger than {limit_bytes} bytes")
            async for chunk in response.content.iter_chunked(PIECE_BYTES):
                writer.write(chunk)
            return writer.finish()
    except ContentRefused as refused:
        raise CrlFetchFailed(f"its answer {refused.detail}") from refused


def _validators(url: str, response: aiohttp.ClientResponse) -> Validators:
    return Validators(
        url, _harmless(response.headers.get("ETag")), _harmless(response.headers.get("Last-Modified"))
    )


def _harmless(value: str | None) -> str | None:
    """A validator that can be sent back as it is, or none."""
    if value and value.isascii() and value.isprintable() and len(value) <= _MAX_VALIDATOR_CHARACTERS:
        return value
    return None


def _conditions(known: Validators) -> dict[str, str]:
    conditions = {}
    if known.entity_tag is not None:
        conditions["If-None-Match"] = known.entity_tag
    if known.last_modified is not None:
        conditions["If-Modified-Since"] = known.last_modified
    return conditions
