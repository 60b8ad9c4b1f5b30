"""The form that carries a message: parsed once, strictly, and written anew for the app.

Parsers disagree about repeated fields: some read the first, some the last, some fold case or cut a
name at ``[``. So a form in which two fields could be taken for one another is refused, and what goes to
the app is not the body that came in but the canonical encoding of the fields that were checked
(HTML §4.10.21 ``application/x-www-form-urlencoded``).
"""

import binascii
import re
import unicodedata
from dataclasses import dataclass, field

from gateway.federation.errors import MessageRejected, malformed
from gateway.federation.structure import decode_base64
from gateway.model.form_fields import FormFields, FormFieldsMalformed, original_fields
from gateway.model.reasons import MessageReason

MAX_FORM_BYTES = 1_048_576  # an assertion with 2,000 groups is about 300 KB in base64
MAX_FORM_FIELDS = 32  # a message has two or three; the rest is room for an app's own
MAX_FIELD_NAME_CHARS = 256
MAX_RELAY_STATE_CHARS = 16_384  # SAML Bindings §3.4.3 says 80; SharePoint's wctx is some thousand

# The fields that carry or steer a message. A field that only looks like one of them is refused.
MESSAGE_FIELDS = (
    "SAMLResponse",
    "SAMLRequest",
    "SAMLart",
    "SAMLEncoding",
    "RelayState",
    "SigAlg",
    "Signature",
    "wa",
    "wresult",
    "wresultptr",
    "wctx",
    "wtrealm",
    "wreply",
)

# Browsers percent-encode all but printable ASCII, and also ";", which some servers take for a separator.
_URLENCODED = bytes(octet for octet in range(0x21, 0x7F) if octet != ord(";"))
_BROKEN_ESCAPE = re.compile(rb"%(?![0-9A-Fa-f]{2})")
_NOT_TEXT = re.compile(r"[\0\ud800-\udfff]")  # wrapped fields can hold what UTF-8 cannot
_UNSAFE = re.compile(rb"[^A-Za-z0-9*\-._]")
_SAFE_OR_BASE64 = b"+/=" + bytes(o for o in range(256) if _UNSAFE.fullmatch(bytes([o])) is None)
_ESCAPES = {bytes([octet]): b"%%%02X" % octet for octet in range(256)} | {b" ": b"+"}
# Base64, the bulk of every message, has three octets to escape, each found in C.
_ESCAPED_OFTEN = ((b"+", b"%2B"), (b"/", b"%2F"), (b"=", b"%3D"))


@dataclass(frozen=True, slots=True)
class MessageForm:
    """The decoded fields of a form, in order, no two of which any server could take for one."""

    fields: FormFields
    _decoded: dict[str, bytes] = field(default_factory=dict, init=False, repr=False, compare=False)

    def octets(self, name: str) -> bytes | None:
        """The base64 value of a field, decoded once, without white space around; None when it is absent.

        Raises MessageRejected (MALFORMED).
        """
        octets = self._decoded.get(name)
        if octets is None and (value := self.value(name)) is not None:
            octets = self._decoded[name] = decode_base64(value, name).strip(b" \t\r\n")
        return octets

    def value(self, name: str) -> str | None:
        """The value of a field by its exact name; None when it is absent."""
        for field_name, field_value in self.fields:
            if field_name == name:
                return field_value
        return None


def look_alike_key(name: str) -> str:
    """What is left of a field name when every server's liberties are taken at once.

    Case and Unicode compatibility forms are folded, an array suffix (``[]``) is cut off, and all that
    is not a letter or a digit is dropped (some servers trim blanks, or turn ``.`` into ``_``).
    """
    folded = unicodedata.normalize("NFKC", name).casefold()
    start = folded.lstrip("[")
    return "".join(filter(str.isalnum, start.partition("[")[0]))


_EXACT_NAMES = {look_alike_key(name): name for name in MESSAGE_FIELDS}


def message_field_like(name: str) -> str | None:
    """The message field that some server could take ``name`` for; None when there is none."""
    return _EXACT_NAMES.get(look_alike_key(name))


def parse_form(
    body: bytes,
    max_bytes: int = MAX_FORM_BYTES,
    max_fields: int = MAX_FORM_FIELDS,
    *,
    came_back: bool = False,
) -> MessageForm:
    """Parse a urlencoded body of at most ``max_bytes`` bytes and ``max_fields`` fields.

    ``came_back`` says that a page of ours submitted the form, so fields may be wrapped by
    `gateway.model.form_fields.exact_fields`; they are unwrapped before anything is checked.
    Raises MessageRejected (TOO_LARGE, MALFORMED). Does not look at the values beyond UTF-8 and NUL, and not
    at the Content-Type of the request: the caller refuses anything but this encoding in UTF-8.
    """
    if len(body) > max_bytes:
        raise MessageRejected(MessageReason.TOO_LARGE, f"the form has more than {max_bytes} bytes")
    if body.count(b"&") >= max_fields:
        raise MessageRejected(MessageReason.TOO_LARGE, f"the form has more than {max_fields} fields")
    if body.translate(None, _URLENCODED) or _BROKEN_ESCAPE.search(body) is not None:
        raise malformed("the form is not urlencoded")
    pairs = (piece.partition(b"=") for piece in body.split(b"&") if piece)
    fields: FormFields = tuple((_decode(name), _decode(value)) for name, _, value in pairs)
    if came_back:
        try:
            fields = original_fields(fields)
        except FormFieldsMalformed as error:
            raise malformed(str(error)) from None
    _check_fields(fields)
    return MessageForm(fields)


def _check_fields(fields: FormFields) -> None:
    seen: set[str] = set()
    for name, value in fields:
        if len(name) > MAX_FIELD_NAME_CHARS:
            raise MessageRejected(MessageReason.TOO_LARGE, "the form has a field with a very long name")
        if not _is_text(name) or not _is_text(value):
            raise malformed("the form has a NUL character or half a surrogate pair")
        key = look_alike_key(name)
        if not key:
            raise malformed(f"the form has a field without a usable name: {name!r}")
        if key in seen:
            raise malformed(f"the form has two fields that read alike: {name!r}")
        if _EXACT_NAMES.get(key, name) != name:
            raise malformed(f"the form has a field that reads like {_EXACT_NAMES[key]}: {name!r}")
        seen.add(key)


def rebuild_form(form: MessageForm) -> bytes:
    """The canonical urlencoded bytes of the fields; every value as it came in, byte for byte."""
    return b"&".join(_encode(name) + b"=" + _encode(value) for name, value in form.fields)


def relay_state(form: MessageForm, name: str) -> str | None:
    """The opaque state that goes back to the app untouched: ``RelayState`` or ``wctx``.

    Raises MessageRejected (TOO_LARGE) above MAX_RELAY_STATE_CHARS. It is never followed as a URL.
    """
    state = form.value(name)
    if state is not None and len(state) > MAX_RELAY_STATE_CHARS:
        raise MessageRejected(
            MessageReason.TOO_LARGE, f"{name} has more than {MAX_RELAY_STATE_CHARS} characters"
        )
    return state


def _decode(raw: bytes) -> str:
    # Percent-encoding is quoted-printable with another sign, which binascii decodes in C: 1 MB of nothing but
    # escapes takes 10 ms, with urllib 200 ms. Every escape is known to be whole, and there are no line ends.
    quoted = raw.replace(b"=", b"%3D").replace(b"+", b"%20").replace(b"%", b"=")
    try:
        return binascii.a2b_qp(quoted).decode("utf-8")
    except UnicodeDecodeError:
        raise malformed("the form is not UTF-8") from None


def _is_text(text: str) -> bool:
    return "\0" not in text if text.isascii() else _NOT_TEXT.search(text) is None


def _encode(text: str) -> bytes:
    raw = text.encode("utf-8")
    if raw.translate(None, _SAFE_OR_BASE64):
        return _UNSAFE.sub(lambda match: _ESCAPES[match[0]], raw)
    for octet, escape in _ESCAPED_OFTEN:
        raw = raw.replace(octet, escape)
    return raw
