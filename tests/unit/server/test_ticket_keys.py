"""Session tickets: the same keys in every worker for one certificate, others for another, none for mTLS
hosts."""

from types import MappingProxyType
from typing import Any

from OpenSSL import SSL

from gateway.adapters.openssl_symbols import find_ticket_key_setter
from gateway.server.hosts import HostTable, Role
from gateway.server.ticket_keys import TicketKeys
from gateway.tls.contexts import TICKET_KEY_BYTES
from gateway.tls.session import HostContext


class Given:
    """Where keys would go."""

    def __init__(self) -> None:
        self.keys: dict[int, bytes] = {}

    def __call__(self, context: SSL.Context, keys: bytes) -> bool:
        self.keys[id(context)] = keys
        return True


def table(*made: tuple[Role, bytes]) -> tuple[HostTable, list[SSL.Context]]:
    contexts = [SSL.Context(SSL.TLS_SERVER_METHOD) for _ in made]
    hosts: Any = {
        key: HostContext(context, asks_for_certificate=key[0] is Role.MTLS)
        for key, context in zip(made, contexts, strict=True)
    }
    unused: Any = None
    return HostTable({}, "", "", {}, unused, MappingProxyType(hosts)), contexts


def test_keys_follow_from_secret_and_certificate_alone() -> None:
    one, other = Given(), Given()
    hosts, contexts = table((Role.APP, b"a"), (Role.APP, b"b"), (Role.MTLS, b"a"))
    again, others = table((Role.APP, b"a"))
    TicketKeys(b"secret", one).apply(hosts)
    TicketKeys(b"secret", other).apply(again)
    assert one.keys[id(contexts[0])] == other.keys[id(others[0])]
    assert one.keys[id(contexts[0])] != one.keys[id(contexts[1])]
    assert id(contexts[2]) not in one.keys
    assert {len(keys) for keys in one.keys.values()} == {TICKET_KEY_BYTES}


def test_a_new_secret_makes_new_keys() -> None:
    given = Given()
    hosts, (context,) = table((Role.APP, b"a"))
    keys = TicketKeys(b"secret", given)
    keys.apply(hosts)
    before = given.keys[id(context)]
    keys.replace_secret(b"another", hosts)
    assert given.keys[id(context)] != before


def test_openssl_takes_the_keys_and_gives_them_back() -> None:
    set_keys = find_ticket_key_setter()
    assert set_keys is not None
    assert set_keys(SSL.Context(SSL.TLS_SERVER_METHOD), bytes(range(TICKET_KEY_BYTES)))


def test_without_the_function_contexts_keep_their_own_keys() -> None:
    hosts, _ = table((Role.APP, b"a"))
    keys = TicketKeys(b"secret", None)
    keys.apply(hosts)
    assert not keys.are_shared
