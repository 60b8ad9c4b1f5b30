"""Who does what during the soak. Each actor does one thing once and says whether the answer was right.

Everything that one actor expects holds whatever the others do: devices are revoked only by the actor
that made them, and reloads change nothing that an answer shows.
"""

import asyncio
import hashlib
import json
import os
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import count
from random import Random
from typing import Any, Final

from h2.exceptions import H2Error
from support.gateway_process import GatewayProcess
from support.large_crl import crl_of
from support.pki import Authority, Credential

from benchmarks.load_client import WINDOWS_CHROME
from benchmarks.site import APP_HOST, DEVICE, MTLS_DOMAIN, Site
from benchmarks.soak_client import FORM, STEP_SECONDS, Answer, Client, Unexpected, Wire
from benchmarks.soak_http2 import Http2Request, exchange

_PEOPLE: Final = 20
_KEPT_WRONG: Final = 3
_ALWAYS_ON_THE_LIST: Final = 20_000
_BIG_BYTES: Final = 20_000_000
_CLOSE_SECONDS: Final = 15.0
# What one worker has applied another one has soon, too, on a machine where all are busy.
_EVERY_WORKER_SECONDS: Final = 0.5
_IPHONE: Final = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) AppleWebKit/605.1.15 Version/17.5 Safari"
)
_BROWSER: Final = f"User-Agent: {WINDOWS_CHROME}"
# Spoofed in three spellings; none of them may reach the app.
_SPOOFED: Final = ("X-Device-Trust: trusted", "x_device_trust_user: mallory", "X-SSL-Client-Verify: SUCCESS")
_GARBAGE: Final = (
    b"GET / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST / HTTP/1.1\r\nHost: {host}\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
    b"GET / HTTP/1.1\r\nHost: {host}\r\nX-A: b\r\n folded\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost : {host}\r\n\r\n",
    b"\x00\xff\xfe" * 40 + b"\r\n\r\n",
)


@dataclass
class Tally:
    """What was seen, by kind; and the first few wrong answers of each kind in words."""

    right: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    wrong_answers: list[str] = field(default_factory=list)
    closed_after_ms: list[float] = field(default_factory=list)

    def judge(self, kind: str, right: bool, seen: object) -> None:
        if right:
            self.right[kind] += 1
            return
        self.wrong[kind] += 1
        if self.wrong[kind] <= _KEPT_WRONG:
            self.wrong_answers.append(f"{kind}: {seen!r}"[:600])


class Stage:
    """What all actors share."""

    def __init__(self, site: Site, gateway: GatewayProcess, seed: int) -> None:
        self.site, self.gateway = site, gateway
        self.random = Random(seed)
        self.tally = Tally()
        self._numbers = count(1)
        self._revoked: list[int] = []
        people = [f"user{number}@example.test" for number in range(_PEOPLE)]
        self.trusted = [Client(site, user, site.device(user)) for user in people]
        lost = [site.device(user) for user in people]
        self._revoked += [device.serial_number for device in lost]
        yesterday = datetime.now(UTC) - timedelta(days=1)
        expired = site.corp.issue_client(DEVICE, people[0], not_before=yesterday, not_after=yesterday)
        stranger = Authority.create_root("Somebody else").issue_client(DEVICE, people[0])
        self.untrusted = (
            *(("REVOKED", Client(site, *pair)) for pair in zip(people, lost, strict=True)),
            *(("NO_CERTIFICATE", Client(site, user, None)) for user in people),
            *(("USER_MISMATCH", Client(site, user, site.device(people[0]))) for user in people[1:6]),
            *(("EXPIRED", Client(site, people[0], expired)) for _ in range(5)),
            *(("UNKNOWN_ISSUER", Client(site, people[0], stranger)) for _ in range(5)),
        )

    def message(self, user: str, altered_user: str | None = None) -> bytes:
        identifier = f"-soak-{self.next_number()}"
        return self.site.message(identifier, user=user, altered_user=altered_user)

    def next_number(self) -> int:
        return next(self._numbers)

    async def publish(self, *devices: Credential) -> float:
        """Put devices on the list, in a file of a size that takes parsing; when the file was in place."""
        self._revoked += [device.serial_number for device in devices]
        revoked = tuple(self._revoked)
        crl = await asyncio.to_thread(crl_of, self.site.corp, _ALWAYS_ON_THE_LIST, revoked)
        self.site.write_crl(crl)
        return time.monotonic()

    async def session(self, client: Client) -> str:
        """Sign on; the Cookie field of the session."""
        answer = await client.sign_on(self.message(client.user))
        self.judge_trusted("sign-on, trusted", answer, client)
        return answer.cookies

    def judge_trusted(self, kind: str, answer: Answer, client: Client) -> None:
        self.tally.judge(kind, answer.status == 200 and _identity(answer) == _expected(client), answer)


async def sign_on(stage: Stage) -> None:
    """A sign-on: in six of ten cases trusted, in three not, in one refused before any challenge."""
    tenth = stage.random.randrange(10)
    if tenth < 6:
        client = stage.random.choice(stage.trusted)
        body = stage.message(client.user)
        stage.judge_trusted("sign-on, trusted", await client.sign_on(body), client)
        if tenth == 0:
            again = await client.sign_on(body)
            stage.tally.judge("sign-on, replayed", again.status == 400, again)
    elif tenth < 9:
        reason, client = stage.random.choice(stage.untrusted)
        answer = await client.sign_on(stage.message(client.user))
        right = answer.status == 403 and answer.reason == reason
        stage.tally.judge(f"sign-on, {reason}", right, (answer, reason))
    else:
        client = stage.random.choice(stage.trusted)
        if stage.random.random() < 0.5:
            answer = await client.sign_on(stage.message(client.user), _IPHONE)
            right = answer.status == 403 and answer.reason == "DEFAULT_RULE"
            stage.tally.judge("sign-on, wrong platform", right, answer)
        else:
            answer = await client.sign_on(stage.message("mallory@example.test", altered_user=client.user))
            stage.tally.judge("sign-on, altered message", answer.status == 400, answer)


async def requests(stage: Stage) -> None:
    """A session, thirty requests on one connection, and one more without the session's cookie."""
    client = stage.random.choice(stage.trusted)
    cookie = await stage.session(client)
    async with await Wire.open(stage.site, APP_HOST, client.plain) as wire:
        for _ in range(30):
            if stage.random.random() < 0.5:
                answer = await wire.request("GET", "/page", (f"Cookie: {cookie}", *_SPOOFED))
                stage.judge_trusted("GET", answer, client)
            else:
                body = stage.random.randbytes(stage.random.randrange(1, 200_000))
                answer = await wire.request("POST", "/digest", (f"Cookie: {cookie}", _octets()), body)
                stage.tally.judge("POST", _is_digest(answer, body), answer)
        answer = await wire.request("GET", "/page", ("Cookie: app=1", *_SPOOFED))
        seen = _fields(answer)
        stranger = answer.status == 200 and _identity(answer) == (None, None, None)
        stage.tally.judge("GET without a session", stranger and "cookie" not in seen, answer)


async def http2_requests(stage: Stage) -> None:
    """Nineteen pages and one body at once on one HTTP/2 connection."""
    client = stage.random.choice(stage.trusted)
    cookie = ("cookie", await stage.session(client))
    body = stage.random.randbytes(stage.random.randrange(1, 150_000))
    upload = Http2Request("POST", "/digest", (cookie, ("content-type", "application/octet-stream")), body)
    spoofed = (("x-device-trust", "trusted"), ("x-device-trust-user", "mallory"))
    pages = [Http2Request("GET", "/page", (cookie, *spoofed)) for _ in range(19)]
    digest, *seen = await exchange(stage.site, [upload, *pages])
    stage.tally.judge("HTTP/2 POST", _is_digest(digest, body), digest)
    for answer in seen:
        stage.judge_trusted("HTTP/2 GET", answer, client)


async def big_bodies(stage: Stage) -> None:
    """20 MB up, in chunks of odd sizes, and 20 MB down."""
    client = stage.random.choice(stage.trusted)
    cookie = await stage.session(client)
    async with await Wire.open(stage.site, APP_HOST, client.plain) as wire:
        fields = (_BROWSER, f"Cookie: {cookie}", "Transfer-Encoding: chunked", _octets())
        wire.writer.write(wire.head("POST", "/digest", fields))
        digest, left = hashlib.sha256(), _BIG_BYTES
        while left:
            piece = os.urandom(min(left, stage.random.randrange(1, 300_000)))
            digest.update(piece)
            left -= len(piece)
            wire.writer.write(b"%x\r\n%b\r\n" % (len(piece), piece))
            async with asyncio.timeout(STEP_SECONDS):
                await wire.writer.drain()
        wire.writer.write(b"0\r\n\r\n")
        async with asyncio.timeout(STEP_SECONDS):
            answer = await wire.answer()
        stage.tally.judge("20 MB up", answer.body.decode() == digest.hexdigest(), answer)
        async with asyncio.timeout(STEP_SECONDS):
            answer = await wire.request("GET", f"/bytes/{_BIG_BYTES}", (f"Cookie: {cookie}",))
        right = answer.status == 200 and answer.body == bytes(_BIG_BYTES)
        stage.tally.judge("20 MB down", right, (answer.status, len(answer.body)))


async def socket(stage: Stage) -> None:
    """A WebSocket that lives for some seconds and gives back what it is sent."""
    client = stage.random.choice(stage.trusted)
    async with await _upgraded(stage, client, await stage.session(client)) as wire:
        for _ in range(20):
            data = stage.random.randbytes(stage.random.randrange(1, 50_000))
            wire.writer.write(data)
            async with asyncio.timeout(STEP_SECONDS):
                echo = await wire.reader.readexactly(len(data))
            stage.tally.judge("WebSocket, message", echo == data, len(echo))
            await asyncio.sleep(stage.random.random())


async def slow_client(stage: Stage) -> None:
    """A head that comes in pieces, a body that comes slowly, and an answer that is read slowly."""
    client = stage.random.choice(stage.trusted)
    cookie = await stage.session(client)
    async with await Wire.open(stage.site, APP_HOST, client.plain) as wire:
        head = wire.head("GET", "/page", (_BROWSER, f"Cookie: {cookie}"))
        for at in range(0, len(head), 100):
            wire.writer.write(head[at : at + 100])
            await asyncio.sleep(0.1)
        async with asyncio.timeout(STEP_SECONDS):
            stage.judge_trusted("slow head", await wire.answer(), client)
        body = stage.random.randbytes(20_000)
        fields = (_BROWSER, f"Cookie: {cookie}", _octets(), f"Content-Length: {len(body)}")
        wire.writer.write(wire.head("POST", "/digest", fields))
        for at in range(0, len(body), 1_000):
            wire.writer.write(body[at : at + 1_000])
            await asyncio.sleep(0.05)
        async with asyncio.timeout(STEP_SECONDS):
            answer = await wire.answer()
        stage.tally.judge("slow body", _is_digest(answer, body), answer)
        wire.writer.write(wire.head("GET", "/bytes/3000000", (_BROWSER, f"Cookie: {cookie}")))
        async with asyncio.timeout(STEP_SECONDS):
            answer, length = await wire.answer_head()
            received = 0
            while received < length:
                received += len(await wire.reader.readexactly(min(100_000, length - received)))
                await asyncio.sleep(0.05)
        stage.tally.judge("slow reader", answer.status == 200 and length == 3_000_000, answer)


async def garbage(stage: Stage) -> None:
    """What no browser sends: 400 or the end of the connection, and never an answer of the app."""
    site, random = stage.site, stage.random
    kind = random.randrange(4)
    if kind == 0:  # no TLS at all
        reader, writer = await asyncio.open_connection("127.0.0.1", site.https_port)
        writer.write(
            random.choice((b"GET / HTTP/1.1\r\n\r\n", random.randbytes(300), b"\x16\x03\x01\xff\xff"))
        )
        async with asyncio.timeout(STEP_SECONDS):
            answer = await _rest(reader)
        writer.transport.abort()
        stage.tally.judge("garbage for a handshake", b"HTTP/1.1 2" not in answer, answer[:200])
    elif kind == 1:  # half a handshake
        _, writer = await asyncio.open_connection("127.0.0.1", site.https_port)
        writer.write(b"\x16\x03\x01\x01\x00\x01\x00\x00\xfc\x03\x03" + random.randbytes(20))
        await asyncio.sleep(random.random())
        writer.transport.abort()
        stage.tally.judge("half a handshake", True, None)
    elif kind == 2:
        client = random.choice(stage.trusted)
        async with await Wire.open(site, APP_HOST, client.plain) as wire:
            host = f"{APP_HOST}:{site.https_port}".encode()
            wire.writer.write(random.choice(_GARBAGE).replace(b"{host}", host))
            async with asyncio.timeout(STEP_SECONDS):
                answer = await _rest(wire.reader)
        right = answer == b"" or answer.startswith(b"HTTP/1.1 400 ")
        stage.tally.judge("garbage for a request", right, answer[:200])
    else:
        client = random.choice(stage.trusted)
        async with await Wire.open(site, f"n{random.getrandbits(64):x}.{MTLS_DOMAIN}", client.plain) as wire:
            mtls = await wire.request("POST", "/challenge?flow=made-up", (FORM,), b"SAMLResponse=x")
        stage.tally.judge("challenge without a flow", mtls.status == 400, mtls)


async def revocation(stage: Stage) -> None:
    """A device of its own with three open WebSockets is revoked: they end, its session and sign-ons too."""
    user = "revoked@example.test"
    device = stage.site.device(user)
    client = Client(stage.site, user, device)
    cookie = await stage.session(client)
    wires = [await _upgraded(stage, client, cookie) for _ in range(3)]
    try:
        began = await stage.publish(device)
        try:
            async with asyncio.timeout(_CLOSE_SECONDS):
                ends = await asyncio.gather(*(_rest(wire.reader) for wire in wires))
            stage.tally.judge("revoked, WebSocket ends", ends == [b"", b"", b""], ends)
            stage.tally.closed_after_ms.append((time.monotonic() - began) * 1_000)
        except TimeoutError:
            stage.tally.judge("revoked, WebSocket ends", False, f"open after {_CLOSE_SECONDS:g} s")
    finally:
        for wire in wires:
            wire.writer.transport.abort()
    answer = await _until_refused(stage, client, cookie, began + _CLOSE_SECONDS)
    stage.tally.judge("revoked, session ends", answer is not None and answer.status == 403, answer)
    await asyncio.sleep(_EVERY_WORKER_SECONDS)
    answer = await client.sign_on(stage.message(client.user))
    right = answer.status == 403 and answer.reason == "REVOKED"
    stage.tally.judge("revoked, sign-on", right, answer)


async def _until_refused(stage: Stage, client: Client, cookie: str, latest: float) -> Answer | None:
    """The answer that ends the session, or the last one. The sockets were perhaps all of one worker: on a
    busy machine another one hears of the revocation later, lets a request through, and cuts it off."""
    answer: Answer | None = None
    while (answer is None or answer.status != 403) and time.monotonic() < latest:
        try:
            async with await Wire.open(stage.site, APP_HOST, client.plain) as wire:
                answer = await wire.request("POST", "/digest", (f"Cookie: {cookie}", _octets()), b"x")
        except asyncio.IncompleteReadError:
            answer = None
    return answer


async def reload(stage: Stage) -> None:
    """SIGHUP with another label of the app; in one of three cases with a mistake, which changes nothing."""
    configuration: dict[str, Any] = stage.site.configuration(enforcement="session")
    configuration["apps"][0]["label"] = f"Wiki {stage.next_number()}"
    bad = stage.random.randrange(3) == 0
    if bad:
        configuration["apps"][0]["polcy"] = "policy.yaml"
    stage.gateway.write(configuration)
    stage.gateway.reload()
    await asyncio.sleep(2)
    stage.tally.judge("reload with a mistake" if bad else "reload", stage.gateway.is_ready(), "not ready")


async def act(
    stage: Stage, actor: Callable[[Stage], Awaitable[None]], over: asyncio.Event, pause: Sequence[float]
) -> None:
    """Repeat an actor with pauses of random length until it is over."""
    while not over.is_set():
        try:
            await actor(stage)
        except (OSError, EOFError, TimeoutError, ValueError, Unexpected, H2Error) as failed:
            stage.tally.judge(actor.__name__, False, failed)
        await asyncio.sleep(stage.random.uniform(*pause))


async def _upgraded(stage: Stage, client: Client, cookie: str) -> Wire:
    wire = await Wire.open(stage.site, APP_HOST, client.plain)
    fields = (f"Cookie: {cookie}", "Connection: Upgrade", "Upgrade: websocket")
    answer = await wire.request("GET", "/socket", fields)
    stage.tally.judge("WebSocket, begun", answer.status == 101, answer)
    return wire


async def _rest(reader: asyncio.StreamReader) -> bytes:
    try:
        return await reader.read(-1)
    except OSError:
        return b""


def _fields(answer: Answer) -> dict[str, str]:
    """What the app says that it got."""
    if answer.field("content-type") != "application/json":
        return {}
    return {name.lower().replace("_", "-"): value for name, value in json.loads(answer.body)["headers"]}


def _identity(answer: Answer) -> tuple[str | None, str | None, str | None]:
    seen = _fields(answer)
    if "x-ssl-client-verify" in seen:
        return ("spoofed", None, None)
    return (
        seen.get("x-device-trust"),
        seen.get("x-device-trust-device"),
        seen.get("x-device-trust-user"),
    )


def _expected(client: Client) -> tuple[str, str, str]:
    return ("trusted", DEVICE, client.user)


def _is_digest(answer: Answer, body: bytes) -> bool:
    return answer.status == 200 and answer.body.decode() == hashlib.sha256(body).hexdigest()


def _octets() -> str:
    return "Content-Type: application/octet-stream"
