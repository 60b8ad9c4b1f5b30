"""Names of apps' hosts → addresses, looked up off the loop and remembered.

    known     the addresses at once; when they are older than FRESH_SECONDS a new lookup runs meanwhile
    doubted   a connect to them failed: the next one waits for a new lookup
    DNS gone  the last addresses that were found go on, however old

At most one lookup runs for a name. The system's resolver cannot be told to stop, so one that hangs goes on,
and whoever waits for it waits no longer than it said.
"""

import asyncio
import socket
from collections.abc import Iterable
from typing import Any, Final

# The system's resolver tells no time to live; most internal zones have 30 to 300 seconds.
FRESH_SECONDS: Final = 30.0
# After a lookup that failed, and between two of one name that is doubted.
AGAIN_SECONDS: Final = 1.0
# Of one name. Nobody tries more, and a name with thousands would be held in memory.
MAX_ADDRESSES: Final = 16
# The event loop has four threads for lookups.
MAX_LOOKUPS: Final = 4

AddressInfo = tuple[int, int, int, str, tuple[Any, ...]]  # as `getaddrinfo` gives them; port 0


class NameUnknown(Exception):
    """No address is known. The text is the resolver's."""


class _Known:
    __slots__ = ("again_at", "detail", "doubted", "found", "looked_up_at")

    def __init__(self) -> None:
        self.found: tuple[AddressInfo, ...] = ()
        self.detail = "no answer yet"
        self.looked_up_at = float("-inf")
        self.again_at = float("-inf")
        self.doubted = False


class NameLookup:
    """For all upstreams of a worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._known: dict[str, _Known] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._room = asyncio.Semaphore(MAX_LOOKUPS)

    def keep_only(self, hosts: Iterable[str]) -> None:
        """Forget the names that the configuration does not have any more."""
        kept = frozenset(hosts)
        for host in [host for host in self._known if host not in kept]:
            del self._known[host]

    async def addresses(self, host: str, seconds: float) -> tuple[AddressInfo, ...]:
        """At least one, in the system's order (RFC 6724), after at most ``seconds``. Raises NameUnknown."""
        known = self._known.setdefault(host, _Known())
        now = self._loop.time()
        if now >= known.again_at:
            self._look_up(host, known)
        running = self._running.get(host)
        if running is not None and (known.doubted or not known.found):
            await asyncio.wait((running,), timeout=seconds)
        if not known.found:
            raise NameUnknown(known.detail)
        return known.found

    def doubt(self, host: str) -> bool:
        """A connect to what `addresses` gave has failed. True if looking again may tell more."""
        known = self._known.get(host)
        if known is None or self._loop.time() - known.looked_up_at < AGAIN_SECONDS:
            return False
        known.doubted = True
        known.again_at = self._loop.time()
        return True

    def stop(self) -> None:
        for task in self._running.values():
            task.cancel()

    def _look_up(self, host: str, known: _Known) -> None:
        if host not in self._running:
            task = self._loop.create_task(self._run(host, known), name=f"look up {host}")
            self._running[host] = task
            task.add_done_callback(lambda _: self._running.pop(host, None))

    async def _run(self, host: str, known: _Known) -> None:
        async with self._room:
            try:
                found = await self._loop.getaddrinfo(
                    host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP
                )
            except (OSError, UnicodeError) as error:  # UnicodeError: a label that the IDNA codec refuses
                found = []
                known.detail = str(error)
        now = self._loop.time()
        known.looked_up_at = now
        known.doubted = False
        known.again_at = now + (FRESH_SECONDS if found else AGAIN_SECONDS)
        if found:
            known.found = tuple(found[:MAX_ADDRESSES])


def with_port(found: AddressInfo, port: int) -> AddressInfo:
    family, kind, protocol, name, address = found
    return family, kind, protocol, name, (address[0], port, *address[2:])
