"""A certificate as the org hands it out, checked before anything on this computer is changed for it. Pure."""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7

from gateway.model.settings import DeviceFrom, UserFrom
from gateway.pki.certificate import Certificate, CertificateRejected, parse_certificate
from gateway.pki.identity import device_of, user_of
from gateway.pki.signature import PublicKey
from gateway.pki.signer import spki_of

_MAX_CHAIN: Final = 8
_MAX_PEM: Final = 32_768


class AnswerInvalid(Exception):
    """Not a certificate for this key by an authority of this org. The text says what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Enrolled:
    """``chain`` has the issuers, nearest first. What the org said beside it is None where it said nothing,
    as over EST."""

    certificate: Certificate
    chain: tuple[Certificate, ...] = field(repr=False)
    renew_from: datetime | None = None
    device_id: str | None = None
    hardware_key: bool = False

    @property
    def login(self) -> str | None:
        return login_of(self.certificate)

    @property
    def device(self) -> str | None:
        return device_named_in(self.certificate)


def enrolled_of_json(body: bytes, key: PublicKey) -> Enrolled:
    """The answer of `/enroll/certificate` and `/enroll/renew`. Raises AnswerInvalid."""
    try:
        told = json.loads(body)
    except (ValueError, RecursionError):
        raise AnswerInvalid("not JSON") from None
    if not isinstance(told, dict):
        raise AnswerInvalid("not an object")
    chain = told.get("chain")
    if not isinstance(chain, list) or len(chain) > _MAX_CHAIN:
        raise AnswerInvalid("chain is no list of certificates")
    device = told.get("device")
    device_id = device.get("id") if isinstance(device, dict) else None
    return _checked(
        Enrolled(
            certificate=_from_pem(told.get("certificate")),
            chain=tuple(_from_pem(each) for each in chain),
            renew_from=_moment(told),
            device_id=device_id if isinstance(device_id, str) and len(device_id) <= 256 else None,
            hardware_key=told.get("hardware_key") is True,
        ),
        key,
    )


def enrolled_of_est(body: bytes, key: PublicKey, authorities: Sequence[Certificate]) -> Enrolled:
    """The answer of simpleenroll and simplereenroll. Raises AnswerInvalid."""
    found = certificates_of_est(body)
    if len(found) != 1:
        raise AnswerInvalid(f"{len(found)} certificates instead of one")
    return _checked(Enrolled(found[0], chain_of(found[0], authorities)), key)


def certificates_of_est(body: bytes) -> tuple[Certificate, ...]:
    """Those of a certs-only CMS in base64 (RFC 7030 §4.1.3). Raises AnswerInvalid."""
    try:
        found = pkcs7.load_der_pkcs7_certificates(base64.b64decode(b"".join(body.split()), validate=True))
        return tuple(parse_certificate(each.public_bytes(Encoding.DER)) for each in found)
    except (ValueError, binascii.Error, UnsupportedAlgorithm, UserWarning):
        raise AnswerInvalid("not certificates as EST has them") from None
    except CertificateRejected as rejected:
        raise AnswerInvalid(rejected.detail) from None


def chain_of(certificate: Certificate, authorities: Sequence[Certificate]) -> tuple[Certificate, ...]:
    """The issuers of a certificate, nearest first, without a root at the end; () for a stranger."""
    chain: list[Certificate] = []
    below = certificate
    while len(chain) < _MAX_CHAIN:
        issuer = issuer_of(below, authorities)
        if issuer is None or issuer.is_self_issued:
            break
        chain.append(issuer)
        below = issuer
    return tuple(chain)


def issuer_of(certificate: Certificate, authorities: Sequence[Certificate]) -> Certificate | None:
    """Which of them signed it (verified)."""
    for each in authorities:
        if each.subject == certificate.issuer and certificate.is_signed_by(each):
            return each
    return None


def login_of(certificate: Certificate) -> str | None:
    """Whose it is; None where it names nobody, or not one person."""
    try:
        return user_of(certificate, UserFrom.SAN_UPN)
    except CertificateRejected:
        return None


def device_named_in(certificate: Certificate) -> str | None:
    try:
        return device_of(certificate, DeviceFrom.SAN_URI)
    except CertificateRejected:
        return None


def pem_of(certificates: Sequence[Certificate]) -> bytes:
    return b"".join(
        x509.load_der_x509_certificate(each.der).public_bytes(Encoding.PEM) for each in certificates
    )


def certificates_of_pem(content: bytes) -> tuple[Certificate, ...]:
    """At least one. Raises AnswerInvalid."""
    try:
        found = x509.load_pem_x509_certificates(content)
        return tuple(parse_certificate(each.public_bytes(Encoding.DER)) for each in found)
    except (ValueError, UnsupportedAlgorithm, UserWarning):
        raise AnswerInvalid("no certificate in PEM form") from None
    except CertificateRejected as rejected:
        raise AnswerInvalid(rejected.detail) from None


def _checked(enrolled: Enrolled, key: PublicKey) -> Enrolled:
    """That what came is for the key that it was asked for, or the old certificate would be given up for
    one that cannot be used."""
    if spki_of(enrolled.certificate.public_key) != spki_of(key):
        raise AnswerInvalid("the certificate is for another key")
    below = enrolled.certificate
    for issuer in enrolled.chain:
        if not below.is_signed_by(issuer):
            raise AnswerInvalid("the chain does not belong to the certificate")
        below = issuer
    return enrolled


def _from_pem(text: object) -> Certificate:
    if not isinstance(text, str) or len(text) > _MAX_PEM or not text.isascii():
        raise AnswerInvalid("no certificate in PEM form")
    return certificates_of_pem(text.encode())[0]


def _moment(told: Mapping[str, Any]) -> datetime | None:
    value = told.get("renew_from")
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
        return None if at is None or at.tzinfo is None else at.astimezone(UTC)
    except (ValueError, OverflowError):  # the latter at the ends of the calendar
        return None
