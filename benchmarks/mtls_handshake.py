"""Workload: a new TLS 1.3 connection with a client certificate, one request on it, and the close.

The peers are nginx with ``ssl_verify_client optional`` and HAProxy with ``verify optional``:

* GET: the smallest request there is. The peers answer with what they verified; the gateway with its error
  page for a challenge without a flow, for which it judges no certificate.
* challenge, known device: the hop of a real sign-on. The browser posts its message; the gateway opens the
  flow, judges the device and seals a ticket; the peers verify the chain and redirect.
* challenge, new devices: the same with a certificate on each connection that was never seen before.
"""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from support.browser import FORM_TYPE, Browser, Step

from benchmarks.load import Load, expect_only, sample_of
from benchmarks.report import OURS, Workload, cpu_and_rate, sampled_row
from benchmarks.series import Sample, interleaved
from benchmarks.servers import Server, gateway, haproxy, kilobyte_app, nginx
from benchmarks.site import MTLS_DOMAIN, Site

_GET: Final = "GET"
_KNOWN: Final = "challenge, known device"
_NEW: Final = "challenge, new devices"


@dataclass(frozen=True, slots=True)
class Challenge:
    """What a browser posts to the mTLS host: any number of times, while the flow lives (five minutes).
    Only the ticket that each judgement gives is for one use."""

    host: str
    target: str
    body: bytes

    def measure(self, load: Load, server: Server, certificates: Sequence[Path], count: int) -> Sample:
        return measure(load, server, self, certificates, count, 307)


def run(site: Site, load: Load, *, connections: int, repetitions: int) -> Workload:
    certificate = site.write_device("device")
    kinds = (_GET, _KNOWN, _NEW)
    with ExitStack() as stack:
        stack.enter_context(kilobyte_app(site))
        running = [stack.enter_context(start(site)) for start in (gateway, nginx, haproxy)]
        servers = {server.name: server for server in running}
        challenge = begin_challenge(site)
        samples = {kind: {side: list[Sample]() for side in servers} for kind in kinds}
        variants = [f"{kind}/{side}" for kind in kinds for side in servers]
        for number, variant in enumerate(interleaved(variants, repetitions)):
            kind, _, side = variant.partition("/")
            server, devices = servers[side], [certificate]
            if kind == _NEW:
                devices = [site.write_device(f"device-{number}-{n}") for n in range(connections)]
            if kind == _GET:
                ours = side == OURS
                get = Challenge(f"n0.{MTLS_DOMAIN}", "/challenge" if ours else "/verified", b"")
                sample = measure(load, server, get, devices, connections, 400 if ours else 200)
            else:
                sample = challenge.measure(load, server, devices, connections)
            samples[kind][side].append(sample)
        negotiated = {
            side: load.negotiated(server.mtls_port, f"n0.{MTLS_DOMAIN}", certificate)
            for side, server in servers.items()
        }
    return Workload(
        name="mtls_handshake",
        title="Full TLS 1.3 handshake with a client certificate, one request, close",
        quantities=cpu_and_rate("connection"),
        rows=tuple(sampled_row(kind, samples[kind]) for kind in kinds),
        negotiated=negotiated,
        notes=(
            "ECDSA P-256 certificates; the client sends its own and one intermediate. No side resumes, "
            "all log every request, all close the connection.",
            f"GET: nginx and HAProxy verify the chain, the gateway judges nothing and answers with an error "
            f"page. challenge: a message of {len(challenge.body)} bytes is posted; nginx and HAProxy verify "
            "the chain and redirect, the gateway opens the flow, judges the device and redirects with a "
            "sealed ticket.",
        ),
    )


def measure(
    load: Load, server: Server, request: Challenge, certificates: Sequence[Path], count: int, status: int
) -> Sample:
    """``count`` new connections with these certificates in turn, one request on each."""
    result = load.run(
        "handshakes",
        process=server.process_id,
        port=server.mtls_port,
        server_name=request.host,
        target=request.target,
        body=request.body.decode(),
        certificates=[str(path) for path in certificates],
        count=count,
    )
    expect_only(result["statuses"], status)
    return sample_of(result)


def begin_challenge(site: Site, identifier: object = 0) -> Challenge:
    """Post a message to the running gateway; where it sends the browser."""
    body = site.message(identifier)
    browser = Browser(site.web_pem)
    hop = browser.send(
        Step("POST", site.assertion_url, body, FORM_TYPE, initiator="https://idp.example.test")
    )
    onward = browser.next_step(hop)
    assert onward is not None, hop
    url = urlsplit(onward.url)
    return Challenge(url.hostname or "", f"{url.path}?{url.query}", body)
