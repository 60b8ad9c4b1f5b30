"""``devicetrust log``: what it prints, and what it says of a log that somebody changed."""

import json
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest
from support.log_events import NOON, log_event

from gateway.adapters.store import Store
from gateway.cli.main import run
from gateway.model.log_event import Severity


@pytest.fixture
def database(tmp_path: Path) -> Path:
    path = tmp_path / "org.db"
    store = Store.open(f"sqlite:///{path}")
    with store.begin() as work:
        work.log.append_many(
            log_event(number, severity=Severity.WARN if number % 10 == 0 else Severity.INFO)
            for number in range(1, 41)
        )
    store.close()
    return path


def numbers(text: str) -> list[int]:
    return [int(json.loads(line)["uuid"][-12:]) for line in text.splitlines()]


def head_of(database: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert run(["log", "verify", "--store", f"sqlite:///{database}"]) == 0
    return capsys.readouterr().out.rstrip().rpartition("head ")[2]


def test_tail_prints_the_newest_in_order(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tail = ["log", "tail", "--format", "json", "--store", f"sqlite:///{database}"]
    assert run(tail) == 0
    assert numbers(capsys.readouterr().out) == list(range(31, 41))
    assert run([*tail, "-n", "2", "--filter", 'severity eq "WARN"']) == 0
    assert numbers(capsys.readouterr().out) == [30, 40]


def test_tail_prints_lines_for_people(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["log", "tail", "-n", "1", "--store", f"sqlite:///{database}"]) == 0
    assert capsys.readouterr().out == (
        "2026-01-02 12:00:40  SUCCESS    user.authentication.sso                 "
        "alice@example.test → Team wiki\n"
    )


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ([], list(range(1, 41))),
        (["--filter", 'severity eq "WARN"'], [10, 20, 30, 40]),
        (["--filter", 'severity eq "WARN" and uuid ew "20"'], [20]),
        (["-q", "flow-7"], [7]),
        (["--since", "2026-01-02T12:00:38Z"], [38, 39, 40]),
        (["--since", "2026-01-02T12:00:05Z", "--until", "2026-01-02T12:00:07Z"], [5, 6]),
    ],
)
def test_export_writes_what_is_asked_for(
    options: list[str], expected: list[int], database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["log", "export", "--store", f"sqlite:///{database}", *options]) == 0
    out, err = capsys.readouterr()
    assert numbers(out) == expected
    assert f"exported {len(expected)} events; head 40:" in err


def test_export_as_syslog_into_a_file(database: Path, tmp_path: Path) -> None:
    target = tmp_path / "out.log"
    assert (
        run(["log", "export", "--store", f"sqlite:///{database}", "--format", "syslog", "-o", str(target)])
        == 0
    )
    lines = target.read_text().splitlines()
    assert len(lines) == 40
    assert lines[0].startswith(
        "<110>1 2026-01-02T12:00:01.000Z - devicetrust - user.authentication.sso [event@"
    )


def test_verify_of_a_good_log_prints_its_head(database: Path, capsys: pytest.CaptureFixture[str]) -> None:
    head = head_of(database, capsys)
    assert head.startswith("40:")
    assert run(["log", "verify", "--store", f"sqlite:///{database}", "--expect", head, "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == {"rows": 40, "head": head, "findings": [], "more": 0}


@pytest.mark.parametrize(
    ("statement", "finding"),
    [
        ("update log set event = replace(event, 'Alice', 'Mallory') where number = 7", "row 7: changed"),
        ("delete from log where number = 12", "row 13: missing: rows 12 to 12 are left out"),
        ("delete from log where number > 35", "row 40: truncated: rows 36 to 40 are gone"),
        ("delete from log where number < 5", "row 4: unrecorded removal"),
        ("update log set published = '2020-01-01 00:00:00.000000' where number = 9", "row 9: changed"),
        ("update log set event_type = 'system.hidden' where number = 11", "row 11: changed: it is searched"),
        ("update log set actor_id = 'nobody' where number = 12", "row 12: changed: it is searched"),
        ("update log set severity = 'DEBUG' where number = 13", "row 13: changed: it is searched"),
        ("update log set outcome = 'SKIPPED' where number = 14", "row 14: changed: it is searched"),
        ("delete from log_targets where number = 15", "row 15: changed: it is searched"),
    ],
)
def test_verify_names_the_row_that_somebody_changed(
    statement: str, finding: str, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute(statement)
    connection.close()
    assert run(["log", "verify", "--store", f"sqlite:///{database}"]) == 1
    assert finding in capsys.readouterr().out


def test_verify_finds_a_log_that_was_made_anew(
    database: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    head = head_of(database, capsys)
    store = Store.open(f"sqlite:///{tmp_path}/forged.db")
    with store.begin() as work:
        work.log.append_many(
            log_event(number, published=NOON + timedelta(hours=1)) for number in range(1, 41)
        )
    store.close()
    assert run(["log", "verify", "--store", f"sqlite:///{tmp_path}/forged.db"]) == 0
    assert run(["log", "verify", "--store", f"sqlite:///{tmp_path}/forged.db", "--expect", head]) == 1
    assert "row 40: not as expected" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["verify", "--expect", "40"], "NUMBER:HASH"),
        (["tail", "--filter", "a eqq 1"], "Unrecognized attribute operator 'eqq'"),
        (["export", "--since", "yesterday"], "'--since': The date format"),
        (["verify", "--store", "sqlite:////nowhere/at/all/org.db"], "/nowhere"),
        (["tail", "-c", "missing.yaml"], "missing.yaml"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line_or_two(
    arguments: list[str], complaint: str, database: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = (
        arguments
        if "--store" in arguments or "-c" in arguments
        else [*arguments, "--store", f"sqlite:///{database}"]
    )
    assert run(["log", *given]) == 2
    err = capsys.readouterr().err
    assert complaint in err
    assert len(err.splitlines()) <= 2
    assert not Path("/nowhere").exists()
