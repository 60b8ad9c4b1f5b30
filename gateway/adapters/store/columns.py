"""Column types that mean the same on SQLite and PostgreSQL, and give back the values of `gateway.model`."""

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, TypeVar, cast

from sqlalchemy import JSON, BigInteger, DateTime, Integer, Text
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator, TypeEngine
from typing_extensions import override

from gateway.model.issued import serial_hex
from gateway.model.store_errors import StoreDamaged, UnstorableValue

E = TypeVar("E", bound=StrEnum)

# SQLite makes a column the row's own number only where its type is INTEGER.
BigNumber: TypeEngine[int] = BigInteger().with_variant(Integer(), "sqlite")


class Words(TypeDecorator[str]):
    """Text that every engine can keep: PostgreSQL knows no NUL, and UTF-8 no half of a surrogate pair."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        if value is not None and not value.isascii():
            try:
                value.encode()
            except UnicodeEncodeError:
                raise UnstorableValue("a text holds half of a surrogate pair") from None
        if value is not None and "\0" in value:
            raise UnstorableValue("a text holds a NUL character")
        return value


class Moment(TypeDecorator[datetime]):
    """Aware UTC, to the microsecond. SQLite keeps text that sorts by time."""

    impl = DateTime
    cache_ok = True

    @override
    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return dialect.type_descriptor(DateTime(timezone=dialect.name == "postgresql"))

    @override
    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise UnstorableValue("a time has no time zone")
        value = value.astimezone(UTC)
        return value if dialect.name == "postgresql" else value.replace(tzinfo=None)

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.astimezone(UTC) if value.tzinfo else value.replace(tzinfo=UTC)


class Enumerated(TypeDecorator[StrEnum]):
    """The values of a StrEnum, as text."""

    impl = Text
    cache_ok = True

    def __init__(self, values: type[StrEnum]) -> None:
        super().__init__()
        self.values = values

    @override
    def process_bind_param(self, value: StrEnum | None, dialect: Dialect) -> str | None:
        return None if value is None else self.values(value).value

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> StrEnum | None:
        if value is None:
            return None
        try:
            return self.values(value)
        except ValueError:
            raise StoreDamaged(f"the store holds a {self.values.__name__} that is unknown: {value}") from None


class SerialHex(TypeDecorator[int]):
    """A serial number of up to 20 octets: too large for any integer column."""

    impl = Text
    cache_ok = True

    @override
    def process_bind_param(self, value: int | None, dialect: Dialect) -> str | None:
        return None if value is None else serial_hex(value)

    @override
    def process_result_value(self, value: str | None, dialect: Dialect) -> int | None:
        return None if value is None else int(value, 16)


class Document(TypeDecorator[object]):
    """A JSON value. Mappings may be of any kind; they come back as dict."""

    impl = JSON
    cache_ok = True

    @override
    def process_bind_param(self, value: object, dialect: Dialect) -> object:
        return dict(cast(Mapping[str, object], value)) if isinstance(value, Mapping) else value


def json_text(value: object) -> str:
    """How documents are written. Raises UnstorableValue."""
    try:
        return json.dumps(value, allow_nan=False, separators=(",", ":"), default=_mapping)
    except (TypeError, ValueError) as error:
        raise UnstorableValue(f"a document is not JSON: {error}") from None


def _mapping(value: object) -> object:
    """Frozen mappings inside a document."""
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"a {type(value).__name__} is no JSON value")
