"""What the Device Trust switch does, as a table, and against the engine for drawn policies."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.policies import policy, rule, zones

from gateway.model.decision import Access, DeviceTrust
from gateway.policy.engine import evaluate, with_trust
from gateway.policy.lint.space import build_space
from gateway.policy.trust_impact import (
    AppImpact,
    Bite,
    impact_json,
    rules_json,
    rules_using_trust,
    switch_impact,
)

SHOWABLE = ["ios", "android", "windows", "macos"]
TRUSTED = rule("Trusted in", "allow", platforms=SHOWABLE, device_trust="trusted")
UNTRUSTED = rule("Untrusted out", "deny", platforms=SHOWABLE, device_trust="not_trusted")
UNTRUSTED_FACTOR = rule(
    "Untrusted factor",
    {"allow": {"prompt_for_factor": "every_sign_on"}},
    platforms=SHOWABLE,
    device_trust="not_trusted",
)
REST = rule("The rest", "deny")


def impact(*rules: object, enabled: bool, default: str = "deny") -> AppImpact | None:
    found = switch_impact({"wiki": policy(*rules, default=default)}, None, enabled=enabled)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("title", "rules", "default", "enabled", "bites", "loses", "gains", "prompts"),
    [
        (
            "an allow list locks everyone out when it is turned off",
            [TRUSTED, REST],
            "deny",
            False,
            {"Trusted in": Bite.STOPS},
            True,
            False,
            False,
        ),
        (
            "an allow list lets trusted devices in when it is turned on",
            [TRUSTED, REST],
            "deny",
            True,
            {"Trusted in": Bite.STARTS},
            False,
            True,
            False,
        ),
        (
            "a deny list gives way to the rules below when it is turned on",
            [UNTRUSTED, rule("Windows", "allow", platforms=["windows"]), REST],
            "deny",
            True,
            {"Untrusted out": Bite.STAYS, "Windows": Bite.STARTS},
            False,
            True,
            False,
        ),
        (
            "a factor for the untrusted is asked of all when it is turned off",
            [UNTRUSTED_FACTOR],
            "allow",
            False,
            {"Untrusted factor": Bite.STAYS},
            False,
            False,
            True,
        ),
        (
            "the default takes over for trusted devices",
            [UNTRUSTED, rule("Others", "deny", platforms=["other_mobile", "other_desktop"])],
            "allow",
            True,
            {"Untrusted out": Bite.STAYS, None: Bite.STARTS},
            False,
            True,
            False,
        ),
        (
            "a rule that nobody reaches is said to be one",
            [REST, TRUSTED],
            "deny",
            True,
            {"Trusted in": Bite.NEVER},
            False,
            False,
            False,
        ),
    ],
)
def test_the_switch(
    title: str,
    rules: list[object],
    default: str,
    enabled: bool,
    bites: dict[str | None, Bite],
    loses: bool,
    gains: bool,
    prompts: bool,
) -> None:
    found = impact(*rules, enabled=enabled, default=default)
    assert found is not None, title
    assert {part.rule: part.bite for part in found.rules} == bites
    assert (found.loses_access, found.gains_access, found.prompt_changes) == (loses, gains, prompts)


@pytest.mark.parametrize("status", ["inactive", "monitor"])
def test_only_active_rules_count(status: str) -> None:
    policies = {"wiki": policy({**TRUSTED, "status": status}, REST)}
    assert rules_using_trust(policies) == ()
    assert switch_impact(policies, None, enabled=True) == ()


def test_rules_that_use_trust_are_listed_by_app_and_order() -> None:
    found = rules_using_trust(
        {"wiki": policy(TRUSTED, UNTRUSTED), "mail": policy(UNTRUSTED, rule("any", device_trust="any"))}
    )
    assert [(rule.app, rule.rule, rule.required) for rule in found] == [
        ("mail", "Untrusted out", "not_trusted"),
        ("wiki", "Trusted in", "trusted"),
        ("wiki", "Untrusted out", "not_trusted"),
    ]


def test_the_json_is_plain() -> None:
    policies = {"wiki": policy(TRUSTED, UNTRUSTED_FACTOR)}
    listed = json.loads(json.dumps(rules_json(rules_using_trust(policies))))
    assert listed[1] == {
        "app": "wiki",
        "rule": "Untrusted factor",
        "device_trust": "not_trusted",
        "access": "allow",
        "prompt_for_factor": "every_sign_on",
    }
    said = json.loads(json.dumps(impact_json(switch_impact(policies, None, enabled=False))))
    assert said[0]["rules"][0]["sentence"] == "matches no device any more"


RULE = st.fixed_dictionaries(
    {
        "access": st.sampled_from(["allow", "deny"]),
        "platforms": st.lists(st.sampled_from(SHOWABLE), min_size=1, unique=True),
        "device_trust": st.sampled_from(["any", "trusted", "not_trusted"]),
        "location": st.sampled_from(["anywhere", {"in_zones": ["office"]}]),
        "status": st.sampled_from(["active", "inactive", "monitor"]),
    }
)


@settings(max_examples=60, deadline=None)
@given(st.lists(RULE, max_size=4), st.sampled_from(["allow", "deny"]), st.booleans())
def test_access_is_lost_exactly_where_the_engine_says_so(
    rules: list[dict[str, object]], default: str, enabled: bool
) -> None:
    places = zones(office=["10.0.0.0/8"])
    compiled = policy(*({"name": str(i), **rule} for i, rule in enumerate(rules)), default=default)
    lost = gained = False
    for cell in build_space(compiled, places).cells:
        off, on = (
            evaluate(compiled, with_trust(cell.request, trust), places).access
            for trust in (DeviceTrust.NOT_TRUSTED, DeviceTrust.TRUSTED)
        )
        before, after = (off, on) if enabled else (on, off)
        lost |= (before, after) == (Access.ALLOW, Access.DENY)
        gained |= (before, after) == (Access.DENY, Access.ALLOW)
    found = switch_impact({"wiki": compiled}, places, enabled=enabled)
    assert any(impact.loses_access for impact in found) == lost
    assert any(impact.gains_access for impact in found) == gained
