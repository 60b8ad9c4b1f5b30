"""What is checked of every request, whatever host it is for: one Host field that is the TLS server name,
and a target in origin form (RFC 9112 §3.2)."""

import contextlib
import re
from datetime import datetime
from typing import Final

from gateway.model.decision import IPAddress
from gateway.model.events import MAX_LOGGED_PATH_CHARACTERS, RequestServed
from gateway.model.http import RequestHead, header_values
from gateway.proxy.addresses import AddressesDisagree, Network, client_address, peer_address
from gateway.server.exchange import Requester

# RFC 3986 §2 without "#": llhttp lets a fragment through, which no client may send.
_TARGET: Final = re.compile(rb"/[!\"$-~]*")
_AUTHORITY: Final = re.compile(rb"([A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_ABSOLUTE: Final = re.compile(rb"https?://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)


class HeadRefused(Exception):
    """A head that parses but is not for this host. ``status`` is 400 or 421."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(f"{status}: {detail}")
        self.status = status
        self.detail = detail


def checked_head(head: RequestHead, server_name: str) -> RequestHead:
    """The head with its target in origin form. Raises HeadRefused.

    The Host field must name the host of the TLS server name: a request that strays onto a connection made for
    another host would be judged by that one's rules. The port is not compared: it says nothing.
    """
    if len(header_values(head.headers, b"content-type")) > 1:
        raise HeadRefused(400, "more than one Content-Type field: each app server would take another one")
    hosts = header_values(head.headers, b"host")
    if len(hosts) != 1:
        raise HeadRefused(400, "not exactly one Host field")
    target = head.target
    if not target.startswith(b"/"):
        absolute = _ABSOLUTE.fullmatch(target)
        if absolute is not None:
            _check_authority(absolute[1], server_name)
            rest = absolute[2]
            target = rest if rest.startswith(b"/") else b"/" + rest
        elif not (target == b"*" and head.method == b"OPTIONS"):
            raise HeadRefused(400, "the request target is not a path")
    if target != b"*" and _TARGET.fullmatch(target) is None:
        raise HeadRefused(400, "the request target has characters that no target may have")
    _check_authority(hosts[0], server_name)
    return head if target is head.target else head._replace(target=target)


def request_address(
    head: RequestHead, peer_host: str, trusted_proxies: tuple[Network, ...]
) -> tuple[IPAddress, bytes | None]:
    """(the client's address, the X-Forwarded-For chain to pass on or None). Raises HeadRefused."""
    peer = peer_address(peer_host)
    if not trusted_proxies:
        return peer, None
    chain, forwarded = (
        header_values(head.headers, b"x-forwarded-for"),
        header_values(head.headers, b"forwarded"),
    )
    try:
        return client_address(peer, chain, forwarded, trusted_proxies)
    except AddressesDisagree as disagree:
        raise HeadRefused(400, str(disagree)) from disagree


def logged_address(requester: Requester, trusted_proxies: tuple[Network, ...]) -> str:
    """Who asked, for the log: the client of the request that runs, else the connection's peer."""
    head, peer_host = requester.request_head, requester.channel.peer_host
    if head is not None:
        with contextlib.suppress(HeadRefused):
            return str(request_address(head, peer_host, trusted_proxies)[0])
    return peer_host


def _check_authority(authority: bytes, server_name: str) -> None:
    match = _AUTHORITY.fullmatch(authority)
    if match is None:
        raise HeadRefused(400, "the Host field is no host")
    if match[1].lower() != server_name.encode("ascii"):
        raise HeadRefused(421, "the Host field is not the TLS server name")


def request_served(
    *,
    at: datetime,
    reference_id: str,
    role: str,
    host: str,
    status: int,
    ip: str,
    head: RequestHead | None = None,
) -> RequestServed:
    """The log's line for a request that no app answered; ``head`` is None where it could not be read."""
    return RequestServed(
        at=at,
        reference_id=reference_id,
        role=role,
        app="",
        host=host,
        method="" if head is None else head.method.decode("ascii"),
        path="" if head is None else head.path.decode("latin-1")[:MAX_LOGGED_PATH_CHARACTERS],
        status=status,
        seconds=0.0,
        ip=ip,
    )
