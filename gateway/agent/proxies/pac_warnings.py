"""Patterns in a proxy auto-configuration file that can never match, with their lines.

Engines say nothing about them: the condition is just never true, and traffic takes the way that was meant for
others. The seed product's own documentation shows one: `localHostOrDomainIs(host, "*.okta.com")`, where only
`shExpMatch` knows wildcards. What is looked at is the text, so that a name built at run time is not seen.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

MAX_WARNINGS: Final = 20

# Comments and texts; within a text, `//` begins no comment.
_TOKEN: Final = re.compile(r"""//[^\n]*|/\*.*?\*/|"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'""", re.DOTALL)
_CALL: Final = re.compile(
    r"""\b(localHostOrDomainIs|dnsDomainIs|isInNet|shExpMatch)\s*\(\s*([A-Za-z_$][\w$.]*(?:\(\s*\))?|"[^"\n]*"|'[^'\n]*')"""
    r"""\s*,\s*("[^"\n]*"|'[^'\n]*')\s*(?:,\s*("[^"\n]*"|'[^'\n]*')\s*)?\)"""
)
_URL_PARAMETER: Final = re.compile(r"\bfunction\s+FindProxyForURL\s*\(\s*([A-Za-z_$][\w$]*)")
_ADDRESS: Final = re.compile(r"(?:[0-9]{1,3}\.){3}[0-9]{1,3}", re.ASCII)


@dataclass(frozen=True, slots=True)
class PacWarning:
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"line {self.line}: {self.sentence}"


def pac_warnings(script: str) -> tuple[PacWarning, ...]:
    """In the order of the lines. Scripts of any content: what is no JavaScript has no warnings."""
    code = _TOKEN.sub(_blank_comment, script)
    url_parameter = _URL_PARAMETER.search(code)
    warnings: list[PacWarning] = []
    for call in _CALL.finditer(code):
        pattern = call[3][1:-1]
        if call[1] == "shExpMatch":
            subject_is_url = url_parameter is not None and call[2] == url_parameter[1]
            sentence = _whole_url(pattern) if subject_is_url else None
        else:
            sentence = _JUDGES[call[1]](pattern, None if call[4] is None else call[4][1:-1])
        if sentence is not None:
            warnings.append(
                PacWarning(code.count("\n", 0, call.start()) + 1, _printable(f"{_shown(call[0])} {sentence}"))
            )
            if len(warnings) == MAX_WARNINGS:
                break
    return tuple(warnings)


def _blank_comment(token: re.Match[str]) -> str:
    text = token[0]
    return "\n" * text.count("\n") + " " if text.startswith("/") else text


def _shown(call: str) -> str:
    return re.sub(r"\s+", " ", call)[:120]


def _printable(sentence: str) -> str:
    """What stands in the script goes to a terminal: without control characters, and not without end."""
    return "".join(c if c.isprintable() else "?" for c in sentence[:400])


def _host_with_wildcard(pattern: str, _: str | None) -> str | None:
    if "*" in pattern or "?" in pattern:
        return f'never matches: it knows no wildcards; write shExpMatch(host, "{pattern}")'
    if pattern.startswith("."):
        return f'never matches: it compares whole names; write dnsDomainIs(host, "{pattern}")'
    return _no_host(pattern)


def _domain_with_wildcard(pattern: str, _: str | None) -> str | None:
    if "*" in pattern or "?" in pattern:
        plain = pattern.lstrip("*?")
        return f'never matches: it knows no wildcards; write dnsDomainIs(host, "{plain}")'
    return _no_host(pattern)


def _no_host(pattern: str) -> str | None:
    if "/" in pattern or ":" in pattern:
        return "never matches: a host has no scheme, port or path"
    if pattern != pattern.lower():
        return f'never matches: hosts come in small letters; write "{pattern.lower()}"'
    return None


def _network(pattern: str, mask: str | None) -> str | None:
    if mask is None:
        return 'never matches: it wants an address and a mask, such as "10.0.0.0", "255.0.0.0"'
    for text in (pattern, mask):
        if not _ADDRESS.fullmatch(text) or any(int(part) > 255 for part in text.split(".")):
            return f'never matches: "{text}" is no IPv4 address or mask'
    return None


def _whole_url(pattern: str) -> str | None:
    if re.fullmatch(r"[*.\w-]*[.\w-]", pattern, re.ASCII) and "." in pattern:
        return "never matches an https URL: it compares all of it, scheme and last slash included; write host"
    return None


_JUDGES: Final[dict[str, Callable[[str, str | None], str | None]]] = {
    "localHostOrDomainIs": _host_with_wildcard,
    "dnsDomainIs": _domain_with_wildcard,
    "isInNet": _network,
}
