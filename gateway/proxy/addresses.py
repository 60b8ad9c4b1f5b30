"""Whose address a request comes from: X-Forwarded-For and Forwarded (RFC 7239), from those who may."""

import re
from collections.abc import Sequence
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address

from gateway.proxy.forwarded import ForwardedRefused, forwarded_for

Network = IPv4Network | IPv6Network
IPAddress = IPv4Address | IPv6Address

# Some proxies write the client's port, too (RFC 7239 §6 has both forms).
_WITH_PORT = re.compile(r"(\d{1,3}(?:\.\d{1,3}){3}):\d{1,5}|\[([0-9A-Fa-f:.]+)\](?::\d{1,5})?")
# A longer chain of proxies than this is made up.
_MAX_HOPS = 32
# An IPv6 address with an IPv4 one at its end, in brackets, with a port. A scope could be of any length, and
# what was parsed is kept for a while.
_MAX_HOP_CHARACTERS = 54


class AddressesDisagree(Exception):
    """A trusted proxy's fields leave it open who the client is."""


@lru_cache(maxsize=4_096)
def peer_address(text: str) -> IPAddress:
    """The address of a socket's peer; an IPv4 address mapped into IPv6 is the IPv4 address it stands for."""
    return unmapped(ip_address(text.partition("%")[0]))


def unmapped(address: IPAddress) -> IPAddress:
    """The IPv4 address that an IPv6 address stands for, if it does (RFC 4291 §2.5.5.2)."""
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def address_group(address: IPAddress) -> int:
    """A number for the client that an address belongs to: one IPv4 address, or one IPv6 /64."""
    if isinstance(address, IPv4Address):
        return int(address)
    return (int(address) >> 64) + (1 << 32)  # apart from all of IPv4


def is_within(address: IPAddress, networks: Sequence[Network]) -> bool:
    return any(address.version == network.version and address in network for network in networks)


def client_address(
    peer: IPAddress,
    x_forwarded_for: Sequence[bytes],
    forwarded: Sequence[bytes],
    trusted_proxies: Sequence[Network],
) -> tuple[IPAddress, bytes | None]:
    """(the client's address, the X-Forwarded-For chain to pass on or None). Raises AddressesDisagree.

    A chain is read from its end: each address counts only because the hop behind it is a trusted proxy.
    Only what was believed is passed on, from the client to this gateway's peer: an app that reads the first
    entry must not read what the client made up. A trusted proxy that sends no readable chain is itself the
    client.

    Of the two fields a proxy writes one and lets the other pass, as the client sent it. Which one it writes
    we cannot know, so a request with both must say the same in both: to prefer one of them would let the
    client choose its address wherever the proxy writes the other.
    """
    if not (x_forwarded_for or forwarded) or not is_within(peer, trusted_proxies):
        return peer, None
    believed: list[IPAddress] = []
    if x_forwarded_for:
        hops = b",".join(x_forwarded_for).decode("latin-1").split(",")
        believed = _believed(peer, hops, trusted_proxies)
    if forwarded:
        try:
            other = _believed(peer, forwarded_for(forwarded), trusted_proxies)
        except ForwardedRefused as refused:
            raise AddressesDisagree(f"Forwarded: {refused}") from refused
        if believed and believed[-1] != other[-1]:
            raise AddressesDisagree("X-Forwarded-For and Forwarded name different clients")
        believed = believed or other
    return believed[-1], ", ".join(map(str, reversed(believed))).encode("ascii")


def _believed(peer: IPAddress, hops: Sequence[str], trusted_proxies: Sequence[Network]) -> list[IPAddress]:
    """From this gateway's peer back to the client, as far as the hops are worth."""
    believed = [peer]
    for hop in reversed(hops[-_MAX_HOPS:]):
        try:
            believed.append(_hop_address(hop.strip(" \t")))
        except ValueError:
            break
        if not is_within(believed[-1], trusted_proxies):
            break
    return believed


def _hop_address(text: str) -> IPAddress:
    if len(text) > _MAX_HOP_CHARACTERS:
        raise ValueError("longer than any address")
    written = _WITH_PORT.fullmatch(text)
    return peer_address(text if written is None else written[1] or written[2])
