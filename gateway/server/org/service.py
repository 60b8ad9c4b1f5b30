"""The org that runs: the store, the follower of its changes, the HTTP server on the Unix socket, and what
goes on beside them.

The store may come later than all else, and go: requests are then answered with 503, the data plane goes on
with what it has.
"""

import asyncio
import secrets
import socket
from collections.abc import Iterable

from prometheus_client import CollectorRegistry

from gateway.adapters.ca_keys import CaKeys
from gateway.adapters.memory import SystemClock, SystemRandomness
from gateway.adapters.store import Store, View
from gateway.adapters.store.watch import FeedWatch
from gateway.model.settings import CaSettings
from gateway.model.store_errors import StoreError
from gateway.server.org.adoption import FileAdoption
from gateway.server.org.app import OrgApp
from gateway.server.org.crl_publisher import CrlPublisher
from gateway.server.org.enrollment import EnrollmentRoutes
from gateway.server.org.enrollment_counts import EnrollmentCounts
from gateway.server.org.est import EstRoutes
from gateway.server.org.fleet import Fleet, FleetMember
from gateway.server.org.following import Follower
from gateway.server.org.housekeeping import Housekeeping
from gateway.server.org.iwa_watch import IwaWatch
from gateway.server.org.log_intake import LogIntake
from gateway.server.org.opening import OpeningStore
from gateway.server.org.plain_http import PlainHttp
from gateway.server.org.publication import PublicationRoutes
from gateway.server.org.reporting import Reporting, new_record
from gateway.server.org.resources import all_routes, all_schemas
from gateway.server.org.state_keeping import StateKeeping
from gateway.server.org_process import Surroundings
from gateway.services.attesting import Attesting
from gateway.services.enrollment_terms import EnrollmentTerms, enrollment_terms
from gateway.services.material import Material
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.org_process_material import OrgMaterial
from gateway.services.org_state import OrgStateSent, org_state
from gateway.services.zone_sets import state_zones

_HTTPS_PORT = 443
_LISTEN_AGAIN_SECONDS = 2.0
_FORGET_SECONDS = 2.0
_SERIALS_KEY_BYTES = 20


class OrgService:
    """An `Org`. Made on the running loop."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._voice = surroundings.voice
        self._log = surroundings.log
        self._listen_http = surroundings.material.settings.listen_http
        self._material = _org_material(surroundings.material)
        self._enrollment = enrollment_terms(self._material)
        self._clock = SystemClock()
        settings = surroundings.material.settings
        url = settings.store_url
        assert url is not None, "without a store there is no org"
        self._is_shared = not url.startswith("sqlite:")
        self._serials_key = secrets.token_bytes(_SERIALS_KEY_BYTES)
        self._record = new_record(settings, surroundings.keys, self._clock)
        self._store = OpeningStore(url, self._cannot_open)
        self._told_closed = False
        self._follower: Follower | None = None
        self._fleet = Fleet(
            self._record.name, self._clock, self._others if self._is_shared else None, self._told
        )
        self._reporting = Reporting(
            self._record,
            self._store,
            self._fleet,
            self._clock,
            shared=self._is_shared,
            other_keys=lambda name: self._log.note("keys_differ", gateway=name),
        )
        ca_keys = CaKeys(self._ca, settings.keys_directory)
        publication = PublicationRoutes(ca_keys, self._ca)
        est = EstRoutes(
            ca_keys, self._ca, surroundings.keys.master_secret, lambda: self._enrollment.enrollment
        )
        self.registry = CollectorRegistry()
        enrollment = EnrollmentRoutes(
            ca_keys,
            self._enrollment_terms,
            surroundings.keys.master_secret,
            EnrollmentCounts(self.registry, self._log).tell,
            Attesting(
                lambda: self._enrollment.enrollment.attestation,
                lambda: self._material.tpm_vendors,
                surroundings.keys.master_secret,
                SystemRandomness(),
            ),
        )
        self._publisher = CrlPublisher(self._store, ca_keys, self._ca, self._clock, self._tell_of_lists)
        self._plain_http = PlainHttp(
            publication.routes, self._store, self._fleet, self._clock, SystemRandomness()
        )
        self._adoption = FileAdoption(self._store, self._clock, self._organization)
        self._app = OrgApp(
            (*all_routes(), *publication.routes, *est.routes, *enrollment.routes),
            all_schemas(),
            self._store,
            self._fleet,
            self._clock,
            SystemRandomness(),
            self._base_url,
            self._organization,
            lambda: self._material.settings.limits.max_api_requests_per_minute,
        )
        self._intake = LogIntake(
            self._store, settings.keys_directory, lambda: self._material.settings.ca, surroundings.log
        )
        self._keeping = StateKeeping(
            settings.keys_directory, lambda detail: self._log.note("org_state_not_kept", detail=detail)
        )

    async def start(self, listening: socket.socket) -> None:
        await self._app.start(listening)

    async def run(self) -> None:
        store = await self._store.open()
        try:
            async with FeedWatch(store, lambda _: self._fleet.others_moved()) as watch:
                await self._work(store, watch)
        finally:
            await asyncio.to_thread(store.close)

    async def drain(self) -> None:
        await self._plain_http.stop()
        await self._app.stop()
        try:
            async with asyncio.timeout(_FORGET_SECONDS):
                await self._reporting.forget()
        except (StoreError, TimeoutError):
            return  # others wait for this gateway until it is forgotten by its age

    def replace_configuration(self, material: Material) -> None:
        self._material = _org_material(material)
        self._enrollment = enrollment_terms(self._material)
        self._adoption.again()

    def applied(self, worker: int, number: int) -> None:
        self._fleet.applied(worker, number)
        self._reporting.applied()

    def workers(self, live: frozenset[int]) -> None:
        self._fleet.workers(live)
        self._reporting.applied()

    async def _work(self, store: Store, watch: FeedWatch) -> None:
        follower = self._follower = Follower(
            self._store,
            self._state,
            watch.wait,
            self._voice,
            self._clock,
            self._went_back,
            told_state=lambda state: self._keeping.keep(state.lasting),
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(follower.run(), name="follower")
            group.create_task(self._reporting.run(), name="report")
            group.create_task(self._app.run(), name="tokens")
            group.create_task(self._publisher.run(), name="CRLs")
            group.create_task(self._listen_plain(), name="plain HTTP")
            group.create_task(self._housekeeping().run(), name="housekeeping")
            group.create_task(IwaWatch(self._store, self._clock).run(), name="IWA web apps")
            group.create_task(self._adoption.run(), name="policy files")
            group.create_task(self._intake.run(), name="System Log")
            group.create_task(self._keeping.run(), name="state on disk")

    def _housekeeping(self) -> Housekeeping:
        return Housekeeping(self._store, self._clock, lambda: self._material.settings.system_log.retention)

    def _state(self, view: View) -> OrgStateSent:
        return org_state(view, lambda: state_zones(view), self._serials_key)

    def _cannot_open(self, detail: str) -> None:
        if not self._told_closed:
            self._told_closed = True
            self._voice.store(reachable=False, since=self._clock.now(), detail=detail)

    def _told(self) -> int | None:
        return None if self._follower is None else self._follower.number

    def _went_back(self, told: int, now: int) -> None:
        self._fleet.went_back()
        self._log.note("store_went_back", told=told, now=now)

    async def _others(self) -> Iterable[FleetMember]:
        def read(view: View) -> list[FleetMember]:
            workers = view.gateways.workers()
            return [
                FleetMember(gateway, tuple(each for each in workers if each.gateway_id == gateway.id))
                for gateway in view.gateways.all()
                if gateway.id != self._record.id
            ]

        return await self._store.read(read)

    def _base_url(self) -> str:
        settings = self._material.settings
        port = "" if settings.public_port == _HTTPS_PORT else f":{settings.public_port}"
        return f"https://{settings.org_host}{port}"

    async def _listen_plain(self) -> None:
        """An address that is taken must not keep the org from its work: it is tried again."""
        told = False
        while True:
            try:
                await self._plain_http.start(self._listen_http)
            except OSError as problem:
                if not told:
                    self._log.note("plain_http_failed", detail=f"{problem.filename}: {problem.strerror}")
                told = True
                await asyncio.sleep(_LISTEN_AGAIN_SECONDS)
            else:
                return

    def _ca(self) -> CaSettings:
        return self._material.settings.ca

    def _enrollment_terms(self) -> EnrollmentTerms:
        return self._enrollment

    def _tell_of_lists(self, problem: str | None) -> None:
        if problem is None:
            self._log.note("crls_signed_again")
        else:
            self._log.note("crls_not_signed", detail=problem)

    def _organization(self) -> OrgConfiguration:
        return self._material.organization


def _org_material(material: Material) -> OrgMaterial:
    assert isinstance(material, OrgMaterial), "the org's own loader made it"
    return material
