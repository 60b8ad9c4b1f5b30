"""Workload: from the call of the API that revokes to the end of the connections that rest on it.

5,000 WebSockets of 50 devices are open at two workers under `enforcement: session`. One device after another
is revoked over the API; each time its hundred connections have to end, and no other.

The peer is nginx with the same certificates and sockets, which is given a new CRL and told to reload. What is
measured there is when it refuses the next handshake: the connections that are open stay open.
"""

import signal
import socket
import ssl
import time
from contextlib import ExitStack
from itertools import count
from os import kill
from pathlib import Path
from typing import Final

from support.pki import Credential

from benchmarks.load import Load, LoadFailed, expect_only
from benchmarks.org_site import Api, OrgSite, organizations
from benchmarks.report import OURS, Negotiated, Quantity, Row, Workload
from benchmarks.requests import socket_request
from benchmarks.series import percentile
from benchmarks.servers import gateway_under_test, nginx_sockets, streaming_app
from benchmarks.site import APP_HOST, MTLS_DOMAIN, Site

_WORKERS: Final = 2
_HANDSHAKE_SECONDS: Final = 5.0
_REFUSED_SECONDS: Final = 20.0


def run(
    directory: Path, load: Load, *, connections: int, devices: int, revocations: int, repetitions: int
) -> Workload:
    rows: dict[str, dict[str, list[float]]] = {}
    negotiated: dict[str, Negotiated] = {}
    numbers = count(1)
    with organizations(directory / "revoke-to-closed") as organized:
        for _ in range(repetitions):
            for org in organized:
                measured = _revoked_by_api(org, load, connections, devices, revocations, numbers, negotiated)
                for key, values in measured.items():
                    rows.setdefault(org.engine.name, {}).setdefault(key, []).extend(values)
    with ExitStack() as stack:
        site = Site(_new_directory(directory / "revoke-to-closed" / "nginx"))
        peer = _revoked_by_crl(stack, site, load, connections, devices, revocations, negotiated)
    return Workload(
        name="revoke_to_closed",
        title="A device is revoked: when its connections end",
        quantities=(
            Quantity("closed_p50_ms", "connection closed, p50, ms after the call"),
            Quantity("closed_p99_ms", "p99"),
            Quantity("closed_max_ms", "last of all"),
            Quantity("answered_p50_ms", "call answered, p50, ms"),
            Quantity("answered_p99_ms", "p99"),
            Quantity("refused_p50_ms", "next handshake refused, p50, ms"),
            Quantity("closed_percent", "% of its connections closed"),
        ),
        rows=(
            *(Row(f"API, {engine}", {OURS: _summary(values)}) for engine, values in rows.items()),
            Row("CRL and reload", {"nginx": _summary(peer)}),
        ),
        negotiated=negotiated,
        notes=(
            f"{connections:,} WebSockets of {devices} devices at {_WORKERS} workers; {revocations} devices "
            f"are revoked, one after the other, {repetitions} times over; percentiles are of the "
            f"{connections // devices * revocations * repetitions:,} connections that had to end, as their "
            "client sees them end, and of the calls. No other connection ended. Workers and org process have "
            "one CPU together.",
            "The call is answered when every worker has closed what it had to. It comes over TLS at "
            "the org host, and one of the workers passes it on to the org process.",
            "nginx has two workers and 1,000 entries on its CRL: from the new file and the signal to the "
            "first handshake that is refused. Its old workers keep the open sockets.",
        ),
    )


def _revoked_by_api(
    org: OrgSite,
    load: Load,
    connections: int,
    devices: int,
    revocations: int,
    numbers: "count[int]",
    negotiated: dict[str, Negotiated],
) -> dict[str, list[float]]:
    people = org.people(devices)
    names = [f"socket-{next(numbers)}" for _ in people]
    issued = [org.issue(*person) for person in people]
    certificates = [org.write_certificate(*pair) for pair in zip(names, issued, strict=True)]
    values: dict[str, list[float]] = {"closed_ms": [], "answered_ms": [], "closed": [], "doomed": []}
    each = connections // devices
    with ExitStack() as stack:
        stack.enter_context(streaming_app(org.site))
        configuration = org.configuration(enforcement="session", workers=_WORKERS)
        running = stack.enter_context(gateway_under_test(org.site, configuration))
        result = load.run(
            "sign_ons",
            process=running.process_id,
            port=org.site.https_port,
            app_host=APP_HOST,
            mtls_domain=MTLS_DOMAIN,
            certificates=[str(path) for path in certificates],
            bodies=[
                org.site.message(name, user=user.login).decode()
                for name, (user, _) in zip(names, people, strict=True)
            ],
        )
        expect_only(result["statuses"]["return"], 200)
        negotiated[OURS] = load.negotiated(org.site.https_port, APP_HOST, None)
        held = stack.enter_context(
            load.held(
                port=org.site.https_port,
                server_name=APP_HOST,
                count=connections,
                requests=[socket_request(org.site.https_port, cookies) for cookies in result["cookies"]],
                status=101,
                until_closed=[each * (number + 1) for number in range(revocations)],
            )
        )
        api = Api(org)
        for certificate in (each.certificate for each in issued[:revocations]):
            began = time.monotonic()
            answer = api.ask("POST", f"/api/v1/certificates/{certificate.thumbprint}/lifecycle/revoke")
            values["answered_ms"].append((time.monotonic() - began) * 1_000)
            if answer["enforcement"]["missing"]:
                raise LoadFailed(f"not applied everywhere: {answer}")
            closed = held.result()
            if closed["others_closed"]:
                raise LoadFailed(f"{closed['others_closed']} connections of other devices were closed")
            values["closed_ms"] += [(at - began) * 1_000 for at in closed["each"]]
        api.close()
    values["closed"] = [float(len(values["closed_ms"]))]
    values["doomed"] = [float(each * revocations)]
    return values


def _revoked_by_crl(
    stack: ExitStack,
    site: Site,
    load: Load,
    connections: int,
    devices: int,
    revocations: int,
    negotiated: dict[str, Negotiated],
) -> dict[str, list[float]]:
    credentials = [site.device() for _ in range(devices)]
    paths = [site.write_device(f"device-{number}", each) for number, each in enumerate(credentials)]
    revoked: list[Credential] = [site.device() for _ in range(1_000)]
    site.write_crl(site.corp.crl(revoked))
    site.write_all_crls()
    values: dict[str, list[float]] = {"refused_ms": [], "closed": [], "doomed": []}
    each = connections // devices
    stack.enter_context(streaming_app(site))
    server = stack.enter_context(nginx_sockets(site, workers=_WORKERS))
    negotiated["nginx"] = load.negotiated(server.app_port, APP_HOST, paths[-1])
    with load.held(
        port=server.app_port,
        server_name=APP_HOST,
        count=connections,
        requests=[socket_request(server.app_port, "")],
        certificates=[str(path) for path in paths],
        status=101,
    ) as held:
        for credential, path in zip(credentials[:revocations], paths, strict=False):
            revoked.append(credential)
            crl = site.corp.crl(revoked)
            began = time.monotonic()
            site.write_crl(crl)
            site.write_all_crls()
            kill(server.process_id, signal.SIGHUP)
            values["refused_ms"].append((_until_refused(server.app_port, path) - began) * 1_000)
        values["closed"] = [float(connections - held.still_open())]
    values["doomed"] = [float(each * revocations)]
    return values


def _until_refused(port: int, certificate: Path) -> float:
    """When a connection with this certificate was refused for the first time (`time.monotonic`)."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(certificate)
    request = f"GET /admitted HTTP/1.1\r\nHost: {APP_HOST}\r\nConnection: close\r\n\r\n".encode()
    deadline = time.monotonic() + _REFUSED_SECONDS
    while time.monotonic() < deadline:
        began = time.monotonic()
        try:
            with (
                socket.create_connection(("127.0.0.1", port), _HANDSHAKE_SECONDS) as plain,
                context.wrap_socket(plain, server_hostname=APP_HOST) as connection,
            ):
                connection.sendall(request)
                if connection.recv(100).startswith(b"HTTP/1.1 400"):
                    return began
        except (ssl.SSLError, ConnectionError):
            return began
    raise LoadFailed("nginx goes on taking the revoked certificate")


def _summary(values: dict[str, list[float]]) -> dict[str, list[float]]:
    """Percentiles of all."""
    summary = {"closed_percent": [sum(values["closed"]) / sum(values["doomed"]) * 100]}
    for key, percents in (("closed", (50, 99, 100)), ("answered", (50, 99)), ("refused", (50,))):
        measured = values.get(f"{key}_ms")
        for percent in percents if measured else ():
            name = "max" if percent == 100 else f"p{percent}"
            summary[f"{key}_{name}_ms"] = [percentile(measured or (), percent)]
    return summary


def _new_directory(directory: Path) -> Path:
    directory.mkdir(parents=True)
    return directory
