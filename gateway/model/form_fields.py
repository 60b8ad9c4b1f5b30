"""Form fields that come back from a browser exactly as they were sent to it.

A browser that submits a form changes some values on the way (HTML Standard, "Constructing the entry
list" and "Converting an entry list to a list of name-value pairs"), with or without script:

* a CR without LF, or a LF without CR, becomes CRLF;
* NUL cannot be written in HTML at all;
* a hidden field of the name ``_charset_`` gets the name of the encoding as its value;
* a field without a name is left out.

A RelayState or wctx of such a kind would reach the app changed, so `exact_fields` wraps these fields,
and only these, in base64url, and `original_fields` unwraps them on the way back. Both keep the order. Fields
are text that was read from UTF-8: a lone surrogate, which no UTF-8 gives, is not kept and never comes out.
"""

import base64
import binascii
import re

FormFields = tuple[tuple[str, str], ...]

EXACT_FIELD = "dt_exact"
"""The name under which a wrapped field travels: ``base64url(name).base64url(value)``, without padding."""

_BASE64URL = re.compile(r"[A-Za-z0-9_-]*")
_CHANGED_BY_SUBMISSION = re.compile(r"\r(?!\n)|(?<!\r)\n|\x00")


class FormFieldsMalformed(Exception):
    """A field claims to be wrapped by `exact_fields`, and is not."""


def exact_fields(fields: FormFields) -> FormFields:
    """The fields to put into a form so that `original_fields` of what it submits gives ``fields`` again."""
    return tuple(
        (name, value) if _submits_exactly(name, value) else (EXACT_FIELD, f"{_wrap(name)}.{_wrap(value)}")
        for name, value in fields
    )


def original_fields(fields: FormFields) -> FormFields:
    """Undo `exact_fields`. Raises FormFieldsMalformed. What a wrapped field says is not checked."""
    return tuple(_unwrapped(value) if name == EXACT_FIELD else (name, value) for name, value in fields)


def _submits_exactly(name: str, value: str) -> bool:
    # A field that already has the name of the wrapping is wrapped once more, so unwrapping is unambiguous.
    return (
        name != ""
        and name != EXACT_FIELD
        and name.lower() != "_charset_"
        and not _is_changed(name)
        and not _is_changed(value)
    )


def _is_changed(text: str) -> bool:
    # A message of 1 MB is base64 without newlines: a look for single characters is 100 times as fast.
    if "\n" not in text and "\r" not in text and "\0" not in text:
        return False
    return _CHANGED_BY_SUBMISSION.search(text) is not None


def _wrap(text: str) -> str:
    return base64.urlsafe_b64encode(text.encode("utf-8", "replace")).rstrip(b"=").decode("ascii")


def _unwrapped(wrapped: str) -> tuple[str, str]:
    name, separator, value = wrapped.partition(".")
    if not separator:
        raise FormFieldsMalformed("a wrapped field has no separator")
    return _unwrap(name), _unwrap(value)


def _unwrap(text: str) -> str:
    if _BASE64URL.fullmatch(text) is None:  # the decoder would take the other alphabet too
        raise FormFieldsMalformed("a wrapped field has characters that base64url has not")
    try:
        return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("utf-8")
    except (binascii.Error, UnicodeError) as error:
        raise FormFieldsMalformed("a wrapped field is not base64url of UTF-8") from error
