"""Making certificates in two steps: `prepare_…` checks everything, `sign` takes what that returned, once.

All that can be refused is refused while nothing has happened yet. Between the two the caller writes down what
it is about to sign.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from cryptography.x509.oid import AuthorityInformationAccessOID, NameOID

from gateway.pki import der_writing as write
from gateway.pki.certificate import Certificate, CertificateRejected, parse_certificate
from gateway.pki.certificate_lint import Intended, broken_rules
from gateway.pki.certificate_profile import BACKDATED_BY, DEVICE, CertificateProfile
from gateway.pki.certification_request import CertificationRequest
from gateway.pki.identity import MAX_NAME_CHARACTERS, USER_PRINCIPAL_NAME
from gateway.pki.signature import PublicKey
from gateway.pki.signer import Signer, algorithm_for, key_bits, signed_document, spki_of

# X.520 ub-common-name.
_MAX_COMMON_NAME = 64
_VERSION_3 = write.explicit(0, write.integer(2))


class IssuanceRefused(Exception):
    """A certificate that must not be made. Nothing was signed."""


@dataclass(frozen=True, slots=True)
class DeviceIdentity:
    """Who a device's certificate is for, from whoever authenticated it; never from the request.

    ``device`` is a URI (ASCII); ``user`` the login, None where the certificate names no user; ``label`` is
    for people who choose among certificates, and is cut to what a common name may hold.
    """

    device: str
    user: str | None
    label: str


@dataclass(frozen=True, slots=True)
class Publication:
    """URLs that a certificate carries: of the CRL that covers it, of its issuer's certificate, of OCSP."""

    crls: tuple[str, ...] = ()
    issuers: tuple[str, ...] = ()
    ocsp: tuple[str, ...] = ()


class PreparedCertificate:
    """A checked certificate without its signature, good for one `sign`."""

    __slots__ = ("_signing_key", "_tbs_der", "not_after", "not_before", "serial_number")

    def __init__(
        self, tbs_der: bytes, signing_key: PublicKey, serial_number: int, dates: tuple[datetime, datetime]
    ) -> None:
        """For the functions of this module only."""
        self._tbs_der: bytes | None = tbs_der
        self._signing_key = signing_key
        self.serial_number = serial_number
        self.not_before, self.not_after = dates

    def take(self, signer: Signer) -> bytes:
        """What is to be signed, once. Raises `IssuanceRefused`."""
        tbs_der, self._tbs_der = self._tbs_der, None
        if tbs_der is None:
            raise IssuanceRefused("a prepared certificate is signed once; prepare another")
        if signer.public_key != self._signing_key:
            raise IssuanceRefused("this is not the key that the certificate was prepared for")
        return tbs_der


def prepare_device(
    request: CertificationRequest,
    identity: DeviceIdentity,
    issuer: Certificate,
    *,
    serial_number: int,
    now: datetime,
    publication: Publication,
    profile: CertificateProfile = DEVICE,
) -> PreparedCertificate:
    """A device's certificate. ``serial_number`` is random, 1 to 159 bits; ``now`` is aware.

    Raises `IssuanceRefused` for names that do not fit into a certificate, and for an issuer whose own time
    has ended or that is no authority.
    """
    names: list[x509.GeneralName] = [_device_name(identity.device)]
    if identity.user is not None:
        _check_text(identity.user, "user")
        names.append(x509.OtherName(USER_PRINCIPAL_NAME, write.element(0x0C, identity.user.encode())))
    return _prepare(
        x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, _common_name(identity.label))]),
        request.spki_der,
        issuer,
        issuer.public_key,
        serial_number,
        now,
        publication,
        profile,
        identity,
        names,
    )


def prepare_authority(
    common_name: str,
    organization: str,
    unit: str | None,
    key: PublicKey,
    issuer: Certificate | None,
    *,
    serial_number: int,
    now: datetime,
    publication: Publication,
    profile: CertificateProfile,
) -> PreparedCertificate:
    """An authority's certificate, self-signed where ``issuer`` is None. Raises `IssuanceRefused`."""
    if issuer is not None and issuer.extensions.path_length == 0:
        raise IssuanceRefused("the issuer may have no authority below itself (RFC 5280 §4.2.1.9)")
    attributes = [(NameOID.ORGANIZATION_NAME, organization), (NameOID.ORGANIZATIONAL_UNIT_NAME, unit)]
    try:
        subject = x509.Name(
            [
                *(x509.NameAttribute(kind, value) for kind, value in attributes if value),
                x509.NameAttribute(NameOID.COMMON_NAME, common_name),
            ]
        )
    except ValueError as error:
        raise IssuanceRefused(f"the authority's name does not fit into a certificate: {error}") from None
    signing_key = key if issuer is None else issuer.public_key
    return _prepare(
        subject, spki_of(key), issuer, signing_key, serial_number, now, publication, profile, None, ()
    )


def sign(prepared: PreparedCertificate, signer: Signer) -> Certificate:
    """Sign it. Raises `SigningFailed`, or `IssuanceRefused` when it was signed before."""
    return parse_certificate(signed_document(prepared.take(signer), signer))


def _prepare(
    subject: x509.Name,
    spki_der: bytes,
    issuer: Certificate | None,
    signing_key: PublicKey,
    serial_number: int,
    now: datetime,
    publication: Publication,
    profile: CertificateProfile,
    identity: DeviceIdentity | None,
    names: Sequence[x509.GeneralName],
) -> PreparedCertificate:
    not_before = now.replace(microsecond=0) - BACKDATED_BY
    not_after = now.replace(microsecond=0) + profile.lifetime
    if issuer is not None:
        if not issuer.extensions.is_ca:
            raise IssuanceRefused("the issuer is no authority")
        if now >= issuer.not_after:
            raise IssuanceRefused(
                "the issuing authority has expired; make a new one: devicetrust ca rollover"
            )
        not_before, not_after = max(not_before, issuer.not_before), min(not_after, issuer.not_after)
    subject_der = subject.public_bytes()
    algorithm_der = algorithm_for(signing_key)
    tbs_der = write.sequence(
        _VERSION_3,
        write.integer(serial_number),
        algorithm_der,
        subject_der if issuer is None else issuer.subject_der,
        write.sequence(write.time(not_before), write.time(not_after)),
        subject_der,
        spki_der,
        write.explicit(3, write.sequence(*_extensions(spki_der, issuer, publication, profile, names))),
    )
    _lint(
        tbs_der,
        algorithm_der,
        Intended(
            profile=profile,
            issuer=issuer,
            device=identity.device if identity else None,
            user=identity.user if identity else None,
            crl_urls=frozenset(publication.crls),
        ),
    )
    return PreparedCertificate(tbs_der, signing_key, serial_number, (not_before, not_after))


def _extensions(
    spki_der: bytes,
    issuer: Certificate | None,
    publication: Publication,
    profile: CertificateProfile,
    names: Sequence[x509.GeneralName],
) -> list[bytes]:
    # RFC 5280 §4.2.1.2, method 1: SHA-1 as a short name for a key, of which no security hangs.
    own_identifier = hashlib.sha1(key_bits(spki_der), usedforsecurity=False).digest()
    above = own_identifier if issuer is None else issuer.extensions.subject_key_identifier
    values: list[tuple[x509.ExtensionType, bool]] = [
        (x509.BasicConstraints(profile.is_ca, profile.path_length), True),
        (_key_usage(profile), True),
        (x509.SubjectKeyIdentifier(own_identifier), False),
        (x509.AuthorityKeyIdentifier(above, None, None), False),
    ]
    if profile.extended_key_usage:
        usages = [x509.ObjectIdentifier(usage) for usage in profile.extended_key_usage]
        values.append((x509.ExtendedKeyUsage(usages), False))
    if profile.certificate_policies:
        policies = [
            x509.PolicyInformation(x509.ObjectIdentifier(policy), None)
            for policy in profile.certificate_policies
        ]
        values.append((x509.CertificatePolicies(policies), False))
    if names:
        values.append((x509.SubjectAlternativeName(names), False))
    if publication.crls:
        values.append((_distribution_points(publication.crls), False))
    if publication.issuers or publication.ocsp:
        values.append((_information_access(publication), False))
    return [
        write.extension(value.oid.dotted_string, value.public_bytes(), critical=critical)
        for value, critical in values
    ]


def _key_usage(profile: CertificateProfile) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=profile.digital_signature,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=profile.is_ca,
        crl_sign=profile.is_ca,
        encipher_only=False,
        decipher_only=False,
    )


def _distribution_points(urls: Sequence[str]) -> x509.CRLDistributionPoints:
    """One point with all its addresses: each of them has the same CRL (RFC 5280 §4.2.1.13)."""
    full_name = [x509.UniformResourceIdentifier(url) for url in urls]
    return x509.CRLDistributionPoints([x509.DistributionPoint(full_name, None, None, None)])


def _information_access(publication: Publication) -> x509.AuthorityInformationAccess:
    methods = [(AuthorityInformationAccessOID.OCSP, url) for url in publication.ocsp]
    methods += [(AuthorityInformationAccessOID.CA_ISSUERS, url) for url in publication.issuers]
    return x509.AuthorityInformationAccess(
        [x509.AccessDescription(method, x509.UniformResourceIdentifier(url)) for method, url in methods]
    )


def _device_name(device: str) -> x509.UniformResourceIdentifier:
    _check_text(device, "device")
    if not device.isascii() or ":" not in device or " " in device:
        raise IssuanceRefused("the device's name in certificates has to be a URI, such as urn:example:ws-42")
    return x509.UniformResourceIdentifier(device)


def _common_name(label: str) -> str:
    """Its printable part, as far as the library lets a common name be (it counts bytes)."""
    printable = "".join(character for character in label if character.isprintable())
    return printable.encode()[:_MAX_COMMON_NAME].decode(errors="ignore").strip() or "device"


def _check_text(name: str, what: str) -> None:
    if not name or name != name.strip() or len(name) > MAX_NAME_CHARACTERS or not name.isprintable():
        raise IssuanceRefused(
            f"the {what}'s name is empty, longer than {MAX_NAME_CHARACTERS} characters, or not plain text"
        )


def _lint(tbs_der: bytes, algorithm_der: bytes, intended: Intended) -> None:
    """Read the certificate as it will be, with a stand-in for the signature, and check its rules."""
    try:
        certificate = parse_certificate(write.sequence(tbs_der, algorithm_der, write.bit_string(bytes(64))))
    except CertificateRejected as rejected:
        raise IssuanceRefused(f"our own gateways would refuse the certificate: {rejected.detail}") from None
    broken = list(broken_rules(certificate, intended))
    if broken:
        raise IssuanceRefused("; ".join(broken))
