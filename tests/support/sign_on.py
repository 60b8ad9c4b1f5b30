"""A gateway without sockets: one app, its identity provider and devices, and the hops of a sign-on as calls.

Time stands still until a test moves it; random bytes count up, so that two runs are the same.
"""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from ipaddress import ip_address
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import SECP256R1, generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding
from support import messages, pki, policies

from gateway.adapters.memory import MemoryOneUseKeys, MemorySeenRequests
from gateway.federation.metadata import IdpMetadata, SingleSignOnUrl
from gateway.model.device import PeerCertificate
from gateway.model.events import Event
from gateway.model.settings import (
    AppSettings,
    AuthoritySettings,
    ChallengeMode,
    DeviceFrom,
    Enforcement,
    FederationProtocol,
    GatewaySettings,
    IdentityProviderSettings,
    Upstream,
    UserFrom,
)
from gateway.model.spooling import SystemLogFull
from gateway.pki.authority import TrustSnapshot, authority_from
from gateway.pki.certificate import parse_certificate
from gateway.pki.crl import parse_crl
from gateway.pki.revocation import RevocationIndex
from gateway.policy.rules import Policy
from gateway.proxy.cookies import split_cookies
from gateway.proxy.sealing import Sealer
from gateway.proxy.targets import take_ticket
from gateway.services.access import Access
from gateway.services.arrivals import Arrival, ChallengeArrival, PostedMessage
from gateway.services.challenges import Challenges
from gateway.services.decisions import Decisions
from gateway.services.material import Material
from gateway.services.outcomes import HeaderField, Outcome, PostOn, Redirect
from gateway.services.pending import PendingChallenges
from gateway.services.sessions import Sessions
from gateway.services.snapshot import Live, Snapshot, build_snapshot
from gateway.services.statements import StatementSigner
from gateway.system_log.spooled import SpooledEvent

CHROME_ON_WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/130.0.0.0 Safari/537.36"
)
FORM = b"application/x-www-form-urlencoded"
STATEMENT_KEY = generate_private_key(SECP256R1())

TRUSTED_WINDOWS_ONLY = policies.policy(
    policies.rule("Trusted Windows", platforms=["windows"], device_trust="trusted")
)


class FrozenClock:
    def __init__(self, now: datetime) -> None:
        self._now = now

    def now(self) -> datetime:
        return self._now

    def advance(self, **offset: float) -> None:
        self._now += timedelta(**offset)


class CountingRandomness:
    def __init__(self) -> None:
        self._count = 0

    def bytes(self, count: int) -> bytes:
        self._count += 1
        return sha256(self._count.to_bytes(8)).digest()[:count]


@dataclass
class Recorder:
    """An event sink that keeps everything."""

    events: list[Event] = field(default_factory=list)

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def of(self, kind: type[Any]) -> list[Any]:
        return [event for event in self.events if isinstance(event, kind)]


class RecordingSystemLog:
    """A System Log that keeps everything, until it is ``full``."""

    def __init__(self) -> None:
        self.kept: list[SpooledEvent] = []
        self.full = False

    def require_room(self) -> None:
        if self.full:
            raise SystemLogFull("full")

    def keep(self, event: SpooledEvent) -> None:
        self.require_room()
        self.kept.append(event)


class CookieJar:
    """The gateway's cookies in one browser."""

    def __init__(self) -> None:
        self.cookies: dict[bytes, bytes] = {}

    def take(self, fields: tuple[HeaderField, ...]) -> None:
        for name, value in fields:
            assert name == b"Set-Cookie"
            cookie, _, attributes = value.partition(b";")
            cookie_name, _, cookie_value = cookie.partition(b"=")
            if b"Max-Age=0;" in attributes:
                self.cookies.pop(cookie_name, None)
            else:
                self.cookies[cookie_name] = cookie_value


class SignOnWorld:
    """One gateway with the app ``wiki``. Arguments change what the app's configuration says."""

    def __init__(
        self,
        policy: Policy = TRUSTED_WINDOWS_ONLY,
        *,
        protocol: FederationProtocol = FederationProtocol.SAML2,
        challenge: ChallengeMode = ChallengeMode.FORM,
        enforcement: Enforcement = Enforcement.SIGN_ON,
        user_binding_required: bool = True,
        device_trust_enabled: bool = True,
        builtin: bool = False,
        **app_changes: Any,
    ) -> None:
        self.clock = FrozenClock(messages.NOW)
        self.authority = pki.Authority.create_root("MTLS Certificate Authority", now=messages.NOW)
        self.foreign = pki.Authority.create_root("Another Authority", now=messages.NOW)
        self.recorder = Recorder()
        self.reference = "ref-0001"
        authority_settings = AuthoritySettings(
            "corp",
            "corp.pem",
            ("corp.crl",),
            None,
            user_binding_required,
            DeviceFrom.SAN_URI,
            UserFrom.SAN_UPN,
            builtin,
        )
        app_settings = AppSettings(
            name="wiki",
            label="Team wiki",
            host="wiki.apps.example.test",
            upstreams=(Upstream("http", "127.0.0.1", 9000),),
            protocol=protocol,
            identity_provider="idp",
            entity_id=messages.AUDIENCE,
            assertion_endpoints=("/saml/acs",),
            policy_file="wiki.yaml",
            challenge=challenge,
            enforcement=enforcement,
            **app_changes,
        )
        other_settings = AppSettings(
            name="payroll",
            label="Payroll",
            host="payroll.apps.example.test",
            upstreams=(Upstream("http", "127.0.0.1", 9001),),
            protocol=protocol,
            identity_provider="idp",
            entity_id=messages.AUDIENCE,
            assertion_endpoints=("/saml/acs",),
            policy_file="wiki.yaml",
        )
        settings = GatewaySettings(
            source="gateway.yaml",
            org_name="acme",
            org_host="sso.example.test",
            mtls_domain="mtls.example.test",
            listen_https=(),
            listen_metrics=None,
            workers=1,
            http2=True,
            public_port=443,
            mtls_minimum_version="1.2",
            certificates=(),
            device_trust_enabled=device_trust_enabled,
            learn_more_url="https://help.example.test/device-trust",
            authorities=(authority_settings,),
            identity_providers=(IdentityProviderSettings("idp", protocol, "idp.xml"),),
            zones=(),
            trusted_proxies=(),
            apps=(app_settings, other_settings),
            keys_directory="var/keys",
        )
        certificate = parse_certificate(self.authority.certificate.public_bytes(Encoding.DER))
        self._authorities = (authority_from(authority_settings, [certificate]),)
        metadata = IdpMetadata(
            messages.ISSUER,
            (messages.rsa_key().public_key(),),
            (SingleSignOnUrl("redirect", "https://idp.example.test/sso"),),
            None,
        )
        trust = TrustSnapshot(device_trust_enabled, self._authorities, RevocationIndex(), 1)
        self.live: Live[Snapshot] = Live(
            build_snapshot(
                Material(
                    settings,
                    (),
                    self._authorities,
                    {"idp": metadata},
                    {"wiki": policy, "payroll": policy},
                    {},
                ),
                trust,
            )
        )
        self.revoke()
        randomness = CountingRandomness()
        self.one_use_keys = MemoryOneUseKeys()
        self.seen_requests = MemorySeenRequests()
        self.pending = PendingChallenges()
        sealer = Sealer(b"m" * 32)
        self.system_log = RecordingSystemLog()
        decisions = Decisions(self.live, self.clock, self.recorder, self.system_log)
        self.challenges = Challenges(
            self.live,
            sealer,
            self.one_use_keys,
            self.pending,
            self.clock,
            randomness,
            self.recorder,
            self.system_log,
        )
        self.sessions = Sessions(self.live, decisions, self.challenges, sealer, self.clock, randomness)
        self.access = Access(
            decisions,
            self.challenges,
            self.sessions,
            self.one_use_keys,
            self.seen_requests,
            self.clock,
            self.recorder,
        )
        self.signer = StatementSigner("acme", [STATEMENT_KEY])

    def revoke(self, *credentials: pki.Credential) -> None:
        """Publish a CRL with these certificates; it counts at once."""
        index = self.live.current.trust.revocation
        crl = parse_crl(
            self.authority.crl(credentials, now=self.clock.now()), self._authorities[0].certificates
        )
        self.live.replace(self.live.current.with_revocation(index.with_crl(crl)))

    def device(
        self,
        name: str = "urn:device:laptop-1",
        user: str | None = "alice@example.test",
        *,
        authority: pki.Authority | None = None,
        **changes: Any,
    ) -> pki.Credential:
        return (authority or self.authority).issue_client(name, user, now=messages.NOW, **changes)

    def browser(self) -> "SignOnBrowser":
        return SignOnBrowser(self)


class SignOnBrowser:
    """A browser that a test drives hop by hop."""

    def __init__(self, world: SignOnWorld) -> None:
        self.world = world
        self.jar = CookieJar()
        self.user_agent: str | None = CHROME_ON_WINDOWS
        self.ip = "203.0.113.7"

    def arrival(
        self, target: str, method: str = "POST", *, app: str = "wiki", origin: str | None = None
    ) -> Arrival:
        plain, ticket = take_ticket(target.encode())
        field = b"; ".join(name + b"=" + value for name, value in self.jar.cookies.items())
        return Arrival(
            app=self.world.live.current.apps_by_name[app],
            method=method,
            target=plain,
            ticket=ticket,
            cookies=split_cookies([field] if field else [])[0],
            ip=ip_address(self.ip),
            user_agent=self.user_agent,
            origin=origin,
            reference_id=self.world.reference,
            navigation=method == "GET",
        )

    async def post(
        self,
        body: bytes,
        target: str = "/saml/acs",
        *,
        app: str = "wiki",
        origin: str | None = "https://idp.example.test",
        content_type: bytes = FORM,
    ) -> Outcome:
        arrival = self.arrival(target, app=app, origin=origin)
        outcome = await self.world.access.sign_on(PostedMessage(arrival, content_type, body))
        self.jar.take(outcome.response_fields)
        return outcome

    def challenge(
        self, begun: Outcome, credential: pki.Credential | None, *, label: str | None = None
    ) -> Outcome:
        """Go to the mTLS host that the first answer names, with a certificate or without."""
        assert isinstance(begun, PostOn | Redirect)
        url = begun.form.action if isinstance(begun, PostOn) else begun.location
        host, _, query = url.removeprefix("https://").partition("/challenge?flow=")
        return self.world.challenges.answer(
            ChallengeArrival(
                label=label or host.partition(".")[0],
                method="GET" if isinstance(begun, Redirect) and begun.status == 303 else "POST",
                flow_token=query,
                peer=None if credential is None else peer_certificate(credential),
                ip=ip_address(self.ip),
                reference_id="ref-mtls",
            )
        )

    async def sign_on(self, body: bytes, credential: pki.Credential | None) -> Outcome:
        """All hops."""
        begun = await self.post(body)
        if not isinstance(begun, PostOn | Redirect):
            return begun
        answered = self.challenge(begun, credential)
        assert isinstance(answered, Redirect), answered
        return await self.post(body, return_target(answered), origin="null")


def peer_certificate(credential: pki.Credential) -> PeerCertificate:
    return PeerCertificate(
        credential.certificate.public_bytes(Encoding.DER),
        tuple(c.public_bytes(Encoding.DER) for c in credential.intermediates),
    )


def return_target(answered: Outcome) -> str:
    assert isinstance(answered, Redirect), answered
    return answered.location.removeprefix("https://wiki.apps.example.test")


def saml_body(user: str = "alice@example.test", assertion_id: str = "_assertion1", **changes: Any) -> bytes:
    """A posted Response, its assertion signed by the identity provider."""
    assertion = messages.Saml2Assertion(user=user, assertion_id=assertion_id, **changes)
    signed = messages.sign(
        messages.Saml2Response().xml(assertion.xml()), "assertion", assertion_id=assertion_id
    )
    return messages.body_of(messages.saml_form(signed))
