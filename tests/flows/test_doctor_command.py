"""`devicetrust doctor` and a gateway that runs: all is well, and then one thing after the other is not."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.enrollment import MadeUpIwa
from support.gateway_process import GatewayProcess, gateway_process
from support.org_api import Api, answered
from support.org_values import a_user
from support.org_world import issue_token
from support.pki import Authority
from support.site import MTLS_DOMAIN, Site
from support.tls_inspection import TlsInspection
from support.two_apps import two_apps

from gateway.adapters.store import Store
from gateway.cli.main import run
from gateway.model.org import TokenScope, UserSource

LETS_ALL_IN = {"name": "Open", "default": "allow", "rules": []}


@dataclass
class Doctored:
    site: Site
    gateway: GatewayProcess
    api: Api
    capture: pytest.CaptureFixture[str]

    def seen(self, file: str = "gateway.yaml") -> dict[str, tuple[str, str]]:
        """By the name of a check: its state, and what was seen."""
        code = run(["doctor", "-c", str(self.site.directory / file), "--json"])
        out, err = self.capture.readouterr()
        assert err == ""
        result = json.loads(out)
        failed = [each["name"] for each in result["checks"] if each["state"] == "failed"]
        assert (code, result["result"]) == ((1, "failed") if failed else (0, "ok"))
        assert all(each["do"] for each in result["checks"] if each["state"] in ("failed", "warning"))
        return {each["name"]: (each["state"], each["seen"]) for each in result["checks"]}

    def put(self, path: str, value: dict[str, Any]) -> None:
        answered(self.api, "PUT", path, value)

    def failures(self, file: str = "gateway.yaml") -> dict[str, str]:
        return {name: what for name, (state, what) in self.seen(file).items() if state == "failed"}


@pytest.fixture
def doctored(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Doctored]:
    """A gateway with CA, an IWA web app that reports, and a person of the directory."""
    site = Site(tmp_path)
    with two_apps(site) as configuration:
        configuration["store"] = "sqlite:///org.db"
        configuration["device_trust"]["authorities"].append({"name": "builtin", "builtin": True})
        store = Store.open(f"sqlite:///{tmp_path}/org.db")
        token = issue_token(store, TokenScope.ADMIN)
        with store.begin() as work:
            work.users.add(a_user("alice@example.test", source=UserSource.AD))
        store.close()
        with gateway_process(configuration, tmp_path) as gateway:
            api = Api(site, token)
            passphrase = tmp_path / "passphrase"
            passphrase.touch(0o600)
            passphrase.write_text("long enough a phrase")
            init = [
                "ca",
                "init",
                "-c",
                str(tmp_path / "gateway.yaml"),
                "--root-key",
                str(tmp_path / "root.key"),
            ]
            assert run([*init, "--root-passphrase-file", str(passphrase)]) == 0
            iwa = MadeUpIwa()
            answered(api, "POST", "/api/v1/iwas", iwa.registration())
            answered(api, "POST", "/enroll/iwa/report", {"report": iwa.report()})
            capsys.readouterr()
            yield Doctored(site, gateway, api, capsys)


def test_where_all_is_well_nothing_fails_and_then_one_broken_thing_after_the_other_does(
    doctored: Doctored,
) -> None:
    seen = doctored.seen()
    assert {name: what for name, (state, what) in seen.items() if state == "failed"} == {}
    assert seen["org process"] == ("ok", "answers at its socket")
    assert seen["revocation lists"][1].startswith("16 published")
    assert seen["asks for a device's certificate"] == (
        "ok",
        "of Corp root, Corp devices, MTLS Certificate Authority",
    )
    assert seen["people from the directory"] == ("ok", "1 of 1 are active")
    assert seen["hq-1 reports to the org"][0] == "warning"  # another version
    assert seen["Wiki"] == ("ok", "the default denies devices that are not trusted")

    doctored.put("/api/v1/settings?force=true", {"device_trust_enabled": False})
    assert doctored.failures() == {"global Device Trust switch": "off: every device counts as not trusted"}
    doctored.put("/api/v1/settings", {"device_trust_enabled": True, "read_only": True})
    assert list(doctored.failures()) == ["read-only switch"]
    doctored.put("/api/v1/settings", {"read_only": False})

    (iwa,) = answered(doctored.api, "GET", "/api/v1/iwas")
    answered(doctored.api, "POST", f"/api/v1/iwas/{iwa['id']}/lifecycle/deactivate")
    assert doctored.failures() == {"registered IWA web apps": "none is enabled (hq-1)"}
    answered(doctored.api, "POST", f"/api/v1/iwas/{iwa['id']}/lifecycle/activate")

    (doctored.site.directory / "policy.yaml").write_text(yaml.safe_dump(LETS_ALL_IN))
    doctored.gateway.reload()
    wrong = "no active rule denies devices that are not trusted"
    for _ in range(50):  # the org takes it over a moment after the workers
        if failures := doctored.failures():
            break
    assert failures == {"Wiki": wrong, "Payroll": wrong}


def test_what_listens_in_the_gateways_place_is_found_and_so_is_a_gateway_that_is_down(
    doctored: Doctored,
) -> None:
    names = ["sso.example.test", f"*.{MTLS_DOMAIN}"]
    other = Authority.create_root("Inspection root").issue_server(names)
    directory = doctored.site.directory
    port = doctored.site.https_port
    with TlsInspection.running(port, other, directory) as inspection:
        text = (directory / "gateway.yaml").read_text()
        (directory / "inspected.yaml").write_text(text.replace(f":{port}", f":{inspection.port}"))
        failures = doctored.failures("inspected.yaml")
    shown = "another one than those of tls.certificates is shown, issued by Inspection root"
    assert len([each for each in failures.values() if each == shown]) == 3
    assert failures["asks for a device's certificate"].startswith("no, or without naming an authority")
    doctored.gateway.stop()
    failures = doctored.failures()
    assert failures.pop("org process").endswith("Connection refused")
    assert set(failures.values()) == {"Connection refused"}
    assert len(failures) == 3
    _check_what_people_read(doctored)


def _check_what_people_read(doctored: Doctored) -> None:
    """Groups in the order of the chapter, and below what failed what to do."""
    code = run(["doctor", "-c", str(doctored.site.directory / "gateway.yaml")])
    lines = doctored.capture.readouterr().out.splitlines()
    assert code == 1
    assert [line for line in lines if line and not line.startswith(" ")][:-1] == [
        "IWA web app",
        "Enablement",
        "Registration task",
        "Certificate",
        "mTLS handshake",
        "Sign-on policy",
        "System Log",
    ]
    at = next(number for number, line in enumerate(lines) if line.startswith("  failed  org process: "))
    assert lines[at + 1].startswith("          → start the gateway: devicetrust serve -c ")


def test_a_configuration_that_cannot_be_read_is_no_result(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["doctor", "-c", str(tmp_path / "nowhere.yaml")]) == 2
    assert "nowhere.yaml" in capsys.readouterr().err


def test_without_a_store_the_files_count_and_a_listener_behind_a_load_balancer_is_looked_at_all_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    site = Site(tmp_path)
    with two_apps(site) as configuration:
        configuration["listen"]["proxy_protocol"] = True
        configuration["trusted_proxies"] = ["127.0.0.1"]
        (tmp_path / "open.yaml").write_text(yaml.safe_dump(LETS_ALL_IN))
        configuration["apps"][1]["policy"] = "open.yaml"
        with gateway_process(configuration, tmp_path) as gateway:
            doctored = Doctored(site, gateway, Api(site, ""), capsys)
            seen = doctored.seen()
    assert seen["org process"][0] == "skipped"
    assert seen["certificate of sso.example.test"][0] == "ok"
    assert seen["asks for a device's certificate"] == ("ok", "of Corp root, Corp devices")
    assert seen["Wiki"][0] == "ok"
    assert seen["Payroll"] == ("failed", "no active rule denies devices that are not trusted")
    seen = doctored.seen()  # and with nobody there
    assert seen["certificate of sso.example.test"][0] == "skipped"
