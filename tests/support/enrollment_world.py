"""The org with its `/enroll/…`, over a SQLite store of the test's own, and IWA web apps without Kerberos."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from support.authority_site import KeysInMemory
from support.enrollment import MadeUpIwa
from support.org_in_process import StandingClock, running_app
from support.org_world import OrgWorld, issue_token

from gateway.adapters.store import Store
from gateway.model.org import TokenScope
from gateway.server.org.enrollment import EnrollmentRoutes
from gateway.server.org.resources import all_routes, all_schemas
from gateway.server.org.store_threads import StoreThreads
from gateway.services.enrollment_terms import EnrollmentTerms
from gateway.services.org_configuration import OrgConfiguration

TERMS = EnrollmentTerms("acme", "mtls.example.test")
MASTER_SECRET = b"m" * 32


@dataclass(frozen=True)
class EnrollmentWorld(OrgWorld):
    keys: KeysInMemory = field(default_factory=KeysInMemory)
    iwas: dict[str, MadeUpIwa] = field(default_factory=dict)
    terms: list[EnrollmentTerms] = field(default_factory=lambda: [TERMS])

    def log(self) -> list[dict[str, Any]]:
        """All events of the System Log, in their order."""
        with self.store.read() as view:
            return [json.loads(row.event_json) for row in view.log.rows()]

    def token_for(self, scope: TokenScope) -> str:
        return issue_token(self.store, scope)

    def set_terms(self, **enrollment: Any) -> None:
        terms = self.terms[0]
        self.terms[0] = replace(terms, enrollment=replace(terms.enrollment, **enrollment))

    async def register(self, iwa: MadeUpIwa) -> MadeUpIwa:
        made = await self.do("POST", "/api/v1/iwas", iwa.registration())
        iwa.id = made["id"]
        self.iwas[iwa.name] = iwa
        return iwa

    async def discovery(self) -> Any:
        return await self.get("/enroll/discovery")

    async def tell(self, report: str) -> Any:
        return await self.do("POST", "/enroll/iwa/report", {"report": report})


@asynccontextmanager
async def enrollment_world(directory: Path) -> AsyncIterator[EnrollmentWorld]:
    clock = StandingClock()
    store = Store.open(f"sqlite:///{directory}/org.db", clock=clock.now)
    terms = [TERMS]
    try:
        enrollment = EnrollmentRoutes(lambda: terms[0], MASTER_SECRET)
        async with running_app(
            (*all_routes(), *enrollment.routes),
            StoreThreads(store),
            clock=clock,
            schemas=all_schemas(),
            configuration=lambda: OrgConfiguration(org_name="acme"),
        ) as client:
            yield EnrollmentWorld(store, client, clock, issue_token(store, TokenScope.ADMIN), terms=terms)
    finally:
        store.close()
