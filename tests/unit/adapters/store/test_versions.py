"""Migrations make the tables of the schema; a store of another version, or none at all, is refused."""

from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import inspect, text

from gateway.adapters.store import Patience, Store
from gateway.adapters.store.address import shown_url, store_address
from gateway.adapters.store.health import status
from gateway.adapters.store.schema import SCHEMA_VERSION, metadata
from gateway.adapters.store.versions import MIGRATIONS
from gateway.model.store_errors import StoreDamaged, StoreTooNew, StoreTooOld, StoreUnavailable


def test_migrations_end_in_the_tables_of_the_schema(store: Store) -> None:
    with store.connected() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        found = inspect(connection)
        assert set(found.get_table_names()) == {*metadata.tables, "alembic_version"}
        for table in metadata.tables.values():
            indexes = {index["name"] for index in found.get_indexes(table.name)}
            assert {index.name for index in table.indexes} <= indexes


def test_the_schema_knows_the_newest_migration() -> None:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    assert ScriptDirectory.from_config(config).get_current_head() == SCHEMA_VERSION


def set_version(store: Store, version: str) -> None:
    with store.connected(writing=True) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :version"), {"version": version})
        connection.commit()


def test_a_store_of_a_later_version_is_refused(store: Store, store_url: str) -> None:
    set_version(store, "9999")
    with pytest.raises(StoreTooNew, match="has version 9999, and this program knows versions up to"):
        Store.open(store_url)
    with pytest.raises(StoreTooNew):
        store.migrate()


def test_a_store_of_an_earlier_version_is_left_as_it_is(store: Store, store_url: str) -> None:
    set_version(store, "0000")
    with pytest.raises(StoreTooOld, match="run: devicetrust store migrate"):
        Store.open(store_url)


def test_an_empty_database_is_filled_only_when_asked(empty_postgres_url: str) -> None:
    with pytest.raises(StoreTooOld, match="is empty; fill it with: devicetrust store migrate"):
        Store.open(empty_postgres_url)
    store = Store.reach(store_address(empty_postgres_url))
    store.migrate()
    store.migrate()  # nothing to do
    assert status(store).version == SCHEMA_VERSION
    store.close()


def test_a_database_of_somebody_else_is_not_touched(empty_postgres_url: str) -> None:
    store = Store.reach(store_address(empty_postgres_url))
    with store.connected(writing=True) as connection:
        connection.execute(text("CREATE TABLE theirs (id int)"))
        connection.commit()
    with pytest.raises(StoreDamaged, match="is no store of devicetrust"):
        Store.open(empty_postgres_url)
    with pytest.raises(StoreDamaged):
        store.migrate()
    store.close()


def test_a_file_that_is_no_store_is_refused_and_stays(tmp_path: Path) -> None:
    file = tmp_path / "notes"
    file.write_text("notes " * 1000)
    with pytest.raises(StoreDamaged, match=r"notes: is damaged or is no SQLite database"):
        Store.open(f"sqlite:///{file}")
    assert file.read_text() == "notes " * 1000


def test_a_damaged_page_is_found(tmp_path: Path) -> None:
    file = tmp_path / "store.db"
    store = Store.open(f"sqlite:///{file}")
    with store.connected() as connection:
        page = connection.execute(text("SELECT rootpage FROM sqlite_master WHERE name = 'users'")).scalar()
    store.close()
    content = bytearray(file.read_bytes())
    content[(page - 1) * 4096 : page * 4096] = b"\xff" * 4096
    file.write_bytes(content)
    damaged = Store.open(f"sqlite:///{file}")
    with pytest.raises(StoreDamaged, match=r"store\.db: is damaged"):
        status(damaged)
    with pytest.raises(StoreDamaged, match="malformed"), damaged.read() as view:
        list(view.users.inactive_login_keys())
    damaged.close()


def test_a_file_that_was_made_and_never_filled_is_filled(tmp_path: Path) -> None:
    """The process that made it may have been killed at once."""
    (tmp_path / "store.db").touch()
    Store.open(f"sqlite:///{tmp_path}/store.db").close()


@pytest.mark.parametrize(
    ("url", "complaint"),
    [
        ("sqlite:////proc/no/store.db", "No such file or directory"),
        ("sqlite:////dev/null/store.db", "File exists"),
        ("sqlite:///", "must be sqlite:///path"),
        ("sqlite:///:memory:", "must be sqlite:///path"),
        ("mysql://user:secret@host/db", "mysql://user@host/db: must be"),
        ("postgresql://user:secret@127.0.0.1:1/db", "Connection refused"),
        ("postgresql://user:secret@/db?host=/nowhere", "No such file"),
        ("postgresql://user:secret@127.0.0.1:1/db?password=secret&colour=red", "invalid URI query parameter"),
    ],
)
def test_a_store_that_cannot_be_reached_says_why_and_never_its_password(url: str, complaint: str) -> None:
    with pytest.raises(StoreUnavailable) as refused:
        Store.open(url, patience=Patience(connect_seconds=2))
    assert complaint in str(refused.value)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:pass@host/db", "postgresql://user@host/db"),
        ("postgresql://user@host/db", "postgresql://user@host/db"),
        ("postgresql://user:p%40ss@one:5432,two:5433/db", "postgresql://user@one:5432,two:5433/db"),
        ("postgresql://user:pa@ss@host/db", "postgresql://user@host/db"),
        ("postgresql://host/db?user=u&password=p&sslmode=require", "postgresql://host/db?user=u&password=…&sslmode=require"),
        ("postgresql://:pass@host/db", "postgresql://@host/db"),
        ("sqlite:////srv/store.db", "sqlite:////srv/store.db"),
    ],
)  # fmt: skip
def test_a_url_is_shown_without_its_password(url: str, shown: str) -> None:
    assert shown_url(url) == shown
