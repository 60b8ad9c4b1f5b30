"""One check of a doctor command: what was looked at, what was seen, and what to do about it.

Both doctors, that of the server and that of the workstation, make a table of these, grouped as the seed
product's troubleshooting chapter is, and print it here.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any, Final

_MAX_TEXT: Final = 500
_EXIT_FAILED: Final = 1


class CheckGroup(StrEnum):
    """In the order in which people look."""

    IWA = "IWA web app"
    ENABLEMENT = "Enablement"
    REGISTRATION_TASK = "Registration task"
    CERTIFICATE = "Certificate"
    HANDSHAKE = "mTLS handshake"
    SIGN_ON_POLICY = "Sign-on policy"
    SYSTEM_LOG = "System Log"


class CheckState(StrEnum):
    OK = "ok"
    WARNING = "warning"  # it works, or mostly
    FAILED = "failed"
    SKIPPED = "skipped"  # ``seen`` says why


@dataclass(frozen=True, slots=True)
class Check:
    """``name`` is what was looked at, ``seen`` what was there, ``do`` what helps ("" where nothing need be
    done)."""

    group: CheckGroup
    name: str
    state: CheckState
    seen: str
    do: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """What a check is about; its methods say how it ended."""

    group: CheckGroup
    name: str

    def ok(self, seen: str) -> Check:
        return self._check(CheckState.OK, seen, "")

    def warning(self, seen: str, do: str) -> Check:
        return self._check(CheckState.WARNING, seen, do)

    def failed(self, seen: str, do: str) -> Check:
        return self._check(CheckState.FAILED, seen, do)

    def skipped(self, why: str, do: str = "") -> Check:
        return self._check(CheckState.SKIPPED, why, do)

    def _check(self, state: CheckState, seen: str, do: str) -> Check:
        return Check(self.group, self.name, state, _printable(seen), _printable(do))


def exit_code(checks: Iterable[Check]) -> int:
    """1 where something failed, else 0: warnings are for people."""
    return _EXIT_FAILED if any(check.state is CheckState.FAILED for check in checks) else 0


def in_order(checks: Iterable[Check]) -> list[Check]:
    """By group. Sorting is stable: within a group they stay as they came."""
    groups = tuple(CheckGroup)
    return sorted(checks, key=lambda check: groups.index(check.group))


def report(checks: Sequence[Check]) -> Iterator[str]:
    """For a terminal: a heading for each group, a line for each check, one more where something is to do."""
    group: CheckGroup | None = None
    for check in in_order(checks):
        if check.group is not group:
            if group is not None:
                yield ""
            yield check.group.value
            group = check.group
        yield f"  {check.state.value:<8}{check.name}: {check.seen}"
        if check.do:
            yield f"          → {check.do}"
    yield ""
    counts = ((sum(check.state is state for check in checks), state) for state in CheckState)
    yield ", ".join(f"{count} {state.value}" for count, state in counts if count) or "nothing was checked"


def as_json(checks: Sequence[Check]) -> dict[str, Any]:
    """Values for a JSON writer; ``result`` goes with the exit code."""
    return {
        "result": "failed" if exit_code(checks) else "ok",
        "checks": [asdict(check) for check in in_order(checks)],
    }


def _printable(text: str) -> str:
    """What others have sent goes to a terminal: on one line, without control characters, and not without
    end."""
    cut = text if len(text) <= _MAX_TEXT else text[: _MAX_TEXT - 1] + "…"
    return "".join(character if character.isprintable() else " " for character in cut)
