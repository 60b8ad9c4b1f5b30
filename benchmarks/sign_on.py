"""Workload: whole SAML sign-ons with a device certificate, as a browser that comes with no connection.

    connect     TLS handshake with the app host
    post        the message: signature, conditions, policy; answered with the self-submitting form
    challenge   TLS handshake with the mTLS host, the device judged, redirect with the ticket
    return      the message again with the ticket: verified again, decided, passed on to the app

There is no peer in this table: nothing else that is installed here does all of it.
"""

from itertools import count
from typing import Final

from benchmarks.load import Load, expect_only, sample_of
from benchmarks.report import Row, Workload
from benchmarks.series import Sample
from benchmarks.servers import APP_HOST, MTLS_DOMAIN, Servers

_PARTS: Final = ("connect", "post", "challenge", "return")
_EXPECTED: Final = {"post": 200, "challenge": 307, "return": 200}


def run(servers: Servers, load: Load, *, sign_ons: int, repetitions: int) -> Workload:
    site = servers.site
    directory = site.directory / "sign-on"
    directory.mkdir()
    numbers = count(1)
    samples: dict[str, list[Sample]] = {part: [] for part in (*_PARTS, "total")}
    for _ in range(repetitions):
        certificates = []
        for _ in range(sign_ons):
            device = site.device()
            certificates.append(directory / f"{device.serial_number:x}.pem")
            certificates[-1].write_bytes(device.key_pem + device.certificate_pem)
        result = load.run(
            "sign_ons",
            process=servers.gateway_process_id,
            port=site.https_port,
            app_host=APP_HOST,
            mtls_domain=MTLS_DOMAIN,
            certificates=[str(path) for path in certificates],
            bodies=[site.message(next(numbers)).decode() for _ in range(sign_ons)],
        )
        for part, status in _EXPECTED.items():
            expect_only(result["statuses"][part], status)
        parts = {part: sample_of(result["parts"][part]) for part in _PARTS}
        for part, sample in parts.items():
            samples[part].append(sample)
        samples["total"].append(
            Sample(
                sign_ons,
                sum(sample.cpu_seconds for sample in parts.values()),
                sum(sample.elapsed_seconds for sample in parts.values()),
            )
        )
    return Workload(
        name="sign_on",
        title="Whole SAML sign-on with a device certificate",
        unit="sign-on",
        rows=tuple(Row(part, tuple(samples[part]), ()) for part in (*_PARTS, "total")),
        negotiated={"gateway": load.negotiated(site.https_port, APP_HOST, None)},
        notes=(
            "Every sign-on is by another device, with a message of its own (RSA-2048, assertion signed), "
            "over a new connection to the app host and a new one to the mTLS host. `challenge: form`.",
        ),
    )
