"""What workers pass on to the org process: with what it may believe of a request, and nothing else."""

import base64
import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.browser import Browser, Hop, Step
from support.enforced_world import EnforcedWorld, enforced_world
from support.gateway_process import GatewayProcess
from support.http2_client import Http2Client, http2_client, request_fields
from support.pki import Credential
from support.site import MTLS_DOMAIN

from gateway.server.org_passage import MAX_OF_ONE_CLIENT

ORG = "sso.example.test"
EST = f"est.{MTLS_DOMAIN}"


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[EnforcedWorld, GatewayProcess]]:
    with enforced_world(tmp_path_factory.mktemp("site")) as world:
        world.trust_own()
        with world.gateway(workers=1) as gateway:
            world.store.wait_until_applied(1)
            yield world, gateway


def ask(
    world: EnforcedWorld,
    host: str,
    path: str,
    *headers: tuple[str, str],
    method: str = "GET",
    body: bytes | None = None,
    credential: Credential | None = None,
) -> Hop:
    browser: Browser = world.site.browser(credential)
    browser.accept = "application/json"
    url = world.site.public_base(host) + path
    return browser.send(Step(method, url, body, "application/json", extra_headers=headers))


def fields(seen: dict[str, Any], name: str) -> list[str]:
    return [value for key, value in seen["headers"] if key.lower() == name.lower()]


def test_the_org_learns_from_the_worker_alone_where_a_request_comes_from(
    running: tuple[EnforcedWorld, GatewayProcess],
) -> None:
    world, gateway = running
    hop = ask(
        world,
        ORG,
        "/api/v1/users?limit=2&q=%2e",
        ("X-Forwarded-For", "198.51.100.1"),
        ("X-Forwarded-Host", "evil.example.test"),
        ("X-Reference-Id", "mine"),
        ("X_Reference_Id", "mine"),
        ("X-Device-Trust-Certificate", "forged"),
        ("X_Device-Trust_Certificate", "forged"),
        ("Authorization", "SSWS token"),
        ("Cookie", "a=1"),
    )
    assert hop.status == 200
    seen = hop.json()
    assert (seen["method"], seen["target"]) == ("GET", "/api/v1/users?limit=2&q=%2e")
    assert fields(seen, "X-Forwarded-For") == ["127.0.0.1"]
    assert fields(seen, "X-Forwarded-Proto") == ["https"]
    assert fields(seen, "X-Forwarded-Host") == fields(seen, "Host") == [f"{ORG}:{world.site.https_port}"]
    assert fields(seen, "X-Device-Trust-Certificate") == []
    assert fields(seen, "Authorization") == ["SSWS token"]
    assert fields(seen, "Cookie") == ["a=1"]
    assert [key for key, _ in seen["headers"] if "_" in key] == []
    (reference,) = fields(seen, "X-Reference-Id")
    record = gateway.wait_for_record(lambda r: r.get("reference_id") == reference)
    assert (record["role"], record["path"], record["status"]) == ("org", "/api/v1/users", 200)


def test_bodies_stream_up_to_a_bound(running: tuple[EnforcedWorld, GatewayProcess]) -> None:
    world, _ = running
    hop = ask(world, ORG, "/api/v1/zones", method="POST", body=b"x" * 2_000_000)
    assert (hop.status, hop.json()["body"]) == (200, 2_000_000)
    assert ask(world, ORG, "/api/v1/zones", method="POST", body=b"x" * 2_200_000).status == 413


async def test_the_org_is_reached_over_http_2_too(running: tuple[EnforcedWorld, GatewayProcess]) -> None:
    world, _ = running
    async with http2_client("127.0.0.1", world.site.https_port, ORG, world.site.web.pem) as client:
        post = request_fields(b"/api/v1/zones", (b"x-reference-id", b"mine"), method=b"POST", host=ORG)
        stream = client.begin(post, ended=False)
        client.send(stream, b"x" * 10_000)
        answer = await client.answer(stream)
        seen = json.loads(answer.body)
        assert (answer.status, seen["body"], fields(seen, "X-Forwarded-For")) == (200, 10_000, ["127.0.0.1"])
        assert fields(seen, "X-Reference-Id") != ["mine"]


async def slow(client: Http2Client, count: int, path: bytes = b"/ocsp") -> list[int]:
    """Requests whose bodies never come."""
    post = request_fields(path, method=b"POST", host=ORG)
    streams = [client.begin(post, ended=False) for _ in range(count)]
    client.flush()
    assert await status_of(client, b"/.well-known/jwks.json") == 200  # behind them, on the same connection
    return streams


async def status_of(client: Http2Client, path: bytes) -> int:
    return (await client.answer(client.begin(request_fields(path, host=ORG)))).status


async def test_slow_strangers_take_no_connection_of_the_api(
    running: tuple[EnforcedWorld, GatewayProcess],
) -> None:
    world, _ = running
    async with contextlib.AsyncExitStack() as open_clients:
        for number in range(2, 7):
            own_address = f"127.0.0.{number}"
            client = await open_clients.enter_async_context(
                http2_client(
                    "127.0.0.1", world.site.https_port, ORG, world.site.web.pem, own_address=own_address
                )
            )
            await slow(client, MAX_OF_ONE_CLIENT)
        assert ask(world, ORG, "/api/v1/users").status == 200


async def test_one_client_has_so_many_requests_at_the_org_and_others_go_on(
    running: tuple[EnforcedWorld, GatewayProcess],
) -> None:
    world, _ = running
    async with http2_client(
        "127.0.0.1", world.site.https_port, ORG, world.site.web.pem, own_address="127.0.0.7"
    ) as client:
        streams = await slow(client, MAX_OF_ONE_CLIENT)
        answer = await client.answer((await slow(client, 1))[0])
        assert (answer.status, answer.headers[b"retry-after"]) == (503, b"2")
        assert ask(world, ORG, "/ocsp").status == 200
        for stream in streams:
            client.protocol.reset_stream(stream)
        assert await status_of(client, b"/ocsp") == 200


def test_there_are_no_websockets_to_the_org(running: tuple[EnforcedWorld, GatewayProcess]) -> None:
    world, _ = running
    assert ask(world, ORG, "/api", ("Connection", "Upgrade"), ("Upgrade", "websocket")).status == 400


def test_an_org_that_dies_is_answered_for_and_is_back_soon(
    running: tuple[EnforcedWorld, GatewayProcess],
) -> None:
    world, gateway = running
    began = len(gateway.wait_for_records("org_started", 1))
    hop = ask(world, ORG, "/die")
    assert (hop.status, hop.header("Retry-After")) == (503, "2")
    assert ask(world, ORG, "/.well-known/jwks.json").json()["keys"]
    gateway.wait_for_records("org_started", began + 1)
    assert ask(world, ORG, "/api").status == 200


REENROLL = "/.well-known/est/simplereenroll"


@pytest.mark.parametrize(
    ("shows", "expected"),
    [
        ("nothing", "NO_CERTIFICATE"),
        ("one of another authority", "UNKNOWN_ISSUER"),
        ("a revoked one", "REVOKED"),
        ("one of a deactivated device", "DEVICE_DEACTIVATED"),
        ("one of a deactivated user", "USER_DEACTIVATED"),
        ("its own", None),
        ("one that names no user", None),
    ],
)
def test_re_enrollment_is_for_who_shows_a_certificate_of_the_own_ca(
    running: tuple[EnforcedWorld, GatewayProcess], shows: str, expected: str | None
) -> None:
    world, _ = running
    credential: Credential | None = world.device()
    match shows:
        case "nothing":
            credential = None
        case "one of another authority":
            credential = world.site.issue()
        case "a revoked one":
            credential = world.device()
            world.store.wait_until_applied(world.store.revoke(world.named(credential)))
        case "one of a deactivated device":
            credential = world.device("urn:device:gone")
            world.store.wait_until_applied(world.store.deactivate_device("urn:device:gone"))
        case "one of a deactivated user":
            credential = world.device(user="gone@example.test")
            world.store.wait_until_applied(world.store.deactivate_user("gone@example.test"))
        case "one that names no user":
            credential = world.device(user=None)
    hop = ask(
        world,
        EST,
        REENROLL,
        ("X-Device-Trust-Certificate", "forged"),
        method="POST",
        body=b"x",
        credential=credential,
    )
    assert (hop.status, hop.header("X-Device-Trust-Reason")) == (403 if expected else 200, expected)
    if expected is None:
        assert credential is not None
        der = credential.certificate.public_bytes(Encoding.DER)
        assert fields(hop.json(), "X-Device-Trust-Certificate") == [base64.b64encode(der).decode()]
        assert fields(hop.json(), "X-Forwarded-Host") == [f"{EST}:{world.site.https_port}"]


@pytest.mark.parametrize(
    ("host", "path"),
    [
        (EST, "/"),
        (EST, "/challenge"),
        (EST, "/api/v1/users"),
        (EST, "/.well-known/est/"),
        (EST, "/.well-known/est/../../api/v1/users"),
        (EST, "/.well-known/est/%2e%2e/x"),
        (EST, "/.well-known/est/a/b/c"),
        (f"n1.{MTLS_DOMAIN}", REENROLL),
    ],
)
def test_nothing_else_is_there(running: tuple[EnforcedWorld, GatewayProcess], host: str, path: str) -> None:
    world, _ = running
    assert ask(world, host, path, credential=world.device()).status == 404


def test_enrollment_for_the_first_time_is_on_the_org_host(
    running: tuple[EnforcedWorld, GatewayProcess],
) -> None:
    world, _ = running
    seen = json.loads(ask(world, ORG, "/.well-known/est/cacerts").body)
    assert seen["target"] == "/.well-known/est/cacerts"
