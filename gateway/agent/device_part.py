"""The device part: what runs as root, because only root reads the computer's keytab.

It is started by systemd when somebody connects to its socket, gets device tokens for the persons of this
computer, and ends when nobody asks any more. One JSON line comes, one goes:

    {"iwa_url": "…", "nonce": "…", "key_thumbprint": "…"}   →   {"device_token": "…"} or a refusal

A person of this computer may be anybody, so nothing of what comes is believed: the computer's ticket goes
only to IWA web apps that the org itself names, which this part asks for itself, over the OrgUrl that an
administrator set. What a person gets is a token for a key that is named in it, at one IWA web app, for
minutes: nothing that a person could not get by running the agent.
"""

import contextlib
import json
import os
import socket
import stat
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Protocol

from gateway.agent.device_callers import LINE_SECONDS, MAX_CALLERS, MAX_LINE_BYTES, Callers
from gateway.agent.iwa_client import Asked
from gateway.agent.platforms.public_files import make_public_directory
from gateway.agent.refusal import LocalRefusal, Refused, refusal_told, refused
from gateway.agent.settings import LOOPBACK
from gateway.enrollment.claims import MAX_TEXT_CHARACTERS, THUMBPRINT_CHARACTERS

IDLE_SECONDS: Final = 30.0
# Of one person, in ten minutes: a run asks once for each IWA web app that it tries.
MAX_ASKED: Final = 60
ASKED_WITHIN_SECONDS: Final = 600.0
_MAX_PERSONS: Final = 4_096
_FULL_SECONDS: Final = 0.1
_FIRST_DESCRIPTOR: Final = 3  # sd_listen_fds(3)
_URL_SAFE: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~")


@dataclass(frozen=True, slots=True)
class DeviceRequest:
    iwa_url: str
    asked: Asked


class DeviceTokens(Protocol):
    """What makes tokens: discovery, and the computer's ticket. May raise Refused."""

    def iwa_urls(self) -> tuple[str, ...]:
        """Of the IWA web apps that the org names now."""
        ...

    def device_token(self, iwa_url: str, asked: Asked) -> str: ...


class DeviceService:
    """Answers one line after the other: a device token takes milliseconds."""

    def __init__(
        self,
        tokens: DeviceTokens,
        log: Callable[[str], None],
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._tokens = tokens
        self._log = log
        self._monotonic = monotonic
        self._asked: dict[int, deque[float]] = {}

    def serve(self, listener: socket.socket, idle_seconds: float | None) -> None:
        """Until nobody has asked for ``idle_seconds``; None: for ever."""
        callers = Callers(listener, self._log, self._monotonic)
        with contextlib.closing(callers):
            while (caller := callers.following(idle_seconds)) is not None:
                with callers.answering(caller) as connection:
                    try:
                        answer = self.answer(bytes(caller.line), caller.person)
                        # The system takes an answer whole, or nobody is there who would read it.
                        connection.sendall(json.dumps(answer).encode() + b"\n")
                    except (OSError, ValueError) as error:
                        self._log(f"user {caller.person}: could not be answered: {error}")

    def answer(self, line: bytes, person: int) -> dict[str, object]:
        """What goes back for one line of the person with this user id."""
        try:
            request = read_request(line)
            self._count(person)
            if request.iwa_url not in self._tokens.iwa_urls():
                raise refused(
                    LocalRefusal.NO_DEVICE_PART,
                    "the organization does not name this IWA web app",
                    "The computer's ticket is shown to those only that it names.",
                    transient=True,  # it may name it since less than a minute
                )
            token = self._tokens.device_token(request.iwa_url, request.asked)
        except Refused as error:
            self._log(f"user {person}: {error.refusal.code}: {error.refusal.message}")
            return error.refusal.as_json()
        self._log(f"user {person}: a device token of {request.iwa_url}")
        return {"device_token": token}

    def _count(self, person: int) -> None:
        now = self._monotonic()
        if len(self._asked) >= _MAX_PERSONS:
            self._asked.clear()
        asked = self._asked.setdefault(person, deque())
        while asked and now - asked[0] > ASKED_WITHIN_SECONDS:
            asked.popleft()
        if len(asked) >= MAX_ASKED:
            raise refused(
                LocalRefusal.NO_DEVICE_PART, "asked for too many device tokens lately", transient=True
            )
        asked.append(now)


def read_request(line: bytes) -> DeviceRequest:
    """Raises Refused. Whether the address is one of the org's is not checked here."""
    try:
        told = json.loads(line)
    except (ValueError, RecursionError):
        told = None
    if not isinstance(told, dict):
        raise _not_a_request("not a JSON object")
    url = told.get("iwa_url")
    if not isinstance(url, str) or not 0 < len(url) <= MAX_LINE_BYTES:
        raise _not_a_request("iwa_url is no text")
    nonce, thumbprint = _word(told, "nonce"), _word(told, "key_thumbprint")
    if len(thumbprint) != THUMBPRINT_CHARACTERS:
        raise _not_a_request("key_thumbprint is no thumbprint")
    return DeviceRequest(url.rstrip("/"), Asked(nonce, thumbprint))


def read_line(connection: socket.socket, deadline: float, monotonic: Callable[[], float]) -> bytes:
    """One line, without its end. Raises TimeoutError, and ValueError for one that is too long or cut off."""
    line = bytearray()
    while not line.endswith(b"\n"):
        left = deadline - monotonic()
        if left <= 0:
            raise TimeoutError("the line did not come in time")
        connection.settimeout(left)
        part = connection.recv(MAX_LINE_BYTES)
        if not part:
            raise ValueError("the line is cut off")
        line += part
        if len(line) > 2 * MAX_LINE_BYTES:
            raise ValueError("the line is too long")
    return bytes(line[:-1])


@contextmanager
def listening(path: str | None) -> Iterator[tuple[socket.socket, bool]]:
    """The socket to serve, and whether systemd handed it over: then it goes on listening when we end. Else
    one is made at ``path``, open to every person of the computer. Raises Refused."""
    handed_over = _handed_over() if has_socket() else None
    if handed_over is not None:
        with handed_over:
            yield handed_over, True
        return
    if path is None:
        raise refused(LocalRefusal.NO_DEVICE_PART, "no socket was handed over, and none was named")
    if path.startswith(f"{LOOPBACK}:"):
        with _listening_at_loopback(path) as listener:
            yield listener, False
        return
    place = Path(path)
    with contextlib.suppress(FileNotFoundError):
        if stat.S_ISSOCK(place.lstat().st_mode):
            place.unlink()
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        make_public_directory(place.parent)
        listener.bind(path)
        place.chmod(0o666)
        listener.listen(MAX_CALLERS)
    except OSError as error:
        listener.close()
        raise refused(
            LocalRefusal.NO_DEVICE_PART, f"{path}: cannot listen: {error.strerror or error}"
        ) from None
    try:
        with listener:
            yield listener, False
    finally:
        with contextlib.suppress(OSError):
            place.unlink()


def default_socket(system: str) -> str:
    """Where the device part listens unless it is set; ``system`` as `sys.platform` has it. Python knows no
    Unix sockets on Windows: there it is a port of loopback, which as well every person of the computer may
    use, and nobody else."""
    return {"win32": f"{LOOPBACK}:47613", "darwin": "/var/run/devicetrust/device.sock"}.get(
        system, "/run/devicetrust/device.sock"
    )


def ask_device_part(path: str, request: DeviceRequest, seconds: float = 60.0) -> str:
    """From the other side: the device token. ``path`` is also `127.0.0.1:PORT`. Raises Refused."""
    told = {
        "iwa_url": request.iwa_url,
        "nonce": request.asked.nonce,
        "key_thumbprint": request.asked.key_thumbprint,
    }
    try:
        with _new_socket(path) as connection:
            connection.settimeout(LINE_SECONDS)
            _connect(connection, path, time.monotonic() + seconds)
            connection.sendall(json.dumps(told).encode() + b"\n")
            line = read_line(connection, time.monotonic() + seconds, time.monotonic)
        answer = json.loads(line)
    except (OSError, ValueError) as error:
        raise refused(
            LocalRefusal.NO_DEVICE_PART,
            f"the device part does not answer at {path}",
            "An administrator sets it up: devicetrust-agent install. Then: systemctl status "
            "devicetrust-device.socket.",
            detail=f"{type(error).__name__}: {error}",
            transient=True,
        ) from None
    return _token_of(answer)


def _new_socket(path: str) -> socket.socket:
    return socket.socket(socket.AF_INET if path.startswith(f"{LOOPBACK}:") else socket.AF_UNIX)


def _address(path: str) -> Any:
    host, _, port = path.partition(":")
    return (host, int(port)) if host == LOOPBACK else path


def _listening_at_loopback(path: str) -> socket.socket:
    listener = _new_socket(path)
    exclusive = getattr(socket, "SO_EXCLUSIVEADDRUSE", None)
    if exclusive is not None:  # on Windows another process could take the port over otherwise
        listener.setsockopt(socket.SOL_SOCKET, exclusive, 1)
    try:
        listener.bind(_address(path))
        listener.listen(MAX_CALLERS)
    except OSError as error:
        listener.close()
        raise refused(
            LocalRefusal.NO_DEVICE_PART, f"{path}: cannot listen: {error.strerror or error}"
        ) from None
    return listener


def _connect(connection: socket.socket, path: str, deadline: float) -> None:
    """Raises OSError. Where others stand in line already (EAGAIN), it is tried again until ``deadline``."""
    while True:
        try:
            return connection.connect(_address(path))
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise
            time.sleep(_FULL_SECONDS)


def _token_of(answer: object) -> str:
    if isinstance(answer, dict) and isinstance(token := answer.get("device_token"), str):
        return token
    told: dict[str, Any] = answer if isinstance(answer, dict) else {}
    refusal = refusal_told(told)
    if refusal is None:
        raise refused(LocalRefusal.NO_DEVICE_PART, "the device part gave no answer of its own")
    raise Refused(refusal)


def has_socket() -> bool:
    """Whether a socket unit of systemd handed one over that is meant for this process (sd_listen_fds(3))."""
    count = os.environ.get("LISTEN_FDS", "")
    return os.environ.get("LISTEN_PID") == str(os.getpid()) and count.isdecimal() and int(count) > 0


def _handed_over() -> socket.socket | None:
    """The first one, which has to be a Unix one."""
    try:
        handed_over = socket.socket(fileno=_FIRST_DESCRIPTOR)
    except OSError:
        return None
    if handed_over.family != socket.AF_UNIX or handed_over.type != socket.SOCK_STREAM:
        handed_over.detach()
        return None
    return handed_over


def _word(told: dict[str, Any], name: str) -> str:
    value = told.get(name)
    if (
        not isinstance(value, str)
        or not 0 < len(value) <= MAX_TEXT_CHARACTERS
        or not _URL_SAFE.issuperset(value)
    ):
        raise _not_a_request(f"{name} is no word of 1 to {MAX_TEXT_CHARACTERS} characters")
    return value


def _not_a_request(detail: str) -> Refused:
    return refused(LocalRefusal.NO_DEVICE_PART, f"not a request for a device token: {detail}")
