"""What the certificates of the built-in authority may say: one frozen profile for each kind of them.

A profile is all that does not depend on who the certificate is for. Nothing of it comes from a request.
"""

from dataclasses import dataclass
from datetime import timedelta

CLIENT_AUTH = "1.3.6.1.5.5.7.3.2"
OCSP_SIGNING = "1.3.6.1.5.5.7.3.9"
# tcg-cap-verifiedTPMFixed (TCG OID Registry 1.00, revision 0.74): whoever issued it has verified that the key
# has the attribute fixedTPM, that is, that it cannot leave its TPM.
VERIFIED_TPM_FIXED = "2.23.133.11.1.2"

# A certificate begins a little before it was made, for devices and gateways whose clocks are behind.
BACKDATED_BY = timedelta(minutes=5)


@dataclass(frozen=True, slots=True)
class CertificateProfile:
    """``path_length`` counts for authorities only (RFC 5280 §4.2.1.9). ``lifetime`` is from now on, the
    backdating not counted; it is cut where the issuer's own ends."""

    name: str
    lifetime: timedelta
    is_ca: bool = False
    path_length: int | None = None
    digital_signature: bool = True
    extended_key_usage: tuple[str, ...] = ()
    certificate_policies: tuple[str, ...] = ()


# TLS 1.3 and the ECDHE suites of TLS 1.2 need digitalSignature and nothing else (RFC 8446 §4.4.2.2).
DEVICE = CertificateProfile("device", timedelta(days=365), extended_key_usage=(CLIENT_AUTH,))

# For keys that were attested (`gateway.enrollment.attestation`), and no others.
HARDWARE_DEVICE = CertificateProfile(
    "hardware-device",
    DEVICE.lifetime,
    extended_key_usage=DEVICE.extended_key_usage,
    certificate_policies=(VERIFIED_TPM_FIXED,),
)

# The extended key usages of an authority bound those of what it issues: whoever steals this key can still not
# make a server certificate. It signs OCSP answers itself, hence digitalSignature.
ISSUING_AUTHORITY = CertificateProfile(
    "issuing-authority",
    timedelta(days=5 * 365),
    is_ca=True,
    path_length=0,
    extended_key_usage=(CLIENT_AUTH, OCSP_SIGNING),
)

ROOT_AUTHORITY = CertificateProfile(
    "root-authority", timedelta(days=20 * 365), is_ca=True, path_length=1, digital_signature=False
)

DEFAULT_ISSUING_COMMON_NAME = "MTLS Certificate Authority"
"""Browser policies that pick a device certificate filter on this name of its issuer."""
