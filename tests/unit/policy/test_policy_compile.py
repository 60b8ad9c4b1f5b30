"""What a policy may say, and the sentence for what it may not."""

from typing import Any

import pytest
from support.policies import BROWSERS, LEGACY, PARSERS, policy, rule

from gateway.model.decision import Access, FactorPrompt
from gateway.policy.conditions.device_trust import DeviceTrustCondition, RequiredTrust
from gateway.policy.errors import KeyPath, PolicyInvalid, PolicyProblem
from gateway.policy.rules import MAX_RULES, Status, compile_policy, referenced_groups, referenced_zones

ALL_CLIENTS = [*BROWSERS, LEGACY]
P = PolicyProblem


def compiled(raw: object, client_conditions: bool | None = None) -> PolicyInvalid:
    with pytest.raises(PolicyInvalid) as refused:
        compile_policy(raw, PARSERS, client_conditions=client_conditions, zone_names={"office"})
    return refused.value


def one(**keys: Any) -> dict[str, Any]:
    return {"name": "p", "rules": [{"name": "r", "access": "allow", **keys}]}


@pytest.mark.parametrize(
    ("raw", "problem", "path"),
    [
        pytest.param(None, P.WRONG_TYPE, (), id="nothing"),
        pytest.param([], P.WRONG_TYPE, (), id="a list for a policy"),
        pytest.param({"rules": []}, P.MISSING_KEY, ("name",), id="no name"),
        pytest.param({"name": "p"}, P.MISSING_KEY, ("rules",), id="no rules"),
        pytest.param({"name": "p", "rules": [], "rule": []}, P.UNKNOWN_KEY, ("rule",), id="a key unknown"),
        pytest.param({"name": "p", "rules": {}}, P.WRONG_TYPE, ("rules",), id="rules that are no list"),
        pytest.param(
            {"name": "p", "rules": [], "default": "block"}, P.UNKNOWN_VALUE, ("default",), id="default: block"
        ),
        pytest.param(
            {"name": "p", "rules": [], "default": None}, P.WRONG_TYPE, ("default",), id="default: nothing"
        ),
        pytest.param({"name": "p", "rules": [None]}, P.WRONG_TYPE, ("rules", 0), id="a rule of nothing"),
        pytest.param({"name": "", "rules": []}, P.BAD_NAME, ("name",), id="an empty name"),
        pytest.param({"name": "x" * 101, "rules": []}, P.BAD_NAME, ("name",), id="a name too long"),
        pytest.param(
            {"name": "p", "rules": [rule(f"r{i}") for i in range(MAX_RULES + 1)]},
            P.OUT_OF_RANGE,
            ("rules",),
            id="too many rules",
        ),
        pytest.param(
            {"name": "p", "rules": [{"name": "r"}]}, P.MISSING_KEY, ("rules", 0, "access"), id="no access"
        ),
        pytest.param(
            {"name": "p", "rules": [{"access": "deny"}]},
            P.MISSING_KEY,
            ("rules", 0, "name"),
            id="no rule name",
        ),
        pytest.param(
            {"name": "p", "rules": [rule("r"), rule("r")]},
            P.DUPLICATE,
            ("rules", 1, "name"),
            id="two rules of one name",
        ),
        pytest.param(one(id="0pr1"), P.BAD_NAME, ("rules", 0, "id"), id="an id that is none"),
        pytest.param(one(id=7), P.BAD_NAME, ("rules", 0, "id"), id="a number for an id"),
        pytest.param(
            {"name": "p", "rules": [rule("r", id="0pr" + "1" * 17), rule("s", id="0pr" + "1" * 17)]},
            P.DUPLICATE,
            ("rules", 1, "id"),
            id="two rules of one id",
        ),
        pytest.param(
            {"name": "p", "rules": [rule("a\nb")]},
            P.BAD_NAME,
            ("rules", 0, "name"),
            id="a line break in a name",
        ),
        pytest.param(
            {"name": "p", "rules": [rule("a\u202eb")]},
            P.BAD_NAME,
            ("rules", 0, "name"),
            id="a name that turns the text",
        ),
        pytest.param(
            {"name": "p", "rules": [rule(" a")]}, P.BAD_NAME, ("rules", 0, "name"), id="a blank before a name"
        ),
        pytest.param(
            {"name": "p", "rules": [rule("DEFAULT_RULE")]},
            P.BAD_NAME,
            ("rules", 0, "name"),
            id="a reason's name",
        ),
        pytest.param(
            one(platfroms=["ios"]), P.UNKNOWN_KEY, ("rules", 0, "platfroms"), id="a condition misspelled"
        ),
        pytest.param(one(status="on"), P.UNKNOWN_VALUE, ("rules", 0, "status"), id="status: on"),
        pytest.param(one(access="permit"), P.UNKNOWN_VALUE, ("rules", 0, "access"), id="access: permit"),
        pytest.param(one(access=True), P.WRONG_TYPE, ("rules", 0, "access"), id="access: true"),
        pytest.param(
            one(access={"deny": {}}), P.UNKNOWN_KEY, ("rules", 0, "access", "deny"), id="access: {deny: {}}"
        ),
        pytest.param(
            one(access={"allow": {}}),
            P.MISSING_KEY,
            ("rules", 0, "access", "allow", "prompt_for_factor"),
            id="access: {allow: {}}",
        ),
        pytest.param(
            one(clients=[]), P.SELECTS_NOBODY, ("rules", 0, "clients"), id="an empty list of clients"
        ),
        pytest.param(
            one(platforms="windows"), P.WRONG_TYPE, ("rules", 0, "platforms"), id="a platform without a list"
        ),
        pytest.param(
            one(platforms=["win"]), P.UNKNOWN_VALUE, ("rules", 0, "platforms", 0), id="a platform unknown"
        ),
        pytest.param(
            one(platforms=["ios", "ios"]), P.DUPLICATE, ("rules", 0, "platforms", 1), id="a platform twice"
        ),
        pytest.param(
            one(device_trust=True), P.WRONG_TYPE, ("rules", 0, "device_trust"), id="device_trust: true"
        ),
        pytest.param(
            one(device_trust="unknown"), P.UNKNOWN_VALUE, ("rules", 0, "device_trust"), id="unknown trust"
        ),
        pytest.param(
            one(location="office"), P.UNKNOWN_VALUE, ("rules", 0, "location"), id="a zone without in_zones"
        ),
        pytest.param(one(location={}), P.WRONG_TYPE, ("rules", 0, "location"), id="a location of nothing"),
        pytest.param(
            one(location={"in_zones": []}),
            P.SELECTS_NOBODY,
            ("rules", 0, "location", "in_zones"),
            id="in no zone",
        ),
        pytest.param(
            one(location={"in_zones": ["office"], "not_in_zones": ["lab"]}),
            P.WRONG_TYPE,
            ("rules", 0, "location"),
            id="in and not in",
        ),
        pytest.param(
            one(location={"not_in_zones": ["office", "moon"]}),
            P.UNKNOWN_ZONE,
            ("rules", 0, "location", "not_in_zones", 1),
            id="a zone that does not exist",
        ),
        pytest.param(one(people=[]), P.WRONG_TYPE, ("rules", 0, "people"), id="people as a list"),
        pytest.param(
            one(people={"groups": {"include": []}}),
            P.SELECTS_NOBODY,
            ("rules", 0, "people"),
            id="nobody included",
        ),
        pytest.param(
            one(people={"groups": {"exclude": ["Everyone"]}}),
            P.SELECTS_NOBODY,
            ("rules", 0, "people"),
            id="all excluded",
        ),
        pytest.param(
            one(people={"groups": {"include": ["everyone"]}}),
            P.UNKNOWN_VALUE,
            ("rules", 0, "people", "groups", "include", 0),
            id="everyone in lower case",
        ),
        pytest.param(
            one(people={"users": {"include": [7]}}),
            P.WRONG_TYPE,
            ("rules", 0, "people", "users", "include", 0),
            id="a number for a user",
        ),
    ],
)
def test_a_policy_is_refused_at_the_key_that_is_wrong(
    raw: object, problem: PolicyProblem, path: KeyPath
) -> None:
    refused = compiled(raw)
    assert (refused.problem, refused.path) == (problem, path)


@pytest.mark.parametrize(
    ("keys", "client_conditions", "accepted"),
    [
        pytest.param(
            {"platforms": ["windows"]}, False, True, id="without client conditions platforms are enough"
        ),
        pytest.param({"platforms": ["windows"], "clients": BROWSERS}, True, True, id="browsers on Windows"),
        pytest.param(
            {"platforms": ["windows"], "clients": BROWSERS},
            None,
            True,
            id="clients say that the app has them",
        ),
        pytest.param(
            {"platforms": ["windows"], "clients": ALL_CLIENTS},
            False,
            True,
            id="every client, where it means nothing",
        ),
        pytest.param({"platforms": ["windows"]}, True, False, id="clients left out are all clients"),
        pytest.param({"clients": BROWSERS}, True, False, id="platforms left out are all platforms"),
        pytest.param({}, False, False, id="platforms left out, without client conditions"),
        pytest.param(
            {"platforms": ["windows"], "clients": ALL_CLIENTS}, True, False, id="with legacy clients"
        ),
        pytest.param(
            {"platforms": ["windows", "other_mobile"], "clients": BROWSERS}, True, False, id="with BlackBerry"
        ),
        pytest.param({"platforms": ["windows", "linux"], "clients": BROWSERS}, True, True, id="with Linux"),
        pytest.param(
            {"platforms": ["windows", "other_desktop"], "clients": BROWSERS},
            True,
            False,
            id="with Chromebooks",
        ),
        pytest.param(
            {"platforms": ["linux", "other_desktop"], "clients": BROWSERS},
            True,
            False,
            id="Linux beside what includes it",
        ),
    ],
)
@pytest.mark.parametrize("trust", ["trusted", "not_trusted"])
def test_a_trust_is_required_only_of_what_can_show_it(
    trust: str, keys: dict[str, Any], client_conditions: bool | None, accepted: bool
) -> None:
    raw = one(device_trust=trust, **keys)
    if accepted:
        (only,) = compile_policy(raw, PARSERS, client_conditions=client_conditions).rules
        assert only.condition(DeviceTrustCondition) == DeviceTrustCondition(RequiredTrust(trust))
    else:
        refused = compiled(raw, client_conditions)
        assert (refused.problem, refused.rule) == (P.TRUST_CANNOT_BE_SHOWN, "r")


def test_any_trust_goes_with_everything() -> None:
    (only,) = compile_policy(one(device_trust="any"), PARSERS, client_conditions=True).rules
    assert only.condition(DeviceTrustCondition) == DeviceTrustCondition(RequiredTrust.ANY)


def test_the_sentence_names_the_rule_what_is_in_the_way_and_that_it_was_left_out() -> None:
    refused = compiled(one(device_trust="trusted"), client_conditions=True)
    assert refused.detail == (
        "trusted cannot be combined with exchange_activesync_or_legacy_auth, other_desktop, other_mobile"
        " (left out, platforms and clients select everything): these cannot show a certificate"
    )


def test_whoever_meant_linux_by_other_desktops_is_told_its_name() -> None:
    refused = compiled(one(device_trust="trusted", platforms=["windows", "other_desktop"]))
    assert refused.detail == (
        "trusted cannot be combined with other_desktop: these cannot show a certificate; for Linux computers,"
        " list linux"
    )


def test_clients_that_would_be_ignored_are_refused() -> None:
    refused = compiled(one(clients=BROWSERS), client_conditions=False)
    assert (refused.problem, refused.rule, refused.path) == (
        P.NO_CLIENT_CONDITIONS,
        "r",
        ("rules", 0, "clients"),
    )


@pytest.mark.parametrize(
    ("access", "expected"),
    [
        ("allow", (Access.ALLOW, None)),
        ("deny", (Access.DENY, None)),
        ({"allow": {"prompt_for_factor": "every_sign_on"}}, (Access.ALLOW, FactorPrompt("every_sign_on"))),
        ({"allow": {"prompt_for_factor": "every_session"}}, (Access.ALLOW, FactorPrompt("every_session"))),
        (
            {"allow": {"prompt_for_factor": {"every": "30m"}}},
            (Access.ALLOW, FactorPrompt("every_minutes", 30)),
        ),
        (
            {"allow": {"prompt_for_factor": {"every": "120s"}}},
            (Access.ALLOW, FactorPrompt("every_minutes", 2)),
        ),
        (
            {"allow": {"prompt_for_factor": {"every": "1d"}}},
            (Access.ALLOW, FactorPrompt("every_minutes", 1440)),
        ),
    ],
    ids=str,
)
def test_access_and_its_factor_prompt(access: object, expected: tuple[Access, FactorPrompt | None]) -> None:
    [found] = policy(rule("r", access)).rules
    assert (found.access, found.prompt_for_factor) == expected


@pytest.mark.parametrize(
    "every", ["0m", "90s", "366d", "30", "m", "-5m", "1.5h", "٣m", 30, None, "30m\n"], ids=repr
)
def test_an_interval_that_is_no_whole_number_of_minutes_is_refused(every: object) -> None:
    refused = compiled(one(access={"allow": {"prompt_for_factor": {"every": every}}}))
    assert refused.path == ("rules", 0, "access", "allow", "prompt_for_factor", "every")


def test_left_out_keys_have_the_defaults_of_the_contract() -> None:
    found = compile_policy({"name": "p", "rules": [rule("r")]}, PARSERS)
    [only] = found.rules
    assert (found.default, only.status, only.conditions) == (Access.ALLOW, Status.ACTIVE, ())


def test_referenced_names_are_those_that_decisions_depend_on() -> None:
    found = policy(
        rule("a", people={"groups": {"include": ["Everyone", "IT"], "exclude": ["Guests"]}}),
        rule(
            "b",
            people={"groups": {"include": ["HR"]}},
            status="inactive",
            location={"in_zones": ["office", "lab"]},
        ),
    )
    assert referenced_groups(found) == {"IT", "Guests", "HR"}
    assert referenced_zones(found) == {"office", "lab"}
