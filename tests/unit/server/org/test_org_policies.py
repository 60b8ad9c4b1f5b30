"""Policies, rules, zones and simulation over HTTP, as programs for the Okta API use them."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from okta import models
from support.org_in_process import NOW, StandingClock
from support.org_world import OrgWorld, issue_token, org_world
from support.policies import PARSERS, request
from support.policy_work import configuration, occasion

from gateway.adapters.store import Store
from gateway.model.org import Group, GroupType, TokenScope
from gateway.policy.engine import evaluate
from gateway.policy.rules import compile_policy
from gateway.server.org.adoption import FileAdoption
from gateway.server.org.store_threads import StoreThreads
from gateway.services.policy_files import adopt_files, state_policies

DOCUMENT: dict[str, Any] = {
    "name": "Wiki",
    "default": "deny",
    "rules": [
        {"name": "Trusted", "platforms": ["windows", "macos"], "device_trust": "trusted", "access": "allow"},
        {"name": "Office", "location": {"in_zones": ["office"]}, "access": "allow", "status": "monitor"},
    ],
}
MAIL: dict[str, Any] = {
    "name": "Mail",
    "rules": [{"name": "Modern", "clients": ["modern_auth"], "access": "allow"}],
}
CONFIGURED = configuration(("wiki", DOCUMENT), ("mail", MAIL), client_conditions=["mail"])
DENY = {"appSignOn": {"access": "DENY"}}


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[OrgWorld]:
    async with org_world(tmp_path, lambda: CONFIGURED) as made:
        with made.store.begin() as work:
            adopt_files(work, CONFIGURED, occasion())
            work.groups.add(Group("00g" + "1" * 17, "IT", "", GroupType.OKTA_GROUP, NOW, NOW))
        yield made


async def path_of(world: OrgWorld, app: str) -> str:
    policies = await world.get("/api/v1/policies?type=ACCESS_POLICY")
    return "/api/v1/policies/" + next(each["id"] for each in policies if each["app"] == app)


def through_the_sdk(wire: dict[str, Any]) -> dict[str, Any]:
    return json.loads(
        json.dumps(models.PolicyRule.from_dict(wire).to_dict(), default=lambda at: at.isoformat())
    )


def causes(error: dict[str, Any]) -> list[str]:
    return [cause["errorSummary"].partition(":")[0] for cause in error["errorCauses"]]


async def test_policies_are_listed_and_read(world: OrgWorld) -> None:
    listed = await world.get("/api/v1/policies")
    assert [(each["app"], each["source"], each["default"]) for each in listed] in (
        [("wiki", "file", "deny"), ("mail", "file", "allow")],
        [("mail", "file", "allow"), ("wiki", "file", "deny")],
    )
    assert isinstance(models.Policy.from_dict(listed[0]), models.AccessPolicy)
    assert await world.get("/api/v1/policies?type=OKTA_SIGN_ON") == []
    assert await world.get("/api/v1/policies?q=zzz") == []
    assert len(await world.get("/api/v1/policies?q=WIK&status=ACTIVE")) == 1
    assert (await world.ask("GET", "/api/v1/policies?type=MOON"))[0] == 400
    first, second = (await world.get("/api/v1/policies?limit=1")), listed
    assert first == second[:1]
    path = await path_of(world, "wiki")
    [app] = await world.get(f"{path}/app")
    assert (app["id"], app["label"]) == ("wiki", "Wiki")
    [mapping] = await world.get(f"{path}/mappings")
    assert mapping["_links"]["application"]["href"].endswith("/api/v1/apps/wiki")
    assert await world.get(f"{path}/mappings/{mapping['id']}") == mapping
    assert (await world.ask("GET", f"{path}/mappings/x"))[0] == 404
    assert (await world.ask("GET", "/api/v1/policies/rst404"))[0] == 404
    assert (await world.ask("POST", "/api/v1/policies", {}))[0] == 405


async def test_a_rule_lives_and_every_step_is_in_feed_and_log(world: OrgWorld) -> None:
    path = await path_of(world, "wiki")
    before = len(world.events())
    conditions = {"people": {"groups": {"include": ["00g" + "1" * 17]}}}
    body = {"type": "ACCESS_POLICY", "name": "IT", "priority": 0, "conditions": conditions, "actions": DENY}
    made = await world.do("POST", f"{path}/rules", body)
    assert made["enforcement"]["missing"] == []
    assert "untrusted-never-denied" not in {warning["code"] for warning in made["warnings"]}
    rules = await world.get(f"{path}/rules")
    assert [rule["name"] for rule in rules] == ["IT", "Trusted", "Office", "Catch-all Rule"]
    assert [rule["priority"] for rule in rules] == [0, 1, 2, 99]
    written = {key: value for key, value in made.items() if key not in ("warnings", "enforcement")}
    assert await world.get(f"{path}/rules/{made['id']}") == written == rules[0]
    await world.do("PUT", f"{path}/rules/{made['id']}", {**made, "name": "Staff", "priority": 9})
    await world.do("POST", f"{path}/rules/{made['id']}/lifecycle/deactivate")
    changed = await world.get(f"{path}/rules/{made['id']}")
    assert (changed["name"], changed["priority"], changed["status"]) == ("Staff", 2, "INACTIVE")
    await world.do("POST", f"{path}/rules/{made['id']}/lifecycle/activate")
    await world.do("DELETE", f"{path}/rules/{made['id']}")
    assert (await world.ask("GET", f"{path}/rules/{made['id']}"))[0] == 404
    event = "application.policy.sign_on.rule."
    assert world.events()[before:] == [
        f"{event}create", f"{event}update", f"{event}update", f"{event}update", f"{event}delete",
    ]  # fmt: skip
    assert [change[1] for change in world.changes()] == [{"what": "policies"}] * 5


async def test_a_rule_may_begin_inactive(world: OrgWorld) -> None:
    path = await path_of(world, "wiki")
    made = await world.do("POST", f"{path}/rules?activate=false", {"name": "Later", "actions": DENY})
    assert made["status"] == "INACTIVE"


async def test_rules_go_through_the_sdk_and_come_back(world: OrgWorld) -> None:
    path = await path_of(world, "wiki")
    trusted, office, last = await world.get(f"{path}/rules")
    for rule in (trusted, last):
        await world.do("PUT", f"{path}/rules/{rule['id']}", through_the_sdk(rule))
    assert world.changes() == []
    status, error = await world.ask("PUT", f"{path}/rules/{office['id']}", through_the_sdk(office))
    assert (status, error["errorCode"], causes(error)) == (400, "E0000001", ["monitor"])
    mail = await path_of(world, "mail")
    modern = (await world.get(f"{mail}/rules"))[0]
    status, error = await world.ask("PUT", f"{mail}/rules/{modern['id']}", through_the_sdk(modern))
    assert (status, causes(error)) == (400, ["conditions.office365Client"])
    assert world.changes() == []


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"name": "x"}, ["actions.appSignOn"]),
        ({"name": "x", "actions": DENY, "conditions": {"riskScore": {"level": "LOW"}}},
         ["conditions.riskScore"]),
        ({"name": "Trusted", "actions": DENY}, ["name"]),
        ({"name": "x", "actions": DENY, "conditions": {"device": {"trustLevel": "TRUSTED"}}},
         ["conditions.device"]),
        ({"name": "x", "actions": DENY, "colour": 1, "shape": 2}, ["colour", "shape"]),
    ],
)  # fmt: skip
async def test_what_cannot_be_a_rule_is_an_okta_error(
    world: OrgWorld, body: dict[str, Any], fields: list[str]
) -> None:
    path = await path_of(world, "wiki")
    status, error = await world.ask("POST", f"{path}/rules", body)
    assert (status, error["errorCode"], causes(error)) == (400, "E0000001", fields)
    assert error["errorSummary"] == f"Api validation failed: {fields[0]}"
    assert world.changes() == []


async def test_the_last_rule_and_the_policy_itself(world: OrgWorld) -> None:
    path = await path_of(world, "wiki")
    last = (await world.get(f"{path}/rules"))[-1]
    allow = {"appSignOn": {"access": "ALLOW"}}
    written = await world.do("PUT", f"{path}/rules/{last['id']}", {**last, "actions": allow})
    assert "untrusted-reaches-default-allow" in {warning["code"] for warning in written["warnings"]}
    assert (await world.ask("DELETE", f"{path}/rules/{last['id']}"))[0] == 403
    policy = await world.get(path)
    assert (policy["default"], policy["source"], policy["fileChanged"]) == ("allow", "edited", False)
    renamed = await world.do("PUT", path, {**policy, "name": "Team wiki"})
    assert renamed["name"] == "Team wiki"
    status, error = await world.ask("PUT", path, {**policy, "status": "INACTIVE", "priority": 7})
    assert (status, causes(error)) == (400, ["status", "priority"])
    assert (await world.ask("POST", f"{path}/lifecycle/activate"))[0] == 204
    assert (await world.ask("POST", f"{path}/lifecycle/deactivate"))[0] == 403
    await world.do("DELETE", path)
    policy = await world.get(path)
    assert (policy["name"], policy["default"], policy["source"]) == ("Wiki", "deny", "file")
    assert (await world.ask("DELETE", path))[0] == 403


async def test_of_two_who_edit_the_same_the_second_is_told(world: OrgWorld) -> None:
    path = await path_of(world, "wiki")
    rule = (await world.get(f"{path}/rules"))[0]
    url = f"{path}/rules/{rule['id']}"
    headers = {"Authorization": f"SSWS {world.token}"}
    async with world.client.get(url, headers=headers) as response:
        tag = response.headers["ETag"]
    answered = []
    for name in ("One", "Two"):
        async with world.client.put(
            url, json={**rule, "name": name}, headers={**headers, "If-Match": tag}
        ) as r:
            answered.append((r.status, r.headers.get("ETag") == tag))
    assert answered == [(200, False), (412, False)]


async def test_zones_and_the_rules_that_rest_on_them(world: OrgWorld) -> None:
    [office] = await world.get("/api/v1/zones")
    assert (office["name"], office["source"]) == ("office", "file")
    assert (await world.ask("DELETE", f"/api/v1/zones/{office['id']}"))[0] == 403
    gateways = [{"type": "RANGE", "value": "192.0.2.1-192.0.2.9"}]
    zone = await world.do("POST", "/api/v1/zones", {"type": "IP", "name": "lab", "gateways": gateways})
    assert isinstance(models.NetworkZone.from_dict(zone), models.IPNetworkZone)
    path = await path_of(world, "wiki")
    network = {"connection": "ZONE", "include": [zone["id"]]}
    body = {"name": "Lab", "conditions": {"network": network}, "actions": DENY}
    rule = await world.do("POST", f"{path}/rules", body)
    assert rule["conditions"]["network"] == network
    url = f"/api/v1/zones/{zone['id']}"
    for method, target in (("DELETE", url), ("POST", f"{url}/lifecycle/deactivate")):
        status, error = await world.ask(method, target)
        assert (status, error["rules"]) == (409, [{"app": "wiki", "rule": "Lab"}])
    await world.do("PUT", url, {**zone, "gateways": [{"type": "CIDR", "value": "192.0.2.0/24"}]})
    await world.do("DELETE", f"{path}/rules/{rule['id']}")
    assert (await world.do("POST", f"{url}/lifecycle/deactivate"))["status"] == "INACTIVE"
    assert (await world.do("POST", f"{url}/lifecycle/activate"))["status"] == "ACTIVE"
    await world.do("DELETE", url)
    assert (await world.ask("GET", url))[0] == 404
    status, error = await world.ask("POST", "/api/v1/zones", {"type": "DYNAMIC", "name": "x"})
    assert (status, causes(error)) == (400, ["type"])


CONTEXT = {
    "user": {"id": "login:ana@example.test"},
    "groups": {"ids": []},
    "ip": "10.1.2.3",
    "device": {"platform": "WINDOWS", "registered": True, "managed": True},
    "client": "WEB",
}


@pytest.mark.parametrize("managed", [True, False])
async def test_a_simulation_is_what_the_gateway_decides(world: OrgWorld, managed: bool) -> None:
    context = {**CONTEXT, "device": {"platform": "WINDOWS", "managed": managed}}
    body = {"appInstance": "wiki", "policyTypes": ["ACCESS_POLICY"], "policyContext": context}
    [found] = await world.do("POST", "/api/v1/policies/simulate?expand=EVALUATED,RULE", body)
    read = models.SimulatePolicyEvaluations.from_dict(found)
    [policy] = read.result.policies
    policy_rule = "Trusted" if managed else "Catch-all Rule"
    assert [(rule.name, rule.status) for rule in policy.rules] == [(policy_rule, "MATCH")]
    assert read.status == "MATCH"
    assert found["decision"]["access"] == ("ALLOW" if managed else "DENY")
    assert found["decision"]["rule"] == ("Trusted" if managed else None)
    assert [rule["name"] for rule in found["monitored"]] == ([] if managed else ["Office"])
    if not managed:
        [evaluated] = read.evaluated.policies
        assert [(c.type, c.status) for c in evaluated.rules[0].conditions] == [
            ("platform.include", "MATCH"),
            ("device.trustLevel", "NOT_MATCH"),
        ]


async def test_what_is_not_known_is_undefined(world: OrgWorld) -> None:
    body = {"appInstance": "wiki", "policyType": "ACCESS_POLICY", "policyContext": {"ip": "10.1.2.3"}}
    answered = await world.do("POST", "/api/v1/policies/simulate?expand=EVALUATED", body)
    [found] = answered["evaluation"]
    assert (found["status"], found["policyType"], found["decision"]) == ("UNDEFINED", "ACCESS_POLICY", None)
    assert [rule["name"] for rule in found["undefined"]["policies"][0]["rules"]] == ["Trusted"]
    other = {"appInstance": "wiki", "policyTypes": ["MFA_ENROLL"]}
    assert await world.do("POST", "/api/v1/policies/simulate", other) == []
    assert (await world.ask("POST", "/api/v1/policies/simulate", {"appInstance": "moon"}))[0] == 404
    assert (await world.ask("POST", "/api/v1/policies/simulate?expand=ALL", other))[0] == 400


async def test_only_administrators_edit(world: OrgWorld) -> None:
    path = await path_of(world, "wiki")
    token = issue_token(world.store, TokenScope.OPERATE)
    for method, target in (
        ("POST", f"{path}/rules"),
        ("DELETE", path),
        ("POST", "/api/v1/zones"),
    ):
        assert (await world.ask(method, target, {}, token=token))[0] == 403
    assert (await world.ask("GET", f"{path}/rules", token=token))[0] == 200


async def test_what_workers_are_told_compiles_and_decides_as_it_was_written(world: OrgWorld) -> None:
    path = await path_of(world, "wiki")
    await world.do("POST", f"{path}/rules", {"name": "Nobody", "priority": 0, "actions": DENY})
    with world.store.read() as view:
        documents = json.loads(json.dumps(state_policies(view)))
    policy = compile_policy(documents["wiki"], PARSERS, client_conditions=False, zone_names={"office"})
    assert evaluate(policy, request(), {}).rule == "Nobody"


async def test_the_files_are_taken_up_at_the_start_and_after_a_change(tmp_path: Path) -> None:
    store = Store.open(f"sqlite:///{tmp_path}/org.db")
    door = StoreThreads(store)
    now = [configuration(("wiki", DOCUMENT))]
    adoption = FileAdoption(door, StandingClock(), lambda: now[0])

    async def known() -> list[str]:
        return await door.read(lambda view: [policy.app for policy in view.policies.all()])

    async def until(apps: list[str]) -> None:
        async with asyncio.timeout(20):
            while await known() != apps:
                await asyncio.sleep(0.01)

    task = asyncio.create_task(adoption.run())
    try:
        await until(["wiki"])
        now[0] = configuration(("mail", MAIL), client_conditions=["mail"])
        adoption.again()
        await until(["mail"])
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        store.close()
