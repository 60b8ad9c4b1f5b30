"""The file of config export and import: exact in both directions, and every fault with its line."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.config.errors import ConfigError
from gateway.config.marked_yaml import load_marked
from gateway.config.org_file import load_org_file, org_file_text
from gateway.config.yaml_text import yaml_text
from gateway.model.org import SettingName
from gateway.policy.wire.zones import zone_document
from gateway.services.org_export import ExportedZone, OrgExport

WORDS = st.sampled_from(
    ["yes", "no", "on", "null", "~", "", "12:30", "0o17", "0x1f", "1e3", ".5", "-.5", "1_000", "2026-11-26",
     "- a", "a: b", "# a", "'", '"', "&a", "*a", "!a", "a\nb", " a ", "Größe", "=", "<<", ".inf", ".nan",
     "\x85", "\u2028", "\u202e", "\t", "{", "[", "%", "@", "`", "|", ">", "?", "+1", "1."]
)  # fmt: skip
TEXTS = WORDS | st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**12), 10**12) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=500, deadline=None)
@given(VALUES)
def test_what_is_written_is_read_as_the_same(value: Any) -> None:
    assert load_marked(yaml_text({"value": value}), "f").value == {"value": value}


ZONES = st.lists(
    st.builds(
        lambda name, networks, active, zone_id: ExportedZone(
            name,
            zone_document({"name": name, "gateways": networks}).document,
            active,
            zone_id,
        ),
        st.sampled_from(["lab", "0x1f", "Büro 1"]),
        st.lists(
            st.sampled_from(
                [
                    {"type": "CIDR", "value": "10.0.0.0/8"},
                    {"type": "CIDR", "value": "2001:db8::/32"},
                    {"type": "RANGE", "value": "192.0.2.1-192.0.2.9"},
                ]
            ),
            min_size=1,
        ),
        st.booleans(),
        st.none() | st.sampled_from(["nzo" + "1" * 17, "nzo" + "2" * 17]),
    )
).map(tuple)
SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        SettingName.DEVICE_TRUST_ENABLED: st.booleans(),
        SettingName.READ_ONLY: st.booleans(),
        SettingName.LEARN_MORE_URL: st.none() | st.just("https://help.example.test/a"),
    },
)


@settings(max_examples=100, deadline=None)
@given(SETTINGS, ZONES, st.dictionaries(TEXTS, st.dictionaries(TEXTS, VALUES, max_size=2), max_size=2))
def test_an_export_comes_back_as_it_was(wanted: Any, zones: Any, policies: Any) -> None:
    exported = OrgExport(wanted, zones, policies)
    text = org_file_text(exported)
    assert load_org_file(text, "f").exported == exported
    assert org_file_text(load_org_file(text, "f").exported) == text


def test_the_least_file_is_empty() -> None:
    assert load_org_file("version: 1\n", "f").exported == OrgExport()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "f: must be a mapping"),
        ("policies: {}", "f:1: version: must be 1"),
        ("version: 2", "f:1: version: must be 1"),
        ("version: 1\nzone: []", 'f:2: zone: is not a known key; did you mean "zones"?'),
        ("version: 1\nzones: 7", "f:2: zones: must be a list"),
        ("version: 1\npolicies: [wiki]", "f:2: policies: must be a mapping of apps"),
        ("version: 1\npolicies:\n  wiki: 7", "f:3: policies.wiki: must be a policy"),
        ("version: 1\nsettings: {enabled: true}", "f:2: settings.enabled: is not a known key"),
        ("version: 1\nsettings:\n  read_only: 1", "f:3: settings.read_only: must be true or false"),
        ("version: 1\nsettings:\n  learn_more_url: x", "f:3: settings.learn_more_url: "),
        ("version: 1\nsettings:\n  learn_more_url: 7", "f:3: settings.learn_more_url: must be an address"),
        ("version: 1\nzones:\n  - {name: lab}", "f:3: zones[0].networks: must be a list of networks"),
        ("version: 1\nzones:\n  - {name: lab, networks: []}", "f:3: zones[0].networks: must be a list of 1"),
        (
            "version: 1\nzones:\n  - {name: lab, networks: [10.0.0.1/8]}",
            'f:3: zones[0].networks: "10.0.0.1/8" is not a network',
        ),
        ("version: 1\nzones:\n  - {name: ' ', networks: [10.0.0.0/8]}", "f:3: zones[0].name: must not be"),
        ("version: 1\nzones:\n  - {id: x, name: lab, networks: []}", "f:3: zones[0].id: is not the id"),
        (
            "version: 1\nzones:\n  - {name: lab, networks: [10.0.0.0/8], status: on}",
            "f:3: zones[0].status: must be active or inactive",
        ),
        ("version: 1\nversion: 1", "f:2: version: given twice"),
    ],
)
def test_a_fault_is_told_with_its_line(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        load_org_file(text, "f")
    assert str(refused.value).startswith(message)
