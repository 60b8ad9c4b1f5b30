"""Whole stores: copied from engine to engine, backed up and restored, and nothing of them lost."""

import os
import sqlite3
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text
from support.filled_store import fill
from support.org_values import a_user

from gateway.adapters.store import Store, schema
from gateway.adapters.store.backup import back_up
from gateway.adapters.store.copying import copy_store, tables
from gateway.adapters.store.statements import Statements
from gateway.model.changes import ChangeKind
from gateway.model.store_errors import FeedBroken, StoreDamaged, StoreError


def silent(_table: str, _rows: int) -> None:
    """Progress that nobody looks at."""


def content(store: Store) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table that is copied, as Python values."""
    with store.connected() as connection:
        statements = Statements(connection, store.shown)
        return {
            table.name: [tuple(row) for row in statements.all(select(table).order_by(*table.primary_key))]
            for table in tables()
        }


@pytest.fixture
def other_url(request: pytest.FixtureRequest, store_url: str, tmp_path: Path) -> str:
    """A store of the other engine."""
    if store_url.startswith("sqlite"):
        url: str = request.getfixturevalue("postgres_url")
        return url
    return f"sqlite:///{tmp_path}/other.db"


@pytest.fixture
def other(other_url: str) -> Iterator[Store]:
    opened = Store.open(other_url)
    yield opened
    opened.close()


def test_the_other_engine_holds_the_same_afterwards(store: Store, other: Store) -> None:
    fill(store)
    before = content(store)
    assert [name for name, rows in before.items() if not rows] == []
    reported: list[tuple[str, int]] = []
    copied = copy_store(store, other, replace=False, progress=lambda *step: reported.append(step))
    assert content(other) == before
    assert copied.rows == {name: len(rows) for name, rows in before.items()}
    assert dict(reported) == copied.rows
    with store.read() as old, other.read() as new:
        assert new.log.head() == old.log.head()


def test_numbers_go_on_beyond_those_of_both(store: Store, other: Store) -> None:
    """A gateway at any number of either finds that its changes are gone, and takes the whole state."""
    fill(store)
    fill(other)
    with other.begin() as work:
        for change in work.feed.changes_after(0):
            work.record(change)
    copied = copy_store(store, other, replace=True, progress=silent)
    with other.read() as view:
        assert view.feed.head() == copied.change_number > 1_000_000
        for number in range(5):
            with pytest.raises(FeedBroken):
                view.feed.changes_after(number)
        newest = view.feed.changes_after(copied.change_number - 1)
        assert [(change.kind, change.payload) for change in newest] == [
            (ChangeKind.STATE_CHANGED, {"what": "everything"})
        ]


def test_a_store_that_holds_something_is_not_replaced_by_accident(store: Store, other: Store) -> None:
    fill(store)
    with other.begin() as work:
        work.users.add(a_user("bob"))
    before = content(other)
    with pytest.raises(StoreError, match=r"is not empty; .* add --force"):
        copy_store(store, other, replace=False, progress=silent)
    assert content(other) == before
    copy_store(store, other, replace=True, progress=silent)
    assert content(other) == content(store)


def test_a_log_that_does_not_hold_together_is_not_copied(store: Store, other: Store) -> None:
    fill(store)
    with store.begin() as work:
        work.statements.connection.execute(text("UPDATE log SET event = '{}' WHERE number = 42"))
    with pytest.raises(StoreDamaged, match="row 42: changed"):
        copy_store(store, other, replace=False, progress=silent)
    assert [name for name, rows in content(other).items() if rows] == []


def test_a_backup_is_one_private_file_that_restores_into_either_engine(
    store: Store, other: Store, tmp_path: Path
) -> None:
    fill(store)
    before = content(store)
    file = tmp_path / "backups" / "one.db"
    file.parent.mkdir()
    back_up(store, file, silent)
    assert [entry.name for entry in file.parent.iterdir()] == ["one.db"]
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    with store.begin() as work:
        work.users.delete(before["users"][0][0])  # type: ignore[arg-type]
    for target in (store, other):
        backup = Store.open(f"sqlite:///{file}")
        copy_store(backup, target, replace=True, progress=silent)
        backup.close()
        assert content(target) == before


def test_a_backup_overwrites_nothing_and_leaves_nothing_where_it_fails(store: Store, tmp_path: Path) -> None:
    directory = tmp_path / "backups"
    directory.mkdir()
    (directory / "there").write_text("precious")
    with pytest.raises(StoreError, match="exists already"):
        back_up(store, directory / "there", silent)
    with pytest.raises(StoreError, match="No such file"):
        back_up(store, tmp_path / "nowhere" / "file", silent)
    assert [entry.name for entry in directory.iterdir()] == ["there"]
    assert (directory / "there").read_text() == "precious"


def test_a_backup_is_of_one_moment_while_others_write(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/store.db")
    fill(store)
    with store.begin() as work:  # what is not committed is in no backup
        work.users.add(a_user("bob"))
        back_up(store, tmp_path / "backup.db", silent)
    backup = Store.open(f"sqlite:///{tmp_path}/backup.db")
    with backup.read() as view:
        assert view.users.by_login("bob") is None
        assert view.users.by_login("alice") is not None
    backup.close()
    store.close()


def test_names_of_files_may_hold_anything(tmp_path: Path) -> None:
    directory = tmp_path / "a?b#c%20d ü"
    store = Store.open(f"sqlite:///{directory}/s?t.db")
    fill(store)
    back_up(store, directory / "b?#.db", silent)
    assert sorted(entry.name for entry in directory.iterdir() if entry.suffix == ".db") == [
        "b?#.db",
        "s?t.db",
    ]
    store.close()


def test_every_table_is_copied_but_the_feed() -> None:
    left_out = set(schema.metadata.tables) - {table.name for table in tables()}
    assert left_out == {"heads", "changes"}


def test_the_file_of_a_store_is_private(tmp_path: Path) -> None:
    old = os.umask(0)
    try:
        store = Store.open(f"sqlite:///{tmp_path}/var/store.db")
        fill(store)
        modes = {entry.name: stat.S_IMODE(entry.stat().st_mode) for entry in (tmp_path / "var").iterdir()}
        assert set(modes.values()) == {0o600}
        assert len(modes) == 3
        store.close()
    finally:
        os.umask(old)
    assert sqlite3.connect(tmp_path / "var/store.db").execute("PRAGMA journal_mode").fetchone() == ("wal",)
