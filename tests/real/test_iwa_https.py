"""The IWA web app over TLS: a ticket names the connection that it comes over, so that nobody between can pass
it on."""

import http.client
import json
import ssl
import subprocess
from base64 import b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support.iwa_process import IwaProcess
from support.kerberos import Forests, missing_parts
from support.needed_parts import needs, needs_program
from support.pki import Authority, Credential
from support.tls_inspection import TlsInspection

from gateway.enrollment.channel_bindings import tls_server_end_point

pytestmark = [pytest.mark.real, needs("Kerberos", missing_parts)]
BINDING = {"nonce": "nonce-1", "key_thumbprint": "k" * 43}
ROOT = Authority.create_root("Corp TLS Root")
SHOWN = ROOT.issue_server(["localhost"])


@pytest.fixture(scope="module")
def iwa(kerberos_forests: Forests, tmp_path_factory: pytest.TempPathFactory) -> Iterator[IwaProcess]:
    with IwaProcess.running(kerberos_forests, tmp_path_factory.mktemp("iwa"), https=SHOWN) as running:
        yield running


def bindings(credential: Credential) -> bytes:
    found = tls_server_end_point(credential.certificate.public_bytes(Encoding.DER))
    assert found is not None
    return found


def token(forests: Forests, credential: Credential | None) -> bytes:
    """A computer's, bound to the connection with the server that showed this certificate."""
    cache = forests.corp.log_in_computer("ws1")
    bound = None if credential is None else bindings(credential)
    return forests.negotiate(cache, "localhost", channel_bindings=bound)


def test_a_ticket_for_this_connection_is_taken(iwa: IwaProcess, kerberos: Forests) -> None:
    assert iwa.post("/device", token(kerberos, SHOWN), **BINDING).code == "ok"
    assert iwa.wait_for_record(lambda line: line["event"] == "iwa_device")["is_bound"] is True


def test_one_that_names_no_connection_is_refused(iwa: IwaProcess, kerberos: Forests) -> None:
    answer = iwa.post("/device", token(kerberos, None), **BINDING)
    assert (answer.status, answer.code) == (401, "CHANNEL_BINDING_MISSING")


def test_who_opens_tls_between_cannot_pass_a_ticket_on(
    iwa: IwaProcess, kerberos: Forests, tmp_path: Path
) -> None:
    other_root = Authority.create_root("Appliance")
    appliance = other_root.issue_server(["localhost"])
    with TlsInspection.running(iwa.port, appliance, tmp_path) as inspection:
        with closing(connected(inspection.port, trusting=other_root.trust_pem)) as connection:
            answer = ask(connection, token(kerberos, appliance))
        assert b"Negotiate" in inspection.seen
    assert answer["code"] == "CHANNEL_BINDING_MISMATCH"
    assert "opens TLS" in answer["remedy"]


def test_a_new_certificate_is_shown_after_a_signal_and_old_connections_keep_theirs(
    kerberos: Forests, tmp_path: Path
) -> None:
    with IwaProcess.running(kerberos, tmp_path, https=SHOWN) as iwa:
        old = connected(iwa.port)
        assert ask(old, token(kerberos, SHOWN))["code"] == "ok"
        new = ROOT.issue_server(["localhost"])
        iwa.show(new)
        assert iwa.reload()["event"] == "reloaded"
        fresh = connected(iwa.port)
        assert ask(fresh, token(kerberos, new))["code"] == "ok"
        assert ask(fresh, token(kerberos, SHOWN))["code"] == "CHANNEL_BINDING_MISMATCH"
        assert ask(old, token(kerberos, SHOWN))["code"] == "ok"
        (tmp_path / "iwa.pem").write_text("broken")
        line = iwa.reload()
        assert line["event"] == "reload_refused"
        assert "iwa.pem: holds no certificate" in line["detail"]
        assert ask(fresh, token(kerberos, new))["code"] == "ok"
        old.close()
        fresh.close()
        iwa.stop()


def connected(port: int, *, trusting: bytes = ROOT.trust_pem) -> http.client.HTTPSConnection:
    context = ssl.create_default_context(cadata=trusting.decode())
    return http.client.HTTPSConnection("localhost", port, context=context, timeout=20)


def ask(connection: http.client.HTTPSConnection, sent: bytes) -> dict[str, str]:
    """The answer to the device step."""
    ticket = b64encode(sent).decode()
    headers = {"Content-Type": "application/json", "Authorization": f"Negotiate {ticket}"}
    connection.request("POST", "/iwa/device", json.dumps(BINDING), headers)
    said: dict[str, str] = json.loads(connection.getresponse().read())
    return {"code": "ok", **said}


@needs_program("curl")
def test_clients_without_bindings_are_let_in_where_they_are_not_required(
    kerberos: Forests, tmp_path: Path
) -> None:
    """As curl before 8.10 is one."""
    changes = {"kerberos": {"channel_bindings": "when_offered"}}
    with IwaProcess.running(kerberos, tmp_path, https=SHOWN, changes=changes) as iwa:
        assert iwa.post("/device", token(kerberos, None), **BINDING).code == "ok"
        other = ROOT.issue_server(["localhost"])
        assert iwa.post("/device", token(kerberos, other), **BINDING).code == "CHANNEL_BINDING_MISMATCH"
        (tmp_path / "root.pem").write_bytes(ROOT.trust_pem)
        done = subprocess.run(
            [
                *("curl", "-sS", "--negotiate", "-u", ":", "--cacert", tmp_path / "root.pem"),
                *("-H", "Accept: application/json", f"{iwa.url}/"),
            ],
            env=kerberos.environment(kerberos.corp.log_in("alice")),
            capture_output=True,
            text=True,
            check=True,
        )
        said = json.loads(done.stdout)
        assert said["principal"] == "alice@CORP.EXAMPLE.TEST"
        assert said["connection"] in ("HTTPS, not named in the ticket", "HTTPS, named in the ticket")
