"""The org that runs: its HTTP server on the Unix socket, and what goes on beside it."""

import asyncio
import socket

from aiohttp import web
from prometheus_client import CollectorRegistry

from gateway.server.org_process import Surroundings
from gateway.services.material import Material

# Requests that run have this long when the process drains.
_SHUTDOWN_SECONDS = 5.0


class OrgService:
    """An `Org`."""

    def __init__(self, surroundings: Surroundings) -> None:
        self._surroundings = surroundings
        self._material = surroundings.material
        self._live: frozenset[int] = frozenset()
        self._applied: dict[int, int] = {}
        self.registry = CollectorRegistry()
        self._runner = web.AppRunner(
            web.Application(), access_log=None, shutdown_timeout=_SHUTDOWN_SECONDS, handle_signals=False
        )

    async def start(self, listening: socket.socket) -> None:
        await self._runner.setup()
        await web.SockSite(self._runner, listening).start()
        self._surroundings.voice.state(0, b'{"number":0}', {})

    async def run(self) -> None:
        await asyncio.Event().wait()

    async def drain(self) -> None:
        await self._runner.cleanup()

    def replace_configuration(self, material: Material) -> None:
        self._material = material

    def applied(self, worker: int, number: int) -> None:
        self._applied[worker] = number

    def workers(self, live: frozenset[int]) -> None:
        self._live = live
        self._applied = {worker: number for worker, number in self._applied.items() if worker in live}
