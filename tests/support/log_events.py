"""Events of the System Log for tests."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from gateway.model.log_event import (
    Actor,
    Client,
    LogEvent,
    Outcome,
    Severity,
    Target,
    Transaction,
)

NOON = datetime(2026, 1, 2, 12, 0, 0, tzinfo=UTC)
ALICE = Actor("00uAliceAliceAlice01", "User", "alice@example.test", "Alice Doe")
WIKI = Target("wiki", "AppInstance", "wiki", "Team wiki")


def log_event(number: int = 1, **changes: Any) -> LogEvent:
    """The ``number``-th of a row of events, one a second."""
    event = LogEvent(
        uuid=f"00000000-0000-4000-8000-{number:012d}",
        published=NOON + timedelta(seconds=number),
        event_type="user.authentication.sso",
        display_message="User single sign on to app",
        severity=Severity.INFO,
        outcome=Outcome.SUCCESS,
        actor=ALICE,
        transaction=Transaction(f"reference-{number}"),
        client=Client(ip="192.0.2.7", user_agent="Mozilla/5.0", ip_chain=("192.0.2.7",)),
        targets=(WIKI,),
        debug_data={"deviceId": "guoDevice", "flowId": f"flow-{number}", "requestUri": "/saml/acs"},
    )
    return replace(event, **changes)
