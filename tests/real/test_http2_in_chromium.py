"""Chromium over HTTP/2: which hosts speak it, what becomes of requests that stray, and of WebSockets.

One certificate covers all hosts, and one address serves them: then Chromium sends requests for one host over
the connection of another (RFC 9113 §9.1.1), is told 421, and opens a connection of its own.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from aiohttp import web
from playwright.sync_api import BrowserContext, Page
from support import chromium as chromium_support
from support.chromium import chromium
from support.gateway_process import GatewayProcess, gateway_process
from support.needed_parts import needs
from support.site import MTLS_DOMAIN, Site
from support.two_apps import PAYROLL, WIKI, two_apps

pytestmark = [pytest.mark.real, needs("Chromium", chromium_support.missing_parts)]

PROTOCOL = "performance.getEntriesByType('navigation')[0].nextHopProtocol"
TALK = """address => new Promise((resolve, reject) => {
    const socket = new WebSocket(address);
    socket.onopen = () => socket.send('hello');
    socket.onmessage = message => { resolve(message.data); socket.close(); };
    socket.onerror = () => reject(new Error('no WebSocket'));
})"""
FETCH_ALL = """paths => Promise.all(paths.map(path => fetch(path).then(answer => answer.status)))"""


@dataclass(frozen=True, slots=True)
class Running:
    site: Site
    gateway: GatewayProcess

    def url(self, host: str, path: str = "/page") -> str:
        return self.site.public_base(host) + path

    def wait_for_request(self, host: str, status: int) -> None:
        """That a request on a connection of this host was answered so."""
        self.gateway.wait_for_record(
            lambda r: (r["event"], r.get("host"), r.get("status")) == ("request", host, status)
        )


async def _echo_socket(request: web.Request) -> web.WebSocketResponse:
    socket = web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        await socket.send_str("echo " + message.data)
    return socket


@contextmanager
def socket_app(port: list[int]) -> Iterator[None]:
    """An app that speaks WebSocket; its port goes into ``port``."""
    loop = asyncio.new_event_loop()

    async def start() -> web.AppRunner:
        app = web.Application()
        app.router.add_get("/socket", _echo_socket)
        runner = web.AppRunner(app)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        port.append(runner.addresses[0][1])
        return runner

    runner = loop.run_until_complete(start())
    thread = threading.Thread(target=loop.run_forever, name="socket app", daemon=True)
    thread.start()
    try:
        yield
    finally:
        asyncio.run_coroutine_threadsafe(runner.cleanup(), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    site = Site(tmp_path_factory.mktemp("site"))
    port: list[int] = []
    with two_apps(site) as configuration, socket_app(port):
        configuration["apps"][1]["upstream"] = f"http://127.0.0.1:{port[0]}"
        configuration["apps"][1]["enforcement"] = "sign_on"
        with gateway_process(configuration, site.directory) as gateway:
            yield Running(site, gateway)


@pytest.fixture(scope="module")
def context(running: Running) -> Iterator[BrowserContext]:
    with chromium(trusted_root_pem=running.site.web.pem) as context:
        yield context


@pytest.fixture
def page(context: BrowserContext, running: Running) -> Page:
    page = context.pages[0]
    response = page.goto(running.url(WIKI))
    assert response is not None
    assert response.status == 200
    return page


def test_a_page_and_what_it_fetches_come_over_http_2(running: Running, page: Page) -> None:
    assert page.evaluate(PROTOCOL) == "h2"
    assert page.evaluate(FETCH_ALL, [f"/page/{n}" for n in range(40)]) == [200] * 40


def test_another_host_is_reached_though_the_request_strays_first(running: Running, page: Page) -> None:
    other = running.url("sso.example.test", "/.well-known/jwks.json")
    response = page.goto(other)
    assert response is not None
    assert (response.status, page.evaluate(PROTOCOL)) == (200, "h2")
    running.wait_for_request(WIKI, 421)  # where it strayed to


def test_a_post_that_strays_is_sent_again_with_its_body(running: Running, page: Page) -> None:
    """To an mTLS host: as the challenge's form does, which must never run over another host's connection."""
    target = running.url(f"n1.{MTLS_DOMAIN}", "/challenge")
    with page.expect_navigation() as arrived:
        page.evaluate(
            """target => {
                const form = document.createElement('form');
                form.method = 'post'; form.action = target;
                form.innerHTML = '<input name="a" value="b">';
                document.body.append(form); form.submit();
            }""",
            target,
        )
    assert arrived.value.status == 400  # a challenge that nobody began, judged on a connection of its own
    assert page.evaluate(PROTOCOL) == "http/1.1"
    running.wait_for_request(f"n1.{MTLS_DOMAIN}", 400)


def test_a_websocket_opens_beside_http_2(running: Running, page: Page) -> None:
    address = running.url(PAYROLL, "/socket").replace("https://", "wss://")
    assert page.evaluate(TALK, address) == "echo hello"
