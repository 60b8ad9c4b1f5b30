"""openssl judges what the built-in authority makes: certificates, CRLs and their shards, OCSP, EST bodies."""

import base64
import subprocess
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding
from support.own_authority import KeyInMemory, OwnAuthority, pem

from gateway.model.issued import RevocationReason, RevokedEntry
from gateway.pki.certificate import Certificate
from gateway.pki.crl import Covers
from gateway.pki.crl_building import build_crl
from gateway.pki.est import certificates_body
from gateway.pki.ocsp import CertStatus, Good, Revoked, parse_ocsp_request, signed_answer

pytestmark = pytest.mark.real
SHARD = "http://sso.example.test/crl/mtls-1-0.crl"


@pytest.fixture(params=["EC", "RSA"], scope="module")
def own(request: pytest.FixtureRequest) -> OwnAuthority:
    if request.param == "EC":
        return OwnAuthority()
    return OwnAuthority(key=KeyInMemory(rsa.generate_private_key(65537, 3072)))


def openssl(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["openssl", *arguments], capture_output=True, text=True, timeout=30, check=False)


def crl_pem(own: OwnAuthority, revoked: list[Certificate], directory: Path) -> Path:
    """The CRLs of both authorities in one file."""
    now = datetime.now(UTC)
    dates = {"this_update": now, "next_update": now + timedelta(hours=1)}
    entries = [RevokedEntry(each.serial_number, now, RevocationReason.KEY_COMPROMISE) for each in revoked]
    shard = build_crl(
        own.issuing, own.key, number=2, entries=entries, distribution_points=(SHARD,),
        covers=Covers.END_ENTITIES, **dates,
    )  # fmt: skip
    root = build_crl(own.root, own.root_key, number=1, entries=(), **dates)
    path = directory / "crls.pem"
    path.write_bytes(
        b"".join(x509.load_der_x509_crl(der).public_bytes(Encoding.PEM) for der in (shard, root))
    )
    return path


def written(directory: Path, own: OwnAuthority, device: Certificate) -> tuple[str, str, str]:
    files = {"root": own.root, "issuing": own.issuing, "device": device}
    for name, certificate in files.items():
        (directory / f"{name}.pem").write_bytes(pem(certificate))
    return tuple(str(directory / f"{name}.pem") for name in files)  # type: ignore[return-value]


def test_openssl_trusts_a_certificate_until_its_shard_names_it(own, tmp_path):
    device, other = own.issue(), own.issue()
    root, issuing, leaf = written(tmp_path, own, device)
    verify = (
        "verify", "-x509_strict", "-purpose", "sslclient", "-crl_check_all", "-extended_crl",
        "-CAfile", root, "-untrusted", issuing, "-CRLfile",
    )  # fmt: skip
    good = openssl(*verify, str(crl_pem(own, [other], tmp_path)), leaf)
    assert (good.returncode, good.stdout.strip()) == (0, f"{leaf}: OK"), good.stderr
    revoked = openssl(*verify, str(crl_pem(own, [device], tmp_path)), leaf)
    assert revoked.returncode != 0
    assert "certificate revoked" in revoked.stderr
    as_server = openssl("verify", "-purpose", "sslserver", "-CAfile", root, "-untrusted", issuing, leaf)
    assert as_server.returncode != 0


class Responder(BaseHTTPRequestHandler):
    """Answers by POST, with what its server knows."""

    def do_POST(self) -> None:
        server = self.server
        assert isinstance(server, OcspServer)
        request = parse_ocsp_request(self.rfile.read(int(self.headers["Content-Length"])))
        now = datetime.now(UTC)
        server.nonces.append(request.nonce)
        answer = signed_answer(
            [(one, server.statuses[one.serial_number]) for one in request.asked],
            server.own.key,
            this_update=now,
            next_update=now + timedelta(minutes=5),
            produced_at=now,
            nonce=request.nonce,
            responder_spki_der=server.own.issuing.spki_der,
        )
        self.send_response(200)
        self.send_header("Content-Type", "application/ocsp-response")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, format: str, *arguments: object) -> None:  # noqa: A002
        pass


class OcspServer(HTTPServer):
    def __init__(self, own: OwnAuthority, statuses: dict[int, CertStatus]) -> None:
        super().__init__(("127.0.0.1", 0), Responder)
        self.own, self.statuses = own, statuses
        self.nonces: list[bytes | None] = []


@pytest.mark.parametrize("nonce", ["-nonce", "-no_nonce"])
@pytest.mark.parametrize("digest", ["-sha1", "-sha256"])
def test_openssl_verifies_an_ocsp_answer(own, tmp_path, nonce, digest):
    good, revoked = own.issue(), own.issue()
    root, issuing, first = written(tmp_path, own, good)
    second = tmp_path / "revoked.pem"
    second.write_bytes(pem(revoked))
    statuses = {
        good.serial_number: Good(),
        revoked.serial_number: Revoked(datetime.now(UTC), RevocationReason.CESSATION_OF_OPERATION),
    }
    with OcspServer(own, statuses) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            read = openssl(
                "ocsp", "-url", f"http://127.0.0.1:{server.server_port}/ocsp", nonce, digest,
                "-issuer", issuing, "-cert", first, "-cert", str(second),
                "-CAfile", root, "-verify_other", issuing,
            )  # fmt: skip
        finally:
            server.shutdown()
            thread.join()
    assert "Response verify OK" in read.stderr, read.stderr
    assert "WARNING" not in read.stderr
    assert f"{first}: good" in read.stdout
    assert f"{second}: revoked" in read.stdout
    assert "Reason: cessationOfOperation" in read.stdout
    assert [sent is not None for sent in server.nonces] == [nonce == "-nonce"]


def test_openssl_reads_the_certificates_of_an_est_answer(own, tmp_path):
    body = tmp_path / "cacerts.p7"
    body.write_bytes(base64.b64decode(certificates_body([own.issuing, own.root])))
    read = openssl("pkcs7", "-inform", "DER", "-in", str(body), "-print_certs", "-noout")
    assert read.returncode == 0, read.stderr
    assert read.stdout.count("subject=") == 2
