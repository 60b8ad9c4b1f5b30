"""The IWA web app in a process of its own, with tickets of real KDCs: whom it vouches for, and whom not."""

import base64
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from support.iwa_process import AUDIENCE, IWA_ID, IwaAnswer, IwaProcess
from support.kerberos import CORP, IWA_SERVICES, PARTNER, Forests, missing_parts, run_at
from support.needed_parts import needs, needs_program
from support.processes import http_get

from gateway.enrollment.channel_bindings import request_binding
from gateway.enrollment.parties import iwa_issuer
from gateway.enrollment.tokens import DomainAccount, verify_user_token

pytestmark = [pytest.mark.real, needs("Kerberos", missing_parts)]
BINDING = {"nonce": "nonce-1", "key_thumbprint": "k" * 43}
BOTH = [{"realm": CORP, "login": "{name}@example.test"}, {"realm": PARTNER, "login": "principal"}]


@pytest.fixture(scope="module")
def iwa(kerberos_forests: Forests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IwaProcess]:
    directory = tmp_path_factory.mktemp("iwa")
    with IwaProcess.running(kerberos_forests, directory, changes={"realms": BOTH}) as running:
        yield running


@pytest.fixture(autouse=True)
def _here(kerberos: Forests) -> None:
    """This process has the forests' tickets."""


def device_step(iwa: IwaProcess, cache: str, **members: str) -> IwaAnswer:
    return iwa.post("/device", iwa.forests.negotiate(cache, iwa.host), **{**BINDING, **members})


def user_step(iwa: IwaProcess, cache: str, device_token: str, **members: str) -> IwaAnswer:
    said = {**BINDING, "device_token": device_token, **members}
    return iwa.post("/user", iwa.forests.negotiate(cache, iwa.host), **said)


def test_a_computer_and_then_a_person_at_it_are_vouched_for(iwa: IwaProcess, kerberos: Forests) -> None:
    device = device_step(iwa, kerberos.corp.log_in_computer("ws1"))
    assert device.status == 200
    user = user_step(iwa, kerberos.corp.log_in("alice"), device.json["device_token"])
    token = verify_user_token(
        user.json["user_token"],
        iwa.key.public_key(),
        issuer=iwa_issuer(IWA_ID),
        audience=AUDIENCE,
        now=datetime.now(UTC),
    )
    assert token.device == DomainAccount("ws1$@CORP.EXAMPLE.TEST", CORP, "ws1")
    assert token.user == DomainAccount("alice@CORP.EXAMPLE.TEST", CORP, "alice@example.test")
    assert (token.nonce, token.key_thumbprint) == (BINDING["nonce"], BINDING["key_thumbprint"])
    assert 290 <= user.json["expires_in"] <= 300


def test_the_other_forest_is_vouched_for_where_it_is_listed(iwa: IwaProcess, kerberos: Forests) -> None:
    device = device_step(iwa, kerberos.partner.log_in_computer("ws9"))
    user = user_step(iwa, kerberos.partner.log_in("bob"), device.json["device_token"])
    assert (device.status, user.status) == (200, 200)
    line = iwa.wait_for_record(lambda line: line.get("login") == "bob@PARTNER.EXAMPLE.TEST")
    assert (line["event"], line["result"], line["kind"]) == ("iwa_user", "ok", "user")
    started = iwa.wait_for_record(lambda line: line["event"] == "started")
    assert started["without_domain_sid"] == [CORP, PARTNER]


def test_the_answer_proves_who_the_web_app_is(iwa: IwaProcess, kerberos: Forests) -> None:
    client = kerberos.client(kerberos.corp.log_in_computer("ws1"), iwa.host)
    answer = iwa.post("/device", client.step(), **BINDING)
    client.step(base64.b64decode(answer.headers["WWW-Authenticate"].removeprefix("Negotiate ")))
    assert client.complete


def test_a_ticket_counts_once(iwa: IwaProcess, kerberos: Forests) -> None:
    token = kerberos.negotiate(kerberos.corp.log_in_computer("ws1"), iwa.host)
    assert iwa.post("/device", token, **BINDING).code == "ok"
    again = iwa.post("/device", token, **BINDING)
    assert (again.status, again.code) == (401, "TICKET_REPLAYED")
    assert again.headers["WWW-Authenticate"] == "Negotiate"


def test_without_a_ticket_one_is_asked_for(iwa: IwaProcess) -> None:
    answer = iwa.post("/device", None, **BINDING)
    assert (answer.status, answer.code) == (401, "NEGOTIATE_FAILED")
    assert answer.headers["WWW-Authenticate"] == "Negotiate"


@pytest.mark.parametrize(
    "field",
    [
        "Negotiate TlRMTVNTUAABAAAAl4II4gAAAAAAAAAAAAAAAAAAAAAKAGFKAAAADw==",
        # the same inside SPNEGO, as Windows sends it where it finds no ticket
        "Negotiate YEgGBisGAQUFAqA+MDygDjAMBgorBgEEAYI3AgIKoioEKE5UTE1TU1AAAQAAAJeCCOIAAAAAAAAAAAAAAAAAAAAA"
        "CgBhSgAAAA8=",
        "NTLM TlRMTVNTUAABAAAAl4II4gAAAAAAAAAAAAAAAAAAAAAKAGFKAAAADw==",
    ],
)
def test_ntlm_is_refused(iwa: IwaProcess, field: str) -> None:
    answer = iwa.post("/device", None, headers={"Authorization": field}, **BINDING)
    assert (answer.status, answer.code) == (401, "NTLM_REFUSED")


def test_a_person_gets_no_device_token_and_a_computer_no_user_token(
    iwa: IwaProcess, kerberos: Forests
) -> None:
    assert device_step(iwa, kerberos.corp.log_in("alice")).code == "NOT_A_COMPUTER"
    device = device_step(iwa, kerberos.corp.log_in_computer("ws1")).json["device_token"]
    assert user_step(iwa, kerberos.corp.log_in_computer("ws2"), device).code == "NOT_A_USER"


def test_a_stolen_device_token_is_of_no_use(iwa: IwaProcess, kerberos: Forests) -> None:
    stolen = device_step(iwa, kerberos.corp.log_in_computer("ws1")).json["device_token"]
    thief = kerberos.corp.log_in("alice")
    assert user_step(iwa, thief, stolen, key_thumbprint="t" * 43).code == "KEY_MISMATCH"
    assert user_step(iwa, thief, stolen, nonce="nonce-2").code == "KEY_MISMATCH"
    assert user_step(iwa, thief, stolen[:-8] + "AAAAAAAA").code == "DEVICE_TOKEN_INVALID"
    # It was not used up by that, and is good once for whoever has the key.
    assert user_step(iwa, thief, stolen).code == "ok"
    assert user_step(iwa, thief, stolen).code == "DEVICE_TOKEN_REPLAYED"


def test_a_ticket_that_is_bound_to_a_request_does_not_come_with_another_key(
    iwa: IwaProcess, kerberos: Forests
) -> None:
    """Without TLS, somebody between could put a key of his own into what an agent asks for."""
    cache = kerberos.corp.log_in_computer("ws1")
    bound = request_binding("device", *BINDING.values())

    def ticket() -> bytes:
        return kerberos.negotiate(cache, iwa.host, channel_bindings=bound)

    assert iwa.post("/device", ticket(), **BINDING).code == "ok"
    for others in ({"key_thumbprint": "t" * 43}, {"nonce": "nonce-2"}):
        answer = iwa.post("/device", ticket(), **{**BINDING, **others})
        assert (answer.status, answer.code) == (401, "CHANNEL_BINDING_MISMATCH")
    as_user = iwa.post("/user", ticket(), device_token="x", **BINDING)
    assert as_user.code == "CHANNEL_BINDING_MISMATCH"


def test_a_wrong_clock_is_named(iwa: IwaProcess, kerberos: Forests) -> None:
    cache = kerberos.corp.log_in_computer("ws1")
    kerberos.negotiate(cache, iwa.host)  # the service's ticket, while the clock is right
    program = (
        "import sys; sys.path.insert(0, 'tests'); import gssapi\n"
        "name = gssapi.Name('HTTP@localhost', gssapi.NameType.hostbased_service)\n"
        "mech = gssapi.OID.from_int_seq('1.3.6.1.5.5.2')\n"
        "creds = gssapi.Credentials(usage='initiate', store={'ccache': sys.argv[1]})\n"
        "print(gssapi.SecurityContext(name=name, creds=creds, mech=mech, usage='initiate').step().hex())"
    )
    made = subprocess.run(
        run_at("+10m", [sys.executable, "-c", program, cache]), capture_output=True, text=True, check=True
    )
    answer = iwa.post("/device", bytes.fromhex(made.stdout), **BINDING)
    assert (answer.status, answer.code) == (401, "CLOCK_SKEW")


def test_a_ticket_for_another_service_is_refused(iwa: IwaProcess, kerberos: Forests) -> None:
    kerberos.corp.administer("addprinc -randkey HTTP/elsewhere.corp.example.test")
    token = kerberos.negotiate(kerberos.corp.log_in_computer("ws1"), "elsewhere.corp.example.test")
    answer = iwa.post("/device", token, **BINDING)
    assert (answer.code, answer.status) == ("NEGOTIATE_FAILED", 401)
    assert "HTTP/elsewhere.corp.example.test@CORP.EXAMPLE.TEST not found in keytab" in answer.json["detail"]


def test_a_ticket_without_account_flags_tells_no_kind(kerberos: Forests, tmp_path: Path) -> None:
    changes = {"kerberos": {"computers": "pac"}}
    with IwaProcess.running(kerberos, tmp_path, changes=changes) as iwa:
        answer = device_step(iwa, kerberos.corp.log_in_computer("ws1"))
        assert (answer.status, answer.code) == (403, "NOT_A_COMPUTER")
        assert "the ticket has no account flags (PAC)" in answer.json["detail"]


def test_a_realm_that_is_not_listed_is_refused_and_a_reload_lists_it(
    kerberos: Forests, tmp_path: Path
) -> None:
    with IwaProcess.running(kerberos, tmp_path) as iwa:
        cache = kerberos.partner.log_in_computer("ws9")
        refused = device_step(iwa, cache)
        assert (refused.status, refused.code) == (403, "REALM_NOT_TRUSTED")
        assert refused.json["detail"] == "PARTNER.EXAMPLE.TEST is not listed"
        iwa.write({"realms": BOTH})
        assert iwa.reload()["event"] == "reloaded"
        assert device_step(iwa, cache).code == "ok"
        iwa.write({"realms": []})
        line = iwa.reload()
        assert line["event"] == "reload_refused"
        assert "realms: must have at least 1 item" in line["detail"]
        assert device_step(iwa, cache).code == "ok"


def test_a_renewed_keytab_is_noticed_and_an_open_one_refused(kerberos: Forests, tmp_path: Path) -> None:
    keytab = tmp_path / "iwa.keytab"
    shutil.copy(kerberos.iwa_keytab, keytab)
    keytab.chmod(0o600)
    with IwaProcess.running(kerberos, tmp_path / "iwa", changes={"kerberos": {"keytab": str(keytab)}}) as iwa:
        assert device_step(iwa, kerberos.corp.log_in_computer("ws1")).code == "ok"
        keytab.chmod(0o640)
        answer = device_step(iwa, kerberos.corp.log_in_computer("ws1"))
        assert (answer.status, answer.code) == (503, "UNAVAILABLE")
        assert "is open to its group or others (mode 0640)" in answer.json["detail"]
        assert "mode 0640" in http_get(iwa.metrics_port, "/readyz")[1].decode()
        new = kerberos.corp.service_keytab(*IWA_SERVICES, new=False)
        shutil.copy(new, kerberos.iwa_keytab)  # for the tests that come behind this one
        ticket = kerberos.corp.log_in_computer("ws1")
        keytab.chmod(0o600)
        assert "keytab is likely out of date" in device_step(iwa, ticket).json["detail"]
        new.replace(keytab)
        assert device_step(iwa, ticket).code == "ok"
        assert "mode 0640" not in http_get(iwa.metrics_port, "/readyz")[1].decode()


def test_without_a_registration_it_waits_for_one(kerberos: Forests, tmp_path: Path) -> None:
    with IwaProcess.running(kerberos, tmp_path, pretend=False) as iwa:
        answer = device_step(iwa, kerberos.corp.log_in_computer("ws1"))
        assert (answer.status, answer.code) == (503, "IWA_NOT_REGISTERED")
        iwa.pretend_registered()
        assert device_step(iwa, kerberos.corp.log_in_computer("ws1")).code == "ok"
        iwa.stop()


@needs_program("curl")
def test_curl_is_known_by_its_ticket(iwa: IwaProcess, kerberos: Forests) -> None:
    done = subprocess.run(
        ["curl", "--silent", "--negotiate", "-u", ":", "-H", "Accept: application/json", f"{iwa.url}/"],
        env=kerberos.environment(kerberos.corp.log_in("alice")),
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"principal": "alice@CORP.EXAMPLE.TEST"' in done.stdout


def test_a_reload_that_needs_what_is_not_installed_is_refused(kerberos: Forests, tmp_path: Path) -> None:
    hidden = tmp_path / "hidden"
    hidden.mkdir()
    (hidden / "sitecustomize.py").write_text("import sys; sys.modules['bonsai'] = None\n")
    with IwaProcess.running(kerberos, tmp_path, environment={"PYTHONPATH": str(hidden)}) as iwa:
        password = tmp_path / "password"
        password.touch(0o600)
        bind = {"user": "iwa", "password_file": str(password)}
        iwa.write(
            {"directory": [{"realm": CORP, "urls": ["ldaps://dc1.test"], "base": "DC=corp", "bind": bind}]}
        )
        line = iwa.reload()
        assert line["event"] == "reload_refused"
        assert "bonsai is not installed" in line["detail"]
        assert iwa.request("GET", "/about").status == 200
