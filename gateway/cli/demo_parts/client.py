"""A scripted browser for the demo: cookies, redirects with their bodies, forms that submit themselves.

It speaks real TLS over real sockets, checks the server's certificate, opens a new connection for each
request, and shows its client certificate to whoever asks in the handshake. It runs no scripts: a page with
a form of hidden fields is one that would submit itself.
"""

import asyncio
import re
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field, replace
from html.parser import HTMLParser
from typing import Final
from urllib.parse import urlencode, urljoin, urlsplit

from typing_extensions import override
from yarl import URL

from gateway.cli.demo_parts.loopback import TIMEOUT_SECONDS, client_session
from gateway.cli.demo_parts.site import LOOPBACK, WINDOWS_BROWSER

MAX_HOPS: Final = 20  # a sign-on has nine

_LENGTH: Final = re.compile(rb"(?i)\r\ncontent-length: *([0-9]+)")
_FORM_TYPE: Final = "application/x-www-form-urlencoded"
_REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})


class DemoClientError(Exception):
    """A sign-on that does not come to an end."""


@dataclass(frozen=True, slots=True)
class Step:
    """A request to be made. ``body`` is urlencoded."""

    url: str
    method: str = "GET"
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back to a step. Header names are in lower case; of repeated ones, the last counts."""

    step: Step
    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def reason(self) -> str | None:
        """Why the gateway refused; None when it did not."""
        return self.headers.get("x-device-trust-reason")


@dataclass(slots=True)
class Form:
    """A form of a page: where it goes, its hidden fields, its named buttons."""

    action: str
    method: str
    fields: list[tuple[str, str]] = field(default_factory=list)
    buttons: list[tuple[str, str]] = field(default_factory=list)


class Browser:
    """One person in front of one browser. ``tls`` holds the trusted root and perhaps a certificate."""

    def __init__(self, tls: ssl.SSLContext, person: str, *, user_agent: str = WINDOWS_BROWSER) -> None:
        self._tls = tls
        self._person = person
        self._user_agent = user_agent
        self._cookies: dict[str, dict[str, str]] = {}  # by host; the demo sets host-only cookies

    async def open(self, url: str) -> Answer:
        """Type an address and follow to where a person would have to decide something."""
        return await self.follow(Step(url))

    async def follow(self, step: Step) -> Answer:
        """Make the request and all that follow by themselves. Raises DemoClientError, aiohttp.ClientError."""
        for _ in range(MAX_HOPS):
            answer = await self.send(step)
            onward = self._next_step(answer)
            if onward is None:
                return answer
            step = onward
        raise DemoClientError(f"more than {MAX_HOPS} requests, the last to {step.url[:100]}")

    async def follow_until(self, step: Step, wanted: Callable[[Step], bool]) -> Step:
        """Like `follow`, but stop before the first later request that is ``wanted``, and return it."""
        for _ in range(MAX_HOPS):
            answer = await self.send(step)
            onward = self._next_step(answer)
            if onward is None:
                raise DemoClientError(f"ended with {answer.status} at {step.url[:100]}")
            step = onward
            if wanted(step):
                return step
        raise DemoClientError(f"more than {MAX_HOPS} requests, the last to {step.url[:100]}")

    async def send(self, step: Step, *, accept: str = "text/html") -> Answer:
        """One request; what it answers is not followed. Raises aiohttp.ClientError, TimeoutError."""
        host = urlsplit(step.url).hostname or ""
        headers = {"User-Agent": self._user_agent, "Accept": accept}
        if step.body is not None:
            headers["Content-Type"] = _FORM_TYPE
        cookies = self._cookies.setdefault(host, {})
        if cookies:
            headers["Cookie"] = "; ".join(f"{name}={value}" for name, value in cookies.items())
        async with (
            client_session(self._tls) as session,
            session.request(
                step.method,
                URL(step.url, encoded=True),
                data=step.body,
                headers=headers,
                allow_redirects=False,
            ) as response,
        ):
            for name, morsel in response.cookies.items():
                if morsel["max-age"] == "0" or not morsel.value:
                    cookies.pop(name, None)
                else:
                    cookies[name] = morsel.value
            answered = {name.lower(): value for name, value in response.headers.items()}
            return Answer(step, response.status, answered, await response.text())

    @asynccontextmanager
    async def hold(self, url: str) -> AsyncIterator[Awaitable[float]]:
        """A request whose connection stays open after its answer; what is yielded is when the server closes
        it (`time.monotonic`). Raises DemoClientError, OSError, TimeoutError."""
        split = urlsplit(url)
        host = split.hostname or ""
        cookies = "; ".join(f"{name}={value}" for name, value in self._cookies.get(host, {}).items())
        head = {"Host": split.netloc, "User-Agent": self._user_agent, "Cookie": cookies}
        fields = "".join(f"{name}: {value}\r\n" for name, value in head.items())
        async with asyncio.timeout(TIMEOUT_SECONDS):
            reader, writer = await asyncio.open_connection(
                LOOPBACK, split.port, ssl=self._tls, server_hostname=host
            )
        closed: asyncio.Task[float] | None = None
        try:
            async with asyncio.timeout(TIMEOUT_SECONDS):
                writer.write(f"GET {split.path or '/'} HTTP/1.1\r\n{fields}\r\n".encode())
                answered = await reader.readuntil(b"\r\n\r\n")
                length = _LENGTH.search(answered)
                await reader.readexactly(int(length[1]) if length else 0)
            if b" 200 " not in answered[: answered.index(b"\r\n")]:
                raise DemoClientError(f"answered {answered[:60]!r}")
            closed = asyncio.create_task(_end_of(reader), name="until the server closes")
            yield closed
        finally:
            if closed is not None:
                closed.cancel()
            writer.close()

    def _next_step(self, answer: Answer) -> Step | None:
        step, location = answer.step, answer.headers.get("location")
        if answer.status in _REDIRECTS and location is not None:
            target = urljoin(step.url, location)
            # RFC 9110 §15.4: 307 and 308 repeat the request, the others make it a GET
            return replace(step, url=target) if answer.status in (307, 308) else Step(target)
        if answer.status != 200 or "html" not in answer.headers.get("content-type", ""):
            return None
        for form in forms_of(answer.text):
            me = ("user", self._person)
            if form.method == "post" and (form.fields or me in form.buttons):
                fields = [*form.fields, *([me] if me in form.buttons else [])]
                return Step(urljoin(step.url, form.action or step.url), "POST", urlencode(fields).encode())
        return None


async def _end_of(reader: asyncio.StreamReader) -> float:
    with suppress(ConnectionError):
        await reader.read()
    return time.monotonic()


def forms_of(html: str) -> list[Form]:
    """The forms of a page, in order."""
    parser = _FormParser()
    parser.feed(html)
    parser.close()
    return parser.forms


class _FormParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self._open: Form | None = None

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        name, value = attributes.get("name", ""), attributes.get("value", "")
        if tag == "form":
            self._open = Form(attributes.get("action", ""), attributes.get("method", "get").lower())
            self.forms.append(self._open)
        elif self._open is None or not name:
            return
        elif tag == "input" and attributes.get("type") == "hidden":
            self._open.fields.append((name, value))
        elif tag == "button":
            self._open.buttons.append((name, value))

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._open = None
