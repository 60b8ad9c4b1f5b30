"""The filter language of the log API, as tables."""

import json
from typing import Any

import pytest
from support.log_events import WIKI, log_event

from gateway.model.log_event import Outcome, Target, Transaction
from gateway.system_log.errors import QueryRefused
from gateway.system_log.filter import (
    MAX_COMPARISONS,
    MAX_DEPTH,
    MAX_FILTER_CHARACTERS,
    matches,
    parse_filter,
)
from gateway.system_log.wire import to_okta

EVENT = to_okta(
    log_event(
        event_type="pki.cert.revoke",
        outcome=Outcome.SUCCESS,
        reason="keyCompromise",
        targets=(WIKI, Target("00u2", "User", "bob@example.test", "Bob", {"shoe": 43, "left": True})),
        transaction=Transaction("r-1", detail={"requestApiTokenId": "00T1"}),
        debug_data={"deviceId": "guo1", "requestUri": "/saml/acs", "count": 7, "ratio": 0.5, "isNew": False},
    )
)

MATCHES = [
    ("eq says the same text", 'eventType eq "pki.cert.revoke"', True),
    ("eq tells upper from lower case", 'eventType eq "PKI.cert.revoke"', False),
    ("operators in any case", 'eventType EQ "pki.cert.revoke" AnD NOT (severity eq "WARN")', True),
    ("ne", 'eventType ne "pki.cert.revoke"', False),
    ("ne holds where the field is missing", 'debugContext.debugData.nothing ne "x"', True),
    ("co", 'eventType co "cert"', True),
    ("sw", 'eventType sw "pki."', True),
    ("ew", 'eventType ew ".issue"', False),
    ("pr", "outcome.reason pr", True),
    ("pr of null", "client.zone pr", False),
    ("any target", 'target.id eq "00u2"', True),
    ("two targets at once", 'target.id eq "00u2" and target.id eq "wiki"', True),
    ("ne of a list: none has it", 'target.id ne "00u2"', False),
    ("ne of a list: nobody has it", 'target.id ne "00u3"', True),
    ("lists below lists", 'request.ipChain.ip eq "192.0.2.7"', True),
    ("an open object", 'debugContext.debugData.deviceId eq "guo1"', True),
    ("detail of a token", 'transaction.detail.requestApiTokenId eq "00T1"', True),
    ("numbers", "target.detailEntry.shoe gt 42", True),
    ("a fraction", "debugContext.debugData.ratio le 0.5", True),
    ("a number is no text", 'debugContext.debugData.count eq "7"', False),
    ("true is not 1", "target.detailEntry.left eq 1", False),
    ("true", "target.detailEntry.left eq true", True),
    ("false", "debugContext.debugData.isNew eq false", True),
    ("null", "client.zone eq null", True),
    ("not null", "client.ipAddress ne null", True),
    ("order of texts", 'severity ge "INFO"', True),
    ("order of texts, other way", 'severity lt "INFO"', False),
    ("and binds stronger than or", 'severity eq "INFO" or severity eq "WARN" and uuid eq "x"', True),
    ("parentheses", '(severity eq "INFO" or severity eq "WARN") and uuid eq "x"', False),
    ("not without parentheses", 'not severity eq "WARN"', True),
    ("not not", "not (not (uuid pr))", True),
    ("names as older tools write them", 'event_type eq "pki.cert.revoke"', True),
    ("names in any case", "DEBUGCONTEXT.debugdata.deviceId pr", True),
    ("escapes in texts", r'actor.displayName eq "Al\u0069ce Doe"', True),
    ("a quote in a text", r'actor.displayName eq "Alice \"Doe\""', False),
    ("spaces of all kinds", 'eventType\teq\n"pki.cert.revoke"', True),
]


@pytest.mark.parametrize(("name", "text", "expected"), MATCHES, ids=[case[0] for case in MATCHES])
def test_a_filter_matches(name: str, text: str, expected: bool) -> None:
    assert matches(EVENT, parse_filter(text)) is expected


REFUSED = [
    ("nothing", "", "E0000053", "Ends where a field"),
    (
        "an operator that nobody knows",
        'eventType eqq "x"',
        "E0000053",
        "'eqq' at position 10. Expected: eq,ne,co",
    ),
    (
        "a field that no event has",
        'some_invalid_field eq "x"',
        "E0000053",
        "field is not valid: some_invalid_field",
    ),
    ("below a leaf", 'eventType.more eq "x"', "E0000053", "field is not valid"),
    ("an empty name", 'debugContext.debugData..x eq "x"', "E0000053", "field is not valid"),
    ("published", 'published gt "2026-01-01T00:00:00Z"', "E0000053", "since and until"),
    (
        "co on a URL",
        'debugContext.debugData.url co "/oauth/"',
        "E0000031",
        "Operator: co, Field: debugContext.debugData.url",
    ),
    ("co on a request URI", 'debugContext.debugData.requestUri co "/"', "E0000031", "Operator: co"),
    ("co with a number", "eventType co 7", "E0000031", "Operator: co, Field: eventType"),
    ("gt with true", "eventType gt true", "E0000031", "Operator: gt"),
    ("no value", "eventType eq", "E0000053", "Ends where a value"),
    (
        "a word as value",
        "eventType eq pki.cert.revoke",
        "E0000053",
        "Expected a value instead of 'pki.cert.revoke'",
    ),
    ("single quotes", "eventType eq 'x'", "E0000053", "Unrecognized character at position 13"),
    ("an open text", 'eventType eq "x', "E0000053", "Unrecognized character"),
    ("a bad escape", r'eventType eq "\q"', "E0000053", "Unreadable text"),
    ("an open parenthesis", '(eventType eq "x"', "E0000053", "Ends where )"),
    ("a parenthesis too many", 'eventType eq "x")', "E0000053", "Unexpected ')'"),
    ("two filters", 'eventType eq "x" severity pr', "E0000053", "Unexpected 'severity'"),
    ("and of nothing", 'eventType eq "x" and', "E0000053", "Ends where a field"),
    ("brackets", 'target[type eq "User"]', "E0000053", "Unrecognized character at position 6"),
    ("too long", "uuid pr or " * 300 + "uuid pr", "E0000053", f"longer than {MAX_FILTER_CHARACTERS}"),
    ("too many comparisons", "uuid pr or " * 60 + "uuid pr", "E0000053", f"More than {MAX_COMPARISONS}"),
    ("too deep", "(" * 60 + "uuid pr" + ")" * 60, "E0000053", f"deeper than {MAX_DEPTH}"),
    ("too deep by not", "not " * 60 + "uuid pr", "E0000053", f"deeper than {MAX_DEPTH}"),
    ("a name of many parts", "debugContext.debugData" + ".x" * 20 + " pr", "E0000053", "field is not valid"),
]


@pytest.mark.parametrize(("name", "text", "code", "finding"), REFUSED, ids=[case[0] for case in REFUSED])
def test_what_is_no_filter_is_refused_with_its_code(name: str, text: str, code: str, finding: str) -> None:
    with pytest.raises(QueryRefused) as refused:
        parse_filter(text)
    assert refused.value.code == code
    assert finding in refused.value.summary
    assert len(refused.value.summary) < 500


@pytest.mark.parametrize(
    "event", [{}, {"target": None}, {"target": "text"}, {"target": [None, 7, {"id": None}]}]
)
def test_an_event_of_another_shape_matches_nothing(event: dict[str, Any]) -> None:
    assert not matches(event, parse_filter('target.id eq "x"'))
    assert not matches(event, parse_filter("target.id pr"))


def test_the_event_of_the_table_is_json() -> None:
    assert json.loads(json.dumps(EVENT)) == EVENT
