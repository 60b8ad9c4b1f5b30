"""Handshakes in memory: which host asks for a certificate, what is handed over, and what never resumes."""

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from OpenSSL import SSL
from support.pki import Authority, Credential, federation_credential
from support.raw_tls import (
    MemoryClient,
    carry,
    client_context,
    drain,
    hello_message,
    in_records,
    pyopenssl_client,
    server_name_extension,
    shake_hands,
)

from gateway.adapters.openssl_symbols import find_ticket_switch
from gateway.model.device import PeerCertificate
from gateway.tls.contexts import (
    ServerCertificate,
    ServerCertificateRefused,
    app_context,
    mtls_context,
    select_certificate,
)
from gateway.tls.records import PUBLIC_RECORDS, NativeRecords, Records
from gateway.tls.session import FailureKind, HostContext, TlsFailure, TlsSession

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
BOTH_VERSIONS = pytest.mark.parametrize("version", [TLS12, TLS13], ids=["TLS 1.2", "TLS 1.3"])
APP, OTHER_APP, MTLS = "wiki.apps.example.test", "crm.apps.example.test", "n1.mtls.example.test"

WEB = Authority.create_root("Web root")
CORP = Authority.create_root("Corp root").issue_intermediate("Corp devices")
STRANGERS = Authority.create_root("Strangers").issue_intermediate("Strangers below")
DEVICE = CORP.issue_client("urn:device:1", "alice@example.test")


def server_certificate(*names: str) -> ServerCertificate:
    credential = WEB.issue_server(names)
    return ServerCertificate((credential.certificate, *credential.intermediates), credential.key)


CERTIFICATE = server_certificate(APP, OTHER_APP, "*.mtls.example.test")


class Hosts:
    """Two app hosts and one mTLS host, each role with its one context."""

    def __init__(self, minimum_version: str = "1.2") -> None:
        app = HostContext(app_context(CERTIFICATE), asks_for_certificate=False)
        mtls = HostContext(
            mtls_context(CERTIFICATE, minimum_version, [CORP.certificate, CORP.root], find_ticket_switch()),
            asks_for_certificate=True,
        )
        self.by_name = {APP: app, OTHER_APP: app, MTLS: mtls}

    def session(self) -> TlsSession:
        return TlsSession(lambda name: self.by_name.get(name or ""), RECORDS.current)


class RecordsInUse:
    """The way of moving bytes that the tests of this module run with: each runs with both."""

    current: Records = PUBLIC_RECORDS


RECORDS = RecordsInUse()


@pytest.fixture(autouse=True, params=[PUBLIC_RECORDS, NativeRecords()], ids=["public", "native"])
def records(request: pytest.FixtureRequest) -> None:
    RECORDS.current = request.param


def connected(hosts: Hosts, name: str, version: ssl.TLSVersion) -> MemoryClient:
    return MemoryClient(hosts.session(), client_context(WEB, version=version), name).shake_hands()


# What the handshake shows.


@BOTH_VERSIONS
@pytest.mark.parametrize("name", [APP, MTLS])
def test_a_client_without_a_certificate_gets_through_and_is_known_by_its_name(
    name: str, version: ssl.TLSVersion
) -> None:
    client = connected(Hosts(), name, version)

    assert client.server.server_name == name
    assert client.server.peer_certificate is None
    assert client.server.version == client.tls.version()
    assert client.send(b"question") == b"question"
    client.server.send(b"answer")
    assert client.read() == b"answer"


def expired() -> Credential:
    now = datetime.now(UTC)
    return CORP.issue_client(
        "urn:device:1", "a@x.test", not_before=now - timedelta(days=9), not_after=now - timedelta(days=1)
    )


def not_yet_valid() -> Credential:
    now = datetime.now(UTC)
    return CORP.issue_client("urn:device:1", "a@x.test", not_before=now + timedelta(days=1))


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["TLS 1.2", "TLS 1.3"])
@pytest.mark.parametrize(
    "credential",
    [
        pytest.param(DEVICE, id="of a device authority"),
        pytest.param(expired(), id="that has expired"),
        pytest.param(not_yet_valid(), id="that is not yet valid"),
        pytest.param(STRANGERS.issue_client("urn:device:2", None), id="of an unknown authority"),
        pytest.param(federation_credential("self-signed"), id="that is self-signed, with an RSA key"),
        pytest.param(
            CORP.issue_client("urn:device:3", None, extended_key_usage=[]), id="without extended key usage"
        ),
        pytest.param(CORP.issue_server(["pc.example.test"]), id="that is for servers"),
    ],
)
def test_any_certificate_finishes_the_handshake_and_is_handed_over(
    credential: Credential, version: int
) -> None:
    server = Hosts().session()
    client = pyopenssl_client(MTLS, credential, version=version)
    shake_hands(client, server)

    assert server.peer_certificate == PeerCertificate(
        credential.certificate.public_bytes(Encoding.DER),
        tuple(c.public_bytes(Encoding.DER) for c in credential.intermediates),
    )


def test_a_handshake_that_was_changed_on_the_way_hands_over_nothing() -> None:
    server = Hosts().session()
    client = pyopenssl_client(MTLS, DEVICE, version=SSL.TLS1_3_VERSION)
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    carry(client, server)
    client.do_handshake()
    last_flight = bytearray(drain(client))
    last_flight[-1] ^= 1
    with pytest.raises(TlsFailure) as failure:
        server.feed(bytes(last_flight))
    assert failure.value.kind is FailureKind.HANDSHAKE_FAILED
    assert not server.established
    assert server.peer_certificate is None


@BOTH_VERSIONS
def test_app_hosts_never_ask_for_a_certificate(version: ssl.TLSVersion) -> None:
    server = Hosts().session()
    wire = SSL.TLS1_2_VERSION if version is TLS12 else SSL.TLS1_3_VERSION
    client = pyopenssl_client(APP, DEVICE, version=wire)
    shake_hands(client, server)

    assert server.peer_certificate is None
    assert client.get_client_ca_list() == []


@pytest.mark.parametrize("version", [SSL.TLS1_2_VERSION, SSL.TLS1_3_VERSION], ids=["TLS 1.2", "TLS 1.3"])
def test_the_certificate_request_names_the_device_authorities(version: int) -> None:
    server = Hosts().session()
    client = pyopenssl_client(MTLS, DEVICE, version=version)
    shake_hands(client, server)

    assert {name.CN for name in client.get_client_ca_list()} == {"Corp devices", "Corp root"}


# What resumes, and what never does.


def second_connection(hosts: Hosts, name: str, version: ssl.TLSVersion) -> tuple[MemoryClient, MemoryClient]:
    """Two connections of one client, the second with all that the first was given to resume by."""
    context = client_context(WEB, version=version)
    first = MemoryClient(hosts.session(), context, name).shake_hands()
    first.server.send(b"so that tickets arrive")
    first.read()
    second = MemoryClient(hosts.session(), context, name, session=first.tls.session).shake_hands()
    return first, second


@BOTH_VERSIONS
def test_app_hosts_resume(version: ssl.TLSVersion) -> None:
    _, second = second_connection(Hosts(), APP, version)

    assert second.tls.session_reused
    assert second.server.server_name == APP
    assert second.send(b"question") == b"question"


@BOTH_VERSIONS
def test_mtls_hosts_never_resume(version: ssl.TLSVersion) -> None:
    _, second = second_connection(Hosts(), MTLS, version)

    assert not second.tls.session_reused


def test_mtls_hosts_give_out_neither_ticket_nor_session_id_in_tls_1_2() -> None:
    first, _ = second_connection(Hosts(), MTLS, TLS12)

    session = first.tls.session
    assert session is not None
    assert not session.has_ticket
    assert session.id == b""


@BOTH_VERSIONS
def test_a_certificate_is_shown_again_on_every_connection(version: ssl.TLSVersion, tmp_path: Path) -> None:
    """What was revoked meanwhile must not come back with a session that was begun before."""
    hosts, context = Hosts(), client_context(WEB, version=version)
    files = DEVICE.write(tmp_path, "device")
    context.load_cert_chain(files.certificate, files.private_key)
    first = MemoryClient(hosts.session(), context, MTLS).shake_hands()
    first.server.send(b"so that tickets arrive")
    first.read()
    second = MemoryClient(hosts.session(), context, MTLS, session=first.tls.session).shake_hands()

    assert not second.tls.session_reused
    assert second.server.peer_certificate == first.server.peer_certificate
    assert second.server.peer_certificate is not None


@BOTH_VERSIONS
def test_a_session_of_an_app_host_opens_no_mtls_host(version: ssl.TLSVersion) -> None:
    hosts, context = Hosts(), client_context(WEB, version=version)
    first = MemoryClient(hosts.session(), context, APP).shake_hands()
    first.server.send(b"so that tickets arrive")
    first.read()
    second = MemoryClient(hosts.session(), context, MTLS, session=first.tls.session).shake_hands()

    assert not second.tls.session_reused


def test_renegotiation_is_refused_in_tls_1_2() -> None:
    server = Hosts().session()
    client = pyopenssl_client(MTLS, DEVICE, version=SSL.TLS1_2_VERSION)
    shake_hands(client, server)

    assert client.renegotiate()
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    carry(client, server)
    with pytest.raises(SSL.Error, match="no renegotiation"):
        client.do_handshake()
    assert server.peer_certificate is not None


# Names and versions.


@pytest.mark.parametrize(
    "name",
    ["unknown.example.test", "wiki.apps.example.test.", "a.b.mtls.example.test", None],
    ids=["unknown", "trailing dot", "two labels", "none"],
)
def test_a_name_that_nobody_serves_gets_its_alert_without_a_handshake(name: str | None) -> None:
    extensions = None if name is None else server_name_extension(name.encode())
    server = Hosts().session()
    with pytest.raises(TlsFailure) as failure:
        server.feed(in_records(hello_message(extensions)))

    assert failure.value.kind is FailureKind.UNKNOWN_NAME
    assert server.take_output() == b"\x15\x03\x03\x00\x02\x02\x70"  # fatal unrecognized_name(112)
    assert server.take_output() == b""


def test_a_client_understands_the_alert() -> None:
    with pytest.raises(TlsFailure):
        connected(Hosts(), "unknown.example.test", TLS13)

    server = Hosts().session()
    client = pyopenssl_client("unknown.example.test")
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    with pytest.raises(TlsFailure):
        carry(client, server)
    client.bio_write(server.take_output())
    with pytest.raises(SSL.Error, match="unrecognized name"):
        client.do_handshake()


def test_plain_http_is_told_apart_and_answered_nothing() -> None:
    server = Hosts().session()
    with pytest.raises(TlsFailure) as failure:
        server.feed(b"GET / HTTP/1.1\r\n\r\n")

    assert failure.value.kind is FailureKind.NOT_TLS
    assert server.take_output() == b""


def test_a_malformed_hello_gets_decode_error() -> None:
    server = Hosts().session()
    with pytest.raises(TlsFailure) as failure:
        server.feed(in_records(hello_message(b"\x00\x00\x00\xff")))

    assert failure.value.kind is FailureKind.NOT_TLS
    assert server.take_output() == b"\x15\x03\x03\x00\x02\x02\x32"  # fatal decode_error(50)


def test_the_minimum_version_of_mtls_hosts_is_the_administrators() -> None:
    hosts = Hosts(minimum_version="1.3")
    with pytest.raises(TlsFailure) as failure:
        connected(hosts, MTLS, TLS12)

    assert failure.value.kind is FailureKind.HANDSHAKE_FAILED
    assert connected(hosts, MTLS, TLS13).server.version == "TLSv1.3"
    assert connected(hosts, APP, TLS12).server.version == "TLSv1.2"


@pytest.mark.parametrize("name", [APP, MTLS])
def test_tls_1_1_is_refused(name: str) -> None:
    hello = bytearray(in_records(hello_message(server_name_extension(name.encode()), ciphers=b"\xc0\x13")))
    hello[9:11] = b"\x03\x02"  # client_version
    server = Hosts().session()
    with pytest.raises(TlsFailure) as failure:
        server.feed(bytes(hello))
    assert failure.value.kind is FailureKind.HANDSHAKE_FAILED


@pytest.mark.parametrize(
    ("host", "offered", "selected"),
    [
        (APP, ("http/1.1",), "http/1.1"),
        (APP, ("http/1.1", "h2"), "h2"),
        (APP, ("h2",), "h2"),
        (APP, ("h3",), None),
        (MTLS, ("h2", "http/1.1"), "http/1.1"),
        (MTLS, ("h2",), None),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value or ("nothing",)),
)
def test_http_2_is_spoken_with_who_offers_it_but_never_on_mtls_hosts(
    host: str, offered: tuple[str, ...], selected: str | None
) -> None:
    context = client_context(WEB, version=TLS13, alpn=offered)
    client = MemoryClient(Hosts().session(), context, host).shake_hands()

    assert client.tls.selected_alpn_protocol() == selected
    assert client.server.application_protocol == (selected or "").encode()


def test_http_2_can_be_left_out() -> None:
    host = HostContext(app_context(CERTIFICATE, http2=False), asks_for_certificate=False)
    context = client_context(WEB, version=TLS13, alpn=("h2", "http/1.1"))
    client = MemoryClient(TlsSession(lambda _: host), context, APP).shake_hands()

    assert client.tls.selected_alpn_protocol() == "http/1.1"


def retrying_client(first_name: str) -> tuple[SSL.Connection, TlsSession]:
    """A client whose first key share is of a group that the server has not, so that it is asked again."""
    hosts = Hosts()
    client = pyopenssl_client(first_name, version=SSL.TLS1_3_VERSION)
    lib, context = SSL._lib, client.get_context()
    assert lib.SSL_CTX_set1_curves_list(context._context, b"brainpoolP256r1tls13:X25519") == 1
    again = SSL.Connection(context, None)  # takes the groups of the context as they are now
    again.set_tlsext_host_name(first_name.encode())
    again.set_connect_state()
    server = hosts.session()
    with pytest.raises(SSL.WantReadError):
        again.do_handshake()
    carry(again, server)
    assert not server.established
    return again, server


def test_a_hello_retry_with_the_same_name_goes_on() -> None:
    client, server = retrying_client(APP)
    shake_hands(client, server)

    assert server.server_name == APP


@pytest.mark.parametrize("second_name", [MTLS, "unknown.example.test"], ids=["of the other role", "unknown"])
def test_a_second_hello_with_another_name_ends_the_handshake(second_name: str) -> None:
    """The context was chosen by the first name; what comes after must not speak for another host."""
    client, server = retrying_client(APP)
    client.set_tlsext_host_name(second_name.encode())
    with pytest.raises(TlsFailure) as failure:
        shake_hands(client, server)

    assert failure.value.kind is FailureKind.HANDSHAKE_FAILED
    assert not server.established


# After the handshake.


@BOTH_VERSIONS
def test_megabytes_pass_both_ways_unchanged(version: ssl.TLSVersion) -> None:
    client = connected(Hosts(), APP, version)
    data = bytes(range(256)) * 8_192  # 2 MiB

    assert client.send(data) == data
    client.server.send(data)
    assert client.read() == data


def test_ciphertext_may_arrive_byte_by_byte() -> None:
    client = connected(Hosts(), APP, TLS13)
    client.tls.write(b"question")
    ciphertext = client._outgoing.read()

    plaintext = b"".join(client.server.feed(ciphertext[at : at + 1]) for at in range(len(ciphertext)))
    assert plaintext == b"question"


@BOTH_VERSIONS
def test_close_notify_is_told_and_heard(version: ssl.TLSVersion) -> None:
    client = connected(Hosts(), APP, version)
    client.server.send(b"last words")
    client.server.close()
    client.server.close()  # a second time says nothing more
    assert client.read() == b"last words"
    client.tls.unwrap()
    assert not client.server.peer_closed
    client.exchange()

    assert client.server.peer_closed


def test_plaintext_before_the_close_is_not_lost() -> None:
    client = connected(Hosts(), APP, TLS13)
    client.tls.write(b"question")
    with pytest.raises(ssl.SSLWantReadError):
        client.tls.unwrap()

    client.exchange()
    assert client.received_by_server == b"question"
    assert client.server.peer_closed


@BOTH_VERSIONS
@pytest.mark.parametrize(
    "garbage",
    [
        pytest.param(b"\x17\x03\x03\x00\x20" + bytes(32), id="a record that does not decrypt"),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", id="plain HTTP"),
        pytest.param(b"\x17\x03\x03\xff\xff", id="a record that is too long"),
    ],
)
def test_garbage_ends_the_session(garbage: bytes, version: ssl.TLSVersion) -> None:
    client = connected(Hosts(), APP, version)
    with pytest.raises(TlsFailure) as failure:
        client.server.feed(garbage)

    assert failure.value.kind is FailureKind.PROTOCOL_ERROR
    client.server.close()  # harmless


def test_closing_before_the_handshake_says_nothing() -> None:
    server = Hosts().session()
    server.close()
    assert server.take_output() == b""
    assert server.version == ""


# Certificates of the server itself.


@pytest.mark.parametrize(
    ("host", "covered"),
    [
        ("wiki.apps.example.test", True),
        ("n1.mtls.example.test", True),
        ("a.n1.mtls.example.test", False),
        ("mtls.example.test", False),
        ("example.test", False),
        ("", False),
        ("other.apps.example.test", False),
    ],
)
def test_a_certificate_covers_what_a_browser_would_accept(host: str, covered: bool) -> None:
    assert CERTIFICATE.covers(host) is covered


def test_an_exact_name_wins_over_a_wildcard() -> None:
    wildcard, exact = server_certificate("*.apps.example.test"), server_certificate(APP)

    assert select_certificate([wildcard, exact], APP) is exact
    assert select_certificate([wildcard, exact], "crm.apps.example.test") is wildcard
    assert select_certificate([wildcard, exact], "crm.example.test") is None


def test_a_certificate_without_alternative_names_covers_nothing() -> None:
    credential = federation_credential("wiki.apps.example.test")
    assert not ServerCertificate((credential.certificate,), credential.key).covers("wiki.apps.example.test")


def test_a_certificate_with_the_key_of_another_one_is_refused() -> None:
    other = server_certificate(APP)
    with pytest.raises(ServerCertificateRefused, match=r"its key: key values mismatch$"):
        app_context(ServerCertificate(CERTIFICATE.chain, other.private_key))
