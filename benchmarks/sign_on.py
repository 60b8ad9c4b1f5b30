"""Workload: whole SAML sign-ons with a device certificate, as a browser that comes with no connection.

    connect     TLS handshake with the app host
    post        the message: signature, conditions, policy; answered with the self-submitting form
    challenge   TLS handshake with the mTLS host, the device judged, redirect with the ticket
    return      the message again with the ticket: known from a moment ago, decided, passed on to the app

The peer is Apache, whose mod_ssl asks everybody for the certificate and whose mod_auth_mellon takes the
message: one connection, the message, and the page that it leads to, passed on to the app as well.
"""

from contextlib import ExitStack
from itertools import count
from typing import Final

from benchmarks import mellon
from benchmarks.load import Load, expect_only, sample_of
from benchmarks.report import OURS, Workload, cpu_and_rate, sampled_row
from benchmarks.series import Sample
from benchmarks.servers import Server, gateway, kilobyte_app
from benchmarks.site import APP_HOST, MTLS_DOMAIN, Site

_PARTS: Final = ("connect", "post", "challenge", "return")
_EXPECTED: Final = {"post": 200, "challenge": 307, "return": 200}
_WHOLE: Final = "whole sign-on"
_PEERS_SHARE: Final = 0.1  # of the sign-ons: the peer takes tens of milliseconds for each


def run(site: Site, load: Load, *, sign_ons: int, repetitions: int) -> Workload:
    numbers = count(1)
    parts = {part: list[Sample]() for part in _PARTS}
    whole = {OURS: list[Sample](), "Apache": list[Sample]()}
    site.write_all_crls()
    with ExitStack() as stack:
        stack.enter_context(kilobyte_app(site))
        ours = stack.enter_context(gateway(site))
        apache = stack.enter_context(mellon.apache_mellon(site))
        for _ in range(repetitions):
            measured = _ours(site, load, ours, [next(numbers) for _ in range(sign_ons)])
            for part, sample in measured.items():
                parts[part].append(sample)
            whole[OURS].append(
                Sample(
                    sign_ons,
                    sum(sample.cpu_seconds for sample in measured.values()),
                    sum(sample.elapsed_seconds for sample in measured.values()),
                )
            )
            fewer = max(8, int(sign_ons * _PEERS_SHARE))
            whole["Apache"].append(_apache(site, load, apache, [next(numbers) for _ in range(fewer)]))
        negotiated = {
            OURS: load.negotiated(ours.app_port, APP_HOST, None),
            "Apache": load.negotiated(apache.app_port, APP_HOST, site.write_device("device-sign-on")),
        }
    return Workload(
        name="sign_on",
        title="Whole SAML sign-on with a device certificate",
        quantities=cpu_and_rate("sign-on"),
        rows=(
            sampled_row(_WHOLE, whole),
            *(sampled_row(part, {OURS: parts[part]}) for part in _PARTS),
        ),
        negotiated=negotiated,
        notes=(
            "Every sign-on is by another device, with a message of its own (RSA-2048, assertion signed), "
            "over a new connection to the app host and a new one to the mTLS host. `challenge: form`.",
            "Apache asks for the certificate on the app's own host (with the same lists), so that it needs "
            "one handshake where the gateway needs two, and checks no binding of user and device.",
        ),
    )


def _ours(site: Site, load: Load, server: Server, numbers: list[int]) -> dict[str, Sample]:
    result = load.run(
        "sign_ons",
        process=server.process_id,
        port=server.app_port,
        app_host=APP_HOST,
        mtls_domain=MTLS_DOMAIN,
        certificates=[str(site.write_device(f"device-{number}")) for number in numbers],
        bodies=[site.message(number).decode() for number in numbers],
    )
    for part, status in _EXPECTED.items():
        expect_only(result["statuses"][part], status)
    return {part: sample_of(result["parts"][part]) for part in _PARTS}


def _apache(site: Site, load: Load, server: Server, numbers: list[int]) -> Sample:
    messages = [
        site.message(
            number, audience=mellon.entity_id(server), assertion_url=mellon.assertion_url(server)
        ).decode()
        for number in numbers
    ]
    result = load.run(
        "mellon_sign_ons",
        process=server.process_id,
        port=server.app_port,
        server_name=APP_HOST,
        target=mellon.ASSERTION_PATH,
        page=mellon.PAGE,
        certificates=[str(site.write_device(f"device-{number}")) for number in numbers],
        bodies=messages,
    )
    expect_only(result["statuses"]["post"], 303)
    expect_only(result["statuses"]["page"], 200)
    return sample_of(result)
