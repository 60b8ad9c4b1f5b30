"""Running a program of the system: what it says, in English, and what is said when it cannot run."""

import pytest

from gateway.agent.commands import Finished, SystemCommands
from gateway.agent.platform import PlatformFailed


def test_a_program_gets_its_input_and_speaks_english(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LC_ALL", "de_DE.UTF-8")
    done = SystemCommands().run(["sh", "-c", "cat; echo $LC_ALL; echo bad >&2; exit 3"], given=b"in\n")
    assert done == Finished(3, b"in\nC.UTF-8\n", "bad\n")


@pytest.mark.parametrize(
    ("finished", "complaint"),
    [
        (Finished(1, b"out\n", "one\ntwo\n"), "two"),
        (Finished(1, b"first\nlast\n", " \n"), "last"),
        (Finished(1, b"", ""), ""),
    ],
)
def test_a_complaint_is_the_last_line(finished: Finished, complaint: str) -> None:
    assert finished.complaint == complaint


def test_what_is_not_installed_is_named_with_its_package() -> None:
    with pytest.raises(PlatformFailed, match="no-such-program is not installed") as failed:
        SystemCommands({"no-such-program": "such-package"}).run(["no-such-program"])
    assert "such-package" in failed.value.remedy


def test_what_does_not_end_is_ended_and_may_be_tried_again() -> None:
    with pytest.raises(PlatformFailed, match="did not end within") as failed:
        SystemCommands().run(["sleep", "60"], seconds=0.1)
    assert failed.value.transient
