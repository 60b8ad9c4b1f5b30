"""Every request of the org gets an answer in the API's shape, whatever it is and whatever goes wrong."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from support.org_in_process import FakeTokens, StandingClock, running_app
from yarl import URL

from gateway.model.org import TokenScope
from gateway.model.store_errors import AlreadyExists, StoreUnavailable
from gateway.server.org.call import Call
from gateway.server.org.errors import resource_not_found
from gateway.server.org.route import NO_CONTENT, Answer, Budget, Route


async def echo(call: Call) -> Answer:
    return Answer(json={"id": call.parameters.get("id"), "ip": call.client.ip, "base": call.base_url})


async def take(call: Call) -> Answer:
    return Answer(201, json=call.json_object(known={"name"}))


async def missing(call: Call) -> Answer:
    raise resource_not_found(call.parameters["id"], "User")


async def broken(_: Call) -> Answer:
    raise RuntimeError("a secret of ours")


async def without_store(_: Call) -> Answer:
    raise StoreUnavailable("postgresql://user@host/db is away")


async def taken(_: Call) -> Answer:
    raise AlreadyExists("users.login_key")


async def slow(_: Call) -> Answer:
    await asyncio.sleep(60)
    return NO_CONTENT


async def nothing(_: Call) -> Answer:
    return NO_CONTENT


async def raw(_: Call) -> Answer:
    return Answer(body=b"\x30\x00", headers=(("Content-Type", "application/pkix-crl"),))


READ, OPERATE, ADMIN = TokenScope
FEW = Budget("few", 3)
ROUTES = (
    Route("GET", "/api/v1/things/{id}", READ, echo),
    Route("POST", "/api/v1/things", OPERATE, take, max_body_bytes=1_000),
    Route("DELETE", "/api/v1/things/{id}", ADMIN, nothing),
    Route("GET", "/api/v1/missing/{id}", READ, missing),
    Route("GET", "/api/v1/broken", READ, broken),
    Route("GET", "/api/v1/without-store", READ, without_store),
    Route("POST", "/api/v1/taken", READ, taken),
    Route("POST", "/api/v1/slow", READ, slow, timeout_seconds=0.2),
    Route("GET", "/api/v1/few", READ, nothing, budget=FEW),
    Route("GET", "/crl/{name}", None, raw),
    Route("GET", "/open/{id*}", None, echo),
    Route("GET", "/api/v1/logs", READ, nothing, okta_scope="okta.logs.read"),
)


@pytest.fixture
def store() -> FakeTokens:
    return FakeTokens()


@pytest.fixture
def clock() -> StandingClock:
    return StandingClock()


@pytest.fixture
async def client(store: FakeTokens, clock: StandingClock) -> AsyncIterator[aiohttp.ClientSession]:
    async with running_app(ROUTES, store, clock=clock) as session:
        yield session


def ssws(token: str) -> dict[str, str]:
    return {"Authorization": f"SSWS {token}"}


async def error_of(response: aiohttp.ClientResponse) -> tuple[int, str]:
    body = await response.json()
    assert set(body) >= {"errorCode", "errorSummary", "errorLink", "errorId", "errorCauses"}
    assert body["errorId"] == response.headers["X-Okta-Request-Id"]
    return response.status, body["errorCode"]


@pytest.mark.parametrize("scheme", ["SSWS ", "ssws ", "Bearer ", "bearer ", "SSWS"])
async def test_a_token_is_taken_in_either_scheme(
    client: aiohttp.ClientSession, store: FakeTokens, scheme: str
) -> None:
    token = store.issue(READ)
    async with client.get("/api/v1/things/7", headers={"Authorization": f"{scheme}{token}"}) as response:
        assert (response.status, (await response.json())["id"]) == (200, "7")


@pytest.mark.parametrize(
    "authorization",
    ["", "SSWS", "SSWS dtk_short", "Basic dXNlcjpwYXNz", "SSWS dtk_" + "A" * 43, "SSWS " + "x" * 9_000],
)
async def test_without_a_good_token_nothing_is_answered(
    client: aiohttp.ClientSession, authorization: str
) -> None:
    async with client.get("/api/v1/things/7", headers={"Authorization": authorization}) as response:
        assert await error_of(response) == (401, "E0000011")
        assert "SSWS" in response.headers["WWW-Authenticate"]


async def test_expired_and_revoked_tokens_are_as_good_as_unknown_ones(
    client: aiohttp.ClientSession, store: FakeTokens, clock: StandingClock
) -> None:
    for fields in ({"expires": clock.now()}, {"revoked": clock.now()}):
        token = store.issue(ADMIN, **fields)
        async with client.get("/api/v1/things/7", headers=ssws(token)) as response:
            assert await error_of(response) == (401, "E0000011")


@pytest.mark.parametrize(
    ("scope", "method", "path", "status"),
    [
        (READ, "GET", "/api/v1/things/7", 200),
        (READ, "POST", "/api/v1/things", 403),
        (READ, "DELETE", "/api/v1/things/7", 403),
        (OPERATE, "GET", "/api/v1/things/7", 200),
        (OPERATE, "POST", "/api/v1/things", 201),
        (OPERATE, "DELETE", "/api/v1/things/7", 403),
        (ADMIN, "POST", "/api/v1/things", 201),
        (ADMIN, "DELETE", "/api/v1/things/7", 204),
    ],
)
async def test_a_token_may_do_what_its_scope_covers(
    client: aiohttp.ClientSession, store: FakeTokens, scope: TokenScope, method: str, path: str, status: int
) -> None:
    body = {"name": "x"} if method == "POST" else None
    async with client.request(method, path, json=body, headers=ssws(store.issue(scope))) as response:
        assert response.status == status
        if status == 403:
            assert await error_of(response) == (403, "E0000006")


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/", (404, "E0000008")),
        ("GET", "/api/v1/things", (405, "E0000022")),
        ("PUT", "/api/v1/things/7", (405, "E0000022")),
        ("GET", "/api/v1/things/", (404, "E0000008")),
        ("GET", "/api/v1/things/7/8", (404, "E0000008")),
        ("GET", "/api/v1/missing/00u%22%0d%0a%E2%80%AE", (404, "E0000007")),
        ("GET", "/api/v1/broken", (500, "E0000009")),
        ("GET", "/api/v1/without-store", (503, "E0000009")),
        ("POST", "/api/v1/taken", (409, "E0000001")),
        ("POST", "/api/v1/slow", (504, "E0000009")),
    ],
)
async def test_what_goes_wrong_is_said_with_the_code_that_tools_know(
    client: aiohttp.ClientSession,
    store: FakeTokens,
    caplog: pytest.LogCaptureFixture,
    method: str,
    path: str,
    expected: tuple[int, str],
) -> None:
    caplog.set_level(logging.CRITICAL)
    async with client.request(method, path, headers=ssws(store.issue(ADMIN))) as response:
        assert await error_of(response) == expected
        assert "secret" not in await response.text()


async def test_a_method_that_is_not_there_is_told_which_are(
    client: aiohttp.ClientSession, store: FakeTokens
) -> None:
    async with client.put("/api/v1/things/7", headers=ssws(store.issue(READ))) as response:
        assert response.headers["Allow"] == "DELETE, GET, HEAD"


async def test_a_bug_of_ours_is_logged_with_the_id_that_the_caller_got(
    client: aiohttp.ClientSession, store: FakeTokens, caplog: pytest.LogCaptureFixture
) -> None:
    headers = {**ssws(store.issue(READ)), "X-Reference-Id": "ref-17"}
    async with client.get("/api/v1/broken", headers=headers) as response:
        assert (await response.json())["errorId"] == "ref-17"
    assert "ref-17" in caplog.text
    assert "a secret of ours" in caplog.text


JSON = "application/json"


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        (JSON, b'{"name": "x"}', 201),
        ("application/json; charset=utf-8", '{"name": "ä"}'.encode(), 201),
        ("text/plain", b'{"name": "x"}', 415),
        ("", b'{"name": "x"}', 415),
        (JSON, b"", 400),
        (JSON, b"[]", 400),
        (JSON, b'{"name": 1, "name": 2}', 400),
        (JSON, b'{"name": NaN}', 400),
        (JSON, b'{"name": 1e999}', 400),
        (JSON, b'{"name": "\\u0000"}', 400),
        (JSON, b'{"name": "\\ud800"}', 400),
        (JSON, b'{"other": "x"}', 400),
        (JSON, b'{"name": ' + b"[" * 400 + b"]" * 400 + b"}", 400),
        (JSON, b'{"name": "' + b"x" * 1_000 + b'"}', 413),
        (JSON, b"\xff\xfe", 400),
    ],
)
async def test_a_body_is_json_of_one_meaning_or_refused(
    client: aiohttp.ClientSession, store: FakeTokens, content_type: str, body: bytes, status: int
) -> None:
    headers = {**ssws(store.issue(OPERATE)), "Content-Type": content_type}
    async with client.post("/api/v1/things", data=body, headers=headers) as response:
        assert response.status == status
        if status != 201:
            await error_of(response)


async def test_a_body_without_a_length_is_read_no_further_than_to_the_limit(
    client: aiohttp.ClientSession, store: FakeTokens
) -> None:
    async def endless() -> AsyncIterator[bytes]:
        for _ in range(100):
            yield b"x" * 100
            await asyncio.sleep(0)

    headers = {**ssws(store.issue(OPERATE)), "Content-Type": JSON}
    async with client.post("/api/v1/things", data=endless(), headers=headers) as response:
        assert await error_of(response) == (413, "E0000003")


async def test_nobody_waits_for_a_body_where_none_is_read(client: aiohttp.ClientSession) -> None:
    async def withheld() -> AsyncIterator[bytes]:
        yield b"x"
        await asyncio.sleep(20)

    async with asyncio.timeout(10), client.get("/api/v1/openapi.json", data=withheld()) as response:
        assert await error_of(response) == (413, "E0000003")


async def test_a_compressed_body_is_refused_as_it_is(
    client: aiohttp.ClientSession, store: FakeTokens
) -> None:
    headers = {**ssws(store.issue(OPERATE)), "Content-Type": JSON, "Content-Encoding": "gzip"}
    async with client.post("/api/v1/things", data=b"\x1f\x8b", headers=headers) as response:
        assert response.status == 415


async def test_a_body_that_does_not_arrive_ends_in_time(
    client: aiohttp.ClientSession, store: FakeTokens
) -> None:
    async def stuck() -> AsyncIterator[bytes]:
        yield b"{"
        await asyncio.sleep(60)

    headers = ssws(store.issue(READ))
    async with client.post("/api/v1/slow", data=stuck(), headers=headers) as response:
        assert response.status == 408


@pytest.mark.parametrize("body", [b"zz\r\n\r\n", b"5\r\nabc", b""])
async def test_who_breaks_off_in_a_body_is_no_defect_of_ours(
    client: aiohttp.ClientSession, store: FakeTokens, caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    base = client._base_url
    assert base is not None
    _, writer = await asyncio.open_connection(base.host, base.port)
    token = store.issue(OPERATE)
    head = f"Host: x\r\nAuthorization: SSWS {token}\r\nContent-Type: application/json\r\n"
    writer.write(f"POST /api/v1/things HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
    await asyncio.sleep(0.05)
    writer.write(body)
    await writer.drain()
    writer.close()
    await asyncio.sleep(0.05)
    assert caplog.text == ""


async def test_head_is_get_without_a_body(client: aiohttp.ClientSession, store: FakeTokens) -> None:
    async with client.head("/api/v1/things/7", headers=ssws(store.issue(READ))) as response:
        assert (response.status, await response.read()) == (200, b"")
        assert int(response.headers["Content-Length"]) > 0


async def test_what_is_no_json_is_sent_as_it_is(client: aiohttp.ClientSession) -> None:
    async with client.get("/crl/issuing.crl") as response:
        assert await response.read() == b"\x30\x00"
        assert response.headers["Content-Type"] == "application/pkix-crl"


async def test_a_route_may_take_the_rest_of_the_path(client: aiohttp.ClientSession) -> None:
    async with client.get(URL("/open/MEow%2F+a//b=", encoded=True)) as response:
        assert (await response.json())["id"] == "MEow/+a//b="


async def test_every_answer_forbids_to_be_framed_sniffed_or_kept(
    client: aiohttp.ClientSession, store: FakeTokens
) -> None:
    for path in ("/nowhere", "/crl/a", "/api/v1/things/1"):
        async with client.get(path) as response:
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]
            assert response.headers["Cache-Control"] == "no-store"


async def test_who_asks_too_often_is_told_when_to_come_again(
    client: aiohttp.ClientSession, store: FakeTokens, clock: StandingClock
) -> None:
    headers = ssws(store.issue(READ))
    left = []
    for _ in range(3):
        async with client.get("/api/v1/few", headers=headers) as response:
            left.append(response.headers["X-Rate-Limit-Remaining"])
    assert left == ["2", "1", "0"]
    async with client.get("/api/v1/few", headers=headers) as response:
        assert await error_of(response) == (429, "E0000047")
        assert "Date" in response.headers
        assert int(response.headers["X-Rate-Limit-Reset"]) == int(clock.now().timestamp()) + 60
        assert response.headers["Retry-After"] == "60"
    async with client.get("/api/v1/few", headers=ssws(store.issue(READ))) as response:
        assert response.status == 204
    clock.advance(seconds=60)
    async with client.get("/api/v1/few", headers=headers) as response:
        assert response.status == 204


async def test_gateway_yaml_says_how_often_a_token_may_ask(store: FakeTokens) -> None:
    headers = ssws(store.issue(READ))
    async with running_app(ROUTES, store, api_requests_per_minute=2) as client:
        statuses = []
        for _ in range(3):
            async with client.get("/api/v1/things/1", headers=headers) as response:
                statuses.append(response.status)
    assert statuses == [200, 200, 429]


async def test_who_guesses_tokens_is_stopped_and_others_of_the_address_are_not(
    client: aiohttp.ClientSession, store: FakeTokens
) -> None:
    good = store.issue(READ)
    async with client.get("/api/v1/things/1", headers=ssws(good)) as response:
        assert response.status == 200
    statuses = []
    for number in range(80):
        guess = f"dtk_{number:043}"
        async with client.get("/api/v1/things/1", headers=ssws(guess)) as response:
            statuses.append(response.status)
    assert statuses == [401] * 60 + [429] * 20
    assert store.looked_up == 1 + 60
    async with client.get("/api/v1/things/1", headers=ssws(good)) as response:
        assert response.status == 200


async def test_the_client_and_the_address_are_those_that_the_worker_tells(
    client: aiohttp.ClientSession, store: FakeTokens
) -> None:
    headers = {
        **ssws(store.issue(READ)),
        "X-Forwarded-For": "192.0.2.7, 10.0.0.1",
        "X-Forwarded-Host": "SSO.example.test:8443",
    }
    async with client.get("/api/v1/things/1", headers=headers) as response:
        told = await response.json()
    assert (told["ip"], told["base"]) == ("192.0.2.7", "https://sso.example.test:8443")


async def test_another_host_is_never_made_part_of_an_address(
    client: aiohttp.ClientSession, store: FakeTokens
) -> None:
    for host in ("evil.test", "sso.example.test@evil.test", "sso.example.test:8443/x", ""):
        headers = {**ssws(store.issue(READ)), "X-Forwarded-Host": host}
        async with client.get("/api/v1/things/1", headers=headers) as response:
            assert (await response.json())["base"] == "https://sso.example.test"


async def test_the_document_lists_every_route_and_needs_no_token(client: aiohttp.ClientSession) -> None:
    async with client.get("/api/v1/openapi.json") as response:
        document: dict[str, Any] = json.loads(await response.text())
    listed = {
        (method.upper(), path) for path, operations in document["paths"].items() for method in operations
    }
    assert listed == {(route.method, route.path.replace("*}", "}")) for route in ROUTES} | {
        ("GET", "/api/v1/openapi.json")
    }
    assert document["paths"]["/api/v1/things/{id}"]["get"]["security"] == [{"apiToken": []}, {"bearer": []}]
