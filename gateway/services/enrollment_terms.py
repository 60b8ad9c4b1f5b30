"""What gateway.yaml says that an enrollment depends on."""

from dataclasses import dataclass, field
from hashlib import sha256

from cryptography.hazmat.primitives.serialization import Encoding

from gateway.enrollment.parties import org_audience
from gateway.model.settings import CaSettings, EnrollmentSettings
from gateway.services.material import Material


@dataclass(frozen=True, slots=True)
class EnrollmentTerms:
    """``mtls_certificates`` are the SHA-256 (hex) of the server certificates that mTLS hosts show: whoever
    sees another one there has something between."""

    org_name: str
    mtls_domain: str
    mtls_certificates: tuple[str, ...] = ()
    device_trust_enabled: bool = True  # by gateway.yaml; a setting of the store counts instead
    ca: CaSettings = field(default_factory=CaSettings)
    enrollment: EnrollmentSettings = field(default_factory=EnrollmentSettings)

    @property
    def audience(self) -> str:
        return org_audience(self.org_name)


def enrollment_terms(material: Material) -> EnrollmentTerms:
    settings = material.settings
    return EnrollmentTerms(
        org_name=settings.org_name,
        mtls_domain=settings.mtls_domain,
        mtls_certificates=tuple(
            sha256(each.chain[0].public_bytes(Encoding.DER)).hexdigest()
            for each in material.certificates
            if each.covers(f"n.{settings.mtls_domain}")
        ),
        device_trust_enabled=settings.device_trust_enabled,
        ca=settings.ca,
        enrollment=settings.enrollment,
    )
