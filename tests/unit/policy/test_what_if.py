"""Sign-ons of the log under another policy."""

from datetime import UTC, datetime
from typing import Any

import pytest
from support.policies import policy, rule, zones

from gateway.model.decision import Platform
from gateway.policy.what_if import Outcome, PastSignOn, Unread, is_sign_on, read_sign_on, replay

PLACES = zones(office=["10.0.0.0/8"])
FACTOR = {"allow": {"prompt_for_factor": "every_sign_on"}}


def event(result: str = "ALLOW", os: str = "Windows", **details: Any) -> dict[str, Any]:
    debug = {"deviceTrust": "not_trusted", **details}
    return {
        "uuid": "u1",
        "published": "2026-11-26T09:30:00.000Z",
        "eventType": "policy.evaluate_sign_on",
        "actor": {"alternateId": "ana@example.test"},
        "client": {"ipAddress": "10.1.2.3", "userAgent": {"browser": "web_browser", "os": os}},
        "target": [{"type": "PolicyRule", "id": "0pr"}, {"type": "AppInstance", "id": "wiki"}],
        "outcome": {"result": result},
        "debugContext": {"debugData": {name: value for name, value in debug.items() if value is not None}},
    }


def past(result: str = "ALLOW", **details: Any) -> PastSignOn:
    return read_sign_on(event(result, **details))


def test_an_event_tells_a_sign_on() -> None:
    read = past(groups=["IT"], rule="Office")
    assert read.app == "wiki"
    assert read.published == datetime(2026, 11, 26, 9, 30, tzinfo=UTC)
    assert read.request.groups == {"IT"}
    assert (read.outcome, read.rule, read.groups_known) == (Outcome.LET_IN, "Office", True)
    assert is_sign_on(event())
    assert not is_sign_on({"eventType": "user.lifecycle.deactivate"})


@pytest.mark.parametrize(
    ("os", "platform"),
    [
        ("Linux", Platform.LINUX),
        ("linux", Platform.LINUX),
        ("other_desktop", Platform.OTHER_DESKTOP),  # so Linux was logged before it had a name
        ("macOS", Platform.MACOS),
    ],
)
def test_the_platform_is_the_one_that_was_logged(os: str, platform: Platform) -> None:
    assert read_sign_on(event(os=os)).request.platform is platform


def test_groups_that_were_not_logged_are_those_of_now() -> None:
    assert not past().groups_known
    now = read_sign_on(event(), lambda login: frozenset(["IT"]) if login == "ana@example.test" else None)
    assert (now.groups_known, now.request.groups) == (True, {"IT"})


@pytest.mark.parametrize(
    ("broken", "why"),
    [
        ({"target": None}, "names no app"),
        ({"outcome": {}}, "lacks result"),
        ({"outcome": {"result": "ABANDONED"}}, "lacks ABANDONED"),
        ({"client": {"ipAddress": "mars", "userAgent": {"browser": "web_browser"}}}, "not one of ours"),
        ({"client": {"ipAddress": "10.1.2.3", "userAgent": None}}, "not one of ours"),
        ({"client": None}, "not one of ours"),
        ({"client": {"ipAddress": "10.1.2.3", "userAgent": {"browser": "fax", "os": "iOS"}}}, "not one of"),
        (
            {"client": {"ipAddress": "10.1.2.3", "userAgent": {"browser": "web_browser", "os": "OS/2"}}},
            "not one",
        ),
        ({"published": "yesterday"}, "not one of ours"),
        ({"actor": []}, "not one of ours"),
    ],
)
def test_what_is_no_sign_on_of_ours_is_said(broken: dict[str, Any], why: str) -> None:
    with pytest.raises(Unread, match=why):
        read_sign_on({**event(), **broken})


@pytest.mark.parametrize(
    ("sign_on", "rules", "difference"),
    [
        pytest.param(past("ALLOW"), [rule("a", "allow")], None, id="still let in"),
        pytest.param(past("DENY"), [rule("a", "allow")], (Outcome.DENIED, Outcome.LET_IN, "a"), id="let in"),
        pytest.param(past("ALLOW"), [], (Outcome.LET_IN, Outcome.DENIED, None), id="denied by default"),
        pytest.param(
            past("ALLOW", rule="old"), [rule("a", FACTOR)], (Outcome.LET_IN, Outcome.FACTOR, "a"), id="asked"
        ),
        pytest.param(past("ALLOW", rule="a"), [rule("a", FACTOR)], None, id="had shown the factor"),
        pytest.param(
            past("CHALLENGE", rule="a"),
            [rule("a", "allow")],
            (Outcome.FACTOR, Outcome.LET_IN, "a"),
            id="not asked any more",
        ),
        pytest.param(
            past("ALLOW", deviceTrust="trusted"),
            [rule("a", "allow", platforms=["windows"], device_trust="not_trusted")],
            (Outcome.LET_IN, Outcome.DENIED, None),
            id="the device counts",
        ),
        pytest.param(
            past("ALLOW"),
            [rule("a", "allow", location={"not_in_zones": ["office"]})],
            (Outcome.LET_IN, Outcome.DENIED, None),
            id="the place counts",
        ),
    ],
)
def test_a_sign_on_under_another_policy(
    sign_on: PastSignOn, rules: list[Any], difference: tuple[Outcome, Outcome, str | None] | None
) -> None:
    result = replay([sign_on], policy(*rules), PLACES)
    assert (result.replayed, result.unknown_groups, result.unknown_device) == (1, 0, 0)
    found = [(each.before, each.after, each.rule) for each in result.differences]
    assert found == ([] if difference is None else [difference])


def test_what_nothing_told_is_not_guessed() -> None:
    by_group = policy(rule("IT", "allow", people={"groups": {"include": ["IT"]}}))
    assert replay([past()], by_group, PLACES).unknown_groups == 1
    by_device = policy(rule("a", "allow", platforms=["windows"], device_trust="trusted"))
    assert replay([past(deviceTrust="unknown")], by_device, PLACES).unknown_device == 1
    assert replay([past(deviceTrust=None, os="iOS")], by_device, PLACES).replayed == 1


def test_two_policies_are_compared_with_each_other() -> None:
    old, new = policy(rule("a", "deny")), policy(rule("b", "allow"))
    [found] = replay([past("ALLOW")], new, PLACES, against=old).differences
    assert (found.before, found.after, found.rule) == (Outcome.DENIED, Outcome.LET_IN, "b")
    assert replay([past("DENY")], new, PLACES, against=new).differences == ()
