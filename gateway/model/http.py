"""HTTP message heads as they travel between the rooms (RFC 9110, RFC 9112).

Header names keep the sender's spelling; every look-up is case-insensitive. Values are bytes: what
came in goes out, nothing is decoded on the way.
"""

from typing import NamedTuple

Headers = tuple[tuple[bytes, bytes], ...]


# Tuples, because one of each is made for every message: a frozen dataclass costs three times as much.
class RequestHead(NamedTuple):
    """A request line and its header fields. ``target`` is the raw request-target (RFC 9112 §3.2)."""

    method: bytes
    target: bytes
    http_version: str  # "1.0", "1.1" or "2"
    headers: Headers

    @property
    def path(self) -> bytes:
        """The path of an origin-form target, without the query; not percent-decoded."""
        return self.target.partition(b"?")[0]

    @property
    def query(self) -> bytes:
        return self.target.partition(b"?")[2]


class KnownHead:
    """The header fields of a plain request; see `gateway.proxy.known_heads`.

    ``passage`` is for whoever owns the connection: what it made of these fields there.
    """

    __slots__ = ("fields", "passage")

    def __init__(self, fields: Headers) -> None:
        self.fields = fields
        self.passage: object = None


class ResponseHead(NamedTuple):
    status: int
    reason_phrase: bytes
    headers: Headers


def header_values(headers: Headers, name: bytes) -> list[bytes]:
    """All values of a field, in order. ``name`` is lower case."""
    size = len(name)  # compared first: most names have another length, and lowering each costs twice as much
    return [value for key, value in headers if len(key) == size and key.lower() == name]


def header(headers: Headers, name: bytes) -> bytes | None:
    """The only value of a field; None when absent. Repeated fields are joined (RFC 9110 §5.2)."""
    values = header_values(headers, name)
    if not values:
        return None
    return values[0] if len(values) == 1 else b", ".join(values)
