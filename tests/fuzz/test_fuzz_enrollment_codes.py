"""Whatever is shown as an enrollment code, it is one that was made here and not changed, or it is refused."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.services.enrollment_codes import CodeRefused, new_code, read_code

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
SECRET = b"s" * 32


class Counted:
    def bytes(self, count: int) -> bytes:
        return b"r" * count


CODE = new_code(SECRET, "guo1", "00u1", NOW + timedelta(hours=1), Counted())


@settings(max_examples=300)
@given(st.one_of(st.text(), st.text().map("dte_".__add__), st.binary().map(lambda b: "dte_" + b.hex())))
def test_nobody_makes_one_up(text):
    with suppress(CodeRefused):
        read_code(SECRET, text, NOW)
        raise AssertionError(text)


@given(st.integers(4, len(CODE) - 1), st.characters(codec="utf-8"))
def test_nobody_changes_one(at, character):
    changed = CODE[:at] + character + CODE[at + 1 :]
    with suppress(CodeRefused):
        read = read_code(SECRET, changed, NOW)
        # The last character of base64 may have bits that count for nothing.
        assert read == read_code(SECRET, CODE, NOW)


@given(st.text(max_size=60), st.one_of(st.none(), st.text(max_size=60)), st.integers(1, 10**6))
def test_one_says_what_it_was_made_for(device, user, seconds):
    until = NOW + timedelta(seconds=seconds)
    try:
        read = read_code(SECRET, new_code(SECRET, device, user, until, Counted()), NOW)
    except CodeRefused:
        assert len(new_code(SECRET, device, user, until, Counted())) > 512
        return
    assert (read.device_id, read.user_id, read.until) == (device, user, until)
