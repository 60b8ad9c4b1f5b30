"""IWA web apps over the API, what agents are told of them, and what they report of themselves."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from support.enrollment import AUDIENCE, REALM, MadeUpIwa
from support.enrollment_world import EnrollmentWorld, enrollment_world

from gateway.model.org import TokenScope
from gateway.server.org.iwa_watch import IwaWatch
from gateway.server.org.store_threads import StoreThreads


@pytest.fixture
async def org(tmp_path: Path) -> AsyncIterator[EnrollmentWorld]:
    async with enrollment_world(tmp_path) as world:
        yield world


async def register(org: EnrollmentWorld, name: str = "hq-1") -> MadeUpIwa:
    return await org.register(MadeUpIwa(name))


async def test_one_is_registered_with_its_public_key(org: EnrollmentWorld) -> None:
    iwa = MadeUpIwa()
    made = await org.do("POST", "/api/v1/iwas", iwa.registration())
    assert made["key_id"] == iwa.key_id
    assert (made["audience"], made["issuer"]) == (AUDIENCE, f"urn:devicetrust:iwa:{made['id']}")
    assert (made["status"], made["primary"], made["online"], made["realms"]) == (
        "ENABLED",
        True,
        False,
        [REALM],
    )
    assert made["id"].startswith("iwa")
    assert await org.get("/api/v1/iwas") == [made]
    assert await org.get(f"/api/v1/iwas/{made['id']}") == made == await org.get("/api/v1/iwas/hq-1")
    assert org.events() == ["system.iwa.create"]


async def test_registered_again_by_its_name_it_is_the_same_with_another_key(org: EnrollmentWorld) -> None:
    first = await org.do("POST", "/api/v1/iwas", MadeUpIwa().registration())
    again = MadeUpIwa()
    second = await org.do("POST", "/api/v1/iwas", again.registration() | {"url": "https://new.example.test/"})
    assert (second["id"], second["primary"], second["key_id"]) == (first["id"], True, again.key_id)
    assert second["url"] == "https://new.example.test"
    assert org.events() == ["system.iwa.create", "system.iwa.update"]
    (change,) = [target["changeDetails"] for target in org.log()[-1]["target"]]
    assert change["from"]["keyId"] == first["key_id"]
    assert "name" not in change["to"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "x" * 65},
        {"url": "ftp://iwa.example.test"},
        {"url": "https://user:pw@iwa.example.test/"},
        {"url": "https://iwa.example.test/?x=1"},
        {"url": "https://iwa.example.test:99999/"},
        {"url": "/iwa"},
        {"public_jwk": {"kty": "RSA"}},
        {"public_jwk": None},
        {"version": "x" * 65},
        {"realms": [""]},
        {"realms": ["x"] * 201},
        {"status": "ENABLED"},
    ],
)
async def test_what_makes_no_sense_is_refused(org: EnrollmentWorld, wrong: dict[str, Any]) -> None:
    status, answer = await org.ask("POST", "/api/v1/iwas", MadeUpIwa().registration() | wrong)
    assert (status, answer["errorCode"]) == (400, "E0000001")
    assert await org.get("/api/v1/iwas") == []


async def test_a_private_key_is_not_kept(org: EnrollmentWorld) -> None:
    body = MadeUpIwa().registration()
    body["public_jwk"]["d"] = "AA"
    status, answer = await org.ask("POST", "/api/v1/iwas", body)
    assert status == 400
    assert "private" in json.dumps(answer)


async def test_only_administrators_register(org: EnrollmentWorld) -> None:
    operator = org.token_for(TokenScope.OPERATE)
    status, _ = await org.ask("POST", "/api/v1/iwas", MadeUpIwa().registration(), token=operator)
    assert status == 403
    assert (await org.ask("GET", "/api/v1/iwas", token=operator))[0] == 200


async def test_two_do_not_share_a_name_or_a_key(org: EnrollmentWorld) -> None:
    one, other = await register(org, "hq-1"), await register(org, "hq-2")
    shared = MadeUpIwa("hq-3", key=one.key).registration()
    assert (await org.ask("POST", "/api/v1/iwas", shared))[0] == 409
    body = other.registration() | {"name": "hq-1"}
    assert (await org.ask("PUT", f"/api/v1/iwas/{other.id}", body))[0] == 409


async def test_the_lifecycle_of_one(org: EnrollmentWorld) -> None:
    one, other = await register(org, "hq-1"), await register(org, "hq-2")
    path = f"/api/v1/iwas/{other.id}"
    assert (await org.do("POST", f"{path}/lifecycle/deactivate"))["status"] == "DISABLED"
    for step in ("deactivate", "promote"):
        assert (await org.ask("POST", f"{path}/lifecycle/{step}"))[0] == 403
    assert (await org.do("POST", f"{path}/lifecycle/activate"))["status"] == "ENABLED"
    assert (await org.do("POST", f"{path}/lifecycle/promote"))["primary"]
    assert not (await org.get(f"/api/v1/iwas/{one.id}"))["primary"]
    replaced = await org.do("PUT", path, other.registration() | {"url": "http://10.0.0.5/iwa", "realms": []})
    assert (replaced["url"], replaced["realms"], replaced["primary"]) == ("http://10.0.0.5/iwa", [], True)
    await org.do("DELETE", path)
    assert (await org.ask("GET", path))[0] == 404
    assert (await org.get(f"/api/v1/iwas/{one.id}"))["primary"]
    assert org.events()[2:] == [
        "system.iwa.update",
        "system.iwa.update",
        "system.iwa.promote_primary",
        "system.iwa.update",
        "system.iwa.remove",
        "system.iwa.promote_primary",
    ]


async def test_an_agent_is_told_where_to_go_and_what_it_will_see(org: EnrollmentWorld) -> None:
    for name in ("hq-3", "hq-2", "hq-1", "off"):
        await register(org, name)
    found = {each["name"]: each["id"] for each in await org.get("/api/v1/iwas")}
    await org.do("POST", f"/api/v1/iwas/{found['off']}/lifecycle/deactivate")
    await org.tell(org.iwas["hq-2"].report(org.clock.now()))
    told = await org.discovery()
    assert [(iwa["name"], iwa["primary"], iwa["online"]) for iwa in told["iwas"]] == [
        ("hq-3", True, False),
        ("hq-2", False, True),
        ("hq-1", False, False),
    ]
    assert (told["org"], told["audience"], told["nonce_expires_in"]) == ("acme", AUDIENCE, 600)
    assert told["time"] == "2026-11-26T12:00:00.000Z"
    assert (told["est_url"], told["mtls_port"]) == ("https://est.mtls.example.test", 443)
    assert (told["issuer_common_name"], told["issuers"]) == (None, [])
    org.authority()
    told = await org.discovery()
    assert told["issuer_common_name"] == "MTLS Certificate Authority"
    assert [len(each) for each in told["issuers"]] == [64]


async def test_a_report_puts_it_online_until_it_falls_silent(org: EnrollmentWorld) -> None:
    iwa = await register(org)
    watch = IwaWatch(StoreThreads(org.store), org.clock)
    answer = await org.tell(iwa.report(org.clock.now(), keytab="ok", requests=7))
    assert answer["next_report_in"] == 30
    shown = await org.get(f"/api/v1/iwas/{iwa.id}")
    assert (shown["online"], shown["version"], shown["health"]) == (
        True,
        "1.2.4",
        {"keytab": "ok", "requests": 7},
    )
    org.clock.advance(seconds=90)
    await watch.look()
    assert (await org.get(f"/api/v1/iwas/{iwa.id}"))["online"]
    org.clock.advance(seconds=1)
    await watch.look()
    await watch.look()
    assert not (await org.get(f"/api/v1/iwas/{iwa.id}"))["online"]
    assert org.events()[1:] == ["system.iwa.go_online", "system.iwa.go_offline"]


async def test_a_report_counts_once_and_from_itself_only(org: EnrollmentWorld) -> None:
    iwa = await register(org)
    good = iwa.report(org.clock.now())
    await org.tell(good)
    for report in (
        good,
        MadeUpIwa(id=iwa.id).report(org.clock.now()),
        MadeUpIwa(key=iwa.key, audience="urn:devicetrust:org:other").report(org.clock.now()),
        "nothing",
    ):
        status, answer = await org.ask("POST", "/enroll/iwa/report", {"report": report})
        assert (status, answer["code"]) == (403, "IWA_UNKNOWN")
        assert answer["reference_id"]
    assert len(org.events()) == 2


async def test_who_knows_the_id_of_a_key_only_does_not_get_at_the_one_who_writes(
    org: EnrollmentWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    iwa = await register(org)
    header, claims, _ = iwa.report(org.clock.now()).split(".")
    monkeypatch.setattr(org.store, "begin", None)
    forged = f"{header}.{claims}.{'A' * 86}"
    status, answer = await org.ask("POST", "/enroll/iwa/report", {"report": forged})
    assert (status, answer["code"]) == (403, "IWA_UNKNOWN")


async def test_errors_of_the_server_itself_are_refusals_there(org: EnrollmentWorld) -> None:
    for body in ({}, {"report": 5}, {"report": "x" * 9_000}, []):
        status, answer = await org.ask("POST", "/enroll/iwa/report", body)
        assert (status, answer["code"]) == (400, "REQUEST_INVALID")
    status, answer = await org.ask("POST", "/enroll/iwa/report", {"report": "x" * 70_000})
    assert (status, answer["code"]) == (413, "REQUEST_INVALID")
    assert answer["message"]
