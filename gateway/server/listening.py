"""The listening sockets: one for each address and worker, all held by the supervisor.

The kernel spreads connections over the sockets of one address (SO_REUSEPORT). A socket outlives its worker:
what waits in its queue while a crashed worker is replaced is served by the replacement.
"""

import os
import socket
from collections.abc import Sequence
from typing import Any, Final

from gateway.model.settings import Address

LISTEN_BACKLOG: Final = 4_096


def listen(
    address: Address, key: str, count: int, inherited: Sequence[socket.socket] = ()
) -> list[list[socket.socket]]:
    """For each socket address that the host stands for, ``count`` sockets or more. Raises OSError, which
    names the key.

    Nobody else may listen there, but for who hands ``inherited`` over: those of them that listen there are
    used first.
    """
    try:
        found = socket.getaddrinfo(
            address.host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )
        opened: list[list[socket.socket]] = []
        for family, place in dict.fromkeys((family, place) for family, _, _, _, place in found):
            group = [one for one in inherited if (one.family, one.getsockname()) == (family, place)]
            if not group:
                _bound(family, place, shared=False).close()
            group += (listening(family, place) for _ in range(count - len(group)))
            opened.append(group)
    except OSError as error:
        cause = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
        raise OSError(error.errno, f"{key}: cannot listen on {text(address)}: {cause}") from error
    return opened


def listening(family: int, place: tuple[Any, ...]) -> socket.socket:
    """One more socket of a socket address. Raises OSError."""
    bound = _bound(family, place, shared=True)
    bound.listen(LISTEN_BACKLOG)
    return bound


def dealt(sockets: Sequence[Sequence[socket.socket]], workers: int) -> list[list[socket.socket]]:
    """The sockets of each worker: of every address at least one. Where an address has more sockets than there
    are workers, some have several; where it has fewer, some share one."""
    hands: list[list[socket.socket]] = [[] for _ in range(workers)]
    for group in sockets:
        for number in range(max(workers, len(group))):
            hands[number % workers].append(group[number % len(group)])
    return hands


def text(address: Address) -> str:
    host = f"[{address.host}]" if ":" in address.host else address.host
    return f"{host}:{address.port}"


def _bound(family: int, place: tuple[Any, ...], *, shared: bool) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if shared:
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        if family == socket.AF_INET6:
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(place)
    except BaseException:
        bound.close()
        raise
    return bound
