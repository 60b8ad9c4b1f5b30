"""What the files of one configuration hold, read and parsed, before it becomes a snapshot."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

from gateway.enrollment.endorsement import VendorAuthorities
from gateway.federation.metadata import IdpMetadata
from gateway.model.settings import GatewaySettings
from gateway.pki.authority import Authority
from gateway.policy.rules import Policy
from gateway.tls.contexts import ServerCertificate


@dataclass(frozen=True, slots=True)
class Material:
    """``authorities`` are those that are read from files. ``policies`` and ``decryption_keys`` are by app
    name, ``metadata`` by identity provider name."""

    settings: GatewaySettings
    certificates: tuple[ServerCertificate, ...]
    authorities: tuple[Authority, ...]
    metadata: Mapping[str, IdpMetadata]
    policies: Mapping[str, Policy]
    decryption_keys: Mapping[str, RSAPrivateKey]
    tpm_vendors: VendorAuthorities = field(default=VendorAuthorities(), kw_only=True)

    @property
    def files(self) -> frozenset[str]:
        """The files whose change calls for reading all of this anew. CRLs have a reader of their own."""
        settings = self.settings
        return frozenset(
            (
                settings.source,
                *(f for c in settings.certificates for f in (c.certificate, c.private_key)),
                *(a.certificates for a in settings.authorities if not a.builtin),
                *(p.metadata for p in settings.identity_providers),
                *(a.policy_file for a in settings.apps),
                *(a.decryption_key for a in settings.apps if a.decryption_key),
                *settings.enrollment.tpm_vendor_authorities,
                *(u.ca_file for a in settings.apps for u in a.upstreams if u.ca_file),
            )
        )
