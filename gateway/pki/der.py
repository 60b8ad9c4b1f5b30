"""A strict reader of DER elements (X.690 §8, §10), for the parts of certificates and CRLs whose exact
bytes matter: names and keys that are hashed, algorithm identifiers, and counts that must be bounded
before anything is built from them.

It reads lengths and tags only. What is inside an element is the business of the caller.
"""

from collections.abc import Iterator

INTEGER = 0x02
OCTET_STRING = 0x04
OBJECT_IDENTIFIER = 0x06
UTF8_STRING = 0x0C
SEQUENCE = 0x30
SET = 0x31
UTC_TIME = 0x17
GENERALIZED_TIME = 0x18

# Four length bytes address 4 GiB; every document that reaches this reader is bounded far below that.
_MAX_LENGTH_BYTES = 4


class DerError(ValueError):
    """Not DER, or more of it than allowed. Callers turn it into the exception of their own core."""


def read_element(data: bytes, offset: int, end: int) -> tuple[int, int, int]:
    """The element at ``offset``: its tag byte, and where its content begins and ends.

    Indefinite and non-minimal lengths, and tags of more than one byte, are refused.
    """
    if offset + 2 > end:
        raise DerError("truncated")
    tag = data[offset]
    if tag & 0x1F == 0x1F:
        raise DerError("long tag")
    length = data[offset + 1]
    content = offset + 2
    if length >= 0x80:
        length_bytes = length & 0x7F
        if not 1 <= length_bytes <= _MAX_LENGTH_BYTES or content + length_bytes > end:
            raise DerError("bad length")
        length = int.from_bytes(data[content : content + length_bytes])
        if length < 0x80 or length >> (8 * (length_bytes - 1)) == 0:
            raise DerError("length is not minimal")
        content += length_bytes
    if content + length > end:
        raise DerError("truncated")
    return tag, content, content + length


def content_of(data: bytes, tag: int) -> tuple[int, int]:
    """Where the content of the one element that fills ``data`` begins and ends; it must have ``tag``."""
    found, start, end = read_element(data, 0, len(data))
    if found != tag or end != len(data):
        raise DerError("unexpected element")
    return start, end


def elements(data: bytes, start: int, end: int, limit: int) -> Iterator[tuple[int, int, int, int]]:
    """The elements between two offsets: tag, offset of the element, begin and end of its content.

    Raises `DerError` at the element that exceeds ``limit``, before reading it.
    """
    offset = start
    count = 0
    while offset < end:
        count += 1
        if count > limit:
            raise DerError(f"more than {limit} elements")
        content = offset + 2
        # A length of one byte, as nearly all have: certificates are made of a hundred, and a call for each
        # costs more than this.
        if content <= end and (size := data[offset + 1]) < 0x80 and content + size <= end:
            tag, content_end = data[offset], content + size
            if tag & 0x1F == 0x1F:
                raise DerError("long tag")
        else:
            tag, content, content_end = read_element(data, offset, end)
        yield tag, offset, content, content_end
        offset = content_end
