"""The TLS connection's mark in a Kerberos message (RFC 5929 §4, `tls-server-end-point`): the hash of the
server's certificate. Whoever opens TLS in between has another certificate, and cannot pass the message on."""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

_PREFIX: Final = b"tls-server-end-point:"
# §4.1: these are replaced by SHA-256.
_WEAK: Final = (hashes.MD5, hashes.SHA1)


def tls_server_end_point(certificate_der: bytes) -> bytes | None:
    """The application data for GSS-API, with its prefix. The hash is that of the certificate's signature,
    SHA-256 instead of MD5 and SHA-1; None where the signature has none of its own (Ed25519), for which the
    type is undefined. Raises ValueError for what is no certificate."""
    certificate = x509.load_der_x509_certificate(certificate_der)
    try:
        algorithm = certificate.signature_hash_algorithm
    except UnsupportedAlgorithm:
        return None
    if algorithm is None:
        return None
    return _PREFIX + certificate.fingerprint(hashes.SHA256() if isinstance(algorithm, _WEAK) else algorithm)
