"""Which version a store has, and how it gets to the newest one.

Version numbers are those of the files in ``migrations/versions``, four digits each.
"""

from pathlib import Path
from typing import Final

from sqlalchemy import Connection, inspect, text

from gateway.adapters.store.schema import SCHEMA_VERSION
from gateway.model.store_errors import StoreDamaged, StoreTooNew, StoreTooOld

MIGRATIONS: Final = Path(__file__).parent / "migrations"
_LOCK: Final = 0x6474_7374  # one migration at a time on PostgreSQL; any number that nobody else uses


def version_of(connection: Connection) -> str | None:
    """None: there are no tables of ours."""
    if not inspect(connection).has_table("alembic_version"):
        return None
    version: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return version


def is_empty(connection: Connection) -> bool:
    """Whether there is no table at all."""
    return not inspect(connection).get_table_names()


def check_version(connection: Connection, shown_url: str) -> None:
    """Raises StoreTooOld, StoreTooNew or StoreDamaged unless the store has the newest version."""
    version = version_of(connection)
    if version == SCHEMA_VERSION:
        return
    if version is None:
        if not is_empty(connection):
            raise StoreDamaged(f"{shown_url}: has tables, but is no store of devicetrust")
        raise StoreTooOld(f"{shown_url}: is empty; fill it with: devicetrust store migrate")
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"{shown_url}: has version {version}, and this program knows versions up to {SCHEMA_VERSION}; "
            "use the program that wrote it, or a backup"
        )
    raise StoreTooOld(
        f"{shown_url}: has version {version}, and this program needs {SCHEMA_VERSION}; "
        "run: devicetrust store migrate"
    )


def migrate_connection(connection: Connection, shown_url: str) -> None:
    """Within the connection's transaction. Raises StoreTooNew and StoreDamaged."""
    # Only migrations need these modules, which take as long to load as all others of the store.
    from alembic import command
    from alembic.config import Config

    if connection.dialect.name == "postgresql":
        connection.execute(text(f"SELECT pg_advisory_xact_lock({_LOCK})"))
    try:
        check_version(connection, shown_url)
    except StoreTooOld:
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
        config.attributes["connection"] = connection
        command.upgrade(config, "head")
