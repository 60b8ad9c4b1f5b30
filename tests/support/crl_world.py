"""A CRL store with all that it talks to: a clock, a report, files and a server that do what a test says."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.serialization import Encoding
from support import pki

from gateway.adapters.crl_content import ContentWriter
from gateway.adapters.crl_source import CrlPace
from gateway.adapters.crl_store import CrlStore
from gateway.adapters.sealed_memory import SealedMemory
from gateway.model.device import CertificateId
from gateway.model.settings import AuthoritySettings, DeviceFrom, UserFrom
from gateway.pki.authority import Authority, authority_from
from gateway.pki.certificate import parse_certificate
from gateway.pki.revocation import RevocationIndex

CA = pki.Authority.create_root("Corp CA")
OTHER = pki.Authority.create_root("Other CA")
IMPOSTOR = pki.Authority.create_root("Corp CA")
START = datetime.now(UTC).replace(microsecond=0)
HOUR = timedelta(hours=1)
# Everything that takes minutes in earnest takes a blink; nothing here waits for a poll unless it says so.
QUICK = CrlPace(
    earliest=0.05,
    latest=0.05,
    first_retry=0.05,
    last_retry=0.05,
    fetch_timeout=2.0,
    first_fetch_timeout=0.3,
    file_poll=30.0,
)


@dataclass
class Clock:
    at: datetime = START

    def now(self) -> datetime:
        return self.at


@dataclass
class Report:
    """What was told, in order: ("loaded", file name, number, entries) or ("failed", file name, detail)."""

    lines: list[tuple[object, ...]] = field(default_factory=list)

    def crl_loaded(
        self, authority: str, location: str, crl_number: int | None, entries: int, next_update: datetime
    ) -> None:
        self.lines.append(("loaded", location.rpartition("/")[2], crl_number, entries))

    def crl_failed(self, authority: str, location: str, detail: str) -> None:
        self.lines.append(("failed", location.rpartition("/")[2], detail))

    def failures(self) -> list[object]:
        return [line[2] for line in self.lines if line[0] == "failed"]


def authority(
    *crls: str | Path,
    name: str = "corp",
    ca: pki.Authority = CA,
    allowed: timedelta | None = None,
    more: Iterable[pki.Authority] = (),
) -> Authority:
    settings = AuthoritySettings(
        name, "unused.pem", tuple(map(str, crls)), allowed, True, DeviceFrom.SAN_URI, UserFrom.SAN_UPN
    )
    certificates = [parse_certificate(c.certificate.public_bytes(Encoding.DER)) for c in (ca, *more)]
    return authority_from(settings, certificates)


class World:
    """A store, and all that it talks to."""

    def __init__(
        self,
        *authorities: Authority,
        cache: Path | None = None,
        pace: CrlPace = QUICK,
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock or Clock()
        self.report = Report()
        self.indexes: list[RevocationIndex] = []
        self.store = CrlStore(
            authorities,
            None if cache is None else str(cache),
            self.clock,
            self.indexes.append,
            self.report,
            pace=pace,
            randomness=lambda: 0.0,
        )

    def status(self, serial_number: int, ca: pki.Authority = CA) -> str:
        issuer = parse_certificate(ca.certificate.public_bytes(Encoding.DER)).issuer_hash
        return self.store.index.status(
            CertificateId(issuer, serial_number),
            self.clock.now(),
            is_end_entity=True,
            stale_allowed_for=None,
            distribution_points=frozenset(),
        ).value

    @asynccontextmanager
    async def running(self, *, load: bool = True) -> AsyncIterator[None]:
        if load:
            await self.store.load()
        task = asyncio.create_task(self.store.run(), name="store")
        try:
            await asyncio.sleep(0.02)
            yield
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            assert task.cancelled(), task.exception()
            left = [
                t.get_name() for t in asyncio.all_tasks() if t.get_name().startswith(("CRL", "file watch"))
            ]
            assert left == []

    async def until(self, condition: Callable[[], bool], seconds: float = 10.0) -> None:
        async with asyncio.timeout(seconds):
            while not condition():
                await asyncio.sleep(0.005)


def memory_with(data: bytes) -> SealedMemory:
    """``data`` as the parser gets it."""
    with ContentWriter(len(data)) as writer:
        writer.write(data)
        return writer.finish().memory


def replace(path: Path, content: bytes) -> None:
    """As publishers do: write beside it, then rename."""
    unfinished = path.with_name("unfinished")
    unfinished.write_bytes(content)
    unfinished.replace(path)


class CrlServer:
    """Answers with ``body`` and its entity tag, or however the test says; remembers what was asked."""

    def __init__(self, body: bytes = b"") -> None:
        self.body = body
        self.asked: list[str] = []
        self.instead: Callable[[web.Request], Awaitable[web.StreamResponse]] | None = None
        application = web.Application()
        application.router.add_get("/{name}", self._answer)
        self._server = TestServer(application, host="127.0.0.1")

    async def __aenter__(self) -> "CrlServer":
        await self._server.start_server()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._server.close()

    def url(self, name: str = "corp.crl") -> str:
        return str(self._server.make_url(f"/{name}"))

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        if self.instead is not None:
            self.asked.append("instead")
            return await self.instead(request)
        entity_tag = f'"{hash(self.body)}"'
        if request.headers.get("If-None-Match") == entity_tag:
            self.asked.append("not modified")
            return web.Response(status=304)
        self.asked.append("body")
        return web.Response(body=self.body, headers={"ETag": entity_tag})


async def status_500(request: web.Request) -> web.Response:
    return web.Response(status=500)
