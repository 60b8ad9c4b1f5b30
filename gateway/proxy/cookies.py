"""The gateway's own cookies among the app's (RFC 6265). Ours never reach the app, the app's are never
touched."""

from collections.abc import Sequence
from typing import Final

FLOW_COOKIE_PREFIX: Final = b"__Host-dt-flow-"
SESSION_COOKIE: Final = b"__Host-dt-session"
_OURS: Final = b"__Host-dt-"

# Flow cookies that one browser may hold: fifty apps opened at once, and half as many left behind. Browsers
# keep about 180 cookies for a site, the app's own among them.
MAX_FLOW_COOKIES: Final = 75


def split_cookies(fields: Sequence[bytes]) -> tuple[dict[bytes, bytes], bytes | None]:
    """(our cookies by name, the Cookie field without them or None).

    ``fields`` are the values of the request's Cookie fields. A name that comes twice keeps the first value,
    and the second is dropped: nobody but this gateway sets these names.
    """
    if not fields:
        return {}, None
    joined = fields[0] if len(fields) == 1 else b"; ".join(fields)
    if _OURS not in joined:
        return {}, joined
    ours: dict[bytes, bytes] = {}
    others = []
    for pair in joined.split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name.startswith(_OURS):
            ours.setdefault(name, value.strip())
        elif name or value:
            others.append(pair.strip())
    return ours, b"; ".join(others) or None


def flow_cookie_name(flow_id: str) -> bytes:
    return FLOW_COOKIE_PREFIX + flow_id.encode("ascii")


def set_flow_cookie(flow_id: str, value: str, max_age_seconds: int) -> tuple[bytes, bytes]:
    """SameSite=None, because the browser comes back from another site with a POST."""
    return _set_cookie(flow_cookie_name(flow_id), value, max_age_seconds, b"None")


def clear_flow_cookie(flow_id: str) -> tuple[bytes, bytes]:
    return _set_cookie(flow_cookie_name(flow_id), "", 0, b"None")


def set_session_cookie(value: str, max_age_seconds: int) -> tuple[bytes, bytes]:
    return _set_cookie(SESSION_COOKIE, value, max_age_seconds, b"Lax")


def clear_session_cookie() -> tuple[bytes, bytes]:
    return _set_cookie(SESSION_COOKIE, "", 0, b"Lax")


def _set_cookie(name: bytes, value: str, max_age_seconds: int, same_site: bytes) -> tuple[bytes, bytes]:
    return (
        b"Set-Cookie",
        b"%s=%s; Max-Age=%d; Path=/; Secure; HttpOnly; SameSite=%s"
        % (name, value.encode("ascii"), max_age_seconds, same_site),
    )
