"""Which pairs of parts by others the tests of this folder put the gateway between."""

from dataclasses import dataclass

from support.peers import IdentityProviderKind, RelyingPartyKind


@dataclass(frozen=True, slots=True)
class Pair:
    identity_provider: IdentityProviderKind
    relying_party: RelyingPartyKind

    def __str__(self) -> str:
        return f"{self.identity_provider} to {self.relying_party}"


PAIRS = (
    Pair(IdentityProviderKind.SAMLP, RelyingPartyKind.PASSPORT_SAML),
    Pair(IdentityProviderKind.SAMLP, RelyingPartyKind.MELLON),
    Pair(IdentityProviderKind.SIMPLESAMLPHP, RelyingPartyKind.MELLON),
    Pair(IdentityProviderKind.SIMPLESAMLPHP, RelyingPartyKind.PASSPORT_SAML),
    Pair(IdentityProviderKind.WSFED, RelyingPartyKind.PASSPORT_WSFED),
)
