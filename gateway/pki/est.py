"""The bodies of EST (RFC 7030, RFC 8951): base64 around PKCS#10 and certificates without a signature.

Which certificate a client gets, and whether it may have one, is decided elsewhere.
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from gateway.pki import der_writing as write
from gateway.pki.certificate import Certificate
from gateway.pki.certification_request import (
    MAX_CERTIFICATION_REQUEST_BYTES,
    CertificationRequest,
    CertificationRequestRefused,
    RequestRefusal,
    parse_certification_request,
)

# A third more for base64, line ends and a margin.
MAX_EST_REQUEST_BYTES: Final = MAX_CERTIFICATION_REQUEST_BYTES * 3 // 2

CERTIFICATES_TYPE: Final = "application/pkcs7-mime; smime-type=certs-only"
CACERTS_TYPE: Final = "application/pkcs7-mime"
ATTRIBUTES_TYPE: Final = "application/csrattrs"
REQUEST_TYPE: Final = "application/pkcs10"

_SIGNED_DATA = "1.2.840.113549.1.7.2"
_DATA = "1.2.840.113549.1.7.1"
_EC_PUBLIC_KEY = "1.2.840.10045.2.1"
_P256 = "1.2.840.10045.3.1.7"
_ECDSA_WITH_SHA256 = "1.2.840.10045.4.3.2"


def read_request(body: bytes) -> CertificationRequest:
    """The request in the body of simpleenroll or simplereenroll. Raises `CertificationRequestRefused`.

    White space is passed over, and so is what a Content-Transfer-Encoding may say (RFC 8951 §3.1). PEM armor,
    which some clients leave on, is taken too.
    """
    if len(body) > MAX_EST_REQUEST_BYTES:
        raise CertificationRequestRefused(
            RequestRefusal.TOO_LARGE, f"larger than {MAX_EST_REQUEST_BYTES} bytes"
        )
    if body.lstrip().startswith(b"-----"):
        return parse_certification_request(body)
    try:
        der = base64.b64decode(b"".join(body.split()), validate=True)
    except binascii.Error:
        raise CertificationRequestRefused(RequestRefusal.MALFORMED, "not base64") from None
    return parse_certification_request(der)


def certificates_body(certificates: Sequence[Certificate]) -> bytes:
    """Certificates as the answer of cacerts, simpleenroll and simplereenroll: a CMS SignedData with nothing
    but certificates (RFC 7030 §4.1.3; RFC 5272 §4.1), in base64."""
    signed_data = write.sequence(
        write.integer(1),
        write.set_of(),
        write.sequence(write.object_identifier(_DATA)),
        write.implicit(0, b"".join(sorted(each.der for each in certificates)), constructed=True),
        write.set_of(),
    )
    return _base64(write.sequence(write.object_identifier(_SIGNED_DATA), write.explicit(0, signed_data)))


def attributes_body() -> bytes:
    """What csrattrs wishes for: an ECDSA key on P-256, and a signature with SHA-256 (RFC 7030 §4.5.2). No
    names, because those of a request are not read."""
    key = write.sequence(
        write.object_identifier(_EC_PUBLIC_KEY), write.set_of(write.object_identifier(_P256))
    )
    return _base64(write.sequence(key, write.object_identifier(_ECDSA_WITH_SHA256)))


def _base64(der: bytes) -> bytes:
    """In one line: RFC 8951 §3.1 goes by RFC 4648, which knows no lines, and strongSwan takes none."""
    return base64.b64encode(der)
