"""The org with its `/enroll/…`, over a SQLite store of the test's own, and IWA web apps without Kerberos."""

import json
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from support.authority_site import AuthoritySite, KeysInMemory, SystemRandomness
from support.enrollment import ALICE, AUDIENCE, MadeUpIwa
from support.org_in_process import StandingClock, running_app
from support.org_world import OrgWorld, issue_token
from support.own_authority import request_der

from gateway.adapters.store import Store
from gateway.enrollment.endorsement import VendorAuthorities
from gateway.enrollment.proofs import ProofAct, ProofClaims, sign_proof
from gateway.enrollment.thumbprints import key_thumbprint
from gateway.model.org import TokenScope, User, UserSource
from gateway.server.org.enrollment import EnrollmentRoutes
from gateway.server.org.enrollment_certificates import Outcome
from gateway.server.org.est import EstRoutes
from gateway.server.org.resources import all_routes, all_schemas
from gateway.server.org.store_threads import StoreThreads
from gateway.services.attesting import Attesting
from gateway.services.enrollment_terms import EnrollmentTerms
from gateway.services.org_configuration import OrgConfiguration

TERMS = EnrollmentTerms("acme", "mtls.example.test")
MASTER_SECRET = b"m" * 32


def new_key() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def csr_pem(key: ec.EllipticCurvePrivateKey) -> str:
    request = x509.load_der_x509_csr(request_der(key))
    return request.public_bytes(Encoding.PEM).decode()


def a_proof(
    certificate_der: bytes,
    key: ec.EllipticCurvePrivateKey,
    nonce: str,
    now: Any,
    act: ProofAct = ProofAct.RENEW,
    new: Any = None,
    **others: Any,
) -> str:
    """``new``: the public key of the request that goes with it."""
    claims = ProofClaims(
        secrets.token_hex(8),
        AUDIENCE,
        act,
        nonce,
        now,
        now + timedelta(minutes=5),
        None if new is None else key_thumbprint(new),
    )
    return sign_proof(
        replace(claims, **others), certificate_der, lambda data: key.sign(data, ec.ECDSA(hashes.SHA256()))
    )


@dataclass(frozen=True)
class Enrolled:
    key: ec.EllipticCurvePrivateKey
    answer: dict[str, Any]

    @property
    def der(self) -> bytes:
        certificate = x509.load_pem_x509_certificate(self.answer["certificate"].encode())
        return certificate.public_bytes(Encoding.DER)

    @property
    def thumbprint(self) -> str:
        return str(self.answer["thumbprint"])


@dataclass(frozen=True)
class EnrollmentWorld(OrgWorld):
    keys: KeysInMemory = field(default_factory=KeysInMemory)
    iwas: dict[str, MadeUpIwa] = field(default_factory=dict)
    terms: list[EnrollmentTerms] = field(default_factory=lambda: [TERMS])
    outcomes: list[Outcome] = field(default_factory=list)
    tpm_vendors: list[VendorAuthorities] = field(default_factory=lambda: [VendorAuthorities()])

    def log(self) -> list[dict[str, Any]]:
        """All events of the System Log, in their order."""
        with self.store.read() as view:
            return [json.loads(row.event_json) for row in view.log.rows()]

    def token_for(self, scope: TokenScope) -> str:
        return issue_token(self.store, scope)

    def site(self) -> AuthoritySite:
        """A certification authority in the store, whose keys the org has."""
        site = AuthoritySite(self.store, now=self.clock.now(), keys=self.keys)
        site.initialise()
        return site

    def site_now(self) -> AuthoritySite:
        return AuthoritySite(self.store, now=self.clock.now(), keys=self.keys)

    def set_terms(self, **enrollment: Any) -> None:
        terms = self.terms[0]
        self.terms[0] = replace(terms, enrollment=replace(terms.enrollment, **enrollment))

    def ad_user(self, login: str = ALICE.login, **others: Any) -> User:
        site = AuthoritySite(self.store, now=self.clock.now())
        user = replace(site.user(login), source=UserSource.AD, **others)
        with self.store.begin() as work:
            work.users.update(user)
        return user

    async def register(self, iwa: MadeUpIwa) -> MadeUpIwa:
        made = await self.do("POST", "/api/v1/iwas", iwa.registration())
        iwa.id = made["id"]
        self.iwas[iwa.name] = iwa
        return iwa

    async def discovery(self) -> Any:
        return await self.get("/enroll/discovery")

    async def nonce(self) -> str:
        return str((await self.discovery())["nonce"])

    async def tell(self, report: str) -> Any:
        return await self.do("POST", "/enroll/iwa/report", {"report": report})

    async def ask_for_certificate(
        self, iwa: MadeUpIwa, key: ec.EllipticCurvePrivateKey, token: str | None = None, **body: Any
    ) -> tuple[int, Any]:
        """``token`` None: a fresh one for this key."""
        if token is None:
            token = iwa.user_token(await self.nonce(), key.public_key(), now=self.clock.now())
        asked = {"user_token": token, "csr": csr_pem(key), "replaces": None, "platform": "LINUX"}
        return await self.ask("POST", "/enroll/certificate", {**asked, "agent_version": "1.0", **body})

    async def enrolled(self, iwa: MadeUpIwa, **body: Any) -> Enrolled:
        key = new_key()
        status, answer = await self.ask_for_certificate(iwa, key, **body)
        assert status == 200, answer
        self.clock.advance(seconds=1)  # certificates are in the order in which they were made
        return Enrolled(key, answer)

    async def enrolled_with(self, iwa: MadeUpIwa, **claims: Any) -> tuple[int, Any]:
        """With other claims in the token."""
        key = new_key()
        nonce = claims.pop("nonce", None) or await self.nonce()
        token = iwa.user_token(nonce, key.public_key(), now=self.clock.now(), **claims)
        return await self.ask_for_certificate(iwa, key, token)

    async def renew(self, former: Enrolled, *, force: bool = False, **others: Any) -> tuple[int, Any]:
        key = new_key()
        proof = a_proof(
            former.der, former.key, await self.nonce(), self.clock.now(), new=key.public_key(), **others
        )
        return await self.ask("POST", "/enroll/renew", {"proof": proof, "csr": csr_pem(key), "force": force})


@asynccontextmanager
async def enrollment_world(
    directory: Path | None = None,
    configuration: OrgConfiguration | None = None,
    *,
    url: str | None = None,
    like: EnrollmentWorld | None = None,
) -> AsyncIterator[EnrollmentWorld]:
    """In a SQLite store in the directory, or in the store at ``url``. ``like``: another gateway of its
    fleet."""
    clock = StandingClock() if like is None else like.clock
    store = Store.open(url or f"sqlite:///{directory}/org.db", clock=clock.now)
    if like is None:
        token = issue_token(store, TokenScope.ADMIN)
        world = EnrollmentWorld(store, None, clock, token)  # type: ignore[arg-type]
    else:
        world = replace(like, store=store)
    configured = configuration or OrgConfiguration(org_name="acme")
    try:
        enrollment = EnrollmentRoutes(
            world.keys,
            lambda: world.terms[0],
            MASTER_SECRET,
            world.outcomes.append,
            Attesting(
                lambda: world.terms[0].enrollment.attestation,
                lambda: world.tpm_vendors[0],
                MASTER_SECRET,
                SystemRandomness(),
            ),
        )
        est = EstRoutes(
            world.keys, lambda: world.terms[0].ca, MASTER_SECRET, lambda: world.terms[0].enrollment
        )
        async with running_app(
            (*all_routes(), *enrollment.routes, *est.routes),
            StoreThreads(store),
            clock=clock,
            schemas=all_schemas(),
            configuration=lambda: configured,
        ) as client:
            yield replace(world, client=client)
    finally:
        store.close()
