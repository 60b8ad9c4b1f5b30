"""One gateway of several processes: what they share, what becomes of one that dies, and how another takes
over."""

import contextlib
import fcntl
import http.client
import json
import os
import resource
import signal
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from support import messages
from support.browser import Browser, Step, Visit
from support.gateway_process import GatewayProcess, gateway_process
from support.processes import http_get
from support.site import Site
from support.steady_load import SteadyLoad
from support.two_apps import ACS, PAYROLL, WIKI, two_apps

USER = "alice@example.test"


@dataclass
class World:
    site: Site
    configuration: dict[str, Any]

    def message(self, number: int, host: str = WIKI) -> bytes:
        recipient = self.site.public_base(host) + ACS
        now = datetime.now(UTC)
        name = f"_{number}"
        assertion = messages.Saml2Assertion(
            assertion_id=name, user=USER, recipient=recipient, audiences=((f"https://{host}",),), now=now
        )
        response = messages.Saml2Response(destination=recipient, now=now)
        signed = messages.sign(response.xml(assertion.xml()), "assertion", assertion_id=name)
        return messages.body_of(messages.saml_form(signed))

    def post(self, browser: Browser, body: bytes, host: str = WIKI) -> Visit:
        kind = "application/x-www-form-urlencoded"
        url = self.site.public_base(host) + ACS
        return browser.follow(Step("POST", url, body, kind, "https://idp.example.test"))

    def load(self, **details: Any) -> SteadyLoad:
        return SteadyLoad(self.site.https_port, WIKI, self.site.web.pem.decode(), **details)

    @contextlib.contextmanager
    def gateway(self, *arguments: str) -> Iterator[GatewayProcess]:
        with gateway_process(self.configuration, self.site.directory, arguments=arguments) as running:
            yield running


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    site = Site(tmp_path)
    with two_apps(site) as configuration:
        configuration["listen"]["workers"] = 2
        yield World(site, configuration)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[World, GatewayProcess]]:
    """A gateway with two workers, for tests that leave it as it was."""
    site = Site(tmp_path_factory.mktemp("site"))
    with two_apps(site) as configuration:
        configuration["listen"]["workers"] = 2
        world = World(site, configuration)
        with world.gateway() as gateway:
            yield world, gateway


def test_an_assertion_is_used_once_whichever_worker_it_meets(running: tuple[World, GatewayProcess]) -> None:
    world, gateway = running
    assert len(gateway.workers()) == 2
    device = world.site.issue()
    body = world.message(1)
    assert world.post(world.site.browser(device), body).status == 200
    for _ in range(6):  # each on a new connection, so that both workers see some
        visit = world.post(world.site.browser(device), body)
        assert (visit.status, visit.last.text.count("REPLAYED") > 0) == (400, True)


def test_one_scrape_sums_all_workers(running: tuple[World, GatewayProcess]) -> None:
    world, gateway = running
    before = gateway.metric("devicetrust_requests_total", app="wiki", status="200")
    with world.load() as load:
        load.wait_for_more(100)
    assert load.failures == []
    assert gateway.metric("devicetrust_workers") == 2
    gateway.wait_for_metric("devicetrust_requests_total", before + load.answered, app="wiki", status="200")
    assert gateway.metric("devicetrust_revoked_certificates", authority="corp") == 0
    assert gateway.metric("devicetrust_build_info") == 1


def test_a_session_resumes_with_any_worker_and_after_a_reload(
    running: tuple[World, GatewayProcess],
) -> None:
    world, gateway = running
    context = ssl.create_default_context(cadata=world.site.web.pem.decode())

    def connect(session: ssl.SSLSession | None) -> tuple[ssl.SSLSession | None, bool | None]:
        plain = socket.create_connection(("127.0.0.1", world.site.https_port), timeout=10)
        with context.wrap_socket(plain, server_hostname=WIKI, session=session) as connection:
            connection.sendall(f"GET /echo HTTP/1.1\r\nHost: {WIKI}\r\nConnection: close\r\n\r\n".encode())
            while connection.recv(65_536):
                pass
            return connection.session, connection.session_reused

    session, resumed = connect(None)
    assert not resumed
    assert [connect(session)[1] for _ in range(8)] == [True] * 8
    reloads = len(gateway.wait_for_records("reloaded", 0))
    gateway.reload()
    gateway.wait_for_records("reloaded", reloads + 1)
    assert [connect(session)[1] for _ in range(8)] == [True] * 8


def test_a_peer_that_is_gone_without_a_word_will_be_noticed(running: tuple[World, GatewayProcess]) -> None:
    """The kernel's table of sockets (proc(5)) tells which timer an accepted one has: 2 is keep-alive."""
    world, _ = running
    with socket.create_connection(("127.0.0.1", world.site.https_port), timeout=10) as connection:
        ours = f"0100007F:{connection.getsockname()[1]:04X}"
        theirs = f"0100007F:{world.site.https_port:04X}"
        rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
        (timer,) = [row[5] for row in rows if row[1:3] == [theirs, ours]]
    assert timer.startswith("02:")


def test_reloads_under_load_fail_no_request_and_close_no_connection(
    running: tuple[World, GatewayProcess],
) -> None:
    world, gateway = running
    reloads = len(gateway.wait_for_records("reloaded", 0))
    with world.load() as load:
        for count in range(1, 6):
            gateway.reload()
            gateway.wait_for_records("reloaded", reloads + count)
            load.wait_for_more(20)
    assert load.failures == []


def test_what_one_worker_refuses_none_takes_over(running: tuple[World, GatewayProcess]) -> None:
    """That no certificate covers a host is found by the workers, who make the TLS contexts."""
    world, gateway = running
    broken = json.loads(json.dumps(world.configuration))
    broken["apps"][0]["host"] = "wiki.elsewhere.test"
    refused = len(gateway.wait_for_records("reload_refused", 0))
    gateway.write(broken)
    detail = gateway.wait_for_records("reload_refused", refused + 1)[-1]["detail"]
    assert detail == "tls.certificates: no certificate covers wiki.elsewhere.test"
    with world.load() as load:
        load.wait_for_more(100)
    assert load.failures == []
    gateway.write(world.configuration)


def test_a_killed_worker_takes_its_own_connections_with_it_and_is_replaced(
    running: tuple[World, GatewayProcess],
) -> None:
    world, gateway = running
    gateway.metrics()  # what was counted until here is known
    before = gateway.metric("devicetrust_requests_total", app="wiki", status="200")
    victim, other = gateway.workers()
    exits = len(gateway.wait_for_records("worker_exited", 0))
    with world.load(clients=8) as load:
        os.kill(victim, signal.SIGKILL)
        gateway.wait_for_records("worker_started", exits + 1)
        load.wait_for_more(200)
    record = gateway.wait_for_records("worker_exited", exits + 1)[-1]
    assert (record["process"], record["exit_status"]) == (victim, -signal.SIGKILL)
    assert len(load.failures) <= 8, load.failures  # each client had one connection
    assert other in gateway.workers()
    assert len(gateway.workers()) == 2
    assert gateway.metric("devicetrust_requests_total", app="wiki", status="200") > before
    assert gateway.metric("devicetrust_worker_restarts_total") == exits + 1


def test_a_worker_that_hangs_is_replaced_too(running: tuple[World, GatewayProcess]) -> None:
    _, gateway = running
    victim, _ = gateway.workers()
    os.kill(victim, signal.SIGSTOP)
    gateway.wait_for_record(lambda r: r["event"] == "worker_hangs" and r["process"] == victim, 60)
    gateway.wait_for_record(lambda r: r["event"] == "worker_exited" and r["process"] == victim)
    gateway.wait_for_record(lambda r: r["event"] == "worker_started" and r["process"] != victim, 30)
    assert victim not in gateway.workers()
    assert len(gateway.workers()) == 2


def test_a_replaced_worker_has_the_configuration_in_force_and_not_the_broken_one_on_disk(
    running: tuple[World, GatewayProcess],
) -> None:
    world, gateway = running
    refused = len(gateway.wait_for_records("reload_refused", 0))
    started = len(gateway.wait_for_records("worker_started", 0))
    policy = world.site.directory / "policy.yaml"
    good = policy.read_bytes()
    policy.write_text("rules: [")
    gateway.wait_for_records("reload_refused", refused + 1)
    os.kill(gateway.workers()[0], signal.SIGKILL)
    gateway.wait_for_records("worker_started", started + 1)
    with world.load() as load:
        load.wait_for_more(100)
    assert load.failures == []
    policy.write_bytes(good)


def test_a_second_start_is_refused_with_a_sentence_while_one_runs(
    running: tuple[World, GatewayProcess],
) -> None:
    _, gateway = running
    ended = subprocess.run(
        [str(Path(sys.executable).parent / "devicetrust"), "serve", "-c", str(gateway.configuration_file)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 2
    assert f"a gateway runs with these keys (process {gateway.process_id})" in ended.stderr
    assert "--take-over" in ended.stderr


def test_an_assertion_stays_used_over_a_restart_and_when_the_supervisor_is_killed(world: World) -> None:
    device = world.site.issue()
    first, second = world.message(1), world.message(2)

    def is_used(body: bytes) -> bool:
        visit = world.post(world.site.browser(device), body)
        return (visit.status, "REPLAYED" in visit.last.text) == (400, True)

    with world.gateway():
        assert world.post(world.site.browser(device), first).status == 200
    gateway = GatewayProcess(world.configuration, world.site.directory)
    try:
        gateway.wait_until_ready()
        assert is_used(first)
        assert world.post(world.site.browser(device), second).status == 200
        workers = gateway.workers()
        os.kill(gateway.process_id, signal.SIGKILL)
        gateway.wait()
        deadline = time.monotonic() + 20
        while any(map(lives, workers)):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        gateway.kill()
    with world.gateway():
        assert is_used(first)
        assert is_used(second)


def lives(process_id: int) -> bool:
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_another_gateway_takes_over_under_load_and_no_request_fails(world: World) -> None:
    device = world.site.issue()
    body = world.message(1)
    first = GatewayProcess(world.configuration, world.site.directory)
    second = None
    try:
        first.wait_until_ready()
        assert world.post(world.site.browser(device), body).status == 200
        with world.load() as load:
            second = GatewayProcess(
                world.configuration,
                world.site.directory,
                arguments=("--take-over", "--workers", "3"),
                name="second",
            )
            started = second.wait_for_records("started", 1)[0]
            assert started["took_over_from"] == first.process_id
            assert first.wait() == 0
            load.wait_for_more(200)
            assert len(second.workers()) == 3
        assert load.failures == []
        visit = world.post(world.site.browser(device), body)
        assert (visit.status, "REPLAYED" in visit.last.text) == (400, True)
        second.stop()
    finally:
        first.kill()
        if second is not None:
            second.kill()


def test_one_that_fails_to_take_over_leaves_the_other_as_it_was(
    running: tuple[World, GatewayProcess],
) -> None:
    world, gateway = running
    broken = json.loads(json.dumps(world.configuration))
    broken["apps"][0]["host"] = "wiki.elsewhere.test"
    file = world.site.directory / "broken.yaml"
    file.write_text(json.dumps(broken))
    with world.load() as load:
        ended = subprocess.run(
            [str(Path(sys.executable).parent / "devicetrust"), "serve", "-c", str(file), "--take-over"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        load.wait_for_more(50)
    assert ended.returncode == 2, ended.stderr
    assert "no certificate covers wiki.elsewhere.test" in ended.stderr
    assert load.failures == []
    assert gateway.is_ready()


def test_a_second_signal_ends_it_at_once(world: World) -> None:
    gateway = GatewayProcess(world.configuration, world.site.directory)
    try:
        gateway.wait_until_ready()
        browser = world.site.browser(None)
        lost: list[Any] = []

        def ask() -> None:
            with contextlib.suppress(Exception):
                lost.append(browser.send(Step("GET", world.site.public_base(WIKI) + "/slow")))

        slow = threading.Thread(target=ask)
        slow.start()
        time.sleep(0.5)
        gateway.terminate()
        time.sleep(0.2)
        gateway.terminate()
        assert gateway.wait(10) == 0
        slow.join(10)
        assert lost == []
    finally:
        gateway.kill()


def test_a_revocation_counts_while_the_gateway_drains(world: World) -> None:
    gateway = GatewayProcess(world.configuration, world.site.directory)
    try:
        gateway.wait_until_ready()
        device = world.site.issue()
        browser = world.site.browser(device)
        assert world.post(browser, world.message(1, PAYROLL), PAYROLL).status == 200
        url = world.site.public_base(PAYROLL)
        cookie = browser.cookies.header_for(urlsplit(url + "/")) or ""
        fields = (f"Host: {PAYROLL}", f"User-Agent: {browser.user_agent}", f"Cookie: {cookie}")
        lines = ("GET /socket HTTP/1.1", *fields, "Connection: Upgrade", "Upgrade: websocket", "", "")
        context = ssl.create_default_context(cadata=world.site.web.pem.decode())
        plain = socket.create_connection(("127.0.0.1", world.site.https_port), timeout=20)
        with context.wrap_socket(plain, server_hostname=PAYROLL) as tunnel:
            tunnel.sendall("\r\n".join(lines).encode())
            assert tunnel.recv(4_096).startswith(b"HTTP/1.1 101")
            gateway.terminate()
            time.sleep(1.5)  # longer than idle connections have
            tunnel.sendall(b"still here\n")
            assert tunnel.recv(100) == b"echo still here\n"
            world.site.revoke(device)
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                assert tunnel.recv(100) == b""
        assert gateway.wait(15) == 0, "nothing is left that runs"
    finally:
        gateway.kill()


def test_probes_are_answered_during_the_start_and_a_signal_ends_it(world: World) -> None:
    """A CRL server that never answers holds the start up for ten seconds."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/x.crl"
        world.configuration["device_trust"]["authorities"][0]["crls"] = [url]
        gateway = GatewayProcess(world.configuration, world.site.directory)
        try:
            silent.settimeout(20)
            connected, _ = silent.accept()
            assert http_get(gateway.metrics_port, "/healthz")[0] == 200, "at once: it lives"
            status, body = http_get(gateway.metrics_port, "/readyz")
            assert (status, b"starting" in body) == (503, True)
            gateway.terminate()
            began = time.monotonic()
            assert gateway.wait(20) == 0
            assert time.monotonic() - began < 8, "sooner than the CRL server is given up"
            connected.close()
        finally:
            gateway.kill()


ACTIVATED = """
import os, sys
for place, given in enumerate(sys.argv[1].split(","), start=3):
    os.dup2(int(given), place, inheritable=True)
os.environ["LISTEN_PID"] = str(os.getpid())
os.execv(sys.argv[2], sys.argv[2:])
"""


def test_systemd_may_open_the_sockets_and_is_told_of_every_state(world: World, tmp_path: Path) -> None:
    told = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    told.bind(str(tmp_path / "n"))
    told.settimeout(30)
    https, metrics = (
        socket.create_server(("127.0.0.1", port)) for port in (world.site.https_port, world.site.metrics_port)
    )
    # High numbers, so that none is in the place of another.
    numbers = [fcntl.fcntl(one.fileno(), fcntl.F_DUPFD, 50) for one in (https, metrics)]
    configuration = {**world.configuration, "listen": {**world.configuration["listen"]}}
    configuration["listen"]["https"] = ["127.0.0.1:1"]  # counts for nothing
    configuration["listen"]["public_port"] = world.site.https_port
    file = world.site.directory / "gateway.yaml"
    file.write_text(json.dumps(configuration))
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", ACTIVATED, ",".join(map(str, numbers))),
            *(str(Path(sys.executable).parent / "devicetrust"), "serve", "-c", str(file)),
        ],
        pass_fds=numbers,
        env={
            **os.environ,
            "LISTEN_FDS": "2",
            "LISTEN_FDNAMES": "https:metrics",
            "NOTIFY_SOCKET": str(tmp_path / "n"),
        },
        stdout=subprocess.DEVNULL,
    )
    try:
        assert told.recv(4_096).decode() == f"READY=1\nMAINPID={process.pid}"
        with world.load() as load:
            load.wait_for_more(50)
        assert load.failures == []
        process.send_signal(signal.SIGHUP)
        assert told.recv(4_096).decode().startswith("RELOADING=1\nMONOTONIC_USEC=")
        assert told.recv(4_096).decode().startswith("READY=1")
        process.terminate()
        assert told.recv(4_096) == b"STOPPING=1"
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.wait()
        told.close()
        https.close()
        metrics.close()


def test_without_descriptors_left_new_connections_are_closed_and_the_others_go_on(
    running: tuple[World, GatewayProcess],
) -> None:
    world, gateway = running
    context = ssl.create_default_context(cadata=world.site.web.pem.decode())
    limits = {worker: resource.prlimit(worker, resource.RLIMIT_NOFILE) for worker in gateway.workers()}
    port = world.site.https_port

    def ask(connection: ssl.SSLSocket) -> int:
        connection.sendall(f"GET /echo HTTP/1.1\r\nHost: {WIKI}\r\n\r\n".encode())
        response = http.client.HTTPResponse(connection)
        response.begin()
        response.read()
        return response.status

    plain = socket.create_connection(("127.0.0.1", port), timeout=10)
    with contextlib.ExitStack() as stack, context.wrap_socket(plain, server_hostname=WIKI) as established:
        assert ask(established) == 200
        for worker, (_, hard) in limits.items():
            highest = max(map(int, os.listdir(f"/proc/{worker}/fd")))  # noqa: PTH208 - numbers, no paths
            resource.prlimit(worker, resource.RLIMIT_NOFILE, (highest + 10, hard))
        crowd = [stack.enter_context(socket.create_connection(("127.0.0.1", port))) for _ in range(100)]
        deadline = time.monotonic() + 10
        while sum(map(is_closed, crowd)) < 50:
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert ask(established) == 200
        assert gateway.metric("devicetrust_workers") == 2, "of whom none can tell its own metrics now"
        assert set(gateway.workers()) == set(limits)
        assert ask(established) == 200
        for worker, limit in limits.items():
            resource.prlimit(worker, resource.RLIMIT_NOFILE, limit)
    with world.load() as load:
        load.wait_for_more(50)
    assert load.failures == []


def is_closed(connection: socket.socket) -> bool:
    try:
        return connection.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True
