"""Attestation over two requests: what the org says, what a device answers, and what is remembered where."""

import hashlib
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from support import software_tpm as tpm
from support.forge import NOW
from support.own_authority import new_request
from support.sign_on import CountingRandomness
from support.software_tpm import SoftwareTpm

from gateway.enrollment.attestation import qualifying_data
from gateway.enrollment.attestation_messages import binary_of, binary_text
from gateway.enrollment.endorsement import VendorAuthorities
from gateway.enrollment.refusals import EnrollmentRefused
from gateway.model.org import Device, DeviceStatus
from gateway.model.settings import AttestationMode
from gateway.pki.certification_request import CertificationRequest
from gateway.services.attesting import AttestedKey, Attesting, with_tpm

NONCE = "n" * 51
CHIP = SoftwareTpm()
KEY = CHIP.key.public_key()
assert isinstance(KEY, ec.EllipticCurvePublicKey)
REQUEST = CertificationRequest(CHIP.key_spki, KEY, hashlib.sha256(b"the request").digest())


def attesting(
    mode: AttestationMode = AttestationMode.ACCEPTED, *, secret: bytes = b"m" * 32, known: bool = True
) -> Attesting:
    vendors = VendorAuthorities((tpm.VENDOR.parsed,) if known else ())
    return Attesting(lambda: mode, lambda: vendors, secret, CountingRandomness())


def begun(org: Attesting, chip: SoftwareTpm = CHIP) -> dict[str, Any]:
    body = {
        "ek_certificate": binary_text(chip.ek_certificate),
        "ak_public": binary_text(chip.ak_public),
        "nonce": NONCE,
    }
    return org.begin(org.read(body), NOW)


def answered(answer: dict[str, Any], chip: SoftwareTpm = CHIP) -> dict[str, Any]:
    """What the agent makes of the org's answer."""
    secret = tpm.open_credential(
        chip.ek,
        tpm.name_of(chip.ak_public),
        binary_of(answer["credential_blob"]),
        binary_of(answer["encrypted_secret"]),
    )
    info, signature = chip.certify(qualifying_data(NONCE, REQUEST.sha256))
    return {
        "session": answer["session"],
        "secret": binary_text(secret or b"?"),
        "ak_public": binary_text(chip.ak_public),
        "certify_info": binary_text(info),
        "signature": binary_text(signature),
        "key_public": binary_text(chip.key_public),
    }


def refusal(code: str) -> Any:
    return pytest.raises(EnrollmentRefused, match=code)


def test_a_key_is_attested_by_any_gateway_that_shares_the_secret() -> None:
    shown = answered(begun(attesting()))
    found = attesting().attested(shown, NONCE, REQUEST, NOW + timedelta(minutes=5))
    assert found == AttestedKey(hashlib.sha256(SoftwareTpm(key=CHIP.ek).key_spki).hexdigest())


def test_nothing_of_the_secret_can_be_read_from_what_travels_with_the_device() -> None:
    answer = begun(attesting())
    secret = binary_of(answered(answer)["secret"])
    assert len(secret) == 32
    for part in answer.values():
        assert secret not in binary_of(part)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"secret": binary_text(bytes(32))}, "ATTESTATION_INVALID"),
        ({"session": "A" * 80}, "ATTESTATION_INVALID"),
        ({"session": None}, "ATTESTATION_INVALID"),
        ({"signature": "%%%"}, "ATTESTATION_INVALID"),
        ({"key_public": binary_text(SoftwareTpm().key_public)}, "ATTESTATION_INVALID"),
    ],
    ids=["no secret", "a session of its own making", "no session", "not base64url", "another key"],
)
def test_what_was_not_asked_or_is_not_answered_is_refused(change: dict[str, Any], code: str) -> None:
    org = attesting()
    with refusal(code):
        org.attested({**answered(begun(org)), **change}, NONCE, REQUEST, NOW)


def test_a_secret_that_was_meant_for_another_tpm_is_not_found() -> None:
    org = attesting()
    thief = replace(SoftwareTpm(), ak=CHIP.ak)
    with refusal("ATTESTATION_INVALID"):
        org.attested(answered(begun(org), thief), NONCE, REQUEST, NOW)


def test_another_nonce_another_request_and_another_org_are_refused() -> None:
    org = attesting()
    shown = answered(begun(org))
    with refusal("another nonce"):
        org.attested(shown, "m" * 51, REQUEST, NOW)
    with refusal("another certification request"):
        org.attested(shown, NONCE, replace(REQUEST, sha256=bytes(32)), NOW)
    with refusal("not the one of the certification request"):
        org.attested(shown, NONCE, replace(REQUEST, spki_der=new_request().spki_der), NOW)
    with refusal("session"):
        attesting(secret=b"x" * 32).attested(shown, NONCE, REQUEST, NOW)


def test_a_tpm_of_no_configured_vendor_is_not_believed() -> None:
    with refusal("ATTESTATION_UNTRUSTED"):
        begun(attesting(known=False))


def test_where_attestations_are_not_looked_at_none_is_begun() -> None:
    with refusal("does not look at attestations"):
        begun(attesting(AttestationMode.NONE))


def test_the_first_tpm_of_a_device_is_remembered_and_another_one_refused() -> None:
    device = Device("guo1", "ws-1", "urn:x:1", "LINUX", DeviceStatus.ACTIVE, NOW, NOW, profile={"sid": "S-1"})
    profile = with_tpm(device, AttestedKey("aa" * 32))
    assert profile == {"sid": "S-1", "tpm": "aa" * 32}
    device = replace(device, profile=profile)
    assert with_tpm(device, AttestedKey("aa" * 32)) is None
    with refusal("ATTESTATION_OTHER_TPM"):
        with_tpm(device, AttestedKey("bb" * 32))
