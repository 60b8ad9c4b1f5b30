"""Distinguished names as comparable values (RFC 5280 §7.1)."""

from cryptography import x509

# Each relative distinguished name as a set of (attribute type, value). Text is compared without regard
# to its string type, to case and to the amount of white space, as RFC 5280 §7.1 asks; binary exactly.
# Unicode beyond case folding is not normalised (no RFC 4518 string preparation).
NameKey = tuple[frozenset[tuple[str, str | bytes]], ...]

# A device's name has a handful of attributes, directory paths of large companies about ten.
MAX_RELATIVE_NAMES = 40


def name_key(name: x509.Name) -> NameKey:
    """The value under which two encodings of one name are equal."""
    return tuple(
        frozenset((attribute.oid.dotted_string, _comparable(attribute.value)) for attribute in relative)
        for relative in name.rdns
    )


def is_within(name: NameKey, subtree: NameKey) -> bool:
    """Whether ``name`` is ``subtree`` or lies below it."""
    return name[: len(subtree)] == subtree


def _comparable(value: str | bytes) -> str | bytes:
    return " ".join(value.split()).casefold() if isinstance(value, str) else value
