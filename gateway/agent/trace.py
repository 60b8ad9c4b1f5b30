"""What `--debug` shows: the five steps, what was sent and what came, tokens decoded, secrets masked.

    1  ask the org where its IWA web apps are
    2  the computer's ticket → the device token
    3  the person's ticket and the device token → the user token
    4  the user token and the certification request → the certificate
    5  install the certificate

Who gets this text can do nothing with it: of tokens there are header and claims without the signature, of
Kerberos messages the size, of codes the first letters.
"""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

STEPS: Final = {
    1: "Ask the org where its IWA web apps are",
    2: "Get the device token, with the computer's Kerberos ticket",
    3: "Get the user token, with the person's Kerberos ticket and the device token",
    4: "Get the certificate, with the user token",
    5: "Install the certificate",
}
_TOKENS: Final = frozenset({"device_token", "user_token", "proof"})
_LONG: Final = frozenset({"csr", "certificate", "chain", "session", "credential_blob", "encrypted_secret"})
_SECRET: Final = frozenset({"secret", "pin", "password"})
_SHOWN_HEADERS: Final = frozenset(
    {"authorization", "content-type", "www-authenticate", "retry-after", "date"}
)
_MAX_SHOWN: Final = 4_000
_MAX_DEPTH: Final = 32


class Trace(Protocol):
    """Who is told what a run does on the wire."""

    def step(self, number: int) -> None: ...
    def note(self, text: str) -> None: ...
    def sent(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None: ...
    def got(self, status: int, headers: Mapping[str, str], body: bytes, seconds: float) -> None: ...
    def failed(self, sentence: str, seconds: float) -> None: ...


class NoTrace:
    def step(self, number: int) -> None:
        pass

    def note(self, text: str) -> None:
        pass

    def sent(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        pass

    def got(self, status: int, headers: Mapping[str, str], body: bytes, seconds: float) -> None:
        pass

    def failed(self, sentence: str, seconds: float) -> None:
        pass


class PrintedTrace:
    """``write`` gets line by line."""

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write

    def step(self, number: int) -> None:
        self._write(f"{number}. {STEPS[number]}")

    def note(self, text: str) -> None:
        self._lines("  ", text)

    def sent(self, method: str, url: str, headers: Mapping[str, str], body: bytes) -> None:
        self._write(f"  > {method} {url}")
        self._message(headers, body)

    def got(self, status: int, headers: Mapping[str, str], body: bytes, seconds: float) -> None:
        self._write(f"  < {status}, {len(body)} bytes, in {seconds * 1000:.0f} ms")
        self._message(headers, body)

    def failed(self, sentence: str, seconds: float) -> None:
        self._write(f"  < {sentence} (after {seconds * 1000:.0f} ms)")

    def _message(self, headers: Mapping[str, str], body: bytes) -> None:
        for name, value in headers.items():
            if name.lower() in _SHOWN_HEADERS:
                self._lines("    ", f"{name}: {masked_header(name, value)}")
        if body:
            self._lines("    ", shown_body(headers.get("content-type", ""), body))

    def _lines(self, indent: str, text: str) -> None:
        for line in text[:_MAX_SHOWN].splitlines():
            self._write(indent + "".join(c if c.isprintable() else "?" for c in line))


def masked_header(name: str, value: str) -> str:
    """Of credentials the scheme and the size."""
    scheme, _, credentials = value.partition(" ")
    if name.lower() not in ("authorization", "www-authenticate") or not credentials:
        return value
    if name.lower() == "www-authenticate" and scheme.lower() != "negotiate":
        return value
    return f"{scheme} … ({len(credentials)} characters, not shown)"


def shown_body(content_type: str, body: bytes) -> str:
    """JSON with tokens decoded and secrets masked; of all else the size."""
    if "json" not in content_type:
        kind = content_type.partition(";")[0] or "no content type"
        if kind == "text/plain":
            return body[:_MAX_SHOWN].decode("utf-8", "replace")
        return f"({kind}, {len(body)} bytes)"
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return f"(not JSON, {len(body)} bytes)"
    if not _is_shallow(value, _MAX_DEPTH):
        return f"(JSON that is too deep to be shown, {len(body)} bytes)"
    return json.dumps(_shown("", value), indent=2, ensure_ascii=False)


def _is_shallow(value: Any, levels: int) -> bool:
    """Who answers decides how deep it is; who walks through it has only so much of a stack."""
    if not isinstance(value, dict | list):
        return True
    parts = value.values() if isinstance(value, dict) else value
    return levels > 0 and all(_is_shallow(each, levels - 1) for each in parts)


def _shown(name: str, value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _shown(str(key), each) for key, each in value.items()}
    if isinstance(value, list):
        return [_shown(name, each) for each in value]
    if not isinstance(value, str):
        return value
    if name in _TOKENS:
        return decoded_token(value)
    if name in _SECRET:
        return "… (not shown)"
    if name in _LONG:
        return f"… ({len(value)} characters)"
    return value


def decoded_token(token: str) -> object:
    """Header and claims of a JWT, nothing verified; its signature is left out."""
    parts = token.split(".")
    try:
        header, claims = (json.loads(_decoded(part)) for part in parts[:2])
        if not _is_shallow([header, claims], _MAX_DEPTH):
            raise ValueError("too deep")
    except (ValueError, RecursionError):
        return f"… (not a JWT, {len(token)} characters)"
    if isinstance(header, dict):
        header = {key: value for key, value in header.items() if key != "x5c"}
    return {"header": header, "claims": claims, "signature": "… (not shown)"}


def _decoded(part: str) -> bytes:
    try:
        return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))
    except (binascii.Error, ValueError):
        raise ValueError("not base64url") from None
