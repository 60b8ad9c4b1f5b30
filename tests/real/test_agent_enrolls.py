"""The whole way, all of it real but the desktop: KDC, IWA web app, gateway with its org, and the agent in
processes of its own, its device part at a socket."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import swtpm
from support.agent_process import AgentProcess
from support.connect_proxy import ConnectProxy, connect_proxy
from support.gateway_process import GatewayProcess, gateway_process
from support.iwa_process import IwaProcess
from support.kerberos import CORP, Forests, missing_parts
from support.needed_parts import needs, needs_program
from support.org_world import issue_token
from support.processes import ChildProcess, program
from support.site import Site
from support.swtpm import SwTpm
from support.two_apps import two_apps

from gateway.adapters.store import Store
from gateway.cli.main import run
from gateway.model.org import TokenScope

pytestmark = [
    pytest.mark.real,
    needs("Kerberos", missing_parts),
    needs_program("certutil", "swtpm"),
]


@dataclass(frozen=True)
class Company:
    site: Site
    gateway: GatewayProcess
    forests: Forests
    iwa: IwaProcess
    proxy: ConnectProxy

    @property
    def directory(self) -> Path:
        return self.site.directory

    def computer(self, home: Path, user: str, **settings: str) -> AgentProcess:
        """A computer with this person at it. Its device part is not started."""
        return AgentProcess(
            home,
            f"https://localhost:{self.site.https_port}",
            self.directory / "web-root.pem",
            self.forests.environment(self.forests.corp.log_in(user)),
            **{"HttpProxy": self.proxy.url, **settings},
        )

    def command(self, capsys: pytest.CaptureFixture[str], *words: str) -> Any:
        capsys.readouterr()
        code = run([*words[:2], "-c", str(self.directory / "gateway.yaml"), *words[2:], "--json"])
        out, err = capsys.readouterr()
        assert code == 0, out + err
        return json.loads(out)


@pytest.fixture(scope="module")
def chip() -> Iterator[SwTpm]:
    with swtpm.running() as running:
        yield running


@pytest.fixture(scope="module")
def company(
    kerberos_forests: Forests, chip: SwTpm, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Company]:
    site = Site(tmp_path_factory.mktemp("org"))
    (site.directory / "tpm-vendor.pem").write_bytes(chip.vendor.pem)
    (site.directory / "web-root.pem").write_bytes(site.web.pem)
    names = ["localhost", "*.apps.example.test", "*.mtls.example.test"]
    site.web.issue_server(names).write(site.directory, "server")
    with two_apps(site) as configuration, connect_proxy() as proxy, kerberos_forests.entered():
        configuration["store"] = "sqlite:///org.db"
        configuration["org"]["host"] = "localhost"
        configuration["device_trust"]["authorities"].insert(0, {"name": "own", "builtin": True})
        configuration["device_trust"]["enrollment"] = {
            "create_users": True,
            "max_per_hour": 60,
            "tpm_vendor_authorities": ["tpm-vendor.pem"],
        }
        store = Store.open(f"sqlite:///{site.directory}/org.db")
        token = issue_token(store, TokenScope.ADMIN)
        store.close()
        options: dict[str, Any] = {
            "org_url": f"https://localhost:{site.https_port}",
            "org_ca": site.web.trust_pem,
            "https": site.web.issue_server(["localhost"]),
            "changes": {"org": {"url": f"https://localhost:{site.https_port}", "ca": "org-ca.pem"}},
        }
        iwa_directory = tmp_path_factory.mktemp("iwa")
        with (
            gateway_process(configuration, site.directory) as gateway,
            IwaProcess.running(kerberos_forests, iwa_directory, pretend=False, **options) as iwa,
        ):
            gateway.wait_for_records("org_started", 1)
            passphrase = site.directory / "passphrase"
            passphrase.touch(0o600)
            passphrase.write_text("long enough a phrase")
            root = ["--root-key", str(site.directory / "root.key"), "--root-passphrase-file", str(passphrase)]
            assert run(["ca", "init", "-c", str(site.directory / "gateway.yaml"), *root]) == 0
            iwa.register(token)
            yield Company(site, gateway, kerberos_forests, iwa, proxy)


@pytest.fixture
def alice(company: Company, tmp_path: Path) -> Iterator[AgentProcess]:
    """At ws1, whose device part runs as its administrator started it."""
    keytab = str(company.forests.corp.computer_keytab("ws1"))
    computer = company.computer(tmp_path / "alice", "alice")
    root = company.computer(tmp_path / "root", "alice", DeviceKeytab=keytab)
    socket_path = Path(computer.settings["DeviceSocket"])
    process = ChildProcess(
        "device",
        root.command("--device", "--socket", str(socket_path)),
        tmp_path,
        environment=root.environment,
    )
    process.wait_until(socket_path.exists, "the device part listens")
    yield computer
    process.kill()


def test_a_joined_computer_gets_its_certificate_and_renews_it_inside_and_elsewhere(
    company: Company, alice: AgentProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    said = alice.succeed("--user", "--debug")
    for number in range(1, 6):
        assert f"\n{number}. " in f"\n{said}"
    assert f'"principal": "ws1$@{CORP}"' in said
    assert f'"principal": "alice@{CORP}"' in said
    assert "… (not shown)" in said
    [first] = alice.nss_certificates()
    status = alice.status()
    assert (status["certificate"]["user"], status["good"]) == ("alice@example.test", True)
    assert "is good until" in alice.succeed("verify", "--online")

    # Inside, with a ticket.
    alice.succeed("--user", "--forceRenewal")
    [second] = alice.nss_certificates()
    assert second.serial_number != first.serial_number
    [row] = [
        each
        for each in company.command(capsys, "ca", "list", "--user", "alice@example.test")
        if int(each["serialNumber"], 16) == second.serial_number
    ]
    assert row["replaces"] is not None

    # Elsewhere, without: by the certificate over TLS, and by a proof where TLS is blocked.
    alice.environment["KRB5CCNAME"] = "FILE:/nobody"
    assert "the certificate itself is shown" in alice.succeed("--user", "--forceRenewal")
    [third] = alice.nss_certificates()
    company.proxy.refused.add("est.mtls.example.test")
    try:
        assert "a proof is tried instead of TLS" in alice.succeed("--user", "--forceRenewal")
    finally:
        company.proxy.refused.clear()
    [fourth] = alice.nss_certificates()
    assert len({each.serial_number for each in (first, second, third, fourth)}) == 4


def test_a_key_in_the_tpm_is_attested_and_renewed_as_one(
    company: Company, alice: AgentProcess, chip: SwTpm, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    programs = tmp_path / "programs"  # a computer without tpm2_ptool, and so without a token for browsers
    programs.mkdir()
    for name in ("certutil", "pk12util", "modutil"):
        (programs / name).symlink_to(str(program(name)))
    alice.environment["PATH"] = str(programs)
    alice.write(KeyStorage="tpm", TpmTcti=chip.tcti)
    said = alice.succeed("--user", "--forceRenewal", "--debug")
    assert '"hardware_key": true' in said
    assert "browsers cannot use this key" in said
    assert alice.succeed("--user"), "a second run finds it good"
    keys = list((alice.data / "keys").glob("tpm-*.tpm"))
    assert len(keys) == 1
    alice.environment["KRB5CCNAME"] = "FILE:/nobody"
    elsewhere = alice.succeed("--user", "--forceRenewal", "--debug")
    assert "the certificate itself is shown" in elsewhere
    assert '"hardware_key": true' in elsewhere, "the new key is attested as well"


def test_what_was_revoked_by_mistake_heals_itself(
    company: Company, alice: AgentProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    alice.succeed("--user")
    [revoked] = alice.nss_certificates()
    company.command(
        capsys, "ca", "revoke", "--serial", f"{revoked.serial_number:x}", "--reason", "superseded"
    )
    said = alice.succeed("--user")
    assert f"certificate {revoked.serial_number:x} was revoked, and is removed" in said
    [healed] = alice.nss_certificates()
    assert healed.serial_number != revoked.serial_number
    assert alice.run("verify", "--online").returncode == 0


def test_without_a_ticket_a_revoked_certificate_stays_revoked(
    company: Company, alice: AgentProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    alice.succeed("--user")
    [revoked] = alice.nss_certificates()
    company.command(
        capsys, "ca", "revoke", "--serial", f"{revoked.serial_number:x}", "--reason", "keyCompromise"
    )
    alice.environment["KRB5CCNAME"] = "FILE:/nobody"
    refused = alice.run("--user", "--forceRenewal")
    assert refused.returncode == 3
    assert "refused at step 3: NO_TICKET: the person has no Kerberos ticket" in refused.stderr
    assert "kinit" in refused.stderr


def test_the_trial_of_the_device_part_tells_who_the_computer_is(company: Company, tmp_path: Path) -> None:
    keytab = str(company.forests.corp.computer_keytab("ws1"))
    root = company.computer(tmp_path / "root", "alice", DeviceKeytab=keytab)
    said = root.succeed("--device")
    assert f"vouches for ws1$@{CORP}" in said
    assert "a trial: nothing was changed; 1 of 1 IWA web apps gave a device token" in said
    root.write(DeviceKeytab=str(company.forests.iwa_keytab))
    refused = root.run("--device")
    assert refused.returncode == 1
    assert "has no key of a computer's account" in refused.stderr


def test_without_the_device_part_it_is_said_how_to_set_it_up(company: Company, tmp_path: Path) -> None:
    computer = company.computer(tmp_path / "alice", "alice")
    refused = computer.run("--user")
    assert refused.returncode == 3
    assert "refused at step 2: NO_DEVICE_PART" in refused.stderr
    assert "devicetrust-agent install" in refused.stderr


def test_the_doctor_of_the_computer_sees_iwa_ticket_and_device_part(
    company: Company, alice: AgentProcess, tmp_path: Path
) -> None:
    alice.succeed("--user")
    seen = checks_of(alice.run("doctor", "--json").stdout)
    assert seen["hq-1 is reached"][0] == "ok"
    assert seen["ticket of the person"] == ("ok", f"alice@{CORP} gets one for HTTP/localhost")
    assert seen["computer's part"][0] == "ok"
    assert seen["what the org says of it"] == ("ok", "trusted")
    without = company.computer(tmp_path / "without", "alice")
    without.environment["KRB5CCNAME"] = "FILE:/nobody"
    seen = checks_of(without.run("doctor", "--json").stdout)
    assert seen["ticket of the person"][1].startswith("NO_TICKET: the person has no Kerberos ticket")
    assert "NO_DEVICE_PART: the device part does not answer" in seen["computer's part"][1]
    assert seen["certificate is there"] == ("failed", "there is none")


def test_the_doctor_of_the_iwa_web_app_finds_nothing_where_all_is_well(
    company: Company, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert run(["doctor", "--iwa", str(company.iwa.file), "--json"]) == 0
    seen = checks_of(capsys.readouterr().out)
    assert {state for state, _ in seen.values()} == {"ok"}, seen
    assert seen["org is reached"][1].endswith("tells agents of it: the primary, online")
    assert seen["ticket is accepted by the keytab"] == ("ok", "yes")


def checks_of(output: str) -> dict[str, tuple[str, str]]:
    return {each["name"]: (each["state"], each["seen"]) for each in json.loads(output)["checks"]}
