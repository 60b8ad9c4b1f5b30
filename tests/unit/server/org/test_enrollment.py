"""From a user token to a certificate, and every way in which there is none."""

from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from support.authority_site import KeysInMemory
from support.enrollment import ALICE, COMPUTER, REALM, MadeUpIwa
from support.enrollment_world import EnrollmentWorld, csr_pem, enrollment_world, new_key

from gateway.enrollment.tokens import DomainAccount
from gateway.model.issued import AuthorityRecord, AuthorityStatus, CertificateStatus, RevocationReason
from gateway.model.org import DeviceStatus, SettingName, UserSource, UserStatus
from gateway.model.settings import AttestationMode
from gateway.pki.signer import Signer
from gateway.services.renewing import certificate_seen
from gateway.services.revoking import deactivate_user, revoke

BOB = DomainAccount(f"bob@{REALM}", REALM, "bob@example.test", "S-1-5-21-1-2-3-1107")
OTHER_COMPUTER = DomainAccount(f"WS-2$@{REALM}", REALM, "ws-2.corp.example.test", "S-1-5-21-1-2-3-1108")


@pytest.fixture
async def org(tmp_path: Path) -> AsyncIterator[EnrollmentWorld]:
    async with enrollment_world(tmp_path) as world:
        world.site()
        world.ad_user()
        yield world


@pytest.fixture
async def iwa(org: EnrollmentWorld) -> MadeUpIwa:
    return await org.register(MadeUpIwa())


def status_of(org: EnrollmentWorld, thumbprint: str) -> CertificateStatus:
    with org.store.read() as view:
        row = view.certificates.by_thumbprint(thumbprint)
    assert row is not None
    return row.status


async def test_a_domain_computer_gets_its_certificate(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    done = await org.enrolled(iwa)
    answer = done.answer
    certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
    issuer = x509.load_pem_x509_certificate(answer["chain"][0].encode())
    certificate.verify_directly_issued_by(issuer)
    assert certificate.public_key() == done.key.public_key()
    assert (answer["device"]["name"], answer["user"]["login"]) == (COMPUTER.login, ALICE.login)
    assert answer["not_after"] == "2027-11-26T12:00:00.000Z"
    assert answer["renew_from"] == "2027-10-27T12:00:00.000Z"
    assert answer["hardware_key"] is False
    device = await org.get(f"/api/v1/devices/{answer['device']['id']}")
    assert (device["platform"], device["profile"]["sid"]) == ("LINUX", COMPUTER.sid)
    user = await org.get(f"/api/v1/users/{answer['user']['id']}")
    assert user["credentials"]["provider"]["type"] == "ACTIVE_DIRECTORY"
    assert org.events()[-6:] == [
        "system.iwa.create",
        "device.enrollment.create",
        "user.account.update_profile",
        "user.authentication.auth_via_iwa",
        "pki.cert.issue",
        "user.credential.enroll",
    ]
    assert [each.result for each in org.outcomes] == ["issued"]


async def test_who_was_vouched_for_is_in_the_log(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    await org.enrolled(iwa)
    (event,) = [e for e in org.log() if e["eventType"] == "user.authentication.auth_via_iwa"]
    assert event["outcome"] == {"result": "SUCCESS", "reason": None}
    assert event["actor"]["alternateId"] == ALICE.login
    assert [target["type"] for target in event["target"]] == ["IwaAgent", "Device", "User"]
    assert event["authenticationContext"]["credentialType"] == "IWA"
    seen = event["debugContext"]["debugData"]
    assert (seen["principal"], seen["sid"]) == (ALICE.principal, ALICE.sid)
    assert seen["devicePrincipal"] == COMPUTER.principal


def read_only(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    with org.store.begin() as work:
        work.settings.put(SettingName.READ_ONLY, True, org.clock.now())


def switched_off(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    with org.store.begin() as work:
        work.settings.put(SettingName.DEVICE_TRUST_ENABLED, False, org.clock.now())


def change_user(**others: Any) -> Callable[[EnrollmentWorld, MadeUpIwa], None]:
    def change(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
        with org.store.begin() as work:
            user = work.users.by_login(ALICE.login)
            assert user is not None
            work.users.update(replace(user, **others))

    return change


def somebody_else_with_the_account(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    org.ad_user("old-alice@example.test", directory_key=ALICE.directory_key)


async def disabled_iwa(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    await org.do("POST", f"/api/v1/iwas/{iwa.id}/lifecycle/deactivate")


async def another_key(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    await org.do("POST", "/api/v1/iwas", MadeUpIwa(iwa.name).registration())


def switched_off_in_the_file(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    org.terms[0] = replace(org.terms[0], device_trust_enabled=False)


def no_authority(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    with org.store.begin() as work:
        for authority in work.authorities.all():
            work.authorities.set_status(authority.id, AuthorityStatus.RETIRED)


def attestation_required(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    org.set_terms(attestation=AttestationMode.REQUIRED)


Before = Callable[[EnrollmentWorld, MadeUpIwa], Awaitable[None] | None]


@pytest.mark.parametrize(
    ("before", "status", "code"),
    [
        (read_only, 503, "READ_ONLY"),
        (switched_off, 403, "DEVICE_TRUST_DISABLED"),
        (switched_off_in_the_file, 403, "DEVICE_TRUST_DISABLED"),
        (no_authority, 503, "NO_AUTHORITY"),
        (change_user(status=UserStatus.DEPROVISIONED), 403, "USER_INACTIVE"),
        (change_user(status=UserStatus.SUSPENDED), 403, "USER_INACTIVE"),
        (change_user(source=UserSource.LOCAL), 403, "USER_NOT_FROM_DIRECTORY"),
        (change_user(source=UserSource.JIT), 403, "USER_NOT_FROM_DIRECTORY"),
        (change_user(login="elsewhere@example.test"), 403, "USER_UNKNOWN"),
        (change_user(directory_key="sid:S-1-5-21-9-9-9-1106"), 403, "USER_OTHER_ACCOUNT"),
        (somebody_else_with_the_account, 403, "USER_OTHER_ACCOUNT"),
        (disabled_iwa, 403, "IWA_DISABLED"),
        (another_key, 403, "IWA_UNKNOWN"),
        (attestation_required, 403, "ATTESTATION_REQUIRED"),
    ],
)
async def test_what_the_org_is_like_may_be_a_reason_to_refuse(
    org: EnrollmentWorld, iwa: MadeUpIwa, before: Before, status: int, code: str
) -> None:
    waits = before(org, iwa)
    if waits is not None:
        await waits
    got, answer = await org.ask_for_certificate(iwa, new_key())
    assert (got, answer["code"]) == (status, code), answer
    assert answer["message"]
    assert answer["reference_id"]
    with org.store.read() as view:
        assert list(view.devices.all()) == []  # nothing is left of what was refused
        assert view.certificates.count() == 0
    assert [(each.result, each.reason) for each in org.outcomes] == [("refused", code)]


@pytest.mark.parametrize(
    ("claims", "status", "code"),
    [
        ({"issuer": "urn:devicetrust:iwa:other"}, 403, "USER_TOKEN_INVALID"),
        ({"audience": "urn:devicetrust:org:other"}, 403, "USER_TOKEN_INVALID"),
        ({"expires": timedelta(days=1)}, 403, "USER_TOKEN_INVALID"),
        ({"issued": timedelta(minutes=-9), "expires": timedelta(minutes=-4)}, 403, "USER_TOKEN_EXPIRED"),
        ({"nonce": "made up"}, 403, "NONCE_INVALID"),
        ({"key_thumbprint": "x" * 43}, 400, "KEY_MISMATCH"),
        ({"user": replace(ALICE, principal="alice@EVIL", realm="EVIL")}, 403, "REALM_NOT_TRUSTED"),
        ({"device": replace(COMPUTER, principal="WS-1$@EVIL", realm="EVIL")}, 403, "REALM_NOT_TRUSTED"),
        ({"user": BOB}, 403, "USER_UNKNOWN"),
    ],
)
async def test_what_the_token_says_may_be_a_reason_to_refuse(
    org: EnrollmentWorld, iwa: MadeUpIwa, claims: dict[str, Any], status: int, code: str
) -> None:
    moments = {
        name: org.clock.now() + value for name, value in claims.items() if isinstance(value, timedelta)
    }
    got, answer = await org.enrolled_with(iwa, **{**claims, **moments})
    assert (got, answer["code"]) == (status, code), answer


async def test_a_stolen_token_helps_with_no_other_key(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    token = iwa.user_token(await org.nonce(), new_key().public_key(), now=org.clock.now())
    status, answer = await org.ask_for_certificate(iwa, new_key(), token)
    assert (status, answer["code"]) == (400, "KEY_MISMATCH")
    (event,) = [e for e in org.log() if e["eventType"] == "user.authentication.auth_via_iwa"]
    assert event["outcome"] == {"result": "FAILURE", "reason": "KEY_MISMATCH"}


async def test_a_token_is_good_once(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    key = new_key()
    token = iwa.user_token(await org.nonce(), key.public_key(), now=org.clock.now())
    assert (await org.ask_for_certificate(iwa, key, token))[0] == 200
    status, answer = await org.ask_for_certificate(iwa, key, token)
    assert (status, answer["code"]) == (409, "USER_TOKEN_REPLAYED")


async def test_a_token_whose_request_was_refused_may_be_used_again(
    org: EnrollmentWorld, iwa: MadeUpIwa
) -> None:
    key = new_key()
    token = iwa.user_token(await org.nonce(), key.public_key(), now=org.clock.now())
    org.keys.gone = True
    status, answer = await org.ask_for_certificate(iwa, key, token)
    assert (status, answer["code"], answer["transient"]) == (503, "UNAVAILABLE", True)
    org.keys.gone = False
    assert (await org.ask_for_certificate(iwa, key, token))[0] == 200


async def test_a_nonce_is_good_for_ten_minutes(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    key, nonce = new_key(), await org.nonce()
    org.clock.advance(minutes=10)
    token = iwa.user_token(nonce, key.public_key(), now=org.clock.now())
    status, answer = await org.ask_for_certificate(iwa, key, token)
    assert (status, answer["code"]) == (403, "NONCE_INVALID")


@pytest.mark.parametrize(
    "body",
    [
        {"csr": "nothing"},
        {"csr": 5},
        {"csr": None},
        {"platform": "SOLARIS"},
        {"replaces": "x" * 65},
        {"attestation": []},
        {"user_token": None},
        {"agent_version": "x" * 65},
    ],
)
async def test_a_body_that_makes_no_sense_is_a_refusal_as_well(
    org: EnrollmentWorld, iwa: MadeUpIwa, body: dict[str, Any]
) -> None:
    status, answer = await org.ask_for_certificate(iwa, new_key(), **body)
    assert (status, answer["code"]) == (400, "REQUEST_INVALID")


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "x" * 8_000])
async def test_strangers_leave_no_trace_in_the_log(org: EnrollmentWorld, iwa: MadeUpIwa, token: str) -> None:
    before = org.events()
    status, answer = await org.ask_for_certificate(iwa, new_key(), token)
    assert (status, answer["code"]) == (403, "USER_TOKEN_INVALID")
    unknown = MadeUpIwa(id=iwa.id)
    assert (await org.ask_for_certificate(unknown, new_key()))[1]["code"] == "IWA_UNKNOWN"
    assert org.events() == before
    assert [each.result for each in org.outcomes] == ["refused", "refused"]


async def test_who_is_refused_again_and_again_fills_no_log(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    before = len(org.events())
    for _ in range(10):
        assert (await org.enrolled_with(iwa, user=BOB))[1]["code"] == "USER_UNKNOWN"
    for _ in range(5):
        assert (await org.enrolled_with(iwa, user=BOB))[1]["code"] == "TOO_OFTEN"
    assert len(org.events()) - before == 10
    org.clock.advance(minutes=10)
    assert (await org.enrolled_with(iwa, user=BOB))[1]["code"] == "USER_UNKNOWN"


async def test_who_is_refused_again_and_again_keeps_nobody_else_from_the_computer(
    org: EnrollmentWorld, iwa: MadeUpIwa
) -> None:
    for _ in range(11):
        await org.enrolled_with(iwa, user=BOB)
    assert (await org.enrolled_with(iwa, user=BOB))[1]["code"] == "TOO_OFTEN"
    assert (await org.enrolled_with(iwa, user=ALICE))[0] == 200


async def test_a_computer_at_which_nobody_is_known_fills_no_log(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    before = len(org.events())
    for number in range(110):
        stranger = replace(BOB, sid=f"S-1-5-21-1-2-3-{5000 + number % 30}")
        await org.enrolled_with(iwa, user=stranger)
    assert len(org.events()) - before == 100
    assert (await org.enrolled_with(iwa, user=ALICE))[1]["code"] == "TOO_OFTEN"
    assert (await org.enrolled_with(iwa, user=ALICE, device=OTHER_COMPUTER))[0] == 200


async def test_the_same_computer_is_the_same_device(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    first = await org.enrolled(iwa)
    renamed = replace(COMPUTER, login="ws-9.corp.example.test")
    key = new_key()
    token = iwa.user_token(await org.nonce(), key.public_key(), now=org.clock.now(), device=renamed)
    status, second = await org.ask_for_certificate(iwa, key, token)
    assert status == 200
    assert second["device"] == {"id": first.answer["device"]["id"], "name": "ws-9.corp.example.test"}


@pytest.mark.parametrize("status", [DeviceStatus.SUSPENDED, DeviceStatus.DEACTIVATED])
async def test_a_device_that_is_not_in_use_gets_none(
    org: EnrollmentWorld, iwa: MadeUpIwa, status: DeviceStatus
) -> None:
    done = await org.enrolled(iwa)
    with org.store.begin() as work:
        work.devices.set_status(done.answer["device"]["id"], status, org.clock.now())
    got, answer = await org.ask_for_certificate(iwa, new_key())
    assert (got, answer["code"]) == (403, "DEVICE_INACTIVE")


async def test_another_account_of_the_same_name_is_another_person(
    org: EnrollmentWorld, iwa: MadeUpIwa
) -> None:
    done = await org.enrolled(iwa)
    again = replace(ALICE, sid="S-1-5-21-1-2-3-9999")
    status, answer = await org.enrolled_with(iwa, user=again)
    assert (status, answer["code"]) == (403, "USER_OTHER_ACCOUNT")
    user_id = done.answer["user"]["id"]
    await org.do("POST", f"/api/v1/users/{user_id}/lifecycle/forget_directory_account")
    assert (await org.enrolled_with(iwa, user=again))[0] == 200


@pytest.mark.parametrize(
    ("foreign", "code"),
    [
        ({"user": replace(ALICE, principal="alice@EVIL.TEST", realm="EVIL.TEST")}, "USER_OTHER_ACCOUNT"),
        ({"device": replace(COMPUTER, principal="WS-1$@EVIL.TEST", realm="EVIL.TEST")}, "REALM_NOT_TRUSTED"),
    ],
)
async def test_no_forest_gets_at_the_accounts_of_another_by_their_sids(
    org: EnrollmentWorld, iwa: MadeUpIwa, foreign: dict[str, DomainAccount], code: str
) -> None:
    await org.enrolled(iwa)
    partner = MadeUpIwa("partner")
    registered = await org.do("POST", "/api/v1/iwas", {**partner.registration(), "realms": ["EVIL.TEST"]})
    partner.id = registered["id"]
    org.ad_user("mallory@evil.test")
    theirs = {
        "user": DomainAccount("mallory@EVIL.TEST", "EVIL.TEST", "mallory@evil.test", "S-1-5-21-6-6-6-1"),
        "device": DomainAccount("WS-6$@EVIL.TEST", "EVIL.TEST", "ws-6.evil.test", "S-1-5-21-6-6-6-2"),
    }
    status, answer = await org.enrolled_with(partner, **{**theirs, **foreign})
    assert (status, answer.get("code")) == (403, code)
    assert (await org.enrolled_with(partner, **theirs))[0] == 200


async def test_people_are_made_users_where_that_is_configured(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    org.set_terms(create_users=True)
    status, answer = await org.enrolled_with(iwa, user=BOB)
    assert status == 200
    user = await org.get(f"/api/v1/users/{answer['user']['id']}")
    assert (user["profile"]["login"], user["profile"]["email"]) == (BOB.login, BOB.login)
    assert user["credentials"]["provider"]["type"] == "ACTIVE_DIRECTORY"
    assert user["directoryAccount"]["sid"] == BOB.sid
    assert "user.lifecycle.create" in org.events()


async def test_who_was_deleted_does_not_come_back_by_enrolling(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    org.set_terms(create_users=True)
    for _ in range(2):
        await org.do("DELETE", f"/api/v1/users/{ALICE.login}")
    status, answer = await org.ask_for_certificate(iwa, new_key())
    assert (status, answer["code"]) == (403, "USER_INACTIVE")


async def test_certificates_of_an_hour_are_counted_for_device_and_user(
    org: EnrollmentWorld, iwa: MadeUpIwa
) -> None:
    org.set_terms(max_per_hour=2)
    org.ad_user(BOB.login)
    assert (await org.enrolled_with(iwa))[0] == 200
    assert (await org.enrolled_with(iwa))[0] == 200
    status, answer = await org.enrolled_with(iwa, user=BOB)
    assert (status, answer["code"], answer["transient"]) == (429, "TOO_OFTEN", True)
    assert COMPUTER.login in answer["detail"]
    status, answer = await org.enrolled_with(iwa, device=OTHER_COMPUTER)
    assert (status, answer["code"]) == (429, "TOO_OFTEN")
    assert ALICE.login in answer["detail"]
    assert (await org.enrolled_with(iwa, device=OTHER_COMPUTER, user=BOB))[0] == 200
    org.clock.advance(hours=1)
    assert (await org.enrolled_with(iwa))[0] == 200


async def test_the_installed_certificate_stays_until_the_new_one_is_seen(
    org: EnrollmentWorld, iwa: MadeUpIwa
) -> None:
    installed = await org.enrolled(iwa)
    lost = await org.enrolled(iwa, replaces=installed.thumbprint)
    new = await org.enrolled(iwa, replaces=installed.thumbprint)
    assert status_of(org, installed.thumbprint) is CertificateStatus.ISSUED
    assert status_of(org, lost.thumbprint) is CertificateStatus.REVOKED
    site = org.site_now()
    with org.store.begin() as work:
        certificate_seen(work, new.thumbprint, site.rules, site.occasion())
    assert status_of(org, installed.thumbprint) is CertificateStatus.REVOKED
    assert status_of(org, new.thumbprint) is CertificateStatus.ISSUED


async def test_lost_keys_never_fill_what_a_device_may_have(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    org.set_terms(max_per_hour=100)
    org.terms[0] = replace(org.terms[0], ca=replace(org.terms[0].ca, max_certificates=1))
    made = [await org.enrolled(iwa) for _ in range(6)]
    assert [status_of(org, each.thumbprint) for each in made] == [
        *[CertificateStatus.REVOKED] * 4,
        CertificateStatus.ISSUED,
        CertificateStatus.ISSUED,
    ]
    with org.store.read() as view:
        (row, *_) = [view.certificates.by_thumbprint(made[0].thumbprint)]
    assert row is not None
    assert row.revocation_reason is RevocationReason.SUPERSEDED


async def test_another_person_at_the_computer_has_a_certificate_of_their_own(
    org: EnrollmentWorld, iwa: MadeUpIwa
) -> None:
    org.ad_user(BOB.login)
    alices = await org.enrolled(iwa)
    status, bobs = await org.enrolled_with(iwa, user=BOB)
    assert status == 200
    assert bobs["device"] == alices.answer["device"]
    assert status_of(org, alices.thumbprint) is CertificateStatus.ISSUED
    with org.store.read() as view:
        row = view.certificates.by_thumbprint(bobs["thumbprint"])
    assert row is not None
    assert row.replaces is None


@pytest.mark.parametrize(("days_late", "event"), [(13, "pki.cert.renew"), (15, "pki.cert.issue")])
async def test_an_expired_certificate_is_followed_within_the_grace(
    org: EnrollmentWorld, iwa: MadeUpIwa, days_late: int, event: str
) -> None:
    installed = await org.enrolled(iwa)
    org.clock.advance(days=365 + days_late)
    new = await org.enrolled(iwa, replaces=installed.thumbprint)
    assert new.answer["device"] == installed.answer["device"]
    assert [each for each in org.events() if each.startswith("pki.cert")][-1] == event
    with org.store.read() as view:
        row = view.certificates.by_thumbprint(new.thumbprint)
    assert row is not None
    assert row.replaces == (installed.thumbprint if event == "pki.cert.renew" else None)


async def test_a_certificate_of_somebody_else_is_not_replaced(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    org.ad_user(BOB.login)
    status, bobs = await org.enrolled_with(iwa, user=BOB)
    assert status == 200
    alices = await org.enrolled(iwa, replaces=bobs["thumbprint"])
    with org.store.read() as view:
        row = view.certificates.by_thumbprint(alices.thumbprint)
    assert row is not None
    assert row.replaces is None
    assert status_of(org, bobs["thumbprint"]) is CertificateStatus.ISSUED


async def test_names_in_the_request_are_not_read(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    done = await org.enrolled(iwa)
    assert "admin.example.test" in x509.load_pem_x509_csr(csr_pem(done.key).encode()).extensions[
        0
    ].value.get_values_for_type(x509.DNSName)
    certificate = x509.load_pem_x509_certificate(done.answer["certificate"].encode())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == []


async def test_certificates_on_hold_count_for_what_a_device_may_have(
    org: EnrollmentWorld, iwa: MadeUpIwa
) -> None:
    org.set_terms(max_per_hour=100)
    for _ in range(3):
        done = await org.enrolled(iwa)
        with org.store.begin() as work:
            row = work.certificates.by_thumbprint(done.thumbprint)
            assert row is not None
            revoke(work, [row], RevocationReason.CERTIFICATE_HOLD, org.site_now().occasion())
    status, answer = await org.ask_for_certificate(iwa, new_key())
    assert (status, answer["code"]) == (409, "TOO_MANY_CERTIFICATES")
    assert org.events()[-1] == "pki.cert.issue"


async def test_a_person_who_is_deactivated_meanwhile_gets_none(
    org: EnrollmentWorld, iwa: MadeUpIwa, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the two transactions, while the key signs."""
    signer = org.keys.signer

    def deactivate_first(_: KeysInMemory, authority: AuthorityRecord) -> Signer:
        with org.store.begin() as work:
            user = work.users.by_login(ALICE.login)
            assert user is not None
            deactivate_user(work, user, org.site_now().occasion())
        return signer(authority)

    monkeypatch.setattr(KeysInMemory, "signer", deactivate_first)
    status, answer = await org.ask_for_certificate(iwa, new_key())
    assert (status, answer["code"]) == (503, "UNAVAILABLE")
    with org.store.read() as view:
        (row,) = view.certificates.page()
    assert row.status is CertificateStatus.REVOKED


async def test_without_a_store_the_agent_is_told_to_come_again(org: EnrollmentWorld, iwa: MadeUpIwa) -> None:
    key = new_key()
    token = iwa.user_token(await org.nonce(), key.public_key(), now=org.clock.now())
    org.store.engine.dispose()
    (Path(org.store.address.sqlite_file or "")).write_bytes(b"no store" * 1_000)
    status, answer = await org.ask_for_certificate(iwa, key, token)
    assert (status, answer["code"], answer["transient"]) == (503, "UNAVAILABLE", True)


async def test_one_that_is_registered_without_realms_vouches_for_any(
    org: EnrollmentWorld, iwa: MadeUpIwa
) -> None:
    await org.do("PUT", f"/api/v1/iwas/{iwa.id}", iwa.registration() | {"realms": []})
    elsewhere = replace(COMPUTER, principal="WS-1$@OTHER", realm="OTHER")
    assert (await org.enrolled_with(iwa, device=elsewhere))[0] == 200


async def test_a_computer_whose_device_was_deleted_is_a_new_device(
    org: EnrollmentWorld, iwa: MadeUpIwa
) -> None:
    former = (await org.enrolled(iwa)).answer["device"]["id"]
    await org.do("POST", f"/api/v1/devices/{former}/lifecycle/deactivate")
    assert (await org.enrolled_with(iwa))[1]["code"] == "DEVICE_INACTIVE"
    await org.do("DELETE", f"/api/v1/devices/{former}")
    status, answer = await org.enrolled_with(iwa)
    assert status == 200
    assert answer["device"]["id"] != former
