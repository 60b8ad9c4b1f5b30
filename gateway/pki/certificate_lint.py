"""Rules that a certificate of ours has to keep, one function each, checked before it is signed.

They read the certificate with the parser that will judge it later, so that nothing is issued that our own
gateways would refuse, or read in another way than was meant.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from gateway.model.settings import DeviceFrom, UserFrom
from gateway.pki.certificate import Certificate, CertificateRejected
from gateway.pki.certificate_profile import BACKDATED_BY, CertificateProfile
from gateway.pki.identity import device_of, user_of

# CA/Browser Forum Baseline Requirements §7.1: 64 bits of randomness; ours have 159. A number this short comes
# from a generator that does not work, or a test.
MIN_SERIAL_NUMBER_BITS = 64


@dataclass(frozen=True, slots=True)
class Intended:
    """What a certificate was meant to say. ``issuer`` is None for a root; ``device`` for an authority."""

    profile: CertificateProfile
    issuer: Certificate | None
    device: str | None
    user: str | None
    crl_urls: frozenset[str]


Rule = Callable[[Certificate, Intended], bool]


def broken_rules(certificate: Certificate, intended: Intended) -> Iterator[str]:
    """The rules that it breaks, each as a sentence."""
    for sentence, keeps in _RULES.items():
        if not keeps(certificate, intended):
            yield sentence


def _serial_number(certificate: Certificate, intended: Intended) -> bool:
    return certificate.serial_number.bit_length() >= MIN_SERIAL_NUMBER_BITS


def _validity(certificate: Certificate, intended: Intended) -> bool:
    length = certificate.not_after - certificate.not_before
    return BACKDATED_BY < length <= intended.profile.lifetime + BACKDATED_BY


def _within_issuer(certificate: Certificate, intended: Intended) -> bool:
    issuer = intended.issuer
    return issuer is None or issuer.not_before <= certificate.not_before < certificate.not_after <= (
        issuer.not_after
    )


def _issuer_name(certificate: Certificate, intended: Intended) -> bool:
    above = certificate.subject_der if intended.issuer is None else intended.issuer.subject_der
    return certificate.issuer_der == above


def _subject(certificate: Certificate, intended: Intended) -> bool:
    return bool(certificate.subject_attributes)


def _key_identifiers(certificate: Certificate, intended: Intended) -> bool:
    own = certificate.extensions.subject_key_identifier
    above = own if intended.issuer is None else intended.issuer.extensions.subject_key_identifier
    return own is not None and above is not None and certificate.extensions.authority_key_identifier == above


def _basic_constraints(certificate: Certificate, intended: Intended) -> bool:
    found = certificate.extensions
    return (found.is_ca, found.path_length) == (intended.profile.is_ca, intended.profile.path_length)


def _key_usage(certificate: Certificate, intended: Intended) -> bool:
    usage, profile = certificate.extensions.key_usage, intended.profile
    return usage is not None and (usage.digital_signature, usage.key_cert_sign, usage.crl_sign) == (
        profile.digital_signature,
        profile.is_ca,
        profile.is_ca,
    )


def _extended_key_usage(certificate: Certificate, intended: Intended) -> bool:
    return (certificate.extensions.extended_key_usage or frozenset()) == frozenset(
        intended.profile.extended_key_usage
    )


def _certificate_policies(certificate: Certificate, intended: Intended) -> bool:
    found = certificate.extensions.policy.policies or frozenset()
    return found == frozenset(intended.profile.certificate_policies)


def _device(certificate: Certificate, intended: Intended) -> bool:
    if intended.device is None:
        return not certificate.extensions.subject_alt_names
    try:
        return device_of(certificate, DeviceFrom.SAN_URI) == intended.device
    except CertificateRejected:
        return False


def _user(certificate: Certificate, intended: Intended) -> bool:
    try:
        return user_of(certificate, UserFrom.SAN_UPN) == intended.user
    except CertificateRejected:
        return False


def _no_other_names(certificate: Certificate, intended: Intended) -> bool:
    wanted = sum(name is not None for name in (intended.device, intended.user))
    return len(certificate.extensions.subject_alt_names) == wanted


def _distribution_points(certificate: Certificate, intended: Intended) -> bool:
    return certificate.extensions.crl_distribution_points == intended.crl_urls


def _critical_extensions(certificate: Certificate, intended: Intended) -> bool:
    return not certificate.extensions.unprocessed_critical


_RULES: dict[str, Rule] = {
    "the serial number is too short (RFC 5280 §4.1.2.2)": _serial_number,
    "it is valid for longer than its profile says, or not at all": _validity,
    "it is valid when its issuer is not": _within_issuer,
    "its issuer is not the subject of the one that signs (RFC 5280 §4.1.2.4)": _issuer_name,
    "it has no subject (RFC 5280 §4.1.2.6)": _subject,
    "its key identifiers do not lead to its issuer (RFC 5280 §4.2.1.1)": _key_identifiers,
    "its basic constraints are not those of its profile (RFC 5280 §4.2.1.9)": _basic_constraints,
    "its key usage is not that of its profile (RFC 5280 §4.2.1.3)": _key_usage,
    "its extended key usage is not that of its profile (RFC 5280 §4.2.1.12)": _extended_key_usage,
    "its certificate policies are not those of its profile (RFC 5280 §4.2.1.4)": _certificate_policies,
    "it does not name the device that it is for": _device,
    "it does not name the user that it is for": _user,
    "it names somebody else as well": _no_other_names,
    "its CRL is not the one that it belongs to (RFC 5280 §4.2.1.13)": _distribution_points,
    "it has a critical extension that our own gateways do not know": _critical_extensions,
}
