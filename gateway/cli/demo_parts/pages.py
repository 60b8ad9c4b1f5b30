"""The pages of the demo's identity provider and apps: templates, escaping, and strict headers."""

import secrets
from functools import cache
from typing import Any

from aiohttp import web
from jinja2 import Environment, PackageLoader, StrictUndefined


def page(template: str, status: int = 200, /, **values: Any) -> web.Response:
    """Render ``templates/NAME.html``. Nothing runs or loads but what carries this answer's nonce.

    There is no ``form-action`` in the policy: Chromium enforces it along redirects, and the sign-on that
    begins at such a page would be blocked at the gateway's 307 (`challenge: redirect`).
    """
    nonce = secrets.token_urlsafe(16)
    policy = (
        f"default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; "
        "img-src data:; base-uri 'none'; frame-ancestors 'none'"
    )
    return web.Response(
        status=status,
        text=_environment().get_template(f"{template}.html").render(nonce=nonce, **values),
        content_type="text/html",
        headers={"Content-Security-Policy": policy, "Cache-Control": "no-store"},
    )


def wants_html(request: web.Request) -> bool:
    """Browsers say so; curl and other programs get JSON."""
    return "text/html" in request.headers.get("Accept", "")


@cache
def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("gateway.cli.demo_parts"), autoescape=True, undefined=StrictUndefined
    )
