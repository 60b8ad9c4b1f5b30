"""A gateway that runs publishes what its authority signs, over plain HTTP, soon after a command revoked."""

import base64
import http.client
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from support.gateway_process import GatewayProcess, gateway_process
from support.own_authority import request_der
from support.pki import Credential, new_key
from support.processes import accepts_connections, free_port
from support.site import Site
from support.two_apps import two_apps

from gateway.cli.main import run
from gateway.pki.certificate import Certificate, parse_certificate
from gateway.pki.crl import CrlSnapshot, parse_crl


@dataclass(frozen=True, slots=True)
class Running:
    directory: Path
    gateway: GatewayProcess
    port: int
    https_port: int
    capsys: pytest.CaptureFixture[str]

    def ca(self, *words: str):
        capsys = self.capsys
        code = run(["ca", words[0], "-c", str(self.directory / "gateway.yaml"), *words[1:], "--json"])
        out, err = capsys.readouterr()
        assert code == 0, out + err
        return json.loads(out)

    def get(self, path: str) -> tuple[int, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        connection.request("GET", path)
        response = connection.getresponse()
        body = response.read()
        connection.close()
        return response.status, body

    def published(self, path: str) -> bytes:
        """The first answer that is not "not yet": the store is opened after the start."""
        deadline = time.monotonic() + 20
        while (answer := self.get(path))[0] in (404, 503):
            assert time.monotonic() < deadline, self.gateway.output()
            time.sleep(0.05)
        assert answer[0] == 200
        return answer[1]

    def crl(self, shard: int, issuer: Certificate) -> CrlSnapshot:
        return parse_crl(self.published(f"/crl/mtls-1-{shard}.crl"), [issuer])


@pytest.fixture
def running(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Iterator[Running]:
    site = Site(tmp_path)
    port = free_port()
    with two_apps(site) as configuration:
        configuration["store"] = "sqlite:///org.db"
        configuration["listen"]["http"] = [f"127.0.0.1:{port}"]
        configuration["device_trust"]["authorities"].insert(0, {"name": "own", "builtin": True})
        with gateway_process(configuration, site.directory) as gateway:
            yield Running(site.directory, gateway, port, site.https_port, capsys)


def init(running: Running) -> None:
    passphrase = running.directory / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("long enough a phrase")
    root = ("--root-key", str(running.directory / "root.key"), "--root-passphrase-file", str(passphrase))
    running.ca("init", *root, "--crl-shards", "2")


def test_what_is_revoked_by_a_command_is_published_by_the_gateway(running: Running) -> None:
    init(running)
    device = str(running.directory / "device")
    issued = running.ca("issue", "--device", "ws-42", "--create", "--new-key", device)
    serial_number = int(issued["serialNumber"], 16)
    issuer = parse_certificate(running.published("/ca/mtls-1.cer"))
    before = running.crl(serial_number % 2, issuer)
    assert serial_number not in before.revoked
    said = running.ca("revoke", "--serial", issued["serialNumber"], "--reason", "keyCompromise")
    assert len(said["revoked"]) == 1
    assert (said["applied"]["workers"], said["applied"]["missing"]) == (1, [])
    deadline = time.monotonic() + 20
    while serial_number not in running.crl(serial_number % 2, issuer).revoked:
        assert time.monotonic() < deadline, running.gateway.output()
        time.sleep(0.05)
    assert running.crl(serial_number % 2, issuer).number == before.number + 1

    chain = f"{device}/device.pem"
    (running.directory / "issuer.pem").write_bytes(_issuer_pem(Path(chain).read_bytes()))
    asked = subprocess.run(
        [
            "openssl", "ocsp", "-url", f"http://127.0.0.1:{running.port}/ocsp", "-issuer",
            running.directory / "issuer.pem", "-cert", chain, "-CAfile", running.directory / "issuer.pem",
            "-partial_chain", "-trust_other", "-verify_other", running.directory / "issuer.pem",
        ],
        capture_output=True, text=True, check=False, timeout=30,
    )  # fmt: skip
    assert "Response verify OK" in asked.stderr, asked.stderr
    assert ": revoked" in asked.stdout
    assert running.get("/api/v1/users")[0] == 404


def test_a_device_enrolls_with_a_code_and_renews_over_its_certificate(running: Running) -> None:
    init(running)
    made = running.ca("enrollment-code", "--device", "ws-42", "--user", "alice@example.test", "--create")
    body = base64.encodebytes(request_der(key := new_key()))
    sso, est = "sso.example.test", "est.mtls.example.test"
    running.published("/ca/mtls-1.cer")

    def answer(host: str, path: str, *options: str) -> tuple[int, bytes]:
        (running.directory / "body").write_bytes(body)
        port = running.https_port
        done = subprocess.run(
            [
                "curl", "--silent", "--insecure", "--resolve", f"{host}:{port}:127.0.0.1", *options,
                "--header", "Content-Type: application/pkcs10", "--data-binary", "@body",
                "--output", "answer", "--write-out", "%{http_code}",
                f"https://{host}:{port}/.well-known/est/{path}",
            ],
            cwd=running.directory, capture_output=True, text=True, check=True, timeout=30,
        )  # fmt: skip
        return int(done.stdout), (running.directory / "answer").read_bytes()

    status, enrolled = answer(sso, "simpleenroll", "--user", f"x:{made['code']}")
    assert status == 200, enrolled
    [first] = pkcs7.load_der_pkcs7_certificates(base64.b64decode(enrolled))
    issuer = x509.load_der_x509_certificate(running.published("/ca/mtls-1.cer"))
    files = Credential(first, key, (issuer,)).write(running.directory, "first")
    shown = ("--cert", str(files.certificate), "--key", str(files.private_key))
    status, renewed = answer(est, "simplereenroll?force=true", *shown)
    assert status == 200, renewed
    [second] = pkcs7.load_der_pkcs7_certificates(base64.b64decode(renewed))
    rows = {int(row["serialNumber"], 16): row for row in running.ca("list", "--device", "ws-42")}
    assert rows[second.serial_number]["replaces"] == rows[first.serial_number]["thumbprint"]

    # Nobody shows a certificate by a header, without one, or with one that is revoked.
    header = f"X-Device-Trust-Certificate: {base64.b64encode(first.public_bytes(Encoding.DER)).decode()}"
    assert answer(sso, "simplereenroll?force=true", "--header", header)[0] == 403
    assert answer(est, "simplereenroll?force=true", "--header", header)[0] == 403
    running.ca("revoke", "--device", "ws-42")
    assert answer(est, "simplereenroll?force=true", *shown)[0] == 403


def test_an_address_that_is_taken_keeps_nobody_from_work_and_is_tried_again(tmp_path: Path) -> None:
    site = Site(tmp_path)
    taken = socket.create_server(("127.0.0.1", 0))
    port = taken.getsockname()[1]
    with two_apps(site) as configuration:
        configuration["store"] = "sqlite:///org.db"
        configuration["listen"]["http"] = [f"127.0.0.1:{port}"]
        with gateway_process(configuration, site.directory) as gateway:
            [failed] = gateway.wait_for_records("plain_http_failed", 1)
            assert failed["detail"] == f"listen.http 127.0.0.1:{port}: Address already in use"
            taken.close()
            deadline = time.monotonic() + 20
            while not accepts_connections(port):
                assert time.monotonic() < deadline
                time.sleep(0.05)


def _issuer_pem(chain: bytes) -> bytes:
    begin = b"-----BEGIN CERTIFICATE-----"
    return begin + chain.split(begin)[2]
