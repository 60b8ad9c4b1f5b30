"""Many TLS connections that stay open: one task as a JSON line on standard input, results as JSON lines.

Opens ``count`` connections, divides ``requests`` among them, sends one on each and reads the head of its
answer, which must have the expected ``status``. Then it says how many are open, and keeps them until standard
input ends. With ``until_closed: [100, 5000]`` it waits until the server has closed the first 100, and then
until it has closed the first 5,000; each time it says when the first and the last of them went
(`time.monotonic`, one clock for all processes of a machine), all of these times in their order, and how many
went that were not to go. With ``certificates``, PEM files with key and chain, connections show one, divided
among them as the requests are.
"""

import asyncio
import json
import resource
import ssl
import sys
import time
from typing import Any, Final, cast

import uvloop
from typing_extensions import override

_AT_ONCE: Final = 32
_OPEN_SECONDS: Final = 20.0
_CLOSE_SECONDS: Final = 60.0
# Each address carries a few hundred connections, as many clients would.
_PER_ADDRESS: Final = 100


class _Held(asyncio.Protocol):
    def __init__(self, request: bytes) -> None:
        self._request = request
        self._received = b""
        self.answered: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        self.closed: asyncio.Future[float] = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's own classes are none by name
        self._transport.write(self._request)

    @override
    def data_received(self, data: bytes) -> None:
        if not self.answered.done():
            self._received += data
            if b"\r\n\r\n" in self._received:
                self.answered.set_result(int(self._received[9:12]))

    @override
    def connection_lost(self, error: Exception | None) -> None:
        self.closed.set_result(time.monotonic())
        if not self.answered.done():
            self.answered.set_exception(ConnectionError("closed before an answer came"))


async def _hold(task: dict[str, Any]) -> None:
    loop = asyncio.get_running_loop()
    contexts = [_context(path) for path in task.get("certificates") or (None,)]
    requests = [request.encode() for request in task["requests"]]
    gate = asyncio.Semaphore(_AT_ONCE)

    async def opened(number: int) -> _Held:
        async with gate, asyncio.timeout(_OPEN_SECONDS):
            _, held = await loop.create_connection(
                lambda: _Held(requests[number * len(requests) // task["count"]]),
                "127.0.0.1",
                task["port"],
                ssl=contexts[number * len(contexts) // task["count"]],
                server_hostname=task["server_name"],
                local_addr=(f"127.0.1.{1 + number // _PER_ADDRESS}", 0),
            )
            status = await held.answered
            if status != task["status"]:
                raise ValueError(f"answered {status} and not {task['status']}")
            return held

    connections = await asyncio.gather(*(opened(number) for number in range(task["count"])))
    _say({"open": sum(not held.closed.done() for held in connections)})
    gone = 0
    for doomed in task.get("until_closed", ()):
        async with asyncio.timeout(_CLOSE_SECONDS):
            times = await asyncio.gather(*(held.closed for held in connections[gone:doomed]))
        others = sum(held.closed.done() for held in connections[doomed:])
        _say({"first": min(times), "last": max(times), "each": sorted(times), "others_closed": others})
        gone = doomed
    await asyncio.to_thread(sys.stdin.read)
    _say({"open": sum(not held.closed.done() for held in connections)})


def _context(certificate: str | None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def _say(result: dict[str, Any]) -> None:
    print(json.dumps(result), flush=True)


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    uvloop.run(_hold(json.loads(sys.stdin.readline())))
