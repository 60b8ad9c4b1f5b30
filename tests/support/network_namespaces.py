"""Machines of a fleet, each in a network namespace of its own, with switches between them (Linux, root).

    people ──┐                      ┌── postgres
        one ─┼─ front     near ─────┼── one
        two ─┘              │ trunk
                           far ─────── two

Nobody who is connected sees that `Network.cut_trunk` takes the trunk down: all links stay up, and what is
sent is gone without a word. No namespace has a name: they are held open by this process alone, so two runs
do not meet, and nothing stays behind whatever becomes of them.
"""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import pytest
from support.processes import program

# <sched.h>; Python offers these calls from 3.12 on.
_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)

FRONT = {"people": "10.77.0.9", "one": "10.77.0.1", "two": "10.77.0.2"}
STORE = {"postgres": "10.78.0.9", "one": "10.78.0.1", "two": "10.78.0.2"}


class Namespace:
    """A new one with nothing in it but loopback."""

    def __init__(self) -> None:
        with _comes_back():
            _call("unshare", _CLONE_NEWNET)
            self.descriptor = _current()
        self.ip("link set lo up")

    def close(self) -> None:
        os.close(self.descriptor)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The calling thread is in it. What it makes meanwhile (sockets, processes) stays there."""
        with _comes_back():
            _call("setns", self.descriptor, _CLONE_NEWNET)
            yield

    def ip(self, *lines: str, to: "Namespace | None" = None) -> None:
        """Commands of ip(8). ``{to}`` stands for the other namespace."""
        to = to or self
        batch = "\n".join(line.format(to=f"/proc/self/fd/{to.descriptor}") for line in lines)
        command = [program("ip") or "ip", "-batch", "-"]
        with self.entered():
            done = subprocess.run(
                command,
                input=batch,
                capture_output=True,
                text=True,
                pass_fds=(to.descriptor,),
                timeout=20,
                check=False,
            )
        if done.returncode:
            raise OSError(f"ip: {done.stderr.strip()} in\n{batch}")


@dataclass(frozen=True)
class Network:
    people: Namespace
    one: Namespace
    two: Namespace
    postgres: Namespace
    switches: Namespace

    def cut_trunk(self) -> None:
        """From now on nothing passes between gateway ``two`` and PostgreSQL."""
        self.switches.ip("link set trunk-near down")

    def heal_trunk(self) -> None:
        self.switches.ip("link set trunk-near up")


@contextmanager
def network() -> Iterator[Network]:
    """Skips the test of whoever may not make namespaces; under CI=true that must be possible, and fails."""
    with ExitStack() as stack:

        def namespace() -> Namespace:
            try:
                made = Namespace()
            except OSError as problem:
                if os.environ.get("CI") == "true":
                    raise
                pytest.skip(f"only root can make network namespaces, with iproute2: {problem}")
            stack.callback(made.close)
            return made

        made = Network(*(namespace() for _ in range(5)))
        switches = made.switches
        switches.ip(
            *(f"link add {name} up type bridge stp_state 0" for name in ("front", "near", "far")),
            "link add trunk-near up master near type veth peer name trunk-far",
            "link set trunk-far up master far",
        )
        for name, address in FRONT.items():
            _plug(switches, "front", getattr(made, name), "front", address, name)
        for name, address in STORE.items():
            _plug(switches, "far" if name == "two" else "near", getattr(made, name), "store", address, name)
        yield made


def _plug(switches: Namespace, switch: str, machine: Namespace, link: str, address: str, name: str) -> None:
    port = f"{link}-{name}"
    switches.ip(
        f"link add {port} type veth peer name {link} netns {{to}}",
        f"link set {port} up master {switch}",
        to=machine,
    )
    machine.ip(f"address add {address}/24 dev {link}", f"link set {link} up")


@contextmanager
def _comes_back() -> Iterator[None]:
    """The thread is in its own namespace again at the end."""
    own = _current()
    try:
        yield
    finally:
        _call("setns", own, _CLONE_NEWNET)
        os.close(own)


def _current() -> int:
    return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)


def _call(name: str, *arguments: int) -> None:
    if getattr(_libc, name)(*arguments) != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{name}: {os.strerror(number)}")
