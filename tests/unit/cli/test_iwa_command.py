"""`devicetrust iwa` as someone types it."""

import json
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from support.gateway_yaml import COMPLETE

from gateway.adapters.key_files import new_signing_key_pem
from gateway.adapters.store import Store
from gateway.cli import iwa as command
from gateway.cli import main
from gateway.cli.at_the_machine import occasion_of
from gateway.enrollment.iwa_keys import public_jwk
from gateway.enrollment.refusals import EnrollmentRefusal
from gateway.model.ids import MIN_RANDOM_BYTES, IdKind, new_id
from gateway.services import iwas

IWA_YAML = """\
name: hq-1
org: {url: "https://sso.example.test"}
listen: {http: ["127.0.0.1:8088"]}
url: http://iwa.corp.example.test/iwa
kerberos: {keytab: iwa.keytab}
realms: [{realm: CORP.EXAMPLE.TEST}]
"""


@pytest.fixture
def config(tmp_path: Path) -> str:
    """Of an organization with the IWA web apps hq-1 and hq-2."""
    path = tmp_path / "gateway.yaml"
    path.write_text(COMPLETE.replace("sqlite:///var/devicetrust.db", f"sqlite:///{tmp_path}/org.db"))
    store = Store.open(f"sqlite:///{tmp_path}/org.db")
    for number, name in enumerate(("hq-1", "hq-2")):
        key = load_pem_private_key(new_signing_key_pem(), None)
        jwk = public_jwk(key.public_key())  # type: ignore[arg-type]
        profile = iwas.IwaProfile(name, f"https://{name}.example.test/iwa", jwk, "1", ("CORP",))
        with store.begin() as work:
            iwa_id = new_id(IdKind.IWA, bytes([number]) * MIN_RANDOM_BYTES)
            iwas.register_iwa(work, occasion_of("test"), iwa_id, profile)
    store.close()
    return str(path)


def listed(config: str, capsys: pytest.CaptureFixture[str]) -> dict[str, tuple[str, bool]]:
    assert main.run(["iwa", "list", "-c", config, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    return {each["name"]: (each["status"], each["primary"]) for each in found}


def test_the_organizations_web_apps_are_listed_promoted_switched_off_and_removed(
    config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert listed(config, capsys) == {"hq-1": ("ENABLED", True), "hq-2": ("ENABLED", False)}
    assert main.run(["iwa", "promote", "hq-2", "-c", config]) == 0
    assert capsys.readouterr().out == "hq-2 is the primary\n"
    assert main.run(["iwa", "disable", "hq-1", "-c", config]) == 0
    capsys.readouterr()
    assert listed(config, capsys) == {"hq-2": ("ENABLED", True), "hq-1": ("DISABLED", False)}
    assert main.run(["iwa", "disable", "hq-1", "-c", config]) == 1
    assert "already" in capsys.readouterr().err
    assert main.run(["iwa", "enable", "hq-1", "-c", config, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["enable"] is True
    assert main.run(["iwa", "remove", "hq-1", "-c", config]) == 0
    capsys.readouterr()
    assert main.run(["iwa", "list", "-c", config]) == 0
    assert capsys.readouterr().out.split()[1:5] == ["hq-2", "ENABLED", "primary", "offline"]
    assert main.run(["iwa", "promote", "hq-9", "-c", config]) == 1
    assert "hq-9" in capsys.readouterr().err


def test_every_code_is_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["iwa", "explain"]) == 0
    out = capsys.readouterr().out
    assert all(f"{code}: " in out for code in EnrollmentRefusal)
    assert main.run(["iwa", "explain", "clock_skew", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["transient"] is True
    assert main.run(["iwa", "explain", "NOTHING"]) == 1
    assert "NOTHING: no such code" in capsys.readouterr().err


def test_every_key_of_the_file_is_explained_to_editors(capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["iwa", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema["title"] == "iwa.yaml"
    for part in (schema, *schema["$defs"].values()):
        assert all("description" in key for key in part["properties"].values())
    assert schema["$defs"]["DirectorySection"]["properties"]["timeout"]["default"] == "5s"


@pytest.fixture
def iwa_yaml(tmp_path: Path) -> str:
    (tmp_path / "iwa.yaml").write_text(IWA_YAML)
    return str(tmp_path / "iwa.yaml")


def test_a_keytab_that_cannot_be_used_is_named(
    iwa_yaml: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main.run(["iwa", "serve", "-c", iwa_yaml, "--check"]) == 2
    assert "iwa.keytab: cannot be used: No such file" in capsys.readouterr().err
    (tmp_path / "iwa.keytab").write_bytes(b"\5\2")
    (tmp_path / "iwa.keytab").chmod(0o644)
    assert main.run(["iwa", "serve", "-c", iwa_yaml]) == 2
    assert "iwa.keytab: is open to its group or others (mode 0644); run: chmod 600" in capsys.readouterr().err
    (tmp_path / "iwa.keytab").chmod(0o600)
    assert main.run(["iwa", "serve", "-c", iwa_yaml, "--check"]) == 2
    assert "iwa.keytab: has no key for HTTP: " in capsys.readouterr().err


def test_what_is_not_installed_is_named_with_how_to_install_it(
    iwa_yaml: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "gssapi", None)
    monkeypatch.delitem(sys.modules, "gateway.adapters.kerberos", raising=False)
    assert main.run(["iwa", "serve", "-c", iwa_yaml]) == 1
    said = capsys.readouterr().err
    assert "gssapi is not installed" in said
    assert "libkrb5-dev" in said
    assert "pip install 'devicetrust-gateway[iwa]'" in said
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    directory = """\
directory: [{realm: CORP.EXAMPLE.TEST, urls: ["ldaps://dc1"], base: DC=x, bind: {user: u, password_file: p}}]
"""
    Path(iwa_yaml).write_text(IWA_YAML + directory)
    monkeypatch.undo()
    monkeypatch.setattr(command, "find_spec", lambda _: None)
    monkeypatch.setattr(command, "_tickets", lambda _: None)
    assert main.run(["iwa", "serve", "-c", iwa_yaml, "--check"]) == 1
    assert "bonsai is not installed" in capsys.readouterr().err


def test_registering_with_an_org_that_is_not_there_says_so(
    iwa_yaml: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    token.touch(0o600)
    token.write_text("dtk_abc\n")
    Path(iwa_yaml).write_text(IWA_YAML.replace("sso.example.test", "127.0.0.1:1"))
    assert main.run(["iwa", "register", "-c", iwa_yaml, "--token-file", str(token)]) == 1
    assert "https://127.0.0.1:1 cannot be reached: " in capsys.readouterr().err
    token.chmod(0o644)
    assert main.run(["iwa", "register", "-c", iwa_yaml, "--token-file", str(token)]) == 2
    assert "token: is open to its group" in capsys.readouterr().err
    token.chmod(0o600)
    token.write_text("two words")
    assert main.run(["iwa", "register", "-c", iwa_yaml, "--token-file", str(token)]) == 1
    assert "holds no token" in capsys.readouterr().err
