"""A computer, an org and an IWA web app in memory, for runs of the agent as dialogues.

The org issues with a real authority, the keys are real files; the stores of browsers are dictionaries.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar, cast

from support.own_authority import OwnAuthority

from gateway.agent.discovery import AttestationRule, Discovery, Iwa
from gateway.agent.enrolled import Enrolled
from gateway.agent.http import ClientCertificate
from gateway.agent.iwa_client import Asked, IwaClient
from gateway.agent.keys.device_key import KeyKeeper
from gateway.agent.keys.file import FileKey, FileKeys
from gateway.agent.keys.keepers import ConfiguredKeepers
from gateway.agent.negotiate import StartConversation
from gateway.agent.org_client import CertificateWanted, OrgClient
from gateway.agent.outcome import Outcome, RunOptions
from gateway.agent.plan import Standing
from gateway.agent.platform import (
    EVENT_ID,
    BrowserPolicy,
    Change,
    Credential,
    EventLevel,
    FoundCertificate,
    PlatformRequest,
    Schedule,
    Setting,
    StoreKind,
)
from gateway.agent.refusal import LocalRefusal, Refusal, Refused
from gateway.agent.run import Run
from gateway.agent.settings import Settings
from gateway.agent.steps import Means
from gateway.agent.trace import NoTrace
from gateway.agent.vault import Vault
from gateway.enrollment.proofs import verify_proof
from gateway.enrollment.refusals import EXPLANATIONS, EnrollmentRefusal
from gateway.enrollment.thumbprints import key_thumbprint
from gateway.pki.certificate import Certificate
from gateway.pki.certification_request import parse_certification_request
from gateway.pki.issuance import DeviceIdentity

BEGINNING = datetime(2026, 11, 26, 9, tzinfo=UTC)
AUDIENCE = "urn:devicetrust:org:acme"
STORE = "/home/alice/.pki/nssdb"
IDENTITY = DeviceIdentity("urn:device:ws-42", "alice@example.test", "ws-42")
HQ = Iwa("iwa1", "hq-1", "https://iwa1.corp.example.test/iwa", primary=True, online=True)
BRANCH = Iwa("iwa2", "branch", "https://iwa2.corp.example.test/iwa", primary=False, online=True)

Result = TypeVar("Result")


class Killed(BaseException):
    """The process ends here."""


@dataclass(slots=True)
class Effects:
    """Counts what a run changes, here and at the org, and ends it at one of them: before it, or after."""

    kill_at: int | None = None
    afterwards: bool = False
    done: list[str] = field(default_factory=list)

    def around(self, what: str, effect: Callable[[], Result]) -> Result:
        now = len(self.done) == self.kill_at
        self.done.append(what)
        if now and not self.afterwards:
            raise Killed(what)
        result = effect()
        if now:
            raise Killed(what)
        return result


def refusal(code: EnrollmentRefusal | LocalRefusal, *, transient: bool | None = None) -> Refused:
    """As the clients raise it."""
    if isinstance(code, EnrollmentRefusal):
        told = EXPLANATIONS[code]
        passes = told.transient if transient is None else transient
        return Refused(Refusal(code.value, told.sentence, told.remedy, transient=passes))
    return Refused(Refusal(code.value, f"{code.value} happened", transient=transient is not False))


class OrgInMemory:
    """Issues, revokes, refuses: ``refusing`` maps a call's name to what it raises."""

    def __init__(self, effects: Effects) -> None:
        self.effects = effects
        self.authority = OwnAuthority(now=BEGINNING)
        self.identity = IDENTITY
        self.revoked: dict[str, Standing] = {}
        self.refusing: dict[str, Refused] = {}
        self.iwas: tuple[Iwa, ...] = (HQ,)
        self.renew_anywhere = True
        self.attestation_rule = AttestationRule.NONE
        self.clock_ahead = timedelta(0)
        self.asked: list[str] = []
        self.issued: list[Certificate] = []
        self.wanted: list[CertificateWanted] = []
        self.forced: list[bool] = []

    def discovery(self) -> Discovery:
        self._hear("discovery")
        return Discovery(
            org="acme",
            audience=AUDIENCE,
            nonce="n0nce",
            time=self.authority.now + self.clock_ahead,
            iwas=self.iwas,
            mtls_domain="mtls.example.test",
            mtls_port=443,
            est_url="https://est.mtls.example.test",
            issuer_common_name="MTLS Certificate Authority",
            issuers=frozenset({self.authority.issuing.sha256.hex()}),
            mtls_certificates=frozenset(),
            renew_before=timedelta(days=30),
            renew_anywhere=self.renew_anywhere,
            attestation=self.attestation_rule,
        )

    def authorities(self) -> tuple[Certificate, ...]:
        self._hear("authorities")
        return self.authority.root, self.authority.issuing

    def standing(self, certificate: Certificate, issuer: Certificate, now: datetime) -> Standing:
        assert issuer == self.authority.issuing
        return self.revoked.get(certificate.thumbprint, Standing.GOOD)

    def attestation(self, body: Mapping[str, Any]) -> Mapping[str, Any]:
        self._hear("attestation")
        return {"session": "s"}

    def certificate(self, user_token: str, wanted: CertificateWanted) -> Enrolled:
        self._hear("certificate")
        assert user_token.startswith("user token for ")
        assert user_token.endswith(key_thumbprint(parse_certification_request(wanted.request_der).public_key))
        self.wanted.append(wanted)
        return self._issued("certificate", wanted.request_der)

    def enrolled_by_code(self, code: str, request_der: bytes, authorities: Sequence[Certificate]) -> Enrolled:
        self._hear("code")
        assert code == "dte_good"
        return self._issued("code", request_der)

    def renewed_over_tls(
        self,
        est_url: str,
        shown: ClientCertificate,
        request_der: bytes,
        authorities: Sequence[Certificate],
        *,
        force: bool,
    ) -> Enrolled:
        self._hear("tls")
        assert shown.certificate.exists()
        assert shown.private_key.exists()
        self.forced.append(force)
        return self._issued("tls", request_der)

    def renewed_with_proof(
        self, request_der: bytes, proof: str, *, force: bool, attestation: Mapping[str, Any] | None = None
    ) -> Enrolled:
        self._hear("proof")
        proven = verify_proof(proof, audience=AUDIENCE, now=self.authority.now)
        assert proven.certificate in self.issued
        self.forced.append(force)
        return self._issued("proof", request_der)

    def _hear(self, call: str) -> None:
        self.asked.append(call)
        if call in self.refusing:
            raise self.refusing[call]

    def _issued(self, how: str, request_der: bytes) -> Enrolled:
        def issue() -> Enrolled:
            certificate = self.authority.issue(self.identity, parse_certification_request(request_der))
            self.issued.append(certificate)
            return Enrolled(certificate, (self.authority.issuing,), device_id="dev1")

        return self.effects.around(f"issue ({how})", issue)


class IwaInMemory:
    def __init__(self, url: str, world: "AgentWorld") -> None:
        self._url = url
        self._world = world

    def user_token(self, asked: Asked, device_token: str, start: StartConversation) -> str:
        self._world.steps.append(f"user token at {self._url}")
        if self._url in self._world.users_refused:
            raise self._world.users_refused[self._url]
        assert device_token == f"device token of {self._url} for {asked.key_thumbprint}"
        return f"user token for {asked.key_thumbprint}"


class ComputerInMemory:
    """A platform whose stores are dictionaries: by store and thumbprint the DER, and whether it has a key."""

    name = "LINUX"
    is_administrator = False

    def __init__(self, directory: Path, effects: Effects) -> None:
        self.data_directory = directory
        self.effects = effects
        self.stores: dict[str, dict[str, tuple[bytes, bool]]] = {STORE: {}}
        self.events: list[tuple[EventLevel, str]] = []
        self.policies: list[BrowserPolicy] = []
        self.full = False

    def settings(self) -> tuple[Setting, ...]:
        return ()

    def save_settings(self, values: Mapping[str, str]) -> Change:
        raise NotImplementedError

    def remove_settings(self) -> Change:
        raise NotImplementedError

    def new_request(self, common_name: str, *, hardware: bool | None = None) -> PlatformRequest | None:
        return None

    def find_certificates(self, issuer_common_names: Sequence[str]) -> tuple[FoundCertificate, ...]:
        return tuple(
            FoundCertificate(StoreKind.NSS, store, thumbprint, der, has_key)
            for store, entries in self.stores.items()
            for thumbprint, (der, has_key) in entries.items()
        )

    def install(self, credential: Credential) -> tuple[Change, ...]:
        def put(entries: dict[str, tuple[bytes, bool]]) -> None:
            found = FoundCertificate(StoreKind.NSS, "", "", credential.certificate_der, True)
            entries[found.thumbprint] = (credential.certificate_der, True)

        changes = []
        for store, entries in self.stores.items():
            if self.full:
                changes.append(Change("certificate", store, False, "the disk is full"))
                continue
            self.effects.around(f"install in {store}", lambda entries=entries: put(entries))  # type: ignore[misc]
            changes.append(Change("certificate", store, True))
        return tuple(changes)

    def remove(self, found: FoundCertificate) -> Change:
        self.effects.around(
            f"remove from {found.store}", lambda: self.stores[found.store].pop(found.thumbprint)
        )
        return Change("certificate", found.store, True)

    def set_up_browsers(self, policy: BrowserPolicy) -> tuple[Change, ...]:
        self.policies.append(policy)
        return ()

    def remove_browser_setup(self) -> tuple[Change, ...]:
        return ()

    def schedule(self, schedule: Schedule) -> tuple[Change, ...]:
        return ()

    def unschedule(self) -> tuple[Change, ...]:
        return ()

    def log_event(self, level: EventLevel, message: str, event_id: int = EVENT_ID) -> None:
        assert event_id == EVENT_ID
        self.events.append((level, message))


class CountedVault(Vault):
    def __init__(self, directory: Path, effects: Effects) -> None:
        super().__init__(directory)
        self._effects = effects

    def save_state(self, state: Any) -> None:
        self._effects.around("save the state", lambda: Vault.save_state(self, state))

    def save_certificate(self, name: str, certificate: Any, chain: Any) -> None:
        self._effects.around(
            "save the certificate", lambda: Vault.save_certificate(self, name, certificate, chain)
        )

    def begin(self, name: str) -> None:
        self._effects.around("begin", lambda: Vault.begin(self, name))

    def end(self, name: str) -> None:
        self._effects.around("end", lambda: Vault.end(self, name))

    def remove_certificate(self, name: str) -> None:
        self._effects.around("remove the certificate", lambda: Vault.remove_certificate(self, name))


class CountedKeys(FileKeys):
    def __init__(self, directory: Path, effects: Effects) -> None:
        super().__init__(directory)
        self._effects = effects

    def create(self, name: str) -> FileKey:
        return self._effects.around("make a key", lambda: FileKeys.create(self, name))

    def delete(self, name: str) -> None:
        self._effects.around("delete a key", lambda: FileKeys.delete(self, name))


class CountedKeepers(ConfiguredKeepers):
    def __init__(self, settings: Settings, platform: ComputerInMemory, effects: Effects) -> None:
        super().__init__(settings, platform.data_directory, platform)
        self._counted = CountedKeys(platform.data_directory / "keys", effects)

    def _files(self) -> KeyKeeper:
        return self._counted


@dataclass(slots=True)
class AgentWorld:
    """One computer of alice's. Times goes on only where a test says so."""

    directory: Path
    effects: Effects = field(default_factory=Effects)
    settings: Settings = field(default_factory=lambda: Settings("https://sso.example.test"))
    org: OrgInMemory = field(init=False)
    computer: ComputerInMemory = field(init=False)
    said: list[str] = field(default_factory=list)
    steps: list[str] = field(default_factory=list)
    devices_refused: dict[str, Refused] = field(default_factory=dict)
    users_refused: dict[str, Refused] = field(default_factory=dict)
    no_kerberos: Refused | None = None

    def __post_init__(self) -> None:
        self.org = OrgInMemory(self.effects)
        self.computer = ComputerInMemory(self.directory / "devicetrust", self.effects)

    def run(self, *, force: bool = False, code: str | None = None) -> Outcome:
        vault = CountedVault(self.computer.data_directory, self.effects)
        keepers = CountedKeepers(self.settings, self.computer, self.effects)
        run = Run(self.settings, self.computer, vault, keepers, self._means(), 0.5)
        with vault.locked():
            return run.run(RunOptions(force=force, code=code))

    def pass_time(self, **units: float) -> None:
        self.org.authority.now += timedelta(**units)

    @property
    def vault(self) -> Vault:
        return Vault(self.computer.data_directory)

    @property
    def keys(self) -> frozenset[str]:
        return FileKeys(self.computer.data_directory / "keys").names()

    def installed(self, store: str = STORE) -> list[Certificate]:
        """Of a store, those with their key, the newest issued first."""
        found = self.computer.stores[store]
        return [
            each
            for each in reversed(self.org.issued)
            if each.thumbprint in found and found[each.thumbprint][1]
        ]

    def _means(self) -> Means:
        return Means(
            org=cast(OrgClient, self.org),
            iwa=lambda url: cast(IwaClient, IwaInMemory(url, self)),
            device_token=self._device_token,
            person=self._person,
            platform="LINUX",
            version="1.0",
            trace=NoTrace(),
            say=self.said.append,
            now=lambda: self.org.authority.now,
        )

    def _device_token(self, iwa: Iwa, asked: Asked) -> str:
        self.steps.append(f"device token at {iwa.url}")
        if iwa.url in self.devices_refused:
            raise self.devices_refused[iwa.url]
        return f"device token of {iwa.url} for {asked.key_thumbprint}"

    def _person(self) -> StartConversation:
        if self.no_kerberos is not None:
            raise self.no_kerberos

        def start(host: str, bindings: bytes | None) -> Any:
            raise NotImplementedError

        return start
