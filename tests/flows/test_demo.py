"""The demo, tried as a newcomer tries it: its verb, the lines that it prints, and what its apps check."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import aiohttp
import pytest
from cryptography import x509
from support.needed_parts import needs, needs_program

from gateway.agent.refusal import LocalRefusal
from gateway.cli import main
from gateway.cli.demo_parts import running as running_module
from gateway.cli.demo_parts import site, walk
from gateway.cli.demo_parts.idp import SignOnRequest
from gateway.cli.demo_parts.instructions import kerberos_hint
from gateway.cli.demo_parts.kdc import Missing, missing
from gateway.cli.demo_parts.pki import web_server
from gateway.cli.demo_parts.processes import DemoFailed
from gateway.cli.demo_parts.proxy import target_port
from gateway.cli.demo_parts.running import Demo, running
from gateway.model.reasons import DEFAULT_RULE, MessageReason, TicketReason, TrustReason

DEVICETRUST = (sys.executable, "-c", "from gateway.cli.main import main; main()")

needs_kerberos = needs("Kerberos", lambda: list(missing().packages))


def demo_command(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [*DEVICETRUST, "demo", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)


# --once


@needs_kerberos
def test_once_proves_every_case_says_so_and_keeps_its_files_when_told_to(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    done = demo_command("--once", "--keep", str(kept))
    assert (done.returncode, done.stderr) == (0, ""), done.stdout
    *lines, summary = done.stdout.splitlines()
    assert [line[0] for line in lines] == ["✓"] * len(walk.cases(kerberos=True))
    for case, code in (
        ("domain-joined computer, by Kerberos", "forwarded"),
        ("its renewal, forced", "forwarded"),
        ("stolen user token, the thief's key", "KEY_MISMATCH"),
        ("a person's ticket as a computer's", "NOT_A_COMPUTER"),
        ("revoked, and off the company network", "no domain controller can be reached"),
        ("back on it: the agent heals by itself", "forwarded"),
        ("user suspended: gets no certificate", "USER_INACTIVE"),
    ):
        assert [code in line for line in lines if line.startswith(f"✓ {case}")] == [True], case
    assert summary.startswith(f"{len(lines)} of {len(lines)} as expected")
    assert (kept / "gateway.yaml").exists()
    assert kept.stat().st_mode & 0o077 == 0


def test_once_as_json_names_outcomes_and_the_reasons_of_the_contract() -> None:
    """Without a domain, as where Kerberos is not installed."""
    done = demo_command("--once", "--json", "--no-kerberos")
    assert done.returncode == 0, done.stdout
    summary = json.loads(done.stdout)
    assert summary["result"] == "ok"
    reasons = {*TrustReason, *MessageReason, *TicketReason, DEFAULT_RULE, *LocalRefusal}
    seen = {(case["seen"]["outcome"], case["seen"]["reason"]) for case in summary["cases"]}
    assert {reason for outcome, reason in seen if outcome in ("locked", "refused")} <= reasons
    assert {
        ("locked", "NO_CERTIFICATE"),
        ("locked", "REVOKED"),
        ("locked", "DEVICE_DEACTIVATED"),
        ("locked", "USER_DEACTIVATED"),
        ("closed", "REVOKED"),
        ("logged", "once each"),
        ("verified", "no findings"),
        ("healthy", "nothing failed"),
        ("refused", "NO_IWA"),
        ("refused", "SIGNATURE_INVALID"),
        ("refused", "REPLAYED"),
        ("refused", "TICKET_NOT_YOURS"),
    } <= seen
    assert all(case["passed"] for case in summary["cases"])
    notes = {case["name"]: case["seen"]["note"] for case in summary["cases"]}
    assert len(notes) == len(walk.cases(kerberos=False))
    assert notes["revoked: no way back without the domain"] == "the organization has no IWA web app yet"
    in_force = r"in force in 2 workers after \d+ ms"
    assert re.fullmatch(in_force, notes["lost device, revoked a moment ago"])
    closed = notes["a connection that was open when revoked"]
    assert re.fullmatch(in_force + r"; closed \d+ ms after the call began", closed)


def test_once_fails_when_the_policy_lets_untrusted_devices_in(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    everybody = {"name": "Everybody", "rules": [{"name": "Everybody", "access": "allow"}]}
    monkeypatch.setattr(site, "POLICY", everybody)
    monkeypatch.setattr(walk, "PATIENCE_SECONDS", 1.0)  # it would wait in vain
    with signal_handlers_kept():
        status = main.run(["demo", "--once", "--no-kerberos"])
    printed = capsys.readouterr().out
    assert status == main.EXIT_FAILED
    wrong = [line for line in printed.splitlines() if line.startswith("✗")]
    assert any("SAML, no certificate" in line and "expected: locked NO_CERTIFICATE" in line for line in wrong)


# By hand


@dataclass(frozen=True, slots=True)
class ShownDemo:
    """A demo that waits for a person, and what it printed for them."""

    process: subprocess.Popen[str]
    lines: list[str]
    directory: Path

    def after(self, heading: str) -> str:
        """The line below a heading, as one would copy it."""
        return next(self.lines[n + 1].strip() for n, line in enumerate(self.lines) if heading in line)

    def beside(self, name: str) -> str:
        """The line of that name among those that are aligned."""
        found = (re.fullmatch(rf" +{re.escape(name)}  +(\S.*)", line) for line in self.lines)
        return next(line[1] for line in found if line is not None)


@pytest.fixture(scope="module")
def shown() -> Iterator[ShownDemo]:
    process = subprocess.Popen(
        [*DEVICETRUST, "demo"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        lines: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip("\n"))
            if line.startswith("Ctrl-C"):
                break
        found = re.search(r"removes (\S+)\.$", lines[-1])
        assert found is not None, "\n".join(lines)
        yield ShownDemo(process, lines, Path(found[1]))
    finally:
        process.kill()
        process.communicate()


def run_as_printed(line: str) -> str:
    done = subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done
    return done.stdout


def answer_to(line: str) -> Any:
    return json.loads(run_as_printed(line))


@needs_program("curl")
def test_the_printed_curl_lines_work_as_printed(shown: ShownDemo) -> None:
    trusted = shown.after("A trusted device")
    welcome = answer_to(trusted)
    assert (welcome["user"], welcome["device_trust"]) == ("alice@example.test", "trusted")
    assert welcome["headers"]["X-Device-Trust"] == "trusted"
    assert answer_to(shown.after("An untrusted device"))["reason"] == "NO_CERTIFICATE"
    assert answer_to(trusted.replace("alice.pem", "corp.pem"))["device_trust"] == "trusted"
    for certificate, reason in (
        ("expired", "EXPIRED"),
        ("foreign", "UNKNOWN_ISSUER"),
        ("bob", "USER_MISMATCH"),
    ):
        answer = answer_to(trusted.replace("alice.pem", f"{certificate}.pem"))
        assert answer["reason"] == reason


@needs_program("curl")
def test_what_is_revoked_as_printed_is_locked_when_the_call_has_answered(shown: ShownDemo) -> None:
    trusted, revoke = shown.after("A trusted device"), shown.after("Revoke the certificate")
    for step, status, outcome in (
        ("hold", "HELD", ("reason", "REVOKED")),
        ("release", "ISSUED", ("device_trust", "trusted")),
        ("revoke", "REVOKED", ("reason", "REVOKED")),
    ):
        done = answer_to(re.sub("/revoke$", f"/{step}", revoke))
        assert done["certificate"]["status"] == status
        assert (len(done["enforcement"]["workers"]), done["enforcement"]["missing"]) == (2, [])
        assert answer_to(trusted)[outcome[0]] == outcome[1]


@needs_program("curl")
def test_a_new_computer_enrolls_as_printed_and_signs_on(shown: ShownDemo) -> None:
    enroll = shown.after("A new computer enrolls")
    said = run_as_printed(enroll)
    for step in ("1. Ask the org", "4. Get the certificate", "5. Install the certificate"):
        assert step in said
    status = shown.after("What its agent has then")
    assert "alice@example.test" in run_as_printed(status)
    doctor = shown.after(status)
    examined = subprocess.run(["sh", "-c", doctor], capture_output=True, text=True, timeout=60, check=False)
    assert "trial handshake with the certificate: TLSv1.3" in examined.stdout, examined
    sign_on = shown.after(doctor)
    assert answer_to(sign_on)["device_trust"] == "trusted"
    assert "is installed" in run_as_printed(status.replace(" status", " --user --forceRenewal"))
    assert answer_to(sign_on)["device_trust"] == "trusted"


@needs_kerberos
@needs_program("curl")
def test_a_computer_of_the_domain_enrolls_as_printed_and_signs_on(shown: ShownDemo) -> None:
    enroll = shown.after("A computer of the domain")
    said = run_as_printed(enroll)
    assert '"principal": "ws1$@CORP.EXAMPLE.TEST"' in said
    assert '"principal": "alice@CORP.EXAMPLE.TEST"' in said
    assert answer_to(shown.after(enroll))["device_trust"] == "trusted"


@needs_program("curl", "openssl")
def test_the_other_lines_work_as_printed(shown: ShownDemo) -> None:
    devices = answer_to(shown.beside("Devices, by API"))
    assert "Alice's laptop" in {device["profile"]["displayName"] for device in devices}
    assert len(answer_to(shown.beside("Log, by API"))) == 3
    assert len(run_as_printed(shown.beside("Log")).splitlines()) == 10
    assert " no findings; head " in run_as_printed(shown.beside("Is it unchanged?"))
    assert "Alice's laptop" in run_as_printed(shown.beside("Certificates"))
    checked = subprocess.run(
        ["sh", "-c", shown.beside("What is wrong?")], capture_output=True, text=True, timeout=60, check=False
    )
    assert checked.returncode == 0, checked.stdout
    assert "asks for a device's certificate" in checked.stdout
    assert "AutoSelectCertificateForUrls" in run_as_printed(shown.beside("Policy for browsers"))
    assert "MTLS Certificate Authority" in run_as_printed(shown.beside("CRL"))
    assert "alice.pem: " in run_as_printed(shown.beside("OCSP"))


@pytest.mark.real
@needs_program("chromium", "certutil", "pk12util")
def test_chromium_starts_as_printed_and_trusts_the_site(shown: ShownDemo) -> None:
    line = shown.after("In Chromium")
    done = subprocess.run(
        ["sh", "-c", f"{line} --headless --dump-dom"], capture_output=True, text=True, timeout=60, check=False
    )
    assert "Sign in to Team wiki" in done.stdout, done.stderr[-2000:]
    database = f"sql:{shown.directory}/chromium/.pki/nssdb"
    keys = subprocess.run(["certutil", "-d", database, "-K"], capture_output=True, text=True, check=False)
    assert "alice" in keys.stdout, keys


def test_keys_are_for_their_owner_alone_and_listeners_on_loopback(shown: ShownDemo) -> None:
    assert shown.directory.stat().st_mode & 0o077 == 0
    private = [
        *shown.directory.glob("*.key"),
        *shown.directory.glob("*.p12"),
        shown.directory / "alice.pem",
        shown.directory / "api.conf",
    ]
    assert len(private) > 5
    assert {file.stat().st_mode & 0o077 for file in private} == {0}
    ports = {int(port) for line in shown.lines for port in re.findall(r":(\d{4,5})\b", line)}
    for port in ports:
        assert not connects("127.0.0.2", port), f"{port} listens on more than 127.0.0.1"


def test_ctrl_c_ends_everything_with_0_and_leaves_nothing(shown: ShownDemo) -> None:
    """The last one of this fixture."""
    ports = {int(port) for line in shown.lines for port in re.findall(r":(\d{4,5})\b", line)}
    assert all(connects("127.0.0.1", port) for port in ports)
    os.kill(shown.process.pid, signal.SIGINT)
    output, _ = shown.process.communicate(timeout=30)
    assert (shown.process.returncode, output) == (0, "")
    assert not shown.directory.exists()
    assert [port for port in ports if connects("127.0.0.1", port)] == []


def test_a_directory_that_is_to_be_kept_must_be_new(tmp_path: Path) -> None:
    (tmp_path / "precious").touch()
    done = demo_command("--once", "--keep", str(tmp_path))
    assert (done.returncode, done.stdout) == (2, "")
    assert "is not empty" in done.stderr


def test_a_port_that_was_asked_for_and_is_taken_is_an_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = demo_command("--once", "--port", str(port))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == f"devicetrust: port {port} is taken\n"


def test_json_without_once_is_an_error() -> None:
    done = demo_command("--json")
    assert done.returncode == 2
    assert "--json is for --once" in done.stderr


# Its parts


@pytest.fixture
async def demo(tmp_path: Path) -> AsyncIterator[Demo]:
    async with running(tmp_path, None, kerberos=False) as started:
        yield started


async def test_a_gateway_that_does_not_start_is_reported_with_its_last_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = (sys.executable, "-c", "import sys; print('no such luck'); sys.exit(3)")
    monkeypatch.setattr(running_module, "DEVICETRUST", broken)
    with pytest.raises(DemoFailed, match=r"ended with 3\nno such luck"):
        async with running(tmp_path, None, kerberos=False):
            pytest.fail("it is not ready")


async def test_the_apps_check_everything_themselves(demo: Demo) -> None:
    """Past the gateway, straight to the wiki: a forged message, then a true one without a statement."""
    direct = f"http://127.0.0.1:{demo.addresses.upstream_ports['wiki']}{site.WIKI.assertion_path}"
    request = SignOnRequest(demo.registered(site.WIKI))
    true = demo.identity_provider.message(request, site.ALICE)
    for_payroll = SignOnRequest(demo.registered(site.PAYROLL))
    async with aiohttp.ClientSession() as client:
        forged = {"SAMLResponse": true["SAMLResponse"][:-400] + "AAAA" + true["SAMLResponse"][-396:]}
        for fields, why in (
            (forged, "MALFORMED|SIGNATURE_INVALID"),
            (demo.identity_provider.message(for_payroll, site.ALICE), "MALFORMED"),
            (true, "there is no X-Device-Trust-Assertion"),
            (true, "REPLAYED"),
        ):
            async with client.post(direct, data=fields) as answer:
                said = await answer.json()
                assert answer.status == 403
                assert re.fullmatch(why, said["detail"]), said


async def test_the_identity_provider_answers_registered_apps_at_registered_addresses_only(demo: Demo) -> None:
    origin = demo.addresses.idp_origin
    wiki_home = demo.addresses.origin(site.WIKI.host) + "/"
    browser = demo.browser("nobody")
    sign_in = await browser.open(wiki_home)
    assert sign_in.status == 200
    assert sign_in.step.url.startswith(f"{origin}/saml?SAMLRequest=")
    stranger = {"wa": "wsignin1.0", "wtrealm": "https://evil.example.test/"}
    async with aiohttp.ClientSession() as client:
        for path in (
            f"/ws-fed?{urlencode(stranger)}",
            "/ws-fed?wa=wsignout1.0",
            "/saml",
            "/saml?SAMLRequest=AAAA",
        ):
            async with client.get(origin + path) as answer:
                assert answer.status == 400, path
        async with client.post(f"{origin}/launch/wiki", data={"user": "mallory"}) as answer:
            assert answer.status == 400
        for path in ("/launch/nothing", "/form/wiki/mallory", "/form/nothing/alice@example.test"):
            async with client.get(origin + path) as answer:
                assert answer.status == 404, path


@pytest.mark.parametrize(
    ("request_line", "port"),
    [
        (b"CONNECT est.mtls.localhost:8443 HTTP/1.1", 8443),
        (b"CONNECT LOCALHOST:1 HTTP/1.1", 1),
        (b"CONNECT example.com:443 HTTP/1.1", None),
        (b"CONNECT notlocalhost:443 HTTP/1.1", None),
        (b"CONNECT localhost HTTP/1.1", None),
        (b"CONNECT localhost:123456 HTTP/1.1", None),
        (b"GET http://localhost/ HTTP/1.1", None),
        (b"\xff", None),
    ],
)
def test_the_web_proxy_leads_to_this_machine_only(request_line: bytes, port: int | None) -> None:
    assert target_port(request_line) == port


def test_what_is_missing_for_kerberos_is_said_with_the_lines_that_install_it() -> None:
    said = kerberos_hint(Missing(("krb5-kdc", "libkrb5-dev"), gssapi=True))
    assert said is not None
    assert "apt-get install krb5-kdc libkrb5-dev && " in said
    checkout = Path(__file__).parents[2]
    assert said.endswith(f"-m pip install -e '{checkout}[agent]'")
    only_packages = kerberos_hint(Missing(("krb5-kdc",), gssapi=False))
    assert only_packages is not None
    assert only_packages.endswith(": apt-get install krb5-kdc")
    assert kerberos_hint(Missing()) is None


def test_the_web_root_can_vouch_for_localhost_only() -> None:
    root_pem, _ = web_server(["*.apps.localhost"])
    root = x509.load_pem_x509_certificate(root_pem)
    constraints = root.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    assert constraints.value.permitted_subtrees == [x509.DNSName("localhost")]


# Means


def until(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
    return True


def connects(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 2.0):
            return True
    except OSError:
        return False


@contextmanager
def signal_handlers_kept() -> Iterator[None]:
    """The verb sets handlers for its loop; the test run's own come back after it."""
    kept = {n: signal.getsignal(n) for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
