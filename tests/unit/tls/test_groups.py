"""Which groups the key exchange takes, in both versions of TLS."""

import pytest
from OpenSSL import SSL
from OpenSSL._util import lib
from support.pki import Authority
from support.raw_tls import shake_hands

from gateway.tls import groups
from gateway.tls.contexts import ServerCertificate, app_context
from gateway.tls.session import HostContext, TlsFailure, TlsSession

HOST = "wiki.apps.example.test"
CREDENTIAL = Authority.create_root("Web root").issue_server([HOST])


def shaken(group: bytes, version: int = SSL.TLS1_3_VERSION) -> TlsSession:
    """The server's side of a handshake with a client that knows these groups only."""
    server_context = app_context(ServerCertificate((CREDENTIAL.certificate,), CREDENTIAL.key))
    server = TlsSession(lambda _: HostContext(server_context, asks_for_certificate=False))
    context = SSL.Context(SSL.TLS_CLIENT_METHOD)
    context.set_min_proto_version(version)
    context.set_max_proto_version(version)
    assert lib.SSL_CTX_set1_curves_list(context._context, group) == 1
    client = SSL.Connection(context, None)
    client.set_tlsext_host_name(HOST.encode())
    client.set_connect_state()
    shake_hands(client, server)
    return server


@pytest.mark.parametrize("group", [b"X25519MLKEM768", b"X25519", b"P-256", b"P-384", b"P-521"])
def test_what_browsers_use_is_taken(group: bytes) -> None:
    assert shaken(group).established


@pytest.mark.parametrize("group", [b"X25519:P-256", b"P-256", b"P-384:P-256"])
def test_in_tls_1_2_too(group: bytes) -> None:
    assert shaken(group, SSL.TLS1_2_VERSION).established


@pytest.mark.parametrize("group", [b"X448", b"ffdhe2048", b"ffdhe3072", b"brainpoolP512r1tls13"])
def test_what_only_costs_more_is_not(group: bytes) -> None:
    with pytest.raises(TlsFailure, match="no suitable key share"):
        shaken(group)


@pytest.mark.parametrize("answers", [[1], [0, 1], [0, 0]])
def test_a_library_without_the_hybrid_still_gets_a_list(
    answers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = iter(answers)

    class Library:
        def SSL_CTX_set1_curves_list(self, _context: object, _list: object) -> int:
            return next(asked)

        def ERR_clear_error(self) -> None: ...

    monkeypatch.setattr(groups, "lib", Library())
    assert groups.restrict_groups(SSL.Context(SSL.TLS_SERVER_METHOD)) is (answers[-1] == 1)


def test_a_binding_without_the_function_keeps_its_own_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(groups, "lib", object())
    assert not groups.restrict_groups(SSL.Context(SSL.TLS_SERVER_METHOD))
