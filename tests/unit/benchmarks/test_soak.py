"""How the soak counts, and what it says at the end."""

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks.soak import growth
from benchmarks.soak_actors import Tally
from benchmarks.soak_report import SOAK_FILE, add_section, section

MIB = 2**20
RESULT: dict[str, Any] = {
    "passed": True,
    "findings": [],
    "machine": {"date": "2026-11-25 21:00 UTC"},
    "minutes": 30.0,
    "workers": 2,
    "right_answers": {"GET": 9_000, "sign-on, trusted": 900, "sign-on, REVOKED": 90, "reload": 7},
    "wrong_answers": {},
    "sockets_closed_after_revocation_ms": {"median": 61.4, "p99": 99.9},
    "memory_growth_bytes": -MIB,
    "descriptors_left": 3,
    "samples": [{"memory_bytes": 70 * MIB}, {"memory_bytes": 80 * MIB}],
}


def test_wrong_answers_are_all_counted_and_the_first_of_each_kind_are_kept_in_words() -> None:
    tally = Tally()
    for number in range(5):
        tally.judge("GET", False, number)
    tally.judge("GET", True, "right")
    tally.judge("POST", False, "no")
    assert dict(tally.right) == {"GET": 1}
    assert dict(tally.wrong) == {"GET": 5, "POST": 1}
    assert tally.wrong_answers == ["GET: 0", "GET: 1", "GET: 2", "POST: 'no'"]


@pytest.mark.parametrize(
    ("memory", "expected"),
    [
        pytest.param([9, 9, 1, 1, 5, 5, 3, 3], 2, id="from the second quarter to the last"),
        pytest.param([1, 1, 4, 4, 5, 5, 3, 3], -1, id="less is less"),
        pytest.param([1, 2, 3], 0, id="too few to tell"),
    ],
)
def test_growth_leaves_out_the_beginning(memory: list[int], expected: int) -> None:
    assert growth([{"memory_bytes": value} for value in memory], "memory_bytes") == expected


def test_the_section_says_what_was_checked_and_what_came_of_it() -> None:
    text = section(RESULT)
    assert text.startswith("30 minutes of mixed load")
    assert "**passed**" in text
    assert "9,997 answers were right, 0 wrong; among them 990 sign-ons" in text
    assert "70 to 80 MiB, -1.0 MiB from" in text
    assert "61 ms (median; p99 100 ms)" in text


def test_a_failed_soak_says_why() -> None:
    text = section({**RESULT, "passed": False, "findings": ["2 wrong answers"], "wrong_answers": {"GET": 2}})
    assert "**failed: 2 wrong answers**" in text
    assert "9,997 answers were right, 2 wrong" in text


def test_the_section_survives_a_new_run_of_the_benchmarks_and_stands_there_once(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Benchmark results\n")
    add_section(tmp_path)
    assert readme.read_text() == "# Benchmark results\n"
    (tmp_path / SOAK_FILE).write_text(json.dumps(RESULT))
    for _ in range(2):
        readme.write_text("# Benchmark results\n\nA new run.\n")
        add_section(tmp_path)
        add_section(tmp_path)
    assert readme.read_text().count("## Soak") == 1
    assert "A new run." in readme.read_text()
