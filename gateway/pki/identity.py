"""Which device and which user a certificate names, at the places that the authority's settings say.

A name counts only if it is the only one of its kind: of two different ones neither is taken.
"""

import unicodedata
from collections.abc import Iterator
from typing import assert_never

from cryptography import x509

from gateway.model.reasons import TrustReason
from gateway.model.settings import DeviceFrom, UserFrom
from gateway.pki import der as asn1
from gateway.pki.certificate import Certificate, CertificateRejected
from gateway.pki.names import COMMON_NAME, SERIAL_NUMBER

# Names go into headers, pages and logs. The longest in use are SPIFFE-like URIs and e-mail addresses
# (254 characters, RFC 5321 with its erratum 1690).
MAX_NAME_CHARACTERS = 256

USER_PRINCIPAL_NAME = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")

# Below, kinds of names are told apart by `type`, not `isinstance`: they are abstract base classes, where the
# latter costs ten times as much, and the library makes no subclasses of them.
_CONTROL = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})


def device_of(certificate: Certificate, device_from: DeviceFrom) -> str:
    """The device's name. Host names come in lower case, everything else as it is written.

    Raises `CertificateRejected` (``INVALID_CHAIN``: there is no name to trust) when the certificate names
    none, several, or one with control characters. Believe it only for a certificate on a checked path.
    """
    names = set(_device_names(certificate, device_from))
    if not names:
        raise _refused(TrustReason.INVALID_CHAIN, f"the certificate names no device ({device_from})")
    return _only(names, TrustReason.INVALID_CHAIN, f"device ({device_from})")


def user_of(certificate: Certificate, user_from: UserFrom) -> str | None:
    """The user's name as written, or None when the certificate names none or nobody asks.

    Raises `CertificateRejected` (``USER_MISMATCH``) for several names, or one with control characters.
    """
    names = set(_user_names(certificate, user_from))
    return _only(names, TrustReason.USER_MISMATCH, f"user ({user_from})") if names else None


def _device_names(certificate: Certificate, device_from: DeviceFrom) -> Iterator[str]:
    match device_from:
        case DeviceFrom.SAN_URI:
            for name in certificate.extensions.subject_alt_names:
                if type(name) is x509.UniformResourceIdentifier:
                    yield name.value
        case DeviceFrom.SAN_DNS:
            for name in certificate.extensions.subject_alt_names:
                if type(name) is x509.DNSName:
                    if "*" in name.value or not name.value.isascii():
                        raise _refused(TrustReason.INVALID_CHAIN, "a DNS name is not that of one device")
                    yield name.value.lower()
        case DeviceFrom.SUBJECT_CN:
            yield from _subject(certificate, COMMON_NAME)
        case DeviceFrom.SUBJECT_SERIAL_NUMBER:
            yield from _subject(certificate, SERIAL_NUMBER)
        case _:
            assert_never(device_from)


def _user_names(certificate: Certificate, user_from: UserFrom) -> Iterator[str]:
    match user_from:
        case UserFrom.SAN_UPN:
            for name in certificate.extensions.subject_alt_names:
                if type(name) is x509.OtherName and name.type_id == USER_PRINCIPAL_NAME:
                    yield _utf8_string(name.value)
        case UserFrom.SAN_EMAIL:
            for name in certificate.extensions.subject_alt_names:
                if type(name) is x509.RFC822Name:
                    yield name.value
        case UserFrom.SUBJECT_CN:
            yield from _subject(certificate, COMMON_NAME)
        case UserFrom.NONE:
            return
        case _:
            assert_never(user_from)


def _subject(certificate: Certificate, attribute_type: bytes) -> Iterator[str]:
    for kind, value in certificate.subject_attributes:
        if kind == attribute_type:
            yield value if isinstance(value, str) else ""  # not text: refused as an empty name


def _utf8_string(der: bytes) -> str:
    """The UPN's value ([MS-WCCE] 2.2.2.7.7.4: UTF8String)."""
    try:
        start, end = asn1.content_of(der, asn1.UTF8_STRING)
        return der[start:end].decode("utf-8")
    except ValueError:
        raise _refused(TrustReason.USER_MISMATCH, "the user principal name is not UTF-8 text") from None


def _only(names: set[str], reason: TrustReason, what: str) -> str:
    if len(names) > 1:
        raise _refused(reason, f"the certificate names more than one {what}")
    name = names.pop()
    if not name or len(name) > MAX_NAME_CHARACTERS or name != name.strip() or not _is_text(name):
        raise _refused(reason, f"the {what} is empty, too long, or has characters that are not text")
    return name


def _is_text(name: str) -> bool:
    if name.isascii():  # nearly all are, and what is no text in ASCII is not printable either
        return name.isprintable()
    return not any(unicodedata.category(character) in _CONTROL for character in name)


def _refused(reason: TrustReason, detail: str) -> CertificateRejected:
    return CertificateRejected(reason, detail, chained=True)
