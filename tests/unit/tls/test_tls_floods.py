"""After the handshake: records that hold nothing, however many of them come."""

import pytest
from OpenSSL import SSL
from support.pki import Authority
from support.raw_tls import carry, drain, pyopenssl_client, shake_hands
from support.tls_floods import KEY_UPDATE_BYTES, key_updates, renegotiation

from gateway.adapters.tls_records import choose_records
from gateway.tls.contexts import ServerCertificate, app_context
from gateway.tls.records import PUBLIC_RECORDS, Records
from gateway.tls.session import (
    MAX_BARREN_BYTES,
    OVERHEAD_BYTES,
    FailureKind,
    HostContext,
    TlsFailure,
    TlsSession,
)

HOST = "wiki.apps.example.test"
CREDENTIAL = Authority.create_root("Web root").issue_server([HOST])
CONTEXT = HostContext(
    app_context(ServerCertificate((CREDENTIAL.certificate,), CREDENTIAL.key)), asks_for_certificate=False
)
TOO_MANY = MAX_BARREN_BYTES // KEY_UPDATE_BYTES + 1


@pytest.fixture(params=["public", "chosen"])
def records(request: pytest.FixtureRequest) -> Records:
    return PUBLIC_RECORDS if request.param == "public" else choose_records()


def established(records: Records, version: int = SSL.TLS1_3_VERSION) -> tuple[SSL.Connection, TlsSession]:
    server = TlsSession(lambda _: CONTEXT, records)
    client = pyopenssl_client(HOST, version=version)
    shake_hands(client, server)
    return client, server


def sealed(client: SSL.Connection, plaintext: bytes) -> bytes:
    client.sendall(plaintext)
    return drain(client)


@pytest.mark.parametrize("at_once", [1, 100])
def test_key_updates_without_data_end_the_connection(records: Records, at_once: int) -> None:
    client, server = established(records)
    for _ in range((TOO_MANY - 1) // at_once):
        server.feed(key_updates(client, at_once, requested=False))
    with pytest.raises(TlsFailure) as failure:
        server.feed(key_updates(client, at_once, requested=False))
    assert failure.value.kind is FailureKind.PROTOCOL_ERROR


def test_data_in_between_earns_more_of_them(records: Records) -> None:
    client, server = established(records)
    for _ in range(3):
        server.feed(key_updates(client, TOO_MANY - 2, requested=False))
        assert server.feed(key_updates(client, 1, requested=False) + sealed(client, b"data")) == b"data"


def test_what_they_ask_for_in_return_is_noticed_though_data_comes_along(records: Records) -> None:
    """The answers wait inside of OpenSSL, and would wait there for ever."""
    client, server = established(records)
    for _ in range(40):
        server.feed(key_updates(client, 100, requested=True) + sealed(client, b"data"))
        if server.overhead > OVERHEAD_BYTES:
            break
    assert server.overhead > OVERHEAD_BYTES
    waiting = len(server.take_output())
    assert OVERHEAD_BYTES // 2 < waiting < 2 * OVERHEAD_BYTES


@pytest.mark.parametrize("piece_bytes", [1_000, 16_000, 200_000])
def test_an_upload_is_no_flood_however_it_is_cut(records: Records, piece_bytes: int) -> None:
    client, server = established(records)
    body = bytes(1_000_000)
    wire, received = sealed(client, body), b""
    for at in range(0, len(wire), piece_bytes):
        received += server.feed(wire[at : at + piece_bytes])
    assert received == body
    assert server.overhead < OVERHEAD_BYTES


def test_a_renegotiation_is_declined_and_the_connection_goes_on(records: Records) -> None:
    client, server = established(records, SSL.TLS1_2_VERSION)
    assert server.feed(renegotiation(client)) == b""
    assert len(server.take_output()) < 100  # a warning, and no handshake
    carry(client, server)
