"""Which parts by others the tests of this folder use, and what happens when they are not installed."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from support.peers import IdentityProviderKind, RelyingPartyKind


def needs(what: str, missing: Callable[[], list[str]]) -> pytest.MarkDecorator:
    """Skip with a reason where a part is missing on a developer's machine; under CI=true the test runs,
    and fails for want of the part."""
    absent = missing()
    in_ci = os.environ.get("CI") == "true"
    reason = f"{what} not installed (make test installs them): {', '.join(absent)}"
    return pytest.mark.skipif(bool(absent) and not in_ci, reason=reason)


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
