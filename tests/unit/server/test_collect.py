"""Collected bodies: whole and bounded, or dropped as they come."""

import asyncio

import pytest

from gateway.server.collect import Collect, Discard, HeldBodies


class Connection:
    """What a Collect needs of its connection."""

    def __init__(self) -> None:
        self.errors: list[BaseException] = []

    def take_over(self, exchange: object) -> None: ...

    def body_expected(self, *, in_one_time: bool = False) -> None: ...

    def failed(self, error: BaseException) -> None:
        self.errors.append(error)


async def collected(
    pieces: list[bytes],
    *,
    held: HeldBodies | None = None,
    refused: list[str] | None = None,
) -> tuple[list[bytes], list[bytes], Connection]:
    """(bodies that were answered, bodies that were too large, the connection); the limit is 10 bytes."""
    bodies: list[bytes] = []
    too_large: list[bytes] = []

    async def then(body: bytes) -> None:
        bodies.append(body)
        if body == b"defect":
            raise ZeroDivisionError

    connection = Connection()
    tasks: set[asyncio.Task[None]] = set()
    held = held or HeldBodies()
    before = held.bytes_held
    collect = Collect(
        connection,  # type: ignore[arg-type]
        10,
        then,
        too_large.append,
        lambda: (refused if refused is not None else []).append("no room"),
        tasks,
        held,
    )
    for piece in pieces:
        collect.body(piece)
    collect.body_end()
    await asyncio.gather(*tasks, return_exceptions=True)
    await asyncio.sleep(0)
    assert not tasks
    assert held.bytes_held == before  # whatever became of it, nothing is held any more
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


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ([], ["all there"]),
        ([b"abc", b"def"], ["all there"]),
        ([b"0123456789"], ["all there"]),
        ([b"01234", b"56789x", b"more"], ["too large"]),
    ],
    ids=["no body", "pieces", "exactly the limit", "one byte more"],
)
async def test_a_body_that_nobody_needs_is_read_and_bounded(pieces: list[bytes], told: list[str]) -> None:
    said: list[str] = []
    discard = Discard(
        Connection(),  # type: ignore[arg-type]
        10,
        lambda: said.append("all there"),
        lambda: said.append("too large"),
    )
    for piece in pieces:
        discard.body(piece)
    discard.body_end()
    assert said == told


async def test_a_browser_that_leaves_within_such_a_body_is_not_answered() -> None:
    said: list[str] = []
    discard = Discard(Connection(), 10, lambda: said.append("x"), lambda: said.append("x"))  # type: ignore[arg-type]
    discard.body(b"abc")
    discard.cancelled()
    discard.body_end()
    assert said == []


async def test_a_defect_in_the_answer_goes_to_the_boundary() -> None:
    _, _, connection = await collected([b"defect"])
    assert [type(error) for error in connection.errors] == [ZeroDivisionError]


async def test_past_what_a_worker_may_hold_a_body_is_refused_and_the_others_go_on() -> None:
    held, refused = HeldBodies(limit=8), list[str]()
    assert held.take(4)  # somebody else's
    assert (await collected([b"abc", b"de", b"more"], held=held, refused=refused))[:2] == ([], [])
    assert refused == ["no room"]
    assert (await collected([b"abcd"], held=held))[0] == [b"abcd"]


async def test_a_browser_that_leaves_gives_back_what_it_held() -> None:
    held = HeldBodies()

    async def then(_: bytes) -> None: ...

    collect = Collect(Connection(), 10, then, lambda _: None, lambda: None, set(), held)  # type: ignore[arg-type]
    collect.body(b"abc")
    assert held.bytes_held == 3
    collect.cancelled()
    assert held.bytes_held == 0
