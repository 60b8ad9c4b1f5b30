"""Which device and user a certificate names."""

import pytest
from cryptography import x509
from cryptography.x509.oid import NameOID
from support.forge import UPN, common_name, forge_authority, forge_device, upn

from gateway.model.reasons import TrustReason
from gateway.model.settings import DeviceFrom, UserFrom
from gateway.pki.certificate import Certificate, CertificateRejected
from gateway.pki.identity import device_of, user_of

ROOT = forge_authority("Root")
URI = x509.UniformResourceIdentifier
DNS = x509.DNSName


def certificate(*names: x509.GeneralName, subject: x509.Name | None = None) -> Certificate:
    return forge_device(subject or common_name("subject"), ROOT, names=names).parsed


def subject(*attributes: tuple[x509.ObjectIdentifier, str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(oid, value) for oid, value in attributes])


@pytest.mark.parametrize(
    ("named", "device_from", "device"),
    [
        pytest.param(
            certificate(URI("urn:device:1")), DeviceFrom.SAN_URI, "urn:device:1", id="URI as written"
        ),
        pytest.param(
            certificate(DNS("PC-1.Example.Test")),
            DeviceFrom.SAN_DNS,
            "pc-1.example.test",
            id="DNS in lower case",
        ),
        pytest.param(
            certificate(DNS("pc_1"), DNS("PC_1")), DeviceFrom.SAN_DNS, "pc_1", id="one DNS name twice"
        ),
        pytest.param(certificate(), DeviceFrom.SUBJECT_CN, "subject", id="common name"),
        pytest.param(
            certificate(subject=subject((NameOID.SERIAL_NUMBER, "SN-77"))),
            DeviceFrom.SUBJECT_SERIAL_NUMBER,
            "SN-77",
            id="serial number of the subject",
        ),
    ],
)
def test_a_device_is_named_where_the_settings_say(
    named: Certificate, device_from: DeviceFrom, device: str
) -> None:
    assert device_of(named, device_from) == device


@pytest.mark.parametrize(
    ("named", "device_from"),
    [
        pytest.param(certificate(), DeviceFrom.SAN_URI, id="no URI"),
        pytest.param(certificate(DNS("a")), DeviceFrom.SAN_URI, id="a name of another kind only"),
        pytest.param(certificate(URI("urn:a"), URI("urn:b")), DeviceFrom.SAN_URI, id="two URIs"),
        pytest.param(certificate(DNS("a.test"), DNS("b.test")), DeviceFrom.SAN_DNS, id="two DNS names"),
        pytest.param(certificate(DNS("*.example.test")), DeviceFrom.SAN_DNS, id="a wildcard"),
        pytest.param(
            certificate(subject=subject((NameOID.COMMON_NAME, "a"), (NameOID.COMMON_NAME, "b"))),
            DeviceFrom.SUBJECT_CN,
            id="two common names",
        ),
        pytest.param(
            certificate(subject=common_name("a\r\nX-Device-Trust: trusted")),
            DeviceFrom.SUBJECT_CN,
            id="a line break",
        ),
        pytest.param(certificate(subject=common_name("a\0b")), DeviceFrom.SUBJECT_CN, id="a NUL"),
        pytest.param(
            certificate(subject=common_name("a\u202eb")), DeviceFrom.SUBJECT_CN, id="a direction override"
        ),
        pytest.param(
            certificate(subject=common_name(" a")), DeviceFrom.SUBJECT_CN, id="white space around it"
        ),
        pytest.param(certificate(URI("urn:" + "x" * 300)), DeviceFrom.SAN_URI, id="too long"),
    ],
)
def test_a_device_name_that_is_missing_ambiguous_or_not_text_is_refused(
    named: Certificate, device_from: DeviceFrom
) -> None:
    with pytest.raises(CertificateRejected) as caught:
        device_of(named, device_from)
    assert caught.value.reason is TrustReason.INVALID_CHAIN


@pytest.mark.parametrize(
    ("named", "user_from", "user"),
    [
        pytest.param(certificate(upn("Åsa@example.test")), UserFrom.SAN_UPN, "Åsa@example.test", id="UPN"),
        pytest.param(
            certificate(upn("a@b.test"), upn("a@b.test")), UserFrom.SAN_UPN, "a@b.test", id="one UPN twice"
        ),
        pytest.param(certificate(x509.RFC822Name("a@b.test")), UserFrom.SAN_EMAIL, "a@b.test", id="e-mail"),
        pytest.param(
            certificate(subject=common_name("alice")), UserFrom.SUBJECT_CN, "alice", id="common name"
        ),
        pytest.param(certificate(upn("a@b.test")), UserFrom.NONE, None, id="nobody asks"),
        pytest.param(
            certificate(x509.RFC822Name("a@b.test")), UserFrom.SAN_UPN, None, id="named in another kind only"
        ),
        pytest.param(
            certificate(x509.OtherName(x509.ObjectIdentifier("1.2.3"), b"\x0c\x01a")),
            UserFrom.SAN_UPN,
            None,
            id="an otherName that is no UPN",
        ),
    ],
)
def test_a_user_is_named_where_the_settings_say(
    named: Certificate, user_from: UserFrom, user: str | None
) -> None:
    assert user_of(named, user_from) == user


@pytest.mark.parametrize(
    ("named", "user_from"),
    [
        pytest.param(certificate(upn("a@b.test"), upn("c@b.test")), UserFrom.SAN_UPN, id="two UPNs"),
        pytest.param(
            certificate(x509.OtherName(UPN, b"\x13\x01a")),
            UserFrom.SAN_UPN,
            id="a UPN of another string type",
        ),
        pytest.param(
            certificate(x509.OtherName(UPN, b"\x0c\x02a\xff")), UserFrom.SAN_UPN, id="a UPN that is not UTF-8"
        ),
        pytest.param(certificate(upn("")), UserFrom.SAN_UPN, id="an empty UPN"),
        pytest.param(certificate(upn("admin@b.test\0@c.test")), UserFrom.SAN_UPN, id="a NUL"),
    ],
)
def test_a_user_name_that_is_ambiguous_or_not_text_is_refused(
    named: Certificate, user_from: UserFrom
) -> None:
    with pytest.raises(CertificateRejected) as caught:
        user_of(named, user_from)
    assert caught.value.reason is TrustReason.USER_MISMATCH
