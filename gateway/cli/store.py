"""`devicetrust store`: bring the store to a new version, back it up, move it elsewhere."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import click

from gateway.adapters.store import Patience, Store
from gateway.adapters.store.address import store_address
from gateway.adapters.store.backup import back_up
from gateway.adapters.store.copying import Copied, copy_store
from gateway.adapters.store.health import check_pages, status
from gateway.adapters.store.schema import SCHEMA_VERSION
from gateway.adapters.store.versions import is_empty, version_of
from gateway.cli.store_choice import chosen_url, store_options
from gateway.model.store_errors import StoreUnavailable

_PATIENCE: Final = Patience().for_long_statements
_JSON = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_FORCE = click.option("--force", is_flag=True, help="Replace what the target holds.")


@click.group(
    epilog="""\b
Examples:
  devicetrust store status -c gateway.yaml
  devicetrust store backup -c gateway.yaml /srv/backup/devicetrust.db
  devicetrust store copy-to -c gateway.yaml postgresql://devicetrust@db.example.test/devicetrust
"""
)
def store() -> None:
    """Look after the store: versions, backups, moving between SQLite and PostgreSQL."""


@store.command(
    name="status",
    epilog="""\b
Example:
  devicetrust store status -c gateway.yaml --json | jq .rows.certificates
""",
)
@store_options
@_JSON
def show_status(config_path: str, store_url: str | None, as_json: bool) -> None:
    """Show version, size and contents of the store.

    Reads every page of a SQLite file, to see that it is whole.
    """
    opened = _open(chosen_url(config_path, store_url))
    try:
        found = status(opened)
    finally:
        opened.close()
    if as_json:
        _print_json(asdict(found))
        return
    click.echo(f"{found.url}\n{found.engine}, version {found.version}, {found.size_bytes:,} bytes")
    click.echo(f"change {found.change_number:,}, log row {found.log_number:,}")
    _print_rows(found.rows)


@store.command(
    epilog="""\b
Examples:
  devicetrust store migrate -c gateway.yaml
  devicetrust store migrate --store postgresql://devicetrust@db.example.test/devicetrust
"""
)
@store_options
@_JSON
def migrate(config_path: str, store_url: str | None, as_json: bool) -> None:
    """Bring the store's tables to the version of this program.

    All of it happens or nothing. A SQLite store is backed up beside itself first; back a PostgreSQL
    database up by its own means. Stop the gateways before, start them of the new version after.
    """
    address = store_address(chosen_url(config_path, store_url))
    backup: Path | None = None
    if address.sqlite_file is not None and not address.sqlite_file.exists():
        Store.open(chosen_url(config_path, store_url)).close()
    reached = Store.reach(address, patience=_PATIENCE)
    try:
        if address.sqlite_file is not None:
            check_pages(reached)
        with reached.connected() as connection:
            before = None if is_empty(connection) else version_of(connection)
        if address.sqlite_file is not None and before not in (None, SCHEMA_VERSION):
            moment = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
            backup = address.sqlite_file.with_name(f"{address.sqlite_file.name}.{before}-{moment}")
            back_up(reached, backup, _progress)
        reached.migrate()
    finally:
        reached.close()
    if as_json:
        result = {"url": address.shown, "before": before, "after": SCHEMA_VERSION}
        _print_json({**result, "backup": None if backup is None else str(backup)})
    elif before == SCHEMA_VERSION:
        click.echo(f"{address.shown}: has version {SCHEMA_VERSION} already")
    else:
        click.echo(f"{address.shown}: has version {SCHEMA_VERSION} now")
        if backup is not None:
            click.echo(f"The store as it was before: {backup}")


@store.command(
    epilog="""\b
Example:
  devicetrust store backup -c gateway.yaml /srv/backup/devicetrust-$(date +%F).db
"""
)
@store_options
@_JSON
@click.argument("file", type=click.Path(path_type=Path))
def backup(config_path: str, store_url: str | None, as_json: bool, file: Path) -> None:
    """Write a consistent copy of the store into a new FILE.

    The gateways go on meanwhile. Whatever the store is, the backup is one SQLite file; it holds the
    encrypted keys of the built-in CA that are in the store, so keep it like a key.
    """
    opened = _open(chosen_url(config_path, store_url))
    try:
        back_up(opened, file.absolute(), _progress)
    finally:
        opened.close()
    if as_json:
        _print_json({"url": opened.shown, "file": str(file), "bytes": file.stat().st_size})
    else:
        click.echo(f"{file}: {file.stat().st_size:,} bytes")


@store.command(
    epilog="""\b
Example:
  devicetrust store restore -c gateway.yaml /srv/backup/devicetrust-2026-11-26.db
"""
)
@store_options
@_JSON
@_FORCE
@click.argument("file", type=click.Path(path_type=Path))
def restore(config_path: str, store_url: str | None, as_json: bool, force: bool, file: Path) -> None:
    """Fill the store with what is in the backup FILE.

    All of it or nothing; gateways that run take the restored state at once. What was revoked after the
    backup was made is valid again: revoke it anew.
    """
    if not file.exists():
        raise StoreUnavailable(f"{file}: No such file or directory")
    _copy(f"sqlite:///{file.absolute()}", chosen_url(config_path, store_url), force, as_json)


@store.command(
    name="copy-to",
    short_help="Copy the store to another database.",
    epilog="""\b
Example:
  devicetrust store copy-to -c gateway.yaml postgresql://devicetrust@db.example.test/devicetrust
\b
Then write the URL after store: in gateway.yaml, and restart the gateways.
""",
)
@store_options
@_JSON
@_FORCE
@click.argument("url")
def copy_to(config_path: str, store_url: str | None, as_json: bool, force: bool, url: str) -> None:
    """Copy the store to another, sqlite:///path or postgresql://user@host/database.

    The tables are made where there are none. At the end the rows of each table are counted and the
    chain of the System Log is checked. Stop the gateways before: what they write meanwhile is not copied.
    """
    _copy(chosen_url(config_path, store_url), url, force, as_json)


def _copy(source_url: str, target_url: str, force: bool, as_json: bool) -> None:
    source = _open(source_url)
    try:
        target = _prepared(target_url)
        try:
            copied = copy_store(source, target, replace=force, progress=_progress)
        finally:
            target.close()
    finally:
        source.close()
    _print_copied(target.shown, copied, as_json)


def _open(url: str) -> Store:
    """A store that is there: looking at one does not make one."""
    file = store_address(url).sqlite_file
    if file is not None and not file.exists():
        raise StoreUnavailable(f"{store_address(url).shown}: No such file or directory")
    return Store.open(url, patience=_PATIENCE)


def _prepared(url: str) -> Store:
    """A store to write into, with tables where it had none at all."""
    address = store_address(url)
    if address.sqlite_file is None:
        reached = Store.reach(address, patience=_PATIENCE)
        try:
            with reached.connected() as connection:
                empty = is_empty(connection)
            if empty:
                reached.migrate()
        finally:
            reached.close()
    return Store.open(url, patience=_PATIENCE)


def _progress(table: str, rows: int) -> None:
    if rows:
        click.echo(f"{table}: {rows:,} rows", err=True)


def _print_copied(shown_url: str, copied: Copied, as_json: bool) -> None:
    if as_json:
        _print_json({"url": shown_url, **asdict(copied)})
        return
    _print_rows(copied.rows)
    click.echo(f"{shown_url}: has all of them, and the System Log holds together up to row ", nl=False)
    click.echo(f"{copied.log_number:,}")


def _print_rows(rows: Mapping[str, int]) -> None:
    width = max(map(len, rows))
    for table, count in rows.items():
        click.echo(f"  {table:<{width}}  {count:>12,}")


def _print_json(result: Mapping[str, object]) -> None:
    click.echo(json.dumps(result, indent=2))
