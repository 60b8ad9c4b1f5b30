"""The workloads over a store, on a small SQLite."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.enrollment import parts_of
from benchmarks.issue import measure_use_case
from benchmarks.million_certificates import issued_rows, measure_crls, ocsp_request
from benchmarks.org_site import OrgSite, sqlite
from benchmarks.report import OURS
from benchmarks.series import CPU, RATE
from benchmarks.site import Site
from benchmarks.system_log import measure_engine
from gateway.model.issued import CertificateStatus
from gateway.pki.ocsp import OcspIssuer, parse_ocsp_request
from gateway.services.issuing import certificate_of

SHARDS = 2


@pytest.fixture
def org(tmp_path: Path) -> Iterator[OrgSite]:
    with OrgSite(Site(tmp_path), sqlite(tmp_path), crl_shards=SHARDS) as made:
        yield made


def test_certificates_are_issued_to_as_many_devices(org: OrgSite) -> None:
    sample = measure_use_case(org, 3)
    assert sample.operations == 3
    assert sample.cpu_seconds > 0
    with org.store.read() as view:
        issued = view.certificates.page()
    assert len({each.device_id for each in issued}) == 3
    assert {each.status for each in issued} == {CertificateStatus.ISSUED}


def test_a_filled_store_has_one_in_ten_revoked_and_its_lists_name_them(org: OrgSite) -> None:
    authority = org.authority()
    with org.store.begin() as work:
        work.certificates.add_many(issued_rows(authority, list(range(1, 101))))
    spent, lengths = measure_crls(org, authority)
    assert len(spent) == len(lengths) == SHARDS
    with org.store.read() as view:
        listed = list(view.certificates.revoked_entries(authority.issuer_hash))
        assert view.certificates.count() == 100
    assert len(listed) == 10
    assert org.engine.stored_bytes() > 100 * 768


def test_an_ocsp_request_names_the_certificate_and_its_issuer(org: OrgSite) -> None:
    authority = org.authority()
    head, _, body = ocsp_request(authority, 12_345).partition(b"\r\n\r\n")
    (asked,) = parse_ocsp_request(body).asked
    assert asked.serial_number == 12_345
    assert OcspIssuer(certificate_of(authority.certificate_der)).is_named_by(asked)
    assert f"Content-Length: {len(body)}".encode() in head


def test_every_row_of_the_system_log_has_its_cpu_and_its_rate(tmp_path: Path) -> None:
    rows = list(measure_engine(sqlite(tmp_path), 300, one_by_one=2, repetitions=1, directory=tmp_path))
    assert len(rows) == 7
    for row in rows:
        for values in row.sides.values():
            assert all(value > 0 for key in (CPU, RATE) for value in values[key])
    assert len(rows[0].sides) == 2
    assert all(len(row.sides[OURS][CPU]) == 1 for row in rows)


def test_of_an_enrollment_the_time_of_the_org_is_told_from_that_of_the_workers() -> None:
    used = {"iwa": 1.0, "gateway": 5.0, "org": 4.0}
    parts = parts_of({"operations": 100, "elapsed_seconds": 2.0, "cpu_seconds": used}, 0.5)
    wanted = {"iwa": 10_000, "org": 40_000, "worker": 10_000, "database": 5_000, CPU: 65_000, RATE: 50}
    assert parts == pytest.approx(wanted)
