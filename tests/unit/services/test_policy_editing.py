"""Edits of policies: what is stored, what change feed and System Log are told, and what is refused."""

from typing import Any

import pytest
from support.policy_work import NOW, FakeWork, adopted, configuration, editing, occasion

from gateway.model.org import PolicySource, StoredPolicy
from gateway.policy.derived_ids import default_rule_id
from gateway.policy.wire.refusal import WireRefused
from gateway.services.policies import (
    compiled,
    create_rule,
    delete_rule,
    policies,
    policy,
    replace_policy,
    replace_rule,
    rules_of,
    set_rule_status,
    version_of,
)
from gateway.services.policy_files import adopt_files, file_has_changed, revert_to_file, state_policies
from gateway.services.policy_work import ChangedMeanwhile, PolicyRefused
from gateway.services.refusals import NotAllowedNow, NotFound

SHOWABLE = ["windows", "macos"]
DOCUMENT: dict[str, Any] = {
    "name": "Wiki",
    "default": "deny",
    "rules": [
        {"name": "Trusted", "platforms": SHOWABLE, "device_trust": "trusted", "access": "allow"},
        {"name": "Office", "location": {"in_zones": ["office"]}, "access": "allow", "status": "inactive"},
    ],
}
CONFIGURED = configuration(("wiki", DOCUMENT))
DENY = {"appSignOn": {"access": "DENY"}}
ALLOW = {"appSignOn": {"access": "ALLOW"}}


@pytest.fixture
def work() -> FakeWork:
    return adopted(CONFIGURED)


def wiki(work: FakeWork) -> StoredPolicy:
    [found] = policies(work, CONFIGURED)
    return found


def names(work: FakeWork) -> list[str]:
    return [rule["name"] for rule in rules_of(wiki(work))]


def rule_id(work: FakeWork, name: str) -> str:
    return str(next(rule["id"] for rule in rules_of(wiki(work)) if rule["name"] == name))


def test_the_store_learns_of_each_file_once(work: FakeWork) -> None:
    assert (wiki(work).source, wiki(work).document, wiki(work).id[:3]) == (PolicySource.FILE, DOCUMENT, "rst")
    assert adopt_files(work, CONFIGURED, occasion()) == []
    assert work.heard() == ([], [])
    assert state_policies(work) == {}


def test_a_file_that_changed_is_followed_until_the_policy_is_edited(work: FakeWork) -> None:
    changed = configuration(("wiki", {**DOCUMENT, "name": "New"}), digest="2")
    assert adopt_files(work, changed, occasion()) == ["wiki"]
    assert work.heard() == ([], ["application.policy.sign_on.update"])
    create_rule(work, editing(changed), wiki(work).id, {"name": "Mine", "actions": DENY})
    assert adopt_files(work, configuration(("wiki", DOCUMENT), digest="3"), occasion()) == []
    assert wiki(work).name == "New"
    assert file_has_changed(wiki(work), configuration(("wiki", DOCUMENT), digest="3"))
    assert not file_has_changed(wiki(work), changed)


def test_the_policy_of_an_app_that_went_goes_unless_it_was_edited(work: FakeWork) -> None:
    nothing = configuration()
    with pytest.raises(NotFound):
        policy(work, nothing, wiki(work).id)
    assert adopt_files(work, nothing, occasion()) == ["wiki"]
    edited = adopted(CONFIGURED)
    create_rule(edited, editing(CONFIGURED), wiki(edited).id, {"name": "Mine", "actions": DENY})
    assert adopt_files(edited, nothing, occasion()) == []
    assert policies(edited, nothing) == []
    assert names(edited) == ["Trusted", "Office", "Mine"]


def test_a_new_rule_is_in_the_store_the_feed_and_the_log(work: FakeWork) -> None:
    before = [rule["id"] for rule in rules_of(wiki(work))]
    result, new_id = create_rule(
        work, editing(CONFIGURED), wiki(work).id, {"name": "Mine", "priority": 1, "actions": DENY}
    )
    assert names(work) == ["Trusted", "Mine", "Office"]
    assert [rule["id"] for rule in rules_of(wiki(work))] == [before[0], new_id, before[1]]
    assert wiki(work).source is PolicySource.EDITED
    assert wiki(work).last_updated > wiki(work).created == NOW
    assert state_policies(work) == {"wiki": result.stored.document}
    event = work.events[0]
    assert event.targets[0].changed_to == {"id": new_id, "name": "Mine", "access": "deny", "priority": 1}
    assert work.heard() == (["policies"], ["application.policy.sign_on.rule.create"])


def test_a_rule_keeps_its_id_when_it_is_renamed_and_moved(work: FakeWork) -> None:
    office = rule_id(work, "Office")
    body = {
        "name": "Home",
        "priority": 0,
        "status": "ACTIVE",
        "conditions": {"network": {"connection": "ZONE", "exclude": ["name:office"]}},
        "actions": ALLOW,
    }
    replace_rule(work, editing(CONFIGURED), wiki(work).id, office, body)
    assert names(work) == ["Home", "Trusted"]
    assert rule_id(work, "Home") == office
    target = work.events[0].targets[0]
    assert (target.id, target.display_name) == (office, "Home")
    assert target.changed_from == {
        "name": "Office", "location": {"in_zones": ["office"]}, "status": "inactive", "priority": 1,
    }  # fmt: skip
    assert target.changed_to == {"name": "Home", "location": {"not_in_zones": ["office"]}, "priority": 0}
    assert work.heard() == (["policies"], ["application.policy.sign_on.rule.update"])


def test_a_rule_that_is_written_back_as_it_is_changes_nothing(work: FakeWork) -> None:
    body = {
        "name": "Trusted",
        "conditions": {
            "platform": {"include": [{"type": "DESKTOP", "os": {"type": os}} for os in ("OSX", "WINDOWS")]},
            "device": {"registered": True, "managed": True},
        },
        "actions": ALLOW,
    }
    replace_rule(work, editing(CONFIGURED), wiki(work).id, rule_id(work, "Trusted"), body)
    assert wiki(work).source is PolicySource.FILE
    assert work.heard() == ([], [])


@pytest.mark.parametrize(
    ("name", "active", "status", "told"),
    [
        ("Office", True, None, True),
        ("Office", False, "inactive", False),
        ("Trusted", False, "inactive", True),
        ("Trusted", True, None, False),
    ],
)
def test_lifecycle_of_a_rule(work: FakeWork, name: str, active: bool, status: str | None, told: bool) -> None:
    set_rule_status(work, editing(CONFIGURED), wiki(work).id, rule_id(work, name), active=active)
    assert next(rule for rule in rules_of(wiki(work)) if rule["name"] == name).get("status") == status
    assert work.heard()[0] == (["policies"] if told else [])


def test_a_deleted_rule_leaves_a_trace(work: FakeWork) -> None:
    delete_rule(work, editing(CONFIGURED), wiki(work).id, rule_id(work, "Office"))
    assert names(work) == ["Trusted"]
    changed_from = work.events[0].targets[0].changed_from
    assert changed_from is not None
    assert changed_from["location"] == {"in_zones": ["office"]}
    assert work.heard() == (["policies"], ["application.policy.sign_on.rule.delete"])


def test_the_last_rule_takes_an_access_only(work: FakeWork) -> None:
    last = default_rule_id("wiki")
    replace_rule(work, editing(CONFIGURED), wiki(work).id, last, {"actions": ALLOW})
    assert wiki(work).document["default"] == "allow"
    assert work.heard() == (["policies"], ["application.policy.sign_on.rule.update"])
    replace_rule(work, editing(CONFIGURED), wiki(work).id, last, {"actions": ALLOW})
    assert work.heard() == ([], [])
    for impossible in (
        lambda: delete_rule(work, editing(CONFIGURED), wiki(work).id, last),
        lambda: set_rule_status(work, editing(CONFIGURED), wiki(work).id, last, active=False),
    ):
        with pytest.raises(NotAllowedNow):
            impossible()


def test_what_was_edited_can_be_taken_back(work: FakeWork) -> None:
    with pytest.raises(NotAllowedNow):
        revert_to_file(work, editing(CONFIGURED), wiki(work).id)
    office = rule_id(work, "Office")
    delete_rule(work, editing(CONFIGURED), wiki(work).id, office)
    work.heard()
    revert_to_file(work, editing(CONFIGURED), wiki(work).id)
    assert (wiki(work).source, wiki(work).document) == (PolicySource.FILE, DOCUMENT)
    assert rule_id(work, "Office") == office
    assert state_policies(work) == {}
    assert work.heard() == (["policies"], ["application.policy.sign_on.update"])


def test_the_name_of_a_policy_can_be_changed(work: FakeWork) -> None:
    replace_policy(work, editing(CONFIGURED), wiki(work).id, {"type": "ACCESS_POLICY", "name": "Other"})
    assert (wiki(work).name, wiki(work).document["name"]) == ("Other", "Other")
    assert work.heard() == (["policies"], ["application.policy.sign_on.update"])
    replace_policy(work, editing(CONFIGURED), wiki(work).id, {"name": "Other"})
    assert work.heard() == ([], [])


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"name": "Trusted", "actions": DENY}, "name"),
        ({"name": " x", "actions": DENY}, "name"),
        ({"name": "x", "conditions": {"device": {"managed": True, "registered": True}}, "actions": ALLOW},
         "conditions.device"),
        ({"name": "x", "conditions": {"network": {"connection": "ZONE", "include": ["name:mars"]}},
          "actions": ALLOW}, "conditions.network"),
        ({"name": "x", "conditions": {"office365Client": {"include": ["WEB"]}}, "actions": ALLOW},
         "conditions.office365Client"),
        ({"name": "x", "conditions": {"people": {"users": {"include": ["login: x"]}}}, "actions": ALLOW},
         "conditions.people.users.include[0]"),
        ({"name": "x", "conditions": {"people": {"groups": {"exclude": ["name:Everyone"]}}},
          "actions": ALLOW}, "conditions.people"),
        ({"name": "x", "conditions": {"plugIns": {"moon": 1}}, "actions": ALLOW}, "conditions.plugIns.moon"),
    ],
)  # fmt: skip
def test_what_does_not_compile_is_refused_by_field(work: FakeWork, body: dict[str, Any], field: str) -> None:
    with pytest.raises(PolicyRefused) as refused:
        create_rule(work, editing(CONFIGURED), wiki(work).id, body)
    assert [problem.field for problem in refused.value.problems] == [field]
    assert work.heard() == ([], [])
    assert wiki(work).source is PolicySource.FILE


def test_trust_beside_legacy_clients_is_refused_where_the_app_tells_clients_apart() -> None:
    office = configuration(("mail", {"name": "Mail", "rules": []}), client_conditions=["mail"])
    work = adopted(office)
    [mail] = policies(work, office)
    windows = {"include": [{"type": "DESKTOP", "os": {"type": "WINDOWS"}}]}
    conditions: dict[str, Any] = {"platform": windows, "device": {"trustLevel": "TRUSTED"}}
    for clients, accepted in ((["WEB", "EXCHANGE_ACTIVE_SYNC"], False), (["WEB", "MODERN_AUTH"], True)):
        body = {
            "name": "x",
            "conditions": {**conditions, "office365Client": {"include": clients}},
            "actions": ALLOW,
        }
        if accepted:
            create_rule(work, editing(office), mail.id, body)
        else:
            with pytest.raises(PolicyRefused, match="exchange_activesync_or_legacy_auth"):
                create_rule(work, editing(office), mail.id, body)


def test_an_edit_of_something_else_than_was_read_is_refused(work: FakeWork) -> None:
    read = rules_of(wiki(work))[0]
    body = {"name": "Trusted", "actions": DENY}
    replace_rule(work, editing(CONFIGURED), wiki(work).id, read["id"], body, version_of(read))
    with pytest.raises(ChangedMeanwhile):
        replace_rule(work, editing(CONFIGURED), wiki(work).id, read["id"], body, version_of(read))
    with pytest.raises(ChangedMeanwhile):
        delete_rule(work, editing(CONFIGURED), wiki(work).id, read["id"], version_of(read))
    with pytest.raises(ChangedMeanwhile):
        replace_policy(work, editing(CONFIGURED), wiki(work).id, {"name": "x"}, version_of(DOCUMENT))


def test_what_is_not_there_is_said_by_kind(work: FakeWork) -> None:
    for call, kind in (
        (lambda: create_rule(work, editing(CONFIGURED), "rst404", {}), "Policy"),
        (lambda: delete_rule(work, editing(CONFIGURED), wiki(work).id, "0pr404"), "PolicyRule"),
    ):
        with pytest.raises(NotFound) as missing:
            call()
        assert missing.value.kind == kind


def test_the_linter_speaks_with_each_edit(work: FakeWork) -> None:
    result, _ = create_rule(
        work, editing(CONFIGURED), wiki(work).id, {"name": "All", "priority": 0, "actions": ALLOW}
    )
    codes = {finding.code for finding in result.warnings()}
    assert {"unreachable-rule", "untrusted-never-denied"} <= codes


def test_the_linter_knows_the_switch(work: FakeWork) -> None:
    work.settings.values["device_trust_enabled"] = False
    result = compiled(work, CONFIGURED, wiki(work))
    assert "trust-while-disabled" in {finding.code for finding in result.warnings()}


def test_a_body_that_is_no_rule_is_refused_before_anything_is_stored(work: FakeWork) -> None:
    with pytest.raises(WireRefused):
        create_rule(work, editing(CONFIGURED), wiki(work).id, {"name": "x"})
    assert work.heard() == ([], [])
