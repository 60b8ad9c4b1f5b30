"""Certificates and authorities in both engines: reserve, sign, revoke, hold, release, and reading many."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest
from support.org_values import ISSUER, NOW, a_certificate, an_authority, reserved

from gateway.adapters.store import Store
from gateway.model.issued import (
    AuthorityKind,
    AuthorityRecord,
    AuthorityStatus,
    CertificateQuery,
    CertificateStatus,
    PublishedCrl,
    RevocationReason,
    RevokedEntry,
)
from gateway.model.store_errors import AlreadyExists, ReferenceMissing

LATER = NOW + timedelta(days=1)
LARGEST_SERIAL = 2**159 - 1  # 20 octets (RFC 5280 §4.1.2.2)


@pytest.fixture
def authority(store: Store) -> Iterator[AuthorityRecord]:
    made = an_authority()
    with store.begin() as work:
        work.authorities.add(made)
    yield made  # noqa: PT022 - read by the tests below


def test_the_life_of_a_certificate(store: Store, authority: AuthorityRecord) -> None:
    issued = a_certificate(authority.id, LARGEST_SERIAL)
    with store.begin() as work:
        work.certificates.reserve(reserved(issued))
    with store.begin() as work:
        assert work.certificates.get(ISSUER, LARGEST_SERIAL) == reserved(issued)
        assert work.certificates.complete(
            ISSUER,
            LARGEST_SERIAL,
            certificate_der=issued.certificate_der or b"",
            thumbprint=issued.thumbprint or "",
        )
        assert not work.certificates.complete(ISSUER, 7, certificate_der=b"", thumbprint="")
    with store.begin() as work:
        assert work.certificates.by_thumbprint(issued.thumbprint or "", lock=True) == issued
        assert work.certificates.by_serial_number(LARGEST_SERIAL) == [issued]
        seen = work.certificates.mark_seen(issued.thumbprint or "", LATER)
        assert seen == replace(issued, first_seen=LATER)
        assert work.certificates.mark_seen(issued.thumbprint or "", LATER) is None
        revoked = work.certificates.revoke(ISSUER, LARGEST_SERIAL, LATER, RevocationReason.KEY_COMPROMISE)
        assert revoked == replace(
            issued,
            first_seen=LATER,
            status=CertificateStatus.REVOKED,
            revoked_at=LATER,
            revocation_reason=RevocationReason.KEY_COMPROMISE,
        )
        assert work.certificates.revoke(ISSUER, LARGEST_SERIAL, LATER, RevocationReason.SUPERSEDED) is None
        assert work.certificates.release(ISSUER, LARGEST_SERIAL) is None


def test_a_hold_can_be_taken_back_or_made_final(store: Store, authority: AuthorityRecord) -> None:
    hold = RevocationReason.CERTIFICATE_HOLD
    with store.begin() as work:
        work.certificates.add_many([a_certificate(authority.id, number) for number in (1, 2)])
        held = work.certificates.revoke(ISSUER, 1, LATER, hold)
        assert held is not None
        assert (held.status, held.withdrawn) == (CertificateStatus.HELD, True)
        assert work.certificates.revoke(ISSUER, 1, LATER, hold) is None
        assert set(work.certificates.revoked_serials(ISSUER)) == {1}
        assert work.certificates.release(ISSUER, 1) == a_certificate(authority.id, 1)
        assert set(work.certificates.revoked_serials(ISSUER)) == set()
        work.certificates.revoke(ISSUER, 2, NOW, hold)
        final = work.certificates.revoke(ISSUER, 2, LATER, RevocationReason.CESSATION_OF_OPERATION)
        assert final is not None
        assert (final.status, final.revoked_at) == (CertificateStatus.REVOKED, LATER)


def test_one_that_was_revoked_before_it_was_signed_is_not_given_out(
    store: Store, authority: AuthorityRecord
) -> None:
    with store.begin() as work:
        work.certificates.reserve(reserved(a_certificate(authority.id, 1)))
        work.certificates.revoke(ISSUER, 1, LATER, RevocationReason.CERTIFICATE_HOLD)
        assert not work.certificates.complete(ISSUER, 1, certificate_der=b"x", thumbprint="x")
        assert work.certificates.release(ISSUER, 1) is None


def test_a_serial_number_is_used_once(store: Store, authority: AuthorityRecord) -> None:
    with store.begin() as work:
        work.certificates.reserve(reserved(a_certificate(authority.id, 1)))
    with pytest.raises(AlreadyExists, match=r"certificates\."), store.begin() as work:
        work.certificates.reserve(reserved(a_certificate(authority.id, 1)))


def test_a_certificate_needs_an_authority(store: Store) -> None:
    with pytest.raises(ReferenceMissing), store.begin() as work:
        work.certificates.reserve(a_certificate("aut", 1))


def test_pages_and_streams_of_many(store: Store, authority: AuthorityRecord) -> None:
    """More rows than one batch and one fetch hold."""
    total = 4_500
    with store.begin() as work:
        work.certificates.add_many(
            a_certificate(authority.id, number, user_id=f"user{number % 3}") for number in range(1, total + 1)
        )
    everything = CertificateQuery()
    with store.read() as view:
        assert view.certificates.count() == total
        assert [found.serial_number for found in view.certificates.stream()] == list(range(1, total + 1))
        first = view.certificates.page(everything, limit=1000)
        second = view.certificates.page(everything, after=first[-1], limit=1000)
        assert [found.serial_number for found in [*first, *second]] == list(range(1, 2001))
        assert view.certificates.count(CertificateQuery(user_id="user1")) == total / 3
        assert view.certificates.count_by_status() == {(authority.id, CertificateStatus.ISSUED): total}


def test_pages_pass_over_none_that_were_made_at_the_same_moment(
    store: Store, authority: AuthorityRecord
) -> None:
    with store.begin() as work:
        work.certificates.add_many(
            a_certificate(authority.id, number, created=NOW) for number in range(1, 40)
        )
        seen = []
        after = None
        while page := work.certificates.page(after=after, limit=7):
            seen += [found.serial_number for found in page]
            after = page[-1]
    assert sorted(seen) == list(range(1, 40))


def test_what_a_crl_lists(store: Store, authority: AuthorityRecord) -> None:
    reason = RevocationReason.AFFILIATION_CHANGED
    with store.begin() as work:
        work.certificates.add_many(a_certificate(authority.id, number) for number in range(1, 9))
        work.certificates.reserve(a_certificate(authority.id, 9, not_after=NOW, crl_shard=1))
        for number in (1, 2, 5, 9):
            work.certificates.revoke(ISSUER, number, LATER, reason)
    with store.read() as view:
        entries = list(view.certificates.revoked_entries(ISSUER, shard=1, valid_from=LATER))
        assert sorted(entry.serial_number for entry in entries) == [1, 5]
        assert entries[0] == RevokedEntry(entries[0].serial_number, LATER, reason)
        assert set(view.certificates.revoked_serials(ISSUER)) == {1, 2, 5, 9}
        assert set(view.certificates.revoked_serials(ISSUER, valid_from=LATER)) == {1, 2, 5}
        assert set(view.certificates.revoked_serials(bytes(32))) == set()
        assert [found.serial_number for found in view.certificates.revoked_since(LATER)] == [1, 2, 5, 9]
        assert list(view.certificates.revoked_since(LATER + timedelta(seconds=1))) == []


def test_which_certificates_end_soon_and_which_were_never_finished(
    store: Store, authority: AuthorityRecord
) -> None:
    with store.begin() as work:
        work.certificates.add_many(
            a_certificate(authority.id, number, not_after=NOW + timedelta(days=number))
            for number in (9, 3, 1, 5)
        )
        work.certificates.reserve(reserved(a_certificate(authority.id, 2, created=NOW)))
        work.certificates.revoke(ISSUER, 3, NOW, RevocationReason.SUPERSEDED)
        until = NOW + timedelta(days=9)
        assert [found.serial_number for found in work.certificates.expiring(NOW, until)] == [1, 5]
        assert [found.serial_number for found in work.certificates.reserved_before(LATER)] == [2]
        assert work.certificates.reserved_before(NOW) == []
        query = CertificateQuery(
            authority_id=authority.id,
            device_id="guo00000000000000001",
            statuses=frozenset({CertificateStatus.ISSUED}),
            valid_at=NOW + timedelta(days=4),
            expires_from=NOW + timedelta(days=5),
            expires_before=NOW + timedelta(days=9),
        )
        assert [found.serial_number for found in work.certificates.page(query)] == [5]
        of_device = work.certificates.of_device("guo00000000000000001")
        assert len(of_device) == 5
        assert work.certificates.of_user("00u00000000000000001") == of_device


def test_of_a_device_those_that_could_be_used_without_all_that_it_had(
    store: Store, authority: AuthorityRecord
) -> None:
    ended = a_certificate(authority.id, 1, not_after=NOW)
    made = [ended, *(a_certificate(authority.id, number) for number in (2, 3, 4))]
    with store.begin() as work:
        work.certificates.add_many(made)
        work.certificates.revoke(ISSUER, 2, NOW, RevocationReason.SUPERSEDED)
        work.certificates.revoke(ISSUER, 3, NOW, RevocationReason.CERTIFICATE_HOLD)

        def usable(device_id: str, days: int) -> list[int]:
            found = work.certificates.usable_of_device(device_id, NOW + timedelta(days=days))
            return [each.serial_number for each in found]

        device_id = ended.device_id
        assert usable(device_id, 0) == [3, 4]
        assert usable(device_id, -1) == [1, 3, 4]
        assert usable("guo00000000000000002", -1) == []


def test_authorities_and_their_generations(store: Store) -> None:
    root = an_authority(kind=AuthorityKind.ROOT, issuer_hash=b"root", key_pem=None)
    first = an_authority(key_reference="pkcs11:object=issuing")
    second = an_authority(generation=2, issuer_hash=b"second")
    with store.begin() as work:
        for authority in (second, first, root):
            work.authorities.add(authority)
        assert work.authorities.all() == [root, first, second]
        assert work.authorities.all(AuthorityKind.ISSUING) == [first, second]
        assert work.authorities.get(first.id, lock=True) == first
        assert work.authorities.by_issuer_hash(b"second") == second
        assert work.authorities.set_status(first.id, AuthorityStatus.RETIRING)
        assert work.authorities.update(replace(second, crl_shards=16))
        assert [found.crl_shards for found in work.authorities.all(AuthorityKind.ISSUING)] == [4, 16]
    with pytest.raises(AlreadyExists, match="authorities"), store.begin() as work:
        work.authorities.add(an_authority(generation=2, issuer_hash=b"third"))


def test_the_newest_crl_of_a_shard_counts(store: Store, authority: AuthorityRecord) -> None:
    old = PublishedCrl(authority.id, 0, 1, NOW, LATER, b"old")
    with store.begin() as work:
        work.crls.put(old)
        work.crls.put(replace(old, shard=1))
        work.crls.put(replace(old, number=2, der=b"new"))
        assert work.crls.get(authority.id, 0) == replace(old, number=2, der=b"new")
        assert work.crls.get(authority.id, 2) is None
        assert [crl.shard for crl in work.crls.of_authority(authority.id)] == [0, 1]
