"""What certificates in stores are recognized by."""

from cryptography import x509
from cryptography.x509.oid import NameOID


def issuer_common_name(certificate_der: bytes) -> str | None:
    """None also for what cannot be read as a certificate: others' certificates may be anything."""
    try:
        issuer = x509.load_der_x509_certificate(certificate_der).issuer
        names = issuer.get_attributes_for_oid(NameOID.COMMON_NAME)
    except ValueError:
        return None
    return str(names[0].value) if names else None
