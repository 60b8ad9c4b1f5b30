"""All that a worker knows of the configuration, as one immutable value that is swapped as a whole."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from gateway.federation.expectation import IdentityProvider
from gateway.model.settings import AppSettings, GatewaySettings, Zone
from gateway.pki.authority import TrustSnapshot
from gateway.policy.rules import Policy
from gateway.proxy.targets import fold_path

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
    decryption_key: RSAPrivateKey | None = None


@dataclass(frozen=True, slots=True)
class Snapshot:
    settings: GatewaySettings
    apps_by_host: Mapping[str, App]
    apps_by_name: Mapping[str, App]
    zones: Mapping[str, Zone]
    trust: TrustSnapshot


class Live(Generic[T]):
    """A value that is replaced, never edited. Readers take `current` once per request."""

    __slots__ = ("current",)

    def __init__(self, value: T) -> None:
        self.current = value

    def replace(self, value: T) -> None:
        self.current = value


def public_origin(host: str, port: int) -> str:
    return f"https://{host}" if port == 443 else f"https://{host}:{port}"


def endpoint_sets(paths: tuple[str, ...]) -> tuple[frozenset[bytes], frozenset[bytes]]:
    """(the endpoints as they are sent, and as the most tolerant app server would fold them)."""
    exact = frozenset(path.encode("ascii") for path in paths)
    return exact, frozenset(fold_path(path) for path in exact)
