"""The revocation index as a dialogue: CRLs come in, certificates are asked about."""

from datetime import datetime, timedelta

import pytest
from cryptography import x509
from support.forge import DAY, NOW, Extension, crl_entry, forge_authority, forge_crl

from gateway.model.device import CertificateId
from gateway.pki.crl import CrlReason, CrlRejected, CrlSnapshot, parse_crl
from gateway.pki.revocation import RevocationIndex, RevocationStatus

CA = forge_authority("CA")
OTHER = forge_authority("Other CA")
REMOVED: Extension = (x509.CRLReason(x509.ReasonFlags.remove_from_crl), False)
HOUR = timedelta(hours=1)
USERS: Extension = (x509.IssuingDistributionPoint(None, None, True, False, None, False, False), True)
AUTHORITIES: Extension = (x509.IssuingDistributionPoint(None, None, False, True, None, False, False), True)


def partition(uri: str) -> Extension:
    names = [x509.UniformResourceIdentifier(uri)]
    return x509.IssuingDistributionPoint(names, None, False, False, None, False, False), True


def crl(
    *revoked: int, number: int = 1, removed: int | None = None, base: int | None = None, **more: object
) -> CrlSnapshot:
    entries = [crl_entry(serial) for serial in revoked] + ([crl_entry(removed, REMOVED)] if removed else [])
    der = forge_crl(CA, entries, number=number, base_number=base, **more)  # type: ignore[arg-type]  # keywords pass on
    return parse_crl(der, [CA.parsed])


def holding(*crls: CrlSnapshot) -> RevocationIndex:
    index = RevocationIndex()
    for each in crls:
        index = index.with_crl(each)
    return index


def status(
    index: RevocationIndex,
    serial_number: int,
    *,
    now: datetime = NOW,
    issuer: bytes = CA.parsed.issuer_hash,
    is_end_entity: bool = True,
    stale_allowed_for: timedelta | None = None,
    distribution_points: frozenset[str] | None = frozenset(),
) -> str:
    return index.status(
        CertificateId(issuer, serial_number),
        now,
        is_end_entity=is_end_entity,
        stale_allowed_for=stale_allowed_for,
        distribution_points=distribution_points,
    ).value


def test_a_serial_number_means_nothing_without_its_issuer() -> None:
    index = holding(crl(1))
    assert status(index, 1) == "revoked"
    assert status(index, 2) == "good"
    assert status(index, 1, issuer=OTHER.parsed.issuer_hash) == "unknown"


@pytest.mark.parametrize(
    ("after_next_update", "allowed_for", "expected"),
    [
        (timedelta(0), None, "good"),
        (timedelta(seconds=1), None, "stale"),
        (6 * HOUR, 6 * HOUR, "good"),
        (6 * HOUR + timedelta(seconds=1), 6 * HOUR, "stale"),
    ],
    ids=["at nextUpdate", "a second later", "at the end of what is allowed", "a second after that"],
)
def test_a_crl_goes_stale_at_next_update_plus_what_the_authority_allows(
    after_next_update: timedelta, allowed_for: timedelta | None, expected: str
) -> None:
    index = holding(crl(1, next_update=NOW))
    assert status(index, 2, now=NOW + after_next_update, stale_allowed_for=allowed_for) == expected


def test_what_a_stale_crl_revoked_stays_revoked() -> None:
    assert status(holding(crl(1, next_update=NOW - HOUR / 2)), 1) == "revoked"


def test_a_newer_crl_replaces_the_held_one() -> None:
    index = holding(crl(1, number=1), crl(2, number=2))
    assert (status(index, 1), status(index, 2)) == ("good", "revoked")


def test_a_full_crl_goes_under_a_delta_that_is_newer() -> None:
    index = holding(crl(1, number=5), crl(2, number=7, base=5), crl(1, 3, number=6))
    assert [status(index, serial) for serial in (1, 2, 3, 4)] == ["revoked", "revoked", "revoked", "good"]
    (held,) = index.held_for(CA.parsed.issuer_hash)
    assert (held.full.number, held.number) == (6, 7)


def test_a_delta_with_the_number_of_the_full_crl_adds_nothing() -> None:
    """RFC 5280 §5.2.4: both say the same. So it takes nothing off the list either."""
    index = holding(crl(1, number=6))
    assert index.with_crl(crl(2, number=6, base=5, removed=1)) is index


def test_a_delta_goes_with_a_full_crl_of_its_scope_only() -> None:
    first, second = partition("http://a.test/1.crl"), partition("http://a.test/2.crl")
    index = holding(crl(1, number=5, extra=[first]), crl(2, number=5))
    with pytest.raises(CrlRejected) as caught:
        index.with_crl(crl(3, number=6, base=5, extra=[second]))
    assert caught.value.reason is CrlReason.BASE_MISSING
    index = index.with_crl(crl(3, number=6, base=5, removed=1, extra=[first]))
    assert [status(index, serial) for serial in (1, 2, 3)] == ["good", "revoked", "revoked"]


def test_two_authorities_of_one_name_are_held_apart_by_their_keys() -> None:
    namesake = forge_authority("CA")
    theirs = parse_crl(forge_crl(namesake, [1], number=1), [namesake.parsed])
    index = holding(crl(2, number=9), theirs)
    assert [status(index, serial) for serial in (1, 2)] == ["good", "revoked"]
    theirs_too = [status(index, serial, issuer=namesake.parsed.issuer_hash) for serial in (1, 2)]
    assert theirs_too == ["revoked", "good"]


def test_the_index_before_a_change_stays_as_it_was() -> None:
    before = holding(crl(1, number=1))
    before.with_crl(crl(2, number=2))
    assert (status(before, 1), status(before, 2)) == ("revoked", "good")


@pytest.mark.parametrize(
    ("held", "coming", "reason"),
    [
        pytest.param([crl(1, number=5)], crl(number=4), CrlReason.OLDER_THAN_HELD, id="an older CRL"),
        pytest.param(
            [crl(1, number=5)], crl(number=5), CrlReason.NUMBER_REUSED, id="another CRL of the same number"
        ),
        pytest.param(
            [crl(1, number=5), crl(number=7, base=5)],
            crl(number=4),
            CrlReason.OLDER_THAN_HELD,
            id="a full CRL older than the one under the delta",
        ),
        pytest.param(
            [crl(1, number=5), crl(2, number=7, base=5)],
            crl(3, number=6, base=5),
            CrlReason.OLDER_THAN_HELD,
            id="an older delta",
        ),
        pytest.param(
            [crl(1, number=5), crl(2, number=7, base=5)],
            crl(3, number=7, base=5),
            CrlReason.NUMBER_REUSED,
            id="another delta of the same number",
        ),
        pytest.param([], crl(2, number=7, base=5), CrlReason.BASE_MISSING, id="a delta without any CRL"),
        pytest.param(
            [crl(1, number=5)], crl(2, number=9, base=6), CrlReason.BASE_MISSING, id="a delta on a later base"
        ),
    ],
)
def test_a_crl_that_would_go_back_in_time_is_refused(
    held: list[CrlSnapshot], coming: CrlSnapshot, reason: CrlReason
) -> None:
    with pytest.raises(CrlRejected) as caught:
        holding(*held).with_crl(coming)
    assert caught.value.reason is reason


def test_the_held_crl_again_changes_nothing() -> None:
    full, delta = crl(1, number=5), crl(2, number=7, base=5)
    index = holding(full, delta)
    assert index.with_crl(delta) is index
    assert index.with_crl(full) is index


def test_a_delta_adds_and_removes_until_the_next_full_crl() -> None:
    index = holding(crl(1, 2, number=5), crl(3, number=6, base=5, removed=2))
    assert [status(index, serial) for serial in (1, 2, 3)] == ["revoked", "good", "revoked"]
    index = index.with_crl(crl(4, number=7, base=5))
    assert [status(index, serial) for serial in (1, 2, 3, 4)] == ["revoked", "revoked", "good", "revoked"]
    index = index.with_crl(crl(9, number=8))
    assert [status(index, serial) for serial in (1, 4, 9)] == ["good", "good", "revoked"]


def test_a_delta_that_goes_stale_makes_its_base_stale() -> None:
    index = holding(crl(1, number=5), crl(2, number=6, base=5, next_update=NOW + HOUR))
    assert status(index, 9, now=NOW + HOUR) == "good"
    assert status(index, 9, now=NOW + 2 * HOUR) == "stale"


@pytest.mark.parametrize(
    ("extension", "end_entity", "authority"),
    [(USERS, "good", "unknown"), (AUTHORITIES, "unknown", "good")],
    ids=["user certificates only", "CA certificates only"],
)
def test_a_crl_covers_the_kind_of_certificates_that_it_says(
    extension: Extension, end_entity: str, authority: str
) -> None:
    index = holding(crl(1, extra=[extension]))
    assert status(index, 9) == end_entity
    assert status(index, 9, is_end_entity=False) == authority


def test_a_partitioned_crl_covers_certificates_that_name_its_distribution_point() -> None:
    index = holding(crl(1, extra=[partition("http://a.test/1.crl")]))
    assert status(index, 9, distribution_points=frozenset({"http://a.test/1.crl", "ldap://x"})) == "good"
    assert status(index, 9, distribution_points=frozenset({"http://a.test/2.crl"})) == "unknown"
    assert status(index, 9) == "unknown"
    assert status(index, 1, distribution_points=frozenset({"http://a.test/2.crl"})) == "revoked"


def test_partitions_are_held_side_by_side_with_numbers_of_their_own() -> None:
    first = crl(1, number=50, extra=[partition("http://a.test/1.crl")])
    second = crl(2, number=3, extra=[partition("http://a.test/2.crl")], next_update=NOW + HOUR)
    index = holding(first, second)
    assert [status(index, serial) for serial in (1, 2)] == ["revoked", "revoked"]
    assert len(index.held_for(CA.parsed.issuer_hash)) == 2
    later = NOW + 2 * HOUR
    assert status(index, 9, now=later, distribution_points=frozenset({"http://a.test/1.crl"})) == "good"
    assert status(index, 9, now=later, distribution_points=None) == "stale", (
        "not known which partition: all count"
    )


def test_of_several_crls_that_cover_a_certificate_one_fresh_one_is_enough() -> None:
    abandoned = crl(1, number=9, next_update=NOW + HOUR)
    index = holding(abandoned, crl(2, number=1, extra=[USERS]))
    assert status(index, 9, now=NOW + 2 * HOUR) == "good"
    assert status(index, 1, now=NOW + 2 * HOUR) == "revoked", "what the abandoned one revoked stays revoked"
    assert status(index, 9, now=NOW + 2 * HOUR, is_end_entity=False) == "stale"


def test_dates_at_the_end_of_time_are_no_problem() -> None:
    index = holding(crl(1, next_update=datetime.max.replace(microsecond=0, tzinfo=NOW.tzinfo)))
    assert status(index, 2, now=NOW + DAY, stale_allowed_for=400 * DAY) == RevocationStatus.GOOD
