"""Events as lines of syslog (RFC 5424)."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.log_events import log_event

from gateway.model.log_event import Actor, Outcome, Severity, Target
from gateway.system_log.syslog_format import syslog_line
from gateway.system_log.wire import to_okta

# RFC 5424 §6: the header, structured data with escaped values, the mark of UTF-8, the message.
LINE = re.compile(
    r"<(?P<priority>[0-9]{1,3})>1 (?P<time>\S{1,32}) (?P<host>[!-~]{1,255}) (?P<app>[!-~]{1,48}) - "
    r'(?P<id>[!-~]{1,32}) \[event@32473(?P<data>( [!#-<>-\\^-~]{1,32}="([^"\\\]]|\\["\\\]])*")*)\] '
    "\ufeff(?P<message>[^\n]*)"
)


def test_a_line_of_an_event() -> None:
    assert syslog_line(to_okta(log_event()), "sso.example.test") == (
        "<110>1 2026-01-02T12:00:01.000Z sso.example.test devicetrust - user.authentication.sso "
        '[event@32473 uuid="00000000-0000-4000-8000-000000000001" eventType="user.authentication.sso" '
        'outcome="SUCCESS" actorId="00uAliceAliceAlice01" actor="alice@example.test" ip="192.0.2.7" '
        'transactionId="reference-1" deviceId="guoDevice" targetAppInstance="wiki"] '
        "\ufeffUser single sign on to app"
    )


@pytest.mark.parametrize(
    ("severity", "priority"),
    [(Severity.DEBUG, 111), (Severity.INFO, 110), (Severity.WARN, 108), (Severity.ERROR, 107)],
)
def test_severities(severity: Severity, priority: int) -> None:
    assert syslog_line(to_okta(log_event(severity=severity)), "h").startswith(f"<{priority}>1 ")


def test_a_long_type_is_cut_in_the_header_and_whole_in_the_data() -> None:
    kind = "application.policy.sign_on.deny_access"
    line = syslog_line(to_okta(log_event(event_type=kind, outcome=Outcome.DENY)), "h")
    assert f" {kind[:32]} [" in line
    assert f'eventType="{kind}"' in line


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ('say "hi"', r"say \"hi\""),
        ("back\\slash", r"back\\slash"),
        ("a]b", r"a\]b"),
        ("two\nlines", r"two\\u000alines"),
        ("\u2028", r"\\u2028"),
        ("Ünïcode", "Ünïcode"),
    ],
)
def test_values_are_escaped(name: str, written: str) -> None:
    actor = Actor("1", "User", name, name)
    assert f'actor="{written}"' in syslog_line(to_okta(log_event(actor=actor)), "h")


def test_what_is_missing_is_left_out() -> None:
    assert syslog_line({}, "") == "<109>1 - - devicetrust - - [event@32473] \ufeff"


@given(st.text(st.characters(), max_size=50), st.text(st.characters(), max_size=300))
def test_whatever_anybody_is_called_one_event_is_one_line_of_the_grammar(name: str, host: str) -> None:
    event = log_event(
        actor=Actor(name, name, name, name),
        reason=name,
        display_message=name,
        targets=(Target(name, name, name, name), Target("t", "User", name, name)),
        debug_data={"rule": name, "deviceId": name},
    )
    assert LINE.fullmatch(syslog_line(to_okta(event), host)) is not None
