"""nginx takes our authorities and our lists as they are, and refuses who is revoked."""

import http.client
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from support.authority_site import AuthoritySite
from support.needed_parts import needs_program
from support.own_authority import pem, request_der
from support.pki import Authority, Credential, new_key
from support.processes import ChildProcess, free_port

from gateway.model.issued import RevocationReason
from gateway.pki.certification_request import parse_certification_request
from gateway.services.issuing import Issued, certificate_of, issue
from gateway.services.publishing import publish, shards_of
from gateway.services.revoking import release, revoke

pytestmark = [pytest.mark.real, needs_program("nginx")]


class Device:
    """A certificate with its key in files, as a client has them."""

    def __init__(self, site: AuthoritySite, directory: Path, name: str) -> None:
        key = new_key()
        request = parse_certification_request(request_der(key))
        device = site.device(name)
        self.issued: Issued = issue(
            site.store, site.keys, request, device.id, None, site.rules, site.occasion(), site.randomness
        )
        leaf, issuer = (x509.load_der_x509_certificate(each.der) for each in self.issued.chain)
        self.files = Credential(leaf, key, (issuer,)).write(directory, name)


@pytest.fixture
def site(tmp_path: Path) -> AuthoritySite:
    site = AuthoritySite.create(tmp_path)
    server = Authority.create_root("Web root").issue_server(["127.0.0.1"])
    server.write(tmp_path, "server")
    certificates = [certificate_of(each.certificate_der) for each in site.authorities()]
    (tmp_path / "authorities.pem").write_bytes(pem(*certificates))
    return site


def write_lists(site: AuthoritySite, directory: Path) -> None:
    """All lists in one file, as nginx reads them."""
    with site.store.read() as view:
        shards = shards_of(view)
    for shard in shards:
        publish(site.store, site.keys, shard, site.now, timedelta(days=1))
    with site.store.read() as view:
        lists = [crl.der for each in site.authorities() for crl in view.crls.of_authority(each.id)]
    assert len(lists) == 5
    pems = [x509.load_der_x509_crl(der).public_bytes(Encoding.PEM) for der in lists]
    (directory / "crls.pem").write_bytes(b"".join(pems))


@contextmanager
def nginx(directory: Path) -> Iterator[int]:
    """Its port."""
    port = free_port()
    configuration = directory / "nginx.conf"
    configuration.write_text(
        f"""daemon off; pid {directory}/nginx.pid; error_log {directory}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body; proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/fastcgi; uwsgi_temp_path {directory}/uwsgi; scgi_temp_path {directory}/scgi;
  server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {directory}/server.pem; ssl_certificate_key {directory}/server.key;
    ssl_client_certificate {directory}/authorities.pem; ssl_verify_client on; ssl_verify_depth 2;
    ssl_crl {directory}/crls.pem;
    location / {{ return 200 "$ssl_client_verify"; }}
  }}
}}
"""
    )
    process = ChildProcess("nginx", ["nginx", "-p", str(directory), "-c", str(configuration)], directory)
    try:
        process.wait_until_listening(port)
        yield port
    finally:
        process.stop()


def answer(port: int, device: Device) -> tuple[int, str]:
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.load_cert_chain(device.files.certificate, device.files.private_key)
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context, timeout=10)
    connection.request("GET", "/")
    response = connection.getresponse()
    text = response.read().decode()
    connection.close()
    return response.status, text


def test_nginx_refuses_who_is_revoked_or_on_hold_and_nobody_else(site: AuthoritySite, tmp_path: Path) -> None:
    devices = [Device(site, tmp_path, f"device-{number}") for number in range(5)]
    reasons = {1: RevocationReason.KEY_COMPROMISE, 3: RevocationReason.CERTIFICATE_HOLD}
    with site.store.begin() as work:
        for number, reason in reasons.items():
            revoke(work, [devices[number].issued.row], reason, site.occasion())
    write_lists(site, tmp_path)
    with nginx(tmp_path) as port:
        answers = [answer(port, device) for device in devices]
    assert [(status, "SUCCESS" in text) for status, text in answers] == [
        (400, False) if number in reasons else (200, True) for number in range(5)
    ]
    with site.store.begin() as work:
        release(work, devices[3].issued.row, site.occasion())
    write_lists(site, tmp_path)
    with nginx(tmp_path) as port:
        assert [answer(port, devices[number])[0] for number in (1, 3)] == [400, 200]
