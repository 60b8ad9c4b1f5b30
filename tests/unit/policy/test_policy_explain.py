"""Why a request is answered as it is, in words and as JSON."""

import json

from support.policies import policy, request, rule, zones

from gateway.model.decision import DeviceTrust, Platform
from gateway.policy.explain import as_json, as_text, explain

FOUND = policy(
    rule("Off", "deny", status="inactive"),
    rule("Watch", "deny", status="monitor", platforms=["windows"]),
    rule(
        "Trusted",
        {"allow": {"prompt_for_factor": {"every": "30m"}}},
        platforms=["windows"],
        device_trust="trusted",
    ),
    rule("Office", location={"in_zones": ["office"]}),
    rule("Rest", "deny"),
)
ZONES = zones(office=["10.0.0.0/8"])


def test_a_known_device_gets_one_decision_and_every_rule_its_conditions() -> None:
    assert as_text(explain(FOUND, request(trust=DeviceTrust.TRUSTED), ZONES)).splitlines() == [
        "policy a policy",
        "1. Off: MATCH (inactive)",
        "     no conditions: selects everything",
        "2. Watch: MATCH (monitor: decides nothing)",
        "     platforms     MATCH      windows is among windows",
        "3. Trusted: MATCH",
        "     platforms     MATCH      windows is among windows",
        "     device_trust  MATCH      trusted is required; the device is trusted",
        "4. Office: NOT_MATCH (not reached)",
        '     location      NOT_MATCH  203.0.113.7 is in none of the zones "office"',
        "5. Rest: MATCH (not reached)",
        "     no conditions: selects everything",
        "6. default: deny",
        "=> allow, prompt for factor every 30m (RULE Trusted); monitor rules that matched: Watch",
    ]


def test_an_unknown_device_gets_both_answers_and_whether_it_is_asked() -> None:
    lines = as_text(explain(FOUND, request(trust=DeviceTrust.UNKNOWN, ip="10.0.0.1"), ZONES)).splitlines()
    assert lines[5] == "3. Trusted: UNDEFINED"
    assert lines[-3:] == [
        "=> with a trusted device: allow, prompt for factor every 30m (RULE Trusted);"
        " monitor rules that matched: Watch",
        "=> without one: allow (RULE Office); monitor rules that matched: Watch",
        "=> the device is asked for its certificate",
    ]


def test_no_challenge_is_said_too() -> None:
    signing_on = request(trust=DeviceTrust.UNKNOWN, platform=Platform.MACOS)
    assert as_text(explain(FOUND, signing_on, ZONES)).endswith("=> the same either way: no challenge")


def test_json_has_the_same() -> None:
    value = json.loads(json.dumps(as_json(explain(FOUND, request(trust=DeviceTrust.UNKNOWN), ZONES))))
    assert value["needs_challenge"] is True
    assert value["trusted"] == {
        "access": "allow",
        "reason": "RULE Trusted",
        "rule": "Trusted",
        "prompt_for_factor": "every 30m",
        "monitored": ["Watch"],
    }
    assert [(rule["rule"], rule["match"], rule["reached"]) for rule in value["rules"]] == [
        ("Off", "MATCH", False),
        ("Watch", "MATCH", True),
        ("Trusted", "UNDEFINED", True),
        ("Office", "NOT_MATCH", True),
        ("Rest", "MATCH", True),
    ]
    assert value["rules"][2]["conditions"][1] == {
        "condition": "device_trust",
        "match": "UNDEFINED",
        "detail": "trusted is required; the device has not been asked",
    }


def test_json_of_a_known_device_has_the_decision() -> None:
    value = as_json(explain(FOUND, request(), ZONES))
    assert (value["decision"]["reason"], value["request"]["device_trust"]) == ("RULE Rest", "not_trusted")
