"""Members of a JSON object that was sent, each with its type checked. All raise ApiError, naming the
member by its path (`profile.login`)."""

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from typing import Any, Final

from gateway.server.org.errors import ApiError, validation_failed

MAX_TEXT_CHARACTERS: Final = 1_024
MAX_ITEMS: Final = 1_000
_MAX_ATTRIBUTES: Final = 100


def _wrong(path: str, finding: str) -> ApiError:
    return validation_failed(path, f"{path}: {finding}")


def text(
    value: Mapping[str, Any],
    name: str,
    path: str,
    default: str | None = None,
    limit: int = MAX_TEXT_CHARACTERS,
) -> str:
    """``default`` stands for a member that is left out or null; without one it must be there."""
    found = value.get(name)
    if found is None:
        if default is None:
            raise _wrong(path + name, "The field cannot be left blank")
        return default
    if not isinstance(found, str):
        raise _wrong(path + name, "must be a text")
    if len(found) > limit:
        raise _wrong(path + name, f"must have at most {limit} characters")
    return found


def optional_text(
    value: Mapping[str, Any], name: str, path: str, limit: int = MAX_TEXT_CHARACTERS
) -> str | None:
    return None if value.get(name) is None else text(value, name, path, limit=limit)


def word(
    value: Mapping[str, Any], name: str, path: str, words: Collection[str], default: str | None = None
) -> str:
    """One of ``words``."""
    found = text(value, name, path, default)
    if found not in words:
        raise _wrong(path + name, f"must be one of {', '.join(words)}")
    return found


def flag(value: Mapping[str, Any], name: str, path: str, default: bool) -> bool:
    found = value.get(name, default)
    if not isinstance(found, bool):
        raise _wrong(path + name, "must be true or false")
    return found


def an_object(value: Mapping[str, Any], name: str, path: str = "") -> dict[str, Any]:
    found = value.get(name)
    if not isinstance(found, dict):
        raise _wrong(path + name, "must be an object")
    return found


def texts(value: Mapping[str, Any], name: str, path: str = "", limit: int = MAX_ITEMS) -> list[str]:
    """A list of texts; empty where it is left out."""
    found = value.get(name)
    if found is None:
        return []
    if not isinstance(found, list) or not all(isinstance(each, str) for each in found):
        raise _wrong(path + name, "must be a list of texts")
    if len(found) > limit or any(len(each) > MAX_TEXT_CHARACTERS for each in found):
        raise _wrong(path + name, "is too long")
    return found


def moment(value: Mapping[str, Any], name: str, path: str = "") -> datetime | None:
    """A time (RFC 3339) with its zone; None where it is left out."""
    found = optional_text(value, name, path, 40)
    if found is None:
        return None
    try:
        at = datetime.fromisoformat(found)
    except ValueError:
        raise _wrong(path + name, "must be a time, such as 2026-11-26T00:00:00.000Z") from None
    if at.tzinfo is None or not 1970 < at.year < 9999:
        raise _wrong(path + name, "must be a time with its zone, of an era that we know")
    return at.astimezone(UTC)


def attributes(value: Mapping[str, Any], without: Collection[str], path: str) -> dict[str, Any]:
    """The other members: texts, numbers, true, false, and lists of these."""
    found = {name: each for name, each in value.items() if name not in without and each is not None}
    if len(found) > _MAX_ATTRIBUTES:
        raise _wrong(path.rstrip("."), f"has more than {_MAX_ATTRIBUTES} attributes")
    for name, each in found.items():
        items = each if isinstance(each, list) else [each]
        if len(name) > MAX_TEXT_CHARACTERS or len(items) > _MAX_ATTRIBUTES:
            raise _wrong(path.rstrip("."), "has an attribute that is too long")
        for item in items:
            if not isinstance(item, str | int | float | bool):
                raise _wrong(path + name, "must be a text, a number, true, false or a list of these")
            if isinstance(item, str) and len(item) > MAX_TEXT_CHARACTERS:
                raise _wrong(path + name, f"must have at most {MAX_TEXT_CHARACTERS} characters")
    return found
