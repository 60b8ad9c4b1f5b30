"""What the org said last, on disk."""

from pathlib import Path

import pytest

from gateway.adapters.remembered_state import STATE_FILE, keep_state, kept_state


def test_nothing_was_kept_before_the_org_spoke(tmp_path: Path) -> None:
    assert kept_state(str(tmp_path)) is None


def test_the_last_words_are_kept_for_their_owner_only(tmp_path: Path) -> None:
    keep_state(str(tmp_path), b"first")
    keep_state(str(tmp_path), b"second")
    assert kept_state(str(tmp_path)) == b"second"
    (file,) = tmp_path.iterdir()
    assert (file.name, file.stat().st_mode & 0o777) == (STATE_FILE, 0o600)


def test_words_that_cannot_be_written_leave_the_former_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_state(str(tmp_path), b"former")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        keep_state(str(tmp_path), b"later")
    assert kept_state(str(tmp_path)) == b"former"
    assert len(list(tmp_path.iterdir())) == 1
