"""What systemd gives and wants to know, by its documented environment variables: sockets that it opened
(sd_listen_fds(3)) and the state of the service (sd_notify(3)). Without systemd, nothing and nobody."""

import contextlib
import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

_FIRST_DESCRIPTOR: Final = 3
_MAX_SOCKETS: Final = 64


@dataclass(frozen=True, slots=True)
class GivenSocket:
    """``name`` is that of FileDescriptorName in the socket unit."""

    name: str
    listening: socket.socket


def given_sockets(environment: Mapping[str, str]) -> list[GivenSocket]:
    """The listening sockets that were given to this very process. To be called once. Raises ValueError for a
    number that is none, and OSError for a descriptor that is no socket."""
    if environment.get("LISTEN_PID") != str(os.getpid()):
        return []
    count = int(environment.get("LISTEN_FDS", "0"))
    if not 0 <= count <= _MAX_SOCKETS:
        raise ValueError(f"LISTEN_FDS is {count}")
    names = environment.get("LISTEN_FDNAMES", "").split(":")
    found = []
    for number in range(count):
        listening = socket.socket(fileno=_FIRST_DESCRIPTOR + number)
        listening.set_inheritable(False)
        found.append(GivenSocket(names[number] if number < len(names) else "", listening))
    return found


class Notifier:
    """Tells systemd, where it asked to be told. What cannot be told is not: the service runs all the same."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        path = environment.get("NOTIFY_SOCKET", "")
        # @ stands for the NUL of an abstract address.
        self._address = "\0" + path[1:] if path.startswith("@") else path

    def ready(self) -> None:
        """Also of a process that took over from the one that systemd knows."""
        self._tell(f"READY=1\nMAINPID={os.getpid()}")

    def reloading(self) -> None:
        self._tell(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1_000}")

    def stopping(self) -> None:
        self._tell("STOPPING=1")

    def _tell(self, state: str) -> None:
        if not self._address:
            return
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as teller:
            teller.setblocking(False)
            teller.sendto(state.encode(), self._address)
