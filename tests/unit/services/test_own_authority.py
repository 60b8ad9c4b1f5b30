"""The life of device certificates in a store, from issuing to revocation, and of their authorities."""

import json
from collections import Counter
from datetime import timedelta
from pathlib import Path
from threading import Thread

import pytest
from sqlalchemy import Engine, event
from support.authority_site import NAMES, AuthoritySite
from support.own_authority import KeyInMemory, new_request

from gateway.adapters.store import Store
from gateway.model.changes import Change, ChangeKind
from gateway.model.issued import (
    AuthorityKind,
    AuthorityStatus,
    CertificateStatus,
    RevocationReason,
)
from gateway.model.org import DeviceStatus, SettingName, UserStatus
from gateway.pki.certificate_profile import VERIFIED_TPM_FIXED
from gateway.pki.crl import parse_crl
from gateway.pki.ocsp import Good, Revoked, Unknown
from gateway.pki.signer import SigningFailed
from gateway.services.authorities import (
    AuthorityRefused,
    NewKey,
    initialise,
    renew_root_crl,
    retire_ended,
    roll_over,
    trusted_authorities,
)
from gateway.services.issuing import (
    RESERVATION_LIFETIME,
    IssuingRefusal,
    IssuingRefused,
    abandon_reservations,
    certificate_of,
    complete,
    reserve,
    sign_and_complete,
    sign_reserved,
)
from gateway.services.publishing import Shard, certificate_statuses, publish, shards_of
from gateway.services.renewing import certificate_seen, reserve_renewal
from gateway.services.revoking import (
    activate_device,
    activate_user,
    deactivate_device,
    deactivate_user,
    release,
    revoke,
    revoke_of_device,
    revoke_of_user,
)

ISSUED, REVOKED, HELD, RESERVED = (
    CertificateStatus.ISSUED,
    CertificateStatus.REVOKED,
    CertificateStatus.HELD,
    CertificateStatus.RESERVED,
)
DAY = timedelta(days=1)


@pytest.fixture
def site(tmp_path: Path) -> AuthoritySite:
    return AuthoritySite.create(tmp_path)


def changes(site: AuthoritySite) -> list[Change]:
    with site.store.read() as view:
        return list(view.feed.changes_after(0))


def logged(site: AuthoritySite) -> list[tuple[str, str]]:
    with site.store.connected() as connection:
        rows = connection.exec_driver_sql("SELECT event FROM log ORDER BY number").all()
    events = [json.loads(row[0]) for row in rows]
    return [(event["eventType"], event["displayMessage"]) for event in events]


def refusal(reason: IssuingRefusal):
    return pytest.raises(IssuingRefused, check=lambda refused: refused.reason is reason)


def test_issuing_leaves_a_certificate_a_link_and_two_events(site):
    device, user = site.device(), site.user()
    issued = site.issue(device, user)
    assert issued.certificate.is_signed_by(site.issuing())
    assert site.status(issued) is ISSUED
    assert issued.row.thumbprint == issued.certificate.thumbprint
    assert issued.row.certificate_der == issued.certificate.der
    with site.store.read() as view:
        assert [each.id for each, _ in view.devices.users_of(device.id)] == [user.id]
    assert logged(site)[2:] == [
        ("pki.cert.issue", "Device Trust certificate issuance"),
        ("user.credential.enroll", "Device Trust certificate enrollment"),
    ]


def test_the_shard_of_a_certificate_is_the_one_that_it_names(site):
    device = site.device()
    site.with_rules(max_certificates=100)
    for _ in range(8):
        issued = site.issue(device, None)
        name = f"http://sso.example.test/crl/mtls-1-{issued.row.crl_shard}.crl"
        assert issued.certificate.extensions.crl_distribution_points == {name}
        assert issued.row.crl_shard == issued.row.serial_number % NAMES.crl_shards


def test_the_intent_is_in_the_store_before_anything_is_signed(site):
    device = site.device()
    with site.store.begin() as work:
        reservation = reserve(
            work, new_request(), device.id, None, site.rules, site.occasion(), site.randomness
        )
    assert site.status(reservation.row) is RESERVED
    site.keys.gone = True
    with pytest.raises(SigningFailed):
        sign_reserved(reservation, site.keys)
    assert site.status(reservation.row) is RESERVED


def test_what_a_crash_left_reserved_is_withdrawn_and_never_served(site):
    device = site.device()
    with site.store.begin() as work:
        left = reserve(work, new_request(), device.id, None, site.rules, site.occasion(), site.randomness)
    with site.store.begin() as work:
        assert abandon_reservations(work, site.occasion()) == ()  # it may still be at work
    site.later(RESERVATION_LIFETIME + timedelta(seconds=1))
    with site.store.begin() as work:
        assert len(abandon_reservations(work, site.occasion())) == 1
    assert site.status(left.row) is REVOKED
    certificate = sign_reserved(left, site.keys)
    with refusal(IssuingRefusal.REVOKED_MEANWHILE), site.store.begin() as work:
        complete(work, left, certificate, site.occasion())
    with site.store.read() as view:
        assert view.certificates.by_thumbprint(certificate.thumbprint) is None


def test_a_user_who_is_deactivated_while_a_certificate_is_made_does_not_get_it(site):
    device, user = site.device(), site.user()
    with site.store.begin() as work:
        reservation = reserve(
            work, new_request(), device.id, user.id, site.rules, site.occasion(), site.randomness
        )
    certificate = sign_reserved(reservation, site.keys)
    with site.store.begin() as work:
        deactivate_user(work, user, site.occasion())
    with refusal(IssuingRefusal.REVOKED_MEANWHILE), site.store.begin() as work:
        complete(work, reservation, certificate, site.occasion())


@pytest.mark.parametrize(
    ("before", "reason"),
    [
        ("read-only", IssuingRefusal.READ_ONLY),
        ("user suspended", IssuingRefusal.USER_INACTIVE),
        ("device suspended", IssuingRefusal.DEVICE_INACTIVE),
        ("enough", IssuingRefusal.TOO_MANY_CERTIFICATES),
        ("name", IssuingRefusal.NAME_REFUSED),
    ],
)
def test_a_refusal_says_why_and_is_in_the_log(site, before, reason):
    device, user = site.device(), site.user(" alice" if before == "name" else "alice@example.test")
    with site.store.begin() as work:
        match before:
            case "read-only":
                work.settings.put(SettingName.READ_ONLY, True, site.now)
            case "user suspended":
                work.users.set_status(user.id, UserStatus.SUSPENDED, site.now)
            case "device suspended":
                work.devices.set_status(device.id, DeviceStatus.SUSPENDED, site.now)
    if before == "enough":
        for _ in range(site.rules.max_certificates):
            site.issue(device, user)
    with refusal(reason):
        site.issue(device, user)
    assert logged(site)[-1] == ("pki.cert.issue", "Device Trust certificate issuance")


def test_several_devices_of_a_user_and_several_users_of_a_device_do_not_count_together(site):
    site.with_rules(max_certificates=1)
    devices, users = [site.device("a"), site.device("b")], [site.user("alice"), site.user("bob")]
    for device in devices:
        for user in users:
            site.issue(device, user)
    with refusal(IssuingRefusal.TOO_MANY_CERTIFICATES):
        site.issue(devices[0], users[0])


def test_read_only_stops_issuing_and_renewal_but_not_revocation(site):
    issued = site.issue(site.device(), site.user())
    with site.store.begin() as work:
        work.settings.put(SettingName.READ_ONLY, True, site.now)
    with refusal(IssuingRefusal.READ_ONLY):
        site.renew(issued.row, force=True)
    with site.store.begin() as work:
        assert revoke(work, [issued.row], RevocationReason.KEY_COMPROMISE, site.occasion()).revoked


def test_a_certificate_is_renewed_from_thirty_days_before_its_end_or_when_forced(site):
    first = site.issue(site.device(), site.user())
    with refusal(IssuingRefusal.NOT_DUE):
        site.renew(first.row)
    forced = site.renew(first.row, force=True)
    site.later(timedelta(days=335, seconds=1))
    second = site.renew(first.row)
    assert {forced.row.replaces, second.row.replaces} == {first.row.thumbprint}
    assert (second.row.device_id, second.row.user_id) == (first.row.device_id, first.row.user_id)
    assert ("pki.cert.renew", "Device Trust certificate renewal") in logged(site)
    assert Counter(name for name, _ in logged(site))["user.credential.enroll"] == 1


def test_a_key_that_was_attested_once_is_known_for_good_and_no_other(site):
    request, device = new_request(), site.device()
    with site.store.begin() as work:
        reservation = reserve(
            work, request, device.id, None, site.rules, site.occasion(), site.randomness, hardware_key=True
        )
    first = sign_and_complete(site.store, site.keys, reservation, site.occasion())

    def renewed(former, asked):
        with site.store.begin() as work:
            again = reserve_renewal(
                work, asked, former.row, site.rules, site.occasion(), site.randomness, force=True
            )
        return sign_and_complete(site.store, site.keys, again, site.occasion())

    same, other = renewed(first, request), renewed(first, new_request())
    profiles = [each.row.profile for each in (first, same, other, renewed(other, request))]
    assert profiles == ["hardware-device", "hardware-device", "device", "device"]
    policies = [each.certificate.extensions.policy.policies for each in (first, same, other)]
    assert policies == [{VERIFIED_TPM_FIXED}, {VERIFIED_TPM_FIXED}, None]


def test_near_the_end_of_the_authority_nothing_is_renewed_over_and_over(site):
    site.now = site.issuing().not_after - 20 * DAY
    first = site.issue(site.device(), None)
    assert first.row.not_after == site.issuing().not_after
    with refusal(IssuingRefusal.NOT_DUE):
        site.renew(first.row)
    assert site.renew(first.row, force=True).row.not_after == first.row.not_after
    site.roll_over()
    assert site.renew(first.row).row.not_after > first.row.not_after


def test_a_device_that_renews_over_and_over_leaves_few_revoked_certificates_behind(site):
    newest = site.issue(site.device(), None)
    for _ in range(6):
        newest = site.renew(newest.row, force=True)
        with site.store.begin() as work:
            certificate_seen(work, newest.row.thumbprint, site.rules, site.occasion())
    with refusal(IssuingRefusal.NOT_DUE):
        site.renew(newest.row, force=True)
    site.now += timedelta(hours=1)
    site.renew(newest.row, force=True)


@pytest.mark.parametrize(("revoke_superseded", "then"), [(True, REVOKED), (False, ISSUED)])
def test_the_old_certificate_works_until_the_new_one_was_seen(site, revoke_superseded, then):
    site.with_rules(revoke_superseded=revoke_superseded, max_certificates=1)
    old = site.issue(site.device(), site.user())
    new = site.renew(old.row, force=True)
    with site.store.begin() as work:
        certificate_seen(work, old.row.thumbprint, site.rules, site.occasion())
    assert site.status(old) is ISSUED
    for _ in range(2):  # a second sign-on changes nothing
        with site.store.begin() as work:
            certificate_seen(work, new.row.thumbprint, site.rules, site.occasion())
    assert (site.status(old), site.status(new)) == (then, ISSUED)
    reasons = [c.payload["reason"] for c in changes(site) if c.kind is ChangeKind.CERTIFICATE_REVOKED]
    assert reasons == (["superseded"] if revoke_superseded else [])


@pytest.mark.parametrize("how", ["revoked", "held", "expired"])
def test_what_is_not_valid_is_not_renewed(site, how):
    issued = site.issue(site.device(), site.user())
    if how == "expired":
        site.later(timedelta(days=366))
    else:
        reason = RevocationReason.CERTIFICATE_HOLD if how == "held" else RevocationReason.KEY_COMPROMISE
        with site.store.begin() as work:
            revoke(work, [issued.row], reason, site.occasion())
    with refusal(IssuingRefusal.NOT_VALID):
        site.renew(issued.row, force=True)


def test_revoking_is_recorded_once_and_again_does_no_harm(site):
    device, user = site.device(), site.user("Alice@example.test")
    issued = site.issue(device, user)
    for expected in (1, 0):
        with site.store.begin() as work:
            done = revoke(work, [issued.row], RevocationReason.KEY_COMPROMISE, site.occasion())
        assert (len(done.revoked), done.already) == (expected, 1 - expected)
    assert [(c.kind, dict(c.payload)) for c in changes(site)[1:]] == [
        (
            ChangeKind.CERTIFICATE_REVOKED,
            {
                "issuer": issued.row.issuer_hash.hex(),
                "serial": issued.row.serial_hex,
                "device": device.certificate_name,
                "user": "alice@example.test",
                "reason": "keyCompromise",
            },
        )
    ]
    assert Counter(name for name, _ in logged(site))["pki.cert.revoke"] == 1


def test_a_hold_is_released_and_a_revocation_is_for_good(site):
    issued = site.issue(site.device(), site.user())
    for reason, status, released in (
        (RevocationReason.CERTIFICATE_HOLD, HELD, True),
        (RevocationReason.CERTIFICATE_HOLD, HELD, True),
        (RevocationReason.KEY_COMPROMISE, REVOKED, False),
    ):
        with site.store.begin() as work:
            revoke(work, [issued.row], reason, site.occasion())
        assert site.status(issued) is status
        with site.store.begin() as work:
            assert release(work, issued.row, site.occasion()) is released
    kinds = [c.kind for c in changes(site)[1:]]
    assert kinds == [
        ChangeKind.CERTIFICATE_REVOKED,
        ChangeKind.CERTIFICATE_RELEASED,
        ChangeKind.CERTIFICATE_REVOKED,
        ChangeKind.CERTIFICATE_RELEASED,
        ChangeKind.CERTIFICATE_REVOKED,
    ]


def test_remove_from_crl_is_no_reason_to_revoke(site):
    issued = site.issue(site.device(), None)
    with pytest.raises(ValueError, match="removeFromCRL"), site.store.begin() as work:
        revoke(work, [issued.row], RevocationReason.REMOVE_FROM_CRL, site.occasion())
    assert site.status(issued) is ISSUED


def test_all_certificates_of_a_device_or_of_a_user_are_revoked(site):
    laptop, desktop = site.device("laptop"), site.device("desktop")
    alice, bob = site.user("alice"), site.user("bob")
    shared = [site.issue(laptop, alice), site.issue(laptop, bob), site.issue(desktop, alice)]
    with site.store.begin() as work:
        assert (
            len(revoke_of_device(work, laptop.id, RevocationReason.KEY_COMPROMISE, site.occasion()).revoked)
            == 2
        )
    with site.store.begin() as work:
        done = revoke_of_user(work, alice.id, RevocationReason.AFFILIATION_CHANGED, site.occasion())
    assert [row.device_id for row in done.revoked] == [desktop.id]
    assert [site.status(each) for each in shared] == [REVOKED] * 3


def test_a_user_leaves_and_comes_back_and_enrolls_again_without_cleaning_up(site):
    site.with_rules(max_certificates=1)
    device, user = site.device(), site.user()
    first = site.issue(device, user)
    with site.store.begin() as work:
        assert len(deactivate_user(work, user, site.occasion()).revoked) == 1
        deactivate_user(work, user, site.occasion())
    assert site.status(first) is REVOKED
    with refusal(IssuingRefusal.USER_INACTIVE):
        site.issue(device, user)
    with site.store.begin() as work:
        now = work.users.get(user.id)
        assert activate_user(work, now, site.occasion())
        assert not activate_user(work, now, site.occasion())
    assert site.status(site.issue(device, user)) is ISSUED
    assert [c.kind for c in changes(site)[1:]] == [
        ChangeKind.USER_DEACTIVATED,
        ChangeKind.CERTIFICATE_REVOKED,
        ChangeKind.USER_ACTIVATED,
    ]
    names = [name for name, _ in logged(site)]
    assert "user.lifecycle.deactivate" in names
    assert "user.lifecycle.reactivate" in names


def test_a_device_is_taken_out_of_use_and_back(site):
    device = site.device()
    first = site.issue(device, site.user())
    with site.store.begin() as work:
        deactivate_device(work, device, site.occasion())
        assert activate_device(work, work.devices.get(device.id), site.occasion())
    assert site.status(first) is REVOKED
    assert {c.kind for c in changes(site)} >= {ChangeKind.DEVICE_DEACTIVATED, ChangeKind.DEVICE_ACTIVATED}


# Authorities.


def test_an_authority_is_made_once(site):
    key = NewKey(KeyInMemory())
    with pytest.raises(AuthorityRefused, match="already"), site.store.begin() as work:
        initialise(work, NAMES, key, key, site.occasion(), site.randomness)
    assert [each.kind for each in site.authorities()] == [AuthorityKind.ROOT, AuthorityKind.ISSUING]
    assert Counter(name for name, _ in logged(site))["pki.ca.add"] == 2


def test_after_a_roll_over_old_and_new_are_trusted_until_the_last_old_certificate_ended(site):
    device, user = site.device(), site.user()
    old = site.issue(device, user)
    site.later(timedelta(days=300))
    second = site.roll_over()
    new = site.renew(old.row, force=True)
    assert new.row.authority_id == second.id
    assert new.certificate.is_signed_by(certificate_of(second.certificate_der))

    def trusted() -> list[int]:
        with site.store.begin() as work:
            retire_ended(work, site.occasion())
            return [each.generation for each in trusted_authorities(work)]

    assert trusted() == [1, 2]
    site.later(timedelta(days=66))
    assert trusted() == [2]
    assert [each.status for each in site.authorities()[1:]] == [
        AuthorityStatus.RETIRED,
        AuthorityStatus.ACTIVE,
    ]
    names = [name for name, _ in logged(site)]
    assert names.count("pki.ca.renew") == names.count("pki.ca.delete") == 1
    assert [c.kind for c in changes(site)].count(ChangeKind.STATE_CHANGED) == 3


def test_a_revoked_last_certificate_retires_the_authority_as_well(site):
    issued = site.issue(site.device(), None)
    site.roll_over()
    with site.store.begin() as work:
        assert retire_ended(work, site.occasion()) == []
        revoke(work, [issued.row], RevocationReason.SUPERSEDED, site.occasion())
        assert [each.generation for each in retire_ended(work, site.occasion())] == [1]


def test_only_the_roots_key_makes_an_issuing_authority(site):
    with pytest.raises(AuthorityRefused, match="not the key"), site.store.begin() as work:
        roll_over(work, NAMES, KeyInMemory(), NewKey(KeyInMemory()), site.occasion(), site.randomness)


def test_the_roots_list_is_there_from_the_start_and_is_made_anew_by_its_key(site):
    root = site.authorities()[0]
    with site.store.begin() as work:
        first = work.crls.get(root.id, 0)
        second = renew_root_crl(work, site.root_key, site.occasion())
    assert (first.number, second.number) == (1, 2)
    assert parse_crl(second.der, [certificate_of(root.certificate_der)]).number == 2
    with pytest.raises(AuthorityRefused), site.store.begin() as work:
        renew_root_crl(work, KeyInMemory(), site.occasion())


# Publication.


def published(site: AuthoritySite) -> list[int | None]:
    """The number of each shard's list that had to be signed."""
    with site.store.read() as view:
        shards = shards_of(view)
    crls = [publish(site.store, site.keys, shard, site.now, DAY) for shard in shards]
    return [None if crl is None else crl.number for crl in crls]


def test_a_list_is_signed_when_it_is_missing_half_over_or_no_longer_true(site):
    assert published(site) == [1, 1, 1, 1]
    assert published(site) == [None] * 4
    site.later(DAY / 2 - timedelta(seconds=1))
    assert published(site) == [None] * 4
    site.later(timedelta(seconds=1))
    assert published(site) == [2, 2, 2, 2]
    issued = site.issue(site.device(), None)
    assert published(site) == [None] * 4
    with site.store.begin() as work:
        revoke(work, [issued.row], RevocationReason.CERTIFICATE_HOLD, site.occasion())
    expected: list[int | None] = [None] * 4
    expected[issued.row.crl_shard] = 3
    assert published(site) == expected
    with site.store.read() as view:
        crl = view.crls.get(issued.row.authority_id, issued.row.crl_shard)
    read = parse_crl(crl.der, [site.issuing()])
    assert list(read.revoked) == [issued.row.serial_number]
    assert read.scope.distribution_points == issued.certificate.extensions.crl_distribution_points
    with site.store.begin() as work:
        release(work, issued.row, site.occasion())
    expected[issued.row.crl_shard] = 4
    assert published(site) == expected


def test_a_revoked_certificate_leaves_the_list_after_its_end(site):
    issued = site.issue(site.device(), None)
    with site.store.begin() as work:
        revoke(work, [issued.row], RevocationReason.KEY_COMPROMISE, site.occasion())
    shard = Shard(issued.row.authority_id, issued.row.crl_shard)
    for days_after, listed in ((-1, 1), (0, 1), (1, 1), (2, 0)):
        site.now = issued.row.not_after + DAY * days_after
        crl = publish(site.store, site.keys, shard, site.now, DAY)
        assert len(parse_crl(crl.der, [site.issuing()]).revoked) == listed


def test_of_two_gateways_that_sign_one_list_the_second_looks_again(site, monkeypatch):
    issued = site.issue(site.device(), None)
    shard = Shard(issued.row.authority_id, issued.row.crl_shard)
    publish(site.store, site.keys, shard, site.now, DAY)
    with site.store.begin() as work:
        revoke(work, [issued.row], RevocationReason.KEY_COMPROMISE, site.occasion())
    own = site.keys.signer

    def other_gateway_is_faster(authority):
        monkeypatch.setattr(site.keys.__class__, "signer", lambda self, authority: own(authority))
        publish(site.store, site.keys, shard, site.now, DAY)
        return own(authority)

    monkeypatch.setattr(
        site.keys.__class__, "signer", lambda self, authority: other_gateway_is_faster(authority)
    )
    assert publish(site.store, site.keys, shard, site.now, DAY) is None
    with site.store.read() as view:
        assert view.crls.get(shard.authority_id, shard.number).number == 2


def test_ocsp_says_good_revoked_or_unknown(site):
    device = site.device()
    issued = site.issue(device, None)
    with site.store.begin() as work:
        reserved = reserve(work, new_request(), device.id, None, site.rules, site.occasion(), site.randomness)
    authority = site.authorities()[-1]

    def said(serial_number: int):
        with site.store.read() as view:
            return certificate_statuses(view, authority, [serial_number])[0]

    assert said(issued.row.serial_number) == Good()
    assert said(reserved.row.serial_number) == Unknown()
    assert said(1) == Unknown()
    with site.store.begin() as work:
        revoke(work, [issued.row], RevocationReason.KEY_COMPROMISE, site.occasion())
    assert said(issued.row.serial_number) == Revoked(site.now, RevocationReason.KEY_COMPROMISE)


def test_ocsp_asks_the_store_once_however_many_certificates_are_meant(site):
    issued = [site.issue(site.device(), None).row.serial_number for _ in range(3)]
    authority = site.authorities()[-1]
    wanted = [*issued, 1, -1, 1 << 167, issued[0]]
    statements = []

    def seen(_connection, _cursor, statement, *_):
        statements.append(statement)

    event.listen(Engine, "before_cursor_execute", seen)
    try:
        with site.store.read() as view:
            said = certificate_statuses(view, authority, wanted)
    finally:
        event.remove(Engine, "before_cursor_execute", seen)
    assert said == [Good(), Good(), Good(), Unknown(), Unknown(), Unknown(), Good()]
    assert len([each for each in statements if "FROM certificates" in each]) == 1


def test_what_is_being_issued_while_all_of_a_user_or_device_is_revoked_is_revoked_too(postgres_url):
    """On PostgreSQL both go on at once; on SQLite one transaction waits for the other anyway."""
    site = AuthoritySite(Store.open(postgres_url))
    site.initialise()
    device, user = site.device(), site.user()
    done = []

    def revoke_all(revoke_of, meant):
        with site.store.begin() as work:
            done.extend(revoke_of(work, meant.id, RevocationReason.KEY_COMPROMISE, site.occasion()).revoked)

    for revoke_of, meant in ((revoke_of_user, user), (revoke_of_device, device)):
        with site.store.begin() as work:
            reserved = reserve(
                work, new_request(), device.id, user.id, site.rules, site.occasion(), site.randomness
            )
            revoking = Thread(target=revoke_all, args=(revoke_of, meant))
            revoking.start()
            revoking.join(0.5)
        revoking.join(20)
        assert [each.serial_number for each in done] == [reserved.row.serial_number]
        done.clear()
    site.store.close()
