"""Keys of the agent in a real TPM 2.0 (swtpm): made, used and attested there, and worth nothing elsewhere."""

import os
import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from support import swtpm
from support.authority_site import SystemRandomness
from support.needed_parts import needs_program
from support.swtpm import SwTpm

from gateway.agent.keys import tpm as tpm_keys
from gateway.agent.keys.device_key import KeyFailed
from gateway.agent.keys.tpm import TpmKey, TpmKeys
from gateway.enrollment.endorsement import VendorAuthorities
from gateway.enrollment.refusals import EnrollmentRefused
from gateway.model.settings import AttestationMode
from gateway.pki.certificate import parse_certificate
from gateway.pki.certification_request import parse_certification_request
from gateway.services.attesting import AttestedKey, Attesting

pytestmark = [pytest.mark.real, needs_program("swtpm", "swtpm_setup", "swtpm_localca")]
NONCE = "n" * 51


@pytest.fixture(scope="module")
def chips() -> Iterator[tuple[SwTpm, SwTpm]]:
    """Two computers' TPMs, of two vendors."""
    with swtpm.running() as first, swtpm.running() as second:
        yield first, second


@pytest.fixture
def chip(chips: tuple[SwTpm, SwTpm]) -> SwTpm:
    return chips[0]


def org(*chips: SwTpm) -> Attesting:
    """That believes these TPMs' vendors."""
    vendors = VendorAuthorities(
        tuple(
            parse_certificate(x509.load_pem_x509_certificate(chip.vendor.pem).public_bytes(Encoding.DER))
            for chip in chips
        )
    )
    mode = AttestationMode.REQUIRED
    return Attesting(lambda: mode, lambda: vendors, b"m" * 32, SystemRandomness())


def attest(
    attesting: Attesting, key: TpmKey, *, other: TpmKey | None = None, nonce: str = NONCE
) -> AttestedKey:
    """What agent and org say to each other. ``other``: whose certification request is sent along."""
    now, request_der = datetime.now(UTC), (other or key).certification_request()
    answer = attesting.begin(attesting.read(key.attestation_request(NONCE)), now)
    shown = key.attest(NONCE, request_der, answer)
    return attesting.attested(shown, nonce, parse_certification_request(request_der), now)


def test_a_key_signs_after_it_was_found_again_and_its_file_is_its_owners_alone(
    chip: SwTpm, tmp_path: Path
) -> None:
    keys = TpmKeys(tmp_path / "keys", chip.tcti)
    made = keys.create("tpm-1")
    assert keys.names() == {"tpm-1"}
    assert (made.name, made.storage, made.place) == ("tpm-1", "tpm", None)
    [file] = (tmp_path / "keys").iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    found = TpmKeys(tmp_path / "keys", chip.tcti).open("tpm-1")
    assert found is not None
    made.public_key().verify(found.sign(b"what is signed"), b"what is signed", ec.ECDSA(hashes.SHA256()))
    request = x509.load_der_x509_csr(found.certification_request())
    assert request.is_signature_valid
    assert request.public_key() == made.public_key()
    keys.delete("tpm-1")
    keys.delete("tpm-1")
    assert keys.open("tpm-1") is None


def test_the_file_of_a_key_holds_nothing_that_works_without_its_tpm(
    chips: tuple[SwTpm, SwTpm], tmp_path: Path
) -> None:
    here, elsewhere = chips
    TpmKeys(tmp_path, here.tcti).create("tpm-1")
    [file] = tmp_path.iterdir()
    assert file.read_bytes().startswith(b"-----BEGIN TSS2 PRIVATE KEY-----")
    copied = TpmKeys(tmp_path, elsewhere.tcti).open("tpm-1")
    assert copied is not None
    with pytest.raises(KeyFailed, match="this TPM does not load the key") as failed:
        copied.sign(b"data")
    assert "another computer's" in failed.value.remedy


@pytest.mark.parametrize("kind", ["EK-RSA2048", "EK-HIGH-ECC384"])
def test_a_tpm_vouches_for_its_key_with_each_kind_of_endorsement_key(
    chip: SwTpm, tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tpm_keys, "_ENDORSEMENT_KINDS", (kind,))
    key = TpmKeys(tmp_path, chip.tcti).create("tpm-1")
    first = attest(org(chip), key)
    assert attest(org(chip), key) == first, "a TPM is known again"
    assert len(first.endorsement_key) == 64


def test_a_tpm_that_holds_three_objects_is_never_full(chip: SwTpm, tmp_path: Path) -> None:
    keys = TpmKeys(tmp_path, chip.tcti)
    for number in range(4):
        attest(org(chip), keys.create(f"tpm-{number}"))


class Wrong:
    """What somebody tries who has a TPM, or none."""

    @staticmethod
    def another_nonce(here: SwTpm, elsewhere: SwTpm, directory: Path) -> None:
        attest(org(here), TpmKeys(directory, here.tcti).create("tpm-1"), nonce="m" * 51)

    @staticmethod
    def another_key(here: SwTpm, elsewhere: SwTpm, directory: Path) -> None:
        keys = TpmKeys(directory, here.tcti)
        attest(org(here), keys.create("tpm-1"), other=keys.create("tpm-2"))

    @staticmethod
    def another_vendor(here: SwTpm, elsewhere: SwTpm, directory: Path) -> None:
        attest(org(here), TpmKeys(directory, elsewhere.tcti).create("tpm-1"))

    @staticmethod
    def a_key_in_a_file(here: SwTpm, elsewhere: SwTpm, directory: Path) -> None:
        """The TPM vouches for a key of its own; the request is by one that lies in a file."""
        attesting, now = org(here), datetime.now(UTC)
        key, software = TpmKeys(directory, here.tcti).create("tpm-1"), ec.generate_private_key(ec.SECP256R1())
        request = x509.CertificateSigningRequestBuilder(x509.Name([])).sign(software, hashes.SHA256())
        request_der = request.public_bytes(Encoding.DER)
        answer = attesting.begin(attesting.read(key.attestation_request(NONCE)), now)
        shown = key.attest(NONCE, request_der, answer)
        attesting.attested(shown, NONCE, parse_certification_request(request_der), now)


@pytest.mark.parametrize(
    ("attempt", "code", "says"),
    [
        (Wrong.another_nonce, "ATTESTATION_INVALID", "another nonce"),
        (Wrong.another_key, "ATTESTATION_INVALID", "not the one of the certification request"),
        (Wrong.another_vendor, "ATTESTATION_UNTRUSTED", "not signed by the issuer that it names"),
        (Wrong.a_key_in_a_file, "ATTESTATION_INVALID", "not the one of the certification request"),
    ],
)
def test_a_tpm_vouches_for_nothing_else(
    chips: tuple[SwTpm, SwTpm], tmp_path: Path, attempt: Any, code: str, says: str
) -> None:
    with pytest.raises(EnrollmentRefused) as refused:
        attempt(*chips, tmp_path)
    assert refused.value.reason == code
    assert says in refused.value.detail


def test_a_credential_for_one_tpm_opens_in_no_other(chips: tuple[SwTpm, SwTpm], tmp_path: Path) -> None:
    """Whoever sends another TPM's certificate gets a secret that only that one opens."""
    here, elsewhere = chips
    attesting = org(here, elsewhere)
    mine = TpmKeys(tmp_path / "a", here.tcti).create("tpm-1")
    its = TpmKeys(tmp_path / "b", elsewhere.tcti).create("tpm-1")
    asked = mine.attestation_request(NONCE) | {
        "ek_certificate": its.attestation_request(NONCE)["ek_certificate"]
    }
    answer = attesting.begin(attesting.read(asked), datetime.now(UTC))
    with pytest.raises(KeyFailed, match="the TPM refused"):
        mine.attest(NONCE, mine.certification_request(), answer)


def test_where_there_is_no_tpm_or_no_permission_the_agent_says_what_helps(tmp_path: Path) -> None:
    with pytest.raises(KeyFailed, match="there is no TPM") as failed:
        TpmKeys(tmp_path, "device:/dev/tpmrm-nowhere").create("tpm-1")
    assert "firmware" in failed.value.remedy
    with pytest.raises(KeyFailed, match="the TPM cannot be reached"):
        TpmKeys(tmp_path, f"swtpm:path={tmp_path}/nobody").create("tpm-1")
    assert TpmKeys(tmp_path).names() == frozenset()


def test_who_may_not_use_the_tpm_is_told_of_the_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    device = tmp_path / "tpmrm0"
    device.touch(0o000)
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # root may do anything
    with pytest.raises(KeyFailed, match="this person may not use the TPM") as failed:
        TpmKeys(tmp_path, f"device:{device}").create("tpm-1")
    assert "--groups tss" in failed.value.remedy


def test_a_file_that_is_no_key_is_said_by_name(tmp_path: Path) -> None:
    file = tmp_path / "tpm-1.tpm"
    file.touch(0o600)
    file.write_text("nothing")
    with pytest.raises(KeyFailed, match=r"tpm-1\.tpm: holds no key of a TPM"):
        TpmKeys(tmp_path).open("tpm-1")
