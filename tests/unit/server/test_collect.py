"""Collected bodies: whole and bounded, or dropped as they come."""

import asyncio

import pytest

from gateway.server.collect import Collect


class Connection:
    """What a Collect needs of its connection."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def take_over(self, exchange: object) -> None: ...

    def body_expected(self, *, in_one_time: bool = False) -> None: ...

    def failed(self, error: BaseException) -> None:
        self.errors.append(error)


async def collected(pieces: list[bytes], *, keep: bool = True) -> tuple[list[bytes], list[bytes], Connection]:
    """(bodies that were answered, bodies that were too large, the connection); the limit is 10 bytes."""
    bodies: list[bytes] = []
    too_large: list[bytes] = []

    async def then(body: bytes) -> None:
        bodies.append(body)
        if body == b"defect":
            raise ZeroDivisionError

    connection = Connection()
    tasks: set[asyncio.Task[None]] = set()
    collect = Collect(connection, 10, then, too_large.append, tasks, keep=keep)  # type: ignore[arg-type]
    for piece in pieces:
        collect.body(piece)
    collect.body_end()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    assert not tasks
    return bodies, too_large, connection


@pytest.mark.parametrize(
    ("pieces", "bodies", "too_large"),
    [
        ([], [b""], []),
        ([b"abc", b"def"], [b"abcdef"], []),
        ([b"0123456789"], [b"0123456789"], []),
        ([b"01234", b"56789x", b"more"], [], [b"0123456789x"]),
    ],
    ids=["no body", "pieces", "exactly the limit", "one byte more"],
)
async def test_a_body_is_whole_or_too_large(
    pieces: list[bytes], bodies: list[bytes], too_large: list[bytes]
) -> None:
    assert (await collected(pieces))[:2] == (bodies, too_large)


async def test_a_body_that_nobody_needs_is_bounded_and_not_kept() -> None:
    assert (await collected([b"abc", b"def"], keep=False))[:2] == ([b""], [])
    assert (await collected([b"01234", b"56789x"], keep=False))[:2] == ([], [b""])


async def test_a_defect_in_the_answer_goes_to_the_boundary() -> None:
    _, _, connection = await collected([b"defect"])
    assert [type(error) for error in connection.errors] == [ZeroDivisionError]
