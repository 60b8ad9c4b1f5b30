"""The servers under test and the apps behind them: started for a workload, pinned, stopped after it.

All of them have the same certificates, one worker (unless said otherwise), an access log, and the first CPU;
they are never loaded at the same time. Apps and load generators have the other CPUs.
"""

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from support.gateway_process import GatewayProcess, gateway_process
from support.processes import ChildProcess, ProcessFailedError, free_port, program

from benchmarks import peer_files
from benchmarks.accounting import pin, separate_cpus
from benchmarks.report import OURS, NotMeasured
from benchmarks.site import Site

UPSTREAM_BODY_BYTES: Final = 1_024


@dataclass(frozen=True, slots=True)
class Server:
    """A running server under test. ``mtls_port`` asks for client certificates, where it has one."""

    name: str
    process_id: int
    app_port: int
    mtls_port: int = 0


@contextmanager
def gateway(
    site: Site, configuration: Mapping[str, Any] | None = None, *, cpus: set[int] | None = None
) -> Iterator[Server]:
    with gateway_under_test(site, configuration, cpus=cpus) as process:
        yield Server(OURS, process.process_id, site.https_port, site.https_port)


@contextmanager
def gateway_under_test(
    site: Site, configuration: Mapping[str, Any] | None = None, *, cpus: set[int] | None = None
) -> Iterator[GatewayProcess]:
    """The gateway itself, for workloads that look into it. Raises NotMeasured when it refuses to start."""
    with ExitStack() as stack:
        starting = gateway_process(configuration or site.configuration(), site.directory)
        try:
            process = stack.enter_context(starting)
        except ProcessFailedError as refused:
            if "ended with" not in str(refused):
                raise
            raise NotMeasured(f"this gateway did not start: {str(refused).splitlines()[-1]}") from None
        pin(process.process_id, cpus or separate_cpus()[0])
        yield process


@contextmanager
def nginx(
    site: Site, *, crl: bool = False, http2: bool = False, workers: int = 1, cpus: set[int] | None = None
) -> Iterator[Server]:
    """mTLS on one port, the reverse proxy on another. With ``crl`` it checks the site's lists."""
    mtls_port, app_port = free_port(), free_port()
    http = peer_files.nginx_front(site, mtls_port, app_port, crl=crl, http2=http2)
    with _nginx("nginx", http, site.directory, app_port, workers) as process:
        pin(process.process_id, cpus or separate_cpus()[0])
        yield Server("nginx", process.process_id, app_port, mtls_port)


@contextmanager
def nginx_sockets(site: Site, *, workers: int) -> Iterator[Server]:
    """WebSockets for whoever has a certificate that is not on the site's lists."""
    port = free_port()
    with _nginx("nginx-sockets", peer_files.nginx_sockets(site, port), site.directory, port, workers) as own:
        pin(own.process_id, separate_cpus()[0])
        yield Server("nginx", own.process_id, port, port)


@contextmanager
def haproxy(site: Site, *, crl: bool = False) -> Iterator[Server]:
    """The same with HAProxy."""
    mtls_port, app_port = free_port(), free_port()
    configuration = site.directory / "haproxy.cfg"
    configuration.write_text(peer_files.haproxy(site, mtls_port, app_port, crl=crl))
    command = [needed("haproxy"), "-db", "-f", str(configuration)]
    with _running("haproxy", command, site.directory, app_port) as process:
        yield Server("HAProxy", process.process_id, app_port, mtls_port)


@contextmanager
def caddy(site: Site) -> Iterator[Server]:
    """The reverse proxy only."""
    app_port = free_port()
    configuration = site.directory / "Caddyfile"
    configuration.write_text(peer_files.caddy(site, app_port))
    command = [needed("caddy"), "run", "--adapter", "caddyfile", "--config", str(configuration)]
    home = str(site.directory)
    environment = {"HOME": home, "XDG_DATA_HOME": home, "XDG_CONFIG_HOME": home, "GOMAXPROCS": "1"}
    with _running("caddy", command, site.directory, app_port, environment) as process:
        yield Server("Caddy", process.process_id, app_port)


@contextmanager
def aiohttp_proxy(site: Site) -> Iterator[Server]:
    """The reverse proxy only, in Python: what the gateway would cost on the usual library."""
    app_port = free_port()
    settings = {
        "port": app_port,
        "upstream": f"http://127.0.0.1:{site.upstream_port}",
        "certificate": str(site.directory / "server.pem"),
        "private_key": str(site.directory / "server.key"),
        "access_log": str(site.directory / "aiohttp-access.log"),
    }
    command = [sys.executable, str(Path(__file__).with_name("aiohttp_proxy.py")), json.dumps(settings)]
    with _running("aiohttp-proxy", command, site.directory, app_port) as process:
        yield Server("aiohttp", process.process_id, app_port)


@contextmanager
def kilobyte_app(site: Site, cpus: set[int] | None = None) -> Iterator[None]:
    """The app for small requests: nginx, a kilobyte from memory."""
    http = peer_files.nginx_kilobyte(site, UPSTREAM_BODY_BYTES)
    with _nginx("nginx-app", http, site.directory, site.upstream_port, 1) as process:
        pin(process.process_id, cpus or separate_cpus()[1])
        yield


@contextmanager
def streaming_app(site: Site) -> Iterator[ChildProcess]:
    """The app for bodies and sockets: `benchmarks.streaming_app`."""
    command = [sys.executable, str(Path(__file__).with_name("streaming_app.py")), str(site.upstream_port)]
    with _running("app", command, site.directory, site.upstream_port, cpus=separate_cpus()[1]) as process:
        yield process


def needed(name: str) -> str:
    """The path of a program that `make bench` installs."""
    found = program(name)
    if found is None:
        raise SystemExit(f"{name} is not installed: tests/support/system_packages.sh bench")
    return found


@contextmanager
def _nginx(name: str, http: str, directory: Path, port: int, workers: int) -> Iterator[ChildProcess]:
    configuration = directory / f"{name}.conf"
    configuration.write_text(peer_files.nginx_frame(name, http, directory, workers))
    log = directory / f"{name}.log"
    command = [needed("nginx"), "-e", str(log), "-p", str(directory), "-c", str(configuration)]
    process = ChildProcess(name, command, directory, own_logs=[log])
    try:
        process.wait_until_listening(port)
        yield process
    finally:
        process.kill()


@contextmanager
def _running(
    name: str,
    command: Sequence[str],
    directory: Path,
    port: int,
    environment: Mapping[str, str] | None = None,
    cpus: set[int] | None = None,
) -> Iterator[ChildProcess]:
    process = ChildProcess(name, command, directory, environment=environment)
    try:
        process.wait_until_listening(port)
        pin(process.process_id, cpus or separate_cpus()[0])
        yield process
    finally:
        process.kill()
