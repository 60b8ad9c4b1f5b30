"""What the built-in authority has issued, as the store keeps it."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from gateway.model.device import CertificateId


class RevocationReason(StrEnum):
    """RFC 5280 §5.3.1, by the names of its ASN.1 definition."""

    UNSPECIFIED = "unspecified"
    KEY_COMPROMISE = "keyCompromise"
    CA_COMPROMISE = "cACompromise"
    AFFILIATION_CHANGED = "affiliationChanged"
    SUPERSEDED = "superseded"
    CESSATION_OF_OPERATION = "cessationOfOperation"
    CERTIFICATE_HOLD = "certificateHold"  # the only one that can be taken back
    REMOVE_FROM_CRL = "removeFromCRL"
    PRIVILEGE_WITHDRAWN = "privilegeWithdrawn"
    AA_COMPROMISE = "aACompromise"


class AuthorityKind(StrEnum):
    ROOT = "root"
    ISSUING = "issuing"


class AuthorityStatus(StrEnum):
    ACTIVE = "active"
    RETIRING = "retiring"  # trusted and hinted, issues no more
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class AuthorityRecord:
    """A certification authority of our own.

    ``key_reference`` is a ``pkcs11:`` URI, or None where the encrypted PEM stands in ``key_pem``; both None
    where the key is kept elsewhere (a root that is offline).
    """

    id: str
    name: str
    kind: AuthorityKind
    generation: int
    status: AuthorityStatus
    certificate_der: bytes
    issuer_hash: bytes  # what `CertificateId.issuer` is for the certificates that it issues
    key_reference: str | None
    created: datetime
    not_after: datetime
    crl_shards: int = 1
    key_pem: bytes | None = None

    def __repr__(self) -> str:
        return f"AuthorityRecord({self.id!r}, {self.name!r}, generation={self.generation})"


class CertificateStatus(StrEnum):
    """``RESERVED``: the serial number is taken and nothing is signed yet, or nobody knows whether it was."""

    RESERVED = "RESERVED"
    ISSUED = "ISSUED"
    REVOKED = "REVOKED"
    HELD = "HELD"


def serial_hex(serial_number: int) -> str:
    """How serial numbers stand in the store and in messages: lower case, no leading zeros."""
    return format(serial_number, "x")


@dataclass(frozen=True, slots=True)
class IssuedCertificate:
    """A certificate that the built-in authority issued, or is about to."""

    issuer_hash: bytes
    serial_number: int
    authority_id: str
    device_id: str
    user_id: str | None
    profile: str
    status: CertificateStatus
    not_before: datetime
    not_after: datetime
    created: datetime
    crl_shard: int = 0
    certificate_der: bytes | None = None  # None until it is signed
    thumbprint: str | None = None  # x5t#S256: SHA-256, base64url without padding; None until it is signed
    revoked_at: datetime | None = None
    revocation_reason: RevocationReason | None = None
    replaces: str | None = None  # thumbprint of the one that it renews
    first_seen: datetime | None = None  # when a gateway first saw it in use

    @property
    def certificate_id(self) -> CertificateId:
        return CertificateId(self.issuer_hash, self.serial_number)

    @property
    def serial_hex(self) -> str:
        return serial_hex(self.serial_number)

    @property
    def withdrawn(self) -> bool:
        """Revoked for good or on hold: nobody is to trust it now."""
        return self.status in (CertificateStatus.REVOKED, CertificateStatus.HELD)


@dataclass(frozen=True, slots=True)
class RevokedEntry:
    """One entry of a CRL to be."""

    serial_number: int
    revoked_at: datetime
    reason: RevocationReason


@dataclass(frozen=True, slots=True)
class PublishedCrl:
    """A CRL as every gateway of the fleet serves it."""

    authority_id: str
    shard: int
    number: int
    this_update: datetime
    next_update: datetime
    der: bytes


@dataclass(frozen=True, slots=True)
class CertificateQuery:
    """Which certificates are wanted; what is None does not matter."""

    device_id: str | None = None
    user_id: str | None = None
    authority_id: str | None = None
    statuses: frozenset[CertificateStatus] = frozenset()  # empty: all
    valid_at: datetime | None = None  # not_before <= valid_at < not_after
    expires_from: datetime | None = None
    expires_before: datetime | None = None
