"""Enrollment in a gateway that runs, from the registration of an IWA web app to a sign-on with the
certificate; and over several gateways on one PostgreSQL."""

import asyncio
import http.client
import json
import socket
import ssl
import time
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from support.authority_site import AuthoritySite
from support.browser import Browser
from support.enforced_world import EnforcedWorld, enforced_world
from support.enrollment import ALICE, COMPUTER, MadeUpIwa
from support.enrollment_world import EnrollmentWorld, csr_pem, enrollment_world, new_key
from support.gateway_process import GatewayProcess, gateway_process
from support.org_api import Api, answered
from support.org_world import issue_token
from support.own_authority import new_request
from support.pki import Credential
from support.site import MTLS_DOMAIN
from typing_extensions import override

from gateway.adapters.store import Store
from gateway.cli.main import run
from gateway.model.issued import RevocationReason
from gateway.model.org import TokenScope
from gateway.services.issuing import IssuingRefusal, IssuingRefused, complete, reserve, sign_reserved
from gateway.services.revoking import revoke

EST = f"est.{MTLS_DOMAIN}"


@dataclass
class Running:
    directory: Path
    world: EnforcedWorld
    gateway: GatewayProcess
    api: Api

    def enroll(self, iwa: MadeUpIwa, **others: Any) -> tuple[int, Any, Any]:
        """(status, answer, key)."""
        told = answered(self.api, "GET", "/enroll/discovery")
        iwa.audience = told["audience"]
        key = new_key()
        token = iwa.user_token(told["nonce"], key.public_key())
        asked = {"user_token": token, "csr": csr_pem(key), "platform": "WINDOWS", **others}
        status, answer = self.api.ask("POST", "/enroll/certificate", asked)
        return status, answer, key

    def files(self, answer: Any, key: Any) -> Credential:
        certificate = x509.load_pem_x509_certificate(answer["certificate"].encode())
        issuer = x509.load_pem_x509_certificate(answer["chain"][0].encode())
        return Credential(certificate, key, (issuer,))

    def browser(self, credential: Credential) -> Browser:
        files = credential.write(self.directory, f"enrolled-{credential.serial_number:x}")
        return Browser(self.world.site.web.pem.decode(), files, {}, mtls_domain=MTLS_DOMAIN)

    def renewed_over_tls(self, credential: Credential) -> tuple[int, bytes]:
        """EST simplereenroll, as JSON where it is refused."""
        files = credential.write(self.directory, "shown")
        context = ssl.create_default_context(cadata=self.world.site.web.pem.decode())
        context.load_cert_chain(files.certificate, files.private_key)
        connection = _EstConnection(self.world.site.https_port, context)
        pem = csr_pem(new_key()).encode()
        headers = {"Content-Type": "application/pkcs10", "Accept": "application/json"}
        connection.request("POST", "/.well-known/est/simplereenroll?force=true", pem, headers)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body


class _EstConnection(http.client.HTTPConnection):
    def __init__(self, port: int, context: ssl.SSLContext) -> None:
        super().__init__(EST, port, timeout=20)
        self._context = context

    @override
    def connect(self) -> None:
        plain = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self.sock = self._context.wrap_socket(plain, server_hostname=EST)


@pytest.fixture
def running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Running]:
    with enforced_world(tmp_path) as world:
        world.configuration["listen"]["workers"] = 1
        world.configuration["store"] = "sqlite:///org.db"
        with gateway_process(world.configuration, tmp_path) as gateway:
            passphrase = tmp_path / "outputs" / "passphrase"
            passphrase.touch(0o600)
            passphrase.write_text("long enough a phrase")
            store = Store.open(f"sqlite:///{tmp_path}/org.db")
            token = issue_token(store, TokenScope.ADMIN)
            store.close()
            root = ("--root-key", str(tmp_path / "root.key"), "--root-passphrase-file", str(passphrase))
            assert run(["ca", "init", "-c", str(tmp_path / "gateway.yaml"), *root]) == 0
            capsys.readouterr()
            yield Running(tmp_path, world, gateway, Api(world.site, token))


def test_a_computer_enrolls_signs_on_and_renews(running: Running) -> None:
    world, gateway, api = running.world, running.gateway, running.api
    iwa = MadeUpIwa()
    iwa.id = answered(api, "POST", "/api/v1/iwas", iwa.registration())["id"]
    status, refused, _ = running.enroll(iwa)
    assert (status, refused["code"]) == (403, "USER_UNKNOWN")
    user = {"profile": {"login": ALICE.login}, "credentials": {"provider": {"type": "ACTIVE_DIRECTORY"}}}
    answered(api, "POST", "/api/v1/users", user)
    status, issued, key = running.enroll(iwa)
    assert status == 200, issued
    assert issued["device"]["name"] == COMPUTER.login
    credential = running.files(issued, key)
    browser = running.browser(credential)
    _wait_until_trusted(world, browser)

    # Whoever is a stranger is told so, and leaves a line of the gateway's own log and nothing else.
    status, refused, _ = running.enroll(MadeUpIwa(id=iwa.id))
    assert (status, refused["code"]) == (403, "IWA_UNKNOWN")
    line = gateway.wait_for_record(lambda record: record.get("reason") == "IWA_UNKNOWN")
    assert line["event"] == "enrollment_refused"
    assert line["reference_id"] == refused["reference_id"]
    gateway.wait_for_metric("devicetrust_enrollments_total", 1, result="issued")
    gateway.wait_for_metric("devicetrust_enrollments_total", 1, result="refused", reason="IWA_UNKNOWN")
    events = answered(api, "GET", "/api/v1/logs?sortOrder=DESCENDING")
    told = Counter(
        each["outcome"]["reason"]
        for each in events
        if each["eventType"] == "user.authentication.auth_via_iwa"
    )
    assert told == {"USER_UNKNOWN": 1, None: 1}

    assert running.renewed_over_tls(credential)[0] == 200
    enrollment = world.configuration["device_trust"].setdefault("enrollment", {})
    enrollment["renew_anywhere"] = False
    gateway.write(world.configuration)
    gateway.reload()
    deadline = time.monotonic() + 20
    while answered(api, "GET", "/enroll/discovery")["renew_anywhere"]:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    status, body = running.renewed_over_tls(credential)
    assert (status, json.loads(body)["code"]) == (403, "RENEWAL_DISABLED")
    assert gateway.stderr_text() == ""


def _wait_until_trusted(world: EnforcedWorld, browser: Browser) -> None:
    """`ca init` does not wait until the workers know the new authority."""
    for _ in range(50):
        if world.sign_on(None, browser=browser).status == 200:
            return
    raise AssertionError("the new authority is not trusted")


@pytest.fixture
async def orgs(postgres_url: str) -> AsyncIterator[list[EnrollmentWorld]]:
    """Two organizations' servers, each with connections of its own, on one PostgreSQL."""
    async with AsyncExitStack() as stack:
        one = await stack.enter_async_context(enrollment_world(url=postgres_url))
        one.site()
        one.ad_user()
        other = await stack.enter_async_context(enrollment_world(url=postgres_url, like=one))
        yield [one, other]


async def test_a_token_counts_once_in_a_whole_fleet(orgs: list[EnrollmentWorld]) -> None:
    one, _ = orgs
    one.set_terms(max_per_hour=1_000)
    iwa = await one.register(MadeUpIwa())
    for _ in range(5):
        key = new_key()
        token = iwa.user_token(await one.nonce(), key.public_key(), now=one.clock.now())
        asked = [org.ask_for_certificate(iwa, key, token) for org in orgs for _ in range(3)]
        answers = await asyncio.gather(*asked)
        codes = Counter(answer.get("code", "issued") for _, answer in answers)
        assert codes["issued"] == 1
        assert codes["USER_TOKEN_REPLAYED"] == 5
        one.clock.advance(minutes=11)  # so many were refused that they would have to wait


async def test_a_new_computer_that_enrolls_everywhere_at_once_is_one_device(
    orgs: list[EnrollmentWorld],
) -> None:
    one, _ = orgs
    iwa = await one.register(MadeUpIwa())
    keys = [new_key() for _ in range(3)]  # `max_certificates`, which counts reserved ones
    tokens = [iwa.user_token(await one.nonce(), key.public_key(), now=one.clock.now()) for key in keys]
    asked = [
        orgs[number % 2].ask_for_certificate(iwa, key, token)
        for number, (key, token) in enumerate(zip(keys, tokens, strict=True))
    ]
    answers = await asyncio.gather(*asked)
    assert {status for status, _ in answers} == {200}
    assert len({answer["device"]["id"] for _, answer in answers}) == 1


async def test_the_limit_of_an_hour_is_one_for_all(orgs: list[EnrollmentWorld]) -> None:
    one, _ = orgs
    one.set_terms(max_per_hour=4)
    iwa = await one.register(MadeUpIwa())
    asked = []
    for number in range(10):
        key = new_key()
        token = iwa.user_token(await one.nonce(), key.public_key(), now=one.clock.now())
        asked.append(orgs[number % 2].ask_for_certificate(iwa, key, token))
    answers = await asyncio.gather(*asked)
    assert Counter(status for status, _ in answers) == {200: 4, 429: 6}


@pytest.mark.parametrize("whose", ["device", "user"])
def test_who_deactivates_and_who_enrolls_do_not_wait_for_each_other(postgres_url: str, whose: str) -> None:
    with closing(Store.open(postgres_url)) as store:
        site = AuthoritySite(store)
        site.initialise()
        device, user = site.device(), site.user()
        lost = site.issue(device, user)
        with store.begin() as work:
            reservation = reserve(
                work,
                new_request(),
                device.id,
                user.id,
                site.rules,
                site.occasion(),
                site.randomness,
                superseded=[lost.row],
            )
        certificate = sign_reserved(reservation, site.keys)

        def completed() -> None:
            with store.begin() as other:
                complete(other, reservation, certificate, site.occasion())

        with ThreadPoolExecutor() as pool:
            with store.begin() as work:
                find = work.devices.get if whose == "device" else work.users.get
                assert find(device.id if whose == "device" else user.id, lock=True) is not None
                revoke(work, [lost.row], RevocationReason.SUPERSEDED, site.occasion())
                completing = pool.submit(completed)
                time.sleep(0.5)  # by then it has taken what it takes first
                revoke(work, [reservation.row], RevocationReason.CESSATION_OF_OPERATION, site.occasion())
            with pytest.raises(IssuingRefused) as refused:
                completing.result()
        assert refused.value.reason is IssuingRefusal.REVOKED_MEANWHILE
