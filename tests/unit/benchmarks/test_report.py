"""What is printed and written of measured samples."""

import json
from pathlib import Path

import pytest

from benchmarks.load import LoadFailed, expect_only
from benchmarks.machine import Machine
from benchmarks.report import (
    OURS,
    Negotiated,
    Quantity,
    Row,
    Skipped,
    Workload,
    cpu_and_rate,
    markdown,
    sampled_row,
    write_results,
)
from benchmarks.series import CPU, Sample

MACHINE = Machine(
    date="2026-11-23 12:00 UTC",
    cpu="Some CPU",
    cores=2,
    kernel="6.1",
    system="Debian GNU/Linux 12",
    python="3.11.2",
    gateway_packages={"uvloop": "0.23.0"},
    gateway_openssl="OpenSSL 4.0.3",
    peers={"nginx": "1.22.1 with OpenSSL 3.0.19"},
    client_openssl="OpenSSL 3.0.19",
    load_generators="wrk",
)
TLS = Negotiated("TLSv1.3", "X25519", "TLS_AES_256_GCM_SHA384")


def samples(*microseconds: float) -> tuple[Sample, ...]:
    return tuple(Sample(1000, value / 1000, 2.0) for value in microseconds)


def workload(*rows: Row) -> Workload:
    return Workload("get", "A GET", cpu_and_rate("request"), rows, {OURS: TLS}, ("A note.",))


BESIDE_NGINX = sampled_row("GET", {OURS: samples(80, 85, 120), "nginx": samples(99, 100, 300)})


def test_each_side_has_a_line_with_median_and_range_and_peers_the_ratio() -> None:
    text = markdown(workload(BESIDE_NGINX))
    assert "|  |  | CPU µs per request | gateway ÷ it | requests/s |" in text
    assert "| GET | gateway | 85.0 (80.0-120.0) |  | 500 |" in text
    assert "|  | nginx | 100 (99-300) | **0.85** | 500 |" in text
    assert "- gateway: TLSv1.3, X25519, TLS_AES_256_GCM_SHA384\n- A note." in text


def test_a_row_without_a_peer_has_no_ratio() -> None:
    assert "| GET | gateway | 85.0 |  | 500 |" in markdown(workload(sampled_row("GET", {OURS: samples(85)})))


def test_a_row_without_the_gateway_has_no_ratio_either() -> None:
    assert workload(sampled_row("GET", {"nginx": samples(85)})).rows[0].ratios(CPU) == {}


def test_a_quantity_that_one_side_does_not_have_leaves_its_cell_empty() -> None:
    row = Row("close", {OURS: {"ms": [3.0], "mib": [70.0]}, "nginx": {"ms": [6.0]}})
    quantities = (Quantity("ms", "ms", compared=True), Quantity("mib", "MiB"))
    text = markdown(Workload("close", "Closing", quantities, (row,), {}, ()))
    assert "|  | nginx | 6.00 | **0.50** |  |" in text


def test_what_was_not_measured_says_why() -> None:
    assert "Not measured: no HTTP/2.\n" in markdown(Skipped("http2", "no HTTP/2"))


def test_the_files_hold_every_repetition_and_the_machine(tmp_path: Path) -> None:
    write_results(tmp_path, MACHINE, [workload(BESIDE_NGINX), Skipped("http2", "no HTTP/2")], "a test")
    written = json.loads((tmp_path / "get.json").read_text())
    assert written["machine"]["cpu"] == "Some CPU"
    row = written["rows"][0]
    assert row["sides"]["gateway"][CPU]["each"] == pytest.approx([80, 85, 120])
    assert row["sides"]["nginx"][CPU]["median"] == pytest.approx(100)
    assert row["ratios"][CPU]["nginx"] == pytest.approx(0.85)
    readme = (tmp_path / "README.md").read_text()
    assert "## A GET (`get.py`)" in readme
    assert "Not measured: no HTTP/2." in readme


def test_an_unexpected_answer_fails_the_run_instead_of_being_measured() -> None:
    expect_only({"307": 600}, 307)
    with pytest.raises(LoadFailed, match="expected only 307"):
        expect_only({"307": 599, "400": 1}, 307)
