"""Pages of a list: opaque cursors, and the `Link` fields that tools follow.

Tools keep the last `Link` field of several, and split at commas: `self` is the first field, `next` the last,
and no address has a comma.
"""

import base64
import binascii
from typing import Final
from urllib.parse import urlencode

from gateway.server.org.call import Call
from gateway.server.org.errors import ApiError
from gateway.server.org.strict_json import is_storable

MAX_CURSOR_CHARACTERS: Final = 1_024
_SEPARATOR: Final = "\n"


def cursor_after(*position: str) -> str:
    """A cursor that stands behind the thing at this position of the list's order."""
    text = _SEPARATOR.join(position)
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def read_cursor(cursor: str, parts: int) -> tuple[str, ...]:
    """The position, of ``parts`` texts. Raises ApiError. A cursor may be of somebody's own making: it tells
    where to go on, and gives access to nothing."""
    if len(cursor) > MAX_CURSOR_CHARACTERS:
        raise _refused()
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, UnicodeError, ValueError):
        raise _refused() from None
    position = tuple(text.split(_SEPARATOR))
    if len(position) != parts or not is_storable(text):
        raise _refused()
    return position


def links(call: Call, next_cursor: str | None) -> tuple[tuple[str, str], ...]:
    """`self`, and `next` where there is a page more."""
    fields = call.fields()
    found: list[tuple[str, str]] = [("Link", _link(call, fields, "self"))]
    if next_cursor is not None:
        found.append(("Link", _link(call, {**fields, "after": next_cursor}, "next")))
    return tuple(found)


def after(call: Call, parts: int) -> tuple[str, ...] | None:
    """Where the page begins that is asked for; None for the first one. Raises ApiError."""
    cursor = call.text("after")
    return None if cursor is None else read_cursor(cursor, parts)


def _link(call: Call, fields: dict[str, str], relation: str) -> str:
    query = f"?{urlencode(fields)}" if fields else ""
    return f'<{call.base_url}{call.path.replace(",", "%2C")}{query}>; rel="{relation}"'


def _refused() -> ApiError:
    return ApiError(400, "E0000053", "Invalid query parameters", ("after: not a cursor of this list",))
