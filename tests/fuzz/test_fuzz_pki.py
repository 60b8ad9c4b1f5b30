"""Whatever bytes a peer or a CRL server sends, the answer is a value or the one declared exception.

Certificates are changed in two ways: as bytes, which mostly ends in the parser, and before they are
signed by a trusted authority, so that odd contents get as far as path validation and the names.
"""

from contextlib import suppress
from dataclasses import replace

from cryptography import x509
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.forge import (
    NOW,
    Forged,
    common_name,
    crl_entry,
    forge,
    forge_authority,
    forge_crl,
    forge_device,
    upn,
)

from gateway.model.device import NotTrusted, PeerCertificate, TrustVerdict, VerifiedDevice
from gateway.model.settings import AuthoritySettings, DeviceFrom, UserFrom
from gateway.pki.authority import TrustSnapshot, authority_from
from gateway.pki.certificate import CertificateRejected, parse_certificate
from gateway.pki.crl import CrlRejected, parse_crl
from gateway.pki.own_revocations import OwnRevocations
from gateway.pki.path_cache import PathCache
from gateway.pki.revocation import RevocationIndex
from gateway.pki.serials import SerialSet
from gateway.pki.trust import bind_user, recheck, verify_device

bounded = settings(deadline=None, max_examples=300)

CONSTRAINTS = x509.NameConstraints(
    [
        x509.DNSName("example.test"),
        x509.UniformResourceIdentifier(".example.test"),
        x509.RFC822Name("example.test"),
    ],
    [x509.DirectoryName(common_name("nobody"))],
)
ROOT = forge_authority("Root")
ISSUING = forge_authority("Issuing", ROOT)
CONSTRAINED = forge_authority("Constrained", ROOT, extra=[(CONSTRAINTS, True)])
DEVICE = forge_device(
    "device",
    ISSUING,
    names=[
        x509.UniformResourceIdentifier("urn:device:1"),
        x509.DNSName("pc.example.test"),
        x509.RFC822Name("a@example.test"),
        x509.DirectoryName(x509.Name([])),
        upn("alice@example.test"),
    ],
    extra=[
        (x509.AuthorityKeyIdentifier(b"1" * 20, None, None), False),
        (x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier("1.2.3"), None)]), False),
    ],
)
CRL = forge_crl(
    ISSUING,
    [crl_entry(5), crl_entry(6, (x509.CRLReason(x509.ReasonFlags.key_compromise), False)), crl_entry(2**152)],
    number=3,
    extra=[(x509.IssuingDistributionPoint(None, None, True, False, None, False, False), True)],
)
AUTHORITY_SETTINGS = AuthoritySettings(
    "corp", "/etc/corp.pem", (), None, False, DeviceFrom.SAN_URI, UserFrom.SAN_UPN
)
TRUST = TrustSnapshot(
    True,
    tuple(
        authority_from(
            replace(
                AUTHORITY_SETTINGS,
                name=f"{device_from}-{user_from}",
                device_from=device_from,
                user_from=user_from,
            ),
            [ISSUING.parsed, CONSTRAINED.parsed, ROOT.parsed],
        )
        for device_from, user_from in zip(DeviceFrom, UserFrom, strict=True)
    ),
)
TEMPLATE = parse_crl(forge_crl(ISSUING), [ISSUING.parsed])
STANDARD_EXTENSIONS = (9, 14, 15, 16, 17, 18, 19, 20, 24, 27, 28, 29, 30, 31, 32, 33, 35, 36, 37, 46, 54)
UNKNOWN = "1.2.3.4"
EXTENSION_TYPES = [
    x509.ObjectIdentifier(dotted)
    for dotted in (
        *(f"2.5.29.{number}" for number in STANDARD_EXTENSIONS),
        "1.3.6.1.5.5.7.1.1",
        "1.3.6.1.4.1.311.20.2",
        UNKNOWN,
    )
]
KNOWN_EXTENSIONS = [
    (extension.oid, extension.value.public_bytes())
    for forged in (DEVICE, CONSTRAINED)
    for extension in x509.load_der_x509_certificate(forged.der).extensions
] + [
    (x509.ObjectIdentifier("2.5.29.36"), x509.PolicyConstraints(0, None).public_bytes()),
    (x509.ObjectIdentifier("2.5.29.54"), x509.InhibitAnyPolicy(0).public_bytes()),
    (x509.ObjectIdentifier("2.5.29.33"), bytes.fromhex("300c300a06032a030106032a0302")),
]


@st.composite
def changed(draw: st.DrawFn, original: bytes) -> bytes:
    """A document with a few places overwritten, cut, filled or repeated."""
    data = bytearray(original)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(data) - 1, 0)))
        match draw(st.sampled_from(["set", "set", "set", "cut", "insert", "end", "repeat"])):
            case "set":
                data[at : at + 1] = bytes(
                    [draw(st.integers(0, 255) | st.sampled_from([0x30, 0x80, 0xFF, 0x1F]))]
                )
            case "cut":
                del data[at : at + draw(st.integers(1, 8))]
            case "insert":
                data[at:at] = draw(st.binary(min_size=1, max_size=8))
            case "end":
                del data[at:]
            case "repeat":
                data[at:at] = data[at : at + 64]
    return bytes(data)


def extensions() -> st.SearchStrategy[list[tuple[x509.ExtensionType, bool]]]:
    """Well-formed values under their type, changed ones, and any value under any type."""
    known = st.sampled_from(KNOWN_EXTENSIONS)
    odd = known.flatmap(lambda each: st.tuples(st.just(each[0]), changed(each[1])))
    values = known.map(lambda each: each[1]) | st.binary(max_size=40)
    one = st.tuples(known | known | odd | st.tuples(st.sampled_from(EXTENSION_TYPES), values), st.booleans())
    return st.lists(one, max_size=6, unique_by=lambda each: each[0][0].dotted_string).map(
        lambda drawn: [(x509.UnrecognizedExtension(oid, value), critical) for (oid, value), critical in drawn]
    )


def judge(device_der: bytes, *presented: bytes) -> TrustVerdict:
    """Every verdict is one, says the same twice, and survives the questions that come after it."""
    peer = PeerCertificate(device_der, presented)
    cache = PathCache()
    found = verify_device(peer, TRUST, NOW, cache)
    assert found == verify_device(peer, TRUST, NOW, cache)
    if isinstance(found, NotTrusted):
        assert found.reason
        return found
    assert found.device.strip()
    assert not any(ord(character) < 32 for character in found.device)
    assert found.not_after >= NOW
    assert recheck(found, TRUST, NOW) == found
    assert isinstance(bind_user(found, found.user or "", OwnRevocations()), VerifiedDevice)
    return found


DEVICE_EXTENSIONS: list[tuple[x509.ExtensionType, bool]] = [
    (extension.value, extension.critical)
    for extension in x509.load_der_x509_certificate(DEVICE.der).extensions
]
CRITICAL_UNKNOWN = (x509.UnrecognizedExtension(x509.ObjectIdentifier(UNKNOWN), b""), True)


def has_critical_unknown(drawn: list[tuple[x509.ExtensionType, bool]]) -> bool:
    return any(critical and extension.oid.dotted_string == UNKNOWN for extension, critical in drawn)


@bounded
@given(changed(DEVICE.der))
def test_a_changed_certificate_is_a_certificate_or_refused(der: bytes) -> None:
    with suppress(CertificateRejected):
        assert parse_certificate(der) == parse_certificate(der)


@bounded
@given(changed(DEVICE.der), st.lists(changed(ISSUING.der) | st.just(ISSUING.der), max_size=3))
def test_changed_certificates_are_trusted_only_for_what_was_signed(
    device: bytes, presented: list[bytes]
) -> None:
    verdict = judge(device, *presented)
    assert isinstance(verdict, NotTrusted) or parse_certificate(device).tbs_der == DEVICE.parsed.tbs_der


@bounded
@given(extensions(), st.sampled_from([ISSUING, CONSTRAINED]))
@example([*DEVICE_EXTENSIONS, CRITICAL_UNKNOWN], ISSUING)  # all else about it would be trusted
def test_a_signed_device_certificate_is_not_trusted_with_a_critical_extension_unknown(
    drawn: list[tuple[x509.ExtensionType, bool]], issuer: Forged
) -> None:
    verdict = judge(forge("device", issuer, extensions=drawn).der)
    assert isinstance(verdict, NotTrusted) or not has_critical_unknown(drawn)


@bounded
@given(extensions())
@example([CRITICAL_UNKNOWN])
def test_a_signed_intermediate_leads_nowhere_with_a_critical_extension_unknown(
    drawn: list[tuple[x509.ExtensionType, bool]],
) -> None:
    authority = [each for each in drawn if each[0].oid.dotted_string != "2.5.29.19"]
    odd = forge("Odd", ROOT, extensions=[(x509.BasicConstraints(True, None), True), *authority])
    verdict = judge(forge_device("device", odd).der, odd.der)
    assert isinstance(verdict, NotTrusted) or not has_critical_unknown(drawn)


@bounded
@given(st.binary(max_size=200))
def test_any_bytes_are_not_trusted(data: bytes) -> None:
    assert isinstance(judge(data, data), NotTrusted)


@bounded
@given(
    changed(CRL)
    | st.binary(max_size=200)
    | changed(b"-----BEGIN X509 CRL-----\nMAA=\n-----END X509 CRL-----\n")
)
def test_a_changed_crl_is_a_snapshot_or_refused(data: bytes) -> None:
    with suppress(CrlRejected):
        parse_crl(data, [ISSUING.parsed])
        assert data == CRL, "a changed CRL has no valid signature"


@bounded
@given(extensions(), st.lists(st.tuples(st.integers(1, 9), extensions()), max_size=3))
def test_a_signed_crl_with_any_extensions_is_a_snapshot_or_refused(
    drawn: list[tuple[x509.ExtensionType, bool]],
    entries: list[tuple[int, list[tuple[x509.ExtensionType, bool]]]],
) -> None:
    own_number = [each for each in drawn if each[0].oid.dotted_string != "2.5.29.20"]
    der = forge_crl(ISSUING, [crl_entry(serial, *extra) for serial, extra in entries], extra=own_number)
    with suppress(CrlRejected):
        crl = parse_crl(der, [ISSUING.parsed])
        assert all(serial in crl.revoked or serial in crl.removed for serial, _ in entries)


@bounded
@given(
    st.lists(
        st.tuples(st.integers(1, 6), st.integers(0, 6) | st.none(), st.sets(st.integers(1, 4))), max_size=8
    )
)
def test_the_held_crl_number_never_goes_down(crls: list[tuple[int, int | None, set[int]]]) -> None:
    index = RevocationIndex()
    held = 0
    for number, base, revoked in crls:
        snapshot = replace(
            TEMPLATE,
            number=number,
            base_number=base,
            revoked=SerialSet.of([serial.to_bytes() for serial in revoked]),
        )
        snapshot = replace(snapshot, sha256=repr((number, base, sorted(revoked))).encode())
        try:
            index = index.with_crl(snapshot)
        except CrlRejected:
            continue
        now_held = max((each.number for each in index.held_for(TEMPLATE.issuer)), default=0)
        assert now_held >= held
        held = now_held
