"""What another TLS library sees of the two roles on the wire: `openssl s_client` over loopback."""

import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from support.pki import Authority

from gateway.adapters.openssl_symbols import find_ticket_switch
from gateway.tls.contexts import ServerCertificate, app_context, mtls_context
from gateway.tls.session import HostContext, TlsFailure, TlsSession

APP, MTLS = "wiki.apps.example.test", "n1.mtls.example.test"
VERSIONS = pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
PROGRAM = shutil.which("openssl") or "openssl"


class Listener:
    """Answers every connection with one line, then closes it."""

    def __init__(self) -> None:
        web = Authority.create_root("Web root")
        self.corp = Authority.create_root("Corp root").issue_intermediate("Corp devices")
        credential = web.issue_server([APP, "*.mtls.example.test"])
        certificate = ServerCertificate((credential.certificate,), credential.key)
        self._contexts = {
            APP: HostContext(app_context(certificate), asks_for_certificate=False),
            MTLS: HostContext(
                mtls_context(certificate, "1.2", [self.corp.certificate], find_ticket_switch()),
                asks_for_certificate=True,
            ),
        }
        self.peers: list[bytes | None] = []
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            with connection:
                connection.settimeout(5)
                self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        session = TlsSession(lambda name: self._contexts.get(name or ""))
        while not session.established:
            data = connection.recv(65_536)
            if not data:
                return
            try:
                session.feed(data)
            except TlsFailure:
                connection.sendall(session.take_output())
                return
            connection.sendall(session.take_output())
        peer = session.peer_certificate
        self.peers.append(None if peer is None else peer.end_entity_der)
        session.send(b"answered\n")
        session.close()
        connection.sendall(session.take_output())
        connection.recv(65_536)


@pytest.fixture
def listener() -> Iterator[Listener]:
    running = Listener()
    yield running
    running.close()


def s_client(listener: Listener, name: str, *options: str | Path) -> str:
    """All that it prints. It ends by itself when the server closes."""
    result = subprocess.run(
        [PROGRAM, "s_client", "-connect", f"127.0.0.1:{listener.port}", "-servername", name, *options],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=20,
        check=False,
    )
    return (result.stdout + result.stderr).decode(errors="replace")


@VERSIONS
def test_the_mtls_host_names_its_authorities_and_the_app_host_asks_for_nothing(
    listener: Listener, version: str
) -> None:
    asked = s_client(listener, MTLS, version)
    assert "Acceptable client certificate CA names" in asked
    assert "CN = Corp devices" in asked

    assert "No client certificate CA names sent" in s_client(listener, APP, version)


@VERSIONS
@pytest.mark.parametrize(("name", "reused"), [(APP, True), (MTLS, False)], ids=["app", "mtls"])
def test_a_kept_session_opens_the_app_host_only(
    listener: Listener, name: str, reused: bool, version: str, tmp_path: Path
) -> None:
    kept = tmp_path / "session.pem"
    files = listener.corp.issue_client("urn:device:1", None).write(tmp_path, "device")
    identity = ("-cert", files.certificate, "-key", files.private_key)
    first = s_client(listener, name, version, *identity, "-ign_eof", "-sess_out", kept)
    assert "New, " in first
    if not kept.exists():
        assert not reused  # there was not even anything to keep
        return

    second = s_client(listener, name, version, *identity, "-ign_eof", "-sess_in", kept)

    assert ("Reused, " in second) is reused
    assert ("New, " in second) is not reused
    assert len(listener.peers) == 2
    assert all((peer is not None) is (name == MTLS) for peer in listener.peers)


def test_reconnecting_five_times_is_five_handshakes_on_the_mtls_host(listener: Listener) -> None:
    printed = s_client(listener, MTLS, "-tls1_2", "-reconnect")

    assert "Reused, " not in printed
    assert printed.count("New, ") == 6


@VERSIONS
def test_the_mtls_host_gives_out_no_ticket(listener: Listener, version: str) -> None:
    assert "TLS session ticket:" in s_client(listener, APP, version, "-ign_eof")
    assert "TLS session ticket:" not in s_client(listener, MTLS, version, "-ign_eof")
