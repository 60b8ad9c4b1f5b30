"""The IWA web app with a real Active Directory (Samba): a computer that adcli joined, people, and what the
directory says of them although their tickets are still good."""

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from support.iwa_process import AUDIENCE, IWA_ID, IwaAnswer, IwaProcess
from support.needed_parts import needs, needs_program
from support.samba import BASE, COMPUTER, REALM, SERVICE_ACCOUNT, SambaDomain, missing_parts

from gateway.cli.main import run
from gateway.enrollment.parties import iwa_issuer
from gateway.enrollment.tokens import UserToken, verify_user_token

pytestmark = [pytest.mark.real, needs("Samba", missing_parts)]

BINDING = {"nonce": "nonce-1", "key_thumbprint": "k" * 43}


def of_directory(samba: SambaDomain, **more: Any) -> dict[str, Any]:
    """Its section of iwa.yaml."""
    return {
        "realm": REALM,
        "urls": [samba.ldap_url],
        "base": BASE,
        "bind": {"sasl": "gssapi", "keytab": str(samba.iwa_keytab), "principal": SERVICE_ACCOUNT},
        "timeout": "3s",
        **more,
    }


@pytest.fixture(scope="module")
def iwa(samba_domain: SambaDomain, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IwaProcess]:
    changes = {
        "kerberos": {"computers": "pac"},
        "realms": [{"realm": REALM, "login": "upn"}],
        "directory": [of_directory(samba_domain)],
    }
    with IwaProcess.running(samba_domain, tmp_path_factory.mktemp("iwa"), changes=changes) as running:
        yield running


@pytest.fixture(autouse=True)
def _here(samba: SambaDomain) -> None:
    """This process has the domain's tickets."""


@pytest.fixture(scope="module")
def computer(samba_domain: SambaDomain) -> str:
    return samba_domain.log_in_computer(COMPUTER)


def device_step(iwa: IwaProcess, cache: str) -> IwaAnswer:
    return iwa.post("/device", iwa.forests.negotiate(cache, iwa.host), **BINDING)


def user_step(iwa: IwaProcess, cache: str, computer: str) -> IwaAnswer:
    """The person at that computer."""
    token = device_step(iwa, computer).json["device_token"]
    return iwa.post("/user", iwa.forests.negotiate(cache, iwa.host), device_token=token, **BINDING)


def vouched(iwa: IwaProcess, answer: IwaAnswer) -> UserToken:
    return verify_user_token(
        answer.json["user_token"],
        iwa.key.public_key(),
        issuer=iwa_issuer(IWA_ID),
        audience=AUDIENCE,
        now=datetime.now(UTC),
    )


def test_a_joined_computer_and_a_person_are_vouched_for_as_the_directory_knows_them(
    iwa: IwaProcess, samba: SambaDomain, computer: str
) -> None:
    token = vouched(iwa, user_step(iwa, samba.log_in("alice"), computer))
    assert (token.device.principal, token.device.login) == (f"WS1$@{REALM}", "ws1.ad.example.test")
    assert (token.user.principal, token.user.login) == (f"alice@{REALM}", "alice@example.com")
    for account in (token.device, token.user):
        assert account.sid is not None
        assert account.sid.startswith("S-1-5-21-")
        assert account.guid is not None
    assert token.device.sid != token.user.sid


@needs_program("curl")
def test_curl_does_both_steps_with_the_tickets_of_computer_and_person(
    iwa: IwaProcess, samba: SambaDomain, computer: str
) -> None:
    def curl(step: str, cache: str, document: str) -> str:
        command = ["curl", "--silent", "--show-error", "--max-time", "20", "--negotiate", "--user", ":"]
        command += ["--header", "Content-Type: application/json", "--data", document, f"{iwa.url}{step}"]
        environment = samba.environment(cache)
        return subprocess.run(
            command, env=environment, check=True, capture_output=True, text=True, timeout=30
        ).stdout

    binding = f'"nonce": "{BINDING["nonce"]}", "key_thumbprint": "{BINDING["key_thumbprint"]}"'
    device = curl("/device", computer, f"{{{binding}}}")
    assert '"device_token"' in device
    user = curl("/user", samba.log_in("alice"), device.replace("{", f"{{{binding}, ", 1))
    assert '"user_token"' in user, user


def test_the_account_decides_and_not_its_name_who_is_a_computer(
    iwa: IwaProcess, samba: SambaDomain, computer: str
) -> None:
    assert user_step(iwa, computer, computer).code == "NOT_A_USER"
    assert device_step(iwa, samba.log_in("alice")).code == "NOT_A_COMPUTER"
    samba.modify("bob", sAMAccountName="bob$")
    try:
        assert device_step(iwa, samba.log_in("bob$", "bob")).code == "NOT_A_COMPUTER"
    finally:
        samba.modify("bob$", sAMAccountName="bob")


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"userAccountControl": "514"}, "ACCOUNT_DISABLED"),
        ({"accountExpires": "130000000000000000"}, "ACCOUNT_EXPIRED"),
    ],
)
def test_what_the_directory_says_now_counts_although_the_ticket_is_good_for_hours(
    iwa: IwaProcess, samba: SambaDomain, computer: str, change: dict[str, str], code: str
) -> None:
    bob = samba.log_in("bob")
    assert user_step(iwa, bob, computer).code == "ok"
    with samba.changed("bob", **change):
        answer = user_step(iwa, bob, computer)
        assert (answer.status, answer.code) == (403, code)
    assert user_step(iwa, bob, computer).code == "ok"


def test_a_disabled_computer_gets_nothing(iwa: IwaProcess, samba: SambaDomain) -> None:
    samba.join("ws2")
    cache = samba.log_in_computer("ws2")
    assert device_step(iwa, cache).code == "ok"
    samba.modify("WS2$", userAccountControl="4098")
    assert device_step(iwa, cache).code == "ACCOUNT_DISABLED"


def test_a_computer_that_joins_again_keeps_its_account_and_one_that_was_deleted_does_not(
    iwa: IwaProcess, samba: SambaDomain
) -> None:
    def sid_of(cache: str) -> str | None:
        return vouched(iwa, user_step(iwa, alice, cache)).device.sid

    alice = samba.log_in("alice")
    samba.join("ws3")
    first = samba.log_in_computer("ws3")
    before = sid_of(first)
    samba.join("ws3")
    assert sid_of(samba.log_in_computer("ws3")) == before
    samba.delete("WS3$")
    assert device_step(iwa, first).code == "ACCOUNT_NOT_FOUND"
    samba.join("ws3")
    assert sid_of(samba.log_in_computer("ws3")) != before
    assert device_step(iwa, first).code == "ACCOUNT_NOT_FOUND", "the same name, and another account"


def test_a_person_who_was_deleted_is_not_found_nor_the_next_one_of_that_name_taken_for_it(
    iwa: IwaProcess, samba: SambaDomain, computer: str
) -> None:
    samba.add_user("dora")
    first = samba.log_in("dora")
    before = vouched(iwa, user_step(iwa, first, computer)).user
    samba.delete("dora")
    assert user_step(iwa, first, computer).code == "ACCOUNT_NOT_FOUND"
    samba.add_user("dora")
    assert user_step(iwa, first, computer).code == "ACCOUNT_NOT_FOUND"
    now = vouched(iwa, user_step(iwa, samba.log_in("dora"), computer)).user
    assert (now.login, now.sid != before.sid, now.guid != before.guid) == (before.login, True, True)
    samba.delete("dora")


def test_only_members_of_the_required_groups_enroll_also_by_way_of_other_groups(
    iwa: IwaProcess, samba: SambaDomain, computer: str
) -> None:
    alice, bob = samba.log_in("alice"), samba.log_in("bob")
    groups = {"computers": ["managed"], "users": [f"CN=Staff,CN=Users,{BASE}"]}
    iwa.write({"directory": [of_directory(samba, require_groups=groups)]})
    assert iwa.reload()["event"] == "reloaded"
    try:
        assert user_step(iwa, alice, computer).code == "ok"
        assert user_step(iwa, bob, computer).code == "NOT_IN_GROUP"
        iwa.write({"directory": [of_directory(samba, require_groups={"computers": ["Printers"]})]})
        assert iwa.reload()["event"] == "reloaded"
        assert device_step(iwa, computer).code == "NOT_IN_GROUP"
    finally:
        iwa.write({"directory": [of_directory(samba)]})
        iwa.reload()


def test_without_a_domain_controller_nobody_enrolls_until_it_is_back(
    iwa: IwaProcess, samba: SambaDomain, computer: str
) -> None:
    alice = samba.log_in("alice")
    assert user_step(iwa, alice, computer).code == "ok"
    with samba.stopped():
        answer = device_step(iwa, computer)
        assert (answer.status, answer.code) == (503, "DIRECTORY_UNAVAILABLE")
        assert answer.json["transient"] is True
    assert user_step(iwa, alice, computer).code == "ok"
    with samba.silent():
        assert device_step(iwa, computer).code == "DIRECTORY_UNAVAILABLE"
    assert user_step(iwa, alice, computer).code == "ok"


def test_the_check_before_the_start_asks_the_directory(iwa: IwaProcess, samba: SambaDomain) -> None:
    assert iwa.command("serve", "--check").returncode == 0
    iwa.write({"directory": [of_directory(samba, base="DC=other,DC=test")]})
    try:
        done = iwa.command("serve", "--check")
        assert done.returncode == 1
        assert f"directory of {REALM}" in done.stderr
        assert "DC=other,DC=test" in done.stderr
    finally:
        iwa.write({"directory": [of_directory(samba)]})


def test_the_doctor_sees_keytab_ticket_and_directory_of_a_real_domain(
    iwa: IwaProcess, capsys: pytest.CaptureFixture[str]
) -> None:
    run(["doctor", "--iwa", str(iwa.file), "--json"])  # the org does not exist
    checks = json.loads(capsys.readouterr().out)["checks"]
    seen = {each["name"]: (each["state"], each["seen"]) for each in checks}
    assert seen[f"KDC of {REALM}"] == ("ok", "answers")
    assert seen["service principal in the keytab"][0] == "ok"
    assert seen["newest key of the service in the keytab"][0] == "ok"
    assert seen["ticket is accepted by the keytab"] == ("ok", "yes")
    assert seen[f"directory of {REALM}"] == ("ok", "it takes us in, and knows the base")
