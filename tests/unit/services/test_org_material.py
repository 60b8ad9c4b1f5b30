"""What the org says, laid over what the files say."""

from dataclasses import replace
from ipaddress import ip_address, ip_network
from types import SimpleNamespace
from typing import Any

import pytest
from support.forge import forge_authority
from support.policies import PARSERS

from gateway.model.decision import Access, Client, DeviceTrust, Platform, SignOnRequest
from gateway.model.org_state import OrgState, OrgStateInvalid
from gateway.model.reasons import POLICY_ERROR
from gateway.model.settings import AuthoritySettings, DeviceFrom, UserFrom, Zone
from gateway.pki.authority import Authority
from gateway.policy.engine import evaluate
from gateway.policy.rules import Policy, compile_policy
from gateway.services.material import Material
from gateway.services.org_material import OrgContent, org_content, with_org

FILE_POLICY = compile_policy({"name": "Of the file", "rules": []}, PARSERS)
EDITED = {"name": "Edited", "default": "deny", "rules": []}
IN_OFFICE = {
    "name": "In the office",
    "rules": [{"name": "In", "location": {"in_zones": ["office"]}, "access": "allow"}],
}
REQUEST = SignOnRequest(
    "alice", frozenset(), ip_address("192.0.2.1"), Client.WEB_BROWSER, Platform.WINDOWS, DeviceTrust.TRUSTED
)
CORP, OWN = (
    AuthoritySettings(name, "", (), None, True, DeviceFrom.SAN_URI, UserFrom.SAN_UPN, builtin=name == "own")
    for name in ("corp", "own")
)
CORP_CA, OWN_CA = forge_authority("Corp").parsed, forge_authority("Own").parsed


def material(order: tuple[AuthoritySettings, ...] = (OWN, CORP)) -> Material:
    from support.sign_on import SignOnWorld  # its settings are those of a whole gateway

    settings = replace(
        SignOnWorld().live.current.settings,
        authorities=order,
        zones=(Zone("office", (ip_network("10.0.0.0/8"),)), Zone("home", (ip_network("10.9.0.0/16"),))),
        learn_more_url="https://file.example.test/",
    )
    policies = {app.name: FILE_POLICY for app in settings.apps}
    return Material(settings, (), (Authority(CORP, (CORP_CA,)),), {}, policies, {})


def laid(state: OrgState, former: dict[str, Policy] | None = None, **details: Any) -> Any:
    certificates = details.pop("certificates", ())
    merged = with_org(material(**details), OrgContent(state, certificates), PARSERS, former or {})
    return SimpleNamespace(
        settings=merged.material.settings,
        names=[each.name for each in merged.material.authorities],
        policies={name: policy.name for name, policy in merged.material.policies.items()},
        own=merged.policies,
        refused=merged.refused,
    )


def test_an_org_that_says_nothing_leaves_everything_to_the_files() -> None:
    merged = laid(OrgState(1))
    assert merged.names == ["corp"]
    assert merged.settings.learn_more_url == "https://file.example.test/"
    assert set(merged.policies.values()) == {"Of the file"}
    assert with_org(material(), None, PARSERS).material == material()


@pytest.mark.parametrize("order", [(OWN, CORP), (CORP, OWN)], ids=["first", "last"])
def test_its_ca_is_an_authority_at_the_place_that_the_configuration_gives_it(
    order: tuple[AuthoritySettings, ...],
) -> None:
    merged = laid(OrgState(1), order=order, certificates=(OWN_CA,))
    assert merged.names == [each.name for each in order]
    assert laid(OrgState(1), order=(CORP,), certificates=(OWN_CA,)).names == ["corp"]


def test_settings_zones_and_policies_of_the_store_come_first() -> None:
    office = Zone("office", (ip_network("192.0.2.0/24"),))
    merged = laid(
        OrgState(
            1,
            device_trust_enabled=False,
            learn_more_url="https://store.example.test/",
            policies={"wiki": EDITED, "an app that is gone": EDITED},
            zones=(office,),
        )
    )
    assert not merged.settings.device_trust_enabled
    assert merged.settings.learn_more_url == "https://store.example.test/"
    assert {zone.name: zone for zone in merged.settings.zones}["office"] == office
    assert sorted(zone.name for zone in merged.settings.zones) == ["home", "office"]
    assert merged.policies == {"wiki": "Edited", "payroll": "Of the file"}
    assert list(merged.own) == ["wiki"]


def test_a_policy_that_cannot_be_used_leaves_the_former_or_denies() -> None:
    broken = OrgState(1, policies={"wiki": {"name": "Broken", "rules": [{"name": "R", "acess": "deny"}]}})
    merged = laid(broken)
    (refused,) = merged.refused
    assert refused.startswith('policy of app "wiki" in the store: ')
    decision = evaluate(merged.own["wiki"], REQUEST, {})
    assert (decision.access, decision.reason) == (Access.DENY, POLICY_ERROR)
    former = laid(OrgState(1, policies={"wiki": EDITED})).own
    assert laid(broken, former).policies["wiki"] == "Edited"


def test_a_policy_may_name_zones_of_the_file_and_of_the_store_and_no_others() -> None:
    assert laid(OrgState(1, policies={"wiki": IN_OFFICE})).refused == ()
    nowhere = {"name": "N", "rules": [{"name": "R", "location": {"in_zones": ["x"]}, "access": "deny"}]}
    assert len(laid(OrgState(1, policies={"wiki": nowhere})).refused) == 1
    zone = Zone("x", (ip_network("10.0.0.0/8"),))
    assert laid(OrgState(1, policies={"wiki": nowhere}, zones=(zone,))).refused == ()


@pytest.mark.parametrize(
    "pem",
    [
        "",
        "text",
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nA\n-----END CERTIFICATE-----",
        "-----BEGIN CERTIFICATE-----\nAA==\n-----END CERTIFICATE-----\n" * 2,
    ],
)
def test_a_state_with_a_certificate_that_cannot_be_read_is_refused(pem: str) -> None:
    with pytest.raises(OrgStateInvalid):
        org_content(OrgState(1, certificates_pem=(pem,)))
