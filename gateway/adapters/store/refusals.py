"""What the engines raise → what `gateway.model.store_errors` calls it."""

import re

from sqlalchemy.exc import DBAPIError, IntegrityError, SQLAlchemyError, StatementError

from gateway.model.store_errors import (
    AlreadyExists,
    ReferenceMissing,
    StoreDamaged,
    StoreError,
    StoreUnavailable,
    UnstorableValue,
)

_SQLITE_UNIQUE = re.compile(r"UNIQUE constraint failed: (\w+)\.(\w+)")
# PostgreSQL names the constraint; ours begin with pk_ or uq_ and the table's name.
_UNIQUE_VIOLATION = "23505"
_FOREIGN_KEY_VIOLATION = "23503"
_SQLITE_DAMAGE = ("SQLITE_CORRUPT", "SQLITE_NOTADB")


def refusal(error: SQLAlchemyError, shown_url: str) -> StoreError:
    """The error in our words, with what the engine said where it helps, and without the password."""
    if isinstance(error, StatementError) and isinstance(error.orig, StoreError):
        return error.orig
    if isinstance(error, IntegrityError):
        return _integrity(error)
    if isinstance(error, DBAPIError):
        reason = first_line(error.orig) or type(error.orig).__name__
        if str(getattr(error.orig, "sqlite_errorname", "")).startswith(_SQLITE_DAMAGE):
            return StoreDamaged(f"{shown_url}: is damaged or is no SQLite database ({reason})")
        if getattr(error.orig, "sqlstate", None) in ("22021", "22P05"):
            return UnstorableValue(reason)
        return StoreUnavailable(f"{shown_url}: {reason}")
    return StoreUnavailable(f"{shown_url}: {first_line(error)}")


def first_line(error: BaseException | None) -> str:
    """Engines add hints on further lines."""
    return str(error).strip().partition("\n")[0][:300] if error is not None else ""


def _integrity(error: IntegrityError) -> StoreError:
    text = first_line(error.orig)
    found = _SQLITE_UNIQUE.search(text)
    if found is not None:
        return AlreadyExists(f"{found[1]}.{found[2]}")
    if getattr(error.orig, "sqlstate", None) == _UNIQUE_VIOLATION:
        diagnostic = getattr(error.orig, "diag", None)
        table = getattr(diagnostic, "table_name", None) or ""
        constraint = getattr(diagnostic, "constraint_name", None) or ""
        column = constraint.partition(f"uq_{table}_")[2] or constraint
        return AlreadyExists(f"{table}.{column}")
    if getattr(error.orig, "sqlstate", None) == _FOREIGN_KEY_VIOLATION or "FOREIGN KEY" in text:
        return ReferenceMissing(text)
    return StoreError(text)
