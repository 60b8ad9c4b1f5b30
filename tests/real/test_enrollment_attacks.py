"""Who holds a piece of an enrollment that is not theirs gets no certificate by it: real tickets, a real IWA
web app and a real org, and somebody in between."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from support import kerberos as kerberos_support
from support import peers as peers_support
from support import private_etc
from support.company import Company, company
from support.iwa_process import AUDIENCE, IwaAnswer, IwaProcess
from support.kerberos import Forests
from support.needed_parts import needs
from support.own_authority import request_der

from gateway.enrollment.channel_bindings import tls_server_end_point
from gateway.enrollment.parties import iwa_issuer
from gateway.enrollment.thumbprints import key_thumbprint
from gateway.enrollment.tokens import sign_user_token, token_key_id, verify_user_token

pytestmark = [
    pytest.mark.real,
    needs("Kerberos", kerberos_support.missing_parts),
    needs("federation peers", peers_support.missing_parts),
    needs("private /etc", private_etc.missing_parts),
]


@dataclass
class Enrollment:
    """One of alice's at ws1, taken step by step. Whoever has ``key`` is the one who began it."""

    corp: Company
    key: ec.EllipticCurvePrivateKey
    nonce: str

    @property
    def iwa(self) -> IwaProcess:
        return self.corp.iwas[0]

    @property
    def forests(self) -> Forests:
        assert isinstance(self.corp.domain, Forests)
        return self.corp.domain

    @cached_property
    def device_token(self) -> str:
        token: str = self.device_step(self.ticket("ws1$")).json["device_token"]
        return token

    @cached_property
    def user_token(self) -> str:
        answer = self.user_step(self.ticket("alice"))
        assert answer.code == "ok", answer
        token: str = answer.json["user_token"]
        return token

    def ticket(self, who: str) -> bytes:
        """The SPNEGO message of alice, or of the computer, bound to the TLS connection."""
        realm = self.forests.corp
        cache = realm.log_in_computer(who[:-1]) if who.endswith("$") else realm.log_in(who)
        leaf = x509.load_pem_x509_certificate((self.iwa.directory / "iwa.pem").read_bytes())
        binding = tls_server_end_point(leaf.public_bytes(Encoding.DER))
        return self.forests.negotiate(cache, self.iwa.host, channel_bindings=binding)

    def device_step(self, ticket: bytes, **changes: str) -> IwaAnswer:
        return self.iwa.post("/device", ticket, **{**self.asked, **changes})

    def user_step(self, ticket: bytes, **changes: str) -> IwaAnswer:
        said = {**self.asked, "device_token": self.device_token, **changes}
        return self.iwa.post("/user", ticket, **said)

    @property
    def asked(self) -> dict[str, str]:
        return {"nonce": self.nonce, "key_thumbprint": key_thumbprint(self.key.public_key())}

    def certificate(self, user_token: str, key: ec.EllipticCurvePrivateKey | None = None) -> tuple[int, Any]:
        """Status, and the code of the refusal or the whole answer."""
        csr = x509.load_der_x509_csr(request_der(key or self.key)).public_bytes(Encoding.PEM).decode()
        body = {"user_token": user_token, "csr": csr, "replaces": None, "platform": "WINDOWS"}
        status, said = self.corp.api.ask("POST", "/enroll/certificate", {**body, "agent_version": "1"})
        return status, said if status == 200 else said["code"]


@pytest.fixture(scope="module")
def corp(kerberos_forests: Forests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Company]:
    with company(kerberos_forests, tmp_path_factory.mktemp("company"), iwas=("hq-1",)) as made:
        made.add_user("alice@example.test")
        yield made


@pytest.fixture
def enrollment(corp: Company, kerberos: Forests) -> Enrollment:
    nonce = corp.ask("GET", "/enroll/discovery")["nonce"]
    return Enrollment(corp, ec.generate_private_key(ec.SECP256R1()), nonce)


@pytest.fixture
def thief() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def test_a_stolen_user_token_is_of_use_for_the_key_only_that_it_was_made_for(
    enrollment: Enrollment, thief: ec.EllipticCurvePrivateKey
) -> None:
    assert enrollment.certificate(enrollment.user_token, thief) == (400, "KEY_MISMATCH")
    status, issued = enrollment.certificate(enrollment.user_token)
    assert status == 200, "the thief has not used it up"
    certificate = x509.load_pem_x509_certificate(issued["certificate"].encode())
    assert certificate.public_key() == enrollment.key.public_key()


def test_a_user_token_counts_once(enrollment: Enrollment) -> None:
    assert enrollment.certificate(enrollment.user_token)[0] == 200
    assert enrollment.certificate(enrollment.user_token) == (409, "USER_TOKEN_REPLAYED")


def test_a_stolen_device_token_gets_no_user_token_for_another_key(
    enrollment: Enrollment, thief: ec.EllipticCurvePrivateKey
) -> None:
    other = {"key_thumbprint": key_thumbprint(thief.public_key())}
    answer = enrollment.user_step(enrollment.ticket("alice"), **other)
    assert (answer.status, answer.code) == (400, "KEY_MISMATCH")
    assert enrollment.certificate(enrollment.user_token)[0] == 200


def test_a_ticket_that_was_overheard_is_not_taken_again(enrollment: Enrollment) -> None:
    computer, person = enrollment.ticket("ws1$"), enrollment.ticket("alice")
    first = enrollment.device_step(computer)
    assert enrollment.device_step(computer).code == "TICKET_REPLAYED"
    token = first.json["device_token"]
    assert enrollment.user_step(person, device_token=token).code == "ok"
    assert enrollment.user_step(person).code == "TICKET_REPLAYED"


def test_a_nonce_of_ones_own_making_leads_to_no_certificate(enrollment: Enrollment) -> None:
    enrollment.nonce = "A" * len(enrollment.nonce)
    assert enrollment.certificate(enrollment.user_token) == (403, "NONCE_INVALID")


def test_a_token_that_somebody_else_signed_is_of_nobody(
    enrollment: Enrollment, thief: ec.EllipticCurvePrivateKey
) -> None:
    issuer = iwa_issuer(enrollment.corp.ask("GET", "/api/v1/iwas")[0]["id"])
    token, key_id = enrollment.user_token, token_key_id(enrollment.user_token)
    real = verify_user_token(
        token, enrollment.iwa.key.public_key(), issuer=issuer, audience=AUDIENCE, now=datetime.now(UTC)
    )
    forged = dataclasses.replace(real, key_thumbprint=key_thumbprint(thief.public_key()))
    assert enrollment.certificate(sign_user_token(forged, thief, key_id), thief) == (
        403,
        "USER_TOKEN_INVALID",
    )
    assert enrollment.certificate(sign_user_token(forged, thief, "mine"), thief) == (403, "IWA_UNKNOWN")


def test_an_iwa_web_app_that_was_disabled_vouches_for_nobody(enrollment: Enrollment) -> None:
    [iwa] = enrollment.corp.ask("GET", "/api/v1/iwas")
    token = enrollment.user_token
    enrollment.corp.ask("POST", f"/api/v1/iwas/{iwa['id']}/lifecycle/deactivate")
    try:
        assert enrollment.certificate(token) == (403, "IWA_DISABLED")
    finally:
        enrollment.corp.ask("POST", f"/api/v1/iwas/{iwa['id']}/lifecycle/activate")
    assert enrollment.certificate(token)[0] == 200


def test_who_is_deactivated_gets_none_although_the_directory_vouches(enrollment: Enrollment) -> None:
    token = enrollment.user_token
    enrollment.corp.ask("POST", "/api/v1/users/alice@example.test/lifecycle/suspend")
    try:
        assert enrollment.certificate(token) == (403, "USER_INACTIVE")
    finally:
        enrollment.corp.ask("POST", "/api/v1/users/alice@example.test/lifecycle/unsuspend")


def test_each_refusal_is_in_the_system_log_with_its_computer(enrollment: Enrollment) -> None:
    status, issued = enrollment.certificate(enrollment.user_token)
    assert status == 200
    enrollment.certificate(enrollment.user_token)
    refused = enrollment.corp.wait_for_event(
        'eventType eq "user.authentication.auth_via_iwa" and outcome.result eq "FAILURE"',
        lambda event: event["outcome"]["reason"] == "USER_TOKEN_REPLAYED",
    )
    assert refused["debugContext"]["debugData"]["deviceId"] == issued["device"]["id"]
    assert refused["actor"]["alternateId"] == "alice@example.test"
