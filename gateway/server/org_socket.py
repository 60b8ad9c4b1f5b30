"""The Unix socket of the org process, in the keys directory: workers reach it there, nobody else may.

Each org process gets a socket of its own, under the same name. When it ends its socket ends with it, so that
workers are refused at once instead of waiting for nobody; and another gateway that takes over puts its own
there, while the requests that the former one has are answered to their end.
"""

import secrets
import socket
from pathlib import Path
from typing import Final

from gateway.server.short_path import short_path

SOCKET_NAME: Final = "org"
_BACKLOG: Final = 1_024


def listen_for_org(keys_directory: str) -> socket.socket:
    """A socket that listens in the place of the one before. Raises OSError."""
    listening = socket.socket(socket.AF_UNIX)
    try:
        with short_path(keys_directory) as place:
            unfinished = Path(place, f".{SOCKET_NAME}.{secrets.token_hex(8)}")
            listening.bind(str(unfinished))
            unfinished.chmod(0o600)
            listening.listen(_BACKLOG)
            unfinished.rename(Path(place, SOCKET_NAME))
    except OSError:
        listening.close()
        raise
    return listening
