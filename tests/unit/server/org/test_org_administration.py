"""Certificates, authorities, settings and tokens over the API."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from support.org_in_process import NOW
from support.org_world import OrgWorld, issue_token, org_world
from support.policy_work import configuration, occasion

from gateway.model.org import GatewayRecord, TokenScope, WorkerRecord
from gateway.services.policy_files import adopt_files

TRUSTED_ONLY = {
    "name": "Trusted only",
    "default": "deny",
    "rules": [{"name": "Trusted", "platforms": ["windows"], "device_trust": "trusted", "access": "allow"}],
}
ANYBODY: dict[str, Any] = {"name": "Anybody", "default": "allow", "rules": []}


@pytest.fixture
async def org(tmp_path: Path) -> AsyncIterator[OrgWorld]:
    configured = configuration(("wiki", TRUSTED_ONLY), ("blog", ANYBODY))
    async with org_world(tmp_path, lambda: configured) as world:
        with world.store.begin() as work:
            adopt_files(work, configured, occasion())
        yield world


async def test_a_certificate_is_held_released_and_revoked(org: OrgWorld) -> None:
    site = org.authority()
    user, device = site.user(), site.device()
    issued = site.issue(device, user)
    path = f"/api/v1/certificates/{issued.row.thumbprint}"
    before = len(org.changes())
    for step, body, status, told in (
        ("hold", None, "HELD", "certificate.revoked"),
        ("release", None, "ISSUED", "certificate.released"),
        ("revoke", {"reason": "keyCompromise"}, "REVOKED", "certificate.revoked"),
    ):
        answer = await org.do("POST", f"{path}/lifecycle/{step}", body)
        assert answer["certificate"]["status"] == status
        assert answer["enforcement"]["number"] == len(org.changes())
        assert org.changes()[-1][0] == told
    assert len(org.changes()) == before + 3
    assert (await org.get(path))["revocationReason"] == "keyCompromise"
    for step in ("hold", "release", "revoke"):
        status, error = await org.ask("POST", f"{path}/lifecycle/{step}")
        assert (status, error["errorCode"]) == (403, "E0000038")
    assert org.events()[-3:] == ["pki.cert.revoke", "devicetrust.certificate.release", "pki.cert.revoke"]


@pytest.mark.parametrize("whose", ["users", "devices"])
async def test_all_certificates_of_one_are_revoked(org: OrgWorld, whose: str) -> None:
    site = org.authority()
    user, device, other = site.user(), site.device(), site.device("ws-43")
    for each in (device, device, other):
        site.issue(each, user)
    owner = user.id if whose == "users" else device.id
    count = 3 if whose == "users" else 2
    listed = await org.get(f"/api/v1/{whose}/{owner}/certificates")
    assert [each["status"] for each in listed] == ["ISSUED"] * count
    path = f"/api/v1/{whose}/{owner}/lifecycle/revoke_trust_certificates"
    assert (await org.do("POST", path, {"reason": "superseded"}))["revokedCertificates"] == count
    assert (await org.do("POST", path))["revokedCertificates"] == 0
    listed = await org.get(f"/api/v1/{whose}/{owner}/certificates")
    assert {each["revocationReason"] for each in listed} == {"superseded"}


@pytest.mark.parametrize("reason", ["removeFromCRL", "certificateHold", "because", 7])
async def test_a_reason_that_is_none_revokes_nothing(org: OrgWorld, reason: Any) -> None:
    site = org.authority()
    issued = site.issue(site.device(), None)
    path = f"/api/v1/certificates/{issued.row.thumbprint}"
    status, error = await org.ask("POST", f"{path}/lifecycle/revoke", {"reason": reason})
    assert (status, error["errorCode"]) == (400, "E0000001")
    assert (await org.get(path))["status"] == "ISSUED"


async def test_certificates_are_listed_page_by_page(org: OrgWorld) -> None:
    site = org.authority()
    devices = [site.device(f"ws-{number}") for number in range(5)]
    issued = [site.issue(device, None).row.thumbprint for device in devices]
    seen: list[str] = []
    path: str | None = "/api/v1/certificates?limit=2&status=ISSUED,HELD"
    while path is not None:
        async with org.client.get(path, headers={"Authorization": f"SSWS {org.token}"}) as response:
            seen += [each["thumbprint"] for each in await response.json()]
            links = response.headers.getall("Link")[1:]
        path = links[0][1 : links[0].index(">")].removeprefix("https://sso.example.test") if links else None
    assert len(seen) == 5
    assert set(seen) == set(issued)
    assert await org.get("/api/v1/certificates?status=REVOKED") == []
    one = await org.get(f"/api/v1/certificates?deviceId={devices[0].id}")
    assert [each["thumbprint"] for each in one] == [issued[0]]


async def test_an_authority_tells_how_it_is(org: OrgWorld) -> None:
    site = org.authority()
    site.issue(site.device(), None)
    root, issuing = await org.get("/api/v1/authorities")
    assert (root["kind"], issuing["kind"]) == ("root", "issuing")
    assert root["key"] == "elsewhere"
    assert issuing["key"] == "store"
    one = await org.get(f"/api/v1/authorities/{issuing['id']}")
    assert one["certificates"] == {"RESERVED": 0, "ISSUED": 1, "REVOKED": 0, "HELD": 0}
    assert any("never published" in finding for finding in one["findings"])
    org.clock.advance(days=365 * 30)
    assert "its certificate has ended" in (await org.get("/api/v1/authorities"))[0]["findings"]


async def test_health_names_what_needs_attention(org: OrgWorld) -> None:
    assert (await org.get("/api/v1/health"))["status"] == "ok"
    with org.store.begin() as work:
        for name, seen, keys in (("one", NOW, "a"), ("two", NOW - timedelta(minutes=1), "b")):
            work.gateways.report(GatewayRecord(name, name, "1", NOW, seen, keys))
            work.gateways.report_worker(WorkerRecord(name, 1, 0, seen))
    health = await org.get("/api/v1/health")
    assert health["status"] == "degraded"
    assert "gateway two: last seen 2026-11-26T11:59:00.000Z" in health["findings"]
    assert any("different keys" in finding for finding in health["findings"])
    assert [each["isSeen"] for each in await org.get("/api/v1/gateways")] == [True, False]


async def test_device_trust_is_not_switched_off_while_rules_use_it(org: OrgWorld) -> None:
    off = {"device_trust_enabled": False}
    status, error = await org.ask("PUT", "/api/v1/settings", off)
    assert (status, error["errorCode"]) == (409, "E0000001")
    assert [(each["app"], each["rule"]) for each in error["rules"]] == [("wiki", "Trusted")]
    assert (await org.get("/api/v1/settings"))["device_trust_enabled"] is True
    assert (org.changes(), org.events()[-1]) == ([], "policy.lifecycle.create")
    answer = await org.do("PUT", "/api/v1/settings?force=true", off)
    assert answer["device_trust_enabled"] is False
    assert answer["edited"] == ["device_trust_enabled"]
    assert [each["app"] for each in answer["impact"]] == ["wiki"]
    assert org.changes() == [("state.changed", {"what": "settings"})]


async def test_switching_on_tells_which_rules_start_to_bite(org: OrgWorld) -> None:
    await org.do("PUT", "/api/v1/settings?force=true", {"device_trust_enabled": False})
    answer = await org.do("PUT", "/api/v1/settings", {"device_trust_enabled": None})
    assert answer["device_trust_enabled"] is True
    assert answer["edited"] == []
    (app,) = answer["impact"]
    assert ("Trusted", "starts") in [(rule["rule"], rule["bite"]) for rule in app["rules"]]


@pytest.mark.parametrize(
    "body",
    [
        {"device_trust_enabled": "no"},
        {"read_only": 1},
        {"learn_more_url": "javascript:alert(1)"},
        {"learn_more_url": "https://"},
        {"learn_more_url": "https://[::1"},
        {"learn_more_url": True},
        {"colour": "red"},
    ],
)
async def test_a_setting_that_makes_no_sense_is_refused(org: OrgWorld, body: Any) -> None:
    status, error = await org.ask("PUT", "/api/v1/settings", body)
    assert (status, error["errorCode"]) == (400, "E0000001")
    assert (await org.get("/api/v1/settings"))["edited"] == []


async def test_settings_are_kept_and_taken_back(org: OrgWorld) -> None:
    url = "https://help.example.test/trust"
    await org.do("POST", "/api/v1/settings", {"learn_more_url": url, "read_only": True})
    now = await org.get("/api/v1/settings")
    assert (now["learn_more_url"], now["read_only"]) == (url, True)
    await org.do("POST", "/api/v1/settings", {"learn_more_url": None, "read_only": None})
    assert (await org.get("/api/v1/settings"))["edited"] == []
    changes = len(org.changes())
    await org.do("POST", "/api/v1/settings", {})
    assert len(org.changes()) == changes


async def test_a_token_is_shown_once_used_and_revoked(org: OrgWorld) -> None:
    made = await org.do("POST", "/api/v1/api-tokens", {"name": "siem", "scope": "read"})
    secret, path = made["token"], f"/api/v1/api-tokens/{made['id']}"
    assert (await org.ask("GET", "/api/v1/users", token=secret))[0] == 200
    assert (await org.ask("GET", "/api/v1/api-tokens", token=secret))[0] == 403
    assert "token" not in await org.get(path)
    assert all("token" not in each for each in await org.get("/api/v1/api-tokens"))
    await org.do("DELETE", path)
    assert (await org.ask("GET", "/api/v1/users", token=secret))[0] == 401
    assert (await org.ask("DELETE", path))[0] == 403
    with org.store.read() as view:
        assert secret not in "".join(row.event_json for row in view.log.rows())


@pytest.mark.parametrize(
    "body",
    [
        {"name": "x"},
        {"name": "", "scope": "read"},
        {"name": "x", "scope": "root"},
        {"name": "x", "scope": "read", "expires": "2020-01-01T00:00:00Z"},
        {"name": "x", "scope": "read", "expires": "tomorrow"},
        {"name": "x", "scope": "read", "expires": "2027-01-01T00:00:00"},
    ],
)
async def test_a_token_that_makes_no_sense_is_refused(org: OrgWorld, body: Any) -> None:
    assert (await org.ask("POST", "/api/v1/api-tokens", body))[0] == 400


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/api/v1/settings"),
        ("GET", "/api/v1/api-tokens"),
        ("POST", "/api/v1/api-tokens"),
        ("DELETE", "/api/v1/api-tokens/00Tnone"),
    ],
)
async def test_only_administrators_touch_settings_and_tokens(org: OrgWorld, method: str, path: str) -> None:
    operator = issue_token(org.store, TokenScope.OPERATE)
    assert (await org.ask(method, path, {}, token=operator))[0] == 403
