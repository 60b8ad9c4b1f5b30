"""Each condition against requests: a table of what it selects."""

from typing import Any

import pytest
from support.policies import LEGACY, PARSERS, request, zones

from gateway.model.decision import Client, DeviceTrust, Match, Platform, SignOnRequest
from gateway.policy.conditions import BUILT_IN_KEYS

ZONES = zones(office=["10.0.0.0/8", "2001:db8::/32"], lab=["192.0.2.0/24"], empty=[])
YES, NO, UNDEFINED = Match.MATCH, Match.NOT_MATCH, Match.UNDEFINED


def people(**parts: Any) -> dict[str, Any]:
    return {"people": parts}


@pytest.mark.parametrize(
    ("condition", "signing_on", "match"),
    [
        pytest.param(people(), request(), YES, id="people that name nobody are everyone"),
        pytest.param(
            people(groups={"include": ["Everyone"]}), request(), YES, id="Everyone has no need of groups"
        ),
        pytest.param(
            people(users={"include": ["ANA@example.test"]}), request(), YES, id="users without case"
        ),
        pytest.param(
            people(users={"include": ["straße@x"]}), request(user="STRASSE@X"), YES, id="users casefolded"
        ),
        pytest.param(
            people(users={"include": ["bob"]}), request(), NO, id="users without groups select only them"
        ),
        pytest.param(
            people(groups={"include": ["IT"]}), request(groups=["IT", "HR"]), YES, id="one group is enough"
        ),
        pytest.param(people(groups={"include": ["IT"]}), request(groups=["it"]), NO, id="groups with case"),
        pytest.param(people(groups={"include": ["IT"]}), request(), NO, id="no group"),
        pytest.param(
            people(users={"include": ["ana@example.test"]}, groups={"include": ["IT"]}),
            request(),
            YES,
            id="a listed user needs no listed group",
        ),
        pytest.param(
            people(users={"exclude": ["Ana@Example.test"]}),
            request(),
            NO,
            id="an excluded user, without case",
        ),
        pytest.param(people(users={"exclude": ["bob"]}), request(), YES, id="everyone but another user"),
        pytest.param(
            people(users={"include": ["ana@example.test"]}, groups={"exclude": ["Guests"]}),
            request(groups=["Guests"]),
            NO,
            id="exclusion wins over inclusion",
        ),
        pytest.param({"location": "anywhere"}, request(), YES, id="anywhere"),
        pytest.param({"location": {"in_zones": ["office"]}}, request(ip="10.9.8.7"), YES, id="in the zone"),
        pytest.param({"location": {"in_zones": ["office"]}}, request(ip="11.0.0.0"), NO, id="past its end"),
        pytest.param(
            {"location": {"in_zones": ["lab", "office"]}}, request(ip="2001:db8::1"), YES, id="in one of two"
        ),
        pytest.param(
            {"location": {"in_zones": ["office"]}},
            request(ip="::ffff:10.9.8.7"),
            YES,
            id="an IPv4-mapped address",
        ),
        pytest.param(
            {"location": {"not_in_zones": ["office"]}},
            request(ip="::ffff:10.9.8.7"),
            NO,
            id="mapped is not outside",
        ),
        pytest.param(
            {"location": {"not_in_zones": ["lab", "office"]}}, request(ip="10.0.0.1"), NO, id="not in any"
        ),
        pytest.param({"location": {"not_in_zones": ["lab", "office"]}}, request(), YES, id="outside of all"),
        pytest.param({"location": {"in_zones": ["empty"]}}, request(), NO, id="a zone without networks"),
        pytest.param(
            {"location": {"in_zones": ["moon"]}}, request(), UNDEFINED, id="a zone that does not exist"
        ),
        pytest.param(
            {"location": {"not_in_zones": ["moon"]}}, request(), UNDEFINED, id="nor is one outside of it"
        ),
        pytest.param(
            {"location": {"in_zones": ["office", "moon"]}},
            request(ip="10.0.0.1"),
            UNDEFINED,
            id="beside one that does",
        ),
        pytest.param(
            {"clients": ["modern_auth"]}, request(client=Client.MODERN_AUTH), YES, id="a listed client"
        ),
        pytest.param({"clients": ["modern_auth", LEGACY]}, request(), NO, id="a client not listed"),
        pytest.param({"platforms": ["macos", "windows"]}, request(), YES, id="a listed platform"),
        pytest.param({"platforms": ["macos"]}, request(), NO, id="a platform not listed"),
        pytest.param(
            {"platforms": ["other_desktop"]},
            request(platform=Platform.OTHER_MOBILE),
            NO,
            id="other is not any other",
        ),
        pytest.param(
            {"platforms": ["other_desktop"]},
            request(platform=Platform.LINUX),
            YES,
            id="other desktops are Linux, too, as before it had a name",
        ),
        pytest.param({"platforms": ["linux"]}, request(platform=Platform.LINUX), YES, id="Linux is Linux"),
        pytest.param(
            {"platforms": ["linux"]}, request(platform=Platform.OTHER_DESKTOP), NO, id="Linux is no other"
        ),
        pytest.param(
            {"device_trust": "any"}, request(trust=DeviceTrust.UNKNOWN), YES, id="any trust asks nothing"
        ),
        pytest.param(
            {"device_trust": "trusted"}, request(trust=DeviceTrust.TRUSTED), YES, id="trusted is trusted"
        ),
        pytest.param({"device_trust": "trusted"}, request(), NO, id="not trusted is not trusted"),
        pytest.param(
            {"device_trust": "trusted"},
            request(trust=DeviceTrust.UNKNOWN),
            UNDEFINED,
            id="trusted, not asked",
        ),
        pytest.param({"device_trust": "not_trusted"}, request(), YES, id="not_trusted selects the untrusted"),
        pytest.param(
            {"device_trust": "not_trusted"},
            request(trust=DeviceTrust.TRUSTED),
            NO,
            id="not_trusted, but trusted",
        ),
        pytest.param(
            {"device_trust": "not_trusted"},
            request(trust=DeviceTrust.UNKNOWN),
            UNDEFINED,
            id="not_trusted, not asked",
        ),
    ],
)
def test_a_condition_selects(condition: dict[str, Any], signing_on: SignOnRequest, match: Match) -> None:
    [(key, raw)] = condition.items()
    assert PARSERS[key](raw).match(signing_on, ZONES) is match


@pytest.mark.parametrize(
    ("condition", "signing_on", "description"),
    [
        ({"people": {}}, request(), "everyone is included"),
        (
            {"people": {"users": {"include": ["ana@example.test"]}}},
            request(),
            'user "ana@example.test" is included',
        ),
        (
            {"people": {"users": {"exclude": ["ana@example.test"]}}},
            request(),
            'user "ana@example.test" is excluded',
        ),
        ({"people": {"groups": {"include": ["IT"]}}}, request(groups=["IT"]), 'group "IT" is included'),
        ({"people": {"groups": {"exclude": ["IT"]}}}, request(groups=["IT"]), 'group "IT" is excluded'),
        (
            {"people": {"groups": {"include": ["IT"]}}},
            request(user="a\x1b[2J"),
            'neither user "a\\x1b[2J" nor a group of theirs is included',
        ),
        ({"location": "anywhere"}, request(), "anywhere"),
        ({"location": {"in_zones": ["office"]}}, request(ip="10.0.0.1"), '10.0.0.1 is in zone "office"'),
        ({"location": {"in_zones": ["lab"]}}, request(), '203.0.113.7 is in none of the zones "lab"'),
        ({"location": {"in_zones": ["moon"]}}, request(), 'zone "moon" is not defined'),
        ({"clients": ["modern_auth"]}, request(), "web_browser is not among modern_auth"),
        ({"platforms": ["windows", "ios"]}, request(), "windows is among ios, windows"),
        (
            {"platforms": ["other_desktop", "ios"]},
            request(platform=Platform.LINUX),
            "linux is among ios, other_desktop (which includes linux)",
        ),
        (
            {"platforms": ["linux"]},
            request(platform=Platform.OTHER_DESKTOP),
            "other_desktop is not among linux",
        ),
        ({"device_trust": "any"}, request(), "any trust"),
        ({"device_trust": "trusted"}, request(), "trusted is required; the device is not_trusted"),
        (
            {"device_trust": "trusted"},
            request(trust=DeviceTrust.UNKNOWN),
            "trusted is required; the device has not been asked",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_condition_says_why(condition: dict[str, Any], signing_on: SignOnRequest, description: str) -> None:
    [(key, raw)] = condition.items()
    assert PARSERS[key](raw).describe(signing_on, ZONES) == description


def test_the_built_in_conditions_come_in_by_the_plug_in_door() -> None:
    assert set(BUILT_IN_KEYS) <= PARSERS.keys()
