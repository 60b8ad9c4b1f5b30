"""The one preference that Firefox needs in `user.js` of a profile, among the lines of others."""

import re
from pathlib import Path
from typing import Final

from gateway.agent.platform import Change
from gateway.agent.private_files import write_private

PREFERENCE: Final = "security.default_personal_cert"
VALUE: Final = "Select Automatically"
MAX_FILE_BYTES: Final = 1_048_576

# The comment marks the line as ours.
LINE: Final = f'user_pref("{PREFERENCE}", "{VALUE}"); // Device Trust'
_ANY: Final = re.compile(
    rf"""^[ \t]*user_pref\(\s*["']{re.escape(PREFERENCE)}["']\s*,\s*["'](?P<value>[^"']*)["']\s*\)""",
    re.MULTILINE,
)
_WHAT: Final = "automatic choice of certificates in Firefox"


def with_preference(text: str) -> str | None:
    """``text`` with our line; unchanged where the value is set already; None where another value is set by
    somebody else, which stays."""
    values = [found["value"] for found in _ANY.finditer(text)]
    if not values:
        return f"{text}{'' if not text or text.endswith(chr(10)) else chr(10)}{LINE}\n"
    return text if values[-1] == VALUE else None


def without_preference(text: str) -> str:
    """``text`` without our line."""
    return "".join(line for line in text.splitlines(keepends=True) if line.rstrip("\r\n") != LINE)


def set_preference(profile: Path) -> Change:
    file = profile / "user.js"
    try:
        text = _read(file)
        changed = with_preference(text)
        if changed is None:
            return Change(_WHAT, str(file), False, f"sets {PREFERENCE} to something else; that stays")
        if changed != text:
            write_private(file, changed.encode())
    except (OSError, ValueError) as error:
        return Change(_WHAT, str(file), False, str(error))
    return Change(_WHAT, str(file), True, "from the next start of Firefox on")


def remove_preference(profile: Path) -> Change | None:
    """None where there is nothing of ours."""
    file = profile / "user.js"
    try:
        text = _read(file)
        changed = without_preference(text)
        if changed == text:
            return None
        if changed:
            write_private(file, changed.encode())
        else:
            file.unlink()
    except (OSError, ValueError) as error:
        return Change(_WHAT, str(file), False, str(error))
    return Change(_WHAT, str(file), True, f"until {PREFERENCE} is reset in about:config, it stays")


def _read(file: Path) -> str:
    try:
        with file.open("rb") as opened:
            content = opened.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        return ""
    if len(content) > MAX_FILE_BYTES:
        raise ValueError(f"{file}: is longer than {MAX_FILE_BYTES} bytes")
    return content.decode()
