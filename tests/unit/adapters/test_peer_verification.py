"""OpenSSL leaves a certificate alone only where a trial has shown that it does."""

import pytest
from OpenSSL import SSL

from gateway.adapters import peer_verification
from gateway.adapters.peer_verification import find_verification_switch
from gateway.adapters.trial_handshake import carry, trial_context, trial_handshake


def test_with_the_switch_any_certificate_finishes_the_handshake_and_is_there() -> None:
    switch = find_verification_switch()
    assert switch is not None
    server = trial_context(SSL.TLS_SERVER_METHOD)
    server.set_verify(SSL.VERIFY_PEER)
    switch(server)
    both = trial_handshake(server, trial_context(SSL.TLS_CLIENT_METHOD))
    assert both is not None
    assert both[0].get_peer_certificate() is not None


def test_without_it_openssl_refuses_what_nobody_vouches_for() -> None:
    server = trial_context(SSL.TLS_SERVER_METHOD)
    server.set_verify(SSL.VERIFY_PEER)
    assert trial_handshake(server, trial_context(SSL.TLS_CLIENT_METHOD)) is None


def test_the_switch_still_asks_for_proof_of_the_key() -> None:
    """TLS 1.2, where CertificateVerify travels in the clear: one bit of its signature is wrong."""
    switch = find_verification_switch()
    assert switch is not None
    server_context, client_context = (
        trial_context(method) for method in (SSL.TLS_SERVER_METHOD, SSL.TLS_CLIENT_METHOD)
    )
    server_context.set_max_proto_version(SSL.TLS1_2_VERSION)
    server_context.set_verify(SSL.VERIFY_PEER)
    switch(server_context)
    server, client = SSL.Connection(server_context, None), SSL.Connection(client_context, None)
    server.set_accept_state()
    client.set_connect_state()
    for side, other in ((client, server), (server, client)):
        with pytest.raises(SSL.WantReadError):
            side.do_handshake()
        carry(side, other)
    with pytest.raises(SSL.WantReadError):
        client.do_handshake()
    flight = bytearray(client.bio_read(65_536))
    flight[end_of_message(flight, CERTIFICATE_VERIFY) - 1] ^= 1
    server.bio_write(bytes(flight))
    with pytest.raises(SSL.Error, match="bad signature"):
        server.do_handshake()


CERTIFICATE_VERIFY = 15


def end_of_message(flight: bytearray, wanted: int) -> int:
    """Where the record ends that holds one handshake message of this type."""
    at = 0
    while flight[at] != 22 or flight[at + 5] != wanted:
        at += 5 + int.from_bytes(flight[at + 3 : at + 5])
    return at + 5 + int.from_bytes(flight[at + 3 : at + 5])


@pytest.mark.parametrize(
    "found", [None, {"SSL_CTX_set_cert_verify_callback": 0}], ids=["not found", "elsewhere"]
)
def test_where_the_function_is_not_found_nothing_is_switched(
    found: dict[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if found is None:
        monkeypatch.setattr(peer_verification, "find_functions", lambda *_: None)
    else:
        monkeypatch.setattr(peer_verification, "_trial", lambda _: False)
    assert find_verification_switch() is None
