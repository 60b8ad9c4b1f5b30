"""The authorities that devices are trusted by, and all that a trust evaluation reads, as one snapshot."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from gateway.model.settings import AuthoritySettings
from gateway.pki.certificate import Certificate
from gateway.pki.own_revocations import OwnRevocations
from gateway.pki.revocation import RevocationIndex


@dataclass(frozen=True, slots=True)
class Authority:
    """One entry of ``device_trust.authorities`` with its certificates.

    Every anchor is trusted by itself: if the administrator configures a root, each authority that the
    root ever certified issues trusted devices. `authority_from` says how a file is divided.
    """

    settings: AuthoritySettings
    anchors: tuple[Certificate, ...]
    intermediates: tuple[Certificate, ...] = ()

    @property
    def name(self) -> str:
        return self.settings.name

    @property
    def has_crls(self) -> bool:
        """Whether revocation is checked at all. Without a CRL in the settings it is not (the
        configuration check warns); with one, every certificate on a path has to be covered by a CRL."""
        return bool(self.settings.crls)

    @property
    def certificates(self) -> tuple[Certificate, ...]:
        """All of them: the possible issuers of this authority's CRLs."""
        return (*self.anchors, *self.intermediates)


@dataclass(frozen=True, slots=True)
class TrustSnapshot:
    """What `gateway.pki.trust` decides from. Replaced as a whole, never edited.

    ``generation`` grows with every change of ``authorities``. A new ``revocation`` or ``own`` alone needs
    none, since nothing that is cached depends on it. ``own`` is None where the org has something to say, and
    has not said it yet: then nothing is trusted.
    """

    enabled: bool
    authorities: tuple[Authority, ...]
    revocation: RevocationIndex = field(default_factory=RevocationIndex)
    generation: int = 0
    own: OwnRevocations | None = field(default_factory=OwnRevocations)

    @property
    def ca_names_der(self) -> tuple[bytes, ...]:
        """The subjects of all authorities, for the CertificateRequest (RFC 8446 §4.2.4): a browser
        offers the certificates that were issued by one of them."""
        return tuple(dict.fromkeys(c.subject_der for a in self.authorities for c in a.certificates))

    def authority(self, name: str) -> Authority | None:
        return next((authority for authority in self.authorities if authority.name == name), None)


def authority_from(settings: AuthoritySettings, certificates: Sequence[Certificate]) -> Authority:
    """Divide the certificates of one file: those signed by another one in it are intermediates, all
    others are trust anchors, self-signed or not.

    So a file with a root and its issuing authority trusts all that the root certified, and a file with
    the issuing authority only trusts just that one. Certificates that sign one another in a circle leave
    no anchor; the caller has to refuse an authority without one.
    """
    unique = tuple(dict.fromkeys(certificates))
    intermediates = tuple(
        certificate
        for certificate in unique
        if any(
            issuer.issuer_hash != certificate.issuer_hash
            and issuer.subject == certificate.issuer
            and certificate.is_signed_by(issuer)
            for issuer in unique
        )
    )
    return Authority(settings, tuple(c for c in unique if c not in intermediates), intermediates)
