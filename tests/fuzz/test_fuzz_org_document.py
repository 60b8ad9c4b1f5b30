"""Every operation of the OpenAPI document, as it is served: whatever the document allows is answered as the
document says, and never with a fault of ours. Half of the requests name things that there are."""

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)
from support.authority_site import AuthoritySite
from support.enrollment_world import TERMS
from support.org_in_process import running_app
from support.org_values import an_iwa
from support.org_world import issue_token
from support.policy_work import configuration

from gateway.enrollment.endorsement import VendorAuthorities
from gateway.model.org import TokenScope
from gateway.model.settings import AttestationMode, CaSettings
from gateway.server.org.enrollment import EnrollmentRoutes
from gateway.server.org.est import EstRoutes
from gateway.server.org.publication import PublicationRoutes
from gateway.server.org.resources import all_routes, all_schemas
from gateway.server.org.store_threads import StoreThreads
from gateway.services.attesting import Attesting
from gateway.services.policies import rules_of
from gateway.services.policy_files import adopt_files

# Of each operation. All of them together take some twenty seconds.
EXAMPLES = 8
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
POLICY: dict[str, Any] = {
    "name": "Trusted only",
    "default": "deny",
    "rules": [{"name": "Trusted", "platforms": ["windows"], "device_trust": "trusted", "access": "allow"}],
}


@schemathesis.serializer("application/ocsp-request", "application/pkcs10")
def as_bytes(_: Any, value: Any) -> bytes:
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "surrogatepass")


class Served:
    """The org in a thread of its own, over a store that holds one of everything."""

    def __init__(self, directory: Path) -> None:
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._over: asyncio.Event
        self._site = AuthoritySite.create(directory)
        self.token = issue_token(self._site.store, TokenScope.ADMIN)
        self.names: dict[str, str] = self._fill()
        self.url = ""
        self._thread = threading.Thread(target=self._loop.run_until_complete, args=(self._serve(),))
        self._thread.start()
        assert self._ready.wait(20)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)
        self._loop.close()
        self._site.store.close()

    def _fill(self) -> dict[str, str]:
        """Parameter of a path → the name of something that there is."""
        site = self._site
        user, device = site.user(), site.device()
        issued = site.issue(device, user)
        configured = configuration(("wiki", POLICY))
        self._configured = configured
        iwa = an_iwa()
        with site.store.begin() as work:
            work.iwas.add(iwa)
            adopt_files(work, configured, site.occasion())
        with site.store.read() as view:
            (policy,) = view.policies.all()
            (token, *_) = view.tokens.all()
            return {
                "userId": user.id,
                "deviceId": device.id,
                "thumbprint": issued.row.thumbprint or "",
                "authorityId": issued.row.authority_id,
                "policyId": policy.id,
                "ruleId": str(rules_of(policy)[0]["id"]),
                "tokenId": token.id,
                "iwaId": iwa.id,
            }

    async def _serve(self) -> None:
        self._over = asyncio.Event()
        publication = PublicationRoutes(self._site.keys, CaSettings)
        est = EstRoutes(self._site.keys, CaSettings, bytes(32))
        enrollment = EnrollmentRoutes(
            self._site.keys,
            lambda: TERMS,
            bytes(32),
            lambda _: None,
            Attesting(lambda: AttestationMode.ACCEPTED, VendorAuthorities, bytes(32), self._site.randomness),
        )
        routes = (*all_routes(), *publication.routes, *est.routes, *enrollment.routes)
        async with running_app(
            routes,
            StoreThreads(self._site.store),
            schemas=all_schemas(),
            configuration=lambda: self._configured,
        ) as client:
            self.url = str(client._base_url).rstrip("/")
            self._ready.set()
            await self._over.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    served = Served(tmp_path_factory.mktemp("served"))
    yield served
    served.stop()


def test_every_operation_is_answered_as_the_document_says(served: Served) -> None:
    answer = requests.get(f"{served.url}/api/v1/openapi.json", timeout=20)
    schema = schemathesis.openapi.from_dict(answer.json())
    operations = [result.ok() for result in schema.get_all_operations()]
    assert len(operations) > 70
    failures = {operation.label: failure for operation in operations if (failure := _try(operation, served))}
    assert not failures, "\n\n".join(f"{label}: {failure}" for label, failure in failures.items())


def _try(operation: Any, served: Served) -> str:
    """What was found; empty: nothing."""
    known = {
        parameter.name: served.names[parameter.name]
        for parameter in operation.path_parameters
        if parameter.name in served.names
    }
    # The token that all of this is done with has to stay.
    if operation.label == "DELETE /api/v1/api-tokens/{tokenId}":
        known = {}
    strategies: list[Callable[[], Any]] = [operation.as_strategy()]
    if operation.body or operation.query:
        wrong = operation.as_strategy(generation_mode=GenerationMode.NEGATIVE, path_parameters=known or None)
        strategies.append(wrong)
    if known:
        strategies.append(operation.as_strategy(path_parameters=known))

    @given(case=st.one_of(strategies))
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    def run(case: Any) -> None:
        case.call_and_validate(
            base_url=served.url,
            headers={"Authorization": f"SSWS {served.token}"},
            checks=CHECKS,
            timeout=20,
        )

    try:
        run()
    except (AssertionError, BaseExceptionGroup) as found:
        return "\n".join(map(str, getattr(found, "exceptions", [found])))
    return ""
