"""What is printed and written of measured samples."""

import json
from pathlib import Path

import pytest

from benchmarks.load import LoadFailed, Negotiated, expect_only
from benchmarks.machine import Machine
from benchmarks.report import Row, Workload, markdown, write_results
from benchmarks.series import Sample

MACHINE = Machine(
    date="2026-11-23 12:00 UTC",
    cpu="Some CPU",
    cores=2,
    kernel="6.1",
    system="Debian GNU/Linux 12",
    python="3.11.2",
    gateway_packages={"uvloop": "0.23.0"},
    gateway_openssl="OpenSSL 4.0.3",
    nginx="1.22.1 with OpenSSL 3.0.19",
    client_openssl="OpenSSL 3.0.19",
    load_generator="wrk",
)
TLS = Negotiated("TLSv1.3", "X25519", "TLS_AES_256_GCM_SHA384")


def samples(*microseconds: float) -> tuple[Sample, ...]:
    return tuple(Sample(1000, value / 1000, 2.0) for value in microseconds)


def workload(*, theirs: tuple[Sample, ...]) -> Workload:
    row = Row("GET", samples(80, 85, 120), theirs)
    return Workload("get", "A GET", "request", (row,), {"gateway": TLS}, ("A note.",))


def test_a_row_shows_both_medians_with_their_ranges_and_the_ratio() -> None:
    text = markdown(workload(theirs=samples(99, 100, 300)))
    assert "| GET | 85.0 (80.0-120.0) | 100 (99-300) | **0.85** | 500 (500-500) | 500 (500-500) |" in text
    assert "- gateway: TLSv1.3, X25519, TLS_AES_256_GCM_SHA384" in text


def test_a_workload_without_a_peer_has_no_columns_for_one() -> None:
    text = markdown(workload(theirs=()))
    assert "| | gateway, CPU µs per request | gateway, requests/s |\n|---|---|---|\n" in text
    assert "| GET | 85.0 (80.0-120.0) | 500 (500-500) |" in text


def test_the_files_hold_every_sample_and_the_machine(tmp_path: Path) -> None:
    write_results(tmp_path, MACHINE, [workload(theirs=samples(100, 100, 100))], "a test")
    written = json.loads((tmp_path / "get.json").read_text())
    assert written["machine"]["cpu"] == "Some CPU"
    assert [s["cpu_seconds"] for s in written["rows"][0]["gateway"]["samples"]] == [0.08, 0.085, 0.12]
    assert written["rows"][0]["cpu_ratio"] == pytest.approx(0.85)
    assert "## A GET (`get.py`)" in (tmp_path / "README.md").read_text()


def test_an_unexpected_answer_fails_the_run_instead_of_being_measured() -> None:
    expect_only({"307": 600}, 307)
    with pytest.raises(LoadFailed, match="expected only 307"):
        expect_only({"307": 599, "400": 1}, 307)
