"""Lists in the order of ids: one page of what a repository gives, and where the next one begins."""

from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol, TypeVar

from gateway.server.org.call import MAX_PAGE, Call
from gateway.server.org.openapi import query_parameter
from gateway.server.org.paging import after, cursor_after, links
from gateway.server.org.route import Answer


class HasId(Protocol):
    @property
    def id(self) -> str: ...


_T = TypeVar("_T", bound=HasId)

PAGE_PARAMETERS: Final[Sequence[dict[str, Any]]] = (
    query_parameter(
        "limit",
        f"How many, at most {MAX_PAGE}.",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": MAX_PAGE},
    ),
    query_parameter("after", "Where to go on: from the `next` link of the page before."),
)


def list_of(item: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": item}


def page_answer(call: Call, things: Sequence[_T], limit: int, shape: Callable[[_T, str], Any]) -> Answer:
    """``things`` are one more than ``limit``, where there are so many."""
    page = things[:limit]
    cursor = cursor_after(page[-1].id) if len(things) > limit else None
    return Answer(json=[shape(each, call.base_url) for each in page], headers=links(call, cursor))


def page_begin(call: Call) -> str | None:
    """The id behind which the page begins."""
    position = after(call, 1)
    return None if position is None else position[0]
