"""Listening sockets: one for each worker, nobody else's, and none lost when they are handed on."""

import socket

import pytest
from support.processes import free_port

from gateway.model.settings import Address
from gateway.server.listening import dealt, listen


def close(groups: list[list[socket.socket]]) -> None:
    for group in groups:
        for one in group:
            one.close()


def test_an_address_has_a_socket_for_each_worker() -> None:
    port = free_port()
    groups = listen(Address("127.0.0.1", port), "listen.https", 3)
    assert [[one.getsockname() for one in group] for group in groups] == [[("127.0.0.1", port)] * 3]
    close(groups)


def test_an_address_that_another_gateway_has_is_refused_though_the_kernel_would_share_it() -> None:
    address = Address("127.0.0.1", free_port())
    groups = listen(address, "listen.https", 2)
    with pytest.raises(OSError, match=rf"listen.https: cannot listen on 127.0.0.1:{address.port}: "):
        listen(address, "listen.https", 1)
    close(groups)


def test_what_is_inherited_is_used_first() -> None:
    address = Address("127.0.0.1", free_port())
    ((old,),) = listen(address, "listen.https", 1)
    elsewhere = listen(Address("127.0.0.1", free_port()), "listen.https", 1)[0][0]
    ((first, second),) = listen(address, "listen.https", 2, [elsewhere, old])
    assert first is old
    assert second.getsockname() == old.getsockname()
    close([[first, second, elsewhere]])


def test_a_name_that_stands_for_nothing_is_an_error_with_its_key() -> None:
    with pytest.raises(OSError, match=r"listen.https: cannot listen on no-such-host.invalid:443: "):
        listen(Address("no-such-host.invalid", 443), "listen.https", 1)


@pytest.mark.parametrize(
    ("groups", "workers", "hands"),
    [
        (["ab"], 2, ["a", "b"]),
        (["ab", "cd"], 2, ["ac", "bd"]),
        (["abc"], 2, ["ac", "b"]),
        (["a"], 3, ["a", "a", "a"]),
        (["ab", "c"], 2, ["ac", "bc"]),
    ],
    ids=["one each", "of each address one", "more than workers", "shared", "one address shared"],
)
def test_every_socket_has_a_worker_and_every_worker_a_socket_of_each_address(
    groups: list[str], workers: int, hands: list[str]
) -> None:
    assert ["".join(hand) for hand in dealt(groups, workers)] == hands  # type: ignore[arg-type, misc]
