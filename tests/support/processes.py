"""Child processes for tests: a free port, a log that is shown on failure, and a certain end.

Every process is started under ``setpriv --pdeathsig``, so that the kernel ends it when the test run
dies without cleaning up.
"""

import contextlib
import http.client
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

READY_SECONDS = 30.0
STOP_SECONDS = 10.0
KILL_SECONDS = 2.0
LOG_TAIL_BYTES = 8_000

_handed_out: set[int] = set()


class ProcessFailedError(AssertionError):
    """A process did not come up, or did not end as it should. The message holds the end of its log."""


def free_port() -> int:
    """A loopback port that nobody listens on and that this test run has not handed out yet.

    It lies below the kernel's range for outgoing connections, so that none takes it before the
    process that was meant to listen there does.
    """
    for _ in range(1000):
        port = random.randrange(20_000, 32_000)
        if port in _handed_out:
            continue
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        _handed_out.add(port)
        return port
    raise RuntimeError("no free port between 20000 and 32000")


class ChildProcess:
    """A process that runs until it is told to stop. Its two outputs go to files in ``directory``."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        directory: Path,
        *,
        environment: Mapping[str, str] | None = None,
        account: str | None = None,
        own_logs: Sequence[Path] = (),
    ) -> None:
        self.name = name
        self._own_logs = own_logs
        self.stdout_path = directory / f"{name}.stdout"
        self.stderr_path = directory / f"{name}.stderr"
        prefix = ["setpriv", "--pdeathsig", "TERM"]
        if account is not None:  # the signal is cleared by a change of user, which setpriv makes first
            prefix += ["--reuid", account, "--regid", account, "--clear-groups"]
        with self.stdout_path.open("wb") as stdout, self.stderr_path.open("wb") as stderr:
            self._process = subprocess.Popen(
                [*prefix, "--", *command],
                cwd=directory,
                env={**os.environ, **(environment or {})},
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                process_group=0,  # so that `kill` reaches its children, too
            )

    @property
    def process_id(self) -> int:
        return self._process.pid

    def log(self) -> str:
        """The end of what it wrote: both outputs and the log files that it keeps itself."""
        parts = []
        for path in (self.stdout_path, self.stderr_path, *self._own_logs):
            if path.exists() and (
                text := path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace").strip()
            ):
                parts.append(f"--- {path.name}\n{text}")
        return "\n".join(parts)

    def wait_until(self, ready: Callable[[], bool], what: str, seconds: float = READY_SECONDS) -> None:
        """Wait until ``ready()``. Raises ProcessFailedError when it ends first or takes too long."""
        deadline = time.monotonic() + seconds
        while not ready():
            status = self._process.poll()
            if status is not None:
                raise ProcessFailedError(f"{self.name} ended with {status} before {what}\n{self.log()}")
            if time.monotonic() > deadline:
                raise ProcessFailedError(
                    f"{self.name}: still waiting for {what} after {seconds:g} s\n{self.log()}"
                )
            time.sleep(0.02)

    def wait_until_listening(self, port: int, seconds: float = READY_SECONDS) -> None:
        self.wait_until(lambda: accepts_connections(port), f"it listens on port {port}", seconds)

    def send_signal(self, number: signal.Signals) -> None:
        self._process.send_signal(number)

    def wait(self, seconds: float = STOP_SECONDS) -> int:
        """Its exit status. Raises ProcessFailedError (and kills it) when it does not end in time."""
        try:
            return self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()
            raise ProcessFailedError(f"{self.name} did not end in {seconds:g} s\n{self.log()}") from None

    def stop(self, seconds: float = STOP_SECONDS) -> int:
        """SIGTERM and wait; the exit status, negative for a signal."""
        if self._process.poll() is None:
            self._process.terminate()
        return self.wait(seconds)

    def kill(self) -> None:
        """End it and its children, without asking for its exit status. A second call does nothing."""
        if self._process.poll() is None:
            self._process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(KILL_SECONDS)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()


def accepts_connections(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def http_get(port: int, path: str) -> tuple[int, bytes]:
    """Status and body of a plain HTTP request to loopback."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def program(name: str) -> str | None:
    """Where a program is, looking into the directories that only root has on its path, too."""
    return shutil.which(
        name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
    )
