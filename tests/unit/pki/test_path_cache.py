"""The path cache as a dialogue: what is found again, and what is forgotten when."""

from dataclasses import replace
from random import Random

import pytest
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.forge import DAY, NOW, Forged, forge, forge_authority, forge_crl, forge_device

from gateway.model.device import NotTrusted, PeerCertificate, TrustVerdict, VerifiedDevice
from gateway.model.reasons import TrustReason
from gateway.model.settings import AuthoritySettings, DeviceFrom, UserFrom
from gateway.pki.authority import TrustSnapshot, authority_from
from gateway.pki.crl import parse_crl
from gateway.pki.path_cache import PathCache
from gateway.pki.signature import PublicKey, verify_signature
from gateway.pki.trust import verify_device

ROOT = forge_authority("Root")
ISSUING = forge_authority("Issuing", ROOT)
DEVICE = forge_device("device", ISSUING)
SETTINGS = AuthoritySettings(
    name="corp",
    certificates="/etc/corp.pem",
    crls=("/etc/corp.crl",),
    stale_crl_allowed_for=None,
    user_binding_required=True,
    device_from=DeviceFrom.SAN_URI,
    user_from=UserFrom.SAN_UPN,
)
WITHOUT_CRLS = replace(SETTINGS, crls=())
TRUST = TrustSnapshot(True, (authority_from(WITHOUT_CRLS, [ROOT.parsed]),), generation=1)


def reason(found: TrustVerdict) -> TrustReason | None:
    return found.reason if isinstance(found, NotTrusted) else None


def ask(
    cache: PathCache,
    device: Forged = DEVICE,
    *presented: Forged,
    trust: TrustSnapshot = TRUST,
    days: float = 0,
) -> TrustVerdict:
    peer = PeerCertificate(device.der, tuple(each.der for each in presented))
    return verify_device(peer, trust, NOW + days * DAY, cache)


def test_a_known_path_needs_its_intermediates_only_once() -> None:
    cache = PathCache()
    assert reason(ask(cache)) is TrustReason.UNKNOWN_ISSUER
    assert isinstance(ask(cache, DEVICE, ISSUING), VerifiedDevice)
    assert isinstance(ask(cache), VerifiedDevice)


def test_failures_are_not_kept() -> None:
    cache = PathCache()
    ask(cache)
    ask(cache, forge_device("d", forge_authority("Stranger")))
    assert len(cache) == 0


def test_one_certificate_takes_one_entry_whatever_comes_with_it() -> None:
    cache = PathCache()
    for _ in range(20):
        ask(cache, DEVICE, ISSUING, forge_authority("Junk"))
    assert len(cache) == 1


def test_a_path_is_forgotten_when_one_of_its_certificates_expires() -> None:
    short = forge_authority("Short", ROOT, not_after=NOW + DAY)
    device = forge_device("d", short)
    cache = PathCache()
    assert isinstance(ask(cache, device, short), VerifiedDevice)
    assert isinstance(ask(cache, device, short, days=1), VerifiedDevice)
    assert reason(ask(cache, device, short, days=1.1)) is TrustReason.EXPIRED
    assert reason(ask(cache, device, short, days=-2)) is TrustReason.NOT_YET_VALID
    assert len(cache) == 0


def test_a_change_of_authorities_forgets_all_even_if_the_generation_was_forgotten() -> None:
    cache = PathCache()
    ask(cache, DEVICE, ISSUING)
    removed = replace(
        TRUST, authorities=(authority_from(WITHOUT_CRLS, [forge_authority("New root").parsed]),)
    )
    assert reason(ask(cache, DEVICE, ISSUING, trust=removed)) is TrustReason.UNKNOWN_ISSUER
    ask(cache, DEVICE, ISSUING)
    assert reason(ask(cache, trust=replace(TRUST, generation=2))) is TrustReason.UNKNOWN_ISSUER


def test_a_revocation_counts_at_once_for_a_remembered_path() -> None:
    trust = TrustSnapshot(True, (authority_from(SETTINGS, [ISSUING.parsed]),))
    issuing = [ISSUING.parsed]
    fresh = replace(
        trust, revocation=trust.revocation.with_crl(parse_crl(forge_crl(ISSUING, number=1), issuing))
    )
    revoking = parse_crl(forge_crl(ISSUING, [DEVICE.parsed.serial_number], number=2), issuing)
    revoked = replace(fresh, revocation=fresh.revocation.with_crl(revoking))
    cache = PathCache()
    assert isinstance(ask(cache, trust=fresh), VerifiedDevice)
    assert reason(ask(cache, trust=revoked)) is TrustReason.REVOKED
    assert len(cache) == 1, "the path was remembered; the revocation was not"


def test_the_least_recently_used_path_goes_first() -> None:
    cache = PathCache(entries=2)
    first, second, third = (forge_device(f"d{number}", ISSUING) for number in range(3))
    for device in (first, second, first, third):
        ask(cache, device, ISSUING)
    assert len(cache) == 2
    assert isinstance(ask(cache, first), VerifiedDevice)
    assert isinstance(ask(cache, third), VerifiedDevice)
    assert reason(ask(cache, second)) is TrustReason.UNKNOWN_ISSUER


def test_the_authorities_own_certificates_are_known_by_their_bytes() -> None:
    certificate = TRUST.authorities[0].certificates[0]
    cache = PathCache()
    assert cache.issuer(certificate.der, TRUST) is certificate
    assert cache.issuer(certificate.der + b"x", TRUST) is None
    assert cache.issuer(certificate.der, TrustSnapshot(True, (), generation=2)) is None


# The authorities above a device that passed are learned: what that saves, and what it must not let through.


@pytest.fixture
def signatures_checked(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The to-be-signed bytes of every signature that is verified from here on."""
    seen: list[bytes] = []

    def counting(key: PublicKey, algorithm: bytes, signed: bytes, signature: bytes) -> bool:
        seen.append(signed)
        return verify_signature(key, algorithm, signed, signature)

    monkeypatch.setattr("gateway.pki.certificate.verify_signature", counting)
    return seen


def test_a_new_device_of_a_learned_authority_costs_one_signature(signatures_checked: list[bytes]) -> None:
    cache = PathCache()
    ask(cache, DEVICE, ISSUING)
    assert signatures_checked == [DEVICE.parsed.tbs_der, ISSUING.parsed.tbs_der]
    signatures_checked.clear()
    other = forge_device("other", ISSUING)
    assert isinstance(ask(cache, other, ISSUING), VerifiedDevice)
    assert signatures_checked == [other.parsed.tbs_der]
    learned = cache.issuer(ISSUING.der, TRUST)
    assert learned is not None
    assert cache.issuer(ISSUING.der, TRUST) is learned, "and is not parsed again"


def test_a_device_that_only_claims_a_learned_authority_is_refused() -> None:
    cache = PathCache()
    ask(cache, DEVICE, ISSUING)
    forged = forge("d", forge_authority("Stranger"), issuer=ISSUING.subject)
    assert reason(ask(cache, forged, ISSUING)) is TrustReason.UNKNOWN_ISSUER


def test_an_authority_with_the_name_and_key_of_a_learned_one_needs_a_signature_of_its_own() -> None:
    cache = PathCache()
    ask(cache, DEVICE, ISSUING)
    made_up = forge(ISSUING.subject, forge_authority("Stranger"), issuer=ROOT.subject, key=ISSUING.key)
    other = forge_device("other", made_up)
    assert reason(ask(cache, other, made_up)) is TrustReason.INVALID_CHAIN
    assert isinstance(ask(cache, other, ISSUING), VerifiedDevice), "the key is right, the certificate is not"


def test_a_learned_authority_is_a_candidate_only_where_it_comes_along() -> None:
    cache = PathCache()
    ask(cache, DEVICE, ISSUING)
    assert reason(ask(cache, forge_device("other", ISSUING))) is TrustReason.UNKNOWN_ISSUER


def test_a_learned_authority_ends_with_its_dates() -> None:
    short = forge_authority("Short", ROOT, not_after=NOW + DAY)
    cache = PathCache()
    assert isinstance(ask(cache, forge_device("d", short), short), VerifiedDevice)
    assert reason(ask(cache, forge_device("e", short), short, days=1.1)) is TrustReason.EXPIRED


def test_only_paths_that_passed_teach() -> None:
    cache = PathCache()
    server = forge_device("server", ISSUING, extended_usages=[ExtendedKeyUsageOID.SERVER_AUTH])
    assert reason(ask(cache, server, ISSUING)) is TrustReason.WRONG_KEY_USAGE
    assert cache.issuer(ISSUING.der, TRUST) is None
    assert not cache.signatures(TRUST)


def test_what_was_learned_goes_with_the_authorities() -> None:
    cache = PathCache()
    ask(cache, DEVICE, ISSUING)
    assert cache.signatures(TRUST)
    reloaded = replace(TRUST, generation=2)
    assert cache.issuer(ISSUING.der, reloaded) is None
    assert not cache.signatures(reloaded)


def test_what_is_learned_is_bounded() -> None:
    cache = PathCache(learned_issuers=2)
    issuing = [forge_authority(f"Issuing {number}", ROOT) for number in range(5)]
    for authority in issuing:
        assert isinstance(ask(cache, forge_device("d", authority), authority), VerifiedDevice)
        held = [each for each in issuing if cache.issuer(each.der, TRUST) is not None]
        assert authority in held
        assert len(held) <= 2
        assert len(cache.signatures(TRUST)) <= 3


STRANGER = forge_authority("Stranger")
MADE_UP = forge(ISSUING.subject, STRANGER, issuer=ROOT.subject, key=ISSUING.key)
RENEWED = forge_authority("Issuing", ROOT, key=ISSUING.key)
ENDED = forge_authority("Ended", ROOT, not_before=NOW - 2 * DAY, not_after=NOW - DAY)
CANNOT_SIGN = forge_device("no authority", ROOT)
PEERS: list[tuple[Forged, tuple[Forged, ...]]] = [
    (DEVICE, (ISSUING,)),
    (DEVICE, ()),
    (forge_device("of a renewed authority", RENEWED), (RENEWED,)),
    (forge_device("with the certificate before", RENEWED), (ISSUING,)),
    (forge_device("with a made-up authority", MADE_UP), (MADE_UP,)),
    (forge_device("with both", MADE_UP), (MADE_UP, ISSUING)),
    (forge("claims the authority", STRANGER, issuer=ISSUING.subject), (ISSUING,)),
    (forge_device("of an authority that ended", ENDED), (ENDED,)),
    (forge_device("of a device", CANNOT_SIGN), (CANNOT_SIGN,)),
    (forge_device("of a stranger", STRANGER), (STRANGER, ISSUING)),
    (forge_device("ended", ISSUING, not_before=NOW - 2 * DAY, not_after=NOW - DAY), (ISSUING,)),
    (ISSUING, (ROOT,)),
]


@pytest.mark.parametrize("seed", range(20))
def test_what_was_learned_from_others_never_changes_a_verdict(seed: int) -> None:
    """But for the one change that is meant: a device that passed is known without its authority."""
    cold = {index: ask(PathCache(), device, *presented) for index, (device, presented) in enumerate(PEERS)}
    assert {reason(verdict) for verdict in cold.values()} >= {
        None,
        TrustReason.UNKNOWN_ISSUER,
        TrustReason.INVALID_CHAIN,
        TrustReason.EXPIRED,
        TrustReason.WRONG_KEY_USAGE,
    }
    order = list(range(len(PEERS))) * 2
    Random(seed).shuffle(order)
    cache, passed = PathCache(), set[bytes]()
    for index in order:
        device, presented = PEERS[index]
        verdict = ask(cache, device, *presented)
        if isinstance(cold[index], VerifiedDevice):
            passed.add(device.der)
        if device.der in passed:
            assert isinstance(verdict, VerifiedDevice)
        else:
            assert verdict == cold[index]
