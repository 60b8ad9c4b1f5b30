"""What a message must be to be let through, and what is known once it was."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.federation.algorithms import SigningPublicKey
from gateway.federation.metadata import IdpMetadata
from gateway.model.identity import Identity
from gateway.model.settings import IdentityProviderSettings

CLOCK_SKEW = timedelta(seconds=60)  # how far the clocks of provider and gateway may be apart


@dataclass(frozen=True, slots=True)
class IdentityProvider:
    """One trusted identity provider: its keys from metadata, its exceptions from the configuration.

    ``user_attribute`` None reads the user from NameID. The two ``allow_`` exceptions are off unless an
    administrator has written them down for this provider.
    """

    name: str
    entity_id: str
    signing_keys: tuple[SigningPublicKey, ...]
    groups_attribute: str = "groups"
    user_attribute: str | None = None
    allow_sha1: bool = False
    allow_missing_subject_confirmation: bool = False


@dataclass(frozen=True, slots=True)
class Expectation:
    """What one endpoint of one app accepts.

    ``audience`` is the app's entity ID or wtrealm. ``recipients`` are the exact public URLs of the endpoint
    that the message was posted to. ``decryption_key`` opens an EncryptedAssertion.
    """

    idp: IdentityProvider
    audience: str
    recipients: tuple[str, ...]
    clock_skew: timedelta = CLOCK_SKEW
    decryption_key: rsa.RSAPrivateKey | None = None


@dataclass(frozen=True, slots=True)
class VerifiedMessage:
    """A sign-on message that passed every check but two, which need a memory and are the caller's.

    The caller claims ``replay_key`` (hex SHA-256 of issuer and assertion ID) once, until ``replay_until``,
    and compares ``in_response_to`` (None: unsolicited) with the request IDs that it has seen pass.
    ``rebuilt_body`` is what goes to the app instead of the body that came in. Until ``steady_until``
    (exclusive) the same form and expectation would give the same result, if the clock is not set back.
    """

    identity: Identity
    issuer: str
    replay_key: str
    replay_until: datetime
    in_response_to: str | None
    relay_state: str | None
    rebuilt_body: bytes
    steady_until: datetime


@dataclass(frozen=True, slots=True)
class AssertionClaims:
    """What an assertion says, read from bytes that a signature covered, after all of its own checks.

    ``valid_until`` is the last instant at which the assertion passes, clock skew included. ``steady_until``
    is the first at which some check would come out otherwise than it did: often the same, never later.
    """

    identity: Identity
    issuer: str
    assertion_id: str
    valid_until: datetime
    in_response_to: str | None
    steady_until: datetime


def identity_provider(settings: IdentityProviderSettings, metadata: IdpMetadata) -> IdentityProvider:
    """Join what the administrator wrote with what the provider's metadata says."""
    return IdentityProvider(
        name=settings.name,
        entity_id=metadata.entity_id,
        signing_keys=metadata.signing_keys,
        groups_attribute=settings.groups_attribute,
        user_attribute=settings.user_attribute,
        allow_sha1=settings.allow_sha1,
        allow_missing_subject_confirmation=settings.allow_missing_subject_confirmation,
    )
