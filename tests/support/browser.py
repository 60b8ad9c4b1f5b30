"""A small browser without a screen or scripts, for sign-ons from end to end.

It keeps cookies, follows redirects (307 and 308 with their body), presses the button of pages that
would submit themselves, fills in login forms, and presents a client certificate to mTLS hosts only.
``*.example.test`` is 127.0.0.1. Every hop is recorded, and each can be taken apart and sent by hand.

What it does not do: scripts, Content-Security-Policy, SameSite, CORS, connection reuse, and leaving out a
client certificate because the server names other authorities (real browsers do that, see the tests
that drive one).
"""

import http.client
import json
import socket
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any
from urllib.parse import SplitResult, parse_qsl, urlencode, urljoin, urlsplit

from support.cookie_jar import CookieJar
from support.html_forms import Form, forms_of
from support.pki import CredentialFiles
from typing_extensions import override

LINUX_CHROME = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36"
)
WINDOWS_CHROME = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/140.0.0.0 Safari/537.36"
)
MAX_HOPS = 30
FORM_TYPE = "application/x-www-form-urlencoded"
Pairs = tuple[tuple[str, str], ...]


class TooManyHopsError(AssertionError):
    """The sign-on went on for more than MAX_HOPS requests."""


@dataclass(frozen=True, slots=True)
class Step:
    """A request to be made. ``initiator`` is the origin of the page it comes from (None: typed in);
    ``redirected_from`` are the URLs that the same request went to before, oldest first."""

    method: str
    url: str
    body: bytes | None = None
    content_type: str | None = None
    initiator: str | None = None
    redirected_from: tuple[str, ...] = ()
    referrer_policy: str = ""
    extra_headers: Pairs = ()

    @property
    def host(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def origin_header(self) -> str | None:
        """The Origin field of a navigation (Fetch, "append a request Origin header")."""
        if self.method in ("GET", "HEAD") or self.initiator is None:
            return None
        urls = (*self.redirected_from, self.url)
        for before, after in pairwise(urls):
            if origin_of(before) not in (origin_of(after), self.initiator):
                return "null"  # a redirect across origins taints the request
        own_scheme, target = self.initiator.partition(":")[0], urlsplit(self.url)
        if self.referrer_policy == "no-referrer":
            return "null"
        if self.referrer_policy == "same-origin" and origin_of(self.url) != self.initiator:
            return "null"
        downgrade = own_scheme == "https" and target.scheme != "https"
        if downgrade and self.referrer_policy not in ("unsafe-url", "origin", "origin-when-cross-origin"):
            return "null"
        return self.initiator

    def form(self) -> list[tuple[str, str]]:
        """The fields of a urlencoded body."""
        return parse_qsl((self.body or b"").decode(), keep_blank_values=True)

    def with_form(self, fields: list[tuple[str, str]]) -> "Step":
        return replace(self, body=urlencode(fields).encode(), content_type=FORM_TYPE)


@dataclass(frozen=True, slots=True)
class Hop:
    """One request with its answer."""

    step: Step
    request_headers: Pairs
    status: int
    headers: Pairs
    body: bytes
    presented_certificate: bool

    @property
    def url(self) -> str:
        return self.step.url

    @property
    def host(self) -> str:
        return self.step.host

    @property
    def text(self) -> str:
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)

    def header_values(self, name: str) -> list[str]:
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def request_header(self, name: str) -> str | None:
        return next((value for key, value in self.request_headers if key.lower() == name.lower()), None)

    @override
    def __str__(self) -> str:
        certificate = " with certificate" if self.presented_certificate else ""
        location = self.header("location")
        onward = f" -> {location[:100]}" if location else ""
        return f"{self.step.method} {self.url[:120]}{certificate}: {self.status}{onward}"


@dataclass(frozen=True, slots=True)
class Visit:
    """All hops of a navigation; the last is what the person sees."""

    hops: tuple[Hop, ...]

    @property
    def last(self) -> Hop:
        return self.hops[-1]

    @property
    def status(self) -> int:
        return self.last.status

    @property
    def device_trust_reason(self) -> str | None:
        return self.last.header("X-Device-Trust-Reason")

    @property
    def logged_in_user(self) -> str | None:
        """Who the relying party says is signed on; None when it does not say so."""
        return user_of(self.last.text) if self.status == 200 else None

    @override
    def __str__(self) -> str:
        return "\n".join(map(str, self.hops)) + f"\n{self.last.text[:2000]}"


@dataclass(slots=True)
class Browser:
    """One browser profile: cookies, trusted roots (PEM) and perhaps a certificate for mTLS hosts."""

    trusted_roots_pem: str = ""
    client_certificate: CredentialFiles | None = None
    login: Mapping[str, str] = field(default_factory=dict)
    user_agent: str = WINDOWS_CHROME
    accept: str = "text/html,application/xhtml+xml,*/*;q=0.8"
    mtls_domain: str = "mtls.example.test"
    timeout_seconds: float = 20.0
    cookies: CookieJar = field(default_factory=CookieJar)

    def open(self, url: str) -> Visit:
        """Type an address and follow all that the pages do by themselves."""
        return self.follow(Step("GET", url))

    def follow(self, step: Step, *, until: Callable[[Step], bool] | None = None) -> Visit:
        """Make the request and go on until a page waits for the person. With ``until``, stop before the
        first later request that fits it: `next_step` of the last hop is that request."""
        hops: list[Hop] = []
        logins_left = 2  # a refused password shows the same form again
        onward: Step | None = step
        while onward is not None:
            if len(hops) == MAX_HOPS:
                raise TooManyHopsError(str(Visit(tuple(hops))))
            hops.append(self.send(onward))
            onward = self.next_step(hops[-1], allow_login=logins_left > 0)
            if onward is not None and until is not None and until(onward):
                break
            if onward is not None and not _is_automatic(hops[-1]):
                logins_left -= 1
        return Visit(tuple(hops))

    def send(self, step: Step) -> Hop:
        """One request, no following. Raises OSError (ssl.SSLError among them) as the network does."""
        url = urlsplit(step.url)
        headers = [
            ("Host", url.netloc),
            ("User-Agent", self.user_agent),
            ("Accept", self.accept),
            ("Accept-Language", "en"),
            *step.extra_headers,
        ]
        if step.content_type is not None:
            headers.append(("Content-Type", step.content_type))
        if step.body is not None:
            headers.append(("Content-Length", str(len(step.body))))
        if (origin := step.origin_header) is not None:
            headers.append(("Origin", origin))
        if cookie := self.cookies.header_for(url):
            headers.append(("Cookie", cookie))
        context = self._tls_context(url) if url.scheme == "https" else None
        connection = _LoopbackConnection(url, context, self.timeout_seconds)
        try:
            target = (url.path or "/") + (f"?{url.query}" if url.query else "")
            connection.putrequest(step.method, target, skip_host=True, skip_accept_encoding=True)
            for name, value in headers:
                connection.putheader(name, value)
            connection.endheaders(step.body)
            response = connection.getresponse()
            body = response.read()
        finally:
            connection.close()
        answered = tuple(response.msg.items())
        for name, value in answered:
            if name.lower() == "set-cookie":
                self.cookies.store(url, value)
        presented = context is not None and self._presents_certificate(url)
        return Hop(step, tuple(headers), response.status, answered, body, presented)

    def next_step(self, hop: Hop, *, allow_login: bool = True) -> Step | None:
        """What a browser does next by itself: a redirect, a self-submitting form, or the filled-in login."""
        location = hop.header("location")
        if hop.status in (301, 302, 303, 307, 308) and location is not None:
            return _redirected(hop, location)
        if "html" not in (hop.header("content-type") or ""):
            return None
        forms = forms_of(hop.text)
        automatic = next((form for form in forms if form.submits_itself), None)
        if automatic is not None and hop.status == 200:
            return submit(hop, automatic, {})
        wanted = set(self.login)
        asked = next((form for form in forms if wanted & {name for name, _ in form.typed}), None)
        if asked is not None and allow_login:
            return submit(hop, asked, dict(self.login))
        return None

    def _presents_certificate(self, url: SplitResult) -> bool:
        host = url.hostname or ""
        return self.client_certificate is not None and host.endswith("." + self.mtls_domain)

    def _tls_context(self, url: SplitResult) -> ssl.SSLContext:
        context = ssl.create_default_context(cadata=self.trusted_roots_pem or None)
        context.set_alpn_protocols(["http/1.1"])
        if self.client_certificate is not None and self._presents_certificate(url):
            files = self.client_certificate
            context.load_cert_chain(files.certificate, files.private_key)
        return context


class _LoopbackConnection(http.client.HTTPConnection):
    """A connection to 127.0.0.1, whatever test name the URL has."""

    def __init__(self, url: SplitResult, context: ssl.SSLContext | None, timeout_seconds: float) -> None:
        host = url.hostname or ""
        if host != "127.0.0.1" and host != "example.test" and not host.endswith(".example.test"):
            raise ValueError(f"{host} is not a host of the tests")
        super().__init__(host, url.port or (443 if context else 80), timeout=timeout_seconds)
        self._context = context

    @override
    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), self.timeout)
        if self._context is None:
            self.sock = plain
            return
        try:
            self.sock = self._context.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise


def origin_of(url: str) -> str:
    """Scheme, host and port, as the Origin field writes them (RFC 6454 §6.2)."""
    parts = urlsplit(url)
    default = {"http": 80, "https": 443}.get(parts.scheme)
    port = "" if parts.port in (None, default) else f":{parts.port}"
    return f"{parts.scheme}://{parts.hostname}{port}"


def user_of(text: str) -> str | None:
    """Reads the answer of the tests' relying parties."""
    try:
        answer = json.loads(text)
    except ValueError:
        return None
    return answer["user"] if isinstance(answer, dict) and answer.get("login") == "ok" else None


def submit(hop: Hop, form: Form, answers: dict[str, str]) -> Step:
    """The request that sends a form of the page that ``hop`` shows."""
    target = urljoin(hop.url, form.action) if form.action else hop.url
    fields = urlencode(form.filled(answers))
    initiator, policy = origin_of(hop.url), hop.header("referrer-policy") or ""
    if form.method == "get":
        return Step("GET", target.partition("?")[0] + "?" + fields, initiator=initiator)
    return Step("POST", target, fields.encode(), FORM_TYPE, initiator, (), policy)


def _is_automatic(hop: Hop) -> bool:
    return hop.status in range(300, 400) or any(form.submits_itself for form in forms_of(hop.text))


def _redirected(hop: Hop, location: str) -> Step:
    """RFC 9110 §15.4: 307 and 308 repeat the request, 303 and (as all browsers do) 301 and 302 turn a
    POST into a GET."""
    step = hop.step
    target = urljoin(step.url, location)
    chain = (*step.redirected_from, step.url)
    policy = hop.header("referrer-policy") or step.referrer_policy
    if hop.status in (307, 308) or step.method in ("GET", "HEAD"):
        return replace(step, url=target, redirected_from=chain, referrer_policy=policy, extra_headers=())
    return Step("GET", target, None, None, step.initiator, chain, policy)
