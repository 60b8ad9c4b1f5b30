"""What the agent sends with its ticket: JSON, small, and in time."""

import asyncio
import re
from dataclasses import dataclass
from typing import Any, Final

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError

from gateway.enrollment.claims import MAX_TEXT_CHARACTERS, MAX_TOKEN_CHARACTERS, THUMBPRINT_CHARACTERS
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.server.org.strict_json import JsonRefused, parse_json
from gateway.services.iwa import Binding

# A device token, and some hundred bytes beside it.
MAX_BODY_BYTES: Final = MAX_TOKEN_CHARACTERS + 4_096
_BODY_SECONDS: Final = 10.0
_NONCE: Final = re.compile(rf"[!-~]{{1,{MAX_TEXT_CHARACTERS}}}")
_THUMBPRINT: Final = re.compile(rf"[A-Za-z0-9_-]{{{THUMBPRINT_CHARACTERS}}}")


@dataclass(frozen=True, slots=True)
class Asked:
    """``device_token`` is empty in the first step."""

    binding: Binding
    device_token: str = ""


async def read_asked(request: web.BaseRequest, *, with_device_token: bool) -> Asked:
    """Raises EnrollmentRefused (REQUEST_INVALID)."""
    if request.content_type != "application/json":  # which no page of another site can send unasked
        raise refused("Content-Type must be application/json")
    return asked(await _body(request), with_device_token=with_device_token)


def asked(body: bytes, *, with_device_token: bool) -> Asked:
    """Raises EnrollmentRefused (REQUEST_INVALID)."""
    try:
        value = parse_json(body)
    except JsonRefused as error:
        raise refused(f"the body: {error}") from None
    if not isinstance(value, dict):
        raise refused("the body is no object")
    binding = Binding(
        key_thumbprint=_text(value, "key_thumbprint", _THUMBPRINT), nonce=_text(value, "nonce", _NONCE)
    )
    if not with_device_token:
        return Asked(binding)
    token = value.get("device_token")
    if not isinstance(token, str) or not 1 <= len(token) <= MAX_TOKEN_CHARACTERS:
        raise refused(f"device_token: is no text of 1 to {MAX_TOKEN_CHARACTERS} characters")
    return Asked(binding, token)


def refused(detail: str) -> EnrollmentRefused:
    return EnrollmentRefused(EnrollmentRefusal.REQUEST_INVALID, detail)


def _text(value: dict[str, Any], name: str, form: re.Pattern[str]) -> str:
    text = value.get(name)
    if not isinstance(text, str) or form.fullmatch(text) is None:
        raise refused(f"{name}: is missing or malformed")
    return text


async def _body(request: web.BaseRequest) -> bytes:
    too_large = f"the body is larger than {MAX_BODY_BYTES} bytes"
    if (request.content_length or 0) > MAX_BODY_BYTES:
        raise refused(too_large)
    body = bytearray()
    try:
        async with asyncio.timeout(_BODY_SECONDS):
            async for piece in request.content.iter_any():
                body += piece
                if len(body) > MAX_BODY_BYTES:
                    raise refused(too_large)
    except TimeoutError:
        raise refused(f"the body did not arrive within {_BODY_SECONDS:g} s") from None
    except (ConnectionError, web.RequestPayloadError, HttpProcessingError):
        raise refused("the body broke off") from None
    return bytes(body)
