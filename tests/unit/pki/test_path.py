"""Certification paths: what leads to an anchor, and the reason when nothing does."""

import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID
from support.forge import (
    DAY,
    NOW,
    Forged,
    common_name,
    forge,
    forge_authority,
    forge_device,
    key_usage,
)

from gateway.model.reasons import TrustReason
from gateway.pki.certificate import CertificateRejected
from gateway.pki.path import MAX_SIGNATURE_VERIFICATIONS, CertificationPath, SearchBudget, build_path

SERVER_AUTH = ExtendedKeyUsageOID.SERVER_AUTH
EMAIL_PROTECTION = ExtendedKeyUsageOID.EMAIL_PROTECTION

ROOT = forge_authority("Root")
ISSUING = forge_authority("Issuing", ROOT)
DEVICE = forge_device("device", ISSUING)
STRANGER = forge_authority("Stranger")


def path_of(
    device: Forged,
    *,
    anchors: tuple[Forged, ...] = (ROOT,),
    configured: tuple[Forged, ...] = (),
    presented: tuple[Forged, ...] = (),
    budget: SearchBudget | None = None,
) -> CertificationPath:
    return build_path(
        device.parsed,
        [anchor.parsed for anchor in anchors],
        [each.parsed for each in configured],
        [each.parsed for each in presented],
        NOW,
        budget=budget,
    )


def reason_of(device: Forged, **sets: tuple[Forged, ...]) -> TrustReason:
    with pytest.raises(CertificateRejected) as caught:
        path_of(device, **sets)  # type: ignore[arg-type]  # the budget is not passed this way
    return caught.value.reason


@pytest.mark.parametrize(
    ("sets", "length"),
    [
        pytest.param({"presented": (ISSUING,)}, 3, id="by a presented intermediate"),
        pytest.param({"configured": (ISSUING,)}, 3, id="by a configured intermediate"),
        pytest.param({"anchors": (ISSUING,)}, 2, id="to an issuing authority that is the anchor"),
        pytest.param({"anchors": (ROOT, ISSUING), "presented": (ISSUING,)}, 2, id="to the nearest anchor"),
        pytest.param({"presented": (STRANGER, ISSUING, ROOT)}, 3, id="past certificates that do not matter"),
    ],
)
def test_a_path_leads_to_an_anchor(sets: dict[str, tuple[Forged, ...]], length: int) -> None:
    path = path_of(DEVICE, **sets)  # type: ignore[arg-type]  # the budget is not passed this way
    assert len(path.certificates) == length
    assert path.certificates[0] == DEVICE.parsed


def test_a_path_knows_the_serials_with_their_issuers_and_the_earliest_end() -> None:
    issuing = forge_authority("Issuing", ROOT, not_before=NOW - DAY / 2, not_after=NOW + DAY)
    device = forge_device("device", issuing)
    path = path_of(device, presented=(issuing,))
    assert [each.issuer for each in path.certificate_ids] == [
        issuing.parsed.issuer_hash,
        ROOT.parsed.issuer_hash,
    ]
    assert [each.serial_number for each in path.certificate_ids] == [
        device.parsed.serial_number,
        issuing.parsed.serial_number,
    ]
    assert (path.not_before, path.not_after) == (NOW - DAY / 2, NOW + DAY)


LIMITED = forge_authority("Limited", ROOT, path_length=0)
BELOW_LIMITED = forge_authority("Below limited", LIMITED)
NOT_AN_AUTHORITY = forge("No authority", ROOT, extensions=[(x509.BasicConstraints(False, None), True)])
MAY_NOT_SIGN = forge_authority("May not sign", ROOT, usage=key_usage(crl_sign=True))
FOR_SERVERS = forge_authority("For servers", ROOT, extra=[(x509.ExtendedKeyUsage([SERVER_AUTH]), False)])
EXPIRED_ISSUER = forge_authority("Expired issuer", ROOT, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
UNKNOWN_EXTENSION = (
    x509.UnrecognizedExtension(x509.ObjectIdentifier("1.3.6.1.4.1.55555.2"), b"\x05\x00"),
    True,
)
ODD_ISSUER = forge_authority("Odd issuer", ROOT, extra=[UNKNOWN_EXTENSION])
SAME_NAME_AS_ISSUING = forge_authority("Issuing", STRANGER)


@pytest.mark.parametrize(
    ("device", "presented", "reason"),
    [
        pytest.param(DEVICE, (), TrustReason.UNKNOWN_ISSUER, id="the intermediate is missing"),
        pytest.param(forge_device("d", STRANGER), (STRANGER,), TrustReason.UNKNOWN_ISSUER, id="another root"),
        pytest.param(forge("d"), (), TrustReason.UNKNOWN_ISSUER, id="a self-signed certificate"),
        pytest.param(
            forge_device("d", SAME_NAME_AS_ISSUING),
            (SAME_NAME_AS_ISSUING,),
            TrustReason.UNKNOWN_ISSUER,
            id="an issuer that only has the right name",
        ),
        pytest.param(
            forge("d", STRANGER, issuer=ROOT.subject),
            (),
            TrustReason.INVALID_CHAIN,
            id="the anchor's name, another's key",
        ),
        pytest.param(
            forge_device("d", BELOW_LIMITED),
            (BELOW_LIMITED, LIMITED),
            TrustReason.INVALID_CHAIN,
            id="path length",
        ),
        pytest.param(
            forge_device("d", NOT_AN_AUTHORITY),
            (NOT_AN_AUTHORITY,),
            TrustReason.INVALID_CHAIN,
            id="an issuer that is no authority",
        ),
        pytest.param(
            forge_device("d", MAY_NOT_SIGN),
            (MAY_NOT_SIGN,),
            TrustReason.INVALID_CHAIN,
            id="an issuer without keyCertSign",
        ),
        pytest.param(
            forge_device("d", ODD_ISSUER),
            (ODD_ISSUER,),
            TrustReason.INVALID_CHAIN,
            id="unknown critical extension above",
        ),
        pytest.param(
            forge_device("d", ROOT, extra=[UNKNOWN_EXTENSION]),
            (),
            TrustReason.INVALID_CHAIN,
            id="unknown critical extension",
        ),
        pytest.param(
            forge_device(x509.Name([]), ROOT),
            (),
            TrustReason.INVALID_CHAIN,
            id="no subject, and other names not critical",
        ),
        pytest.param(
            forge_device("d", ROOT, not_before=NOW + DAY), (), TrustReason.NOT_YET_VALID, id="not valid yet"
        ),
        pytest.param(
            forge_device("d", ROOT, not_before=NOW - 9 * DAY, not_after=NOW - DAY),
            (),
            TrustReason.EXPIRED,
            id="expired",
        ),
        pytest.param(
            forge_device("d", EXPIRED_ISSUER),
            (EXPIRED_ISSUER,),
            TrustReason.EXPIRED,
            id="an expired intermediate",
        ),
        pytest.param(
            forge_device("d", ROOT, extended_usages=[SERVER_AUTH]),
            (),
            TrustReason.WRONG_KEY_USAGE,
            id="for servers only",
        ),
        pytest.param(
            forge_device("d", FOR_SERVERS),
            (FOR_SERVERS,),
            TrustReason.WRONG_KEY_USAGE,
            id="an issuer for servers only",
        ),
        pytest.param(
            forge_device("d", ROOT, usage=key_usage()),
            (),
            TrustReason.WRONG_KEY_USAGE,
            id="a key not for signatures",
        ),
        pytest.param(ISSUING, (), TrustReason.WRONG_KEY_USAGE, id="an authority as a device"),
        pytest.param(
            forge_device("d", ROOT, usage=key_usage(digital_signature=True, key_cert_sign=True)),
            (),
            TrustReason.WRONG_KEY_USAGE,
            id="keyCertSign without being an authority",
        ),
        pytest.param(
            forge_device("d", STRANGER, not_before=NOW - 9 * DAY, not_after=NOW - DAY),
            (STRANGER,),
            TrustReason.UNKNOWN_ISSUER,
            id="expired and of an unknown issuer: the issuer comes first",
        ),
        pytest.param(
            forge_device(
                "d", ROOT, extended_usages=[SERVER_AUTH], not_before=NOW - 9 * DAY, not_after=NOW - DAY
            ),
            (),
            TrustReason.EXPIRED,
            id="expired and for servers: the dates come first",
        ),
    ],
)
def test_a_path_that_does_not_hold_says_why(
    device: Forged, presented: tuple[Forged, ...], reason: TrustReason
) -> None:
    assert reason_of(device, presented=presented) is reason


@pytest.mark.parametrize(
    "device",
    [
        pytest.param(forge_device("d", ROOT, extended_usages=[]), id="no extendedKeyUsage"),
        pytest.param(
            forge_device("d", ROOT, extended_usages=[ExtendedKeyUsageOID.ANY_EXTENDED_KEY_USAGE]),
            id="any usage",
        ),
        pytest.param(
            forge_device("d", ROOT, extended_usages=[EMAIL_PROTECTION, ExtendedKeyUsageOID.CLIENT_AUTH]),
            id="client authentication among others",
        ),
        pytest.param(forge("d", ROOT), id="no extension at all"),
        pytest.param(
            forge_device("d", ROOT, key=ec.generate_private_key(ec.SECP384R1())), id="another curve"
        ),
    ],
)
def test_a_usage_that_is_not_limited_to_others_passes(device: Forged) -> None:
    assert len(path_of(device).certificates) == 2


@pytest.mark.parametrize(
    ("offset", "holds"), [(-1, False), (0, True), (30 * 86_400, True), (30 * 86_400 + 1, False)]
)
def test_dates_hold_to_the_second_at_both_ends(offset: int, holds: bool) -> None:
    device = forge_device("d", ROOT, not_before=NOW, not_after=NOW + 30 * DAY).parsed
    now = NOW + offset * DAY / 86_400

    def attempt() -> bool:
        try:
            build_path(device, [ROOT.parsed], [], [], now.replace(microsecond=999_999))
        except CertificateRejected:
            return False
        return True

    assert attempt() is holds


def test_an_expired_cross_certificate_does_not_hide_the_path_that_holds() -> None:
    issuing_key = ec.generate_private_key(ec.SECP256R1())
    other_root = forge_authority("Other root")
    expired = forge_authority(
        "Issuing", other_root, key=issuing_key, not_before=NOW - 9 * DAY, not_after=NOW - DAY
    )
    current = forge_authority("Issuing", ROOT, key=issuing_key)
    device = forge_device("d", current)
    path = path_of(device, anchors=(other_root, ROOT), presented=(expired, current))
    assert path.certificates[-1] == ROOT.parsed


def test_a_self_issued_certificate_for_a_new_key_counts_neither_for_path_length_nor_depth() -> None:
    first = forge_authority("Issuing", ROOT, path_length=0)
    renewed = forge_authority("Issuing", first, path_length=0)
    assert len(path_of(forge_device("d", renewed), presented=(renewed, first)).certificates) == 4


def test_a_key_identifier_puts_the_right_one_of_many_issuers_first() -> None:
    many = [forge_authority("Same", ROOT) for _ in range(60)]
    right_key = ec.generate_private_key(ec.SECP256R1())
    right = forge_authority(
        "Same", ROOT, key=right_key,
        extra=[(x509.SubjectKeyIdentifier.from_public_key(right_key.public_key()), False)],
    )  # fmt: skip
    hint = (x509.AuthorityKeyIdentifier.from_issuer_public_key(right_key.public_key()), False)
    hinted = forge_device("d", right, extra=[hint])
    assert len(path_of(hinted, presented=(*many, right)).certificates) == 3
    assert reason_of(forge_device("d", right), presented=(*many, right)) is TrustReason.INVALID_CHAIN


def test_a_circle_of_authorities_ends() -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    first = forge_authority("First", key=keys[0])
    second_by_first = forge_authority("Second", first, key=keys[1])
    first_by_second = forge_authority("First", second_by_first, key=keys[0])
    budget = SearchBudget(steps=8)
    with pytest.raises(CertificateRejected) as caught:
        path_of(
            forge_device("d", second_by_first),
            presented=(second_by_first, first_by_second, first),
            budget=budget,
        )
    assert caught.value.reason is TrustReason.UNKNOWN_ISSUER, "found out within a few steps"


def test_authorities_that_all_sign_one_another_cost_a_bounded_number_of_signatures() -> None:
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(12)]
    roots = [forge_authority(f"CA {i}", key=key) for i, key in enumerate(keys)]
    mesh = [
        forge_authority(f"CA {i}", signer, key=keys[i])
        for signer in roots
        for i in range(12)
        if signer.subject != common_name(f"CA {i}")
    ]
    budget = SearchBudget()
    began = time.perf_counter()
    with pytest.raises(CertificateRejected) as caught:
        path_of(forge_device("d", roots[0]), presented=tuple(mesh), budget=budget)
    assert caught.value.reason is TrustReason.INVALID_CHAIN
    assert budget.signatures_left >= -1
    assert time.perf_counter() - began < 0.5


def test_the_signature_bound_leaves_room_for_the_longest_path() -> None:
    chain = [ROOT]
    for number in range(6):
        chain.append(forge_authority(f"Level {number}", chain[-1]))
    budget = SearchBudget()
    device = forge_device("d", chain[-1])
    path = path_of(device, presented=tuple(reversed(chain)), budget=budget)
    assert len(path.certificates) == 8
    assert MAX_SIGNATURE_VERIFICATIONS - budget.signatures_left == 7
    too_deep = forge_authority("Level 6", chain[-1])
    assert reason_of(forge_device("d", too_deep), presented=(too_deep, *chain)) is TrustReason.UNKNOWN_ISSUER


def test_self_issued_certificates_do_not_make_a_path_endless() -> None:
    chain = [forge_authority("Issuing", ROOT)]
    for _ in range(12):
        chain.append(forge_authority("Issuing", chain[-1]))
    plenty = SearchBudget(signatures=10_000, steps=10_000)
    with pytest.raises(CertificateRejected) as caught:
        path_of(forge_device("d", chain[-1]), presented=tuple(chain), budget=plenty)
    assert caught.value.reason is TrustReason.UNKNOWN_ISSUER


def test_of_several_reasons_the_one_that_got_furthest_is_given() -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    no_authority = forge("Issuing", ROOT, key=key, extensions=[(x509.BasicConstraints(False, None), True)])
    expired = forge_authority("Issuing", ROOT, key=key, not_before=NOW - 9 * DAY, not_after=NOW - DAY)
    device = forge_device("d", expired)
    assert reason_of(device, presented=(no_authority,)) is TrustReason.INVALID_CHAIN
    assert reason_of(device, presented=(no_authority, expired)) is TrustReason.EXPIRED
    assert reason_of(device, presented=(expired, no_authority)) is TrustReason.EXPIRED
