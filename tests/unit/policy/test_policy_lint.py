"""What lint finds in policies, and what it leaves alone."""

from dataclasses import dataclass

import pytest
from support.policies import BROWSERS, LEGACY, PARSERS, policy, rule, zones

from gateway.model.decision import Match, SignOnRequest
from gateway.policy.conditions import Zones
from gateway.policy.lint import LINT_RULES, lint
from gateway.policy.lint.reach import excepted_by_name
from gateway.policy.lint.space import SOMEONE_ELSE, build_space
from gateway.policy.rules import Policy

EVERY_CLIENT = [*BROWSERS, LEGACY]
ALL_BUT_WINDOWS = ["ios", "android", "other_mobile", "macos", "other_desktop"]
ALL_PLATFORMS = [*ALL_BUT_WINDOWS, "windows"]
CERTIFIED = ["ios", "android", "windows", "macos"]
FACTOR = {"allow": {"prompt_for_factor": "every_session"}}
OFFICE = zones(office=["10.0.0.0/8"], lab=["10.1.0.0/16"], nowhere=[])


def codes(
    found: Policy, known: Zones | None = None, enabled: bool | None = None
) -> list[tuple[str, str | None]]:
    return [(finding.code, finding.rule) for finding in lint(found, known, enabled)]


def reach(found: Policy, known: Zones | None = None) -> list[tuple[str, str | None]]:
    return [
        finding for finding in codes(found, known) if finding[0] in ("unreachable-rule", "selects-nobody")
    ]


def trusted(name: str = "Trusted", **more: object) -> dict[str, object]:
    return rule(name, **{"platforms": CERTIFIED, "device_trust": "trusted", **more})


def test_a_policy_that_lets_in_trusted_devices_only_is_clean() -> None:
    assert codes(policy(trusted(), rule("Deny all else", "deny")), OFFICE, enabled=True) == []


LEGACY_TITLE = "Exchange ActiveSync or Legacy Auth; All platforms; Any Trust; Allow access"
WINDOWS_TITLE = "Web browser or Modern Auth; Windows; Trusted; Allow access + MFA"
OTHERS_TITLE = "Web browser or Modern Auth; All platforms except Windows; Any Trust, Allow access + MFA"
DENY_TITLE = "Any client; All platforms; Any Trust; Deny access"
WINDOWS_RULE = rule(WINDOWS_TITLE, FACTOR, clients=BROWSERS, platforms=["windows"], device_trust="trusted")


def test_the_example_of_oktas_guide_contradicts_its_own_title() -> None:
    found = policy(
        rule(LEGACY_TITLE, clients=[LEGACY]),
        WINDOWS_RULE,
        rule(OTHERS_TITLE, FACTOR, clients=BROWSERS, platforms=ALL_PLATFORMS),
        rule(DENY_TITLE, "deny"),
        default="allow",
    )
    assert codes(found) == [
        ("title-contradicts-selection", OTHERS_TITLE),
        ("spoofed-user-agent-drops-factor", LEGACY_TITLE),
        ("legacy-let-in", LEGACY_TITLE),
        # The slip in the third rule has consequences: nothing is left for the fourth, and as whatever the
        # second refuses gets in by the third, no device is ever asked for its certificate.
        ("unreachable-rule", DENY_TITLE),
        ("untrusted-never-denied", None),
        ("trust-never-matters", None),
    ]


def test_the_corrected_example_keeps_only_what_its_idea_brings_with_it() -> None:
    found = policy(
        rule(LEGACY_TITLE, clients=[LEGACY]),
        WINDOWS_RULE,
        rule(OTHERS_TITLE, FACTOR, clients=BROWSERS, platforms=ALL_BUT_WINDOWS),
        rule(DENY_TITLE, "deny"),
        default="allow",
    )
    assert codes(found) == [
        ("spoofed-user-agent", LEGACY_TITLE),
        ("spoofed-user-agent-drops-factor", LEGACY_TITLE),
        ("legacy-let-in", LEGACY_TITLE),
        ("spoofed-user-agent", OTHERS_TITLE),
    ]


@pytest.mark.parametrize(
    ("rules", "expected"),
    [
        pytest.param([rule("a"), rule("b", "deny")], ["b"], id="below a rule that selects everything"),
        pytest.param([rule("a", status="monitor"), rule("b")], [], id="below a monitor rule"),
        pytest.param([rule("a", status="inactive"), rule("b")], [], id="below an inactive rule"),
        pytest.param([rule("a"), rule("b", status="inactive")], [], id="inactive itself"),
        pytest.param(
            [rule("a"), rule("b", status="monitor")], ["b"], id="a monitor rule that is never asked"
        ),
        pytest.param(
            [rule("a", platforms=CERTIFIED), rule("b", platforms=["ios", "macos"])],
            ["b"],
            id="a part of the one above",
        ),
        pytest.param(
            [rule("a", platforms=CERTIFIED), rule("b", platforms=["other_mobile"])], [], id="beside it"
        ),
        pytest.param(
            [
                trusted("a"),
                rule("b", "deny", platforms=CERTIFIED, device_trust="not_trusted"),
                rule("c", platforms=["ios"]),
            ],
            ["c"],
            id="below two that share it out",
        ),
        pytest.param(
            [
                rule("a", location={"in_zones": ["office"]}),
                rule("b", "deny", location={"not_in_zones": ["office"]}),
                rule("c"),
            ],
            ["c"],
            id="inside and outside are everywhere",
        ),
        pytest.param(
            [rule("a", location={"not_in_zones": ["office"]}), rule("b", location={"in_zones": ["lab"]})],
            [],
            id="a zone outside of another, when nothing is known of them",
        ),
        pytest.param(
            [
                rule("a", people={"groups": {"include": ["IT"]}}),
                rule("b", people={"groups": {"include": ["IT", "HR"]}}),
            ],
            [],
            id="more groups than above",
        ),
        pytest.param(
            [
                rule("a", people={"groups": {"include": ["IT", "HR"]}}),
                rule("b", people={"groups": {"include": ["IT"]}}),
            ],
            ["b"],
            id="fewer groups than above",
        ),
        pytest.param(
            [
                rule("a", people={"groups": {"exclude": ["IT"]}}),
                rule("b", people={"groups": {"include": ["IT"]}, "users": {"exclude": ["ana"]}}),
                rule("c", people={"users": {"include": ["ANA"]}}),
            ],
            [],
            id="the one user whom two exclusions leave over",
        ),
        pytest.param(
            [
                rule("a", people={"users": {"include": ["ana", "bob"]}}),
                rule("b", people={"users": {"include": ["Ana"]}}),
            ],
            ["b"],
            id="a user in another case",
        ),
    ],
)
def test_a_rule_is_unreachable(rules: list[object], expected: list[str]) -> None:
    assert reach(policy(*rules)) == [("unreachable-rule", name) for name in expected]


def test_networks_tell_that_a_zone_lies_inside_another() -> None:
    found = policy(rule("a", location={"in_zones": ["office"]}), rule("b", location={"in_zones": ["lab"]}))
    assert (reach(found), reach(found, OFFICE)) == ([], [("unreachable-rule", "b")])


def test_what_is_left_of_a_network_after_the_zone_that_it_begins_with_is_seen() -> None:
    found = policy(rule("a", location={"in_zones": ["floor"]}), rule("b", location={"in_zones": ["house"]}))
    assert reach(found, zones(floor=["10.0.0.0/16"], house=["10.0.0.0/8"])) == []


@pytest.mark.parametrize(
    "keys",
    [
        {"people": {"users": {"include": ["ana"], "exclude": ["Ana"]}}},
        {"location": {"in_zones": ["nowhere"]}},
    ],
    ids=["a user included and excluded", "a zone without networks"],
)
def test_a_rule_that_no_request_meets(keys: dict[str, object]) -> None:
    assert reach(policy(rule("r", **keys)), OFFICE) == [("selects-nobody", "r")]


@dataclass(frozen=True)
class Opaque:
    raw: object

    def match(self, request: SignOnRequest, zones: Zones) -> Match:
        raise AssertionError("lint runs no plug-in")

    def describe(self, request: SignOnRequest, zones: Zones) -> str:
        raise AssertionError("lint runs no plug-in")


def test_a_plug_ins_condition_may_match_or_not_and_is_never_run() -> None:
    parsers = {**PARSERS, "weather": Opaque}
    found = policy(rule("a", weather="rain"), rule("b"), rule("c", weather="sun"), parsers=parsers)
    assert reach(found) == [("unreachable-rule", "c")]
    assert ("untrusted-never-denied", None) in codes(found)


def test_more_groups_than_can_be_listed_leave_a_rule_undecided_not_accused() -> None:
    many = [f"g{number}" for number in range(40)]
    found = policy(
        rule("a", people={"groups": {"include": many}}),
        rule("b", people={"groups": {"include": many[:1]}}),
        rule("c"),
        rule("d"),
    )
    assert reach(found) == [("unreachable-rule", "d")]
    assert ("not-all-decided", None) in codes(found)


@pytest.mark.parametrize(
    ("rules", "by"),
    [
        pytest.param([trusted(), rule("x", platforms=["other_desktop"])], ["x"], id="claim to be Linux"),
        pytest.param(
            [rule("d", "deny", platforms=["windows"], device_trust="not_trusted"), rule("y")],
            ["y"],
            id="claim to be a Mac",
        ),
        pytest.param([trusted(), rule("x", "deny", platforms=["other_desktop"])], [], id="nothing allows"),
        pytest.param(
            [rule("x", people={"users": {"include": ["ana"]}})],
            [],
            id="another person is more than another claim",
        ),
        pytest.param(
            [rule("x", location={"in_zones": ["office"]})], [], id="another place is more than another claim"
        ),
        pytest.param(
            [rule("x", location={"in_zones": ["office"]}, platforms=["ios"])],
            ["x"],
            id="but in the same place it is one",
        ),
    ],
)
def test_a_false_user_agent_that_turns_deny_into_allow(rules: list[object], by: list[str]) -> None:
    found = [rule for code, rule in codes(policy(*rules)) if code == "spoofed-user-agent"]
    assert found == by


def test_a_default_that_allows_can_be_the_way_in() -> None:
    found = policy(rule("d", "deny", platforms=["windows"], device_trust="not_trusted"), default="allow")
    assert codes(found) == [("spoofed-user-agent", None), ("untrusted-reaches-default-allow", None)]


def test_the_sentence_gives_the_person_the_place_and_the_claims() -> None:
    found = policy(
        rule(
            "x", platforms=["ios"], location={"in_zones": ["office"]}, people={"groups": {"include": ["IT"]}}
        ),
    )
    [finding] = [f for f in lint(found, OFFICE) if f.code == "spoofed-user-agent"]
    assert finding.sentence == (
        'an untrusted device that the default rule denies of a member of "IT" in zone "office" as windows'
        " is let in when it claims to be ios"
    )


def test_a_false_user_agent_that_escapes_the_factor() -> None:
    found = policy(rule("f", FACTOR, platforms=["windows"]), rule("free"))
    assert ("spoofed-user-agent-drops-factor", "free") in codes(found)


def test_legacy_clients_that_are_let_in() -> None:
    found = policy(rule("legacy", FACTOR, clients=[LEGACY]), client_conditions=True)
    [finding] = [f for f in lint(found) if f.code == "legacy-let-in"]
    assert finding.rule == "legacy"
    assert "cannot answer the factor prompt" in finding.sentence


@pytest.mark.parametrize(
    ("enabled", "expected"), [(None, []), (True, []), (False, [("trust-while-disabled", "Trusted")])]
)
def test_a_trust_that_is_required_while_device_trust_is_disabled(
    enabled: bool | None, expected: list[tuple[str, str]]
) -> None:
    assert codes(policy(trusted()), enabled=enabled) == expected


@pytest.mark.parametrize(
    ("known", "expected"),
    [(None, []), (OFFICE, [("unknown-zone", "Trusted"), ("not-all-decided", None)])],
    ids=["zones not given", "given"],
)
def test_a_zone_that_does_not_exist(known: Zones | None, expected: list[tuple[str, str]]) -> None:
    assert codes(policy(trusted(location={"in_zones": ["moon"]})), known) == expected


def test_users_beside_everyone_change_nothing() -> None:
    found = policy(trusted(people={"users": {"include": ["ana"]}, "groups": {"include": ["Everyone"]}}))
    assert codes(found) == [("users-beside-everyone", "Trusted")]


def test_legacy_clients_beside_a_required_trust() -> None:
    found = policy(trusted(clients=EVERY_CLIENT), client_conditions=False)
    assert codes(found) == [("trust-with-legacy", "Trusted")]


def test_a_policy_in_which_trust_never_matters() -> None:
    found = policy(rule("a", people={"groups": {"include": ["IT"]}}))
    assert codes(found) == [("trust-never-matters", None)]


@pytest.mark.parametrize(
    ("name", "excepted"),
    [
        ("All platforms except Windows; Any Trust, Allow access + MFA", {"windows"}),
        ("everything EXCEPT macOS, iPhones and Linux", {"macos", "ios", "linux"}),
        ("All but not Android", {"android"}),
        ("Anything other than the desktop clients", {"windows", "macos", "linux", "other_desktop"}),
        ("Non-Windows devices", {"windows"}),
        ("All except Chromebooks and other desktops", {"other_desktop"}),
        ("All phones excluding Windows Phone", {"other_mobile"}),
        (
            "Any client except legacy auth & web browsers",
            {"exchange_activesync_or_legacy_auth", "web_browser"},
        ),
        ("Except Windows, allow from macOS", {"windows"}),
        ("Not trusted Windows", set()),
        ("Windows without a certificate", set()),
        ("Exceptional Windows users", set()),
        ("Windows", set()),
    ],
)
def test_what_a_name_says_it_leaves_out(name: str, excepted: set[str]) -> None:
    assert excepted_by_name(name) == excepted


def test_a_name_that_tells_the_truth_is_left_alone() -> None:
    found = policy(rule("All except Windows", platforms=ALL_BUT_WINDOWS), rule("Deny", "deny"))
    assert "title-contradicts-selection" not in dict(codes(found))


def test_a_name_that_excepts_linux_is_contradicted_by_other_desktops() -> None:
    [found] = (
        finding
        for finding in lint(policy(rule("All except Linux", platforms=ALL_BUT_WINDOWS), rule("Deny", "deny")))
        if finding.code == "title-contradicts-selection"
    )
    assert found.sentence == (
        "the name says that linux is excepted, but the rule selects it, as other_desktop includes linux"
    )
    only = ["ios", "android", "other_mobile", "windows", "macos"]
    assert "title-contradicts-selection" not in dict(codes(policy(rule("All except Linux", platforms=only))))


def test_a_rule_for_linux_has_to_stand_above_one_for_other_desktops() -> None:
    linux = trusted(platforms=["linux"])
    others = rule("Others", "deny", platforms=["other_mobile", "other_desktop"])
    assert reach(policy(others, linux)) == [("unreachable-rule", "Trusted")]
    assert reach(policy(linux, others)) == []


def test_examples_are_of_ordinary_people_first() -> None:
    space = build_space(policy(rule("a", people={"users": {"exclude": ["ana"]}})), None)
    assert space.cells[0].request.user == SOMEONE_ELSE


@pytest.mark.parametrize("check", LINT_RULES, ids=lambda check: check.__name__)
def test_every_lint_rule_names_its_source(check: object) -> None:
    assert "Source:" in (check.__doc__ or "")
