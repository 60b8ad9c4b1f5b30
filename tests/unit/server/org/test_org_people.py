"""Users, groups and devices over the API: what is asked for happens, once, and is told to the data plane and
to the System Log."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.org_values import a_certificate, an_authority
from support.org_world import OrgWorld, issue_token, org_world

from gateway.model.issued import CertificateStatus
from gateway.model.org import TokenScope
from gateway.services.org_state import org_state

ANN = {"login": "Ann@example.test", "email": "ann@example.test", "firstName": "Ann", "lastName": "Arbor"}


@pytest.fixture
async def org(tmp_path: Path) -> AsyncIterator[OrgWorld]:
    async with org_world(tmp_path) as world:
        yield world


async def made_user(org: OrgWorld, login: str = "Ann@example.test", **query: str) -> dict[str, Any]:
    suffix = "".join(f"?{name}={value}" for name, value in query.items())
    user: dict[str, Any] = await org.do(
        "POST", f"/api/v1/users{suffix}", {"profile": {**ANN, "login": login}}
    )
    return user


def shut_out(org: OrgWorld) -> tuple[set[str], set[str]]:
    """The users and devices that gateways are told to refuse."""
    with org.store.read() as view:
        document = json.loads(org_state(view, dict, bytes(20)).document)
    return set(document["inactive_users"]), set(document["inactive_devices"])


async def made_device(org: OrgWorld, **body: Any) -> dict[str, Any]:
    profile = {"displayName": "LAPTOP-7", "platform": "WINDOWS"}
    device: dict[str, Any] = await org.do("POST", "/api/v1/devices", {"profile": profile, **body})
    return device


async def test_a_user_is_found_by_id_and_by_login_in_any_case(org: OrgWorld) -> None:
    user = await made_user(org)
    assert user["id"].startswith("00u")
    assert await org.get(f"/api/v1/users/{user['id']}") == user
    assert await org.get("/api/v1/users/aNN@example.test") == user


async def test_where_an_account_comes_from_is_said_and_may_change(org: OrgWorld) -> None:
    made = await org.do(
        "POST",
        "/api/v1/users",
        {"profile": ANN, "credentials": {"provider": {"type": "ACTIVE_DIRECTORY", "name": "corp"}}},
    )
    path = f"/api/v1/users/{made['id']}"
    assert made["credentials"]["provider"]["type"] == "ACTIVE_DIRECTORY"
    assert made["directoryAccount"] is None
    assert (await org.do("PUT", path, made))["credentials"] == made["credentials"]
    assert (await org.do("POST", path, {"profile": {}}))["credentials"] == made["credentials"]
    local = await org.do("POST", path, {"profile": {}, "credentials": {"provider": {"type": "OKTA"}}})
    assert local["credentials"]["provider"]["type"] == "OKTA"
    for provider in ({"type": "SOCIAL"}, {}, "ACTIVE_DIRECTORY"):
        body = {"profile": {}, "credentials": {"provider": provider}}
        assert (await org.ask("POST", path, body))[0] == 400
    forgotten = await org.do("POST", f"{path}/lifecycle/forget_directory_account")
    assert forgotten["directoryAccount"] is None


@pytest.mark.parametrize(
    "query", ["q=ann", "q=arb", 'search=profile.login eq "ANN@example.test"', 'filter=status eq "ACTIVE"']
)
async def test_users_are_searched(org: OrgWorld, query: str) -> None:
    user = await made_user(org)
    staged = await made_user(org, "bob@example.test", activate="false")
    await org.do("PUT", f"/api/v1/users/{staged['id']}", {"profile": {"login": "bob@example.test"}})
    assert [each["id"] for each in await org.get(f"/api/v1/users?{query}")] == [user["id"]]


@pytest.mark.parametrize(
    ("query", "code"),
    [
        ('search=profile.login co "x"', "E0000031"),
        ('search=status eq "ASLEEP"', "E0000031"),
        ("limit=many", "E0000001"),
        ("after=~", "E0000053"),
        ("q=a&q=b", "E0000053"),
        ("q=%ff", "E0000053"),
        ("q=%00", "E0000053"),
    ],
)
async def test_a_question_that_cannot_be_answered_is_refused(org: OrgWorld, query: str, code: str) -> None:
    status, error = await org.ask("GET", f"/api/v1/users?{query}")
    assert (status, error["errorCode"]) == (400, code)


async def test_pages_hold_every_user_once(org: OrgWorld) -> None:
    made = {(await made_user(org, f"user{number}@example.test"))["id"] for number in range(7)}
    seen: list[str] = []
    path: str | None = "/api/v1/users?limit=3"
    while path is not None:
        async with org.client.get(path, headers={"Authorization": f"SSWS {org.token}"}) as response:
            seen += [user["id"] for user in await response.json()]
            links = response.headers.getall("Link")
        assert 'rel="self"' in links[0]
        assert all(link.startswith("<https://sso.example.test/") and "," not in link for link in links)
        path = None
        if len(links) == 2:
            assert links[1].endswith('rel="next"')
            path = links[1][1 : links[1].index(">")].removeprefix("https://sso.example.test")
    assert len(seen) == 7
    assert set(seen) == made


async def test_a_login_is_taken_once_in_any_case(org: OrgWorld) -> None:
    await made_user(org, "ann@example.test")
    status, error = await org.ask("POST", "/api/v1/users", {"profile": {"login": "ANN@EXAMPLE.TEST"}})
    assert (status, error["errorCode"]) == (409, "E0000001")


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"profile": None},
        {"profile": {}},
        {"profile": {"login": 7}},
        {"profile": {"login": ""}},
        {"profile": {"login": " ann@example.test"}},
        {"profile": {"login": "a\u202eb"}},
        {"profile": {"login": "x" * 300}},
        {"profile": {"login": "ann", "email": "a@b"}},
        {"profile": {"login": "ann", "firstName": "x" * 51}},
        {"profile": {"login": "ann", "city": 7}},
        {"profile": {"login": "ann", "countryCode": "GER"}},
        {"profile": {"login": "ann", "more": {"deep": {}}}},
        {"profile": {"login": "ann"}, "credentials": {"password": {"value": "secret"}}},
        {"profile": {"login": "ann"}, "groupIds": "all"},
    ],
)
async def test_a_user_that_makes_no_sense_is_refused(org: OrgWorld, body: Any) -> None:
    status, error = await org.ask("POST", "/api/v1/users", body)
    assert (status, error["errorCode"]) == (400, "E0000001")
    assert org.events() == []


async def test_post_keeps_what_it_leaves_out_and_put_does_not(org: OrgWorld) -> None:
    user = await made_user(org)
    path = f"/api/v1/users/{user['id']}"
    kept = await org.do("POST", path, {"profile": {"title": "Head"}})
    assert kept["profile"] == {**ANN, "title": "Head"}
    sent_back = await org.do("PUT", path, {**kept, "profile": {"login": "ann@example.test"}})
    assert sent_back["profile"] == {
        "login": "ann@example.test",
        "email": None,
        "firstName": None,
        "lastName": None,
    }


LIFECYCLES = [
    # (begin, step, status then, what the data plane is told)
    ("ACTIVE", "suspend", "SUSPENDED", "user.deactivated"),
    ("SUSPENDED", "unsuspend", "ACTIVE", "user.activated"),
    ("ACTIVE", "deactivate", "DEPROVISIONED", "user.deactivated"),
    ("SUSPENDED", "deactivate", "DEPROVISIONED", "user.deactivated"),
    ("DEPROVISIONED", "activate", "ACTIVE", "user.activated"),
    ("DEPROVISIONED", "reactivate", "ACTIVE", "user.activated"),
    ("STAGED", "activate", "ACTIVE", "user.activated"),
    ("ACTIVE", "activate", None, None),
    ("ACTIVE", "unsuspend", None, None),
    ("DEPROVISIONED", "deactivate", None, None),
    ("DEPROVISIONED", "suspend", None, None),
]
BEFORE: dict[str, list[str]] = {
    "ACTIVE": [],
    "STAGED": [],
    "SUSPENDED": ["suspend"],
    "DEPROVISIONED": ["deactivate"],
}


@pytest.mark.parametrize(("begin", "step", "then", "told"), LIFECYCLES)
async def test_the_life_of_a_user(
    org: OrgWorld, begin: str, step: str, then: str | None, told: str | None
) -> None:
    user = await made_user(org, activate="false" if begin == "STAGED" else "true")
    path = f"/api/v1/users/{user['id']}"
    for earlier in BEFORE[begin]:
        await org.do("POST", f"{path}/lifecycle/{earlier}")
    before = len(org.changes())
    status, answer = await org.ask("POST", f"{path}/lifecycle/{step}")
    if then is None:
        assert (status, answer["errorCode"]) == (403, "E0000038")
        assert len(org.changes()) == before
    else:
        assert status == 200
        assert answer["enforcement"]["number"] == len(org.changes())
        assert org.changes()[before:] == [(told, {"user": "ann@example.test"})]
        assert org.events()[-1] == f"user.lifecycle.{step}"
    assert (await org.get(path))["status"] == (then or begin)


async def test_who_is_deactivated_loses_every_certificate(org: OrgWorld) -> None:
    user = await made_user(org)
    device = await made_device(org, userIds=[user["id"]])
    authority = an_authority()
    with org.store.begin() as work:
        work.authorities.add(authority)
        work.certificates.add_many(
            a_certificate(
                authority.id,
                number,
                device_id=device["id"],
                user_id=user["id"],
                status=CertificateStatus.ISSUED,
            )
            for number in (1, 2)
        )
    answer = await org.do("POST", f"/api/v1/users/{user['id']}/lifecycle/deactivate")
    assert answer["revokedCertificates"] == 2
    assert [kind for kind, _ in org.changes()] == ["user.deactivated"] + ["certificate.revoked"] * 2


async def test_delete_deactivates_first_and_deletes_then(org: OrgWorld) -> None:
    user = await made_user(org)
    path = f"/api/v1/users/{user['id']}"
    await org.do("DELETE", path)
    assert (await org.get(path))["status"] == "DEPROVISIONED"
    await org.do("DELETE", path)
    assert (await org.ask("GET", path))[0] == 404
    assert org.events() == [
        "user.lifecycle.create",
        "user.lifecycle.deactivate",
        "user.lifecycle.delete.completed",
    ]


async def test_a_user_who_is_not_active_and_changes_login_stays_refused_under_the_new_one(
    org: OrgWorld,
) -> None:
    user = await made_user(org, activate="false")
    await org.do("POST", f"/api/v1/users/{user['id']}", {"profile": {"login": "new@example.test"}})
    assert org.changes()[-1] == ("user.deactivated", {"user": "new@example.test"})
    assert shut_out(org) == ({"ann@example.test", "new@example.test"}, set())


async def test_who_was_deleted_stays_shut_out_until_they_are_made_anew(org: OrgWorld) -> None:
    path = f"/api/v1/users/{(await made_user(org))['id']}"
    await org.do("DELETE", path)
    await org.do("DELETE", path)
    assert shut_out(org) == ({"ann@example.test"}, set())
    assert org.changes()[-1] == ("user.deactivated", {"user": "ann@example.test"})

    await made_user(org, "ANN@example.test")
    assert shut_out(org) == (set(), set())
    assert org.changes()[-1] == ("user.activated", {"user": "ann@example.test"})


async def test_who_takes_the_login_of_somebody_deleted_is_let_in_by_it(org: OrgWorld) -> None:
    path = f"/api/v1/users/{(await made_user(org))['id']}"
    await org.do("DELETE", path)
    await org.do("DELETE", path)
    other = await made_user(org, "bob@example.test")
    await org.do("POST", f"/api/v1/users/{other['id']}", {"profile": {"login": "ann@example.test"}})
    assert shut_out(org) == (set(), set())
    assert org.changes()[-1] == ("user.activated", {"user": "ann@example.test"})


async def test_groups_have_members_and_a_name_of_their_own(org: OrgWorld) -> None:
    group = await org.do("POST", "/api/v1/groups", {"profile": {"name": "Staff"}})
    user = await org.do("POST", "/api/v1/users", {"profile": ANN, "groupIds": [group["id"]]})
    members = f"/api/v1/groups/{group['id']}/users"
    assert [each["id"] for each in await org.get(members)] == [user["id"]]
    assert [each["profile"]["name"] for each in await org.get(f"/api/v1/users/{user['id']}/groups")] == [
        "Staff"
    ]
    await org.do("PUT", f"{members}/{user['id']}")  # once more
    await org.do("DELETE", f"{members}/{user['id']}")
    assert await org.get(members) == []
    assert (await org.ask("POST", "/api/v1/groups", {"profile": {"name": "Staff"}}))[0] == 409
    renamed = await org.do("PUT", f"/api/v1/groups/{group['id']}", {"profile": {"name": "All staff"}})
    assert renamed["profile"] == {"name": "All staff", "description": ""}
    await org.do("DELETE", f"/api/v1/groups/{group['id']}")
    assert org.events() == [
        "group.lifecycle.create",
        "user.lifecycle.create",
        "group.user_membership.add",
        "group.user_membership.remove",
        "group.profile.update",
        "group.lifecycle.delete",
    ]


async def test_a_device_has_a_name_in_certificates_of_its_own_or_a_given_one(org: OrgWorld) -> None:
    device = await made_device(org)
    assert device["certificateName"] == f"urn:devicetrust:device:{device['id']}"
    given = await made_device(org, certificateName="urn:example:laptop:8")
    assert given["certificateName"] == "urn:example:laptop:8"
    status, _ = await org.ask(
        "POST",
        "/api/v1/devices",
        {"profile": {"displayName": "x", "platform": "IOS"}, "certificateName": "urn:example:laptop:8"},
    )
    assert status == 409


@pytest.mark.parametrize(
    "more",
    [
        {"platform": "BEOS"},
        {"displayName": ""},
        {"imei": "7"},
        {"managed": "yes"},
        {"diskEncryptionType": "SOME"},
        {"model": "x" * 128},
        {"deep": {"er": 1}},
    ],
)
async def test_a_device_that_makes_no_sense_is_refused(org: OrgWorld, more: dict[str, Any]) -> None:
    profile = {"displayName": "LAPTOP-7", "platform": "WINDOWS", **more}
    assert (await org.ask("POST", "/api/v1/devices", {"profile": profile}))[0] == 400


@pytest.mark.parametrize(
    ("steps", "then", "told"),
    [
        (["suspend"], "SUSPENDED", ["device.deactivated"]),
        (["suspend", "unsuspend"], "ACTIVE", ["device.deactivated", "device.activated"]),
        (["deactivate"], "DEACTIVATED", ["device.deactivated"]),
        (["deactivate", "activate"], "ACTIVE", ["device.deactivated", "device.activated"]),
    ],
)
async def test_the_life_of_a_device(org: OrgWorld, steps: list[str], then: str, told: list[str]) -> None:
    device = await made_device(org)
    for step in steps:
        await org.do("POST", f"/api/v1/devices/{device['id']}/lifecycle/{step}")
    assert (await org.get(f"/api/v1/devices/{device['id']}"))["status"] == then
    assert [kind for kind, _ in org.changes()] == told
    assert org.events()[1:] == [f"device.lifecycle.{step}" for step in steps]


async def test_a_device_is_deleted_only_when_it_is_deactivated(org: OrgWorld) -> None:
    device = await made_device(org)
    path = f"/api/v1/devices/{device['id']}"
    assert (await org.ask("DELETE", path))[0] == 403
    await org.do("POST", f"{path}/lifecycle/deactivate")
    await org.do("DELETE", path)
    assert (await org.ask("GET", path))[0] == 404
    assert shut_out(org) == (set(), {device["certificateName"]})


async def test_several_users_use_one_device(org: OrgWorld) -> None:
    users = [await made_user(org, f"user{number}@example.test") for number in range(2)]
    device = await made_device(org, userIds=[users[0]["id"]])
    path = f"/api/v1/devices/{device['id']}/users"
    await org.do("PUT", f"{path}/{users[1]['id']}")
    assert [each["user"]["id"] for each in await org.get(path)] == [user["id"] for user in users]
    await org.do("DELETE", f"{path}/{users[0]['id']}")
    assert [each["user"]["id"] for each in await org.get(path)] == [users[1]["id"]]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/users/nobody@example.test",
        "/api/v1/users/'%20OR%201=1--",
        "/api/v1/users/..%2f..%2fgroups",
        "/api/v1/groups/00gnone",
        "/api/v1/devices/guo%E2%80%AE",
    ],
)
async def test_what_is_not_there_is_not_found(org: OrgWorld, path: str) -> None:
    status, error = await org.ask("GET", path)
    assert (status, error["errorCode"]) == (404, "E0000007")


async def test_who_may_only_read_changes_nothing(org: OrgWorld) -> None:
    reader = issue_token(org.store, TokenScope.READ)
    status, _ = await org.ask("POST", "/api/v1/users", {"profile": ANN}, token=reader)
    assert status == 403
    assert (await org.ask("GET", "/api/v1/users", token=reader))[0] == 200
    assert org.events() == []


async def test_the_log_names_the_token_the_client_and_the_request(org: OrgWorld) -> None:
    await made_user(org)
    with org.store.read() as view:
        (row,) = view.log.rows()
        (token,) = view.tokens.all()
    for part in (token.id, "test/1", "requestApiTokenId", "admin@example.test"):
        assert part in row.event_json
