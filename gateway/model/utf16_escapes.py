"""`%u0061`: an escape that no standard has, and that IIS and ASP.NET read in paths, queries and forms."""

import re

_UTF16_ESCAPE = re.compile(rb"%[uU]([0-9A-Fa-f]{4})")


def plain_utf16_escapes(text: bytes) -> bytes:
    """The text with each such escape as the character that it stands for, in UTF-8."""
    return _UTF16_ESCAPE.sub(_character, text) if b"%u" in text or b"%U" in text else text


def _character(match: re.Match[bytes]) -> bytes:
    return chr(int(match[1], 16)).encode("utf-8", "replace")
