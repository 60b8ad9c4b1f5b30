"""CRLs, certificates, OCSP and EST over HTTP, from a store with an authority in it."""

import asyncio
import base64
import json
import threading
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from datetime import timedelta
from itertools import islice
from pathlib import Path
from urllib.parse import quote

import aiohttp
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509 import ocsp
from support.authority_site import AuthoritySite
from support.org_in_process import NothingToWaitFor, StandingClock, running_app
from support.org_world import issue_token
from support.own_authority import request_der

from gateway.adapters.memory import SystemRandomness
from gateway.model.issued import AuthorityRecord, CertificateStatus, RevocationReason
from gateway.model.org import SettingName, TokenScope
from gateway.model.settings import Address
from gateway.pki.certificate import Certificate
from gateway.pki.crl import parse_crl
from gateway.pki.signer import Signer, SigningFailed
from gateway.server.org import devices, plain_http
from gateway.server.org.crl_publisher import CrlPublisher
from gateway.server.org.est import EstRoutes
from gateway.server.org.plain_http import PlainHttp
from gateway.server.org.publication import PublicationRoutes
from gateway.server.org.route import PUBLIC
from gateway.server.org.store_threads import StoreThreads
from gateway.services.enrollment_codes import new_code
from gateway.services.issuing import Issued
from gateway.services.revoking import deactivate_user, revoke

SECRET = b"m" * 32
MINUTE = timedelta(minutes=1)


class World:
    def __init__(
        self, site: AuthoritySite, client: aiohttp.ClientSession, door: StoreThreads, clock: StandingClock
    ) -> None:
        self.site = site
        self.client = client
        self.clock = clock
        self.publisher = CrlPublisher(door, site.keys, lambda: site.rules, clock, lambda _: None)

    async def get(self, path: str, **headers: str) -> tuple[int, Mapping[str, str], bytes]:
        async with self.client.get(path, headers=headers) as response:
            return response.status, response.headers, await response.read()

    async def post(self, path: str, body: bytes, kind: str, **headers: str) -> tuple[int, bytes]:
        headers = {"Content-Type": kind, **headers}
        async with self.client.post(path, data=body, headers=headers) as response:
            return response.status, await response.read()

    def revoke(self, issued: Issued, reason: RevocationReason = RevocationReason.KEY_COMPROMISE) -> None:
        with self.site.store.begin() as work:
            revoke(work, [issued.row], reason, self.site.occasion())


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    site = AuthoritySite.create(tmp_path)
    door = StoreThreads(site.store)
    publication = PublicationRoutes(site.keys, lambda: site.rules)
    enrollment = EstRoutes(site.keys, lambda: site.rules, SECRET)
    clock = StandingClock(site.now)
    async with running_app((*publication.routes, *enrollment.routes), door, clock=clock) as client:
        yield World(site, client, door, clock)
    site.store.close()


def ocsp_request(certificate: Certificate, issuer: Certificate, nonce: bytes | None = None) -> bytes:
    builder = ocsp.OCSPRequestBuilder().add_certificate(
        x509.load_der_x509_certificate(certificate.der),
        x509.load_der_x509_certificate(issuer.der),
        hashes.SHA1(),
    )
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


# Lists and certificates.


async def test_a_list_is_given_with_its_age_and_not_again_to_who_has_it(world: World) -> None:
    await world.publisher.step()
    status, headers, body = await world.get("/crl/mtls-1-0.crl")
    assert (status, headers["Content-Type"]) == (200, "application/pkix-crl")
    assert headers["Cache-Control"] == "public, max-age=600"
    assert parse_crl(body, [world.site.issuing()]).number == 1
    status, _, body = await world.get("/crl/mtls-1-0.crl", **{"If-None-Match": headers["ETag"]})
    assert (status, body) == (304, b"")


async def test_the_root_and_the_authorities_are_there(world: World) -> None:
    root, issuing = world.site.authorities()
    for name, record in (("root-1", root), ("mtls-1", issuing)):
        status, headers, body = await world.get(f"/ca/{name}.cer")
        assert (status, headers["Content-Type"]) == (200, "application/pkix-cert")
        assert body == record.certificate_der
    status, _, body = await world.get("/crl/root-1-0.crl")
    assert status == 200
    assert x509.load_der_x509_crl(body).is_signature_valid(
        x509.load_der_x509_certificate(root.certificate_der).public_key()
    )


@pytest.mark.parametrize(
    "path",
    [
        "/crl/mtls-1-0.crl",  # before it was signed
        "/crl/mtls-2-0.crl",
        "/crl/mtls-1.crl",
        "/crl/mtls-1-0",
        "/crl/..%2Fmtls-1-0.crl",
        "/ca/mtls-1-0.cer",
        "/ca/mtls-9.cer",
        "/ca/x.cer",
    ],
)
async def test_what_is_not_there_is_not_found(world: World, path: str) -> None:
    assert (await world.get(path))[0] == 404


async def test_a_revocation_is_on_its_list_with_the_next_step_and_only_that_list_is_new(
    world: World,
) -> None:
    assert await world.publisher.step() == 4
    issued = world.site.issue(world.site.device(), None)
    assert await world.publisher.step() == 0
    world.revoke(issued)
    assert await world.publisher.step() == 1
    _, _, body = await world.get(f"/crl/mtls-1-{issued.row.crl_shard}.crl")
    assert list(parse_crl(body, [world.site.issuing()]).revoked) == [issued.row.serial_number]
    world.clock.time += timedelta(hours=12)
    assert await world.publisher.step() == 4
    world.site.roll_over()
    assert await world.publisher.step() == 4


async def test_an_authority_without_its_key_keeps_no_other_from_its_lists(world: World) -> None:
    former = world.site.authorities()[-1]
    world.site.issue(world.site.device(), None)
    new = world.site.roll_over()
    signer = world.site.keys.signer

    class WithoutTheFormerKey:
        def signer(self, authority: AuthorityRecord) -> Signer:
            if authority.id == former.id:
                raise SigningFailed("the old HSM is gone")
            return signer(authority)

    door, rules = StoreThreads(world.site.store), world.site.rules
    publisher = CrlPublisher(door, WithoutTheFormerKey(), lambda: rules, world.clock, lambda _: None)
    with pytest.raises(SigningFailed, match="the old HSM is gone"):
        await publisher.step()
    with world.site.store.read() as view:
        assert len(view.crls.of_authority(new.id)) == new.crl_shards
        assert view.crls.of_authority(former.id) == []


async def test_while_the_key_is_gone_what_is_due_stays_due(world: World) -> None:
    await world.publisher.step()
    issued = world.site.issue(world.site.device(), None)
    world.revoke(issued)
    world.site.keys.gone = True
    with pytest.raises(Exception, match="the HSM is gone"):
        await world.publisher.step()
    world.site.keys.gone = False
    assert await world.publisher.step() == 1


# OCSP.


async def asked(world: World, issued: Issued, how: str, nonce: bytes | None = None) -> ocsp.OCSPResponse:
    der = ocsp_request(issued.certificate, world.site.issuing(), nonce)
    if how == "POST":
        status, body = await world.post("/ocsp", der, "application/ocsp-request")
    else:
        encoded = base64.b64encode(der).decode()
        path = {"GET": quote(encoded, safe=""), "GET, slashes": encoded.replace("+", "%2B")}[how]
        status, _, body = await world.get(f"/ocsp/{path}")
    assert status == 200
    return ocsp.load_der_ocsp_response(body)


@pytest.mark.parametrize("how", ["POST", "GET", "GET, slashes"])
@pytest.mark.parametrize("nonce", [None, b"n" * 32])
async def test_the_status_changes_at_once(world: World, how: str, nonce: bytes | None) -> None:
    issued = world.site.issue(world.site.device(), None)
    for _ in range(2):
        answer = await asked(world, issued, how, nonce)
        assert answer.certificate_status is ocsp.OCSPCertStatus.GOOD
        assert (len(answer.extensions) == 1) == (nonce is not None)
    world.revoke(issued, RevocationReason.CERTIFICATE_HOLD)
    answer = await asked(world, issued, how, nonce)
    assert answer.certificate_status is ocsp.OCSPCertStatus.REVOKED
    assert answer.revocation_reason is x509.ReasonFlags.certificate_hold


async def test_answers_without_nonce_are_signed_once_until_they_end(world: World) -> None:
    issued = world.site.issue(world.site.device(), None)
    key = world.site.keys.keys[0]
    before = key.signatures
    for _ in range(3):
        await asked(world, issued, "GET")
    assert key.signatures == before + 1
    world.clock.time += timedelta(hours=1)
    await asked(world, issued, "GET")
    assert key.signatures == before + 2
    for _ in range(2):
        await asked(world, issued, "GET", b"nonce")
    assert key.signatures == before + 4


async def test_what_nobody_issued_is_unknown(world: World) -> None:
    issued = world.site.issue(world.site.device(), None)
    der = ocsp_request(issued.certificate, world.site.issuing())
    unknown = der.replace(issued.row.serial_number.to_bytes(20), (issued.row.serial_number ^ 1).to_bytes(20))
    _, body = await world.post("/ocsp", unknown, "application/ocsp-request")
    answer = ocsp.load_der_ocsp_response(body)
    assert answer.certificate_status is ocsp.OCSPCertStatus.UNKNOWN


@pytest.mark.parametrize(
    ("body", "kind", "status", "ocsp_status"),
    [
        (b"nonsense", "application/ocsp-request", 200, ocsp.OCSPResponseStatus.MALFORMED_REQUEST),
        (b"x" * 17_000, "application/ocsp-request", 413, None),
        (b"", "text/plain", 415, None),
    ],
)
async def test_what_is_no_ocsp_request_is_told_so(world: World, body, kind, status, ocsp_status) -> None:
    found, answer = await world.post("/ocsp", body, kind)
    assert found == status
    if ocsp_status is not None:
        assert ocsp.load_der_ocsp_response(answer).response_status is ocsp_status


async def test_nobody_answers_for_a_foreign_issuer_and_without_a_key_it_is_later(world: World) -> None:
    issued = world.site.issue(world.site.device(), None)
    foreign = ocsp_request(issued.certificate, issued.issuer)
    foreign = foreign.replace(issued.issuer.extensions.subject_key_identifier or b"", b"\0" * 20)
    _, body = await world.post("/ocsp", foreign, "application/ocsp-request")
    assert ocsp.load_der_ocsp_response(body).response_status is ocsp.OCSPResponseStatus.UNAUTHORIZED
    world.site.keys.gone = True
    answer = await asked(world, issued, "POST")
    assert answer.response_status is ocsp.OCSPResponseStatus.TRY_LATER


async def test_few_answers_wait_for_a_slow_key_and_whoever_comes_later_is_told_to(
    world: World, monkeypatch
) -> None:
    issued = world.site.issue(world.site.device(), None)
    key, enough = world.site.keys.keys[0], threading.Event()
    sign = key.sign

    def slow(signed: bytes) -> bytes:
        assert enough.wait(20)
        return sign(signed)

    monkeypatch.setattr(type(key), "sign", lambda _, signed: slow(signed))
    many = [asyncio.ensure_future(asked(world, issued, "POST", b"nonce")) for _ in range(50)]
    first = [(await early).response_status for early in islice(asyncio.as_completed(many), 18)]
    async with asyncio.timeout(10):
        await asyncio.to_thread(len, "what else the process does in threads")
    enough.set()
    statuses = Counter(one.response_status for one in await asyncio.gather(*many))
    assert first == [ocsp.OCSPResponseStatus.TRY_LATER] * 18
    assert statuses == {ocsp.OCSPResponseStatus.SUCCESSFUL: 32, ocsp.OCSPResponseStatus.TRY_LATER: 18}


# EST.

PKCS10 = "application/pkcs10"


def basic(username: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()}


def read_p7(body: bytes) -> list[x509.Certificate]:
    return pkcs7.load_der_pkcs7_certificates(base64.b64decode(body))


def code(world: World, device_id: str, user_id: str | None, minutes: int = 60) -> str:
    return new_code(SECRET, device_id, user_id, world.clock.now() + MINUTE * minutes, SystemRandomness())


BODY = base64.encodebytes(request_der())


async def test_asking_for_the_authorities_uses_up_nothing_of_what_enrollments_have(world: World) -> None:
    """Each run of each agent asks for them: fifty thousand in a morning, perhaps from one address."""
    _, headers, _ = await world.get("/.well-known/est/cacerts")
    assert int(headers["X-Rate-Limit-Limit"]) == PUBLIC.requests_per_minute


async def test_clients_get_the_authorities_and_the_attributes(world: World) -> None:
    status, headers, body = await world.get("/.well-known/est/cacerts")
    assert (status, headers["Content-Transfer-Encoding"]) == (200, "base64")
    assert len(read_p7(body)) == 2
    assert (await world.get("/.well-known/est/csrattrs"))[0] == 200


async def test_a_code_enrolls_its_device_once(world: World) -> None:
    device, user = world.site.device(), world.site.user()
    secret = code(world, device.id, user.id)
    status, body = await world.post("/.well-known/est/simpleenroll", BODY, PKCS10, **basic("", secret))
    assert status == 200
    [certificate] = read_p7(body)
    with world.site.store.read() as view:
        [row] = view.certificates.of_device(device.id)
    assert (row.user_id, row.serial_number) == (user.id, certificate.serial_number)
    again, _ = await world.post("/.well-known/est/simpleenroll", BODY, PKCS10, **basic("", secret))
    assert again == 401


async def test_a_code_whose_request_was_refused_may_be_used_again(world: World) -> None:
    secret = code(world, world.site.device().id, None)
    with world.site.store.begin() as work:
        work.settings.put(SettingName.READ_ONLY, True, world.site.now)
    status, body = await world.post("/.well-known/est/simpleenroll", BODY, PKCS10, **basic("", secret))
    assert (status, b"read-only" in body) == (403, True)
    with world.site.store.begin() as work:
        work.settings.put(SettingName.READ_ONLY, False, world.site.now)
    status, _ = await world.post("/.well-known/est/simpleenroll", BODY, PKCS10, **basic("", secret))
    assert status == 200


async def test_a_code_is_good_once_the_key_is_there_again(world: World) -> None:
    secret = code(world, world.site.device().id, None)
    statuses = []
    for world.site.keys.gone in (True, False, False):
        status, _ = await world.post("/.well-known/est/simpleenroll", BODY, PKCS10, **basic("", secret))
        statuses.append(status)
    assert statuses == [503, 200, 401]


async def test_a_key_that_hangs_keeps_no_administrator_from_the_store(world: World, monkeypatch) -> None:
    site, released, hanging = world.site, threading.Event(), threading.Semaphore(0)
    device, token = site.device(), issue_token(site.store, TokenScope.READ)
    site.with_rules(max_certificates=100)
    enrollment = EstRoutes(site.keys, lambda: site.rules, SECRET)

    def hang(_key: object, _signed: bytes) -> bytes:
        hanging.release()
        released.wait(30)
        raise SigningFailed("the HSM hung")

    monkeypatch.setattr(type(site.keys.keys[0]), "sign", hang)
    routes = (*enrollment.routes, *devices.ROUTES)
    async with running_app(routes, StoreThreads(site.store), clock=world.clock) as client:

        async def enroll() -> int:
            headers = {"Content-Type": PKCS10, **basic("", code(world, device.id, None))}
            async with client.post("/.well-known/est/simpleenroll", data=BODY, headers=headers) as answer:
                return answer.status

        enrolling = [asyncio.create_task(enroll()) for _ in range(20)]
        try:
            await asyncio.to_thread(lambda: [hanging.acquire(timeout=10) for _ in range(4)])
            headers = {"Authorization": f"SSWS {token}"}
            async with asyncio.timeout(10), client.get("/api/v1/devices", headers=headers) as answer:
                assert answer.status == 200
        finally:
            released.set()
        assert set(await asyncio.gather(*enrolling)) == {503}


async def test_who_enrolled_a_device_by_a_token_is_in_the_log_and_the_token_was_used(world: World) -> None:
    device, token = world.site.device(), issue_token(world.site.store, TokenScope.OPERATE)
    headers = basic(f"/{device.id}", token)
    status, _ = await world.post("/.well-known/est/simpleenroll", BODY, PKCS10, **headers)
    assert status == 200
    with world.site.store.read() as view:
        [used] = view.tokens.all()
        events = [json.loads(row.event_json) for row in view.log.rows()]
    assert used.last_used == world.clock.now()
    enrolled = [each for each in events if each["eventType"] == "user.credential.enroll"]
    assert [each["actor"]["id"] for each in enrolled] == [used.id]


@pytest.mark.parametrize(
    ("scope", "username", "status"),
    [
        (TokenScope.OPERATE, "alice@example.test/{device}", 200),
        (TokenScope.ADMIN, "/{device}", 200),
        (TokenScope.READ, "/{device}", 401),
        (TokenScope.OPERATE, "{device}", 403),
        (TokenScope.OPERATE, "nobody/{device}", 403),
        (TokenScope.OPERATE, "/unknown", 403),
    ],
)
async def test_a_token_that_may_operate_enrolls_for_others(world: World, scope, username, status) -> None:
    device = world.site.device()
    world.site.user()
    token = issue_token(world.site.store, scope)
    headers = basic(username.format(device=device.id), token)
    found, _ = await world.post("/.well-known/est/simpleenroll", BODY, PKCS10, **headers)
    assert found == status


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Bearer dtk_x"},
        basic("", "dte_AAAA"),
        basic("", "dte_" + "A" * 200),
        basic("", "guess"),
        basic("", "dtk_" + "A" * 43),
        basic("", "x" * 2_000),
    ],
)
async def test_nobody_enrolls_without_a_good_code_or_token(world: World, headers) -> None:
    async with world.client.post(
        "/.well-known/est/simpleenroll", data=BODY, headers={"Content-Type": PKCS10, **headers}
    ) as response:
        assert response.status == 401
        assert response.headers["WWW-Authenticate"].startswith("Basic ")


async def test_a_code_ends_and_cannot_be_changed(world: World) -> None:
    device = world.site.device()
    old = code(world, device.id, None, minutes=0)
    good = code(world, device.id, None)
    changed = good[:-1] + ("A" if good[-1] != "A" else "B")
    for secret in (old, changed):
        status, _ = await world.post("/.well-known/est/simpleenroll", BODY, PKCS10, **basic("", secret))
        assert status == 401


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [(BODY, "text/plain", 415), (b"!", PKCS10, 400), (base64.b64encode(b"\x30\x00"), PKCS10, 400)],
)
async def test_what_is_no_request_is_refused(world: World, body, kind, status) -> None:
    secret = code(world, world.site.device().id, None)
    found, _ = await world.post("/.well-known/est/simpleenroll", body, kind, **basic("", secret))
    assert found == status


def shown(certificate: Certificate) -> dict[str, str]:
    return {"X-Device-Trust-Certificate": base64.b64encode(certificate.der).decode()}


async def test_a_certificate_renews_itself_when_due_or_forced(world: World) -> None:
    old = world.site.issue(world.site.device(), world.site.user())
    path = "/.well-known/est/simplereenroll"
    status, body = await world.post(path, BODY, PKCS10, **shown(old.certificate))
    assert (status, b"to be renewed from" in body) == (403, True)
    status, body = await world.post(f"{path}?force=true", BODY, PKCS10, **shown(old.certificate))
    assert status == 200
    [certificate] = read_p7(body)
    with world.site.store.read() as view:
        [new] = view.certificates.by_serial_number(certificate.serial_number)
    assert (new.replaces, new.user_id) == (old.row.thumbprint, old.row.user_id)


async def test_only_a_valid_certificate_of_ours_renews_itself(world: World) -> None:
    path = "/.well-known/est/simplereenroll?force=true"
    user = world.site.user()
    old = world.site.issue(world.site.device(), user)
    for headers in ({}, {"X-Device-Trust-Certificate": "!"}, shown(world.site.issuing())):
        status, _ = await world.post(path, BODY, PKCS10, **headers)
        assert status == 403
    with world.site.store.begin() as work:
        deactivate_user(work, user, world.site.occasion())
    status, body = await world.post(path, BODY, PKCS10, **shown(old.certificate))
    assert (status, b"enroll the device again" in body) == (403, True)
    assert world.site.status(old) is CertificateStatus.REVOKED


# Without TLS.


@asynccontextmanager
async def plain(world: World, *addresses: Address) -> AsyncIterator[tuple[PlainHttp, aiohttp.ClientSession]]:
    door = StoreThreads(world.site.store)
    routes = PublicationRoutes(world.site.keys, lambda: world.site.rules).routes
    server = PlainHttp(routes, door, NothingToWaitFor(), world.clock, SystemRandomness())
    await server.start(addresses or (Address("127.0.0.1", 0),))
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{server.ports[0]}") as client:
            yield server, client
    finally:
        await server.stop()


async def test_plain_http_gives_what_is_signed_and_nothing_else(world: World) -> None:
    await world.publisher.step()
    async with plain(world) as (_, client):
        expected = {
            "/crl/mtls-1-0.crl": 200,
            "/ca/mtls-1.cer": 200,
            "/ocsp/AAAA": 200,
            "/.well-known/est/cacerts": 404,
            "/api/v1/users": 404,
            "/": 404,
        }
        for path, status in expected.items():
            async with client.get(path) as response:
                assert response.status == status, path
        async with client.post("/ocsp", data=b"x" * 20_000) as response:
            assert response.status == 413
        async with client.delete("/ocsp") as response:
            assert response.status == 405


async def test_plain_http_keeps_few_connections_for_a_short_time(world: World, monkeypatch) -> None:
    monkeypatch.setattr(plain_http, "MAX_CONNECTIONS", 1)
    monkeypatch.setattr(plain_http, "MAX_CONNECTION_SECONDS", 0.2)
    async with plain(world) as (server, _):
        reader, writer = await asyncio.open_connection("127.0.0.1", server.ports[0])
        writer.write(b"GET /crl/")
        second, other = await asyncio.open_connection("127.0.0.1", server.ports[0])
        async with asyncio.timeout(10):
            assert await second.read() == b""
            assert await reader.read() == b""
        for each in (writer, other):
            each.close()


async def test_one_address_takes_only_its_share_of_the_connections_to_plain_http(
    world: World, monkeypatch
) -> None:
    monkeypatch.setattr(plain_http, "MAX_CONNECTIONS_PER_ADDRESS", 2)

    async def connected(own_address: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", server.ports[0], local_addr=(own_address, 0))

    async def answered(own_address: str) -> bool:
        reader, writer = await connected(own_address)
        writer.write(b"GET /ca/mtls-1.cer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        try:
            return (await reader.read()).startswith(b"HTTP/1.1 200")
        except ConnectionError:
            return False
        finally:
            writer.close()

    async with asyncio.timeout(10), plain(world) as (server, _):
        idle = [(await connected("127.0.0.2"))[1] for _ in range(2)]
        assert not await answered("127.0.0.2")
        assert await answered("127.0.0.3")
        for each in idle:
            each.close()
        while not await answered("127.0.0.2"):
            await asyncio.sleep(0.01)


async def test_an_address_that_cannot_be_listened_on_is_named(world: World) -> None:
    with pytest.raises(OSError, match=r"listen\.http 192\.0\.2\.1:80"):
        async with plain(world, Address("192.0.2.1", 80)):
            pass
