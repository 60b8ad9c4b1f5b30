"""A backup is a SQLite store in a file of its own, whatever engine it was made of."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path

from gateway.adapters.store.copying import Progress, copy_store
from gateway.adapters.store.engine import Patience, create_private_file, file_uri
from gateway.adapters.store.refusals import first_line
from gateway.adapters.store.store import Store
from gateway.model.store_errors import StoreDamaged, StoreError, StoreUnavailable


def back_up(store: Store, file: Path, progress: Progress) -> None:
    """Write a consistent copy of the store into a new file, mode 0600, while others go on writing. The file
    appears whole or not at all. Raises StoreError, also where there is such a file."""
    if file.exists():
        raise StoreError(f"{file}: exists already; a backup never overwrites another")
    partial = file.with_name(f".{file.name}.partial")
    try:
        partial.unlink(missing_ok=True)
        create_private_file(str(partial))
        if store.address.sqlite_file is not None:
            _copy_file(store.address.sqlite_file, partial)
        else:
            _copy_rows(store, partial, progress)
        _finish(partial)
        partial.rename(file)
        _sync_directory(file.parent)
    except OSError as error:
        raise StoreUnavailable(f"{file}: {error.strerror}") from error
    except sqlite3.Error as error:
        raise StoreUnavailable(f"{file}: {first_line(error)}") from error
    finally:
        for name in (partial, *_companions(partial)):
            name.unlink(missing_ok=True)


def _copy_file(source: Path, target: Path) -> None:
    """In one step of SQLite's own backup: it holds a snapshot, and nobody waits for it."""
    with (
        closing(sqlite3.connect(f"{file_uri(str(source))}?mode=ro", uri=True)) as from_,
        closing(sqlite3.connect(target)) as to,
    ):
        from_.backup(to)


def _copy_rows(store: Store, target: Path, progress: Progress) -> None:
    copy = Store.open(f"sqlite:///{target}", patience=Patience().for_long_statements)
    try:
        copy_store(store, copy, replace=False, progress=progress, as_backup=True)
    finally:
        copy.close()


def _finish(file: Path) -> None:
    """One file without companions, whole, and on the disk."""
    with closing(sqlite3.connect(file, isolation_level=None)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE").fetchone()
        answer = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    if answer != "ok":
        raise StoreDamaged(f"{file}: the backup is not whole: {answer}")
    with file.open("rb") as opened:
        os.fsync(opened.fileno())


def _companions(file: Path) -> tuple[Path, ...]:
    return tuple(file.with_name(file.name + suffix) for suffix in ("-wal", "-shm", "-journal"))


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
