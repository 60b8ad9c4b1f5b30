"""An app behind the gateway that does to a request what its path says, byte for byte. A process of its own.

    /dies-before-head  /dies-in-head  /dies-in-body  /dies-in-chunks  /garbage  /too-much  /two-answers
    /speaks-unasked  /never  /deaf  /never-ends  /early  /down/BYTES  /up  /socket  /trickle/BYTES

Every other path is answered with the head and the body that were received, and the port in `Server`. Run as
``python raw_app.py PORT [CERTIFICATE KEY]``.
"""

import asyncio
import contextlib
import ssl
import sys
from asyncio import StreamReader as Reader
from asyncio import StreamWriter as Writer
from collections.abc import Awaitable, Callable

Answer = Callable[[Reader, Writer, bytes], Awaitable[bool]]  # True: the connection may have another request

PIECE = bytes(range(256)) * 1_024
SWITCHED = b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


def _says(answer: bytes) -> Answer:
    """Exactly these bytes, then the end of the connection."""

    async def say(_reader: Reader, writer: Writer, _head: bytes) -> bool:
        writer.write(answer)
        return False

    return say


async def _speaks_unasked(_reader: Reader, writer: Writer, _head: bytes) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await asyncio.sleep(0.05)
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
    await asyncio.sleep(0.05)
    return False


async def _never(reader: Reader, _writer: Writer, _head: bytes) -> bool:
    await reader.read()
    return False


async def _deaf(_reader: Reader, _writer: Writer, _head: bytes) -> bool:
    """Takes no more of a body than came with its head."""
    await asyncio.sleep(5)
    return False


async def _never_ends(reader: Reader, writer: Writer, _head: bytes) -> bool:
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello")
    await reader.read()
    return False


async def _early(reader: Reader, writer: Writer, _head: bytes) -> bool:
    """Answers at once with the body on its way, and closes as RFC 9112 §9.6 has it: first one side, then,
    when the other end has closed or a moment has passed, both."""
    writer.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 8\r\n\r\ntoo much")
    writer.write_eof()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(1):
            while await reader.read(len(PIECE)):
                pass
    return False


async def _down(_reader: Reader, writer: Writer, head: bytes) -> bool:
    left = int(head.split()[1].rpartition(b"/")[2])
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % left)
    while left:
        piece = PIECE[: min(left, len(PIECE))]
        left -= len(piece)
        writer.write(piece)
        await writer.drain()
    return True


async def _trickle(_reader: Reader, writer: Writer, head: bytes) -> bool:
    """Takes a tenth of a second for each byte."""
    size = int(head.split()[1].rpartition(b"/")[2])
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % size)
    for _ in range(size):
        await asyncio.sleep(0.1)
        writer.write(b"x")
    return True


async def _up(reader: Reader, writer: Writer, head: bytes) -> bool:
    size = left = _content_length(head)
    while left:
        left -= len(await reader.read(min(left, len(PIECE))) or _cut_off())
    body = b"%d" % size
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    return True


async def _socket(reader: Reader, writer: Writer, _head: bytes) -> bool:
    """Echoes, and says ``ping`` every tenth of a second."""
    writer.write(SWITCHED)

    async def ping() -> None:
        while True:
            await asyncio.sleep(0.1)
            writer.write(b"ping\n")

    pinging = asyncio.create_task(ping())
    try:
        while line := await reader.readline():
            writer.write(b"echo " + line)
    finally:
        pinging.cancel()
    return False


async def _echo(reader: Reader, writer: Writer, head: bytes) -> bool:
    body = head + await reader.readexactly(_content_length(head))
    port = writer.get_extra_info("sockname")[1]
    writer.write(
        b"HTTP/1.1 200 OK\r\nServer: raw-%d\r\nContent-Length: %d\r\n\r\n%s" % (port, len(body), body)
    )
    return True


_ANSWERS: dict[bytes, Answer] = {
    b"dies-before-head": _says(b""),
    b"dies-in-head": _says(b"HTTP/1.1 200 OK\r\nConte"),
    b"dies-in-body": _says(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"),
    b"dies-in-chunks": _says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"),
    b"garbage": _says(b"\x00\xffwhat is this?\r\n\r\n"),
    b"too-much": _says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokevil"),
    b"two-answers": _says(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n\r\nevil"),
    b"speaks-unasked": _speaks_unasked,
    b"never": _never,
    b"deaf": _deaf,
    b"never-ends": _never_ends,
    b"early": _early,
    b"down": _down,
    b"trickle": _trickle,
    b"up": _up,
    b"socket": _socket,
}


async def _serve(reader: Reader, writer: Writer) -> None:
    with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            answer = _ANSWERS.get(head.split()[1].split(b"/")[1], _echo)
            if not await answer(reader, writer, head):
                break
    writer.close()


def _content_length(head: bytes) -> int:
    for line in head.split(b"\r\n"):
        name, _, value = line.partition(b":")
        if name.lower() == b"content-length":
            return int(value)
    return 0


def _cut_off() -> bytes:
    raise ConnectionError("the gateway closed inside the body")


async def _run(port: int, certificate: list[str]) -> None:
    context = None
    if certificate:
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(*certificate)
    server = await asyncio.start_server(_serve, "127.0.0.1", port, ssl=context)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(_run(int(sys.argv[1]), sys.argv[2:]))
