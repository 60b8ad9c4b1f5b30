"""CRLs of ours: read back by our own parser as what was put in, in shards that never change their members."""

from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from hypothesis import given, settings
from hypothesis import strategies as st
from support.own_authority import KeyInMemory, OwnAuthority, new_serial_number

from gateway.model.device import CertificateId
from gateway.model.issued import RevocationReason, RevokedEntry
from gateway.pki.crl import Covers, parse_crl
from gateway.pki.crl_building import build_crl, shard_of
from gateway.pki.revocation import RevocationIndex, RevocationStatus
from gateway.pki.signer import SigningFailed

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
OWN = OwnAuthority(NOW)
SHARD = "http://sso.example.test/crl/mtls-1-0.crl"


def built(entries=(), number=1, points=(), covers=Covers.ALL, signer=None, at=NOW):
    return build_crl(
        OWN.issuing,
        signer or OWN.key,
        number=number,
        this_update=at,
        next_update=at + timedelta(hours=24),
        entries=entries,
        distribution_points=points,
        covers=covers,
    )


reasons = st.sampled_from([reason for reason in RevocationReason if reason != "removeFromCRL"])
times = st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1), timezones=st.just(UTC))
entries = st.lists(
    st.builds(RevokedEntry, st.integers(1, 2**159 - 1), times, reasons),
    max_size=30,
    unique_by=lambda entry: entry.serial_number,
)


@settings(deadline=None, max_examples=150)
@given(entries, st.integers(1, 2**150), st.sampled_from(Covers), st.booleans())
def test_what_is_built_is_read_back_the_same(revoked, number, covers, sharded):
    points = (SHARD,) if sharded else ()
    der = built(revoked, number, points, covers)
    read = parse_crl(der, [OWN.issuing])
    assert sorted(read.revoked) == sorted(entry.serial_number for entry in revoked)
    assert (read.number, read.scope.covers) == (number, covers)
    assert read.scope.distribution_points == frozenset(points)
    assert read.next_update == NOW + timedelta(hours=24)
    library = {
        each.serial_number: (
            each.revocation_date_utc,
            each.extensions[0].value.reason.value if len(each.extensions) else "unspecified",
        )
        for each in x509.load_der_x509_crl(der)
    }
    assert library == {
        entry.serial_number: (entry.revoked_at.replace(microsecond=0), entry.reason.value)
        for entry in revoked
    }


def test_the_same_entries_in_any_order_make_the_same_list():
    some = [RevokedEntry(n, NOW, RevocationReason.SUPERSEDED) for n in (5, 9, 7)]
    first, second = (x509.load_der_x509_crl(built(each)) for each in (some, reversed(some)))
    assert first.tbs_certlist_bytes == second.tbs_certlist_bytes


@pytest.mark.parametrize(
    "entry",
    [
        RevokedEntry(0, NOW, RevocationReason.SUPERSEDED),
        RevokedEntry(-1, NOW, RevocationReason.SUPERSEDED),
        RevokedEntry(1 << 160, NOW, RevocationReason.SUPERSEDED),
        RevokedEntry(1, NOW, RevocationReason.REMOVE_FROM_CRL),
    ],
)
def test_entries_that_no_full_list_may_have_are_refused(entry):
    with pytest.raises(ValueError):
        built([entry])


def test_a_list_with_a_broken_signature_is_not_given_out():
    key = KeyInMemory(OWN.key.key)
    key.broken = True
    with pytest.raises(SigningFailed):
        built(signer=key)


@settings(max_examples=200)
@given(st.lists(st.integers(1, 2**159 - 1), unique=True, max_size=60), st.integers(1, 4096))
def test_every_certificate_is_in_one_shard_for_good(serials, shards):
    members = [
        {s for s in serials if shard_of(s, shards) == shard} for shard in {s % shards for s in serials}
    ]
    assert sum(map(len, members)) == len(serials)
    assert all(0 <= shard_of(serial, shards) < shards for serial in serials)


def test_random_serial_numbers_spread_evenly_over_the_shards():
    counts = [0] * 16
    for _ in range(4_000):
        counts[shard_of(new_serial_number(), 16)] += 1
    assert min(counts) > 150


def test_a_shard_speaks_of_the_certificates_that_name_it_and_of_no_other():
    index = RevocationIndex().with_crl(
        parse_crl(built([RevokedEntry(7, NOW, RevocationReason.SUPERSEDED)], points=(SHARD,)), [OWN.issuing])
    )

    def status(serial, *points):
        return index.status(
            CertificateId(OWN.issuing.issuer_hash, serial),
            NOW,
            is_end_entity=True,
            stale_allowed_for=None,
            distribution_points=frozenset(points),
        )

    assert status(7, SHARD) is RevocationStatus.REVOKED
    assert status(8, SHARD) is RevocationStatus.GOOD
    assert status(8, "http://sso.example.test/crl/mtls-1-1.crl") is RevocationStatus.UNKNOWN


def test_a_later_list_replaces_an_earlier_one_by_its_number_also_within_one_second():
    first = parse_crl(built(number=1), [OWN.issuing])
    second = parse_crl(built([RevokedEntry(7, NOW, RevocationReason.SUPERSEDED)], number=2), [OWN.issuing])
    index = RevocationIndex().with_crl(first).with_crl(second)
    assert index.held_for(OWN.issuing.issuer_hash)[0].is_revoked(7)
