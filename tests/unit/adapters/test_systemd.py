"""What systemd gives and is told, without systemd."""

import os
import socket
from pathlib import Path

import pytest

from gateway.adapters.systemd import Notifier, given_sockets


@pytest.mark.parametrize(
    "environment",
    [{}, {"LISTEN_FDS": "1"}, {"LISTEN_FDS": "1", "LISTEN_PID": "1"}],
    ids=["nothing", "for nobody", "for another process"],
)
def test_sockets_that_are_not_for_this_process_are_not_taken(environment: dict[str, str]) -> None:
    assert given_sockets(environment) == []


@pytest.mark.parametrize("count", ["-1", "x", "1000"])
def test_a_number_of_sockets_that_cannot_be_is_refused(count: str) -> None:
    with pytest.raises(ValueError, match=r"LISTEN_FDS|invalid literal"):
        given_sockets({"LISTEN_FDS": count, "LISTEN_PID": str(os.getpid())})


@pytest.mark.parametrize("abstract", [False, True], ids=["a path", "an abstract address"])
def test_every_state_is_told(tmp_path: Path, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        name = f"devicetrust-test-{os.getpid()}"
        manager.bind("\0" + name if abstract else str(tmp_path / "n"))
        notifier = Notifier({"NOTIFY_SOCKET": f"@{name}" if abstract else str(tmp_path / "n")})
        notifier.ready()
        notifier.reloading()
        notifier.stopping()
        assert manager.recv(1_000).decode() == f"READY=1\nMAINPID={os.getpid()}"
        assert manager.recv(1_000).startswith(b"RELOADING=1\nMONOTONIC_USEC=")
        assert manager.recv(1_000) == b"STOPPING=1"


def test_where_nobody_listens_nothing_happens(tmp_path: Path) -> None:
    Notifier({}).ready()
    Notifier({"NOTIFY_SOCKET": str(tmp_path / "nobody")}).ready()
