"""The trust evaluation: one question, one order of checks, one reason."""

from dataclasses import replace
from datetime import timedelta

import pytest
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.forge import DAY, NOW, Forged, forge, forge_authority, forge_crl, forge_device, upn

from gateway.model.device import (
    CertificateId,
    NotTrusted,
    PeerCertificate,
    TrustVerdict,
    VerifiedDevice,
)
from gateway.model.org_state import OrgChange
from gateway.model.reasons import TrustReason
from gateway.model.settings import AuthoritySettings, DeviceFrom, UserFrom
from gateway.pki.authority import Authority, TrustSnapshot, authority_from
from gateway.pki.crl import parse_crl
from gateway.pki.own_revocations import OwnRevocations
from gateway.pki.path_cache import PathCache
from gateway.pki.trust import MAX_PRESENTED_CERTIFICATES, bind_user, recheck, verify_device

ROOT = forge_authority("Root")
ISSUING = forge_authority("Issuing", ROOT)
OTHER_ROOT = forge_authority("Other root")
STRANGER = forge_authority("Stranger")
DEVICE_NAME = x509.UniformResourceIdentifier("urn:device:1")
DEVICE = forge_device("device", ISSUING, names=[DEVICE_NAME, upn("alice@example.test")])
OTHER_DEVICE = forge_device("other", OTHER_ROOT, names=[x509.UniformResourceIdentifier("urn:device:2")])
SETTINGS = AuthoritySettings(
    name="corp",
    certificates="/etc/corp.pem",
    crls=("/etc/root.crl", "/etc/issuing.crl"),
    stale_crl_allowed_for=None,
    user_binding_required=True,
    device_from=DeviceFrom.SAN_URI,
    user_from=UserFrom.SAN_UPN,
)
WITHOUT_CRLS = replace(SETTINGS, name="lab", crls=())


def trusting(
    *crls: tuple[Forged, bytes],
    settings: AuthoritySettings = SETTINGS,
    enabled: bool = True,
    authorities: tuple[Authority, ...] | None = None,
) -> TrustSnapshot:
    """A snapshot of the authority `corp` with these CRLs, or of other authorities."""
    if authorities is None:
        authorities = (authority_from(settings, [ISSUING.parsed, ROOT.parsed]),)
    trust = TrustSnapshot(enabled, authorities)
    for issuer, der in crls:
        trust = replace(trust, revocation=trust.revocation.with_crl(parse_crl(der, [issuer.parsed])))
    return trust


FRESH = trusting((ROOT, forge_crl(ROOT)), (ISSUING, forge_crl(ISSUING)))


def verdict(
    device: Forged | None = DEVICE,
    trust: TrustSnapshot = FRESH,
    *,
    presented: tuple[bytes, ...] = (),
    after: timedelta = timedelta(0),
    cache: PathCache | None = None,
) -> TrustVerdict:
    peer = None if device is None else PeerCertificate(device.der, presented)
    return verify_device(peer, trust, NOW + after, cache or PathCache())


def verified(device: Forged = DEVICE, trust: TrustSnapshot = FRESH) -> VerifiedDevice:
    found = verdict(device, trust)
    assert isinstance(found, VerifiedDevice)
    return found


def reason(found: TrustVerdict) -> TrustReason | None:
    return found.reason if isinstance(found, NotTrusted) else None


def test_a_trusted_device_is_described_by_its_certificate() -> None:
    found = verified()
    assert (found.authority, found.device, found.user) == ("corp", "urn:device:1", "alice@example.test")
    assert found.user_binding_required
    assert found.certificate_thumbprint == DEVICE.parsed.thumbprint
    assert [each.issuer for each in found.certification_path] == [
        ISSUING.parsed.issuer_hash,
        ROOT.parsed.issuer_hash,
    ]
    assert found.not_after == DEVICE.parsed.not_after


REVOKES_DEVICE = forge_crl(ISSUING, [DEVICE.parsed.serial_number])
REVOKES_ISSUING = forge_crl(ROOT, [ISSUING.parsed.serial_number])
SAME_SERIAL_BY_ROOT = forge_crl(ROOT, [DEVICE.parsed.serial_number])
STALE = forge_crl(ISSUING, next_update=NOW - timedelta(minutes=30))
FOR_SERVERS = forge_device("server", ISSUING, extended_usages=[ExtendedKeyUsageOID.SERVER_AUTH])
EXPIRED = forge_device("device", ISSUING, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
EARLY = forge_device("device", ISSUING, not_before=NOW + DAY)
NAMELESS = forge_device("device", ISSUING, names=[])
TWO_USERS = forge_device("device", ISSUING, names=[DEVICE_NAME, upn("a@b.test"), upn("c@b.test")])


@pytest.mark.parametrize(
    ("device", "trust", "expected"),
    [
        pytest.param(
            None, replace(FRESH, enabled=False), "DEVICE_TRUST_DISABLED", id="switched off comes first"
        ),
        pytest.param(None, FRESH, "NO_CERTIFICATE", id="no certificate"),
        pytest.param(DEVICE, trusting(authorities=()), "UNKNOWN_ISSUER", id="no authority at all"),
        pytest.param(forge_device("d", STRANGER), FRESH, "UNKNOWN_ISSUER", id="another authority's device"),
        pytest.param(
            forge("d", STRANGER, issuer=ISSUING.subject), FRESH, "INVALID_CHAIN", id="a forged signature"
        ),
        pytest.param(EARLY, FRESH, "NOT_YET_VALID", id="not valid yet"),
        pytest.param(EXPIRED, FRESH, "EXPIRED", id="expired"),
        pytest.param(FOR_SERVERS, FRESH, "WRONG_KEY_USAGE", id="a server's certificate"),
        pytest.param(
            DEVICE, trusting((ROOT, forge_crl(ROOT)), (ISSUING, REVOKES_DEVICE)), "REVOKED", id="revoked"
        ),
        pytest.param(
            DEVICE,
            trusting((ROOT, REVOKES_ISSUING), (ISSUING, forge_crl(ISSUING))),
            "REVOKED",
            id="a revoked intermediate refuses the device",
        ),
        pytest.param(
            DEVICE,
            trusting((ROOT, REVOKES_ISSUING)),
            "REVOKED",
            id="revoked above comes before unknown below",
        ),
        pytest.param(
            DEVICE,
            trusting((ROOT, SAME_SERIAL_BY_ROOT), (ISSUING, forge_crl(ISSUING))),
            None,
            id="the serial number of another issuer does not count",
        ),
        pytest.param(
            DEVICE, trusting((ROOT, forge_crl(ROOT))), "REVOCATION_UNKNOWN", id="no CRL for the device"
        ),
        pytest.param(
            DEVICE,
            trusting((ISSUING, forge_crl(ISSUING))),
            "REVOCATION_UNKNOWN",
            id="no CRL for the intermediate",
        ),
        pytest.param(
            DEVICE,
            trusting((ROOT, forge_crl(ROOT)), (ISSUING, STALE)),
            "REVOCATION_UNKNOWN",
            id="a stale CRL",
        ),
        pytest.param(
            DEVICE,
            trusting(
                (ROOT, forge_crl(ROOT)),
                (ISSUING, STALE),
                settings=replace(SETTINGS, stale_crl_allowed_for=timedelta(hours=6)),
            ),
            None,
            id="a stale CRL within what the authority allows",
        ),
        pytest.param(
            DEVICE, trusting(settings=WITHOUT_CRLS), None, id="an authority without CRLs is not asked"
        ),
        pytest.param(
            DEVICE,
            trusting((ISSUING, REVOKES_DEVICE), settings=WITHOUT_CRLS),
            "REVOKED",
            id="an authority without CRLs, but one that is held revokes",
        ),
        pytest.param(NAMELESS, FRESH, "INVALID_CHAIN", id="a certificate without a device"),
        pytest.param(TWO_USERS, FRESH, "USER_MISMATCH", id="a certificate with two users"),
    ],
)
def test_the_first_check_that_fails_is_the_reason(
    device: Forged | None, trust: TrustSnapshot, expected: str | None
) -> None:
    cache = PathCache()
    assert reason(verdict(device, trust, cache=cache)) == expected
    assert reason(verdict(device, trust, cache=cache)) == expected, "the same from the cache"


@pytest.mark.parametrize(
    ("device", "name"),
    [
        pytest.param(EXPIRED, "urn:device:1", id="expired"),
        pytest.param(FOR_SERVERS, "urn:device:1", id="wrong usage"),
        pytest.param(TWO_USERS, "urn:device:1", id="two users"),
        pytest.param(forge_device("d", STRANGER), None, id="nobody vouches for the name"),
    ],
)
def test_a_refusal_carries_what_is_known_of_the_certificate(device: Forged, name: str | None) -> None:
    found = verdict(device)
    assert isinstance(found, NotTrusted)
    assert (found.device, found.certificate_thumbprint) == (name, device.parsed.thumbprint)


@pytest.mark.parametrize("junk", [b"", b"\x00", b"\x30\x03abc", DEVICE.der[:-5], b"\xff" * 70_000])
def test_junk_is_a_verdict_and_never_an_exception(junk: bytes) -> None:
    found = verify_device(PeerCertificate(junk, (junk,)), FRESH, NOW, PathCache())
    assert reason(found) is TrustReason.INVALID_CHAIN
    assert reason(verdict(presented=(junk,))) is None, "junk beside a good certificate does not matter"


def test_the_reason_of_the_authority_that_knows_the_device_comes_before_the_others_ignorance() -> None:
    lab = authority_from(WITHOUT_CRLS, [OTHER_ROOT.parsed])
    for authorities in ((*FRESH.authorities, lab), (lab, *FRESH.authorities)):
        assert reason(verdict(EXPIRED, replace(FRESH, authorities=authorities))) is TrustReason.EXPIRED


def test_a_presented_issuer_that_is_unusable_is_named_in_the_detail() -> None:
    found = verdict(forge_device("d", STRANGER), presented=(STRANGER.der[:-1],))
    assert isinstance(found, NotTrusted)
    assert found.reason is TrustReason.UNKNOWN_ISSUER
    assert "left out" in found.detail


def test_more_presented_certificates_than_allowed_are_refused() -> None:
    device = forge_device("d", STRANGER)
    many = tuple(bytes([number]) for number in range(MAX_PRESENTED_CERTIFICATES + 1))
    assert reason(verdict(device, presented=many)) is TrustReason.INVALID_CHAIN


def test_each_authority_judges_by_its_own_settings() -> None:
    lab = authority_from(replace(WITHOUT_CRLS, device_from=DeviceFrom.SUBJECT_CN), [OTHER_ROOT.parsed])
    trust = replace(FRESH, authorities=(*FRESH.authorities, lab))
    assert verified(OTHER_DEVICE, trust).device == "other"
    assert verified(OTHER_DEVICE, trust).authority == "lab"
    assert verified(DEVICE, trust).authority == "corp"


def test_a_file_with_root_and_issuing_authority_has_one_anchor_and_one_intermediate() -> None:
    both = authority_from(SETTINGS, [ISSUING.parsed, ROOT.parsed, ROOT.parsed])
    assert (both.anchors, both.intermediates) == ((ROOT.parsed,), (ISSUING.parsed,))
    alone = authority_from(SETTINGS, [ISSUING.parsed])
    assert (alone.anchors, alone.intermediates) == ((ISSUING.parsed,), ())


def test_a_certificate_that_only_claims_an_issuer_in_the_file_is_an_anchor_of_its_own() -> None:
    claims = forge_authority("Claims", replace(STRANGER, subject=ROOT.subject))
    assert authority_from(SETTINGS, [claims.parsed, ROOT.parsed]).anchors == (claims.parsed, ROOT.parsed)


def test_the_names_for_the_certificate_request_are_all_authorities_once() -> None:
    trust = replace(FRESH, authorities=(*FRESH.authorities, authority_from(WITHOUT_CRLS, [ROOT.parsed])))
    assert trust.ca_names_der == (ROOT.parsed.subject_der, ISSUING.parsed.subject_der)


ONLY_ANOTHER_ROOT = trusting(authorities=(authority_from(SETTINGS, [OTHER_ROOT.parsed]),))


@pytest.mark.parametrize(
    ("trust", "after", "expected"),
    [
        pytest.param(FRESH, timedelta(0), None, id="nothing changed"),
        pytest.param(replace(FRESH, enabled=False), timedelta(0), "DEVICE_TRUST_DISABLED", id="switched off"),
        pytest.param(
            trusting(authorities=()), timedelta(0), "UNKNOWN_ISSUER", id="the authority was removed"
        ),
        pytest.param(ONLY_ANOTHER_ROOT, timedelta(0), "UNKNOWN_ISSUER", id="its root was replaced"),
        pytest.param(FRESH, 31 * DAY, "EXPIRED", id="expired since"),
        pytest.param(
            trusting((ROOT, forge_crl(ROOT)), (ISSUING, REVOKES_DEVICE)),
            timedelta(0),
            "REVOKED",
            id="revoked since",
        ),
        pytest.param(
            trusting((ROOT, REVOKES_ISSUING), (ISSUING, forge_crl(ISSUING))),
            timedelta(0),
            "REVOKED",
            id="its issuer was revoked since",
        ),
        pytest.param(FRESH, 2 * DAY, "REVOCATION_UNKNOWN", id="the CRL went stale since"),
    ],
)
def test_a_device_is_judged_again_from_its_sealed_values(
    trust: TrustSnapshot, after: timedelta, expected: str | None
) -> None:
    found = recheck(verified(), trust, NOW + after)
    assert reason(found) == expected
    if isinstance(found, NotTrusted):
        assert (found.device, found.certificate_thumbprint) == ("urn:device:1", DEVICE.parsed.thumbprint)


def test_a_session_follows_the_authoritys_present_user_binding() -> None:
    loosened = trusting(settings=replace(WITHOUT_CRLS, name="corp", user_binding_required=False))
    found = recheck(verified(), loosened, NOW)
    assert isinstance(found, VerifiedDevice)
    assert not found.user_binding_required


OPTIONAL = replace(
    FRESH,
    authorities=(replace(FRESH.authorities[0], settings=replace(SETTINGS, user_binding_required=False)),),
)
NO_USER = forge_device("device", ISSUING)


@pytest.mark.parametrize(
    ("device", "trust", "user", "expected"),
    [
        pytest.param(DEVICE, FRESH, "alice@example.test", None, id="required, the same user"),
        pytest.param(DEVICE, FRESH, "Alice@EXAMPLE.test", None, id="required, the same in other case"),
        pytest.param(DEVICE, FRESH, "bob@example.test", "USER_MISMATCH", id="required, another user"),
        pytest.param(DEVICE, FRESH, "alice@example.test ", "USER_MISMATCH", id="required, not exactly"),
        pytest.param(DEVICE, FRESH, "alice", "USER_MISMATCH", id="required, only a part"),
        pytest.param(DEVICE, FRESH, "", "USER_MISMATCH", id="required, nobody"),
        pytest.param(
            NO_USER, FRESH, "alice@example.test", "USER_MISMATCH", id="required, none in the certificate"
        ),
        pytest.param(NO_USER, OPTIONAL, "alice@example.test", None, id="optional, none in the certificate"),
        pytest.param(DEVICE, OPTIONAL, "alice@example.test", None, id="optional, the same user"),
        pytest.param(DEVICE, OPTIONAL, "bob@example.test", "USER_MISMATCH", id="optional, another user"),
        pytest.param(
            EXPIRED, FRESH, "alice@example.test", "EXPIRED", id="an untrusted device keeps its reason"
        ),
    ],
)
def test_the_certificates_user_must_be_the_one_who_signs_on(
    device: Forged, trust: TrustSnapshot, user: str, expected: str | None
) -> None:
    assert reason(bind_user(verdict(device, trust), user, trust.own)) == expected


# What the org says.

BUILTIN = replace(SETTINGS, name="builtin", certificates="", crls=(), builtin=True)


def own_says(*changes: OrgChange, loaded: bool = True) -> TrustSnapshot:
    """The CA in the store, whose org says this."""
    trust = trusting(authorities=(authority_from(BUILTIN, [ISSUING.parsed]),))
    return replace(trust, own=OwnRevocations().with_changes(changes) if loaded else None)


IDENTITY = CertificateId(ISSUING.parsed.issuer_hash, DEVICE.parsed.serial_number)
REVOKED = OrgChange(1, certificate=IDENTITY, revoked=True)
ANOTHER = OrgChange(1, certificate=replace(IDENTITY, issuer=ROOT.parsed.issuer_hash), revoked=True)


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ((), None),
        ((REVOKED,), TrustReason.REVOKED),
        ((REVOKED, replace(REVOKED, revoked=False)), None),
        ((ANOTHER,), None),
        ((OrgChange(1, device=("urn:device:1", False)),), TrustReason.DEVICE_DEACTIVATED),
        ((OrgChange(1, device=("urn:DEVICE:1", False)),), None),
        ((REVOKED, OrgChange(1, device=("urn:device:1", False))), TrustReason.REVOKED),
        ((OrgChange(1, user=("alice@example.test", False)),), TrustReason.USER_DEACTIVATED),
        ((OrgChange(1, user=("bob@example.test", False)),), None),
    ],
    ids=[
        "nothing: trusted without any CRL",
        "the certificate is revoked",
        "it was on hold, and is no more",
        "the same number of another issuer is revoked",
        "the device is deactivated",
        "a device of another name is",
        "both: the certificate comes first",
        "the user is deactivated, however the assertion writes the name",
        "another user is",
    ],
)
def test_what_the_org_says_counts_at_once_for_handshakes_tickets_and_sessions(
    said: tuple[OrgChange, ...], expected: TrustReason | None
) -> None:
    before = own_says()
    cache = PathCache()
    earlier = verdict(trust=before, cache=cache)
    assert isinstance(earlier, VerifiedDevice)
    trust = own_says(*said)
    for found in (verdict(trust=trust, cache=cache), recheck(earlier, trust, NOW)):
        assert reason(bind_user(found, "Alice@Example.test", trust.own)) == expected
        if found is not earlier and isinstance(found, NotTrusted):
            assert (found.device, found.certificate_thumbprint) == (
                earlier.device,
                earlier.certificate_thumbprint,
            )


def test_devices_and_users_of_other_authorities_can_be_deactivated_too() -> None:
    device = OrgChange(1, device=("urn:device:1", False))
    user = OrgChange(1, user=("alice@example.test", False))
    for change, expected in ((device, "DEVICE_DEACTIVATED"), (user, "USER_DEACTIVATED")):
        trust = replace(FRESH, own=OwnRevocations().with_changes([change]))
        assert reason(bind_user(verdict(trust=trust), "alice@example.test", trust.own)) == expected
        again = recheck(verified(), trust, NOW)
        assert reason(bind_user(again, "alice@example.test", trust.own)) == expected


def test_nothing_is_trusted_before_the_org_has_said_anything() -> None:
    trust = own_says(loaded=False)
    expected = TrustReason.REVOCATION_UNKNOWN
    earlier = verified()
    assert reason(verdict(trust=trust)) == expected
    assert reason(verdict(trust=replace(FRESH, own=None))) == expected
    assert reason(recheck(earlier, replace(FRESH, own=None), NOW)) == expected
    assert reason(bind_user(earlier, "alice@example.test", None)) == expected
    assert reason(verdict(None, trust)) == TrustReason.NO_CERTIFICATE


def test_a_user_who_is_deactivated_comes_before_a_certificate_of_somebody_else() -> None:
    trust = own_says(OrgChange(1, user=("bob@example.test", False)))
    found = bind_user(verdict(trust=trust), "bob@example.test", trust.own)
    assert reason(found) == TrustReason.USER_DEACTIVATED
