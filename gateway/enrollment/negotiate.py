"""What a client sends as proof of who it is: the `Authorization` field of HTTP Negotiate (RFC 4559), and in
it a token of SPNEGO (RFC 4178) or of Kerberos itself (RFC 4121).

Only as much is read as tells Kerberos from NTLM, so that an NTLM message reaches no library at all. Whether a
ticket is good is for GSS-API to say.
"""

import base64
import binascii
from enum import Enum
from typing import Final

from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.pki.der import (
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    DerError,
    content_of,
    elements,
    read_element,
)

SCHEME: Final = "Negotiate"
# The largest that Windows makes by default (MaxTokenSize): a person in more than a thousand groups.
MAX_TOKEN_BYTES: Final = 48_000
MAX_FIELD_CHARACTERS: Final = 4 * (MAX_TOKEN_BYTES // 3) + 64
# Windows offers four.
_MAX_MECHANISMS: Final = 16
_MAX_INIT_FIELDS: Final = 4

_INITIAL_TOKEN: Final = 0x60  # RFC 2743 §3.1: [APPLICATION 0]
_NEG_TOKEN_INIT: Final = 0xA0
_NEG_TOKEN_RESP: Final = 0xA1
_MECH_TYPES: Final = 0xA0
_MECH_TOKEN: Final = 0xA2
_NTLM_SIGNATURE: Final = b"NTLMSSP\0"  # MS-NLMP §2.2.1

_SPNEGO: Final = bytes.fromhex("2b0601050502")
_KERBEROS: Final = frozenset(
    bytes.fromhex(oid)
    for oid in (
        "2a864886f712010202",  # 1.2.840.113554.1.2.2
        "2a864882f712010202",  # 1.2.840.48018.1.2.2, which Windows has sent ever since a slip of the pen
    )
)
_NTLM: Final = bytes.fromhex("2b06010401823702020a")


class Mechanism(Enum):
    KERBEROS = "Kerberos"
    NTLM = "NTLM"
    OTHER = "neither Kerberos nor NTLM"


def read_authorization(field: str | None) -> bytes | None:
    """The token that the field carries; None where it is missing or empty, and the client is to be asked.

    Raises EnrollmentRefused: NTLM_REFUSED, and NEGOTIATE_FAILED for what is too long, no base64, or for
    another scheme or mechanism. Not checked: anything of the ticket itself.
    """
    if field is None:
        return None
    if len(field) > MAX_FIELD_CHARACTERS:
        raise _failed(f"longer than {MAX_FIELD_CHARACTERS} characters")
    scheme, _, text = field.strip(" ").partition(" ")
    if scheme.lower() == "ntlm":
        raise EnrollmentRefused(EnrollmentRefusal.NTLM_REFUSED, "the scheme is NTLM")
    if scheme.lower() != SCHEME.lower():
        raise _failed("the scheme is not Negotiate")
    text = text.strip(" ")
    if not text:
        return None
    try:
        token = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):  # ValueError: not ASCII
        raise _failed("no base64") from None
    match mechanism_of(token):
        case Mechanism.KERBEROS:
            return token
        case Mechanism.NTLM:
            raise EnrollmentRefused(EnrollmentRefusal.NTLM_REFUSED, "an NTLM message")
        case Mechanism.OTHER:
            raise _failed("neither a Kerberos nor an SPNEGO token that begins with Kerberos")


def mechanism_of(token: bytes) -> Mechanism:
    """What the token's message is of. For SPNEGO it is the client's first choice that counts: it is what the
    message is of, and one answer is all that we give."""
    if token.startswith(_NTLM_SIGNATURE):
        return Mechanism.NTLM
    try:
        return _mechanism(token)
    except DerError:
        return Mechanism.OTHER


def _mechanism(token: bytes) -> Mechanism:
    tag, start, end = read_element(token, 0, len(token))
    if tag == _NEG_TOKEN_RESP:  # the second message of an exchange that Kerberos does not need
        return Mechanism.NTLM if _NTLM_SIGNATURE in token else Mechanism.OTHER
    if tag != _INITIAL_TOKEN:
        return Mechanism.OTHER
    tag, oid_start, oid_end = read_element(token, start, end)
    oid = token[oid_start:oid_end]
    if tag != OBJECT_IDENTIFIER:
        return Mechanism.OTHER
    if oid != _SPNEGO:
        return _mechanism_of_oid(oid)
    tag, start, end = read_element(token, oid_end, end)
    if tag != _NEG_TOKEN_INIT:
        return Mechanism.OTHER
    start, end = content_of(token[start:end], SEQUENCE)[0] + start, end
    offered: list[bytes] = []
    message = b""
    for tag, _, begin, stop in elements(token, start, end, _MAX_INIT_FIELDS):
        if tag == _MECH_TYPES:
            offered = _object_identifiers(token[begin:stop])
        elif tag == _MECH_TOKEN:
            inner, inner_end = content_of(token[begin:stop], OCTET_STRING)
            message = token[begin + inner : begin + inner_end]
    if message.startswith(_NTLM_SIGNATURE):
        return Mechanism.NTLM
    return _mechanism_of_oid(offered[0]) if offered and message else Mechanism.OTHER


def _object_identifiers(data: bytes) -> list[bytes]:
    start, end = content_of(data, SEQUENCE)
    found = []
    for tag, _, begin, stop in elements(data, start, end, _MAX_MECHANISMS):
        if tag != OBJECT_IDENTIFIER:
            raise DerError("no object identifier")
        found.append(data[begin:stop])
    return found


def _mechanism_of_oid(oid: bytes) -> Mechanism:
    if oid in _KERBEROS:
        return Mechanism.KERBEROS
    return Mechanism.NTLM if oid == _NTLM else Mechanism.OTHER


def _failed(detail: str) -> EnrollmentRefused:
    return EnrollmentRefused(EnrollmentRefusal.NEGOTIATE_FAILED, detail)
