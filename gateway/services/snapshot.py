"""All that a worker knows of the configuration, as one immutable value that is swapped as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from gateway.federation.expectation import IdentityProvider, identity_provider
from gateway.model.settings import AppSettings, GatewaySettings, Zone
from gateway.pki.authority import TrustSnapshot
from gateway.pki.own_revocations import OwnRevocations
from gateway.pki.revocation import RevocationIndex
from gateway.policy.rules import Policy, referenced_groups
from gateway.proxy.targets import fold_path
from gateway.services.material import Material

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class App:
    """One app with everything that its requests need, made ready once."""

    settings: AppSettings
    origin: str  # what browsers see: https://host[:port]
    policy: Policy
    identity_provider: IdentityProvider
    sso_urls: tuple[str, ...]
    referenced_groups: frozenset[str]
    endpoints: frozenset[bytes]
    folded_endpoints: frozenset[bytes]
    metadata_valid_until: datetime | None = None
    decryption_key: RSAPrivateKey | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    settings: GatewaySettings
    apps_by_host: Mapping[str, App]
    apps_by_name: Mapping[str, App]
    zones: Mapping[str, Zone]
    trust: TrustSnapshot

    def with_revocation(self, revocation: RevocationIndex) -> "Snapshot":
        return replace(self, trust=replace(self.trust, revocation=revocation))

    def with_own(self, own: OwnRevocations | None) -> "Snapshot":
        return replace(self, trust=replace(self.trust, own=own))


class Live(Generic[T]):
    """A value that is replaced, never edited. Readers take `current` at each step of a request;
    what a step needs to fit together is in one value."""

    __slots__ = ("current",)

    def __init__(self, value: T) -> None:
        self.current = value

    def replace(self, value: T) -> None:
        self.current = value


def build_snapshot(material: Material, trust: TrustSnapshot) -> Snapshot:
    """Put together what was read."""
    settings, metadata, policies = material.settings, material.metadata, material.policies
    providers = {p.name: identity_provider(p, metadata[p.name]) for p in settings.identity_providers}
    apps = []
    for app in settings.apps:
        endpoints, folded = endpoint_sets(app.assertion_endpoints)
        apps.append(
            App(
                settings=app,
                origin=public_origin(app.host, settings.public_port),
                policy=policies[app.name],
                identity_provider=providers[app.identity_provider],
                sso_urls=metadata[app.identity_provider].sso_locations,
                referenced_groups=referenced_groups(policies[app.name]),
                endpoints=endpoints,
                folded_endpoints=folded,
                metadata_valid_until=metadata[app.identity_provider].valid_until,
                decryption_key=material.decryption_keys.get(app.name),
            )
        )
    return Snapshot(
        settings=settings,
        apps_by_host={app.settings.host: app for app in apps},
        apps_by_name={app.settings.name: app for app in apps},
        zones={zone.name: zone for zone in settings.zones},
        trust=trust,
    )


def public_origin(host: str, port: int) -> str:
    return f"https://{host}" if port == 443 else f"https://{host}:{port}"


def endpoint_sets(paths: tuple[str, ...]) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """(the endpoints as they are sent, and as the most tolerant app server would fold them)."""
    exact = frozenset(path.encode("ascii") for path in paths)
    return exact, frozenset(fold_path(path) for path in exact)
