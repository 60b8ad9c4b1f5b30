"""What a wire rule may say, what it may not, and which field is named."""

from typing import Any

import pytest
from support.wire_names import ANA, BOB, EVERYONE_ID, IT, LAB, NAMES, OFFICE

from gateway.policy.wire.refusal import WireRefused
from gateway.policy.wire.rules import default_document, rule_document

ALLOW = {"appSignOn": {"access": "ALLOW"}}


def body(conditions: Any = None, **members: Any) -> dict[str, Any]:
    return {"type": "ACCESS_POLICY", "name": "r", "conditions": conditions, "actions": ALLOW, **members}


def verified(**method: Any) -> dict[str, Any]:
    return {"appSignOn": {"access": "ALLOW", "verificationMethod": {"type": "ASSURANCE", **method}}}


def refused_fields(raw: object, previous: dict[str, Any] | None = None) -> list[str]:
    with pytest.raises(WireRefused) as refusal:
        rule_document(raw, NAMES, previous)
    return [problem.field for problem in refusal.value.problems]


@pytest.mark.parametrize(
    ("conditions", "document"),
    [
        (None, {}),
        ({}, {}),
        ({"network": {"connection": "ANYWHERE"}}, {"location": "anywhere"}),
        ({"network": {"connection": "ZONE", "include": [OFFICE]}}, {"location": {"in_zones": ["office"]}}),
        (
            {"network": {"connection": "ZONE", "include": [], "exclude": [OFFICE, LAB]}},
            {"location": {"not_in_zones": ["office", "lab"]}},
        ),
        ({"network": {"connection": "ZONE", "include": ["name:mars"]}}, {"location": {"in_zones": ["mars"]}}),
        (
            {"people": {"users": {"include": [ANA, "login:eve@example.test"], "exclude": [BOB]}}},
            {"people": {"users": {"include": ["ana@example.test", "eve@example.test"],
                                  "exclude": ["bob@example.test"]}, "groups": {}}},
        ),
        (
            {"people": {"groups": {"include": [EVERYONE_ID], "exclude": [IT]}}},
            {"people": {"users": {}, "groups": {"include": ["Everyone"], "exclude": ["IT"]}}},
        ),
        (
            {"platform": {"include": [{"type": "DESKTOP", "os": {"type": "WINDOWS"}},
                                      {"type": "DESKTOP", "os": {"type": "MACOS"}}]}},
            {"platforms": ["windows", "macos"]},
        ),
        (
            {"platform": {"include": [{"type": "MOBILE", "os": {"type": "ANY"}}]}},
            {"platforms": ["ios", "android", "other_mobile"]},
        ),
        (
            {"platform": {"include": [{"type": "DESKTOP", "os": {"type": "OTHER", "expression": ".*"}}]}},
            {"platforms": ["other_desktop"]},
        ),
        (
            {"platform": {"include": [{"type": "DESKTOP", "os": {"type": "OTHER", "expression": "Linux"}}]}},
            {"platforms": ["linux"]},
        ),
        ({"platform": {"include": [{"type": "DESKTOP", "os": {"type": "LINUX"}}]}}, {"platforms": ["linux"]}),
        ({"platform": {"include": [{"os": {"type": "LINUX"}}]}}, {"platforms": ["linux"]}),
        (
            {"platform": {"include": [{"type": "DESKTOP"}]}},
            {"platforms": ["windows", "macos", "other_desktop"]},
        ),
        (
            {"platform": {"include": [{"type": "DESKTOP"}],
                          "exclude": [{"os": {"type": "LINUX"}}, {"os": {"type": "OTHER"}}]}},
            {"platforms": ["windows", "macos"]},
        ),
        (
            {"platform": {"exclude": [{"type": "ANY", "os": {"type": "OTHER"}}]}},
            {"platforms": ["ios", "android", "windows", "macos"]},
        ),
        ({"office365Client": {"include": ["WEB", "MODERN_AUTH"]}},
         {"clients": ["web_browser", "modern_auth"]}),
        ({"device": {"registered": True, "managed": True}}, {"device_trust": "trusted"}),
        ({"device": {"registered": False, "managed": False}}, {"device_trust": "not_trusted"}),
        ({"device": {"registered": False}}, {"device_trust": "not_trusted"}),
        ({"device": {"trustLevel": "NOT_TRUSTED"}}, {"device_trust": "not_trusted"}),
        ({"device": {"trustLevel": "ANY"}}, {"device_trust": "any"}),
        ({"device": {"registered": True, "managed": True, "hardwareKey": "REQUIRED"}},
         {"device_trust": "trusted", "hardware_key": "required"}),
        ({"device": {"trustLevel": "TRUSTED", "hardwareKey": "ANY"}}, {"device_trust": "trusted"}),
        ({"device": {"trustLevel": "TRUSTED", "hardwareKey": None}}, {"device_trust": "trusted"}),
        ({"device": {}}, {"device_trust": "any"}),
        ({"plugIns": {"risk_feed": {"below": 3}}}, {"risk_feed": {"below": 3}}),
    ],
)  # fmt: skip
def test_conditions_that_a_document_can_express(conditions: Any, document: dict[str, Any]) -> None:
    rule = rule_document(body(conditions), NAMES).rule
    assert rule == {"name": "r", "access": "allow", **document}


@pytest.mark.parametrize(
    ("conditions", "field"),
    [
        ({"riskScore": {"level": "LOW"}}, "conditions.riskScore"),
        ({"userType": {"include": [], "exclude": ["x"]}}, "conditions.userType"),
        ({"elCondition": {"condition": "true"}}, "conditions.elCondition"),
        ({"moonPhase": "full"}, "conditions.moonPhase"),
        ([], "conditions"),
        ({"network": {"connection": "ON_NETWORK"}}, "conditions.network.connection"),
        ({"network": {"connection": "ZONE"}}, "conditions.network"),
        ({"network": {"connection": "ZONE", "include": []}}, "conditions.network"),
        ({"network": {"connection": "ANYWHERE", "include": [OFFICE]}}, "conditions.network.include"),
        ({"network": {"connection": "ZONE", "include": [OFFICE], "exclude": [LAB]}},
         "conditions.network.include"),
        ({"network": {"connection": "ZONE", "include": ["ALL_ZONES"]}}, "conditions.network.include"),
        ({"network": {"connection": "ZONE", "exclude": ["nzo404"]}}, "conditions.network.exclude[0]"),
        ({"people": {"users": {"include": ["ana@example.test"]}}}, "conditions.people.users.include[0]"),
        ({"people": {"groups": {"exclude": [IT, "00g404"]}}}, "conditions.people.groups.exclude[1]"),
        ({"people": {"users": {"include": [7]}}}, "conditions.people.users.include[0]"),
        ({"people": {"users": {"include": ANA}}}, "conditions.people.users.include"),
        ({"people": {"userTypes": {}}}, "conditions.people.userTypes"),
        ({"platform": {"include": []}}, "conditions.platform.include"),
        ({"platform": {"include": [{"type": "MOBILE", "os": {"type": "WINDOWS"}}]}},
         "conditions.platform.include[0].os.type"),
        ({"platform": {"include": [{"type": "DESKTOP", "os": {"type": "CHROMEOS"}}]}},
         "conditions.platform.include[0].os.type"),
        ({"platform": {"include": [{"type": "DESKTOP", "os": {"type": "OTHER", "expression": "BSD"}}]}},
         "conditions.platform.include[0].os.expression"),
        ({"platform": {"include": [{"type": "DESKTOP", "os": {"type": "OSX", "expression": "Linux"}}]}},
         "conditions.platform.include[0].os.expression"),
        ({"platform": {"include": [{"type": "MOBILE", "os": {"type": "OTHER", "expression": "Linux"}}]}},
         "conditions.platform.include[0].os.type"),
        ({"platform": {"exclude": [{"type": "DESKTOP", "os": {"type": "LINUX"}}]}},
         "conditions.platform.exclude"),
        ({"platform": {"include": [{"type": "DESKTOP", "os": {"type": "LINUX"}}],
                       "exclude": [{"type": "DESKTOP", "os": {"type": "OTHER"}}]}},
         "conditions.platform.exclude"),
        ({"platform": {"include": [{"type": "MOBILE", "os": {"type": "IOS", "version": {"value": "9"}}}]}},
         "conditions.platform.include[0].os.version"),
        ({"platform": {"include": [{"type": "OTHER"}]}}, "conditions.platform.include[0].type"),
        ({"platform": {"exclude": [{"type": "ANY"}]}}, "conditions.platform.exclude"),
        ({"office365Client": {"include": ["AAD_JOIN"]}}, "conditions.office365Client.include[0]"),
        ({"office365Client": {"include": []}}, "conditions.office365Client.include"),
        ({"device": {"registered": True}}, "conditions.device.registered"),
        ({"device": {"registered": True, "managed": False}}, "conditions.device.managed"),
        ({"device": {"registered": False, "managed": True}}, "conditions.device.managed"),
        ({"device": {"registered": True, "managed": True, "trustLevel": "ANY"}},
         "conditions.device.trustLevel"),
        ({"device": {"trustLevel": "SOME"}}, "conditions.device.trustLevel"),
        ({"device": {"managed": "yes"}}, "conditions.device.managed"),
        ({"device": {"assurance": {"include": ["dae1"]}}}, "conditions.device.assurance"),
        ({"device": {"rooted": True}}, "conditions.device.rooted"),
        ({"device": {"trustLevel": "TRUSTED", "hardwareKey": True}}, "conditions.device.hardwareKey"),
        ({"plugIns": ["risk"]}, "conditions.plugIns"),
        ({"plugIns": {"people": {}}}, "conditions.plugIns.people"),
        ({"plugIns": {"access": "allow"}}, "conditions.plugIns.access"),
    ],
)  # fmt: skip
def test_conditions_that_a_document_cannot_express_are_refused_by_field(conditions: Any, field: str) -> None:
    assert refused_fields(body(conditions)) == [field]


@pytest.mark.parametrize(
    ("actions", "access"),
    [
        (ALLOW, "allow"),
        ({"appSignOn": {"access": "DENY"}}, "deny"),
        (verified(factorMode="1FA", reauthenticateIn="PT43800H", constraints=[]), "allow"),
        (verified(factorMode="2FA", reauthenticateIn="PT0S"),
         {"allow": {"prompt_for_factor": "every_sign_on"}}),
        (verified(factorMode="2FA"), {"allow": {"prompt_for_factor": "every_sign_on"}}),
        (verified(factorMode="2FA", reauthenticateIn="PT43800H"),
         {"allow": {"prompt_for_factor": "every_session"}}),
        (verified(factorMode="2FA", reauthenticateIn="PT2H"),
         {"allow": {"prompt_for_factor": {"every": "2h"}}}),
        (verified(factorMode="2FA", reauthenticateIn="P1DT12H30M"),
         {"allow": {"prompt_for_factor": {"every": "2190m"}}}),
    ],
)  # fmt: skip
def test_actions_that_a_document_can_express(actions: Any, access: object) -> None:
    assert rule_document(body(actions=actions), NAMES).rule["access"] == access


@pytest.mark.parametrize(
    ("actions", "field"),
    [
        (None, "actions.appSignOn"),
        ({}, "actions.appSignOn"),
        ({"signon": {}}, "actions.signon"),
        ({"appSignOn": {}}, "actions.appSignOn.access"),
        ({"appSignOn": {"access": "MAYBE"}}, "actions.appSignOn.access"),
        ({"appSignOn": {"access": "ALLOW", "keepMeSignedIn": {"postAuth": "ALLOWED"}}},
         "actions.appSignOn.keepMeSignedIn"),
        ({"appSignOn": {"access": "ALLOW", "verificationMethod": {"type": "ID_PROOFING"}}},
         "actions.appSignOn.verificationMethod.type"),
        ({"appSignOn": {"access": "DENY", "verificationMethod": {"factorMode": "2FA"}}},
         "actions.appSignOn.verificationMethod.factorMode"),
        (verified(factorMode="3FA"), "actions.appSignOn.verificationMethod.factorMode"),
        (verified(constraints=[{"possession": {}}]), "actions.appSignOn.verificationMethod.constraints"),
        (verified(inactivityPeriod="PT1H"), "actions.appSignOn.verificationMethod.inactivityPeriod"),
        (verified(factorMode="1FA", reauthenticateIn="PT2H"),
         "actions.appSignOn.verificationMethod.reauthenticateIn"),
        *((verified(factorMode="2FA", reauthenticateIn=bad),
           "actions.appSignOn.verificationMethod.reauthenticateIn")
          for bad in ("2h", "PT", "P", "PT30S", "PT9000H", "P1W", "", 7, "PT1H" * 20)),
    ],
)  # fmt: skip
def test_actions_that_a_document_cannot_express_are_refused_by_field(actions: Any, field: str) -> None:
    assert refused_fields(body(actions=actions)) == [field]


@pytest.mark.parametrize(
    ("members", "fields"),
    [
        ({"name": None}, ["name"]),
        ({"name": 7}, ["name"]),
        ({"type": "SIGN_ON"}, ["type"]),
        ({"system": True}, ["system"]),
        ({"priority": -1}, ["priority"]),
        ({"priority": True}, ["priority"]),
        ({"status": "MONITOR"}, ["status"]),
        ({"status": "ACTIVE", "monitor": True}, ["monitor"]),
        ({"monitor": "yes"}, ["monitor"]),
        ({"colour": "red"}, ["colour"]),
        ({"type": "SIGN_ON", "conditions": {"riskScore": {}}, "actions": {}},
         ["type", "conditions.riskScore", "actions.appSignOn"]),
    ],
)  # fmt: skip
def test_everything_wrong_with_a_rule_is_told_at_once(members: dict[str, Any], fields: list[str]) -> None:
    assert refused_fields(body(**members)) == fields


@pytest.mark.parametrize("raw", [None, [], "rule", 7])
def test_a_rule_is_an_object(raw: object) -> None:
    assert refused_fields(raw) == [""]


LEGACY_MONITOR = {
    "name": "r",
    "clients": ["modern_auth"],
    "risk_feed": {"below": 3},
    "access": "allow",
    "status": "monitor",
}


def test_what_a_client_does_not_know_is_not_lost_when_it_writes_back() -> None:
    silent = body({"network": {"connection": "ANYWHERE"}}, status="INACTIVE")
    assert refused_fields(silent, LEGACY_MONITOR) == [
        "monitor",
        "conditions.office365Client",
        "conditions.plugIns.risk_feed",
    ]


def test_what_is_taken_off_by_name_is_taken_off() -> None:
    said = body({"office365Client": None, "plugIns": None}, status="INACTIVE", monitor=None)
    written = rule_document(said, NAMES, LEGACY_MONITOR).rule
    assert written == {"name": "r", "access": "allow", "status": "inactive"}


@pytest.mark.parametrize(
    ("before", "said", "after"),
    [
        (None, {}, None),
        (None, {"monitor": True}, "monitor"),
        (None, {"status": "INACTIVE"}, "inactive"),
        ("inactive", {}, "inactive"),
        ("monitor", {}, "monitor"),
        ("monitor", {"status": "ACTIVE"}, None),
        ("monitor", {"status": "INACTIVE", "monitor": True}, "monitor"),
        ("monitor", {"status": "INACTIVE", "monitor": False}, "inactive"),
        ("monitor", {"monitor": None}, "inactive"),
        ("active", {"status": "INACTIVE", "monitor": True}, "monitor"),
    ],
)
def test_status(before: str | None, said: dict[str, Any], after: str | None) -> None:
    previous = {"name": "r", "access": "allow", **({"status": before} if before else {})}
    assert rule_document(body(**said), NAMES, previous).rule.get("status") == after


@pytest.mark.parametrize(
    ("people", "field"),
    [
        ({"users": {"include": []}}, "conditions.people.users.include"),
        ({"users": {}, "groups": {"exclude": [IT]}}, "conditions.people.users.include"),
    ],
)
def test_to_take_the_last_person_out_does_not_let_everyone_in(people: Any, field: str) -> None:
    previous = {"name": "r", "access": "allow", "people": {"users": {"include": ["ana@example.test"]}}}
    assert refused_fields(body({"people": people}), previous) == [field]


def test_the_last_rule_takes_an_access_and_nothing_else() -> None:
    assert (
        default_document({"name": "Catch-all Rule", "actions": {"appSignOn": {"access": "DENY"}}}) == "deny"
    )
    for members in (
        {"name": "Mine"},
        {"conditions": {"device": {"managed": True}}},
        {"status": "INACTIVE"},
        {"actions": verified(factorMode="2FA")},
    ):
        with pytest.raises(WireRefused):
            default_document({"actions": ALLOW, **members})
