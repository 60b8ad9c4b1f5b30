"""Workload: enrollments, from the agent's first question to the certificate, and the Kerberos in them.

    enrolled, STORE          discovery, device token, user token, certificate; eight people at once
    a ticket accepted        GET of a page that asks for a Kerberos ticket, on connections that stay open

Nothing else enrolls devices so. What can be compared is the acceptance of tickets: the peer is Apache with
mod_auth_gssapi, by the same Kerberos library, with the same replay cache on.
"""

import base64
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from support.iwa_process import IwaProcess
from support.kerberos import CORP, Forests, Trust
from support.own_authority import request_der
from support.peers import APACHE_MODULES, WEB_SERVER_ACCOUNT
from support.processes import ChildProcess, free_port

from benchmarks.accounting import pin, separate_cpus
from benchmarks.load import Load, expect_only, sample_of
from benchmarks.org_site import Api, OrgSite, organizations
from benchmarks.report import OURS, NotMeasured, Quantity, Row, Workload, cpu_and_rate, sampled_row
from benchmarks.series import CPU, RATE, Sample
from benchmarks.servers import gateway_under_test, needed
from gateway.enrollment.iwa_keys import public_jwk
from gateway.enrollment.thumbprints import key_thumbprint

_THREADS: Final = 8
_HOST: Final = "localhost"
_PARTS: Final = {"iwa": "of it IWA", "org": "org", "worker": "worker", "database": "database"}
_PEER: Final = "Apache"


@dataclass(frozen=True, slots=True)
class _Person:
    """Somebody at a computer: their tickets, and what is to be certified."""

    login: str
    computer_cache: str
    person_cache: str
    csr: str
    key_thumbprint: str


def run(directory: Path, load: Load, *, people: int, tickets: int, repetitions: int) -> Workload:
    directory = directory / "enrollment"
    if not (APACHE_MODULES / "mod_auth_gssapi.so").exists():
        raise NotMeasured("mod_auth_gssapi is not installed: tests/support/system_packages.sh bench")
    enrolled: dict[str, list[dict[str, float]]] = {}
    accepted: dict[str, list[Sample]] = {OURS: [], _PEER: []}
    with (
        Forests.running(Trust.NONE) as forests,
        forests.entered(),
        organizations(directory) as organized,
    ):
        staff = _staff(forests, people)
        for _ in range(repetitions):
            for org in organized:
                measured = _enrolled(org, forests, load, staff)
                enrolled.setdefault(org.engine.name, []).append(measured)
            cache = staff[0].person_cache
            with _iwa(forests, directory / secrets.token_hex(4)) as iwa:
                pages = _pages(forests, cache, "/iwa/", tickets)
                accepted[OURS].append(_asked(load, iwa.process_id, iwa.port, pages))
            with _apache(forests, directory / secrets.token_hex(4)) as (process, port):
                pages = _pages(forests, cache, "/", tickets)
                accepted[_PEER].append(_asked(load, process.process_id, port, pages))
    rows = [
        Row(f"enrolled, {engine}", {OURS: {key: [each[key] for each in measured] for key in measured[0]}})
        for engine, measured in enrolled.items()
    ]
    return Workload(
        name="enrollment",
        title="Enrollments by Kerberos",
        quantities=(
            *cpu_and_rate("enrollment, or ticket", "of them"),
            *(Quantity(key, f"{title} µs") for key, title in _PARTS.items()),
        ),
        rows=(*rows, sampled_row("a ticket accepted", accepted)),
        negotiated={},
        notes=(
            f"{people} people at as many computers, {_THREADS} at once; the org over TLS 1.3, the IWA web "
            "app over HTTP; both share one CPU. The first repetition makes the devices; from the second on "
            "each certificate replaces one.",
            "In one enrollment two tickets are accepted, two tokens are signed and verified, the "
            "certificate is signed and its signature checked, and two transactions wait for the disk.",
            "Tickets: both check them against a replay cache on the disk and prove themselves to the client. "
            "The IWA web app makes a JSON page of what the ticket says; Apache serves a small file.",
        ),
    )


def _staff(forests: Forests, count: int) -> list[_Person]:
    """New accounts, logged in: passwords are the names."""
    names = [f"p{number}" for number in range(count)]
    realm = forests.corp
    realm.administer(
        *(f"addprinc -pw {name} {name}" for name in names),
        *(f"addprinc -pw {name}$ {name}$" for name in names),
    )
    staff = []
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        csr = x509.load_der_x509_csr(request_der(key)).public_bytes(Encoding.PEM).decode()
        thumbprint = key_thumbprint(key.public_key())
        staff.append(
            _Person(f"{name}@example.test", realm.log_in(f"{name}$"), realm.log_in(name), csr, thumbprint)
        )
    return staff


def _enrolled(org: OrgSite, forests: Forests, load: Load, staff: Sequence[_Person]) -> dict[str, float]:
    """See `parts_of`."""
    configuration = org.configuration()
    configuration["device_trust"]["enrollment"] = {"create_users": True, "max_per_hour": 1_000}
    with (
        gateway_under_test(org.site, configuration) as gateway,
        _iwa(forests, org.site.directory / f"iwa-{secrets.token_hex(4)}") as iwa,
    ):
        _register(iwa, org)
        processes = {"iwa": iwa.process_id, "gateway": gateway.process_id, "org": gateway.orgs()[0]}
        before = org.engine.cpu_seconds()
        result = load.run(
            "enrollments",
            module="benchmarks.enrolling_client",
            people=[_messages(forests, each) for each in staff],
            threads=_THREADS,
            org_port=org.site.https_port,
            iwa_port=iwa.port,
            processes=processes,
        )
        return parts_of(result, org.engine.cpu_seconds() - before)


def parts_of(result: Mapping[str, Any], database_seconds: float) -> dict[str, float]:
    """Of what `benchmarks.enrolling_client` says: CPU of all and of each part in µs, and the rate."""
    used, count = result["cpu_seconds"], result["operations"]
    seconds = {
        "iwa": used["iwa"],
        "org": used["org"],
        "worker": used["gateway"] - used["org"],
        "database": database_seconds,
    }
    each = {name: value / count * 1e6 for name, value in seconds.items()}
    return {CPU: sum(each.values()), RATE: count / result["elapsed_seconds"], **each}


def _register(iwa: IwaProcess, org: OrgSite) -> None:
    api = Api(org)
    made = api.ask(
        "POST",
        "/api/v1/iwas",
        {
            "name": "hq-1",
            "url": iwa.url,
            "public_jwk": public_jwk(iwa.key.public_key()),
            "version": "1",
            "realms": [CORP],
        },
    )
    api.close()
    iwa.pretend_registered(made["id"], made["audience"])


def _messages(forests: Forests, person: _Person) -> dict[str, str]:
    return {
        "computer": _negotiate(forests, person.computer_cache),
        "person": _negotiate(forests, person.person_cache),
        "csr": person.csr,
        "key_thumbprint": person.key_thumbprint,
    }


def _negotiate(forests: Forests, cache: str) -> str:
    return base64.b64encode(forests.negotiate(cache, _HOST)).decode()


@contextmanager
def _iwa(forests: Forests, directory: Path) -> Iterator[IwaProcess]:
    limits = {"per_principal": 10_000, "per_address": 100_000}
    with IwaProcess.running(forests, directory, changes={"limits": limits}) as iwa:
        pin(iwa.process_id, separate_cpus()[0])
        yield iwa


def _pages(forests: Forests, cache: str, target: str, count: int) -> list[bytes]:
    """Requests with a ticket each, which count once."""
    return [
        (
            f"GET {target} HTTP/1.1\r\nHost: {_HOST}\r\nAccept: application/json\r\n"
            f"Authorization: Negotiate {_negotiate(forests, cache)}\r\n\r\n"
        ).encode()
        for _ in range(count)
    ]


def _asked(load: Load, process: int, port: int, requests: Sequence[bytes]) -> Sample:
    result = load.run(
        "ask",
        process=process,
        port=port,
        path=None,
        requests=[base64.b64encode(request).decode() for request in requests],
        threads=_THREADS,
        stays_open=True,
    )
    expect_only(result["statuses"], 200)
    return sample_of(result)


@contextmanager
def _apache(forests: Forests, directory: Path) -> Iterator[tuple[ChildProcess, int]]:
    """Apache with a file that asks for tickets; one process with threads."""
    directory.mkdir()
    port = free_port()
    for name in ("www", "replays"):
        (directory / name).mkdir(mode=0o700)
    (directory / "www/index.html").write_text("a page of the company\n")
    shutil.copy(forests.iwa_keytab, directory / "http.keytab")
    (directory / "httpd.conf").write_text(_configuration(directory, port))
    if os.geteuid() == 0:  # its children read and write as this account
        forests.directory.chmod(0o711)
        for parent in (directory, directory.parent, directory.parent.parent):
            parent.chmod(0o711)
        for path in (directory, *directory.rglob("*")):
            shutil.chown(path, WEB_SERVER_ACCOUNT)
    environment = {**forests.environment(), "KRB5RCACHEDIR": str(directory / "replays")}
    command = [needed("apache2"), "-DFOREGROUND", "-f", str(directory / "httpd.conf")]
    logs = [directory / "error.log"]
    process = ChildProcess("apache", command, directory, environment=environment, own_logs=logs)
    try:
        process.wait_until_listening(port)
        pin(process.process_id, separate_cpus()[0])
        yield process, port
    finally:
        process.kill()


def _configuration(directory: Path, port: int) -> str:
    modules = "mpm_event authn_core authz_core authz_user dir auth_gssapi"
    loaded = "\n".join(f"LoadModule {name}_module {APACHE_MODULES}/mod_{name}.so" for name in modules.split())
    account = f"User {WEB_SERVER_ACCOUNT}\nGroup {WEB_SERVER_ACCOUNT}" if os.geteuid() == 0 else ""
    return f"""\
ServerRoot {directory}
PidFile {directory}/httpd.pid
Listen 127.0.0.1:{port}
ServerName localhost:{port}
{loaded}
{account}
StartServers 1
ServerLimit 1
ThreadsPerChild 16
MaxRequestWorkers 16
MinSpareThreads 1
MaxSpareThreads 16
KeepAlive On
KeepAliveTimeout 30
MaxKeepAliveRequests 0
ErrorLog {directory}/error.log
LogLevel warn
LogFormat "%h %t \\"%r\\" %>s %b" common
CustomLog {directory}/access.log common
DocumentRoot {directory}/www
DirectoryIndex index.html
<Location />
  AuthType GSSAPI
  AuthName company
  GssapiAllowedMech krb5
  GssapiCredStore keytab:{directory}/http.keytab
  Require valid-user
</Location>
"""
