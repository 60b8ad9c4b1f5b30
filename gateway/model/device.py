"""What a handshake showed, and what the trust evaluation made of it."""

from dataclasses import dataclass
from datetime import datetime

from gateway.model.reasons import TrustReason


@dataclass(frozen=True, slots=True)
class PeerCertificate:
    """What the client presented. Unchecked, except that the handshake proved possession of the key."""

    end_entity_der: bytes
    presented_chain_der: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class CertificateId:
    """One certificate among all authorities: a serial number means nothing without its issuer.

    ``issuer`` is SHA-256 over the DER of the issuer's name and its subject public key, so that two
    authorities of one name never share serial numbers.
    """

    issuer: bytes
    serial_number: int


@dataclass(frozen=True, slots=True)
class VerifiedDevice:
    """A device whose certificate passed every check. Only `gateway.pki.trust` makes one, and the
    sealed tokens carry it between hops; policy accepts no other type."""

    authority: str
    device: str
    user: str | None
    user_binding_required: bool
    certificate_thumbprint: str  # x5t#S256, base64url without padding (RFC 8705 §3.1)
    certification_path: tuple[CertificateId, ...]  # end entity first, without the trust anchor
    not_after: datetime  # the earliest end of validity on the path, aware UTC
    hardware_key: bool = False  # the built-in authority has verified that the key is in a TPM


@dataclass(frozen=True, slots=True)
class NotTrusted:
    """Why there is no trust, and what is known of the certificate, for the log."""

    reason: TrustReason
    detail: str = ""
    device: str | None = None
    certificate_thumbprint: str | None = None


TrustVerdict = VerifiedDevice | NotTrusted
