"""A client for the soak: connections that read whole answers, and sign-ons hop by hop.

Unlike the load generators it verifies the server's certificate, and gives every step a deadline.
"""

import asyncio
import html
import re
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self
from urllib.parse import urlsplit

from support.pki import Credential

from benchmarks.load_client import WINDOWS_CHROME
from benchmarks.site import APP_HOST, Site

STEP_SECONDS: Final = 20.0
FORM: Final = "Content-Type: application/x-www-form-urlencoded"
_ACTION: Final = re.compile(rb'action="([^"]+)"')
_MAX_HEAD_BYTES: Final = 65_536


class Unexpected(Exception):
    """An answer that is none of HTTP, or none at all."""


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    fields: tuple[tuple[str, str], ...]
    body: bytes

    def field(self, name: str) -> str | None:
        return next((value for key, value in self.fields if key == name), None)

    @property
    def reason(self) -> str | None:
        return self.field("x-device-trust-reason")

    @property
    def cookies(self) -> str:
        """The Cookie field after this answer: without those that it removes."""
        kept = (value for key, value in self.fields if key == "set-cookie" and "Max-Age=0;" not in value)
        return "; ".join(value.partition(";")[0] for value in kept)


class Wire:
    """One TLS connection to the gateway."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str) -> None:
        self.reader, self.writer = reader, writer
        self._host = host

    @classmethod
    async def open(cls, site: Site, host: str, context: ssl.SSLContext) -> Self:
        async with asyncio.timeout(STEP_SECONDS):
            reader, writer = await asyncio.open_connection(
                "127.0.0.1", site.https_port, ssl=context, server_hostname=host, limit=262_144
            )
        return cls(reader, writer, f"{host}:{site.https_port}")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        self.writer.transport.abort()

    def head(self, method: str, target: str, fields: Sequence[str] = ()) -> bytes:
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self._host}", *fields, "", ""]
        return "\r\n".join(lines).encode()

    async def request(
        self,
        method: str,
        target: str,
        fields: Sequence[str] = (),
        body: bytes | None = None,
        *,
        user_agent: str = WINDOWS_CHROME,
    ) -> Answer:
        """Send a request and read its answer to the end."""
        fields = [f"User-Agent: {user_agent}", *fields]
        if body is not None:
            fields.append(f"Content-Length: {len(body)}")
        async with asyncio.timeout(STEP_SECONDS):
            self.writer.write(self.head(method, target, fields) + (body or b""))
            await self.writer.drain()
            return await self.answer()

    async def answer(self) -> Answer:
        """Read one answer. Raises Unexpected; OSError and IncompleteReadError where the connection ends."""
        answer, length = await self.answer_head()
        return Answer(answer.status, answer.fields, await self.reader.readexactly(length))

    async def answer_head(self) -> tuple[Answer, int]:
        """Read the head of an answer; it, and the length of the body that follows."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        if not first.startswith("HTTP/1.1 ") or len(head) > _MAX_HEAD_BYTES:
            raise Unexpected(f"not an answer: {head[:80]!r}")
        fields = tuple(
            (name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines)
        )
        answer = Answer(int(first[9:12]), fields, b"")
        return answer, int(answer.field("content-length") or 0)


class Client:
    """A browser's side of the sign-on. ``device`` is the certificate that it shows to mTLS hosts."""

    def __init__(self, site: Site, user: str, device: Credential | None) -> None:
        self.site, self.user, self.device = site, user, device
        self.plain = _context(site, None)
        files = None
        if device is not None:
            files = site.write_device(f"soak-{device.serial_number:x}", device)
        self._showing = _context(site, files)
        if files is not None:
            files.unlink()

    async def sign_on(self, body: bytes, user_agent: str = WINDOWS_CHROME) -> Answer:
        """All hops; the first answer that is not about a challenge."""
        async with await Wire.open(self.site, APP_HOST, self.plain) as app:
            began = await app.request(
                "POST", "/saml/acs", (FORM, "Origin: https://idp.example.test"), body, user_agent=user_agent
            )
            action = _ACTION.search(began.body)
            if began.status != 200 or action is None:
                return began
            url = urlsplit(html.unescape(action[1].decode()))
            assert url.hostname is not None, began
            async with await Wire.open(self.site, url.hostname, self._showing) as mtls:
                judged = await mtls.request("POST", f"{url.path}?{url.query}", (FORM,), body)
            location = judged.field("location")
            if judged.status != 307 or location is None:
                return judged
            back = urlsplit(location)
            fields = (FORM, "Origin: null", f"Cookie: {began.cookies}")
            return await app.request("POST", f"{back.path}?{back.query}", fields, body, user_agent=user_agent)


def _context(site: Site, certificate: Path | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cadata=site.web_pem)
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context
