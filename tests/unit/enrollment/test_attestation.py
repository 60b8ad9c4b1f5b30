"""What a TPM has to show of a key, as a table of what may be wrong; and secrets that only one TPM opens."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from support import software_tpm as tpm
from support.forge import DAY, NOW, Forged, forge_authority, forge_device
from support.software_tpm import SoftwareTpm

from gateway.enrollment.attestation import (
    Challenge,
    Evidence,
    challenge,
    qualifying_data,
    verify_attestation,
)
from gateway.enrollment.credential_protection import (
    SECRET_BYTES,
    SEED_BYTES,
    EndorsementKeyRefused,
    make_credential,
)
from gateway.enrollment.endorsement import EndorsementKey, VendorAuthorities, verify_endorsement
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.enrollment.tpm_structures import (
    MAX_STRUCTURE_BYTES,
    ObjectAttributes,
    TpmStructureInvalid,
    read_certified,
    read_public,
    read_signature,
)

NONCE = "n" * 51
REQUEST = hashlib.sha256(b"a certification request").digest()
SECRET, SEED = bytes(range(SECRET_BYTES)), bytes(range(100, 100 + SEED_BYTES))
VENDORS = VendorAuthorities((tpm.VENDOR.parsed,))
TPM = SoftwareTpm()
OTHER = SoftwareTpm()


def endorsement(chip: SoftwareTpm = TPM) -> EndorsementKey:
    return verify_endorsement(chip.ek_certificate, (), VENDORS, NOW)


def asked_of(chip: SoftwareTpm = TPM, **changes: Any) -> Challenge:
    asked, _ = challenge(endorsement(chip), chip.ak_public, NONCE, SECRET, SEED)
    return replace(asked, **changes)


def shown_by(chip: SoftwareTpm = TPM, *, extra_data: bytes | None = None, **changes: Any) -> Evidence:
    info, signature = chip.certify(qualifying_data(NONCE, REQUEST) if extra_data is None else extra_data)
    return replace(Evidence(SECRET, chip.ak_public, info, signature, chip.key_public), **changes)


def verify(asked: Challenge, shown: Evidence, chip: SoftwareTpm = TPM, **changes: Any) -> None:
    said = {"nonce": NONCE, "request_sha256": REQUEST, "request_spki_der": chip.key_spki} | changes
    verify_attestation(asked, shown, **said)


@pytest.mark.parametrize(
    "chip",
    [
        pytest.param(TPM, id="P-256"),
        pytest.param(SoftwareTpm(ak=tpm.rsa_key(0)), id="an RSA attestation key"),
        pytest.param(SoftwareTpm(key=tpm.rsa_key(1)), id="an RSA key of the device"),
        pytest.param(SoftwareTpm(ek=tpm.rsa_key(2)), id="an RSA endorsement key"),
        pytest.param(
            SoftwareTpm(
                ec.generate_private_key(ec.SECP384R1()),
                ec.generate_private_key(ec.SECP384R1()),
                ec.generate_private_key(ec.SECP521R1()),
            ),
            id="P-384 and P-521",
        ),
    ],
)
def test_a_key_that_stays_in_its_tpm_is_believed(chip: SoftwareTpm) -> None:
    asked, credential = challenge(endorsement(chip), chip.ak_public, NONCE, SECRET, SEED)
    secret = tpm.open_credential(
        chip.ek, tpm.name_of(chip.ak_public), credential.credential_blob, credential.encrypted_secret
    )
    assert secret == SECRET
    verify(asked, shown_by(chip, secret=secret), chip)


@pytest.mark.parametrize("hash_id", [0x0B, 0x0C, 0x0D])
@pytest.mark.parametrize("pss", [False, True])
def test_rsa_attestation_keys_sign_in_either_scheme_with_any_strong_hash(pss: bool, hash_id: int) -> None:
    chip = SoftwareTpm(ak=tpm.rsa_key(0))
    shown = shown_by(chip)
    signed = tpm.signature(chip.ak, shown.certify_info, pss=pss, hash_id=hash_id)
    verify(asked_of(chip), replace(shown, signature=signed), chip)


def movable(without: int) -> SoftwareTpm:
    return replace(TPM, key_attributes=tpm.DEVICE_KEY & ~without)


def attesting(attributes: int) -> SoftwareTpm:
    return replace(TPM, ak_attributes=attributes)


INFO = shown_by().certify_info
WRONG: list[tuple[str, Any, str]] = [
    ("another nonce in the token", lambda: verify(asked_of(), shown_by(), nonce="m" * 51), "another nonce"),
    ("a challenge of another nonce", lambda: verify(asked_of(nonce="m"), shown_by()), "another nonce"),
    (
        "certified for another nonce",
        lambda: verify(asked_of(), shown_by(extra_data=qualifying_data("m" * 51, REQUEST))),
        "for another nonce",
    ),
    (
        "certified for another request",
        lambda: verify(asked_of(), shown_by(), request_sha256=bytes(32)),
        "another certification request",
    ),
    ("certified for nothing", lambda: verify(asked_of(), shown_by(extra_data=b"")), "for another nonce"),
    ("another secret", lambda: verify(asked_of(), shown_by(secret=bytes(32))), "not the one"),
    ("no secret", lambda: verify(asked_of(), shown_by(secret=b"")), "not the one"),
    (
        "another TPM's attestation key",
        lambda: verify(asked_of(), shown_by(replace(TPM, ak=OTHER.ak))),
        "another attestation key",
    ),
    (
        "signed by another key",
        lambda: verify(asked_of(), shown_by(signature=tpm.signature(OTHER.ak, INFO))),
        "not signed by",
    ),
    (
        "signed with the other kind of key",
        lambda: verify(asked_of(), shown_by(signature=tpm.signature(tpm.rsa_key(0), INFO))),
        "not signed by",
    ),
    (
        "tampered with",
        lambda: verify(asked_of(), shown_by(certify_info=INFO[:-1] + b"!")),
        "not signed by",
    ),
    (
        "another key of the same TPM in the request",
        lambda: verify(asked_of(), shown_by(), request_spki_der=OTHER.key_spki),
        "not the one of the certification request",
    ),
    (
        "the public area of another key",
        lambda: verify(asked_of(), shown_by(key_public=OTHER.key_public)),
        "another key was certified",
    ),
    ("a key that may leave", lambda: verify(asked_of(), shown_by(movable(tpm.FIXED_TPM))), "may leave"),
    ("a key that may be moved", lambda: verify(asked_of(), shown_by(movable(tpm.FIXED_PARENT))), "may leave"),
    (
        "a key that was imported",
        lambda: verify(asked_of(), shown_by(movable(tpm.SENSITIVE_DATA_ORIGIN))),
        "not made there",
    ),
    (
        "an attestation key that signs anything",
        lambda: asked_of(attesting(tpm.DEVICE_KEY)),
        "not a restricted signing key",
    ),
    (
        "an attestation key that decrypts as well",
        lambda: asked_of(attesting(tpm.ATTESTATION_KEY | tpm.DECRYPT)),
        "not a restricted signing key",
    ),
    (
        "an attestation key that may leave",
        lambda: asked_of(attesting(tpm.ATTESTATION_KEY & ~tpm.FIXED_TPM)),
        "not a restricted signing key",
    ),
    (
        "a quote instead of a certification",
        lambda: verify(asked_of(), shown_by(certify_info=tpm.certify_info(b"", b"", kind=0x8018))),
        "not of TPM2_Certify",
    ),
    (
        "a structure that no TPM made",
        lambda: verify(asked_of(), shown_by(certify_info=tpm.certify_info(b"", b"", magic=0xFF544348))),
        "not made by a TPM",
    ),
    ("no public area", lambda: verify(asked_of(), shown_by(key_public=b"")), "key_public: truncated"),
    ("no attestation key", lambda: verify(asked_of(), shown_by(ak_public=b"\x00")), "ak_public: truncated"),
    ("no signature", lambda: verify(asked_of(), shown_by(signature=b"")), "signature: truncated"),
]


@pytest.mark.parametrize(("attempt", "says"), [case[1:] for case in WRONG], ids=[case[0] for case in WRONG])
def test_what_does_not_fit_together_is_refused_with_what_was_seen(attempt: Any, says: str) -> None:
    with pytest.raises(EnrollmentRefused) as refused:
        attempt()
    assert refused.value.reason is EnrollmentRefusal.ATTESTATION_INVALID
    assert says in refused.value.detail


@pytest.mark.parametrize(
    "ek", [TPM.ek, tpm.rsa_key(2), tpm.rsa_key(3, 3_072)], ids=["P-256", "RSA", "RSA-3072"]
)
def test_a_credential_opens_in_no_other_tpm_and_for_no_other_key(ek: tpm.PrivateKey) -> None:
    credential = make_credential(ek.public_key(), b"\x00\x0bname", SECRET, SEED)
    assert tpm.open_credential(ek, b"\x00\x0bname", *as_sent(credential)) == SECRET
    assert tpm.open_credential(ek, b"\x00\x0bother", *as_sent(credential)) is None
    stranger = OTHER.ek if isinstance(ek, ec.EllipticCurvePrivateKey) else None
    if stranger is not None:
        assert tpm.open_credential(stranger, b"\x00\x0bname", *as_sent(credential)) is None
    elif ek.key_size == 2_048:
        with pytest.raises(ValueError):
            tpm.open_credential(tpm.rsa_key(1), b"\x00\x0bname", *as_sent(credential))


def as_sent(credential: Any) -> tuple[bytes, bytes]:
    return credential.credential_blob, credential.encrypted_secret


def test_an_endorsement_key_of_no_known_kind_gets_no_credential() -> None:
    with pytest.raises(EndorsementKeyRefused):
        make_credential(ec.generate_private_key(ec.SECP224R1()).public_key(), b"name", SECRET, SEED)


# The endorsement key's certificate.

BELOW = forge_authority("TPM vendor, issuing", tpm.VENDOR)
STRANGER = forge_authority("Nobody's TPMs")
SAME_NAME = forge_authority("TPM vendor")


def certificate(vendor: Forged = tpm.VENDOR, **changes: Any) -> bytes:
    return tpm.endorsement_certificate(TPM.ek, vendor, **changes)


def test_a_certificate_of_a_configured_vendor_is_believed_also_over_an_authority_that_comes_along() -> None:
    direct = verify_endorsement(certificate(), (), VENDORS, NOW)
    below = verify_endorsement(certificate(BELOW), (b"not a certificate", BELOW.der), VENDORS, NOW)
    assert direct == below, "the key is what is known again, whoever certified it"
    assert direct.fingerprint == hashlib.sha256(spki(TPM.ek)).hexdigest()
    assert verify_endorsement(certificate(BELOW), (), VendorAuthorities((BELOW.parsed,)), NOW) == direct


def spki(key: tpm.PrivateKey) -> bytes:
    return SoftwareTpm(key=key).key_spki


@pytest.mark.parametrize(
    ("der", "reason", "says"),
    [
        (certificate(STRANGER), "ATTESTATION_UNTRUSTED", "no path to a configured authority"),
        (certificate(SAME_NAME), "ATTESTATION_UNTRUSTED", "not signed by the issuer"),
        (certificate(BELOW), "ATTESTATION_UNTRUSTED", "no path to a configured authority"),
        (
            certificate(not_before=NOW - 9 * DAY, not_after=NOW - DAY),
            "ATTESTATION_UNTRUSTED",
            "has expired",
        ),
        (certificate(usages=[x509.ObjectIdentifier("2.23.133.8.3")]), "ATTESTATION_INVALID", "not the cert"),
        (
            certificate(usages=[tpm.EK_CERTIFICATE, x509.ObjectIdentifier("2.5.29.37.0")]),
            "ATTESTATION_INVALID",
            "not the certificate of an endorsement key",
        ),
        (
            forge_device("d", tpm.VENDOR).der,
            "ATTESTATION_INVALID",
            "not the certificate of an endorsement key",
        ),
        (b"", "ATTESTATION_INVALID", "certificate refused"),
    ],
    ids=[
        "another vendor's",
        "another vendor's of the same name",
        "an issuer that is missing",
        "expired",
        "an attestation key's",
        "for anything",
        "a device's",
        "nothing",
    ],
)
def test_a_certificate_that_is_not_an_endorsement_keys_of_a_known_vendor_is_refused(
    der: bytes, reason: str, says: str
) -> None:
    with pytest.raises(EnrollmentRefused) as refused:
        verify_endorsement(der, (), VENDORS, NOW)
    assert refused.value.reason == reason
    assert says in refused.value.detail


def test_without_configured_vendors_no_tpm_is_believed() -> None:
    with pytest.raises(EnrollmentRefused) as refused:
        verify_endorsement(certificate(), (), VendorAuthorities(), NOW + timedelta(seconds=1))
    assert refused.value.reason is EnrollmentRefusal.ATTESTATION_UNTRUSTED


# Structures.


def test_a_public_area_says_what_the_key_is_and_what_it_is_called() -> None:
    found = read_public(TPM.key_public)
    assert found.name == tpm.name_of(TPM.key_public)
    assert found.attributes == ObjectAttributes.FIXED_TPM | ObjectAttributes.FIXED_PARENT | (
        ObjectAttributes.SENSITIVE_DATA_ORIGIN | ObjectAttributes.SIGN
    )
    assert found.public_key == TPM.key.public_key()
    by_sha384 = tpm.public_area(TPM.key, tpm.DEVICE_KEY, name_algorithm=0x0C)
    assert read_public(by_sha384).name == tpm.name_of(by_sha384)
    with_scheme = tpm.public_area(TPM.ak, tpm.ATTESTATION_KEY, scheme=bytes.fromhex("0018000b"))
    assert read_public(with_scheme).public_key == TPM.ak.public_key()


PUBLIC = TPM.key_public
SMALL_RSA = tpm.public_area(tpm.rsa_key(9, 1_024), tpm.DEVICE_KEY)


@pytest.mark.parametrize(
    ("read", "data", "says"),
    [
        (read_public, PUBLIC + b"\0", "after its end"),
        (read_public, PUBLIC[:-1], "truncated"),
        (read_public, bytes(MAX_STRUCTURE_BYTES + 1), "larger than"),
        (read_public, b"\x00\x25" + PUBLIC[2:], "an object of type 0x0025"),
        (read_public, PUBLIC[:2] + b"\x00\x04" + PUBLIC[4:], "a name by algorithm 0x0004"),
        (read_public, PUBLIC[:-1] + bytes([PUBLIC[-1] ^ 1]), "not a point"),
        (read_public, PUBLIC.replace(b"\x00\x10\x00\x10\x00\x03", b"\x00\x10\x00\x10\x00\x10"), "on curve"),
        (read_public, SMALL_RSA, "an RSA key of 1024 bits"),
        (read_certified, b"", "truncated"),
        (read_certified, tpm.certify_info(b"name", b"") + b"\0", "after its end"),
        (read_signature, b"\x00\x05\x00\x0b" + tpm.sized(b""), "a signature of scheme 0x0005"),
        (read_signature, b"\x00\x18\x00\x04" + tpm.sized(b"r") * 2, "a signature with hash 0x0004"),
        (read_signature, b"\x00\x18\x00\x0b" + tpm.sized(bytes(67)) * 2, "67 bytes"),
    ],
)
def test_what_is_no_structure_of_a_tpm_is_refused_in_words(read: Any, data: bytes, says: str) -> None:
    with pytest.raises(TpmStructureInvalid, match=says):
        read(data)
