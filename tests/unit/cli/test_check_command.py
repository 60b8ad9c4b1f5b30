"""`devicetrust check` on an installation with one thing wrong at a time."""

import json
import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.gateway_yaml import POLICY, Installation, saml_metadata
from support.pki import Authority, Credential, new_key, write_private

from gateway.adapters.key_files import load_or_create_keys
from gateway.cli.check import exit_code, find, report
from gateway.cli.checks.finding import Finding, Severity
from gateway.cli.main import run
from gateway.config.load import load_settings

NOW = datetime.now(UTC)
LONG_AGO = NOW - timedelta(days=400)


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def findings_of(installation: Installation) -> list[Finding]:
    """As of now, not of when the tests were collected: files are written meanwhile."""
    return find(load_settings(str(installation.configuration)), datetime.now(UTC))


def test_an_installation_with_nothing_wrong_is_ok(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["check", "-c", str(installation.configuration)]) == 0
    assert capsys.readouterr().out == f"{installation.configuration}: ok (nothing found)\n"


def server_certificate(installation: Installation, credential: Credential) -> None:
    credential.write(installation.directory / "certs", "apps")


def no_key(i: Installation) -> None:
    (i.directory / "certs" / "apps.key").unlink()


def open_key(i: Installation) -> None:
    (i.directory / "certs" / "apps.key").chmod(0o640)


def key_of_another(i: Installation) -> None:
    write_private(i.directory / "certs" / "apps.key", Credential(i.web.certificate, new_key()).key_pem)


def no_key_at_all(i: Installation) -> None:
    write_private(i.directory / "certs" / "apps.key", b"nothing")


def no_certificate(i: Installation) -> None:
    i.write("certs/apps.pem", b"nothing")


def expired_server(i: Installation) -> None:
    names = ["sso.example.test", "*.apps.example.test", "*.mtls.example.test"]
    server_certificate(i, i.web.issue_server(names, now=LONG_AGO))


def soon_expired_server(i: Installation) -> None:
    names = ["sso.example.test", "*.apps.example.test", "*.mtls.example.test"]
    server_certificate(i, i.web.issue_server(names, now=NOW - timedelta(days=80)))


def early_server(i: Installation) -> None:
    names = ["sso.example.test", "*.apps.example.test", "*.mtls.example.test"]
    server_certificate(i, i.web.issue_server(names, now=NOW + timedelta(days=2)))


def wrong_chain(i: Installation) -> None:
    path = i.directory / "certs" / "apps.pem"
    path.write_bytes(path.read_bytes() + Authority.create_root("Somebody else").pem)


def client_as_server(i: Installation) -> None:
    from cryptography import x509

    names = ["sso.example.test", "*.apps.example.test", "*.mtls.example.test"]
    credential = i.web.issue_client(
        None,
        None,
        extended_key_usage=(ExtendedKeyUsageOID.CLIENT_AUTH,),
        extra_names=[x509.DNSName(name) for name in names],
    )
    server_certificate(i, credential)


def no_wildcard(i: Installation) -> None:
    server_certificate(i, i.web.issue_server(["sso.example.test", "*.apps.example.test"]))


def app_without_certificate(i: Installation) -> None:
    server_certificate(i, i.web.issue_server(["sso.example.test", "*.mtls.example.test"]))


def no_authority(i: Installation) -> None:
    (i.directory / "certs" / "corp-ca.pem").unlink()


def leaf_as_authority(i: Installation) -> None:
    i.write("certs/corp-ca.pem", i.corp.pem + i.web.issue_client("urn:device", None).certificate_pem)


def expired_authority(i: Installation) -> None:
    old = Authority.create_root("Old", now=NOW - timedelta(days=365 * 30))
    i.write("certs/corp-ca.pem", i.corp.pem + old.pem)
    i.write("certs/old.crl", old.crl())
    i.configure(("[certs/corp.crl]", "[certs/corp.crl, certs/old.crl]"))


def early_authority(i: Installation) -> None:
    new = Authority.create_root("New", now=NOW + timedelta(days=3))
    i.write("certs/corp-ca.pem", i.corp.pem + new.pem)
    i.write("certs/new.crl", new.crl())
    i.configure(("[certs/corp.crl]", "[certs/corp.crl, certs/new.crl]"))


def no_crls(i: Installation) -> None:
    i.configure(("[certs/corp.crl]", "[]"))


def missing_crl(i: Installation) -> None:
    (i.directory / "certs" / "corp.crl").unlink()


def crl_of_another(i: Installation) -> None:
    i.write("certs/corp.crl", Authority.create_root("Corp devices").crl())


def stale_crl(i: Installation) -> None:
    i.write("certs/corp.crl", i.corp.crl(next_update=NOW - timedelta(hours=1)))


def stale_but_allowed_crl(i: Installation) -> None:
    stale_crl(i)
    i.configure(("stale_crl: deny", "stale_crl: {allow_for: 6h}"))


def stale_beyond_allowance(i: Installation) -> None:
    stale_crl(i)
    i.configure(("stale_crl: deny", "stale_crl: {allow_for: 30m}"))


def crl_from_the_future(i: Installation) -> None:
    i.write("certs/corp.crl", i.corp.crl(now=NOW + timedelta(hours=1)))


def delta_without_base(i: Installation) -> None:
    i.write("certs/corp.crl", i.corp.crl(number=9, delta_from=8))


def intermediate_without_crl(i: Installation) -> None:
    i.write("certs/corp-ca.pem", i.corp.pem + i.corp.issue_intermediate("Corp laptops").pem)


def crl_at_a_url(i: Installation) -> None:
    i.configure(("[certs/corp.crl]", "[http://pki.example.test/corp.crl]"))


def no_metadata(i: Installation) -> None:
    i.write("idp-metadata.xml", b"<html/>")


def expired_metadata(i: Installation) -> None:
    i.write("idp-metadata.xml", saml_metadata('validUntil="2020-01-01T00:00:00Z"').encode())


def soon_expired_metadata(i: Installation) -> None:
    end = (NOW + timedelta(days=2)).strftime("%Y-%m-%dT%H:%M:%SZ")
    i.write("idp-metadata.xml", saml_metadata(f'validUntil="{end}"').encode())


def sha1(i: Installation) -> None:
    i.configure(("metadata: idp-metadata.xml", "metadata: idp-metadata.xml, allow_sha1: true"))


def elliptic_decryption_key(i: Installation) -> None:
    i.configure(("    label: Team wiki", "    decryption_key: certs/apps.key"))


def no_policy(i: Installation) -> None:
    i.write("policies/wiki.yaml", b"name: x\nrulez: []\n")


def unknown_zone(i: Installation) -> None:
    i.write("policies/wiki.yaml", (POLICY + "    location: {in_zones: [nowhere]}\n").encode())


def factor_that_nothing_shows(i: Installation) -> None:
    text = POLICY.replace("access: allow", "access: {allow: {prompt_for_factor: every_sign_on}}")
    i.write("policies/wiki.yaml", text.encode())


def open_own_keys(i: Installation) -> None:
    load_or_create_keys(str(i.directory / "var" / "keys"))
    (i.directory / "var" / "keys" / "jwt-1.pem").chmod(0o644)


def broken_page(i: Installation) -> None:
    (i.directory / "pages").mkdir()
    i.write("pages/locked.html", b"<p>\n{{ oops")
    i.configure(("trusted_proxies: []", "pages: pages"))


def missing_upstream_roots(i: Installation) -> None:
    i.configure(("http://127.0.0.1:9000", "https://wiki.internal\n    upstream_ca: roots.pem"))


def damaged_upstream_roots(i: Installation) -> None:
    missing_upstream_roots(i)
    i.write("roots.pem", b"nothing")


def world_writable_policy(i: Installation) -> None:
    (i.directory / "policies" / "wiki.yaml").chmod(0o666)


def file_from_the_future(i: Installation) -> None:
    tomorrow = (NOW + timedelta(days=1)).timestamp()
    os.utime(i.configuration, (tomorrow, tomorrow))


@pytest.mark.parametrize(
    ("damage", "severity", "code", "source", "what"),
    [
        (no_key, "unusable", "server-certificate-unusable", "certs/apps.key", "No such file"),
        (open_key, "unusable", "server-certificate-unusable", "certs/apps.key", "mode 0640"),
        (
            key_of_another,
            "unusable",
            "server-certificate-unusable",
            "certs/apps.key",
            "is not the key of the first certificate in ",
        ),
        (no_key_at_all, "unusable", "server-certificate-unusable", "certs/apps.key", "holds no private key"),
        (no_certificate, "unusable", "server-certificate-unusable", "certs/apps.pem", "holds no certificate"),
        (
            expired_server,
            "problem",
            "server-certificate-expired",
            "certs/apps.pem",
            "certificate 1 expired on",
        ),
        (
            soon_expired_server,
            "warning",
            "certificates-expiring",
            "certs/apps.pem",
            "certificate 1 expires on",
        ),
        (early_server, "problem", "server-certificate-not-yet-valid", "certs/apps.pem", "is valid from"),
        (wrong_chain, "problem", "server-chain-broken", "certs/apps.pem", "2 did not issue certificate 1"),
        (client_as_server, "problem", "server-certificate-purpose", "certs/apps.pem", "extendedKeyUsage"),
        (no_wildcard, "unusable", "mtls-wildcard-missing", "gateway.yaml", "*.mtls.example.test"),
        (
            app_without_certificate,
            "unusable",
            "host-not-covered",
            "gateway.yaml",
            "covers wiki.apps.example.test, the host of app wiki",
        ),
        (no_authority, "unusable", "authority-unusable", "certs/corp-ca.pem", "No such file"),
        (leaf_as_authority, "problem", "authority-not-ca", "certs/corp-ca.pem", "CN=urn:device"),
        (expired_authority, "problem", "authority-expired", "certs/corp-ca.pem", "CN=Old"),
        (early_authority, "problem", "authority-not-yet-valid", "certs/corp-ca.pem", "CN=New"),
        (no_crls, "problem", "revocation-not-checked", "gateway.yaml", "authority corp has no CRL"),
        (missing_crl, "problem", "crl-unusable", "certs/corp.crl", "No such file"),
        (crl_of_another, "problem", "crl-unusable", "certs/corp.crl", "not signed by"),
        (stale_crl, "problem", "crl-stale", "certs/corp.crl", "no certificate of this issuer is trusted"),
        (stale_but_allowed_crl, "warning", "crl-stale", "certs/corp.crl", "lets it count until"),
        (stale_beyond_allowance, "problem", "crl-stale", "certs/corp.crl", "no certificate of this issuer"),
        (crl_from_the_future, "problem", "clock-behind", "certs/corp.crl", "which is in the future"),
        (delta_without_base, "problem", "crl-unusable", "certs/corp.crl", "no full one is held"),
        (intermediate_without_crl, "problem", "issuer-without-crl", "gateway.yaml", "CN=Corp laptops"),
        (crl_at_a_url, "notice", "crl-url-not-checked", "gateway.yaml", "1 CRL URL(s)"),
        (no_metadata, "unusable", "metadata-unusable", "idp-metadata.xml", "is not SAML metadata"),
        (expired_metadata, "unusable", "metadata-unusable", "idp-metadata.xml", "was valid until 2020"),
        (soon_expired_metadata, "warning", "metadata-expiring", "idp-metadata.xml", "is valid until"),
        (sha1, "warning", "sha1-allowed", "gateway.yaml", "okta may sign with SHA-1"),
        (
            elliptic_decryption_key,
            "unusable",
            "decryption-key-unusable",
            "certs/apps.key",
            "is not an RSA key",
        ),
        (no_policy, "unusable", "policy-unusable", "policies/wiki.yaml", "rulez"),
        (unknown_zone, "unusable", "policy-unusable", "policies/wiki.yaml", "nowhere"),
        (
            factor_that_nothing_shows,
            "problem",
            "factor-never-shown",
            "gateway.yaml",
            'rule "Trusted Windows"',
        ),
        (open_own_keys, "unusable", "own-keys-unusable", "var/keys/jwt-1.pem", "mode 0644"),
        (broken_page, "unusable", "page-unusable", "pages/locked.html", ""),
        (missing_upstream_roots, "unusable", "upstream-ca-unusable", "roots.pem", "No such file"),
        (damaged_upstream_roots, "unusable", "upstream-ca-unusable", "roots.pem", "holds no certificate"),
        (world_writable_policy, "problem", "file-writable-by-others", "policies/wiki.yaml", "mode 0666"),
        (file_from_the_future, "problem", "clock-behind", "gateway.yaml", "which is in the future"),
    ],
    ids=lambda value: value.__name__.replace("_", " ") if callable(value) else "",
)
def test_one_thing_wrong_is_one_finding_that_names_it(
    installation: Installation,
    damage: Callable[[Installation], None],
    severity: str,
    code: str,
    source: str,
    what: str,
) -> None:
    damage(installation)
    found = findings_of(installation)
    assert [(finding.severity, finding.code) for finding in found] == [(severity, code)], found
    assert found[0].source.startswith(str(installation.directory / source))
    assert what in found[0].what
    assert found[0].do


def test_an_allow_list_without_an_end_is_reported_with_the_line_of_the_policy(
    installation: Installation,
) -> None:
    """What the linter finds comes through with its own code, file and line."""
    installation.write("policies/wiki.yaml", POLICY.replace("default: deny", "default: allow").encode())
    found = findings_of(installation)
    assert found
    assert {finding.source for finding in found} == {str(installation.directory / "policies" / "wiki.yaml")}
    assert all(finding.line for finding in found)


def test_disabled_device_trust_is_worth_a_notice_beside_what_the_policies_make_of_it(
    installation: Installation,
) -> None:
    installation.configure(("enabled: true", "enabled: false"))
    codes = {finding.code: finding.severity for finding in findings_of(installation)}
    assert codes["device-trust-disabled"] == "notice"
    assert codes["trust-while-disabled"] != "notice"


def test_two_apps_that_share_a_policy_share_its_findings(installation: Installation) -> None:
    no_policy(installation)
    text = installation.configuration.read_text()
    second = (
        text[text.index("  - name: wiki") :]
        .replace("wiki.apps", "second.apps")
        .replace("name: wiki", "name: 2nd")
    )
    installation.write("gateway.yaml", (text + second).encode())
    codes = [finding.code for finding in findings_of(installation)]
    assert sorted(codes) == ["host-not-covered", "policy-unusable"]


def test_the_worst_findings_come_first_and_decide_the_exit_code(installation: Installation) -> None:
    for damage in (sha1, world_writable_policy, no_metadata):
        damage(installation)
    found = findings_of(installation)
    assert [finding.severity for finding in found] == ["unusable", "problem"]
    assert exit_code(found) == 2


@pytest.mark.parametrize(
    ("severities", "code"),
    [([], 0), (["notice"], 0), (["warning"], 1), (["problem", "notice"], 1), (["notice", "unusable"], 2)],
)
def test_exit_codes(severities: list[str], code: int) -> None:
    assert exit_code([Finding(Severity(each), "c", "f", "w", "d") for each in severities]) == code


@pytest.mark.parametrize(
    ("severities", "summary"),
    [
        ([], "f: ok (nothing found)"),
        (["problem", "warning", "warning"], "f: findings (1 problem, 2 warnings)"),
        (["unusable", "unusable", "notice"], "f: unusable (2 unusable, 1 notice)"),
    ],
)
def test_the_last_line_counts_in_english(severities: list[str], summary: str) -> None:
    *_, last = report("f", [Finding(Severity(each), "c", "f", "w", "d") for each in severities])
    assert last == summary


def test_a_ca_that_was_made_before_the_first_start_is_fine(installation: Installation) -> None:
    keys = installation.directory / "var" / "keys"
    keys.mkdir(mode=0o700, parents=True)
    (keys / "ca.passphrase").write_bytes(b"secret")
    (keys / "ca.passphrase").chmod(0o600)
    assert findings_of(installation) == []


def test_keys_of_an_earlier_start_are_fine_and_none_are_made(installation: Installation) -> None:
    findings_of(installation)
    assert not (installation.directory / "var").exists()
    load_or_create_keys(str(installation.directory / "var" / "keys"))
    assert findings_of(installation) == []


def test_the_report_says_file_what_and_what_to_do(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    open_key(installation)
    key = installation.directory / "certs" / "apps.key"
    assert run(["check", "-c", str(installation.configuration)]) == 2
    assert capsys.readouterr().out.splitlines() == [
        f"UNUSABLE  {key}: is open to its group or others (mode 0640)",
        f"    → run: chmod 600 {key}",
        f"{installation.configuration}: unusable (1 unusable)",
    ]


def test_json_has_the_same_for_scripts(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    world_writable_policy(installation)
    path = str(installation.directory / "policies" / "wiki.yaml")
    assert run(["check", "-c", str(installation.configuration), "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == {
        "result": "findings",
        "configuration": str(installation.configuration),
        "findings": [
            {
                "severity": "problem",
                "code": "file-writable-by-others",
                "source": path,
                "line": None,
                "what": "can be changed by every user of this machine (mode 0666)",
                "do": f"run: chmod o-w {path}",
            }
        ],
    }


def test_json_says_what_is_wrong_with_the_configuration_itself(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    installation.configure(("workers: 1", "workers: 0"))
    assert run(["check", "-c", str(installation.configuration), "--json"]) == 2
    [finding] = json.loads(capsys.readouterr().out)["findings"]
    assert (finding["code"], finding["line"]) == ("configuration-invalid", 8)
    assert finding["what"] == "listen.workers: must be auto or a number between 1 and 256"
