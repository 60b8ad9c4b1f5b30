"""Renewal with a proof instead of TLS, over EST, and what the org says of the one who proves."""

import base64
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.authority_site import AuthoritySite
from support.enrollment import MadeUpIwa
from support.enrollment_world import (
    Enrolled,
    EnrollmentWorld,
    a_proof,
    csr_pem,
    enrollment_world,
    new_key,
)
from support.own_authority import KeyInMemory, OwnAuthority, request_der
from support.policy_work import configuration

from gateway.enrollment.proofs import ProofAct
from gateway.model.issued import RevocationReason
from gateway.model.org import DeviceStatus, UserStatus
from gateway.model.settings import AttestationMode
from gateway.pki.certification_request import parse_certification_request
from gateway.services.policy_files import adopt_files
from gateway.services.revoking import revoke

POLICY: dict[str, Any] = {
    "name": "Trusted only",
    "default": "deny",
    "rules": [
        {"name": "Trusted", "platforms": ["windows"], "device_trust": "trusted", "access": "allow"},
        {"name": "Trusted Linux", "platforms": ["linux"], "device_trust": "trusted", "access": "allow"},
    ],
}


@pytest.fixture
async def org(tmp_path: Path) -> AsyncIterator[EnrollmentWorld]:
    configured = replace(configuration(("wiki", POLICY)), org_name="acme")
    async with enrollment_world(tmp_path, configured) as world:
        site = world.site()
        world.ad_user()
        with world.store.begin() as work:
            adopt_files(work, configured, site.occasion())
        yield world


@pytest.fixture
async def enrolled(org: EnrollmentWorld) -> Enrolled:
    return await org.enrolled(await org.register(MadeUpIwa()), platform="WINDOWS")


def almost_over(org: EnrollmentWorld) -> None:
    org.clock.advance(days=340)


async def test_the_holder_of_the_key_renews_without_tls(org: EnrollmentWorld, enrolled: Enrolled) -> None:
    almost_over(org)
    status, answer = await org.renew(enrolled)
    assert status == 200, answer
    assert answer["device"] == enrolled.answer["device"]
    assert answer["user"] == enrolled.answer["user"]
    with org.store.read() as view:
        row = view.certificates.by_thumbprint(answer["thumbprint"])
    assert row is not None
    assert row.replaces == enrolled.thumbprint
    assert org.events()[-1] == "pki.cert.renew"
    assert [each.result for each in org.outcomes] == ["issued", "renewed"]


async def test_before_it_is_due_only_where_that_is_wanted(org: EnrollmentWorld, enrolled: Enrolled) -> None:
    status, answer = await org.renew(enrolled)
    assert (status, answer["code"]) == (409, "NOT_DUE")
    assert (await org.renew(enrolled, force=True))[0] == 200


def deactivate_user(org: EnrollmentWorld, enrolled: Enrolled) -> None:
    with org.store.begin() as work:
        work.users.set_status(enrolled.answer["user"]["id"], UserStatus.SUSPENDED, org.clock.now())


def deactivate_device(org: EnrollmentWorld, enrolled: Enrolled) -> None:
    with org.store.begin() as work:
        work.devices.set_status(enrolled.answer["device"]["id"], DeviceStatus.SUSPENDED, org.clock.now())


def revoke_it(org: EnrollmentWorld, enrolled: Enrolled) -> None:
    with org.store.begin() as work:
        row = work.certificates.by_thumbprint(enrolled.thumbprint)
        assert row is not None
        revoke(work, [row], RevocationReason.KEY_COMPROMISE, org.site_now().occasion())


def hold_it(org: EnrollmentWorld, enrolled: Enrolled) -> None:
    with org.store.begin() as work:
        row = work.certificates.by_thumbprint(enrolled.thumbprint)
        assert row is not None
        revoke(work, [row], RevocationReason.CERTIFICATE_HOLD, org.site_now().occasion())


def let_it_end(org: EnrollmentWorld, enrolled: Enrolled) -> None:
    org.clock.advance(days=26)


def only_inside(org: EnrollmentWorld, enrolled: Enrolled) -> None:
    org.set_terms(renew_anywhere=False)


def only_hardware(org: EnrollmentWorld, enrolled: Enrolled) -> None:
    org.set_terms(attestation=AttestationMode.REQUIRED)


@pytest.mark.parametrize(
    ("before", "code"),
    [
        (deactivate_user, "USER_INACTIVE"),
        (deactivate_device, "DEVICE_INACTIVE"),
        (revoke_it, "CERTIFICATE_REVOKED"),
        (hold_it, "CERTIFICATE_REVOKED"),
        (let_it_end, "CERTIFICATE_EXPIRED"),
        (only_inside, "RENEWAL_DISABLED"),
        (only_hardware, "ATTESTATION_REQUIRED"),
    ],
)
async def test_what_has_become_of_it_may_be_a_reason_to_refuse(
    org: EnrollmentWorld, enrolled: Enrolled, before: Any, code: str
) -> None:
    almost_over(org)
    before(org, enrolled)
    status, answer = await org.renew(enrolled)
    assert (status, answer["code"]) == (403, code)
    assert org.log()[-1]["outcome"] == {"result": "FAILURE", "reason": code}


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({"audience": "urn:devicetrust:org:other"}, "PROOF_INVALID"),
        ({"act": ProofAct.SELF}, "PROOF_INVALID"),
        ({"nonce": "made up"}, "NONCE_INVALID"),
        ({"key_thumbprint": "x" * 43}, "KEY_MISMATCH"),
        ({"expires": timedelta(hours=1)}, "PROOF_INVALID"),
    ],
)
async def test_what_the_proof_says_may_be_a_reason_to_refuse(
    org: EnrollmentWorld, enrolled: Enrolled, claims: dict[str, Any], code: str
) -> None:
    almost_over(org)
    key, now = new_key(), org.clock.now()
    moments = {name: now + value for name, value in claims.items() if isinstance(value, timedelta)}
    said = {"nonce": await org.nonce(), "act": ProofAct.RENEW, **claims, **moments}
    nonce, act = said.pop("nonce"), said.pop("act")
    proof = a_proof(enrolled.der, enrolled.key, nonce, now, act, key.public_key(), **said)
    status, answer = await org.ask("POST", "/enroll/renew", {"proof": proof, "csr": csr_pem(key)})
    assert (status, answer["code"]) == (400 if code == "KEY_MISMATCH" else 403, code)


async def test_who_has_a_revoked_certificate_keeps_nobody_from_renewing_the_next(
    org: EnrollmentWorld, enrolled: Enrolled
) -> None:
    revoke_it(org, enrolled)
    again = await org.enrolled(org.iwas["hq-1"])
    almost_over(org)
    for _ in range(10):
        assert (await org.renew(enrolled))[1]["code"] == "CERTIFICATE_REVOKED"
    assert (await org.renew(enrolled))[1]["code"] == "TOO_OFTEN"
    assert (await org.renew(again, force=True))[0] == 200


async def test_a_proof_is_good_once(org: EnrollmentWorld, enrolled: Enrolled) -> None:
    almost_over(org)
    key = new_key()
    proof = a_proof(enrolled.der, enrolled.key, await org.nonce(), org.clock.now(), new=key.public_key())
    body = {"proof": proof, "csr": csr_pem(key), "force": True}
    assert (await org.ask("POST", "/enroll/renew", body))[0] == 200
    status, answer = await org.ask("POST", "/enroll/renew", body)
    assert (status, answer["code"]) == (403, "PROOF_INVALID")


async def test_a_certificate_of_another_authority_proves_nothing_here(
    org: EnrollmentWorld, enrolled: Enrolled, tmp_path: Path
) -> None:
    before = org.events()
    (tmp_path / "other").mkdir()
    other = AuthoritySite.create(tmp_path / "other")
    foreign = other.issue(other.device(), other.user())
    other.store.close()
    key = new_key()
    thief = KeyInMemory()
    for der, signer, code in (
        (enrolled.der, thief.key, "PROOF_INVALID"),
        (foreign.certificate.der, enrolled.key, "PROOF_INVALID"),
    ):
        proof = a_proof(der, signer, await org.nonce(), org.clock.now(), new=key.public_key())  # type: ignore[arg-type]
        status, answer = await org.ask("POST", "/enroll/renew", {"proof": proof, "csr": csr_pem(key)})
        assert (status, answer["code"]) == (403, code)
    self_made = _self_made(thief)
    proof = a_proof(self_made, thief.key, await org.nonce(), org.clock.now(), new=key.public_key())  # type: ignore[arg-type]
    status, answer = await org.ask("POST", "/enroll/renew", {"proof": proof, "csr": csr_pem(key)})
    assert (status, answer["code"]) == (403, "CERTIFICATE_UNKNOWN")
    assert org.events() == before


def _self_made(key: KeyInMemory) -> bytes:
    request = parse_certification_request(request_der(key.key))
    return OwnAuthority().issue(request=request).der


async def test_est_renews_only_where_renewal_is_for_everywhere(
    org: EnrollmentWorld, enrolled: Enrolled
) -> None:
    almost_over(org)
    key = new_key()
    shown = x509.load_der_x509_certificate(enrolled.der).public_bytes(Encoding.DER)

    async def reenroll(**headers: str) -> tuple[int, str]:
        sent = {
            "Content-Type": "application/pkcs10",
            "X-Device-Trust-Certificate": base64.b64encode(shown).decode(),
            **headers,
        }
        body = base64.b64encode(request_der(key))
        async with org.client.post("/.well-known/est/simplereenroll", data=body, headers=sent) as response:
            return response.status, await response.text()

    org.set_terms(renew_anywhere=False)
    status, text = await reenroll()
    assert (status, "inside the company network" in text) == (403, True)
    status, text = await reenroll(Accept="application/json")
    assert (status, '"code":"RENEWAL_DISABLED"' in text) == (403, True)
    org.set_terms(renew_anywhere=True, attestation=AttestationMode.REQUIRED)
    status, text = await reenroll(Accept="application/json")
    assert (status, '"code":"ATTESTATION_REQUIRED"' in text) == (403, True)
    org.set_terms(attestation=AttestationMode.ACCEPTED)
    assert (await reenroll())[0] == 200


async def self_known(org: EnrollmentWorld, enrolled: Enrolled) -> Any:
    proof = a_proof(enrolled.der, enrolled.key, await org.nonce(), org.clock.now(), ProofAct.SELF)
    return await org.do("POST", "/enroll/self", {"proof": proof})


async def test_the_holder_learns_what_is_known_and_what_would_apply(
    org: EnrollmentWorld, enrolled: Enrolled
) -> None:
    told = await self_known(org, enrolled)
    assert told["certificate"]["thumbprint"] == enrolled.thumbprint
    assert (told["certificate"]["status"], told["trusted"]) == ("ISSUED", True)
    assert (told["device"]["status"], told["user"]["status"]) == ("ACTIVE", "ACTIVE")
    assert told["apps"] == [
        {
            "name": "wiki",
            "label": "Wiki",
            "access": "allow",
            "rule": "Trusted",
            "reason": "RULE Trusted",
            "asks_for_factor": False,
        }
    ]
    revoke_it(org, enrolled)
    told = await self_known(org, enrolled)
    assert (told["certificate"]["status"], told["trusted"]) == ("REVOKED", False)
    assert told["certificate"]["revocation_reason"] == "keyCompromise"
    assert told["apps"] == []


@pytest.mark.parametrize("before", [deactivate_user, deactivate_device, hold_it])
async def test_who_was_shut_out_does_not_learn_which_apps_let_anybody_in(
    org: EnrollmentWorld, enrolled: Enrolled, before: Any
) -> None:
    assert (await self_known(org, enrolled))["apps"]
    before(org, enrolled)
    told = await self_known(org, enrolled)
    assert (told["trusted"], told["apps"]) == (False, [])


@pytest.mark.parametrize(
    ("platform", "rule"), [("WINDOWS", "Trusted"), ("LINUX", "Trusted Linux"), ("MACOS", None)]
)
async def test_what_would_apply_is_of_the_platform_of_the_device(
    org: EnrollmentWorld, platform: str, rule: str | None
) -> None:
    told = await self_known(org, await org.enrolled(await org.register(MadeUpIwa()), platform=platform))
    assert told["apps"][0]["rule"] == rule


async def test_that_question_needs_a_proof_of_its_own_each_time(
    org: EnrollmentWorld, enrolled: Enrolled
) -> None:
    proof = a_proof(enrolled.der, enrolled.key, await org.nonce(), org.clock.now(), ProofAct.SELF)
    assert (await org.ask("POST", "/enroll/self", {"proof": proof}))[0] == 200
    status, answer = await org.ask("POST", "/enroll/self", {"proof": proof})
    assert (status, answer["code"]) == (403, "PROOF_INVALID")
