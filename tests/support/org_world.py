"""The org over a SQLite store of the test's own: tokens, a client, and what the store holds."""

import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from support.authority_site import AuthoritySite
from support.org_in_process import NOW, StandingClock, running_app

from gateway.adapters.store import Store
from gateway.model.ids import IdKind, new_id
from gateway.model.org import ApiToken, TokenScope
from gateway.server.org.authentication import new_token, token_sha256
from gateway.server.org.resources import all_routes, all_schemas
from gateway.server.org.store_threads import StoreThreads
from gateway.services.org_configuration import OrgConfiguration


@dataclass(frozen=True)
class OrgWorld:
    store: Store
    client: aiohttp.ClientSession
    clock: StandingClock
    token: str

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = None
    ) -> tuple[int, Any]:
        """(status, JSON of the answer or None)."""
        headers = {"Authorization": f"SSWS {token or self.token}", "User-Agent": "test/1"}
        async with self.client.request(method, path, json=body, headers=headers) as response:
            text = await response.text()
            return response.status, await response.json() if text else None

    async def get(self, path: str) -> Any:
        status, value = await self.ask("GET", path)
        assert status == 200, value
        return value

    async def do(self, method: str, path: str, body: Any = None) -> Any:
        """What must be done."""
        status, value = await self.ask(method, path, body)
        assert 200 <= status < 300, value
        return value

    def authority(self) -> AuthoritySite:
        """A certification authority in the store, with keys in memory; its people and devices, too."""
        site = AuthoritySite(self.store, now=self.clock.now())
        site.initialise()
        return site

    def events(self) -> list[str]:
        """Types of the System Log's events, in their order."""
        with self.store.read() as view:
            return [json.loads(row.event_json)["eventType"] for row in view.log.rows()]

    def changes(self) -> list[tuple[str, dict[str, object]]]:
        with self.store.read() as view:
            return [(change.kind.value, dict(change.payload)) for change in view.feed.changes_after(0)]


def issue_token(store: Store, scope: TokenScope) -> str:
    token = new_token(scope.value.encode().rjust(32, b"t"))
    with store.begin() as work:
        work.tokens.add(
            ApiToken(
                id=new_id(IdKind.API_TOKEN, scope.value.encode().rjust(13, b"t")),
                name=scope.value,
                scope=scope,
                secret_sha256=token_sha256(token),
                user="admin@example.test",
                created=NOW,
            )
        )
    return token


@asynccontextmanager
async def org_world(
    directory: Path, configuration: Callable[[], OrgConfiguration] = OrgConfiguration
) -> AsyncIterator[OrgWorld]:
    clock = StandingClock()
    store = Store.open(f"sqlite:///{directory}/org.db", clock=clock.now)
    try:
        token = issue_token(store, TokenScope.ADMIN)
        door = StoreThreads(store)
        async with running_app(
            all_routes(), door, clock=clock, schemas=all_schemas(), configuration=configuration
        ) as client:
            yield OrgWorld(store, client, clock, token)
    finally:
        store.close()
