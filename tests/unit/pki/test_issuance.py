"""A certificate is checked, signed once, and says what the identity said, never what the request said."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import AuthorityInformationAccessOID, ExtensionOID
from hypothesis import given, settings
from hypothesis import strategies as st
from support.own_authority import (
    PUBLICATION,
    KeyInMemory,
    OwnAuthority,
    new_request,
    new_serial_number,
)

from gateway.model.device import PeerCertificate, VerifiedDevice
from gateway.model.settings import AuthoritySettings, DeviceFrom, UserFrom
from gateway.pki.authority import TrustSnapshot, authority_from
from gateway.pki.certificate import CertificateRejected, parse_certificate
from gateway.pki.certificate_profile import DEVICE, HARDWARE_DEVICE, ISSUING_AUTHORITY, VERIFIED_TPM_FIXED
from gateway.pki.identity import device_of, user_of
from gateway.pki.issuance import (
    DeviceIdentity,
    IssuanceRefused,
    Publication,
    prepare_authority,
    prepare_device,
    sign,
)
from gateway.pki.path_cache import PathCache
from gateway.pki.signer import SigningFailed
from gateway.pki.trust import recheck, verify_device

NOW = datetime(2026, 11, 26, 12, tzinfo=UTC)
OWN = OwnAuthority(NOW)
ALICE = DeviceIdentity("urn:device:ws-42", "alice@example.test", "ws-42")


def prepared(
    identity=ALICE, issuer=None, now=NOW, serial_number=None, profile=DEVICE, publication=PUBLICATION
):
    return prepare_device(
        new_request(),
        identity,
        issuer or OWN.issuing,
        serial_number=serial_number or new_serial_number(),
        now=now,
        publication=publication,
        profile=profile,
    )


def test_our_own_gateway_trusts_what_was_issued_as_the_device_and_user_that_were_named():
    settings_ = AuthoritySettings("builtin", "", (), None, True, DeviceFrom.SAN_URI, UserFrom.SAN_UPN)
    trust = TrustSnapshot(True, (authority_from(settings_, [OWN.root, OWN.issuing]),))
    peer = PeerCertificate(OWN.issue(ALICE).der)
    verdict = verify_device(peer, trust, NOW, PathCache())
    assert isinstance(verdict, VerifiedDevice)
    assert (verdict.device, verdict.user) == (ALICE.device, ALICE.user)


@pytest.mark.parametrize(
    ("profile", "builtin", "hardware_key"),
    [(HARDWARE_DEVICE, True, True), (HARDWARE_DEVICE, False, False), (DEVICE, True, False)],
    ids=["of a key in a TPM", "another authority's word", "of a key in a file"],
)
def test_our_own_gateway_knows_from_the_certificate_that_the_key_is_in_a_tpm(profile, builtin, hardware_key):
    settings_ = AuthoritySettings("own", "", (), None, True, DeviceFrom.SAN_URI, UserFrom.SAN_UPN, builtin)
    trust = TrustSnapshot(True, (authority_from(settings_, [OWN.root, OWN.issuing]),))
    certificate = sign(prepared(profile=profile), OWN.key)
    verdict = verify_device(PeerCertificate(certificate.der), trust, NOW, PathCache())
    assert isinstance(verdict, VerifiedDevice)
    assert verdict.hardware_key is hardware_key
    renamed = replace(settings_, builtin=not builtin)
    other = TrustSnapshot(True, (authority_from(renamed, [OWN.root, OWN.issuing]),))
    again = recheck(verdict, other, NOW)
    assert isinstance(again, VerifiedDevice)
    assert not again.hardware_key, "what was known once is not known of an authority that is not our own"


def test_a_certificate_of_a_key_in_a_tpm_names_the_policy_of_the_trusted_computing_group():
    certificate = x509.load_der_x509_certificate(sign(prepared(profile=HARDWARE_DEVICE), OWN.key).der)
    extension = certificate.extensions.get_extension_for_class(x509.CertificatePolicies)
    assert [each.policy_identifier.dotted_string for each in extension.value] == [VERIFIED_TPM_FIXED]
    assert not extension.critical


def test_a_certificate_says_all_that_its_profile_and_its_publication_say():
    certificate = x509.load_der_x509_certificate(OWN.issue().der)
    extensions = certificate.extensions
    assert certificate.not_valid_after_utc - NOW == timedelta(days=365)
    assert extensions.get_extension_for_class(x509.ExtendedKeyUsage).value == x509.ExtendedKeyUsage(
        [x509.ExtendedKeyUsageOID.CLIENT_AUTH]
    )
    access = extensions.get_extension_for_oid(ExtensionOID.AUTHORITY_INFORMATION_ACCESS).value
    assert [(d.access_method, d.access_location.value) for d in access] == [
        (AuthorityInformationAccessOID.OCSP, PUBLICATION.ocsp[0]),
        (AuthorityInformationAccessOID.CA_ISSUERS, PUBLICATION.issuers[0]),
    ]
    point = extensions.get_extension_for_class(x509.CRLDistributionPoints).value[0]
    assert [name.value for name in point.full_name] == list(PUBLICATION.crls)
    assert {e.oid._name for e in extensions if e.critical} == {"basicConstraints", "keyUsage"}


def test_the_issuing_authority_has_the_name_that_browser_policies_filter_on():
    name = x509.load_der_x509_certificate(OWN.issuing.der).subject
    assert name.get_attributes_for_oid(x509.NameOID.COMMON_NAME)[0].value == "MTLS Certificate Authority"
    assert OWN.issuing.extensions.path_length == 0


def test_subject_and_names_of_the_request_are_not_taken_over():
    certificate = OWN.issue()
    assert b"whoever" not in certificate.der
    assert b"admin.example.test" not in certificate.der


def test_a_prepared_certificate_is_signed_once():
    one = prepared()
    sign(one, OWN.key)
    with pytest.raises(IssuanceRefused, match="signed once"):
        sign(one, OWN.key)


@pytest.mark.parametrize("kind", ["EC", "RSA"])
def test_another_key_than_it_was_prepared_for_signs_nothing(kind):
    other = KeyInMemory(rsa.generate_private_key(65537, 2048) if kind == "RSA" else None)
    with pytest.raises(IssuanceRefused, match="not the key"):
        sign(prepared(), other)
    assert other.signatures == 0


def test_a_signature_that_does_not_verify_is_not_given_out():
    key = KeyInMemory(OWN.key.key)
    key.broken = True
    with pytest.raises(SigningFailed, match="does not verify"):
        sign(prepared(), key)


@pytest.mark.parametrize(
    ("identity", "says"),
    [
        (replace(ALICE, device=""), "device's name"),
        (replace(ALICE, device="ws-42"), "URI"),
        (replace(ALICE, device="urn:gerät"), "URI"),
        (replace(ALICE, device="urn:a b"), "URI"),
        (replace(ALICE, device="urn:" + "x" * 300), "longer than 256"),
        (replace(ALICE, user=""), "user's name"),
        (replace(ALICE, user=" alice"), "user's name"),
        (replace(ALICE, user="al\x00ice"), "user's name"),
        (replace(ALICE, user="alice\u202e"), "user's name"),
    ],
)
def test_names_that_do_not_fit_are_refused_before_anything_is_signed(identity, says):
    with pytest.raises(IssuanceRefused, match=says):
        prepared(identity)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"serial_number": 77}, "serial number is too short"),
        ({"serial_number": 1 << 160}, "serial number"),
        ({"now": NOW + timedelta(days=6 * 365)}, "has expired"),
        ({"now": NOW - timedelta(days=400)}, "not at all"),
        ({"profile": replace(DEVICE, lifetime=timedelta(0))}, "not at all"),
        ({"issuer": OWN.issue()}, "no authority"),
    ],
)
def test_what_makes_no_good_certificate_is_refused(change, says):
    with pytest.raises(IssuanceRefused, match=says):
        prepared(**change)


def test_a_certificate_ends_no_later_than_its_issuer():
    late = OWN.issuing.not_after - timedelta(days=10)
    assert prepared(now=late).not_after == OWN.issuing.not_after


def test_the_issuing_authority_makes_no_authorities():
    with pytest.raises(IssuanceRefused, match="no authority below"):
        prepare_authority(
            "Below", "acme", None, KeyInMemory().public_key, OWN.issuing,
            serial_number=new_serial_number(), now=NOW, publication=Publication(),
            profile=replace(ISSUING_AUTHORITY, lifetime=timedelta(days=1)),
        )  # fmt: skip


def test_an_rsa_authority_issues_too():
    own = OwnAuthority(NOW, key=KeyInMemory(rsa.generate_private_key(65537, 3072)))
    assert own.issue().is_signed_by(own.issuing)


texts = st.text(st.characters(codec="utf-8"), max_size=300)


@settings(deadline=None, max_examples=200)
@given(
    device=st.one_of(texts, st.from_regex(r"urn:[a-z0-9:._-]{1,80}", fullmatch=True)),
    user=st.one_of(st.none(), texts),
    label=texts,
)
def test_whatever_the_names_a_certificate_reads_back_as_them_or_is_refused(device, user, label):
    try:
        certificate = sign(prepared(DeviceIdentity(device, user, label)), OWN.key)
    except IssuanceRefused:
        return
    again = parse_certificate(certificate.der)
    assert device_of(again, DeviceFrom.SAN_URI) == device
    assert user_of(again, UserFrom.SAN_UPN) == user
    with pytest.raises(CertificateRejected):
        device_of(again, DeviceFrom.SAN_DNS)
