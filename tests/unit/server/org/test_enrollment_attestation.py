"""From a TPM's certificate to one that says where the key is, over HTTP; and whatever is in the way."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from support import software_tpm as tpm
from support.enrollment import MadeUpIwa
from support.enrollment_world import EnrollmentWorld, a_proof, csr_pem, enrollment_world
from support.software_tpm import SoftwareTpm

from gateway.enrollment.attestation import qualifying_data
from gateway.enrollment.attestation_messages import binary_of, binary_text
from gateway.enrollment.endorsement import VendorAuthorities
from gateway.model.settings import AttestationMode
from gateway.pki.certificate_profile import VERIFIED_TPM_FIXED
from gateway.pki.certification_request import parse_certification_request


@dataclass(frozen=True)
class Computer:
    """One computer of the domain, with a TPM, and its agent."""

    org: EnrollmentWorld
    iwa: MadeUpIwa
    chip: SoftwareTpm

    async def begins(self, its_nonce: str, **changes: Any) -> tuple[int, Any]:
        asked = {
            "ek_certificate": binary_text(self.chip.ek_certificate),
            "ak_public": binary_text(self.chip.ak_public),
            "nonce": its_nonce,
        }
        return await self.org.ask("POST", "/enroll/attestation", asked | changes)

    def shows(self, answer: dict[str, Any], nonce: str, csr: str, **changes: Any) -> dict[str, Any]:
        secret = tpm.open_credential(
            self.chip.ek,
            tpm.name_of(self.chip.ak_public),
            binary_of(answer["credential_blob"]),
            binary_of(answer["encrypted_secret"]),
        )
        digest = parse_certification_request(csr.encode()).sha256
        info, signature = self.chip.certify(qualifying_data(nonce, digest))
        shown = {
            "session": answer["session"],
            "secret": binary_text(secret or b"?"),
            "ak_public": binary_text(self.chip.ak_public),
            "certify_info": binary_text(info),
            "signature": binary_text(signature),
            "key_public": binary_text(self.chip.key_public),
        }
        return shown | changes

    async def enrolls(
        self, *, key: ec.EllipticCurvePrivateKey | None = None, stale: bool = False, **changes: Any
    ) -> tuple[int, Any]:
        """``key``: of the request, where it is not the TPM's; ``stale``: with an attestation from before."""
        own = self.chip.key
        assert isinstance(own, ec.EllipticCurvePrivateKey)
        begun = await self.org.nonce()
        status, answer = await self.begins(begun)
        if status != 200:
            return status, answer
        self.org.clock.advance(seconds=1)
        nonce = await self.org.nonce() if stale else begun
        csr = csr_pem(key or own)
        token = self.iwa.user_token(nonce, (key or own).public_key(), now=self.org.clock.now())
        shown = self.shows(answer, begun, csr, **changes)
        return await self.org.ask_for_certificate(self.iwa, key or own, token, attestation=shown, csr=csr)


@pytest.fixture
async def org(tmp_path: Path) -> AsyncIterator[EnrollmentWorld]:
    async with enrollment_world(tmp_path) as world:
        world.site()
        world.ad_user()
        world.tpm_vendors[0] = VendorAuthorities((tpm.VENDOR.parsed,))
        yield world


@pytest.fixture
async def computer(org: EnrollmentWorld) -> Computer:
    return Computer(org, await org.register(MadeUpIwa()), SoftwareTpm())


def policies_of(answer: dict[str, Any]) -> list[str]:
    certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
    try:
        found = certificate.extensions.get_extension_for_class(x509.CertificatePolicies).value
    except x509.ExtensionNotFound:
        return []
    return [each.policy_identifier.dotted_string for each in found]


@pytest.mark.parametrize("mode", [AttestationMode.ACCEPTED, AttestationMode.REQUIRED])
async def test_a_key_that_its_tpm_vouches_for_gets_a_certificate_that_says_so(
    org: EnrollmentWorld, computer: Computer, mode: AttestationMode
) -> None:
    org.set_terms(attestation=mode)
    status, answer = await computer.enrolls()
    assert status == 200, answer
    assert answer["hardware_key"] is True
    assert policies_of(answer) == [VERIFIED_TPM_FIXED]
    again_status, again = await computer.enrolls()
    assert (again_status, again["device"]) == (200, answer["device"])


async def test_where_it_is_not_required_a_key_without_attestation_gets_a_certificate_that_says_nothing(
    org: EnrollmentWorld, computer: Computer
) -> None:
    done = await org.enrolled(computer.iwa)
    assert done.answer["hardware_key"] is False
    assert policies_of(done.answer) == []


async def renewed_in(
    computer: Computer, former: dict[str, Any], former_key: Any, chip: SoftwareTpm
) -> tuple[int, Any]:
    """Renewed by its key for one that ``chip`` vouches for."""
    renewing, nonce = replace(computer, chip=chip), await computer.org.nonce()
    status, answer = await renewing.begins(nonce)
    assert status == 200
    key = chip.key
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    der = x509.load_pem_x509_certificate(former["certificate"].encode()).public_bytes(Encoding.DER)
    proof = a_proof(der, former_key, nonce, computer.org.clock.now(), new=key.public_key())
    csr = csr_pem(key)
    body = {"proof": proof, "csr": csr, "force": True, "attestation": renewing.shows(answer, nonce, csr)}
    return await computer.org.ask("POST", "/enroll/renew", body)


@pytest.mark.parametrize("same_tpm", [True, False])
async def test_a_renewal_may_be_attested_as_well_by_the_same_tpm(computer: Computer, same_tpm: bool) -> None:
    status, former = await computer.enrolls()
    assert status == 200
    chip = SoftwareTpm(ek=computer.chip.ek) if same_tpm else SoftwareTpm()
    status, renewed = await renewed_in(computer, former, computer.chip.key, chip)
    if same_tpm:
        assert (status, renewed["hardware_key"], policies_of(renewed)) == (200, True, [VERIFIED_TPM_FIXED])
    else:
        assert (status, renewed["code"]) == (403, "ATTESTATION_OTHER_TPM")


async def test_who_copied_a_key_file_brings_no_tpm_of_their_own_by_renewing(
    org: EnrollmentWorld, computer: Computer
) -> None:
    copied = await org.enrolled(computer.iwa)
    status, renewed = await renewed_in(computer, copied.answer, copied.key, SoftwareTpm())
    assert (status, renewed["hardware_key"], policies_of(renewed)) == (200, False, [])
    org.set_terms(attestation=AttestationMode.REQUIRED)
    status, answer = await renewed_in(computer, copied.answer, copied.key, SoftwareTpm())
    assert (status, answer["code"]) == (403, "ATTESTATION_REQUIRED")
    status, answer = await computer.enrolls()  # the computer's own, by Kerberos
    assert (status, answer["hardware_key"]) == (200, True)


async def test_another_tpm_does_not_vouch_for_a_computer_that_has_one(computer: Computer) -> None:
    assert (await computer.enrolls())[0] == 200
    status, answer = await replace(computer, chip=SoftwareTpm()).enrolls()
    assert (status, answer["code"]) == (403, "ATTESTATION_OTHER_TPM")


@pytest.mark.parametrize(
    ("attempt", "code", "says"),
    [
        ({"stale": True}, "ATTESTATION_INVALID", "another nonce"),
        ({"key": ec.generate_private_key(ec.SECP256R1())}, "ATTESTATION_INVALID", "not the one of the cert"),
        ({"secret": binary_text(bytes(32))}, "ATTESTATION_INVALID", "not the one that the TPM was sent"),
        ({"session": "A" * 100}, "ATTESTATION_INVALID", "not one of this organization"),
        ({"signature": ""}, "ATTESTATION_INVALID", "signature: is missing"),
    ],
    ids=["another nonce", "a key in a file", "no secret", "a session of its own", "no signature"],
)
async def test_what_a_tpm_has_not_said_is_refused_and_logged_with_its_code(
    org: EnrollmentWorld, computer: Computer, attempt: dict[str, Any], code: str, says: str
) -> None:
    status, answer = await computer.enrolls(**attempt)
    assert (status, answer["code"]) == (403, code)
    assert says in answer["detail"]
    assert answer["message"]
    last = org.log()[-1]
    assert (last["outcome"]["result"], last["outcome"]["reason"]) == ("FAILURE", code)


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"nonce": "n" * 51}, "NONCE_INVALID"),
        ({"ek_certificate": "AAAA"}, "ATTESTATION_INVALID"),
        ({"ek_certificate": None}, "ATTESTATION_INVALID"),
        ({"ak_public": binary_text(SoftwareTpm().key_public)}, "ATTESTATION_INVALID"),
        ({"ek_chain": ["AAAA"] * 9}, "ATTESTATION_INVALID"),
    ],
    ids=["no nonce of ours", "no certificate", "none at all", "not restricted", "a long chain"],
)
async def test_nothing_is_begun_with_what_is_no_tpm(
    computer: Computer, changes: dict[str, Any], code: str
) -> None:
    status, answer = await computer.begins(await computer.org.nonce(), **changes)
    assert (status, answer["code"]) == (403, code)


async def test_a_tpm_of_a_vendor_that_is_not_configured_is_not_believed(
    org: EnrollmentWorld, computer: Computer
) -> None:
    org.tpm_vendors[0] = VendorAuthorities()
    status, answer = await computer.enrolls()
    assert (status, answer["code"]) == (403, "ATTESTATION_UNTRUSTED")


async def test_where_attestation_is_switched_off_nothing_of_it_is_looked_at(
    org: EnrollmentWorld, computer: Computer
) -> None:
    status, begun = await computer.begins(await org.nonce())
    assert status == 200
    org.set_terms(attestation=AttestationMode.NONE)
    assert (await computer.begins(await org.nonce()))[0] == 403
    own = computer.chip.key
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    status, answer = await org.ask_for_certificate(
        computer.iwa, own, attestation={"session": begun["session"]}
    )
    assert (status, answer["hardware_key"]) == (200, False)
