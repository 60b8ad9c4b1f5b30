"""The one exception that reading a configuration file raises, and how it words itself."""

from collections.abc import Iterable
from difflib import get_close_matches

from gateway.model.quoting import printable

KeyPath = tuple[str | int, ...]

# A sentence with more alternatives than this is a list that nobody reads.
MAX_LISTED_ALTERNATIVES = 12


class ConfigError(Exception):
    """A file that cannot be used: which file, which line, which key, and what is wrong with it.

    ``line`` counts from 1 and is None where no line can be named (the file is missing, or empty).
    ``key_path`` is written as in ``apps[0].policy``; "" means the document as a whole. ``str()`` is
    one line, fit for a terminal.
    """

    def __init__(self, source: str, line: int | None, key_path: str, message: str) -> None:
        place = source if line is None else f"{source}:{line}"
        key = f"{key_path}: " if key_path else ""
        super().__init__(f"{place}: {key}{message}")
        self.source = source
        self.line = line
        self.key_path = key_path
        self.message = message


def format_key_path(path: KeyPath) -> str:
    """``("apps", 0, "policy")`` → ``apps[0].policy``. A key that is no plain word is printable."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        elif part.replace("_", "").replace("-", "").isalnum():
            text += f".{part}" if text else part
        else:
            text += f"[{printable(part)}]"
    return text


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a sentence about an unknown name: its likely meaning, or else what there is."""
    names = sorted(known)
    close = get_close_matches(name[:100], names, n=1)
    if close:
        return f'; did you mean "{close[0]}"?'
    if not names or len(names) > MAX_LISTED_ALTERNATIVES:
        return ""
    return f"; known: {', '.join(names)}"


__all__ = [
    "MAX_LISTED_ALTERNATIVES",
    "ConfigError",
    "KeyPath",
    "did_you_mean",
    "format_key_path",
    "printable",
]
