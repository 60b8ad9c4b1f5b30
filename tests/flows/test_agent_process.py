"""The agent in processes of its own against a gateway that runs: enroll, renew, heal, and be killed."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from support.agent_process import AgentProcess
from support.connect_proxy import ConnectProxy, connect_proxy
from support.gateway_process import GatewayProcess, gateway_process
from support.needed_parts import needs_program
from support.site import Site
from support.two_apps import two_apps

from gateway.cli.main import run

pytestmark = needs_program("certutil")


@dataclass(frozen=True)
class Running:
    """An org with an authority, and a proxy that knows its names."""

    directory: Path
    site: Site
    gateway: GatewayProcess
    proxy: ConnectProxy

    def ca(self, *words: str, capsys: pytest.CaptureFixture[str]) -> Any:
        capsys.readouterr()
        code = run(["ca", words[0], "-c", str(self.directory / "gateway.yaml"), *words[1:], "--json"])
        out, err = capsys.readouterr()
        assert code == 0, out + err
        return json.loads(out)

    def agent(self, home: Path, **settings: str) -> AgentProcess:
        org_url = self.site.public_base("sso.example.test")
        ca_file = self.directory / "web-root.pem"
        return AgentProcess(home, org_url, ca_file, **{"HttpProxy": self.proxy.url, **settings})


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    site = Site(tmp_path_factory.mktemp("org"))
    directory = site.directory
    (directory / "web-root.pem").write_bytes(site.web.pem)
    with two_apps(site) as configuration, connect_proxy() as proxy:
        configuration["store"] = "sqlite:///org.db"
        configuration["device_trust"]["authorities"].insert(0, {"name": "own", "builtin": True})
        with gateway_process(configuration, directory) as gateway:
            yield Running(directory, site, gateway, proxy)


@pytest.fixture
def ca(running: Running, capsys: pytest.CaptureFixture[str]):
    def command(*words: str) -> Any:
        return running.ca(*words, capsys=capsys)

    if not (running.directory / "root.key").exists():
        passphrase = running.directory / "passphrase"
        passphrase.touch(0o600)
        passphrase.write_text("long enough a phrase")
        root = ("--root-key", str(running.directory / "root.key"), "--root-passphrase-file", str(passphrase))
        command("init", *root)
    return command


@pytest.fixture
def enrolled(running: Running, ca, tmp_path: Path, request: pytest.FixtureRequest) -> AgentProcess:
    """A computer of its own for this test, with a certificate by a code."""
    agent = running.agent(tmp_path / "home")
    agent.succeed("--user", "--code", code_for(ca, device_of(request)))
    return agent


def device_of(request: pytest.FixtureRequest) -> str:
    return f"ws-{abs(hash(request.node.name)) % 100_000}"


def code_for(ca, device: str) -> str:
    made = ca("enrollment-code", "--device", device, "--user", "alice@example.test", "--create")
    return str(made["code"])


def serials(ca, device: str) -> dict[int, str]:
    return {int(row["serialNumber"], 16): row["status"] for row in ca("list", "--device", device)}


def test_a_code_brings_a_certificate_into_the_browsers_database(running: Running, ca, tmp_path: Path) -> None:
    agent = running.agent(tmp_path / "home")
    code = code_for(ca, "ws-first")
    assert agent.run("verify").returncode == 1
    said = agent.succeed("--user", "--code", code, "--debug")
    for line in ("1. Ask the org", "4. Get the certificate", "5. Install the certificate"):
        assert line in said
    assert code not in said
    assert '"nonce": "' in said
    [certificate] = agent.nss_certificates()
    assert serials(ca, "ws-first") == {certificate.serial_number: "ISSUED"}
    assert "ws-first" in certificate.subject.rfc4514_string()
    status = agent.status()
    assert status["good"]
    assert status["certificate"]["user"] == "alice@example.test"
    assert status["certificate"]["stores"] == [str(agent.nss)]
    assert agent.run("verify").returncode == 0
    assert "is good until" in agent.succeed("verify", "--online")
    assert agent.run("--user", "--code", code).returncode == 1  # good once
    again = agent.succeed("--user")
    assert "and is renewed from" in again
    assert agent.nss_certificates() == [certificate]
    mode = {path.name: path.stat().st_mode & 0o777 for path in agent.data.rglob("*") if path.is_file()}
    assert set(mode.values()) == {0o600}, mode


def test_a_renewal_goes_over_the_certificate_itself(
    running: Running, ca, enrolled: AgentProcess, request: pytest.FixtureRequest
) -> None:
    [first] = enrolled.nss_certificates()
    asked = len(running.proxy.asked)
    said = enrolled.succeed("--user", "--forceRenewal")
    assert "the certificate itself is shown" in said
    assert f"est.mtls.example.test:{running.site.https_port}" in running.proxy.asked[asked:]
    [second] = enrolled.nss_certificates()
    assert second.serial_number != first.serial_number
    assert set(serials(ca, device_of(request))) == {first.serial_number, second.serial_number}
    assert len(list((enrolled.data / "keys").iterdir())) == 1
    assert enrolled.status()["certificate"]["serialNumber"] == f"{second.serial_number:x}"


def test_a_revoked_certificate_needs_kerberos_or_a_code_and_says_so(
    running: Running, ca, enrolled: AgentProcess, request: pytest.FixtureRequest
) -> None:
    [revoked] = enrolled.nss_certificates()
    ca("revoke", "--serial", f"{revoked.serial_number:x}", "--reason", "keyCompromise")
    refused = enrolled.run("--user", "--forceRenewal")
    assert refused.returncode == 3, refused
    assert f"certificate {revoked.serial_number:x} was revoked: a new one is needed" in refused.stdout
    assert "NO_IWA: the organization has no IWA web app yet" in refused.stderr
    assert enrolled.nss_certificates() == [revoked]
    assert enrolled.run("verify", "--online").returncode == 1
    enrolled.succeed("--user", "--code", code_for(ca, device_of(request)))
    [healed] = enrolled.nss_certificates()
    assert serials(ca, device_of(request)) == {
        revoked.serial_number: "REVOKED",
        healed.serial_number: "ISSUED",
    }


def test_a_certificate_on_hold_waits_for_its_release(running: Running, ca, enrolled: AgentProcess) -> None:
    [held] = enrolled.nss_certificates()
    ca("revoke", "--serial", f"{held.serial_number:x}", "--reason", "certificateHold")
    refused = enrolled.run("--user")
    assert refused.returncode == 1
    assert "ON_HOLD" in refused.stderr
    ca("release", "--serial", f"{held.serial_number:x}")
    assert "is good until" in enrolled.succeed("--user")
    assert enrolled.nss_certificates() == [held]


def test_what_was_deleted_in_the_browser_comes_back(running: Running, enrolled: AgentProcess) -> None:
    [certificate] = enrolled.nss_certificates()
    enrolled.delete_from_nss(enrolled.nicknames()[0])
    assert enrolled.nss_certificates() == []
    enrolled.succeed("--user")
    assert enrolled.nss_certificates() == [certificate]


def test_off_the_network_a_good_certificate_is_enough(running: Running, enrolled: AgentProcess) -> None:
    enrolled.write(HttpProxy="http://127.0.0.1:9")
    assert "; the certificate is good until" in enrolled.succeed("--user")
    assert enrolled.succeed("--user", "--scheduled") == ""  # not due
    status = enrolled.status()
    assert (status["failures"], status["refusal"]) == (1, None)


def test_a_run_that_is_killed_costs_nothing(running: Running, ca, enrolled: AgentProcess) -> None:
    """With SIGKILL, at whatever it does when a file appears; the unit test has every step."""
    certificates = enrolled.data / "certificates"
    moments = [
        lambda: len(list((enrolled.data / "keys").glob("*.key"))) > 1,
        lambda: len(list(certificates.glob("*.pem"))) > 1,
    ]
    for moment in moments:
        [before] = enrolled.nss_certificates()
        assert enrolled.run_until(moment, "--user", "--forceRenewal")
        assert before in enrolled.nss_certificates()
        enrolled.succeed("--user")
        [after] = enrolled.nss_certificates()
        assert enrolled.status()["certificate"]["serialNumber"] == f"{after.serial_number:x}"
        assert len(list((enrolled.data / "keys").iterdir())) == 1
        assert len(list(certificates.iterdir())) == 1


def test_two_runs_at_once_are_one(running: Running, enrolled: AgentProcess) -> None:
    import fcntl

    with (enrolled.data / "lock").open("r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        busy = enrolled.run("--user")
    assert (busy.returncode, busy.stderr) == (4, "devicetrust-agent: another run is at work\n")


def test_tls_that_is_opened_on_the_way_is_named(running: Running, enrolled: AgentProcess) -> None:
    enrolled.write(CaFile="")
    before = x509.load_pem_x509_certificate(next((enrolled.data / "certificates").iterdir()).read_bytes())
    said = enrolled.succeed("--user", "--debug")
    assert "the certificate of sso.example.test is not trusted" in said
    assert enrolled.nss_certificates() == [before]


def test_uninstall_leaves_nothing_of_it(running: Running, ca, enrolled: AgentProcess) -> None:
    said = enrolled.succeed("uninstall")
    assert "certificate in the database of Chromium" in said
    assert enrolled.nss_certificates() == []
    assert not enrolled.data.exists()
    assert not enrolled.configuration.exists()
