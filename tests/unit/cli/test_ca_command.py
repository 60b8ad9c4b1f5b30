"""`devicetrust ca`, as an administrator meets it: what it makes, prints, refuses and waits for."""

import json
import shutil
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from support.gateway_yaml import COMPLETE
from support.own_authority import request_der

from gateway.adapters.key_files import load_or_create_keys
from gateway.adapters.store.store import Store
from gateway.cli.checks.own_authority import check_own_authority
from gateway.cli.main import run
from gateway.config.load import load_settings
from gateway.model.org import GatewayRecord, SettingName, WorkerRecord
from gateway.pki.certificate import parse_certificate
from gateway.pki.crl import parse_crl
from gateway.services.enrollment_codes import CodeRefused, read_code

OPENED = "wrong horse battery"


class Site:
    def __init__(self, directory: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.directory = directory
        self.capsys = capsys

    def configure(self) -> None:
        directory = self.directory
        builtin = "authorities:\n    - {name: builtin, builtin: true}\n"
        text = COMPLETE.replace("authorities:\n", builtin).replace("keys: ", "")
        (directory / "gateway.yaml").write_text(text)
        (directory / "var").mkdir()
        passphrase = directory / "root.passphrase"
        passphrase.touch(0o600)
        passphrase.write_text(OPENED)

    def __truediv__(self, name: str) -> Path:
        return self.directory / name

    def run(self, *words: str, expect: int = 0) -> str:
        """Standard output, or what was complained where it is to fail."""
        code = run(["ca", words[0], "-c", str(self / "gateway.yaml"), *words[1:]])
        out, err = self.capsys.readouterr()
        assert code == expect, out + err
        return out if expect == 0 or not err else err

    def json(self, *words: str):
        return json.loads(self.run(*words, "--json"))

    def init(self, *words: str) -> str:
        return self.run(
            "init", "--root-key", str(self / "root.key"), "--root-passphrase-file",
            str(self / "root.passphrase"), *words,
        )  # fmt: skip

    def issue(self, device: str = "ws-42", user: str = "alice@example.test", *words: str):
        directory = self / f"{device}-{user}"
        return self.json(
            "issue", "--device", device, "--user", user, "--create", "--new-key", str(directory), *words
        )

    def store(self) -> Store:
        return Store.open(f"sqlite:///{self.directory}/var/devicetrust.db")


@pytest.fixture
def site(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Site:
    for name in ("DEVICETRUST_CA_PASSPHRASE", "DEVICETRUST_ROOT_PASSPHRASE"):
        monkeypatch.delenv(name, raising=False)
    site = Site(tmp_path, capsys)
    site.configure()
    return site


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("template")


@pytest.fixture
def ready(site: Site, template: Path) -> Site:
    """A site with its authority. It is made once, and copied."""
    made = template / "made"
    if not made.exists():
        site.init()
        shutil.copytree(site.directory, made)
        return site
    shutil.rmtree(site.directory)
    shutil.copytree(made, site.directory)
    return site


def test_init_makes_two_authorities_once_and_keys_that_nobody_else_can_read(site):
    said = site.init()
    assert "root: root, generation 1" in said
    assert "issuing authority: MTLS Certificate Authority, generation 1" in said
    for secret in ("root.key", "var/keys/ca.passphrase"):
        assert stat.S_IMODE((site / secret).stat().st_mode) == 0o600
    content = (site / "root.key").read_bytes()
    with pytest.raises(TypeError):
        load_pem_private_key(content, None)
    load_pem_private_key(content, OPENED.encode())
    refused = site.run("init", "--root-key", str(site / "second.key"), expect=1)
    assert "already; nothing was changed" in refused
    assert not (site / "second.key").exists()


def test_a_root_key_that_is_there_is_not_overwritten_and_nothing_is_left_half_done(site):
    (site / "root.key").write_text("mine")
    refused = site.run(
        "init", "--root-key", str(site / "root.key"), "--root-passphrase-file",
        str(site / "root.passphrase"), expect=1,
    )  # fmt: skip
    assert "is there already" in refused
    assert (site / "root.key").read_text() == "mine"
    store = site.store()
    with store.read() as view:
        assert view.authorities.all() == []
    store.close()


@pytest.mark.parametrize(
    ("words", "says", "code"),
    [
        (("issue", "--device", "ws-42", "--csr", "x", "--new-key", "."), "exactly one of --csr", 2),
        (("issue", "--device", "ws-42", "--csr", "missing.csr"), "missing.csr", 2),
        (("issue", "--device", "ws-42", "--new-key", "new"), "--device ws-42: is not known", 1),
        (("revoke", "--user", "nobody"), "--user nobody: is not known", 1),
        (("revoke",), "exactly one of --certificate, --serial, --device, --user", 2),
        (("revoke", "--serial", "zz"), "--serial: is not a hexadecimal number", 2),
        (("revoke", "--serial", "ab"), "--serial ab: 0 certificates", 1),
        (("revoke", "--certificate", "abc"), "--certificate abc: no certificate", 1),
        (("revoke", "--device", "ws-42", "--reason", "removeFromCRL"), "removeFromCRL", 2),
        (("list", "--expiring-within", "soon"), "--expiring-within", 2),
        (("enrollment-code", "--device", "ws-42"), "--device ws-42: is not known", 1),
        (("enrollment-code", "--device", "a", "--create", "--valid-for", "x"), "--valid-for", 2),
        (("release", "--serial", "ab"), "--serial ab: 0 certificates", 1),
        (("rollover", "--root-key", "missing.key"), "missing.key", 2),
    ],
)
def test_errors_name_what_is_wrong_in_one_or_two_lines(ready, monkeypatch, words, says, code):
    monkeypatch.chdir(ready.directory)
    said = ready.run(*words, expect=code)
    assert says in said
    assert len(said.splitlines()) <= 2
    assert not (ready / "new" / "device.key").exists()


def test_without_an_authority_the_command_that_makes_one_is_named(site):
    said = site.run("issue", "--device", "a", "--create", "--new-key", str(site / "a"), expect=1)
    assert "devicetrust ca init" in said
    assert not (site / "a" / "device.key").exists()


def test_without_an_authority_nobody_is_registered_and_no_key_is_left(site):
    words = ("--device", "ws-42", "--user", "a@example.test", "--create", "--new-key", str(site / "new"))
    assert "devicetrust ca init" in site.run("issue", *words, expect=1)
    with site.store().read() as view:
        assert (view.users.by_login("a@example.test"), list(view.devices.page(limit=10))) == (None, [])
    assert not (site / "new" / "device.key").exists()


def test_without_the_passphrase_nothing_is_issued_and_the_file_is_named(ready):
    (ready / "var/keys/ca.passphrase").unlink()
    said = ready.run("issue", "--device", "a", "--create", "--new-key", str(ready / "a"), expect=2)
    assert "var/keys/ca.passphrase" in said
    (ready / "var/keys/ca.passphrase").touch(0o600)
    (ready / "var/keys/ca.passphrase").write_text("guess")
    said = ready.run("issue", "--device", "a", "--create", "--new-key", str(ready / "b"), expect=2)
    assert "wrong passphrase" in said


def test_a_device_gets_key_and_certificate_and_the_store_knows_them(ready):
    issued = ready.issue()
    directory = ready / "ws-42-alice@example.test"
    chain = x509.load_pem_x509_certificates((directory / "device.pem").read_bytes())
    key = load_pem_private_key((directory / "device.key").read_bytes(), None)
    assert chain[0].public_key() == key.public_key()
    assert chain[0].issuer == chain[1].subject
    assert stat.S_IMODE((directory / "device.key").stat().st_mode) == 0o600
    assert (issued["device"], issued["user"], issued["status"]) == ("ws-42", "alice@example.test", "ISSUED")
    assert ready.json("list", "--user", "ALICE@example.test") == [
        {name: value for name, value in issued.items() if name != "certificate"}
    ]


def test_a_request_gets_a_certificate_on_standard_output(ready):
    (ready / "csr").write_bytes(request_der(name="administrator"))
    out = ready.run("issue", "--device", "urn:device:7", "--create", "--csr", str(ready / "csr"))
    leaf = x509.load_pem_x509_certificates(out.encode())[0]
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert [name.value for name in names] == ["urn:device:7"]
    assert b"administrator" not in leaf.public_bytes(Encoding.DER)


def test_a_weak_request_is_refused_with_the_reason(ready):
    (ready / "csr").write_bytes(b"nonsense")
    said = ready.run("issue", "--device", "a", "--create", "--csr", str(ready / "csr"), expect=1)
    assert "certification request refused" in said


def test_renewal_is_due_or_forced(ready):
    issued = ready.issue()
    said = ready.run("renew", "--serial", issued["serialNumber"], "--new-key", str(ready / "next"), expect=1)
    assert "is to be renewed from" in said
    renewed = ready.json(
        "renew", "--certificate", issued["thumbprint"], "--new-key", str(ready / "next"), "--force"
    )
    assert renewed["replaces"] == issued["thumbprint"]
    assert renewed["deviceId"] == issued["deviceId"]


def test_revoking_by_certificate_device_and_user_says_how_many(ready):
    first, second, third = ready.issue("a", "alice"), ready.issue("b", "alice"), ready.issue("b", "bob")
    said = ready.run("revoke", "--serial", first["serialNumber"], "--reason", "certificateHold")
    assert said.splitlines()[0] == "1 certificate put on hold"
    assert "no gateway is running" in said
    assert "released" in ready.run("release", "--serial", first["serialNumber"])
    assert "is not on hold" in ready.run("release", "--serial", first["serialNumber"], expect=1)
    revoked = ready.json("revoke", "--user", "alice", "--reason", "affiliationChanged")
    assert {row["serialNumber"] for row in revoked["revoked"]} == {
        first["serialNumber"],
        second["serialNumber"],
    }
    assert [row["serialNumber"] for row in ready.json("list", "--status", "ISSUED")] == [
        third["serialNumber"]
    ]
    again = ready.json("revoke", "--certificate", first["thumbprint"])
    assert (again["revoked"], again["already"]) == ([], 1)
    assert ready.run("revoke", "--device", "b").startswith("1 certificate revoked")


@pytest.mark.parametrize(
    ("seen", "number", "says"),
    [
        (timedelta(0), 10_000, "applied by 1 worker in"),
        (timedelta(0), 0, "not yet applied by: worker 0 of gateway one"),
        (timedelta(minutes=1), 10_000, "not yet applied by: gateway one, last seen"),
    ],
)
def test_revoke_waits_until_the_workers_have_applied_it(ready, seen, number, says):
    ready.issue()
    at = datetime.now(UTC) - seen
    store = ready.store()
    with store.begin() as work:
        work.gateways.report(GatewayRecord("g1", "one", "1", at, at, "keys"))
        work.gateways.report_worker(WorkerRecord("g1", 0, number, at))
    store.close()
    expect = 0 if says.startswith("applied") else 1
    said = ready.run("revoke", "--device", "ws-42", "--wait", "0.1", expect=expect)
    assert "1 certificate revoked" in said
    assert says in said


def test_read_only_refuses_to_issue_and_still_revokes(ready):
    issued = ready.issue()
    store = ready.store()
    with store.begin() as work:
        work.settings.put(SettingName.READ_ONLY, True, datetime.now(UTC))
    store.close()
    said = ready.run("issue", "--device", "ws-42", "--new-key", str(ready / "n"), expect=1)
    assert "read-only" in said
    assert ready.json("revoke", "--serial", issued["serialNumber"])["revoked"]


def test_lists_are_shown_and_written_for_others(site):
    site.init("--crl-shards", "2")
    issued = site.issue()
    site.run("revoke", "--serial", issued["serialNumber"])
    shown = site.json("crl", "--out", str(site / "out"))
    assert [each["name"] for each in shown] == ["root-1-0.crl", "mtls-1-0.crl", "mtls-1-1.crl"]
    assert sorted(each["number"] for each in shown[1:]) == [1, 2]
    authorities = [
        parse_certificate(each.public_bytes(Encoding.DER))
        for each in x509.load_pem_x509_certificates((site / "out/authorities.pem").read_bytes())
    ]
    lists = [parse_crl((site / "out" / each["name"]).read_bytes(), authorities) for each in shown]
    assert [serial for each in lists for serial in each.revoked] == [int(issued["serialNumber"], 16)]
    root = str(site / "root.key")
    passphrase = str(site / "root.passphrase")
    again = site.json("crl", "--root-key", root, "--root-passphrase-file", passphrase)
    assert again[0]["number"] == 2


def test_a_new_generation_issues_after_a_roll_over(ready):
    old = ready.issue("a")
    made = ready.json(
        "rollover", "--root-key", str(ready / "root.key"), "--root-passphrase-file",
        str(ready / "root.passphrase"),
    )  # fmt: skip
    assert made["generation"] == 2
    new = ready.issue("b")
    assert old["authorityId"] != new["authorityId"] == made["id"]


def test_an_rsa_authority_and_names_of_ones_own(site):
    said = site.init("--key", "rsa-3072", "--common-name", "acme devices")
    assert "issuing authority: acme devices" in said
    site.issue()
    leaf = x509.load_pem_x509_certificates((site / "ws-42-alice@example.test/device.pem").read_bytes())[0]
    assert leaf.signature_algorithm_oid._name == "sha256WithRSAEncryption"


def test_an_enrollment_code_is_for_one_device_and_ends(ready):
    made = ready.json(
        "enrollment-code", "--device", "ws-42", "--user", "alice", "--create", "--valid-for", "10m"
    )
    secret = load_or_create_keys(str(ready / "var/keys")).master_secret
    now = datetime.now(UTC)
    assert read_code(secret, made["code"], now).device_id == made["deviceId"]
    with pytest.raises(CodeRefused):
        read_code(secret, made["code"], now + timedelta(minutes=10))
    with pytest.raises(CodeRefused):
        read_code(b"another gateway's secret", made["code"], now)
    store = ready.store()
    with store.read() as view:
        event = json.loads(list(view.log.rows())[-1].event_json)
    store.close()
    assert event["eventType"] == "devicetrust.enrollment_code.create"
    assert [target["type"] for target in event["target"]] == ["Device", "User"]
    assert made["code"] not in json.dumps(event)


def found(site: Site, at: datetime) -> set[str]:
    """Codes of what a check says of the authority."""
    settings = load_settings(str(site / "gateway.yaml"))
    return {finding.code for finding in check_own_authority(settings, at)}


def test_a_check_says_that_there_is_no_authority_yet(site):
    assert found(site, datetime.now(UTC)) == {"own-authority-missing"}
    site.store().close()
    assert found(site, datetime.now(UTC)) == {"own-authority-missing"}
    (site / "var/devicetrust.db").write_bytes(b"no store" * 1_000)
    assert found(site, datetime.now(UTC)) == {"store-unusable"}


def test_a_check_says_what_ends_soon_and_which_key_is_gone(ready):
    now = datetime.now(UTC)
    assert found(ready, now) == set()
    assert found(ready, now + timedelta(days=350)) == {"root-crl-due"}
    assert found(ready, now + timedelta(days=5 * 365 - 300)) == {"root-crl-due", "certificates-expiring"}
    assert found(ready, now + timedelta(days=5 * 365)) == {"root-crl-due", "authority-expired"}
    (ready / "var/keys/ca.passphrase").unlink()
    assert found(ready, now) == {"own-key-unusable"}


def test_a_store_of_none_has_no_authority(site):
    text = (site / "gateway.yaml").read_text()
    text = text.replace("sqlite:///var/devicetrust.db", "none").replace(
        "    - {name: builtin, builtin: true}\n", ""
    )
    (site / "gateway.yaml").write_text(text)
    assert "store is none" in site.run("list", expect=1)
