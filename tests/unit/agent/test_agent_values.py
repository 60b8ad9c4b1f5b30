"""Discovery, refusals, state and schedule: what is read, what is refused, what is forgotten."""

import base64
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.agent.discovery import AttestationRule, DiscoveryInvalid, is_service_url, parse_discovery
from gateway.agent.enrolled import AnswerInvalid, enrolled_of_json
from gateway.agent.refusal import Refusal, refusal_of_answer
from gateway.agent.schedule import EVERY, LONGEST_RETRY, Ending, is_due, next_look
from gateway.agent.state import State, read_state, write_state
from gateway.agent.trace import decoded_token, shown_body

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
IWA = {
    "id": "iwa1",
    "name": "hq-1",
    "url": "https://iwa.corp.example.com/iwa/",
    "primary": True,
    "online": True,
}
DOCUMENT = {
    "org": "acme",
    "audience": "urn:devicetrust:org:acme",
    "nonce": "n0nce",
    "time": "2026-11-26T09:00:00Z",
    "iwas": [IWA],
    "mtls_domain": "mtls.example.com",
    "mtls_port": 443,
    "est_url": "https://est.mtls.example.com",
    "issuer_common_name": "MTLS Certificate Authority",
    "issuers": ["ab" * 32],
    "mtls_certificates": ["CD" * 32],
    "renew_before_days": 30,
    "renew_anywhere": True,
    "attestation": "accepted",
}


def test_an_org_without_an_authority_yet_has_discovery_all_the_same() -> None:
    found = parse_discovery(json.dumps(DOCUMENT | {"issuer_common_name": None, "issuers": []}).encode())
    assert found.issuer_common_name == "MTLS Certificate Authority"


def test_discovery_is_read() -> None:
    found = parse_discovery(json.dumps(DOCUMENT | {"newer": 1}).encode())
    assert found.iwas[0].url == "https://iwa.corp.example.com/iwa"
    assert (found.time, found.attestation) == (NOW, AttestationRule.ACCEPTED)
    assert found.mtls_certificates == {"cd" * 32}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"nonce": ""}, "nonce is no text"),
        ({"org": 7}, "org is no text"),
        ({"iwas": {}}, "iwas is no list"),
        ({"iwas": [IWA] * 65}, "iwas is no list of up to 64"),
        ({"iwas": ["x"]}, "iwas: not an object"),
        ({"iwas": [IWA | {"url": "ftp://x"}]}, "iwas: url is no http or https address"),
        ({"est_url": "http://est.mtls.example.com"}, "est_url is no https address"),
        ({"issuers": ["xyz"]}, "issuers: not a SHA-256"),
        ({"mtls_port": 0}, "mtls_port is no whole number"),
        ({"renew_before_days": float("nan")}, "renew_before_days is no number"),
        ({"issuer_common_name": ""}, "issuer_common_name is no text"),
        ({"mtls_port": True}, "mtls_port is no whole number"),
        ({"renew_anywhere": "yes"}, "renew_anywhere is neither true nor false"),
        ({"attestation": "perhaps"}, "attestation is neither"),
        ({"time": "yesterday"}, "time is no moment"),
        ({"time": "2026-11-26T09:00:00"}, "time is no moment"),
        ({"time": "0001-01-01T00:00:00+14:00"}, "time is no moment"),
        ({"mtls_domain": "*"}, "mtls_domain is no name of a domain"),
        ({"mtls_domain": "mtls.example.com\\x"}, "mtls_domain is no name of a domain"),
    ],
)
def test_discovery_that_is_refused(change: dict[str, object], said: str) -> None:
    with pytest.raises(DiscoveryInvalid, match=said):
        parse_discovery(json.dumps(DOCUMENT | change).encode())


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"[" * 100_000, b" " * 70_000])
def test_what_is_no_discovery_at_all(body: bytes) -> None:
    with pytest.raises(DiscoveryInvalid):
        parse_discovery(body)


@pytest.mark.parametrize(
    ("url", "good"),
    [
        ("http://iwa.corp.example.com/iwa", True),
        ("https://[::1]:8443", True),
        ("https://user@iwa.example.com", False),
        ("https://iwa.example.com/?a=b", False),
        ("https://iwa.example.com/#x", False),
        ("https://iwa.example.com:0", False),
        ("https://iwa.example.com:x", False),
        ("file:///etc/passwd", False),
        ("https:///x", False),
        ("https://iwa example.com", False),
        ("https://iwa.example.com/\n", False),
    ],
)
def test_which_addresses_get_a_ticket(url: str, good: bool) -> None:
    assert is_service_url(url) is good


def test_a_refusal_is_told_as_the_server_tells_it_and_else_as_the_code_explains() -> None:
    told = refusal_of_answer(
        403, b'{"code": "USER_INACTIVE", "message": "No.", "reference_id": "r1"}', "the org"
    )
    assert (told.code, told.message, told.reference_id, told.transient) == (
        "USER_INACTIVE",
        "No.",
        "r1",
        False,
    )
    assert told.remedy == "Activate the user."
    bare = refusal_of_answer(503, b'{"code": "UNAVAILABLE"}', "the org")
    assert (bare.message, bare.transient) == ("The organization cannot issue certificates now.", True)
    newer = refusal_of_answer(403, b'{"code": "MOON_TOO_FULL", "transient": true}', "the org")
    assert (newer.code, newer.transient) == ("MOON_TOO_FULL", True)


@pytest.mark.parametrize(
    ("status", "body", "said", "transient"),
    [
        (403, b"not due\nmore", "the org answered 403: not due", False),
        (502, b"<html>Bad gateway</html>", "the org answered 502", True),
        (429, b'{"errorSummary": "slow down", "errorId": "r2"}', "the org answered 429: slow down", True),
        (403, b'{"code": "\\u001b[2J"}', 'the org answered 403: {"code": "\\u001b[2J"}', False),
        (403, b"\x1b[2Jgone", "the org answered 403: [2Jgone", False),
        (500, b"[" * 100_000, "the org answered 500: " + "[" * 1_024, True),
    ],
)
def test_answers_that_are_no_refusals_of_ours(status: int, body: bytes, said: str, transient: bool) -> None:
    told = refusal_of_answer(status, body, "the org")
    assert (told.message, told.transient) == (said, transient)


def test_state_comes_back_as_it_was_written() -> None:
    refusal = Refusal("NO_TICKET", "no ticket", "kinit", "detail", True, "r1", 3)
    state = State("k1", "thumb", login="alice", next_run=NOW, failures=2, refusal=refusal)
    assert read_state(write_state(state)) == state
    assert read_state(write_state(State())) == State()


@pytest.mark.parametrize(
    "content",
    [None, b"", b"\xff", b"[]", b"{}", b'{"version": 2, "key_name": "k1"}', b"[" * 100_000],
)
def test_state_that_cannot_be_read_is_no_state(content: bytes | None) -> None:
    assert read_state(content) == State()


def test_of_state_that_is_half_wrong_the_right_half_counts() -> None:
    told = {"version": 1, "key_name": "k1", "login": 7, "next_run": "soon", "failures": -1, "refusal": []}
    assert read_state(json.dumps(told).encode()) == State(key_name="k1")


@pytest.mark.parametrize(
    ("ending", "failures", "minutes"),
    [
        (Ending.FINE, 0, 24 * 60),
        (Ending.NEEDS_SOMEBODY, 3, 24 * 60),
        (Ending.PASSES, 1, 20),
        (Ending.PASSES, 2, 40),
        (Ending.PASSES, 3, 60),
        (Ending.PASSES, 1_000_000, 60),
    ],
)
def test_when_the_agent_looks_next(ending: Ending, failures: int, minutes: int) -> None:
    latest = next_look(ending, failures, NOW, 0.0)
    earliest = next_look(ending, failures, NOW, 0.999)
    assert latest - NOW == timedelta(minutes=minutes)
    assert timedelta(minutes=minutes * 0.66) < earliest - NOW < timedelta(minutes=minutes * 0.67)


def test_it_is_due_when_its_time_has_come_and_when_a_clock_was_set_back() -> None:
    assert is_due(None, NOW)
    assert is_due(NOW, NOW)
    assert not is_due(NOW + LONGEST_RETRY, NOW)
    assert not is_due(NOW + EVERY, NOW)
    assert is_due(NOW + 365 * EVERY, NOW)


def test_a_moment_at_the_end_of_the_calendar_is_forgotten() -> None:
    content = b'{"version": 1, "outcome": "fine", "next_run": "0001-01-01T00:00:00+14:00"}'
    assert read_state(content) == State(outcome="fine")


def test_a_certificate_that_is_no_text_at_all_is_not_taken() -> None:
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    with pytest.raises(AnswerInvalid):
        enrolled_of_json(b'{"certificate": "\\ud800", "chain": []}', key)


def test_what_is_nested_too_deeply_is_not_shown() -> None:
    """Whoever answers decides how deep its JSON is."""
    deep = ('{"a":' * 600) + "1" + ("}" * 600)
    assert (
        shown_body("application/json", deep.encode())
        == f"(JSON that is too deep to be shown, {len(deep)} bytes)"
    )
    token = ".".join(base64.urlsafe_b64encode(part.encode()).decode() for part in ("{}", deep, "s"))
    assert str(decoded_token(token)).startswith("… (not a JWT")
