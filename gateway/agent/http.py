"""HTTPS and HTTP as the agent needs them: bounded answers, an end to every wait, a sentence for each failure.

Servers' certificates are checked against the system's authorities, or those of CaFile. Redirects are not
followed: whoever answers with one is not whom the settings name. What finds the way, by proxies
perhaps, is an argument.
"""

import contextlib
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
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
# The device part asks for days. Connections that are kept for the next request are among the newest.
_MAX_SOCKETS: Final = 16

# Of what checks servers' certificates (and may hold one to show), the transport that finds the way.
MakeTransport = Callable[[ssl.SSLContext], httpx.BaseTransport]


def directly(context: ssl.SSLContext) -> httpx.BaseTransport:
    return httpx.HTTPTransport(verify=context, trust_env=False)


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
        make_transport: MakeTransport = directly,
        trace: Trace | None = None,
        request_seconds: float = REQUEST_SECONDS,
    ) -> None:
        """``request_seconds`` bounds all of one request. Raises Refused where CaFile cannot be read."""
        self._ca_file = ca_file
        self._make_transport = make_transport
        self._trace = trace or NoTrace()
        self._clients: dict[ClientCertificate | None, httpx.Client] = {}
        self._request_seconds = request_seconds
        self._sockets: list[socket.socket] = []
        trusting(ca_file)

    def close(self) -> None:
        for client in self._clients.values():
            client.close()
        for each in self._sockets:
            each.close()

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
        """Raises Refused, transient, where no answer comes."""
        sent = {"user-agent": USER_AGENT, "accept-encoding": "identity", **(headers or {})}
        self._trace.sent(method, url, sent, body)
        started = time.monotonic()
        try:
            answer = self._send(method, url, sent, body, client_certificate, limit)
        except Refused as error:
            self._trace.failed(error.refusal.message, time.monotonic() - started)
            raise
        self._trace.got(answer.status, answer.headers, answer.body, time.monotonic() - started)
        return answer

    def _send(
        self,
        method: str,
        url: str,
        headers: Mapping[str, str],
        body: bytes,
        client_certificate: ClientCertificate | None,
        limit: int,
    ) -> HttpAnswer:
        client = self._client(client_certificate)
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
            raise _no_answer(url, error) from None

    def _client(self, client_certificate: ClientCertificate | None) -> httpx.Client:
        if client_certificate not in self._clients:
            context = trusting(self._ca_file)
            if client_certificate is not None:
                try:
                    context.load_cert_chain(client_certificate.certificate, client_certificate.private_key)
                except OSError as error:  # ssl.SSLError is one
                    raise refused(
                        LocalRefusal.KEY_FAILED,
                        f"{client_certificate.certificate} cannot be shown: {error.strerror or error}",
                    ) from None
            self._clients[client_certificate] = httpx.Client(
                transport=self._make_transport(context),
                trust_env=False,
                follow_redirects=False,
                timeout=httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            )
        return self._clients[client_certificate]

    def _remember_socket(self, event: str, info: Mapping[str, Any]) -> None:
        if event.endswith("connect_tcp.complete"):
            found = info["return_value"].get_extra_info("socket")
            if isinstance(found, socket.socket):
                self._sockets.append(found.dup())  # its own is given up for that of TLS
                while len(self._sockets) > _MAX_SOCKETS:
                    self._sockets.pop(0).close()

    @contextmanager
    def _deadline(self) -> Iterator[None]:
        """httpx bounds each read, not all of them together; this ends the connections."""

        def end() -> None:
            for each in list(self._sockets):
                with contextlib.suppress(OSError):
                    each.shutdown(socket.SHUT_RDWR)

        timer = threading.Timer(self._request_seconds, end)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()


def trusting(ca_file: str | None) -> ssl.SSLContext:
    """What checks servers' certificates. Raises Refused where CaFile cannot be read."""
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
            raise refused(LocalRefusal.ANSWER_INVALID, f"{url}: the answer is larger than {limit} bytes")
        parts.append(part)
    return b"".join(parts)


def _peer_certificate(response: httpx.Response) -> bytes | None:
    stream = response.extensions.get("network_stream")
    tls = None if stream is None else stream.get_extra_info("ssl_object")
    return None if tls is None else tls.getpeercert(True)


def _no_answer(url: str, error: Exception) -> Refused:
    server = url if isinstance(error, httpx.InvalidURL) else httpx.URL(url).host
    detail = f"{type(error).__name__}: {error}"
    verification = _cause(error, ssl.SSLCertVerificationError)
    if isinstance(verification, ssl.SSLCertVerificationError):
        return refused(
            LocalRefusal.TLS_FAILED,
            f"the certificate of {server} is not trusted: {verification.verify_message}",
            "Somebody may open TLS between here and there: let it pass uninspected. If the certificate is "
            "by an authority of your own, name that in CaFile.",
            detail=detail,
            transient=True,
        )
    if isinstance(error, httpx.ProxyError):
        return refused(
            LocalRefusal.PROXY_FAILED,
            str(error),
            "See HttpProxy or HttpProxyPacLocation, and the rules of the proxy.",
            detail=detail,
            transient=True,
        )
    what = "does not answer in time" if isinstance(error, httpx.TimeoutException) else "cannot be reached"
    return refused(LocalRefusal.UNREACHABLE, f"{server} {what}", detail=detail, transient=True)


def _cause(error: BaseException | None, kind: type[BaseException]) -> BaseException | None:
    while error is not None and not isinstance(error, kind):
        error = error.__cause__ or error.__context__
    return error
