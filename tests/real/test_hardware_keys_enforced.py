"""Keys in a TPM from the chip to the policy: attested to the org of a gateway that runs, used by Chromium,
and let in where a key in a file is not.

The IWA web app is a key of the test's: who it vouches for has a computer with a TPM (swtpm), or none.
"""

import json
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from support import chromium as chromium_support
from support import messages, swtpm
from support.browser import Step
from support.chromium import auto_select, chromium_of, trust_root
from support.enrollment import ALICE, COMPUTER, REALM, MadeUpIwa
from support.enrollment_world import csr_pem
from support.gateway_process import GatewayProcess, gateway_process
from support.needed_parts import needs, needs_program
from support.org_api import Api, answered
from support.org_world import issue_token
from support.pki import Credential
from support.site import MTLS_DOMAIN, TRUSTED_WINDOWS_ONLY, Site
from support.swtpm import FlushingCommands, SwTpm, Vendor
from support.two_apps import ACS, PAYROLL, WIKI, two_apps

from gateway.adapters.store import Store
from gateway.agent.keys.tpm import TpmKey, TpmKeys
from gateway.agent.keys.tpm_token import TpmToken
from gateway.agent.platform import Credential as Installed
from gateway.agent.platform import StoreKind
from gateway.agent.stores.nss import NssDatabase
from gateway.cli.main import run
from gateway.enrollment.tokens import DomainAccount
from gateway.model.org import TokenScope

pytestmark = [
    pytest.mark.real,
    needs("Chromium", chromium_support.missing_parts),
    needs_program("swtpm", "swtpm_setup", "tpm2_ptool", "certutil", "modutil"),
]
CN = "MTLS Certificate Authority"
HARDWARE_ONLY = {
    "name": "Keys in a TPM only",
    "default": "deny",
    "rules": [
        {
            "name": "Hardware",
            "platforms": ["windows", "linux"],
            "device_trust": "trusted",
            "hardware_key": "required",
            "access": "allow",
        }
    ],
}


def computer(number: int) -> DomainAccount:
    name = f"ws-{number}"
    sid = f"S-1-5-21-1-2-3-{2_000 + number}"
    return replace(COMPUTER, principal=f"{name.upper()}$@{REALM}", login=f"{name}.corp.example.test", sid=sid)


@dataclass(frozen=True)
class World:
    site: Site
    gateway: GatewayProcess
    api: Api
    iwa: MadeUpIwa
    chip: SwTpm
    other_chip: SwTpm
    stranger: SwTpm

    def nonce(self) -> str:
        return str(answered(self.api, "GET", "/enroll/discovery")["nonce"])

    def ask(self, key: Any, nonce: str, device: DomainAccount, **more: Any) -> tuple[int, Any]:
        """``more``: the CSR, and what a TPM says."""
        token = self.iwa.user_token(nonce, key.public_key(), device=device)
        asked = {"user_token": token, "replaces": None, "platform": "LINUX", "agent_version": "1.0"}
        return self.api.ask("POST", "/enroll/certificate", asked | more)

    def attested(
        self,
        key: TpmKey,
        device: DomainAccount,
        *,
        other: TpmKey | None = None,
        stale: bool = False,
        **changes: Any,
    ) -> tuple[int, Any]:
        """As the agent does it. ``other``: whose request is sent; ``stale``: the token has a newer nonce."""
        nonce = self.nonce()
        status, answer = self.api.ask("POST", "/enroll/attestation", key.attestation_request(nonce))
        if status != 200:
            return status, answer
        request_der = (other or key).certification_request()
        shown = key.attest(nonce, request_der, answer) | changes
        if stale:
            nonce = self.nonce()
        return self.ask(other or key, nonce, device, csr=pem_of(request_der), attestation=shown)

    def message(self, host: str) -> list[tuple[str, str]]:
        """The fields of what the identity provider has a browser post to an app."""
        recipient, now = self.site.public_base(host) + ACS, datetime.now(UTC)
        name = f"_{os.urandom(8).hex()}"
        assertion = messages.Saml2Assertion(
            assertion_id=name,
            user=ALICE.login,
            recipient=recipient,
            audiences=((f"https://{host}",),),
            now=now,
        )
        response = messages.Saml2Response(destination=recipient, now=now).xml(assertion.xml())
        signed = messages.sign(response, "assertion", assertion_id=name)
        return parse_qsl(messages.body_of(messages.saml_form(signed)).decode())


def pem_of(request_der: bytes) -> str:
    return x509.load_der_x509_csr(request_der).public_bytes(Encoding.PEM).decode()


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    directory = tmp_path_factory.mktemp("site")
    site = Site(directory, user=ALICE.login)
    vendor = Vendor(directory / "vendor")
    vendor.directory.mkdir()
    with (
        swtpm.running(vendor) as chip,
        swtpm.running(vendor) as other_chip,
        swtpm.running() as stranger,
        two_apps(site) as configuration,
    ):
        (directory / "tpm-vendor.pem").write_bytes(vendor.pem)
        (directory / "hardware.yaml").write_text(yaml.safe_dump(HARDWARE_ONLY, sort_keys=False))
        (directory / "policy.yaml").write_text(yaml.safe_dump(dict(TRUSTED_WINDOWS_ONLY), sort_keys=False))
        configuration["store"] = "sqlite:///org.db"
        configuration["device_trust"]["authorities"] = [{"name": "own", "builtin": True}]
        enrollment = {"create_users": True, "tpm_vendor_authorities": ["tpm-vendor.pem"], "max_per_hour": 100}
        configuration["device_trust"]["enrollment"] = enrollment
        configuration["apps"][0]["policy"] = "hardware.yaml"
        store = Store.open(f"sqlite:///{directory}/org.db")
        token = issue_token(store, TokenScope.ADMIN)
        store.close()
        with gateway_process(configuration, directory) as gateway:
            gateway.wait_for_records("org_started", 1)
            init_authority(directory)
            api, iwa = Api(site, token), MadeUpIwa()
            iwa.id = answered(api, "POST", "/api/v1/iwas", iwa.registration())["id"]
            iwa.audience = answered(api, "GET", "/enroll/discovery")["audience"]
            yield World(site, gateway, api, iwa, chip, other_chip, stranger)


@pytest.fixture(autouse=True)
def empty_tpm(world: World) -> Iterator[None]:
    """What a browser has left in it is not the next test's."""
    yield
    world.chip.flush()


def init_authority(directory: Path) -> None:
    passphrase = directory / "outputs" / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("long enough a phrase")
    root = ["--root-key", str(directory / "outputs" / "root.key"), "--root-passphrase-file", str(passphrase)]
    assert run(["ca", "init", "-c", str(directory / "gateway.yaml"), *root]) == 0


def test_a_computer_with_a_tpm_gets_in_by_chromium_and_one_with_a_key_in_a_file_does_not(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chip = world.chip
    for name, value in chip.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TPM2_PKCS11_STORE", str(tmp_path / "token"))
    commands = FlushingCommands(chip)
    key = TpmKeys(tmp_path / "keys", chip.tcti, TpmToken(tmp_path / "token", chip.tcti, commands)).create(
        "tpm-1"
    )
    status, answer = world.attested(key, computer(1))
    assert (status, answer.get("hardware_key")) == (200, True), answer
    install(world, key, answer, tmp_path / "home", commands)

    software = ec.generate_private_key(ec.SECP256R1())
    status, other = world.ask(software, world.nonce(), computer(2), csr=csr_pem(software))
    assert (status, other["hardware_key"]) == (200, False)
    issuers = tuple(map(x509.load_pem_x509_certificate, map(str.encode, other["chain"])))
    in_file = Credential(x509.load_pem_x509_certificate(other["certificate"].encode()), software, issuers)

    wait_until_trusted(world, in_file)
    assert outcome(world, in_file, WIKI) == "NO_HARDWARE_KEY"
    assert outcome(world, in_file, PAYROLL) == 200
    chip.flush()
    policies = tmp_path / "etc" / "policies" / "managed"
    policies.mkdir(parents=True)
    (policies / "tests.json").write_text(json.dumps(auto_select(f"https://[*.]{MTLS_DOMAIN}", CN)))
    with chromium_of(tmp_path / "home", tmp_path / "etc", tmp_path / "profile") as context:
        page = context.pages[0]
        page.set_content(posting(world.site.public_base(WIKI) + ACS, world.message(WIKI)))
        with page.expect_response(lambda response: "dt_ticket=" in response.url) as verdict:
            page.evaluate("document.forms[0].submit()")
        response = verdict.value
        assert response.status == 200, response.header_value("X-Device-Trust-Reason")
    assert logged_hardware_key(world) is True


def install(
    world: World, key: TpmKey, answer: dict[str, Any], home: Path, commands: FlushingCommands
) -> None:
    """As the agent does it on Linux."""
    certificate, *chain = (
        x509.load_pem_x509_certificate(pem.encode()).public_bytes(Encoding.DER)
        for pem in (answer["certificate"], *answer["chain"])
    )
    place = key.place
    assert place is not None
    key.keep_certificate(certificate)
    (home / ".pki").mkdir(parents=True)
    database = NssDatabase(home / ".pki" / "nssdb", StoreKind.NSS, commands)
    assert database.install(Installed(certificate, tuple(chain), place))
    assert not database.install(Installed(certificate, tuple(chain), place)), "it is there already"
    [found] = database.find([CN])
    assert (found.certificate_der, found.has_key) == (certificate, True)
    trust_root(home / ".pki" / "nssdb", world.site.web.pem)


def posting(url: str, fields: list[tuple[str, str]]) -> str:
    inputs = "".join(f'<input name="{escape(n)}" value="{escape(v)}">' for n, v in fields)
    return f'<form method="post" action="{escape(url)}">{inputs}</form>'


def outcome(world: World, credential: Credential, host: str) -> int | str | None:
    """200, or the reason of the locked page."""
    recipient = world.site.public_base(host) + ACS
    posted = Step("POST", recipient, initiator="https://idp.example.test").with_form(world.message(host))
    visit = world.site.browser(credential).follow(posted)
    return visit.status if visit.status == 200 else visit.device_trust_reason


def wait_until_trusted(world: World, credential: Credential) -> None:
    """`ca init` does not wait until the workers know the new authority."""
    for _ in range(50):
        if outcome(world, credential, PAYROLL) == 200:
            return
    raise AssertionError("the new authority is not trusted")


def logged_hardware_key(world: World) -> object:
    """What the System Log says of the key of the last sign-on to the wiki."""
    path = "/api/v1/logs?sortOrder=DESCENDING&filter=eventType+eq+%22user.authentication.sso%22"
    deadline = time.monotonic() + 20
    while True:
        for event in answered(world.api, "GET", path):
            if any(target["id"] == "wiki" for target in event["target"]):
                return event["debugContext"]["debugData"].get("hardwareKey")
        assert time.monotonic() < deadline, "the sign-on is not logged"
        time.sleep(0.05)


def test_what_a_tpm_does_not_say_gets_no_certificate(world: World, tmp_path: Path) -> None:
    keys = TpmKeys(tmp_path / "keys", world.chip.tcti)
    key = keys.create("tpm-1")
    attempts = [
        ("another nonce", world.attested(key, computer(3), stale=True), "ATTESTATION_INVALID"),
        ("another key", world.attested(key, computer(3), other=keys.create("tpm-2")), "ATTESTATION_INVALID"),
        ("no secret", world.attested(key, computer(3), secret="AAAA"), "ATTESTATION_INVALID"),
        (
            "a TPM of another vendor",
            world.attested(TpmKeys(tmp_path / "stranger", world.stranger.tcti).create("tpm-1"), computer(3)),
            "ATTESTATION_UNTRUSTED",
        ),
    ]
    assert [(what, status, answer.get("code")) for what, (status, answer), _ in attempts] == [
        (what, 403, code) for what, _, code in attempts
    ]


def test_a_computer_keeps_its_tpm(world: World, tmp_path: Path) -> None:
    first = TpmKeys(tmp_path / "first", world.chip.tcti).create("tpm-1")
    second = TpmKeys(tmp_path / "second", world.other_chip.tcti).create("tpm-1")
    assert world.attested(first, computer(4))[0] == 200
    status, answer = world.attested(second, computer(4))
    assert (status, answer["code"]) == (403, "ATTESTATION_OTHER_TPM")
    assert world.attested(second, computer(5))[0] == 200


def test_a_key_in_a_file_that_claims_a_tpm_is_refused(world: World, tmp_path: Path) -> None:
    """The TPM vouches for a key of its own, and the request is by another one."""
    key, software = (
        TpmKeys(tmp_path, world.chip.tcti).create("tpm-1"),
        ec.generate_private_key(ec.SECP256R1()),
    )
    nonce, csr = world.nonce(), csr_pem(software)
    status, answer = world.api.ask("POST", "/enroll/attestation", key.attestation_request(nonce))
    assert status == 200
    request_der = x509.load_pem_x509_csr(csr.encode()).public_bytes(Encoding.DER)
    shown = key.attest(nonce, request_der, answer)
    status, answer = world.ask(software, nonce, computer(6), csr=csr, attestation=shown)
    assert (status, answer["code"]) == (403, "ATTESTATION_INVALID")
