"""`devicetrust browser-policy`: what is printed can be distributed as it stands."""

import json
import plistlib
from pathlib import Path

import pytest
from support.gateway_yaml import COMPLETE

from gateway.cli.main import run

ITEM = '{"pattern":"https://[*.]mtls.example.com","filter":{"ISSUER":{"CN":"MTLS Certificate Authority"}}}'
DOMAIN = ["--mtls-domain", "mtls.example.com"]


@pytest.fixture
def command(capsys: pytest.CaptureFixture[str]):
    def run_it(*words: str) -> tuple[int, str, str]:
        code = run(["browser-policy", *words])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_it


@pytest.mark.parametrize("browser", ["--chrome", "--edge"])
def test_a_policy_file_is_printed_alone_and_where_it_belongs_beside_it(command, browser: str) -> None:
    code, out, err = command(browser, *DOMAIN)
    assert code == 0
    assert json.loads(out) == {"AutoSelectCertificateForUrls": [ITEM]}
    assert "policies/managed/zz-devicetrust.json" in err


def test_firefox_has_a_file_of_its_own(command) -> None:
    code, out, err = command("--firefox", *DOMAIN)
    assert code == 0
    assert "security.default_personal_cert" in json.loads(out)["policies"]["Preferences"]
    assert "/etc/firefox/policies/policies.json" in err


def test_registry_values_of_several_browsers_are_one_file(command, tmp_path: Path) -> None:
    file = tmp_path / "devicetrust.reg"
    words = ["--chrome", "--edge", "--ie", "--format", "reg", "--number", "7", *DOMAIN]
    code, out, _ = command(*words)
    assert code == 0
    assert out.count('"7"=') == 2
    assert "\r" not in out
    code, out, err = command(*words, "--output", str(file))
    assert (code, out) == (0, "")
    assert str(file) in err
    text = file.read_bytes().decode("utf-16")
    assert text.startswith("Windows Registry Editor Version 5.00\r\n")
    assert "ZoneMapKey" in text


@pytest.mark.parametrize("browser", ["--chrome", "--edge", "--firefox", "--ie"])
def test_steps_for_a_group_policy_are_printed_for_each_browser(command, browser: str) -> None:
    code, out, err = command(browser, "--format", "gpo", *DOMAIN)
    assert (code, err) == (0, "")
    assert out.startswith(("Google Chrome", "Microsoft Edge", "Firefox", "Internet Explorer"))
    assert "gpupdate" in out


def test_internet_explorer_is_told_of_by_steps_where_no_form_is_chosen(command) -> None:
    assert command("--ie", *DOMAIN) == command("--ie", "--format", "gpo", *DOMAIN)


def test_a_configuration_profile_is_a_property_list(command) -> None:
    code, out, _ = command("--chrome", "--format", "mobileconfig", *DOMAIN)
    assert code == 0
    assert plistlib.loads(out.encode())["PayloadType"] == "Configuration"


def test_all_values_are_printed_as_json(command) -> None:
    code, out, _ = command("--json", *DOMAIN, "--port", "8443", "--issuer", "Other CA")
    assert code == 0
    values = json.loads(out)
    assert values["pattern"] == "https://[*.]mtls.example.com:8443"
    assert values["issuer"] == "Other CA"
    assert len(values["registry"]) == 5


def test_domain_port_and_issuer_are_those_of_the_configuration(command, tmp_path: Path) -> None:
    builtin = "authorities:\n    - {name: builtin, builtin: true}\n"
    (tmp_path / "gateway.yaml").write_text(COMPLETE.replace("authorities:\n", builtin).replace("keys: ", ""))
    (tmp_path / "var").mkdir()
    passphrase = tmp_path / "root.passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("wrong horse battery")
    config = ["-c", str(tmp_path / "gateway.yaml")]
    values = json.loads(command("--json", *config)[1])
    assert values["mtlsDomain"] == "mtls.example.test"
    assert values["port"] == 8443
    assert values["issuer"] == "MTLS Certificate Authority"
    assert list((tmp_path / "var").iterdir()) == []  # looking makes no store
    root = ["--root-key", str(tmp_path / "root.key"), "--root-passphrase-file", str(passphrase)]
    assert run(["ca", "init", *config, *root, "--common-name", "Acme Device CA"]) == 0
    command()
    assert json.loads(command("--json", *config)[1])["issuer"] == "Acme Device CA"


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ([*DOMAIN], "give one of --chrome, --edge, --firefox, --ie"),
        (["--ie", "--format", "json", *DOMAIN], "--format reg or gpo"),
        (["--chrome", "--firefox", *DOMAIN], "not for both"),
        (["--firefox", "--format", "reg", *DOMAIN], "--format json or gpo"),
        (["--chrome", "--mtls-domain", "example"], "at least two labels"),
        (["--chrome", "-c", "/nonexistent/gateway.yaml"], "/nonexistent/gateway.yaml"),
        (["--chrome", *DOMAIN, "--output", "/nonexistent/x"], "/nonexistent/x"),
    ],
)
def test_what_cannot_be_is_said_in_a_line(command, words: list[str], complaint: str) -> None:
    code, out, err = command(*words)
    assert code != 0
    assert out == ""
    assert complaint in err
    assert "Traceback" not in err
