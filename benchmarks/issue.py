"""Workload: certificates issued, from the certification request to the certificate, on the disk and logged.

    use case    in the benchmark's own process: reserve, commit, sign, complete and log, commit
    over EST    the same by simpleenroll at the org process of a running gateway, eight devices at once

The peers keep what they issued in a database as well. `openssl ca` is a process for each certificate, with
its index as a text file; cfssl is a server with SQLite that is asked over HTTP. Neither has devices, users or
a log, and neither records anything before it signs.
"""

import base64
import json
import sqlite3
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.processes import ChildProcess, free_port

from benchmarks.accounting import children_cpu_seconds, pin, separate_cpus
from benchmarks.load import Load, expect_only
from benchmarks.org_site import OrgSite, organizations
from benchmarks.report import OURS, Workload, cpu_and_rate, sampled_row
from benchmarks.requests import post_request
from benchmarks.series import Sample
from benchmarks.servers import gateway_under_test, needed

_THREADS: Final = 8
_A_PROCESS_EACH: Final = 0.2  # of the certificates: openssl takes a process for each
_SECONDS: Final = 60.0
_PEERS: Final = ("openssl ca", "cfssl serve")


def run(directory: Path, load: Load, *, certificates: int, repetitions: int) -> Workload:
    directory = directory / "issue"
    with organizations(directory) as organized:
        csr = x509.load_der_x509_csr(organized[0].request_der).public_bytes(Encoding.PEM)
        authority = _peer_authority(directory, csr)
        ours: dict[str, dict[str, list[Sample]]] = {"use case": {}, "over EST": {}}
        theirs: dict[str, list[Sample]] = {peer: [] for peer in _PEERS}
        for _ in range(repetitions):
            for org in organized:
                ours["use case"].setdefault(org.engine.name, []).append(measure_use_case(org, certificates))
                with gateway_under_test(org.site, org.configuration()) as running:
                    sample = _over_est(org, load, running.orgs()[0], certificates)
                    ours["over EST"].setdefault(org.engine.name, []).append(sample)
            fewer = max(4, int(certificates * _A_PROCESS_EACH))
            theirs["openssl ca"].append(_openssl_ca(authority, fewer))
            with _cfssl(authority) as (process, port):
                theirs["cfssl serve"].append(
                    _asked(load, process.process_id, [_cfssl_request(csr)] * certificates, port=port)
                )
    rows = [
        sampled_row(f"{title}, {engine}", {OURS: samples, peer: theirs[peer]})
        for (title, engines), peer in zip(ours.items(), _PEERS, strict=True)
        for engine, samples in engines.items()
    ]
    return Workload(
        name="issue",
        title="Certificates issued",
        quantities=cpu_and_rate("certificate"),
        rows=tuple(rows),
        negotiated={},
        notes=(
            "ECDSA P-256 all over; the certification request is the same for all, each certificate is for "
            f"another user and device. use case: one after the other; over EST: {_THREADS} at once.",
            "The gateway commits twice for each certificate, before and after it is signed, and writes two "
            "events of the chained System Log; every commit waits for the disk. CPU is that of the org "
            "process, and of all of PostgreSQL's.",
            "cfssl has SQLite as its database, and writes one row; `openssl ca` rewrites its text file, and "
            "waits for no disk. Its rate falls with the number of certificates.",
        ),
    )


def measure_use_case(org: OrgSite, count: int) -> Sample:
    """So many certificates, each for a new user and device, one after the other."""
    people = org.people(count)
    began, before = time.perf_counter(), time.process_time() + org.engine.cpu_seconds()
    for user, device in people:
        org.issue(user, device)
    elapsed = time.perf_counter() - began
    return Sample(count, time.process_time() + org.engine.cpu_seconds() - before, elapsed)


def _over_est(org: OrgSite, load: Load, process: int, count: int) -> Sample:
    body = base64.encodebytes(org.request_der)
    requests = []
    for number, (user, device) in enumerate(org.people(count)):
        credentials = base64.b64encode(f"{user.login}/{device.id}:{org.token}".encode()).decode()
        fields = (
            f"Authorization: Basic {credentials}",
            "Content-Transfer-Encoding: base64",
            f"X-Forwarded-For: 10.0.{number // 250}.{number % 250}",
        )
        requests.append(post_request("/.well-known/est/simpleenroll", "application/pkcs10", body, fields))
    before = org.engine.cpu_seconds()
    sample = _asked(load, process, requests, path=str(org.socket))
    database = org.engine.cpu_seconds() - before
    return Sample(sample.operations, sample.cpu_seconds + database, sample.elapsed_seconds)


def _asked(
    load: Load, process: int, requests: Sequence[bytes], *, port: int = 0, path: str | None = None
) -> Sample:
    result = load.run(
        "ask",
        process=process,
        port=port,
        path=path,
        requests=[base64.b64encode(request).decode() for request in requests],
        threads=_THREADS,
        stays_open=True,
    )
    expect_only(result["statuses"], 200)
    return Sample(result["operations"], result["cpu_seconds"], result["elapsed_seconds"])


def _peer_authority(directory: Path, csr: bytes) -> Path:
    """A directory with a CA for both peers."""
    authority = directory / "peer"
    authority.mkdir()
    (authority / "device.csr").write_bytes(csr)
    new_key = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 100 -subj /CN=ca"
    command = [*new_key.split(), "-keyout", "ca.key", "-out", "ca.pem"]
    subprocess.run(command, cwd=authority, check=True, capture_output=True, timeout=_SECONDS)
    (authority / "index.txt").touch()
    (authority / "serial").write_text("1000\n")
    (authority / "openssl.cnf").write_text(_OPENSSL)
    profile = {"usages": ["digital signature", "client auth"], "expiry": "8760h"}
    (authority / "cfssl.json").write_text(json.dumps({"signing": {"default": profile}}))
    (authority / "database.json").write_text('{"driver": "sqlite3", "data_source": "certificates.db"}')
    with sqlite3.connect(authority / "certificates.db") as database:
        database.execute(_CFSSL_TABLE)
    return authority


def _openssl_ca(authority: Path, count: int) -> Sample:
    command = "openssl ca -batch -notext -config openssl.cnf -in device.csr -out device.pem"
    began, before = time.perf_counter(), children_cpu_seconds()
    for _ in range(count):
        subprocess.run(command.split(), cwd=authority, check=True, capture_output=True, timeout=_SECONDS)
    elapsed = time.perf_counter() - began
    return Sample(count, children_cpu_seconds() - before, elapsed)


@contextmanager
def _cfssl(authority: Path) -> Iterator[tuple[ChildProcess, int]]:
    port = free_port()
    command = [needed("cfssl"), "serve", "-address", "127.0.0.1", "-port", str(port), "-loglevel", "2"]
    command += ["-ca", "ca.pem", "-ca-key", "ca.key", "-config", "cfssl.json"]
    process = ChildProcess("cfssl", [*command, "-db-config", "database.json"], authority)
    try:
        process.wait_until_listening(port)
        pin(process.process_id, separate_cpus()[0])
        yield process, port
    finally:
        process.kill()


def _cfssl_request(csr: bytes) -> bytes:
    body: Any = json.dumps({"certificate_request": csr.decode()}).encode()
    return post_request("/api/v1/cfssl/sign", "application/json", body)


_OPENSSL: Final = """\
[ca]
default_ca = own
[own]
database = index.txt
serial = serial
new_certs_dir = .
certificate = ca.pem
private_key = ca.key
default_md = sha256
default_days = 365
unique_subject = no
policy = any
x509_extensions = device
[any]
commonName = supplied
[device]
keyUsage = digitalSignature
extendedKeyUsage = clientAuth
"""
_CFSSL_TABLE: Final = """\
CREATE TABLE certificates (
  serial_number blob NOT NULL, authority_key_identifier blob NOT NULL, ca_label blob, status blob NOT NULL,
  reason int, expiry timestamp, revoked_at timestamp, pem blob NOT NULL,
  PRIMARY KEY (serial_number, authority_key_identifier)
)"""
