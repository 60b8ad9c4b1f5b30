"""What a Kerberos message is bound to, so that whoever is between cannot pass it on for himself: the
application data of GSS-API's channel bindings (RFC 2743 §1.1.6), of which a keyed hash is in the message.

    over TLS       the connection, by the server's certificate (RFC 5929 §4, `tls-server-end-point`): whoever
                   opens TLS in between has another one
    without TLS    the request: nothing keeps anybody from reading it, but no other key can be put into it
"""

import hashlib
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes

_PREFIX: Final = b"tls-server-end-point:"
_REQUEST_PREFIX: Final = b"devicetrust-request:"
# §4.1: these are replaced by SHA-256.
_WEAK: Final = (hashes.MD5, hashes.SHA1)


def request_binding(step: str, nonce: str, key_thumbprint: str) -> bytes:
    """For a step (`device`, `user`) without TLS: all that a token is going to be bound to."""
    said = "\0".join((step, nonce, key_thumbprint)).encode()
    return _REQUEST_PREFIX + hashlib.sha256(said).digest()


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
