"""Workload: the challenge handshake while revocation lists hold 0, 10,000, 100,000 and 1,000,000 entries.

The peers, nginx with ``ssl_crl`` and HAProxy with ``crl-file``, leave revocation to OpenSSL, which hashes the
whole list anew for each certificate that it checks against it. That takes so long with a million entries that
they get fewer connections.
"""

from contextlib import ExitStack
from typing import Final

from support.large_crl import crl_of

from benchmarks.load import Load
from benchmarks.mtls_handshake import begin_challenge
from benchmarks.report import OURS, Row, Workload, cpu_and_rate, sampled_row
from benchmarks.series import Sample, interleaved
from benchmarks.servers import gateway, haproxy, kilobyte_app, nginx
from benchmarks.site import MTLS_DOMAIN, Site

# Entries of the list → the part of the connections that the peers get.
_PEERS_SHARE: Final = {0: 1.0, 10_000: 0.5, 100_000: 0.1, 1_000_000: 0.025}


def run(site: Site, load: Load, *, connections: int, repetitions: int) -> Workload:
    certificate = site.write_device("device-crl")
    rows: list[Row] = []
    negotiated = {}
    for entries, share in _PEERS_SHARE.items():
        site.write_crl(crl_of(site.corp, entries))
        site.write_all_crls()
        with ExitStack() as stack:
            stack.enter_context(kilobyte_app(site))
            running = [
                stack.enter_context(gateway(site)),
                stack.enter_context(nginx(site, crl=True)),
                stack.enter_context(haproxy(site, crl=True)),
            ]
            servers = {server.name: server for server in running}
            challenge = begin_challenge(site, f"-{entries}-entries")
            samples = {side: list[Sample]() for side in servers}
            for side in interleaved(tuple(servers), repetitions):
                count = connections if side == OURS else max(8, int(connections * share))
                samples[side].append(challenge.measure(load, servers[side], [certificate], count))
            rows.append(sampled_row(f"{entries:,} entries", samples))
            negotiated = {
                side: load.negotiated(server.mtls_port, f"n0.{MTLS_DOMAIN}", certificate)
                for side, server in servers.items()
            }
    site.write_crl(site.corp.crl())
    return Workload(
        name="mtls_crl",
        title="The same handshake with revocation lists of growing length",
        quantities=cpu_and_rate("connection"),
        rows=tuple(rows),
        negotiated=negotiated,
        notes=(
            "`challenge, known device` of `mtls_handshake.py`. The list is the device authority's, with "
            "random serial numbers of 20 bytes; that of the root is empty. The device is on neither.",
        ),
    )
