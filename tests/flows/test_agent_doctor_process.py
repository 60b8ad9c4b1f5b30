"""`devicetrust-agent doctor` on a computer whose way leads to a gateway that runs: all is well, and then one
thing after the other is not."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support.agent_process import AgentProcess
from support.connect_proxy import ConnectProxy, connect_proxy
from support.gateway_process import gateway_process
from support.needed_parts import needs_program
from support.org_api import Api, answered
from support.org_world import issue_token
from support.pki import Authority
from support.site import MTLS_DOMAIN, Site
from support.tls_inspection import TlsInspection
from support.two_apps import two_apps

from gateway.adapters.store import Store
from gateway.cli.main import run
from gateway.model.org import TokenScope

pytestmark = needs_program("certutil")

# `localHostOrDomainIs` knows no wildcards.
PAC = """
function FindProxyForURL(url, host) {
  if (localHostOrDomainIs(host, "*.example.test")) return "DIRECT";
  return "PROXY %s";
}
"""

MTLS_HOST = "mTLS host is reached uninspected"

# What fails, and what is seen there.
Failures = Mapping[str, str]


@dataclass(frozen=True)
class Desk:
    """One person at one computer, enrolled by a code."""

    site: Site
    proxy: ConnectProxy
    api: Api
    agent: AgentProcess
    capture: pytest.CaptureFixture[str]

    def ca(self, *words: str) -> Any:
        self.capture.readouterr()
        arguments = ["ca", words[0], "-c", str(self.site.directory / "gateway.yaml"), *words[1:], "--json"]
        assert run(arguments) == 0, self.capture.readouterr()
        return json.loads(self.capture.readouterr().out)

    def seen(self) -> dict[str, tuple[str, str]]:
        """By the name of a check: its state, and what was seen."""
        done = self.agent.run("doctor", "--json")
        result = json.loads(done.stdout)
        assert done.returncode == (result["result"] == "failed"), done.stderr
        return {each["name"]: (each["state"], each["seen"]) for each in result["checks"]}

    def failures(self) -> Failures:
        return {name: what for name, (state, what) in self.seen().items() if state == "failed"}


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Desk]:
    directory = tmp_path / "org"
    directory.mkdir()
    site = Site(directory)
    (directory / "web-root.pem").write_bytes(site.web.pem)
    with two_apps(site) as configuration, connect_proxy() as proxy:
        configuration["store"] = "sqlite:///org.db"
        configuration["device_trust"]["authorities"].insert(0, {"name": "own", "builtin": True})
        store = Store.open(f"sqlite:///{directory}/org.db")
        token = issue_token(store, TokenScope.ADMIN)
        store.close()
        with gateway_process(configuration, directory):
            org_url, ca_file = site.public_base("sso.example.test"), directory / "web-root.pem"
            agent = AgentProcess(tmp_path / "alice", org_url, ca_file, HttpProxy=proxy.url)
            found = Desk(site, proxy, Api(site, token), agent, capsys)
            passphrase = directory / "passphrase"
            passphrase.touch(0o600)
            passphrase.write_text("long enough a phrase")
            root = ("--root-key", str(directory / "root.key"), "--root-passphrase-file", str(passphrase))
            found.ca("init", *root)
            person = ("--device", "ws-1", "--user", "alice@example.test", "--create")
            agent.succeed("--user", "--code", found.ca("enrollment-code", *person)["code"])
            timer = agent.home / ".config/systemd/user/devicetrust-agent.timer"
            timer.parent.mkdir(parents=True)
            timer.touch()
            yield found


def test_where_all_is_well_nothing_fails_and_then_one_broken_thing_after_the_other_does(desk: Desk) -> None:
    seen = desk.seen()
    assert {name: what for name, (state, what) in seen.items() if state == "failed"} == {}
    assert seen["mTLS host is reached uninspected"][1].endswith(
        f"through {desk.proxy.url}; its certificate is the gateway's, issued by Web root"
    )
    assert "MTLS Certificate Authority" in seen["mTLS host asks for this certificate"][1]
    assert seen["trial handshake with the certificate"] == ("ok", "TLSv1.3, certificate and key were shown")
    assert seen["revocation"] == ("ok", "not revoked (OCSP)")
    assert seen["in the stores of browsers"] == ("ok", str(desk.agent.nss))
    assert seen["what the org says of it"] == ("ok", "trusted")
    assert seen["Wiki"][1] == 'lets this person in at this computer by rule "Trusted Windows"'
    assert seen["IWA web apps of the org"][0] == "warning"  # enrolled by a code

    _on_the_way(desk)
    _at_the_computer(desk)
    _at_the_org(desk)


def _on_the_way(desk: Desk) -> None:
    """What opens TLS, what blocks it, a proxy file whose pattern never matches, a proxy that is down."""
    other = Authority.create_root("Inspection root").issue_server([f"*.{MTLS_DOMAIN}"])
    with TlsInspection.running(desk.site.https_port, other, desk.site.directory) as inspection:
        desk.proxy.elsewhere[MTLS_DOMAIN] = inspection.port
        failures = desk.failures()
        desk.proxy.elsewhere.clear()
    assert "that is not the gateway's, issued by Inspection root" in failures[MTLS_HOST]
    assert failures["mTLS host asks for this certificate"].startswith("no, or without naming an authority")

    other = Authority.create_root("Inspection root").issue_server(["sso.example.test"])
    with TlsInspection.running(desk.site.https_port, other, desk.site.directory) as inspection:
        desk.proxy.elsewhere["example.test"] = inspection.port
        failures = desk.failures()
        desk.proxy.elsewhere.clear()
    assert failures["org is reached"].startswith("TLS_FAILED: the certificate of sso.example.test is not")
    assert failures["org is reached"].endswith("(its certificate is by Inspection root)")

    desk.proxy.refused.add(MTLS_DOMAIN)
    failures = desk.failures()
    desk.proxy.refused.clear()
    assert set(failures) == {MTLS_HOST, "trial handshake with the certificate"}
    assert failures[MTLS_HOST].endswith("HTTP/1.1 403 Forbidden")

    pac = desk.agent.home / "proxy.pac"
    pac.write_text(PAC % desk.proxy.url.removeprefix("http://"))
    desk.agent.write(HttpProxy="", HttpProxyPacLocation=pac.as_uri())
    seen = desk.seen()
    state, said = seen["proxy settings"]
    assert (state, "never matches" in said) == ("warning", True)
    assert seen[MTLS_HOST][0] == "ok"

    desk.agent.write(HttpProxy="http://127.0.0.1:9", HttpProxyPacLocation="")
    seen = desk.seen()
    assert seen["org is reached"][0] == "failed"
    assert {name for name, (state, _) in seen.items() if state == "skipped"} >= {MTLS_HOST, "revocation"}
    assert seen["private key"][0] == "ok"
    desk.agent.write(HttpProxy=desk.proxy.url)
    assert desk.failures() == {}


def _at_the_computer(desk: Desk) -> None:
    desk.agent.write(SkipBrowserSetup="")
    (missing,) = desk.failures().values()
    assert missing == f"none names https://[*.]{MTLS_DOMAIN}:{desk.site.https_port}"
    desk.agent.write(SkipBrowserSetup="true")

    desk.agent.delete_from_nss(desk.agent.nicknames()[0])
    assert desk.failures() == {"in the stores of browsers": "in none"}
    desk.agent.succeed("--user")
    assert desk.failures() == {}


def _at_the_org(desk: Desk) -> None:
    answered(desk.api, "PUT", "/api/v1/settings?force=true", {"device_trust_enabled": False})
    seen = desk.seen()
    assert seen["what the org says of it"] == (
        "failed",
        "Device Trust is switched off: every device counts as not trusted",
    )
    assert seen["Wiki"][0] == "warning"
    answered(desk.api, "PUT", "/api/v1/settings", {"device_trust_enabled": True})

    desk.ca("revoke", "--user", "alice@example.test", "--reason", "keyCompromise")
    assert desk.failures() == {
        "revocation": "revoked",
        "what the org says of it": "not trusted: certificate REVOKED, device ACTIVE, user ACTIVE",
    }
    refused = desk.agent.run("--user")
    assert refused.returncode != 0
    state, said = desk.seen()["last run"]
    assert (state, "refused" in said) == ("warning", True)  # it passes, once there is an IWA web app


def test_settings_that_cannot_be_used_are_no_result(tmp_path: Path) -> None:
    agent = AgentProcess(tmp_path / "bob", "ftp://sso.example.test", tmp_path / "none.pem")
    done = agent.run("doctor")
    assert (done.returncode, done.stdout) == (2, "")
    assert "OrgUrl" in done.stderr
