"""How many workers ``auto`` is."""

import os
from pathlib import Path

import pytest

from gateway.adapters.processors import usable_processors


@pytest.mark.parametrize(
    ("limit", "expected"),
    [
        ("max 100000", 8),
        ("200000 100000", 2),
        ("150000 100000", 2),
        ("1000 100000", 1),
        ("6400000 100000", 8),
        ("", 8),
        ("what", 8),
        ("1 0", 8),
    ],
)
def test_a_control_group_bounds_what_the_machine_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(8)))
    (tmp_path / "cpu.max").write_text(limit + "\n")
    assert usable_processors(str(tmp_path / "cpu.max")) == expected


def test_without_control_groups_the_machine_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2})
    assert usable_processors(str(tmp_path / "none")) == 3
