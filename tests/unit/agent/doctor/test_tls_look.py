"""Looking at a TLS handshake, with servers of Python's own on loopback. They name no authorities to clients,
as the gateway does: see the flows."""

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest
from support.connect_proxy import connect_proxy
from support.pki import Authority, Credential

from gateway.agent.doctor.routes_seen import connect_by, shown_routes
from gateway.agent.doctor.tls_look import LookFailed, ShownFiles, connect_to, tls_look
from gateway.agent.proxies.routes import DIRECT, Proxy

WEB = Authority.create_root("Web root")
DEVICES = Authority.create_root("Device root")
HOST = "n1.mtls.example.test"


@contextmanager
def server(directory: Path, *, version: ssl.TLSVersion, wants: Authority | None = None) -> Iterator[int]:
    files = WEB.issue_server([f"*.{HOST.partition('.')[2]}"]).write(directory, "server")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(files.certificate, files.private_key)
    context.minimum_version = context.maximum_version = version
    if wants is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cadata=wants.pem.decode())
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        with suppress(OSError):
            plain, _ = listening.accept()
            with plain, context.wrap_socket(plain, server_side=True) as wrapped:
                wrapped.recv(4_096)
                wrapped.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield listening.getsockname()[1]
    finally:
        with suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)
        listening.close()
        thread.join()


def shown(credential: Credential, directory: Path) -> ShownFiles:
    files = credential.write(directory, "client")
    return ShownFiles(files.certificate, files.private_key)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("issuer", "refused"),
    [(DEVICES, False), (Authority.create_root("Stranger"), True), (None, True)],
    ids=["a device", "a stranger", "nobody"],
)
def test_a_server_that_wants_a_certificate_takes_the_right_one_and_is_seen_to_refuse_others(
    tmp_path: Path, version: ssl.TLSVersion, issuer: Authority | None, refused: bool
) -> None:
    files = None if issuer is None else shown(issuer.issue_client("urn:device:1", "alice"), tmp_path)
    with server(tmp_path, version=version, wants=DEVICES) as port:
        seen = tls_look(connect_to("127.0.0.1", port), HOST, files)
    assert (seen.issuer, seen.version) == ("Web root", version.name.replace("_", "."))
    assert bool(seen.refusal) is refused, seen


def test_a_server_that_wants_none_names_nobody(tmp_path: Path) -> None:
    with server(tmp_path, version=ssl.TLSVersion.TLSv1_3) as port:
        seen = tls_look(connect_to("127.0.0.1", port), HOST)
    assert (seen.client_authorities, seen.refusal) == ((), "")
    assert seen.leaf_sha256 == sha256(seen.chain[0]).hexdigest()


def test_a_proxy_is_gone_through_and_the_next_way_is_taken_where_one_fails(tmp_path: Path) -> None:
    with connect_proxy() as proxy, server(tmp_path, version=ssl.TLSVersion.TLSv1_3) as port:
        ways = (Proxy("https", "127.0.0.1", 9), Proxy("http", "127.0.0.1", proxy.port))
        seen = tls_look(connect_by(ways, HOST, port), HOST)
        assert (seen.issuer, proxy.asked) == ("Web root", [f"{HOST}:{port}"])
        proxy.refused.add(HOST)
        with pytest.raises(LookFailed, match="403 Forbidden"):
            tls_look(connect_by(ways, HOST, port), HOST)
    assert shown_routes((*ways[1:], DIRECT)) == f"through http://127.0.0.1:{proxy.port}, else directly"


def test_what_is_no_tls_and_who_does_not_listen_are_said() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]

        def answer() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(4_096)
                connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        with pytest.raises(LookFailed, match=r"wrong version number|http request"):
            tls_look(connect_to("127.0.0.1", port), HOST)
        thread.join()
    with pytest.raises(LookFailed, match="is no name of a host"):
        tls_look(connect_to("127.0.0.1", port), f"{'n' * 64}.test")
    with pytest.raises(LookFailed, match="refused"):
        tls_look(connect_to("127.0.0.1", port), HOST)
