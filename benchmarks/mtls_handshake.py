"""Workload: a new TLS 1.3 connection with a client certificate, one request on it, and the close.

Each row against nginx with ``ssl_verify_client optional``:

* GET: the smallest request there is. nginx answers with what it verified; the gateway with its error page for
  a challenge without a flow, for which it judges no certificate.
* challenge, known device: the hop of a real sign-on. The browser posts its message; the gateway opens the
  flow, judges the device and seals a ticket; nginx verifies the chain and redirects.
* challenge, new devices: the same with a certificate on each connection that was never seen before.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from support.browser import FORM_TYPE, Browser, Step

from benchmarks.load import Load, expect_only, sample_of
from benchmarks.report import Row, Workload
from benchmarks.series import Sample, interleaved
from benchmarks.servers import MTLS_DOMAIN, Servers

_GET: Final = "GET"
_KNOWN: Final = "challenge, known device"
_NEW: Final = "challenge, new devices"


@dataclass(frozen=True, slots=True)
class _Challenge:
    host: str
    target: str
    body: bytes


def run(servers: Servers, load: Load, *, connections: int, repetitions: int) -> Workload:
    site = servers.site
    certificate = _write_device(servers, "device")
    challenge = _begin(servers)
    samples: dict[str, list[Sample]] = {}
    variants = [f"{side} {kind}" for kind in (_GET, _KNOWN, _NEW) for side in ("nginx", "gateway")]
    for number, variant in enumerate(interleaved(variants, repetitions)):
        side, _, kind = variant.partition(" ")
        ours = side == "gateway"
        devices = [certificate]
        if kind == _NEW:
            devices = [_write_device(servers, f"device-{number}-{n}") for n in range(connections)]
        if kind == _GET:
            host, body = f"n0.{MTLS_DOMAIN}", b""
            target, status = ("/challenge", 400) if ours else ("/verified", 200)
        else:
            host, target, body, status = challenge.host, challenge.target, challenge.body, 307
        result = load.run(
            "handshakes",
            process=servers.gateway_process_id if ours else servers.nginx_process_id,
            port=site.https_port if ours else site.nginx_mtls_port,
            server_name=host,
            target=target,
            body=body.decode(),
            certificates=[str(path) for path in devices],
            count=connections,
        )
        expect_only(result["statuses"], status)
        samples.setdefault(variant, []).append(sample_of(result))
    return Workload(
        name="mtls_handshake",
        title="Full TLS 1.3 handshake with a client certificate, one request, close",
        unit="connection",
        rows=tuple(
            Row(kind, tuple(samples[f"gateway {kind}"]), tuple(samples[f"nginx {kind}"]))
            for kind in (_GET, _KNOWN, _NEW)
        ),
        negotiated={
            "gateway": load.negotiated(site.https_port, f"n0.{MTLS_DOMAIN}", certificate),
            "nginx": load.negotiated(site.nginx_mtls_port, f"n0.{MTLS_DOMAIN}", certificate),
        },
        notes=(
            "ECDSA P-256 certificates; the client sends its own and one intermediate. Neither side resumes, "
            "both log every request, both close the connection.",
            f"GET: nginx verifies the chain, the gateway judges nothing and answers with an error page. "
            f"challenge: a message of {len(challenge.body)} bytes is posted; nginx verifies the chain and "
            "redirects, the gateway opens the flow, judges the device and redirects with a sealed ticket.",
        ),
    )


def _begin(servers: Servers) -> _Challenge:
    """Begin one sign-on. Its flow lives for five minutes and may be judged any number of times; only the
    ticket that each judgement gives is for one use."""
    site = servers.site
    body = site.message(0)
    browser = Browser(site.web_pem)
    hop = browser.send(
        Step("POST", site.assertion_url, body, FORM_TYPE, initiator="https://idp.example.test")
    )
    onward = browser.next_step(hop)
    assert onward is not None, hop
    url = urlsplit(onward.url)
    return _Challenge(url.hostname or "", f"{url.path}?{url.query}", body)


def _write_device(servers: Servers, name: str) -> Path:
    """Key, certificate and intermediate in one file."""
    device = servers.site.device()
    path = servers.site.directory / f"{name}.pem"
    path.write_bytes(device.key_pem + device.certificate_pem)
    return path
