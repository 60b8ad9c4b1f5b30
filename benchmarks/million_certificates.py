"""Workload: a store with a million certificates, a hundred thousand of them revoked, and one with none.

Filling it, starting a gateway on it, the memory of its processes, signing its revocation lists, a page of
certificates over the API, and OCSP answers. The peer of those is `openssl ocsp` with the same certificates in
its index; nothing that is installed here does the rest.
"""

import base64
import hashlib
import random
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from support.own_authority import pem
from support.processes import ChildProcess, free_port

from benchmarks.accounting import memory_bytes, pin, separate_cpus
from benchmarks.load import Load, expect_only
from benchmarks.org_site import Api, OrgSite, organizations
from benchmarks.report import OURS, Quantity, Row, Workload
from benchmarks.requests import post_request
from benchmarks.series import CPU, RATE
from benchmarks.servers import gateway_under_test, needed
from gateway.model.issued import AuthorityRecord, CertificateStatus, IssuedCertificate, RevocationReason
from gateway.pki.crl_building import shard_of
from gateway.services.issuing import certificate_of
from gateway.services.publishing import Shard, publish

_PEER: Final = "openssl ocsp"
_WORKERS: Final = 2
_THREADS: Final = 4
_FILLED_AT_ONCE: Final = 20_000
_FILL_CACHE_KIB: Final = 524_288
_REVOKED_ONE_IN: Final = 10
_PAGE: Final = 200
_PAGES: Final = 20
_INDEX_SECONDS: Final = 120.0
_SETTLE_SECONDS: Final = 2.0
_QUANTITIES: Final = (
    Quantity("filled_per_second", "rows filled in/s"),
    Quantity("stored_mib", "MiB on the disk"),
    Quantity("ready_s", "start until ready, s"),
    Quantity("org_mib", "MiB of the org process"),
    Quantity("worker_mib", "MiB of a worker"),
    Quantity("crl_ms", "one of 16 CRLs signed, ms of CPU"),
    Quantity("crl_kib", "its KiB"),
    Quantity("page_ms", f"page of {_PAGE}, ms"),
    Quantity(CPU, "CPU µs per OCSP answer", compared=True),
    Quantity(RATE, "answers/s"),
)
_Values = dict[str, list[float]]


@dataclass(slots=True)
class _Measured:
    store: _Values = field(default_factory=dict)
    ocsp: dict[str, dict[str, _Values]] = field(default_factory=dict)  # by what is asked, by side


def run(directory: Path, load: Load, *, certificates: int, ocsp_requests: int, repetitions: int) -> Workload:
    rows = []
    for count in (0, certificates):
        with organizations(directory / f"certificates-{count}") as organized:
            for org in organized:
                measured = _measure(org, load, count, ocsp_requests, repetitions)
                title = f"{count:,} certificates, {org.engine.name}"
                rows.append(Row(title, {OURS: measured.store}))
                rows += [Row(f"{title}: {what}", sides) for what, sides in measured.ocsp.items()]
    return Workload(
        name="million_certificates",
        title="A store with a million certificates",
        quantities=_QUANTITIES,
        rows=tuple(rows),
        negotiated={},
        notes=(
            f"One in {_REVOKED_ONE_IN} is revoked. The gateway has {_WORKERS} workers, all on one CPU, as it "
            "has in all workloads; memory is proportional set size. Ready: every worker knows every revoked "
            "certificate.",
            "A CRL is made from the store, signed and put into it. Pages are followed by their `next` link "
            "from the first one on.",
            "OCSP: a new connection for each request, without a nonce; CPU is that of the org process and of "
            "all of PostgreSQL's. `openssl ocsp` reads its index at the start, and signs each answer; to "
            "tell it of a revocation it has to read it all again.",
        ),
    )


def _measure(org: OrgSite, load: Load, count: int, ocsp_requests: int, repetitions: int) -> _Measured:
    measured = _Measured()
    values = measured.store
    chance = random.Random(count)
    serials = [chance.getrandbits(158) | 1 << 158 for _ in range(count)]
    authority = org.authority()
    if count:
        began = time.perf_counter()
        _fill(org, authority, serials)
        values["filled_per_second"] = [count / (time.perf_counter() - began)]
    values["crl_ms"], values["crl_kib"] = measure_crls(org, authority)
    values["stored_mib"] = [org.engine.stored_bytes() / 2**20]
    for key in ("ready_s", "org_mib", "worker_mib", *(("page_ms",) if count else ())):
        values[key] = []
    http = free_port()
    configuration = org.configuration(workers=_WORKERS)
    configuration["listen"]["http"] = [f"127.0.0.1:{http}"]
    for _ in range(repetitions):
        began = time.perf_counter()
        with gateway_under_test(org.site, configuration) as running:
            values["ready_s"].append(time.perf_counter() - began)
            time.sleep(_SETTLE_SECONDS)
            values["org_mib"].append(memory_bytes(running.orgs()[0]) / 2**20)
            values["worker_mib"].append(memory_bytes(running.workers()[0]) / 2**20)
            if count:
                values["page_ms"] += _pages(org)
                asked = chance.sample(serials, min(len(serials), ocsp_requests))
                requests = [ocsp_request(authority, serial) for serial in asked]
                for what in ("OCSP, asked first", "OCSP, asked again"):
                    _answers(org, load, running.orgs()[0], http, requests, measured, what)
    if count:
        with _openssl_ocsp(org, authority, serials) as (process, port, ready):
            for sides in measured.ocsp.values():
                peer = sides[_PEER] = {"ready_s": [ready], CPU: [], RATE: []}
                peer["org_mib"] = [memory_bytes(process) / 2**20]
                for _ in range(repetitions):
                    asked = chance.sample(serials, min(len(serials), ocsp_requests))
                    _asked(load, process, port, [ocsp_request(authority, s) for s in asked], peer)
    return measured


def _fill(org: OrgSite, authority: AuthorityRecord, serials: list[int]) -> None:
    rows = issued_rows(authority, serials)
    while some := list(islice(rows, _FILLED_AT_ONCE)):
        with org.store.begin() as work:
            if not work.statements.postgresql:  # keys come in no order: a page is needed again and again
                work.statements.connection.exec_driver_sql(f"PRAGMA cache_size = -{_FILL_CACHE_KIB}")
            work.certificates.add_many(some)


def issued_rows(authority: AuthorityRecord, serials: list[int]) -> Iterator[IssuedCertificate]:
    """Rows as they are after some months. The certificates themselves are bytes of the usual length."""
    now = datetime.now(UTC)
    first = IssuedCertificate(
        issuer_hash=authority.issuer_hash,
        serial_number=1,
        authority_id=authority.id,
        device_id="",
        user_id="",
        profile="device",
        status=CertificateStatus.ISSUED,
        not_before=now - timedelta(days=100),
        not_after=now + timedelta(days=265),
        created=now,
        crl_shard=0,
    )
    for number, serial in enumerate(serials):
        digest = hashlib.sha256(serial.to_bytes(20)).digest()
        revoked = number % _REVOKED_ONE_IN == 0
        yield replace(
            first,
            serial_number=serial,
            device_id=f"guo{number // 2:017}",
            user_id=f"00u{number // 3:017}",
            created=now - timedelta(days=100) + timedelta(seconds=8 * number),
            crl_shard=shard_of(serial, authority.crl_shards),
            certificate_der=digest * 24,
            thumbprint=base64.urlsafe_b64encode(digest).decode().rstrip("="),
            status=CertificateStatus.REVOKED if revoked else CertificateStatus.ISSUED,
            revoked_at=now - timedelta(days=1) if revoked else None,
            revocation_reason=RevocationReason.SUPERSEDED if revoked else None,
        )


def measure_crls(org: OrgSite, authority: AuthorityRecord) -> tuple[list[float], list[float]]:
    """CPU of each, in ms, and its length in KiB."""
    spent, lengths = [], []
    for number in range(authority.crl_shards):
        before = time.process_time() + org.engine.cpu_seconds()
        made = publish(
            org.store, org.keys, Shard(authority.id, number), datetime.now(UTC), org.rules.crl_lifetime
        )
        spent.append((time.process_time() + org.engine.cpu_seconds() - before) * 1_000)
        assert made is not None
        lengths.append(len(made.der) / 1024)
    return spent, lengths


def _pages(org: OrgSite) -> list[float]:
    """How long each of some pages took, in ms."""
    api, spent = Api(org), []
    target = f"/api/v1/certificates?limit={_PAGE}"
    for _ in range(_PAGES):
        began = time.perf_counter()
        page, links = api.ask_with_links("GET", target)
        spent.append((time.perf_counter() - began) * 1_000)
        following = [link for link in links if 'rel="next"' in link]
        if not page or not following:
            break
        target = following[0].partition("<")[2].partition(">")[0].partition("/api/")[2]
        target = f"/api/{target}"
    api.close()
    return spent


def _answers(
    org: OrgSite,
    load: Load,
    process: int,
    port: int,
    requests: list[bytes],
    measured: _Measured,
    what: str,
) -> None:
    ours = measured.ocsp.setdefault(what, {OURS: {CPU: [], RATE: []}})[OURS]
    before = org.engine.cpu_seconds()
    _asked(load, process, port, requests, ours)
    ours[CPU][-1] += (org.engine.cpu_seconds() - before) / len(requests) * 1e6


def _asked(load: Load, process: int, port: int, requests: list[bytes], values: _Values) -> None:
    result = load.run(
        "ask",
        process=process,
        port=port,
        path=None,
        requests=[base64.b64encode(request).decode() for request in requests],
        threads=_THREADS,
        stays_open=False,
    )
    expect_only(result["statuses"], 200)
    values[CPU].append(result["cpu_seconds"] / len(requests) * 1e6)
    values[RATE].append(len(requests) / result["elapsed_seconds"])


def ocsp_request(authority: AuthorityRecord, serial_number: int) -> bytes:
    """A whole HTTP request."""
    issuer = x509.load_der_x509_certificate(authority.certificate_der)
    key_id = x509.SubjectKeyIdentifier.from_public_key(issuer.public_key()).digest
    name = hashlib.sha1(issuer.subject.public_bytes(), usedforsecurity=False).digest()
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(
        name,
        key_id,
        serial_number,
        hashes.SHA1(),
    )
    body = builder.build().public_bytes(Encoding.DER)
    return post_request("/ocsp", "application/ocsp-request", body, ("Connection: close",))


@contextmanager
def _openssl_ocsp(
    org: OrgSite, authority: AuthorityRecord, serials: list[int]
) -> Iterator[tuple[int, int, float]]:
    """(process, port, seconds from its start until it answers)."""
    directory, port = org.site.directory, free_port()
    end, revoked_at = "271201000000Z", "261101000000Z"
    with (directory / "index.txt").open("w") as index:
        for number, serial in enumerate(serials):
            revoked = number % _REVOKED_ONE_IN == 0
            state, at = ("R", f"{revoked_at},superseded") if revoked else ("V", "")
            index.write(f"{state}\t{end}\t{at}\t{serial:040X}\tunknown\t/CN=device {number}\n")
    issuer = directory / "issuing.pem"
    issuer.write_bytes(org.issuing_key_pem + pem(certificate_of(authority.certificate_der)))
    command = [needed("openssl"), "ocsp", "-index", "index.txt", "-port", str(port), "-ndays", "1"]
    command += ["-CA", str(issuer), "-rsigner", str(issuer), "-rkey", str(issuer)]
    began = time.perf_counter()
    process = ChildProcess("openssl-ocsp", command, directory)
    try:
        # It never recovers from a connection without a request, as one that only tries the port.
        process.wait_until(lambda: "waiting for" in process.log(), "it answers", _INDEX_SECONDS)
        ready = time.perf_counter() - began
        pin(process.process_id, separate_cpus()[0])
        yield process.process_id, port, ready
    finally:
        process.kill()
