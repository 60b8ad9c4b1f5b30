"""Requests of the workloads, as bytes."""

from collections.abc import Sequence

from benchmarks.load_client import WINDOWS_CHROME
from benchmarks.site import APP_HOST


def post_request(target: str, content_type: str, body: bytes, fields: Sequence[str] = ()) -> bytes:
    """A POST to the org host."""
    lines = (
        f"POST {target} HTTP/1.1",
        "Host: sso.example.test",
        f"Content-Type: {content_type}",
        f"Content-Length: {len(body)}",
        *fields,
    )
    return "\r\n".join([*lines, "", ""]).encode() + body


def socket_request(port: int, cookies: str) -> str:
    """What opens a WebSocket of the app."""
    return (
        f"GET /socket HTTP/1.1\r\nHost: {APP_HOST}:{port}\r\nUser-Agent: {WINDOWS_CHROME}\r\n"
        f"Cookie: {cookies}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    )
