"""The metrics listener: `/metrics`, `/healthz` and `/readyz`. Bind it to an address that only the operators
reach."""

import asyncio
import socket
from collections.abc import Callable, Coroutine
from typing import Any, Final

from aiohttp import web

# Prometheus text format 0.0.4, which all that scrape understand.
CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
# The supervisor needs its descriptors for workers and CRLs. For one connection more, the oldest goes, so that
# nobody who holds on to many keeps a probe out.
MAX_CONNECTIONS: Final = 64


class MetricsListener:
    """``scrape`` gives the page; ``not_ready`` the reasons why sign-ons cannot all be judged now, none means
    ready; ``degraded`` what should not stay so all the same."""

    def __init__(
        self,
        scrape: Callable[[], Coroutine[Any, Any, bytes]],
        not_ready: Callable[[], list[str]],
        degraded: Callable[[], list[str]] = list,
    ) -> None:
        self._degraded = degraded
        self._scrape = scrape
        self._scraping: asyncio.Task[bytes] | None = None
        self._not_ready = not_ready
        self._runner: web.AppRunner | None = None
        self._server: asyncio.Server | None = None

    async def start(self, listening: socket.socket) -> None:
        """``listening`` is the listener's from now on."""
        app = web.Application()
        app.router.add_get("/metrics", self._metrics)
        app.router.add_get("/healthz", self._healthz)
        app.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(app, access_log=None)
        await self._runner.setup()
        self._server = await asyncio.get_running_loop().create_server(self._accept, sock=listening)

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
        if self._runner is not None:
            await self._runner.cleanup()
        if self._scraping is not None:
            self._scraping.cancel()

    def _accept(self) -> asyncio.BaseProtocol:
        server = self._runner.server if self._runner is not None else None
        assert server is not None, "it was set up"
        transports = [handler.transport for handler in server.connections]  # the oldest first
        open_ones = [each for each in transports if each is not None and not each.is_closing()]
        for oldest in open_ones[: len(open_ones) + 1 - MAX_CONNECTIONS]:
            oldest.abort()
        return server()

    async def _metrics(self, _request: web.Request) -> web.Response:
        # A scrape costs every worker time, so there is one at once: who asks meanwhile gets the same page.
        if self._scraping is None or self._scraping.done():
            self._scraping = asyncio.create_task(self._scrape(), name="scrape")
        page = await asyncio.shield(self._scraping)
        return web.Response(body=page, headers={"Content-Type": CONTENT_TYPE})

    async def _healthz(self, _request: web.Request) -> web.Response:
        return web.json_response({"status": "alive"})

    async def _readyz(self, _request: web.Request) -> web.Response:
        reasons = self._not_ready()
        if reasons:
            return web.json_response({"status": "not ready", "reasons": reasons}, status=503)
        degraded = self._degraded()
        return web.json_response({"status": "ready", **({"degraded": degraded} if degraded else {})})
