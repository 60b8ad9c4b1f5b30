"""The HTTP of the IWA web app, with made-up tickets: what is refused before anybody looks at a ticket, and
how often somebody may come."""

import asyncio
import base64
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from ipaddress import ip_network
from types import SimpleNamespace
from typing import Any

import aiohttp
import pytest
from support.iwa_world import REGISTRATION, SETTINGS, World
from support.processes import free_port
from yarl import URL

from gateway.model.iwa_settings import ComputerRule, IwaLimits, IwaSettings
from gateway.model.settings import Address
from gateway.server.iwa.app import InForce, IwaApp
from gateway.server.iwa.iwa_metrics import IwaMetrics
from gateway.server.listening import listen
from gateway.services.directory import NoDirectory
from gateway.services.iwa import Iwa

BODY = {"nonce": "nonce-1", "key_thumbprint": "k" * 43}
# A token that is Kerberos' by its looks; the made-up Kerberos takes its end for the name.
_HEAD = bytes.fromhex("06092a864886f712010202")


def ticket(principal: str = "ws1$@CORP") -> str:
    content = _HEAD + principal.encode()
    token = bytes([0x60, len(content)]) + content
    return f"Negotiate {base64.b64encode(token).decode()}"


class Names(World):
    """Whoever a ticket says."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(computers=ComputerRule.DOLLAR_SIGN, **settings)
        accept = self.tickets.accept
        self.tickets.accept = lambda token, bindings: accept(token[2 + len(_HEAD) :], bindings)  # type: ignore[method-assign]


@dataclass
class Lines:
    said: list[dict[str, Any]] = field(default_factory=list)

    def note(self, name: str, **values: Any) -> None:
        self.said.append({"event": name, **values})


@dataclass
class Client:
    session: aiohttp.ClientSession
    url: str
    lines: Lines
    metrics: IwaMetrics

    async def ask(
        self, method: str, path: str, *, headers: Mapping[str, str] | None = None, **options: Any
    ) -> tuple[int, Any, Mapping[str, str]]:
        async with self.session.request(
            method, self.url + path, headers=headers or {}, **options
        ) as response:
            return response.status, await response.json(), response.headers

    async def device(self, authorization: str | None = None, **headers: str) -> tuple[int, str]:
        sent = {"Authorization": authorization or ticket(), **headers}
        status, said, _ = await self.ask("POST", "/iwa/device", json=BODY, headers=sent)
        return status, said.get("code", "ok")


@asynccontextmanager
async def client(**settings: Any) -> AsyncIterator[Client]:
    world = Names(**settings)
    lines = Lines()
    metrics = IwaMetrics(lambda: 0, lambda: True)
    now = InForce(world.iwa.settings, world.iwa, None, NoDirectory())
    app = IwaApp(lambda: now, lambda: world.registration, REGISTRATION.key_id, metrics, lines)  # type: ignore[arg-type]
    port = free_port()
    runner = aiohttp.web.ServerRunner(app.server)
    await runner.setup()
    await aiohttp.web.SockSite(runner, listen(Address("127.0.0.1", port), "t", 1)[0][0]).start()
    async with aiohttp.ClientSession(headers={"Accept": "application/json"}) as session:
        try:
            yield Client(session, f"http://127.0.0.1:{port}", lines, metrics)
        finally:
            await runner.cleanup()


async def test_a_ticket_and_a_body_make_a_token_and_a_line_of_the_log() -> None:
    async with client() as iwa:
        sent = {"Authorization": ticket(), "User-Agent": "agent"}
        status, said, headers = await iwa.ask("POST", "/iwa/device", json=BODY, headers=sent)
        assert (status, set(said)) == (200, {"device_token", "expires_in"})
        assert headers["WWW-Authenticate"] == f"Negotiate {base64.b64encode(b'answer').decode()}"
        assert headers["Cache-Control"] == "no-store"
        (line,) = iwa.lines.said
        assert (line["event"], line["result"], line["principal"]) == ("iwa_device", "ok", "ws1$@CORP")
        assert line["ip"] == "127.0.0.1"
        assert said["device_token"] not in str(line)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/iwa/device", 405),
        ("POST", "/iwa/", 405),
        ("DELETE", "/iwa/about", 405),
        ("GET", "/", 404),
        ("GET", "/iwa/other", 404),
        ("GET", "/iwax", 404),
        ("POST", "/device", 404),
        ("GET", "/healthz", 200),
        ("GET", "/iwa/about", 200),
        ("GET", "/iwa", 401),
    ],
)
async def test_there_are_few_paths(method: str, path: str, status: int) -> None:
    async with client() as iwa:
        found, said, headers = await iwa.ask(method, path)
        assert found == status
        assert (headers.get("WWW-Authenticate") == "Negotiate") is (status == 401)
        if status >= 400:
            assert set(said) == {"code", "message", "remedy", "detail", "transient", "reference_id"}


@pytest.mark.parametrize(
    ("what", "options", "detail"),
    [
        ("no JSON", {"data": b"{", "headers": {"Content-Type": "application/json"}}, "not JSON"),
        ("a form, as pages of others could send", {"data": BODY}, "Content-Type must be application/json"),
        ("a list", {"json": []}, "the body is no object"),
        ("no nonce", {"json": {"key_thumbprint": "k" * 43}}, "nonce: is missing or malformed"),
        ("a short thumbprint", {"json": {**BODY, "key_thumbprint": "k"}}, "key_thumbprint: is missing or"),
        ("a long nonce", {"json": {**BODY, "nonce": "n" * 257}}, "nonce: is missing or malformed"),
        ("a large body", {"json": {**BODY, "more": "x" * 20_000}}, "the body is larger than 12288 bytes"),
    ],
)
async def test_a_body_that_is_not_as_it_should_be_is_refused(
    what: str, options: dict[str, Any], detail: str
) -> None:
    async with client() as iwa:
        headers = {"Authorization": ticket(), **options.pop("headers", {})}
        status, said, _ = await iwa.ask("POST", "/iwa/device", headers=headers, **options)
        assert (status, said["code"]) == (400, "REQUEST_INVALID"), what
        assert detail in said["detail"]


async def test_a_user_step_needs_a_device_token() -> None:
    async with client() as iwa:
        sent = {"Authorization": ticket("alice@CORP")}
        status, said, _ = await iwa.ask("POST", "/iwa/user", json=BODY, headers=sent)
        assert (status, said["code"]) == (400, "REQUEST_INVALID")
        assert "device_token" in said["detail"]


async def test_two_tickets_in_one_request_are_none() -> None:
    async with client() as iwa:
        twice = [("Authorization", ticket()), ("Authorization", ticket("ws2$@CORP"))]
        status, said, _ = await iwa.ask("POST", "/iwa/device", json=BODY, headers=twice)  # type: ignore[arg-type]
        assert (status, said["detail"]) == (400, "Authorization is there 2 times")


async def test_nobody_comes_too_often() -> None:
    async with client(limits=IwaLimits(per_principal=3, per_address=100, connections=10)) as iwa:
        answers = [await iwa.device() for _ in range(4)]
        assert answers == [(200, "ok")] * 3 + [(429, "TOO_OFTEN")]
        assert await iwa.device(ticket("ws2$@CORP")) == (200, "ok")
    async with client(limits=IwaLimits(per_principal=100, per_address=3, connections=10)) as iwa:
        answers = [await iwa.device(ticket(f"ws{number}$@CORP")) for number in range(4)]
        assert answers == [(200, "ok")] * 3 + [(429, "TOO_OFTEN")]


async def test_who_comes_too_often_has_one_line_in_the_log_and_no_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = SimpleNamespace(time=lambda: 1_000.0, perf_counter=time.perf_counter)
    monkeypatch.setattr("gateway.server.iwa.app.time", clock)  # no minute turns
    for limits in (
        IwaLimits(per_principal=1, per_address=100, connections=10),
        IwaLimits(per_principal=100, per_address=1, connections=10),
    ):
        async with client(limits=limits) as iwa:
            answers = [await iwa.device() for _ in range(8)]
            assert answers == [(200, "ok")] + [(429, "TOO_OFTEN")] * 7
            results = [line["result"] for line in iwa.lines.said]
            assert results == ["ok", "TOO_OFTEN"]


async def test_only_trusted_proxies_say_who_the_client_is() -> None:
    for trusted, ip in (((), "127.0.0.1"), ((ip_network("127.0.0.0/8"),), "10.1.2.3")):
        async with client(trusted_proxies=trusted) as iwa:
            await iwa.device(**{"X-Forwarded-For": "10.1.2.3"})
            assert iwa.lines.said[0]["ip"] == ip


async def test_a_defect_of_ours_is_answered_and_tells_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(*_: object) -> None:
        raise RuntimeError("secret of the house")

    monkeypatch.setattr(Iwa, "account", broken)
    async with client() as iwa:
        sent = {"Authorization": ticket()}
        status, said, _ = await iwa.ask("POST", "/iwa/device", json=BODY, headers=sent)
        assert (status, said["code"], said["detail"]) == (500, "UNAVAILABLE", "an internal error")
        assert f"defect, reference {said['reference_id']}" in caplog.text


async def test_what_comes_is_counted() -> None:
    async with client() as iwa:
        await iwa.device()
        await iwa.device("NTLM TlRMTVNTUAAB")
        await iwa.ask("GET", "/iwa/")
        page = (await iwa.metrics.page()).decode()
        assert 'devicetrust_iwa_requests_total{result="ok",step="device"} 1.0' in page
        assert 'devicetrust_iwa_requests_total{result="NTLM_REFUSED",step="device"} 1.0' in page
        assert 'devicetrust_iwa_requests_total{result="asked",step="page"} 1.0' in page
        assert "devicetrust_iwa_registered 1.0" in page


async def test_a_web_app_at_the_root_of_its_host_has_the_same_paths() -> None:
    settings: IwaSettings = replace(SETTINGS, url="https://iwa.corp.example", path="")
    async with client(url=settings.url, path="") as iwa:
        assert (await iwa.ask("GET", "/about"))[1]["url"] == "https://iwa.corp.example"
        assert (await iwa.ask("GET", "/"))[0] == 401


@pytest.mark.parametrize("body", [b"zz\r\n\r\n", b"5\r\nabc", b""], ids=["no chunk", "half of one", "none"])
async def test_a_body_that_breaks_off_is_no_defect_of_ours(
    caplog: pytest.LogCaptureFixture, body: bytes
) -> None:
    async with client() as iwa:
        _, writer = await asyncio.open_connection("127.0.0.1", URL(iwa.url).port)
        head = f"Host: x\r\nContent-Type: application/json\r\nAuthorization: {ticket()}\r\n"
        writer.write(f"POST /iwa/device HTTP/1.1\r\n{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        await asyncio.sleep(0.05)  # or it is refused before anybody looks at it
        writer.write(body)
        await writer.drain()
        writer.close()
        async with asyncio.timeout(10.0):
            while not iwa.lines.said:
                await asyncio.sleep(0.01)
    assert iwa.lines.said[0]["result"] == "REQUEST_INVALID"
    assert caplog.text == ""
