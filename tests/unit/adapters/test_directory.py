"""What becomes of a look-up whose child process does something else than answer; directories themselves are
in tests/real/test_active_directory.py."""

import asyncio
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from gateway.adapters import directory
from gateway.adapters.directory import MAX_ANSWER_BYTES, LdapDirectory
from gateway.model.directory import DirectoryUnavailable
from gateway.model.iwa_settings import DirectorySettings, PasswordBind

_PYTHON = sys.executable
REALM = "CORP.EXAMPLE.TEST"
FIRST, SECOND = "ldaps://first.test", "ldaps://second.test"

# In place of the real child: it reads as that does, notes that it was started, and does ``behaviour`` for
# each question that it gets.
CHILD = """
import json, sys, time
order = json.loads(sys.stdin.readline())
with open({notes!r}, "a") as notes:
    print(order["url"], file=notes)
for line in sys.stdin:
    question = json.loads(line)
    name = question.get("name")
    answer = json.dumps({{"account": None}})
    {behaviour}
    print(answer, flush=True)
"""


class Children:
    def __init__(self, directory: Path) -> None:
        self.program = directory / "child"
        self.notes = directory / "notes"
        self.password = directory / "password"
        self.password.write_text("secret")
        self.password.chmod(0o600)

    def do(self, behaviour: str) -> None:
        script = CHILD.format(notes=str(self.notes), behaviour=behaviour)
        self.program.write_text(f"#!{_PYTHON}\n{script}")
        self.program.chmod(0o755)

    def started(self) -> list[str]:
        return self.notes.read_text().split() if self.notes.exists() else []

    def settings(self, *urls: str, seconds: float = 5) -> DirectorySettings:
        bind = PasswordBind("iwa", str(self.password))
        return DirectorySettings(REALM, urls, "DC=test", None, bind, (), (), timedelta(seconds=seconds))


@pytest.fixture
def children(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Children]:
    made = Children(tmp_path)
    monkeypatch.setattr(directory.sys, "executable", str(made.program))
    return made


async def outcome(opened: LdapDirectory, name: str = "alice") -> str:
    try:
        found = await opened.account(REALM, name, None)
    except DirectoryUnavailable as unavailable:
        return str(unavailable)
    assert found is None
    return "none such"


@pytest.mark.parametrize(
    ("what", "behaviour", "said"),
    [
        ("ends", "sys.exit(1)", "has ended"),
        (
            "ends in the middle of an answer",
            "sys.stdout.write(answer); sys.stdout.flush(); sys.exit()",
            "ended",
        ),
        ("answers nonsense", "answer = 'nonsense'", "Expecting value"),
        ("answers without end", f"answer = ' ' * {MAX_ANSWER_BYTES + 1}", "limit"),
        ("says why not", "answer = json.dumps({'failed': 'no\\x1b[31m red'})", r"no \[31m red"),
    ],
)
async def test_a_look_up_fails_where_its_process(
    children: Children, what: str, behaviour: str, said: str
) -> None:
    children.do(behaviour)
    opened = LdapDirectory([children.settings(FIRST, SECOND)])
    with pytest.raises(DirectoryUnavailable, match=said) as unavailable:
        await opened.account(REALM, "alice", None)
    assert str(unavailable.value).index(FIRST) < str(unavailable.value).index(SECOND)
    children.do("pass")
    if what == "says why not":  # which is no reason to end it
        assert "red" in await outcome(opened)
    else:
        assert await outcome(opened) == "none such"
    await opened.close()


async def test_a_process_is_kept_as_long_as_it_answers(children: Children) -> None:
    children.do("pass")
    opened = LdapDirectory([children.settings(FIRST, SECOND)])
    for _ in range(5):
        assert await outcome(opened) == "none such"
    assert children.started() == [FIRST]
    await opened.close()


async def test_the_server_that_answered_is_asked_first_from_then_on(children: Children) -> None:
    children.do(f"if order['url'] == {FIRST!r}: sys.exit()")
    opened = LdapDirectory([children.settings(FIRST, SECOND)])
    for _ in range(3):
        assert await outcome(opened) == "none such"
    assert children.started() == [FIRST, SECOND]
    await opened.close()


async def test_a_server_that_is_late_loses_its_process_and_leaves_time_for_the_next(
    children: Children,
) -> None:
    children.do(f"if order['url'] == {FIRST!r}: time.sleep(60)")
    opened = LdapDirectory([children.settings(FIRST, SECOND, seconds=3)])
    assert await outcome(opened) == "none such"
    await opened.close()


async def test_those_who_wait_behind_one_that_gets_no_answer_are_not_lost(children: Children) -> None:
    children.do("if name == 'slow': time.sleep(60)")
    opened = LdapDirectory([children.settings(FIRST, seconds=2)])
    slow = asyncio.create_task(outcome(opened, "slow"))
    await asyncio.sleep(1.5)
    assert await outcome(opened) == "none such"
    assert "no answer" in await slow
    await opened.close()


async def test_a_new_password_counts_from_the_next_process_on(children: Children) -> None:
    children.do("answer = json.dumps({'failed': order['password']}) if name == 'tell' else sys.exit()")
    opened = LdapDirectory([children.settings(FIRST)])
    assert "secret" in await outcome(opened, "tell")
    children.password.write_text("changed\n")
    assert "ended" in await outcome(opened)
    assert await outcome(opened, "tell") == f"{FIRST}: changed"
    children.password.chmod(0o644)
    assert "ended" in await outcome(opened)
    assert "chmod 600" in await outcome(opened, "tell")
    await opened.close()


async def test_one_that_cannot_be_started_says_so(children: Children) -> None:
    opened = LdapDirectory([children.settings(FIRST)])
    assert "No such file" in await outcome(opened)
    await opened.close()
