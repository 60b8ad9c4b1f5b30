"""The org process as workers reach it: by its Unix socket, over a few connections that are kept alive.

Those for the API are apart from those for what is open to everybody: strangers who send their requests
slowly, or read the answers so, must not take the connections by which an administrator revokes.
"""

import asyncio
import os
from typing import Final

from gateway.model.settings import Limits, Upstream
from gateway.proxy.upstream_health import UpstreamHealth
from gateway.server.deadlines import Deadlines
from gateway.server.name_lookup import NameLookup
from gateway.server.org_socket import SOCKET_NAME
from gateway.server.upstream_pool import UpstreamPool
from gateway.server.upstream_server import UpstreamServer

MAX_CONNECTIONS: Final = 256  # of each kind, and of each worker
# Not those of gateway.yaml, which are for apps: the org is one process, and reads no large messages.
_LIMITS: Final = Limits(
    upstream_connect_timeout_seconds=5.0,
    upstream_queue_timeout_seconds=5.0,
    max_upstream_connections=MAX_CONNECTIONS,
    max_upstream_queue=1_024,
)


class OrgUpstream:
    """Made on the running loop. Raises OSError where the keys directory cannot be opened."""

    def __init__(self, keys_directory: str, loop: asyncio.AbstractEventLoop, deadlines: Deadlines) -> None:
        # Held open for a short path to the socket (see `gateway.server.short_path`).
        self._directory = os.open(keys_directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._names = NameLookup(loop)
        upstream = Upstream("unix", path=f"/proc/self/fd/{self._directory}/{SOCKET_NAME}")

        def server() -> UpstreamServer:
            return UpstreamServer(
                upstream, None, loop, deadlines, _LIMITS, self._names, UpstreamHealth(), self
            )

        self._servers = server(), server()
        self.api, self.public = (UpstreamPool((each,), _LIMITS, loop) for each in self._servers)

    def close(self) -> None:
        for server in self._servers:
            server.close()
        self._names.stop()
        os.close(self._directory)

    def upstream_down(self, upstream: Upstream, kind: str, pause_seconds: float) -> None:
        """The supervisor logs that the process ended; the only server there is, is tried all the same."""

    def upstream_up(self, upstream: Upstream) -> None:
        """See upstream_down."""
