"""The agent's clients as dialogues with servers on loopback: what is sent, what believed, what refused."""

import base64
import json
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp
from support.own_authority import OwnAuthority, pem
from support.pki import Authority, CredentialFiles
from support.scripted_server import Answer, Asked, ScriptedServer, scripted_server

from gateway.agent.enrolled import AnswerInvalid, enrolled_of_json, pem_of
from gateway.agent.http import ClientCertificate, Http
from gateway.agent.iwa_client import Asked as Bound
from gateway.agent.iwa_client import IwaClient
from gateway.agent.kerberos_refusals import no_ticket
from gateway.agent.keys.file import FileKey, FileKeys
from gateway.agent.negotiate import negotiate_token, offers_negotiate
from gateway.agent.ocsp import OcspInvalid, ocsp_request, standing_of
from gateway.agent.org_client import CertificateWanted, OrgClient
from gateway.agent.plan import Standing
from gateway.agent.refusal import Refused
from gateway.agent.trace import PrintedTrace, decoded_token, masked_header, shown_body
from gateway.enrollment.channel_bindings import request_binding, tls_server_end_point
from gateway.model.issued import RevocationReason
from gateway.pki.certificate import Certificate
from gateway.pki.certification_request import parse_certification_request
from gateway.pki.est import certificates_body
from gateway.pki.ocsp import Good, OcspIssuer, Revoked, Unknown, parse_ocsp_request, signed_answer

NOW = datetime(2026, 11, 26, 9, tzinfo=UTC)
BOUND = Bound("n0nce", "k" * 43)
AUTHORITY = OwnAuthority(now=NOW)


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[CredentialFiles, str]:
    """A server's credential, and the file of the authority that made it."""
    directory = tmp_path_factory.mktemp("tls")
    authority = Authority.create_root("test root")
    (directory / "ca.pem").write_bytes(authority.pem)
    return authority.issue_server(["localhost"]).write(directory, "server"), str(directory / "ca.pem")


@contextmanager
def asking(
    answer: Callable[[Asked], Answer] | Answer,
    credential: CredentialFiles | None = None,
    ca_file: str | None = None,
) -> Iterator[tuple[ScriptedServer, Http, list[str]]]:
    """A server, the agent's HTTP, and what `--debug` shows."""
    shown: list[str] = []
    http = Http(ca_file, trace=PrintedTrace(shown.append))
    given = answer if callable(answer) else lambda _: answer
    with scripted_server(given, credential) as server:
        try:
            yield server, http, shown
        finally:
            http.close()


def refusal_of(action: Callable[[], object]) -> Refused:
    with pytest.raises(Refused) as refused:
        action()
    return refused.value


# What goes wrong on the way.


def test_the_servers_certificate_is_seen_and_has_to_be_trusted(tls: tuple[CredentialFiles, str]) -> None:
    credential, ca_file = tls
    with asking(Answer(200, b"hello"), credential, ca_file) as (server, http, _):
        answer = http.send("GET", server.url)
        leaf = x509.load_pem_x509_certificate(credential.certificate.read_bytes())
        assert answer.peer_certificate_der == leaf.public_bytes(Encoding.DER)
        assert (answer.status, answer.body) == (200, b"hello")
        untrusting = Http()
        refusal = refusal_of(lambda: untrusting.send("GET", server.url)).refusal
        untrusting.close()
    assert (refusal.code, refusal.transient) == ("TLS_FAILED", True)
    assert "the certificate of localhost is not trusted: unable to get local issuer" in refusal.message


def test_nobody_there_is_unreachable_and_passes() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        refusal = refusal_of(lambda: Http().send("GET", f"http://127.0.0.1:{free.getsockname()[1]}")).refusal
    assert (refusal.code, refusal.message, refusal.transient) == (
        "UNREACHABLE",
        "127.0.0.1 cannot be reached",
        True,
    )


def test_an_answer_that_is_too_large_is_not_read_to_its_end() -> None:
    with asking(Answer(200, b"x" * 100_000)) as (server, http, _):
        refusal = refusal_of(lambda: http.send("GET", server.url, limit=1_000)).refusal
    assert refusal.code == "ANSWER_INVALID"
    assert "larger than 1000 bytes" in refusal.message


def test_redirects_are_not_followed() -> None:
    with asking(Answer(302, b"", {"Location": "http://localhost:1/"})) as (server, http, _):
        assert http.send("GET", server.url).status == 302


@pytest.mark.parametrize("by_tls", [False, True])
def test_an_answer_that_drips_for_ever_ends(tls: tuple[CredentialFiles, str], by_tls: bool) -> None:
    """Each read gets its byte in time; all of them together do not."""
    ended = threading.Event()
    credential, ca_file = tls

    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            connection, _ = listener.accept()
            with connection:
                if by_tls:
                    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
                    context.load_cert_chain(credential.certificate, credential.private_key)
                    connection = context.wrap_socket(connection, server_side=True)
                try:
                    connection.sendall(b"HTTP/1.1 200 OK\r\n")
                    for number in range(600):
                        connection.sendall(f"X-{number}: y\r\n".encode())
                        time.sleep(0.02)
                except OSError:
                    ended.set()
                finally:
                    connection.close()

        thread = threading.Thread(target=serve)
        thread.start()
        http = Http(ca_file, request_seconds=0.4)
        scheme = "https" if by_tls else "http"
        refusal = refusal_of(
            lambda: http.send("GET", f"{scheme}://localhost:{listener.getsockname()[1]}/")
        ).refusal
        http.close()
        thread.join(10)
    assert refusal.code == "UNREACHABLE"
    assert ended.is_set()


def test_who_asks_for_days_keeps_few_sockets() -> None:
    """The device part is one process while people ask; each connection is closed by the server here."""
    with asking(Answer(200, b"", {"Connection": "close"})) as (server, http, _):
        for _ in range(20):
            http.send("GET", server.url)
        before = len(list(Path("/proc/self/fd").iterdir()))
        for _ in range(60):
            http.send("GET", server.url)
        assert len(list(Path("/proc/self/fd").iterdir())) < before + 30


def test_a_ca_file_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.pem").write_bytes(b"")
    for name in ("missing.pem", "empty.pem"):
        assert str(tmp_path / name) in refusal_of(lambda: Http(str(tmp_path / name))).refusal.message  # noqa: B023


def test_a_client_certificate_is_shown_from_files(tls: tuple[CredentialFiles, str], tmp_path: Path) -> None:
    credential, ca_file = tls
    clients = Authority.create_root("clients")
    (tmp_path / "clients.pem").write_bytes(clients.pem)
    files = clients.issue_client("urn:device:ws-42", "alice@example.test").write(tmp_path, "client")
    http = Http(ca_file)
    with scripted_server(lambda _: Answer(200, b"seen"), credential, tmp_path / "clients.pem") as server:
        shown = ClientCertificate(files.certificate, files.private_key)
        assert http.send("POST", server.url, client_certificate=shown).body == b"seen"
        assert refusal_of(lambda: http.send("POST", server.url)).refusal.code == "UNREACHABLE"
    http.close()


# The org.


@pytest.fixture
def key(tmp_path: Path) -> FileKey:
    return FileKeys(tmp_path).create("file-1")


def issued_for(key: FileKey) -> Certificate:
    return AUTHORITY.issue(request=parse_certification_request(key.certification_request()))


def enrolled_document(certificate: Certificate) -> bytes:
    told = {
        "certificate": pem(certificate).decode(),
        "chain": [pem(AUTHORITY.issuing).decode()],
        "thumbprint": certificate.thumbprint,
        "not_after": "2027-11-26T09:00:00Z",
        "renew_from": "2027-10-27T09:00:00Z",
        "device": {"id": "dev1", "name": "urn:device:ws-42"},
        "user": {"id": "usr1", "login": "alice@example.test"},
        "hardware_key": True,
    }
    return json.dumps(told).encode()


def test_step_4_sends_token_and_request_and_gets_the_certificate(key: FileKey) -> None:
    certificate = issued_for(key)
    with asking(Answer(200, enrolled_document(certificate))) as (server, http, _):
        wanted = CertificateWanted(key.certification_request(), "old", "LINUX", "1.0")
        enrolled = OrgClient(http, server.url).certificate("token", wanted)
        [asked] = server.asked
    told = json.loads(asked.body)
    assert (asked.method, asked.path) == ("POST", "/enroll/certificate")
    assert (told["user_token"], told["replaces"], told["platform"], told["agent_version"]) == (
        "token",
        "old",
        "LINUX",
        "1.0",
    )
    assert told["attestation"] is None
    assert x509.load_pem_x509_csr(told["csr"].encode()).is_signature_valid
    assert (enrolled.certificate, enrolled.login, enrolled.device) == (
        certificate,
        "alice@example.test",
        "urn:device:ws-42",
    )
    assert enrolled.renew_from == datetime(2027, 10, 27, 9, tzinfo=UTC)
    assert (enrolled.device_id, enrolled.hardware_key) == ("dev1", True)


def test_a_certificate_for_another_key_is_not_taken(key: FileKey, tmp_path: Path) -> None:
    other = issued_for(FileKeys(tmp_path).create("file-2"))
    for body in (enrolled_document(other), b"{}", b"[]", b"<html>", b"[" * 100_000):
        with asking(Answer(200, body)) as (server, http, _):
            client = OrgClient(http, server.url)
            wanted = CertificateWanted(key.certification_request(), None, "LINUX", "1.0")
            refusal = refusal_of(lambda: client.certificate("token", wanted)).refusal  # noqa: B023
        assert (refusal.code, refusal.transient) == ("ANSWER_INVALID", True)


def test_a_chain_that_is_another_certificates_is_not_taken(key: FileKey) -> None:
    certificate = issued_for(key)
    told = json.loads(enrolled_document(certificate)) | {"chain": [pem(OwnAuthority().issuing).decode()]}
    with pytest.raises(AnswerInvalid, match="the chain does not belong"):
        enrolled_of_json(json.dumps(told).encode(), key.public_key())


def test_est_enrolls_with_a_code_and_renews(key: FileKey) -> None:
    certificate = issued_for(key)
    body = certificates_body([certificate])
    authorities = (AUTHORITY.root, AUTHORITY.issuing)
    with asking(Answer(200, body)) as (server, http, shown):
        client = OrgClient(http, server.url)
        first = client.enrolled_by_code("dte_verysecret", key.certification_request(), authorities)
        [asked] = server.asked
    assert asked.path == "/.well-known/est/simpleenroll"
    assert "application/json" in asked.headers["accept"]  # refusals with their codes
    assert base64.b64decode(asked.headers["authorization"].split()[1]) == b"agent:dte_verysecret"
    assert (first.certificate, first.chain) == (certificate, (AUTHORITY.issuing,))
    text = "\n".join(shown)
    assert "dte_" not in text
    assert asked.headers["authorization"].split()[1] not in text


@pytest.mark.parametrize(
    ("status", "body", "code", "transient"),
    [
        (401, b"an enrollment code or an API token is needed\n", "CODE_INVALID", False),
        (403, b'{"code": "READ_ONLY", "transient": true}', "READ_ONLY", True),
        (503, b"the authority's key is not at hand\n", "ANSWER_INVALID", True),
    ],
)
def test_est_that_refuses(key: FileKey, status: int, body: bytes, code: str, transient: bool) -> None:
    with asking(Answer(status, body)) as (server, http, _):
        client = OrgClient(http, server.url)
        refusal = refusal_of(lambda: client.enrolled_by_code("c", key.certification_request(), ())).refusal
    assert (refusal.code, refusal.transient) == (code, transient)


def test_what_is_no_org_is_told_apart_from_one_that_is_down() -> None:
    with asking(Answer(200, b"<html>sign in to the Wi-Fi</html>")) as (server, http, _):
        refusal = refusal_of(OrgClient(http, server.url).discovery).refusal
    assert (refusal.code, refusal.transient) == ("ANSWER_INVALID", True)
    assert "does not answer as the org" in refusal.message


# Revocation.


def answered(request: bytes, status: Good | Revoked | Unknown, **changes: object) -> bytes:
    asked = parse_ocsp_request(request)
    settings = {"this_update": NOW, "next_update": NOW + timedelta(hours=1), "produced_at": NOW}
    return signed_answer(
        [(asked.asked[0], status)],
        AUTHORITY.key,
        nonce=asked.nonce,
        responder_spki_der=AUTHORITY.issuing.spki_der,
        **{**settings, **changes},
    )


@pytest.mark.parametrize(
    ("status", "standing"),
    [
        (Good(), Standing.GOOD),
        (Revoked(NOW, RevocationReason.KEY_COMPROMISE), Standing.REVOKED),
        (Revoked(NOW), Standing.REVOKED),
        (Revoked(NOW, RevocationReason.CERTIFICATE_HOLD), Standing.ON_HOLD),
        (Unknown(), Standing.UNKNOWN),
    ],
)
def test_what_the_org_says_of_a_certificate(status: Good | Revoked | Unknown, standing: Standing) -> None:
    certificate = AUTHORITY.issue()
    with asking(lambda asked: Answer(200, answered(asked.body, status))) as (server, http, _):
        client = OrgClient(http, server.url)
        assert client.standing(certificate, AUTHORITY.issuing, NOW) is standing
        assert OcspIssuer(AUTHORITY.issuing).is_named_by(parse_ocsp_request(server.asked[0].body).asked[0])


@pytest.mark.parametrize("answer", [Answer(500), Answer(200, b""), Answer(200, b"\x30\x03\x0a\x01\x03")])
def test_no_answer_is_not_taken_for_a_revocation(answer: Answer) -> None:
    with asking(answer) as (server, http, _):
        client = OrgClient(http, server.url)
        assert client.standing(AUTHORITY.issue(), AUTHORITY.issuing, NOW) is Standing.UNKNOWN


def test_ocsp_answers_that_do_not_count() -> None:
    certificate, other = AUTHORITY.issue(), AUTHORITY.issue()
    nonce = b"n" * 32
    request = ocsp_request(certificate, AUTHORITY.issuing, nonce)
    good = answered(request, Good())
    assert standing_of(good, certificate, AUTHORITY.issuing, nonce, NOW) is Standing.GOOD
    stranger = OwnAuthority(now=NOW)
    forged = bytearray(good)
    forged[-1] ^= 1
    for said, answer, about, issuer, asked_with, at in (
        ("not signed by the authority", bytes(forged), certificate, AUTHORITY.issuing, nonce, NOW),
        ("not signed by the authority", good, certificate, stranger.issuing, nonce, NOW),
        ("about another certificate", good, other, AUTHORITY.issuing, nonce, NOW),
        ("somebody else's question", good, certificate, AUTHORITY.issuing, b"m" * 32, NOW),
        ("not of this time", good, certificate, AUTHORITY.issuing, nonce, NOW + timedelta(hours=2)),
        ("not of this time", good, certificate, AUTHORITY.issuing, nonce, NOW - timedelta(hours=2)),
        ("not an OCSP answer", b"\x30\x00", certificate, AUTHORITY.issuing, nonce, NOW),
        ("larger than", b"\x30" * 20_000, certificate, AUTHORITY.issuing, nonce, NOW),
    ):
        with pytest.raises(OcspInvalid, match=said):
            standing_of(answer, about, issuer, asked_with, at)


def test_ocsp_by_a_weak_hash_does_not_count() -> None:
    certificate = AUTHORITY.issue()
    leaf = x509.load_der_x509_certificate(certificate.der)
    issuing = x509.load_der_x509_certificate(AUTHORITY.issuing.der)
    answer = (
        ocsp.OCSPResponseBuilder()
        .add_response(leaf, issuing, hashes.SHA256(), ocsp.OCSPCertStatus.GOOD, NOW, None, None, None)
        .responder_id(ocsp.OCSPResponderEncoding.HASH, issuing)
        .sign(AUTHORITY.key.key, hashes.SHA224())
    )
    with pytest.raises(OcspInvalid, match="algorithm is not allowed"):
        standing_of(answer.public_bytes(Encoding.DER), certificate, AUTHORITY.issuing, b"n" * 32, NOW)


# The IWA web app.


class Conversation:
    """Sends `ticket`, and wants `proof`."""

    def __init__(self, host: str, bindings: bytes | None) -> None:
        self.host, self.bindings = host, bindings

    def first(self) -> bytes:
        return b"ticket"

    def finish(self, answer: bytes | None) -> None:
        if answer != b"proof":
            raise Refused(no_ticket("no proof", self.host, False).refusal)


PROOF = {"WWW-Authenticate": "Negotiate " + base64.b64encode(b"proof").decode()}


def iwa(answer: Answer) -> Callable[[Asked], Answer]:
    def play(asked: Asked) -> Answer:
        if "authorization" not in asked.headers:
            return Answer(401, b'{"code": "NEGOTIATE_FAILED"}', {"WWW-Authenticate": "Negotiate"})
        assert asked.headers["authorization"] == "Negotiate " + base64.b64encode(b"ticket").decode()
        return answer

    return play


def test_both_steps_negotiate_and_bind_what_they_ask_for(tls: tuple[CredentialFiles, str]) -> None:
    credential, ca_file = tls
    conversations: list[Conversation] = []

    def start(host: str, bindings: bytes | None) -> Conversation:
        conversations.append(Conversation(host, bindings))
        return conversations[-1]

    def answer(asked: Asked) -> Answer:
        step = asked.path.rpartition("/")[2]
        return iwa(Answer(200, json.dumps({f"{step}_token": f"{step}!"}).encode(), PROOF))(asked)

    with asking(answer, credential, ca_file) as (server, http, _):
        client = IwaClient(http, f"{server.url}/iwa")
        assert client.device_token(BOUND, start) == "device!"
        assert client.user_token(BOUND, "device!", start) == "user!"
        paths = [(each.path, json.loads(each.body)) for each in server.asked]
    device = {"nonce": "n0nce", "key_thumbprint": "k" * 43}
    assert paths == [("/iwa/device", device)] * 2 + [("/iwa/user", {**device, "device_token": "device!"})] * 2
    leaf = x509.load_pem_x509_certificate(credential.certificate.read_bytes()).public_bytes(Encoding.DER)
    bound = tls_server_end_point(leaf)
    assert [(each.host, each.bindings) for each in conversations] == [("localhost", bound)] * 2


def test_without_tls_the_ticket_is_bound_to_the_step_the_nonce_and_the_key() -> None:
    bound: list[bytes | None] = []

    def start(host: str, bindings: bytes | None) -> Conversation:
        bound.append(bindings)
        return Conversation(host, bindings)

    def answer(asked: Asked) -> Answer:
        return iwa(Answer(200, b'{"device_token": "device!"}', PROOF))(asked)

    with asking(answer) as (server, http, _):
        IwaClient(http, f"{server.url}/iwa").device_token(BOUND, start)
    assert bound == [request_binding("device", BOUND.nonce, BOUND.key_thumbprint)]


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        (iwa(Answer(403, b'{"code": "ACCOUNT_DISABLED"}')), "ACCOUNT_DISABLED"),
        (iwa(Answer(401, b'{"code": "TICKET_REPLAYED"}')), "TICKET_REPLAYED"),
        (iwa(Answer(200, b'{"device_token": "x"}')), "NO_TICKET"),  # it did not prove itself
        (iwa(Answer(200, b'{"device_token": "x"}', {"WWW-Authenticate": "Negotiate !!"})),
         "MUTUAL_AUTHENTICATION_FAILED"),
        (iwa(Answer(200, b'{"device_token": ""}', PROOF)), "ANSWER_INVALID"),
        (iwa(Answer(200, b'{"device_token": 7}', PROOF)), "ANSWER_INVALID"),
        (iwa(Answer(200, b'{"device_token": "' + b"x" * 9_000 + b'"}', PROOF)), "ANSWER_INVALID"),
        (lambda _: Answer(200, b'{"device_token": "x"}'), "ANSWER_INVALID"),  # it asked for no ticket
        (lambda _: Answer(401, b"", {"WWW-Authenticate": 'Basic realm="x"'}), "ANSWER_INVALID"),
        (lambda _: Answer(503, b'{"code": "IWA_NOT_REGISTERED"}'), "IWA_NOT_REGISTERED"),
    ],
)  # fmt: skip
def test_an_iwa_web_app_that_gives_no_token(answer: Callable[[Asked], Answer], code: str) -> None:
    with asking(answer) as (server, http, _):
        client = IwaClient(http, server.url)
        assert refusal_of(lambda: client.device_token(BOUND, Conversation)).refusal.code == code


def test_the_ticket_is_not_sent_before_it_is_asked_for() -> None:
    with asking(Answer(403, b"")) as (server, http, _):
        refusal_of(lambda: IwaClient(http, server.url).device_token(BOUND, Conversation))
        assert ["authorization" in each.headers for each in server.asked] == [False]


@pytest.mark.parametrize(
    ("header", "token", "offered"),
    [
        (None, None, False),
        ("Negotiate", None, True),
        ("negotiate YWJj", b"abc", True),
        ("Basic x, Negotiate", None, True),
        ("NTLM, Basic", None, False),
        ("NegotiateX YWJj", None, False),
    ],
)
def test_what_www_authenticate_says(header: str | None, token: bytes | None, offered: bool) -> None:
    assert negotiate_token(header) == token
    assert offers_negotiate(header) is offered


@pytest.mark.parametrize(
    ("said", "computer", "code", "transient"),
    [
        ("Clock skew too great", True, "CLOCK_SKEW", True),
        ("Server not found in Kerberos database", False, "NO_TICKET", False),
        ("Client's credentials have been revoked", False, "ACCOUNT_DISABLED", False),
        ("Cannot contact any KDC for realm 'CORP.EXAMPLE'", False, "NO_TICKET", True),
        ("No Kerberos credentials available (default cache: FILE:/tmp/krb5cc_0)", False, "NO_TICKET", True),
        ("Preauthentication failed", True, "NO_TICKET", False),
    ],
)
def test_what_kerberos_says_in_words_that_help(said: str, computer: bool, code: str, transient: bool) -> None:
    refusal = no_ticket(
        f"Major (851968): Unspecified GSS failure, Minor (1): {said}", "iwa", computer
    ).refusal
    assert (refusal.code, refusal.transient) == (code, transient)
    assert refusal.remedy
    assert said in refusal.detail


# What --debug shows.


def jwt(header: object, claims: object) -> str:
    parts = (json.dumps(each).encode() for each in (header, claims))
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts) + ".c2lnbmF0dXJl"


def test_tokens_are_decoded_without_their_signature() -> None:
    token = jwt({"typ": "dt-user+jwt"}, {"sub": "alice"})
    body = json.dumps(
        {"user_token": token, "expires_in": 300, "csr": "-----BEGIN", "secret": "s3cret"}
    ).encode()
    shown = json.loads(shown_body("application/json", body))
    assert shown["user_token"] == {
        "header": {"typ": "dt-user+jwt"},
        "claims": {"sub": "alice"},
        "signature": "… (not shown)",
    }
    assert shown["expires_in"] == 300
    assert "c2lnbmF0dXJl" not in json.dumps(shown)
    assert "s3cret" not in json.dumps(shown)


@pytest.mark.parametrize("token", ["", "x", "a.b.c", "....", "e30.W10.x", "e30." + "[" * 5000 + ".x"])
def test_what_is_no_token_is_not_shown_at_all(token: str) -> None:
    shown = json.dumps(decoded_token(token))
    assert "not a JWT" in shown or shown.startswith('{"header": {}, "claims": []')


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("Authorization", "Negotiate YWJj", "Negotiate … (4 characters, not shown)"),
        ("authorization", "Basic YWJj", "Basic … (4 characters, not shown)"),
        ("WWW-Authenticate", "Negotiate YWJj", "Negotiate … (4 characters, not shown)"),
        ("WWW-Authenticate", "Negotiate", "Negotiate"),
        ("WWW-Authenticate", 'Basic realm="x"', 'Basic realm="x"'),
        ("Content-Type", "text/plain; x=y", "text/plain; x=y"),
    ],
)
def test_headers_are_shown_without_credentials(name: str, value: str, shown: str) -> None:
    assert masked_header(name, value) == shown


def test_nothing_that_a_server_sends_moves_the_cursor() -> None:
    lines: list[str] = []
    trace = PrintedTrace(lines.append)
    trace.got(200, {"content-type": "text/plain", "date": "\x1b[2J"}, b"\x1b]0;title\x07line\r\nnext", 0.1)
    assert not any("\x1b" in line or "\x07" in line or "\r" in line for line in lines)


def test_pem_keeps_the_order() -> None:
    assert pem_of([AUTHORITY.issuing, AUTHORITY.root]) == pem(AUTHORITY.issuing) + pem(AUTHORITY.root)
