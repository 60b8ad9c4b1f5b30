"""The org's HTTP server in the test's own process: on a loopback port, over any store door."""

import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, TypeVar

import aiohttp

from gateway.adapters.memory import SystemRandomness
from gateway.model.org import ApiToken, TokenScope
from gateway.server.org.app import OrgApp
from gateway.server.org.authentication import new_token, token_sha256
from gateway.server.org.call import StoreDoor
from gateway.server.org.enforcement import WAIT_SECONDS, Applied
from gateway.server.org.route import API, Route
from gateway.services.org_configuration import OrgConfiguration

NOW = datetime(2026, 11, 26, 12, 0, tzinfo=UTC)
BASE_URL = "https://sso.example.test"

_T = TypeVar("_T")


class StandingClock:
    def __init__(self, now: datetime = NOW) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def advance(self, **by: float) -> None:
        self.time += timedelta(**by)


class NothingToWaitFor:
    """An `Enforcement` of a fleet without workers."""

    async def wait(self, number: int, seconds: float = WAIT_SECONDS) -> Applied:
        return Applied(number, 0.0)


class FakeTokens:
    """The part of a store that tells who calls. It is its own work, view and door."""

    def __init__(self) -> None:
        self.held: dict[bytes, ApiToken] = {}
        self.used_at: dict[str, datetime] = {}
        self.looked_up = 0

    @property
    def tokens(self) -> "FakeTokens":
        return self

    def by_secret_sha256(self, sha256: bytes) -> ApiToken | None:
        self.looked_up += 1
        return self.held.get(sha256)

    def mark_used(self, token_id: str, at: datetime) -> None:
        self.used_at[token_id] = at

    async def change(self, use_case: Callable[[Any], _T]) -> _T:
        return use_case(self)

    async def read(self, query: Callable[[Any], _T]) -> _T:
        return query(self)

    async def change_numbered(self, use_case: Callable[[Any], _T]) -> tuple[_T, int]:
        return use_case(self), 0

    async def run(self, function: Callable[[Any], _T]) -> _T:
        raise AssertionError("no route that these tests ask needs the store itself")

    def issue(self, scope: TokenScope, **fields: Any) -> str:
        token = new_token(len(self.held).to_bytes(32))
        self.held[token_sha256(token)] = ApiToken(
            id=f"00T{len(self.held):017}",
            name=str(scope),
            scope=scope,
            secret_sha256=token_sha256(token),
            user="admin@example.test",
            created=NOW,
            **fields,
        )
        return token


@asynccontextmanager
async def running_app(
    routes: Sequence[Route],
    store: StoreDoor,
    *,
    clock: StandingClock | None = None,
    schemas: Mapping[str, Any] | None = None,
    configuration: Callable[[], OrgConfiguration] = OrgConfiguration,
    api_requests_per_minute: int = API.requests_per_minute,
) -> AsyncIterator[aiohttp.ClientSession]:
    """A client whose paths are those of the app."""
    app = OrgApp(
        routes,
        schemas or {},
        store,
        NothingToWaitFor(),
        clock or StandingClock(),
        SystemRandomness(),
        lambda: BASE_URL,
        configuration,
        lambda: api_requests_per_minute,
    )
    listening = socket.create_server(("127.0.0.1", 0))
    port = listening.getsockname()[1]
    await app.start(listening)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as client:
            yield client
    finally:
        await app.stop()
