"""Distinguished names as comparable values, read from their DER (RFC 5280 §4.1.2.4, §7.1).

The library's own name objects are not used: they warn about lengths that real directories exceed.
"""

from gateway.pki import der as asn1

# Each relative distinguished name as a set of (attribute type, value). The type is the content of its
# OBJECT IDENTIFIER. Text is compared without regard to its string type, to case and to the amount of
# white space, as RFC 5280 §7.1 asks; anything else exactly, as DER. Unicode beyond case folding is not
# normalised (no RFC 4518 string preparation).
NameKey = tuple[frozenset[tuple[bytes, str | bytes]], ...]

# Attribute types and their values as text, in the order in which they were written.
Attributes = tuple[tuple[bytes, str | bytes], ...]

COMMON_NAME = bytes.fromhex("550403")
SERIAL_NUMBER = bytes.fromhex("550405")
EMAIL_ADDRESS = bytes.fromhex("2a864886f70d010901")

# A device's name has a handful of attributes, directory paths of large companies about ten.
MAX_RELATIVE_NAMES = 40
MAX_ATTRIBUTES_TOGETHER = 10

_ENCODINGS = {
    0x0C: "utf-8",
    0x12: "ascii",  # NumericString
    0x13: "ascii",  # PrintableString
    0x14: "latin-1",  # TeletexString, as everybody wrote it
    0x16: "ascii",  # IA5String
    0x1A: "ascii",  # VisibleString
    0x1C: "utf-32-be",  # UniversalString
    0x1E: "utf-16-be",  # BMPString
}


def read_name(der: bytes) -> tuple[NameKey, Attributes]:
    """The value under which two encodings of a Name are equal, and its attributes.

    Raises `DerError` for what is not a Name or has more parts than `MAX_RELATIVE_NAMES`.
    """
    key: list[frozenset[tuple[bytes, str | bytes]]] = []
    attributes: list[tuple[bytes, str | bytes]] = []
    start, end = asn1.content_of(der, asn1.SEQUENCE)
    for tag, _, relative_start, relative_end in asn1.elements(der, start, end, MAX_RELATIVE_NAMES):
        if tag != asn1.SET:
            raise asn1.DerError("not a name")
        together: list[tuple[bytes, str | bytes]] = []
        for _, _, inner_start, inner_end in asn1.elements(
            der, relative_start, relative_end, MAX_ATTRIBUTES_TOGETHER
        ):
            together.append(_attribute(der, inner_start, inner_end))
        attributes += together
        key.append(frozenset((kind, _comparable(value)) for kind, value in together))
    return tuple(key), tuple(attributes)


def is_within(name: NameKey, subtree: NameKey) -> bool:
    """Whether ``name`` is ``subtree`` or lies below it."""
    return name[: len(subtree)] == subtree


def _attribute(der: bytes, start: int, end: int) -> tuple[bytes, str | bytes]:
    parts = list(asn1.elements(der, start, end, 2))
    if len(parts) != 2 or parts[0][0] != asn1.OBJECT_IDENTIFIER:
        raise asn1.DerError("not an attribute of a name")
    (_, _, type_start, type_end), (tag, value_offset, value_start, value_end) = parts
    return der[type_start:type_end], _text(der[value_start:value_end], tag) or der[value_offset:value_end]


def _text(content: bytes, tag: int) -> str | None:
    """None for what is no text: it stays DER, is equal to itself only, and is nobody's name."""
    encoding = _ENCODINGS.get(tag)
    try:
        return content.decode(encoding) if encoding else None
    except UnicodeDecodeError:
        return None


def _comparable(value: str | bytes) -> str | bytes:
    return " ".join(value.split()).casefold() if isinstance(value, str) else value
