"""What an app said before it closed, for a connection on which the gateway was still writing.

An app that will not have a body answers early (401, 413) and closes. The next write then fails, and the event
loop closes the socket with the answer unread in it. While a body goes up, a second descriptor of the socket
is kept here, from which the answer can be read afterwards. Not for TLS: what is read there is no plaintext.
"""

import asyncio
import os
from typing import Final

# An early answer is a page. What is longer is cut off, as it was before.
MAX_LAST_WORDS_BYTES: Final = 1_048_576
_PIECE_BYTES: Final = 65_536


class LastWords:
    """Has to be closed: as long as it is not, the peer sees no end of the connection."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def read(self) -> bytes:
        """All that is left to read, without waiting."""
        pieces: list[bytes] = []
        left = MAX_LAST_WORDS_BYTES
        try:
            while left and (piece := os.read(self._descriptor, min(left, _PIECE_BYTES))):
                pieces.append(piece)
                left -= len(piece)
        except OSError:
            pass  # that was all
        return b"".join(pieces)

    def close(self) -> None:
        os.close(self._descriptor)


def last_words_of(transport: asyncio.Transport) -> LastWords | None:
    """None where they cannot be kept: behind TLS, without a socket, without a free descriptor."""
    socket = transport.get_extra_info("socket")
    if socket is None or transport.get_extra_info("ssl_object") is not None:
        return None
    try:
        return LastWords(os.dup(socket.fileno()))
    except OSError:
        return None
