"""Events as lines for people."""

from hypothesis import given
from hypothesis import strategies as st
from support.log_events import log_event

from gateway.model.log_event import Actor, Outcome
from gateway.system_log.text_line import text_line
from gateway.system_log.wire import to_okta


def test_who_was_refused_where_and_why() -> None:
    event = log_event(outcome=Outcome.DENY, reason="NO_CERTIFICATE")
    assert text_line(to_okta(event)) == (
        "2026-01-02 12:00:01  DENY       user.authentication.sso                 "
        "alice@example.test → Team wiki  (NO_CERTIFICATE)"
    )


def test_what_is_missing_is_left_out() -> None:
    assert text_line({}).split() == ["-", "-", "-"]


@given(name=st.text(max_size=40))
def test_an_event_is_one_line_whatever_somebody_calls_themselves(name: str) -> None:
    line = text_line(to_okta(log_event(actor=Actor("00u", "User", name, name))))
    assert line.splitlines() == [line]
