"""An IWA web app and an organization that both run: it is registered, reports itself, and agents are told of
it."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.connect_proxy import connect_proxy
from support.gateway_process import GatewayProcess, gateway_process
from support.iwa_process import IwaProcess
from support.kerberos import Forests, missing_parts
from support.needed_parts import needs
from support.org_api import Api, answered
from support.org_world import issue_token
from support.processes import http_get
from support.site import Site
from support.two_apps import two_apps

from gateway.adapters.store import Store
from gateway.model.org import TokenScope

pytestmark = [pytest.mark.real, needs("Kerberos", missing_parts)]
_PROGRAM = str(Path(sys.executable).parent / "devicetrust")
_SECONDS = 10.0
BINDING = {"nonce": "nonce-1", "key_thumbprint": "k" * 43}


@dataclass
class Organization:
    site: Site
    gateway: GatewayProcess
    token: str

    @property
    def url(self) -> str:
        return f"https://localhost:{self.site.https_port}"

    def iwas(self) -> list[dict[str, Any]]:
        """As agents are told."""
        found: list[dict[str, Any]] = answered(Api(self.site, self.token), "GET", "/enroll/discovery")["iwas"]
        return found

    def devicetrust_iwa(self, *arguments: str) -> str:
        command = [_PROGRAM, "iwa", *arguments, "-c", str(self.gateway.configuration_file)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout


@pytest.fixture
def organization(tmp_path: Path) -> Iterator[Organization]:
    """Its host is `localhost`, which needs no name server."""
    site = Site(tmp_path)
    names = ["localhost", "*.apps.example.test", "*.mtls.example.test"]
    site.web.issue_server(names).write(site.directory, "server")
    with two_apps(site) as configuration:
        configuration["store"] = "sqlite:///var/org.db"
        configuration["org"]["host"] = "localhost"
        store = Store.open(f"sqlite:///{tmp_path}/var/org.db")
        token = issue_token(store, TokenScope.ADMIN)
        store.close()
        with gateway_process(configuration, site.directory) as gateway:
            gateway.wait_for_records("org_started", 1)
            yield Organization(site, gateway, token)


def eventually(what: str, is_so: Any) -> None:
    deadline = time.monotonic() + _SECONDS
    while not is_so():
        assert time.monotonic() < deadline, f"not within {_SECONDS:g} s: {what}"
        time.sleep(0.05)


def test_it_is_registered_while_it_runs_and_agents_are_told_of_it(
    organization: Organization, kerberos: Forests, tmp_path: Path
) -> None:
    root = organization.site.web.trust_pem
    options: dict[str, Any] = {"org_url": organization.url, "org_ca": root}
    with IwaProcess.running(kerberos, tmp_path / "iwa", pretend=False, **options) as iwa:
        status, body = http_get(iwa.metrics_port, "/readyz")
        assert (status, json.loads(body)["status"]) == (503, "not ready")
        said = iwa.register(organization.token)
        assert said["audience"] == "urn:devicetrust:org:acme"
        eventually("online", lambda: organization.iwas() and organization.iwas()[0]["online"])
        (told,) = organization.iwas()
        assert told == {"id": said["id"], "name": "hq-1", "url": iwa.url, "primary": True, "online": True}
        assert http_get(iwa.metrics_port, "/readyz")[0] == 200
        ticket = kerberos.negotiate(kerberos.corp.log_in_computer("ws1"), iwa.host)
        assert iwa.post("/device", ticket, **BINDING).code == "ok"
        (listed,) = json.loads(organization.devicetrust_iwa("list", "--json"))
        assert (listed["online"], listed["key_id"]) == (True, said["key_id"])
        assert listed["health"]["status"] == "ok"
        assert listed["realms"] == ["CORP.EXAMPLE.TEST"]
        assert 'devicetrust_iwa_reports_total{result="ok"} 1.0' in iwa.metrics()
        # Once more, as with a new address: it stays the one that it was.
        assert iwa.register(organization.token)["id"] == said["id"]
        organization.devicetrust_iwa("disable", "hq-1")
        assert organization.iwas() == []
        iwa.stop()


def test_it_goes_out_by_the_proxy_of_its_environment(
    organization: Organization, kerberos: Forests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = organization.site.web.trust_pem
    iwa = IwaProcess(kerberos, tmp_path / "iwa", org_url=organization.url, org_ca=root)
    with connect_proxy() as proxy:
        monkeypatch.setenv("https_proxy", proxy.url.removeprefix("http://"))
        iwa.register(organization.token)
        assert proxy.asked == [organization.url.removeprefix("https://")]
        monkeypatch.setenv("no_proxy", "localhost")
        iwa.register(organization.token)
        assert len(proxy.asked) == 1
    monkeypatch.delenv("no_proxy")
    monkeypatch.setenv("https_proxy", "socks5://127.0.0.1:9")
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text(organization.token)
    done = iwa.command("register", "--token-file", str(token))
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done.stderr
    assert "cannot be reached: " in done.stderr


def test_what_keeps_it_from_being_registered_is_said(
    organization: Organization, kerberos: Forests, tmp_path: Path
) -> None:
    root = organization.site.web.trust_pem
    iwa = IwaProcess(kerberos, tmp_path / "iwa", org_url=organization.url, org_ca=root)
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("dtk_wrong")
    done = iwa.command("register", "--token-file", str(token))
    assert done.returncode == 1
    assert "answers 401: Invalid token provided" in done.stderr
    untrusted = IwaProcess(kerberos, tmp_path / "other", org_url=organization.url)
    done = untrusted.command("register", "--token-file", str(token))
    assert done.returncode == 1
    assert "certificate verify failed" in done.stderr
    done = iwa.command("serve", "--check")
    assert done.returncode == 1
    assert "is not registered" in done.stderr
    assert "devicetrust iwa register" in done.stderr
