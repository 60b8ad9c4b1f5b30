"""Names in Kerberos, as GSS-API writes them: `alice@CORP.EXAMPLE.COM`, `ws1$@…`, `host/ws1.example.com@…`."""

import re
from dataclasses import dataclass
from typing import Final

from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused

# What tokens carry (`claims.MAX_TEXT_CHARACTERS`).
MAX_PRINCIPAL_CHARACTERS: Final = 256
# RFC 1964 §2.1.1: a backslash before what would else divide the name.
_ESCAPED = re.compile(r"\\(.)", re.DOTALL)
_COMPONENT: Final = r"(?:[^\\@/]|\\.)+"
_PARTS = re.compile(rf"({_COMPONENT}(?:/{_COMPONENT})*)@({_COMPONENT})", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Principal:
    """``name`` without the realm, as it is written; ``components`` are its parts between slashes, read."""

    name: str
    realm: str
    components: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.name}@{self.realm}"


def read_principal(text: str) -> Principal:
    """Raises EnrollmentRefused (NEGOTIATE_FAILED) for a name without a realm or with an empty part, a very
    long one, and one with characters that are none to print."""
    match = _PARTS.fullmatch(text)
    if match is None or len(text) > MAX_PRINCIPAL_CHARACTERS or not text.isprintable():
        raise EnrollmentRefused(EnrollmentRefusal.NEGOTIATE_FAILED, "the ticket's principal is not readable")
    name, realm = match[1], match[2]
    components = re.findall(_COMPONENT, name, re.DOTALL)
    return Principal(name, realm, tuple(_ESCAPED.sub(r"\1", component) for component in components))
