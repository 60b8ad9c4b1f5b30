"""HTTPS and HTTP as the agent needs them: bounded answers, an end to every wait, a sentence for each failure.

Servers' certificates are checked against the system's authorities, or those of CaFile. Redirects are not
followed: whoever answers with one is not whom the settings name. Who chooses proxies is an argument.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import httpx

from gateway.agent.refusal import LocalRefusal, Refused, refused
from gateway.agent.trace import NoTrace, Trace

USER_AGENT: Final = "devicetrust-agent"
MAX_ANSWER_BYTES: Final = 262_144
CONNECT_SECONDS: Final = 10.0
# A single read or write; the org signs with an HSM perhaps, the IWA asks a directory.
READ_SECONDS: Final = 20.0
REQUEST_SECONDS: Final = 45.0  # all of one request, however slowly bytes drip

# For an address, the proxies to try in order; None is the direct way.
ChooseProxies = Callable[[str], Sequence[str | None]]


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """Header names are in lower case. ``peer_certificate_der`` is the server's, None without TLS."""

    status: int
    headers: Mapping[str, str]
    body: bytes = field(repr=False)
    peer_certificate_der: bytes | None = field(repr=False)


@dataclass(frozen=True, slots=True)
class ClientCertificate:
    """PEM files: the certificate with its chain, and its key."""

    certificate: Path
    private_key: Path


class Http:
    """Connections are kept for the next request to the same server. Close it at the end."""

    def __init__(
        self,
        ca_file: str | None = None,
        choose_proxies: ChooseProxies = lambda _url: (None,),
        trace: Trace | None = None,
    ) -> None:
        """Raises Refused where CaFile cannot be read."""
        self._ca_file = ca_file
        self._choose_proxies = choose_proxies
        self._trace = trace or NoTrace()
        self._clients: dict[tuple[str | None, ClientCertificate | None], httpx.Client] = {}
        self._sockets: list[socket.socket] = []
        _trusting(ca_file)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()

    def send(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        client_certificate: ClientCertificate | None = None,
        limit: int = MAX_ANSWER_BYTES,
    ) -> HttpAnswer:
        """Raises Refused, transient, where no answer comes along any of the ways."""
        failure: Refused | None = None
        for proxy in self._choose_proxies(url):
            sent = {"user-agent": USER_AGENT, "accept-encoding": "identity", **(headers or {})}
            self._trace.sent(method, url, sent, body, proxy or "")
            started = time.monotonic()
            try:
                answer = self._send(method, url, sent, body, proxy, client_certificate, limit)
            except _NoAnswer as no_answer:
                failure = no_answer.refused
                self._trace.failed(failure.refusal.message, time.monotonic() - started)
                if not no_answer.may_try_another_way:
                    break
                continue
            self._trace.got(answer.status, answer.headers, answer.body, time.monotonic() - started)
            return answer
        raise failure or refused(LocalRefusal.PROXY_FAILED, f"there is no way to {url}", transient=True)

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        proxy: str | None,
        client_certificate: ClientCertificate | None,
        limit: int,
    ) -> HttpAnswer:
        client = self._client(proxy, client_certificate)
        try:
            with (
                self._deadline(),
                client.stream(
                    method,
                    url,
                    headers=dict(headers),
                    content=body or None,
                    extensions={"trace": self._remember_socket},
                ) as response,
            ):
                return HttpAnswer(
                    status=response.status_code,
                    headers={name.lower(): value for name, value in response.headers.items()},
                    body=_bounded(response, limit, url),
                    peer_certificate_der=_peer_certificate(response),
                )
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError) as error:
            raise _no_answer(url, proxy, error) from None

    def _client(self, proxy: str | None, client_certificate: ClientCertificate | None) -> httpx.Client:
        key = (proxy, client_certificate)
        if key not in self._clients:
            context = _trusting(self._ca_file)
            if client_certificate is not None:
                try:
                    context.load_cert_chain(client_certificate.certificate, client_certificate.private_key)
                except OSError as error:  # ssl.SSLError is one
                    raise refused(
                        LocalRefusal.KEY_FAILED,
                        f"{client_certificate.certificate} cannot be shown: {error.strerror or error}",
                    ) from None
            self._clients[key] = httpx.Client(
                verify=context,
                proxy=proxy,
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            )
        return self._clients[key]

    def _remember_socket(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("connect_tcp.complete"):
            found = info["return_value"].get_extra_info("socket")
            if isinstance(found, socket.socket):
                self._sockets.append(found)

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """httpx bounds each read, not all of them together; this ends the connections."""

        def end() -> None:
            for each in self._sockets:
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(REQUEST_SECONDS, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


class _NoAnswer(Exception):
    def __init__(self, failure: Refused, *, may_try_another_way: bool = True) -> None:
        super().__init__(str(failure))
        self.refused = failure
        self.may_try_another_way = may_try_another_way


def _trusting(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except OSError as error:
        raise refused(
            LocalRefusal.TLS_FAILED,
            f"CaFile {ca_file} cannot be used: {error.strerror or error}",
            "CaFile has to hold the authorities in PEM form.",
        ) from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _bounded(response: httpx.Response, limit: int, url: str) -> bytes:
    parts: list[bytes] = []
    size = 0
    for part in response.iter_raw():
        size += len(part)
        if size > limit:
            raise _NoAnswer(
                refused(LocalRefusal.ANSWER_INVALID, f"{url}: the answer is larger than {limit} bytes"),
                may_try_another_way=False,
            )
        parts.append(part)
    return b"".join(parts)


def _peer_certificate(response: httpx.Response) -> bytes | None:
    stream = response.extensions.get("network_stream")
    tls = None if stream is None else stream.get_extra_info("ssl_object")
    return None if tls is None else tls.getpeercert(binary_form=True)


def _no_answer(url: str, proxy: str | None, error: Exception) -> _NoAnswer:
    server = httpx.URL(url).host if not isinstance(error, httpx.InvalidURL) else url
    verification = _cause(error, ssl.SSLCertVerificationError)
    detail = f"{type(error).__name__}: {error}"
    if isinstance(verification, ssl.SSLCertVerificationError):
        return _NoAnswer(
            refused(
                LocalRefusal.TLS_FAILED,
                f"the certificate of {server} is not trusted: {verification.verify_message}",
                "Somebody may open TLS between here and there: let it pass uninspected. If the certificate "
                "is by an authority of your own, name that in CaFile.",
                detail=detail,
                transient=True,
            )
        )
    if isinstance(error, httpx.ProxyError):
        return _NoAnswer(
            refused(
                LocalRefusal.PROXY_FAILED,
                f"the proxy {proxy} does not let through to {server}",
                "See HttpProxy or HttpProxyPacLocation, and the rules of the proxy.",
                detail=detail,
                transient=True,
            )
        )
    what = "does not answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
    way = f" by the proxy {proxy}" if proxy else ""
    return _NoAnswer(
        refused(LocalRefusal.UNREACHABLE, f"{server} {what}{way}", detail=detail, transient=True),
        # What was sent may have been done: not a second time.
        may_try_another_way=isinstance(error, httpx.ConnectError | httpx.ConnectTimeout),
    )


def _cause(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error
