"""A peer: the reverse proxy that one writes in an afternoon, aiohttp on both sides and uvloop below.

``aiohttp_proxy.py SETTINGS`` with the settings as JSON; see `benchmarks.servers.aiohttp_proxy`.
"""

import json
import logging
import ssl
import sys
from typing import Any

import uvloop
from aiohttp import ClientSession, ClientTimeout, TCPConnector, web
from multidict import CIMultiDict

# Of one connection, not of the message (RFC 9110 §7.6.1); aiohttp frames both sides itself.
_HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "Upgrade", "Content-Length")


async def proxy(settings: dict[str, Any]) -> web.Application:
    session = ClientSession(
        connector=TCPConnector(limit=128), auto_decompress=False, timeout=ClientTimeout(sock_read=60)
    )

    async def forward(request: web.Request) -> web.StreamResponse:
        fields = CIMultiDict(request.headers)
        for name in _HOP_BY_HOP:
            fields.popall(name, None)
        fields["X-Forwarded-For"] = request.remote or ""
        fields["X-Forwarded-Proto"] = "https"
        fields["X-Forwarded-Host"] = request.host
        body = request.content if request.can_read_body else None
        url = settings["upstream"] + request.raw_path
        async with session.request(
            request.method, url, headers=fields, data=body, allow_redirects=False
        ) as answer:
            response = web.StreamResponse(status=answer.status, headers=answer.headers)
            response.content_length = answer.content_length
            await response.prepare(request)
            async for piece in answer.content.iter_any():
                await response.write(piece)
            await response.write_eof()
            return response

    application = web.Application()
    application.router.add_route("*", "/{path:.*}", forward)
    return application


def main() -> None:
    settings = json.loads(sys.argv[1])
    log = logging.getLogger("aiohttp.access")
    log.setLevel(logging.INFO)
    log.addHandler(logging.FileHandler(settings["access_log"]))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(settings["certificate"], settings["private_key"])
    web.run_app(
        proxy(settings),
        host="127.0.0.1",
        port=settings["port"],
        ssl_context=context,
        access_log=log,
        print=None,
        loop=uvloop.new_event_loop(),
        backlog=4096,
    )


if __name__ == "__main__":
    main()
