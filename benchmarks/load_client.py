"""The load generator's own process: one task as JSON on standard input, its result as JSON on standard
output.

It runs apart from the benchmark so that OpenSSL reads the configuration that pins group and cipher, and so
that the garbage of the benchmark is not collected here. It does not verify the server's certificate: that
would be its own time, and there is nothing to protect.
"""

import base64
import html
import json
import re
import socket
import ssl
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from benchmarks.accounting import cpu_seconds

# Enough that the server always has the next one waiting; more only adds to this process's own switching.
THREADS: Final = 8
# The server writes its log and closes its sockets a moment after the last answer; that is its work, too.
SETTLE_SECONDS: Final = 0.15
TIMEOUT_SECONDS: Final = 20.0
WINDOWS_CHROME: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/140.0.0.0 Safari/537.36"
)
_FORM: Final = "application/x-www-form-urlencoded"
_BINARY: Final = "Content-Type: application/octet-stream"
_ACTION: Final = re.compile(rb'action="([^"]+)"')


Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: bytes
    body: bytes

    def header_values(self, name: bytes) -> list[bytes]:
        lines = (line.partition(b":") for line in self.head.split(b"\r\n")[1:])
        return [value.strip() for key, _, value in lines if key.lower() == name]


class Connection:
    """One connection to loopback, blocking; without a context it is plain. ``path``: to this Unix socket."""

    def __init__(
        self, context: ssl.SSLContext | None, port: int, server_name: str, path: str | None = None
    ) -> None:
        if path is None:
            self._socket = socket.create_connection(("127.0.0.1", port), TIMEOUT_SECONDS)
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        else:
            self._socket = socket.socket(socket.AF_UNIX)
            self._socket.settimeout(TIMEOUT_SECONDS)
            self._socket.connect(path)
        if context is not None:
            self._socket = context.wrap_socket(self._socket, server_hostname=server_name)

    def exchange(self, request: bytes) -> Answer:
        """Send a request and read its answer to the end."""
        self._socket.sendall(request)
        received = self._socket.recv(65_536)
        while b"\r\n\r\n" not in received:
            received += self._more()
        head, _, body = received.partition(b"\r\n\r\n")
        answer = Answer(int(head[9:12]), head, body)
        lengths = answer.header_values(b"content-length")
        while len(body) < int(lengths[0] if lengths else 0):
            body += self._more()
        return Answer(answer.status, head, body)

    def upload(self, head: bytes, piece: bytes, size: int) -> Answer:
        """Send a head and ``size`` bytes of body; read the answer."""
        self._socket.sendall(head)
        for offset in range(0, size, len(piece)):
            self._socket.sendall(piece[: size - offset])
        return self.exchange(b"")

    def download(self, request: bytes) -> int:
        """Send a request and read its answer without keeping it; the length of the body."""
        self._socket.sendall(request)
        buffer = bytearray(1_048_576)
        held = b""
        while b"\r\n\r\n" not in held:
            held += self._more()
        head, _, body = held.partition(b"\r\n\r\n")
        answer = Answer(int(head[9:12]), head, body)
        length, received = int(answer.header_values(b"content-length")[0]), len(body)
        while received < length and (count := self._socket.recv_into(buffer)):
            received += count
        return received if answer.status == 200 else -1

    def close(self) -> None:
        self._socket.close()

    def _more(self) -> bytes:
        piece = self._socket.recv(65_536)
        if not piece:
            raise ConnectionError("the server closed the connection within its answer")
        return piece


def handshakes(task: dict[str, Any]) -> dict[str, Any]:
    """A new connection, with a client certificate, and one request on it, again and again."""
    port, server_name = task["port"], task["server_name"]
    contexts = [_context(path) for path in task["certificates"]]
    body = task["body"].encode()
    request = _request("POST" if body else "GET", task["target"], f"{server_name}:{port}", body)

    def once(number: int) -> int:
        connection = Connection(contexts[number % len(contexts)], port, server_name)
        try:
            return connection.exchange(request).status
        finally:
            connection.close()

    sample, statuses = _measured(task["process"], once, range(task["count"]))
    return {**sample, "statuses": dict(Counter(statuses))}


def ask(task: dict[str, Any]) -> dict[str, Any]:
    """Requests (base64) in plain HTTP, some at once, each on a connection of its own or on those that stay
    open; how long each took."""
    requests = [base64.b64decode(request) for request in task["requests"]]
    threads, stays_open = task["threads"], task["stays_open"]

    def some(first: int) -> list[tuple[int, float]]:
        seen = []
        connection = None
        for request in requests[first::threads]:
            began = time.perf_counter()
            connection = connection or Connection(None, task["port"], "", task["path"])
            status = connection.exchange(request).status
            seen.append((status, time.perf_counter() - began))
            if not stays_open:
                connection.close()
                connection = None
        if connection is not None:
            connection.close()
        return seen

    sample, seen = _measured(task["process"], some, range(threads), threads)
    flat = [one for each in seen for one in each]
    return {
        **sample,
        "operations": len(flat),
        "statuses": dict(Counter(status for status, _ in flat)),
        "latencies_ms": [latency * 1_000 for _, latency in flat],
    }


def paced(task: dict[str, Any]) -> dict[str, Any]:
    """Requests on connections that stay open, at a rate that does not depend on the answers.

    Each request is due at a time that was fixed before the first one was sent, and its latency counts from
    then: a server that stalls is charged for all requests that had to wait, and not only for the one that
    it was busy with.
    """
    port, server_name, threads = task["port"], task["server_name"], task["connections"]
    context = _context(None) if task["tls"] else None
    connections = [Connection(context, port, server_name) for _ in range(threads)]
    request = _request("GET", task["target"], f"{server_name}:{port}", b"")
    pause = 1 / task["per_second"]
    begin = time.perf_counter() + 0.05

    def many(number: int) -> list[tuple[int, float]]:
        seen = []
        for turn in range(task["count"] // threads):
            due = begin + (turn * threads + number) * pause
            time.sleep(max(0.0, due - time.perf_counter()))
            status = connections[number].exchange(request).status
            seen.append((status, time.perf_counter() - due))
        return seen

    sample, seen = _measured(task["process"], many, range(threads), threads)
    for connection in connections:
        connection.close()
    flat = [one for some in seen for one in some]
    return {
        **sample,
        "operations": len(flat),
        "statuses": dict(Counter(status for status, _ in flat)),
        "latencies_ms": [latency * 1_000 for _, latency in flat],
    }


def transfers(task: dict[str, Any]) -> dict[str, Any]:
    """Large bodies on connections that stay open, each read or written to its end before the next."""
    context, port, server_name = _context(None), task["port"], task["server_name"]
    host, size = f"{server_name}:{port}", task["body_bytes"]
    connections = [Connection(context, port, server_name) for _ in range(task["connections"])]
    piece = bytes(min(size, 1_048_576))

    def many(connection: Connection) -> None:
        for _ in range(task["count"]):
            if task["upload"]:
                head = _request("POST", "/count", host, b"", (f"Content-Length: {size}", _BINARY))
                received = int(connection.upload(head, piece, size).body)
            else:
                received = connection.download(_request("GET", f"/bytes/{size}", host, b""))
            if received != size:
                raise ValueError(f"{received} bytes arrived of {size}")

    sample, _ = _measured(task["process"], many, connections)
    for connection in connections:
        connection.close()
    megabytes = len(connections) * task["count"] * size // 1_000_000
    return {**sample, "operations": megabytes}


def sign_ons(task: dict[str, Any]) -> dict[str, Any]:
    """Whole sign-ons, hop by hop: every browser makes one hop before any makes the next, so that the
    server's time for each hop can be told apart."""
    port, app_host, mtls_domain = task["port"], task["app_host"], task["mtls_domain"]
    plain = _context(None)
    devices = [_context(path) for path in task["certificates"]]
    bodies = [body.encode() for body in task["bodies"]]
    numbers = range(len(bodies))

    def connect(_number: int) -> Connection:
        return Connection(plain, port, app_host)

    def post(number: int) -> Answer:
        fields = ("Origin: https://idp.example.test",)
        return browsers[number].exchange(
            _request("POST", "/saml/acs", f"{app_host}:{port}", bodies[number], fields)
        )

    def challenge(number: int) -> Answer:
        action = _ACTION.search(begun[number].body)
        assert action is not None, begun[number]
        host, target = _split_url(html.unescape(action[1].decode()))
        assert host.endswith(mtls_domain), host
        connection = Connection(devices[number], port, host)
        try:
            return connection.exchange(_request("POST", target, f"{host}:{port}", bodies[number]))
        finally:
            connection.close()

    def come_back(number: int) -> Answer:
        _, target = _split_url(judged[number].header_values(b"location")[0].decode())
        cookie = b"; ".join(v.partition(b";")[0] for v in begun[number].header_values(b"set-cookie"))
        fields = (f"Cookie: {cookie.decode()}", "Origin: null")
        return browsers[number].exchange(
            _request("POST", target, f"{app_host}:{port}", bodies[number], fields)
        )

    process = task["process"]
    connected, browsers = _measured(process, connect, numbers)
    posted, begun = _measured(process, post, numbers)
    challenged, judged = _measured(process, challenge, numbers)
    returned, last = _measured(process, come_back, numbers)
    for connection in browsers:
        connection.close()
    return {
        "parts": {"connect": connected, "post": posted, "challenge": challenged, "return": returned},
        "statuses": {
            name: dict(Counter(answer.status for answer in answers))
            for name, answers in (("post", begun), ("challenge", judged), ("return", last))
        },
        "cookies": [_kept_cookies(answer) for answer in last],
    }


def mellon_sign_ons(task: dict[str, Any]) -> dict[str, Any]:
    """Whole sign-ons at Apache mod_auth_mellon behind mod_ssl: one connection with the device certificate,
    the message, and the page that it leads to."""
    port, server_name = task["port"], task["server_name"]
    devices = [_context(path) for path in task["certificates"]]
    bodies = [body.encode() for body in task["bodies"]]

    def once(number: int) -> tuple[int, int]:
        connection = Connection(devices[number], port, server_name)
        try:
            host = f"{server_name}:{port}"
            accepted = connection.exchange(_request("POST", task["target"], host, bodies[number]))
            cookie = b"; ".join(v.partition(b";")[0] for v in accepted.header_values(b"set-cookie"))
            request = _request("GET", task["page"], host, b"", (f"Cookie: {cookie.decode()}",))
            return accepted.status, connection.exchange(request).status
        finally:
            connection.close()

    sample, seen = _measured(task["process"], once, range(len(bodies)))
    return {
        **sample,
        "statuses": {
            "post": dict(Counter(first for first, _ in seen)),
            "page": dict(Counter(second for _, second in seen)),
        },
    }


def _measured(
    process: int, work: Callable[[Item], Result], items: Iterable[Item], threads: int = THREADS
) -> tuple[dict[str, Any], list[Result]]:
    with ThreadPoolExecutor(threads) as pool:
        waiting = list(items)
        before, began = cpu_seconds(process), time.perf_counter()
        results = list(pool.map(work, waiting))
        elapsed = time.perf_counter() - began
        time.sleep(SETTLE_SECONDS)
        used = cpu_seconds(process) - before
    return {"operations": len(waiting), "cpu_seconds": used, "elapsed_seconds": elapsed}, results


def no_verification() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _context(certificate: str | None) -> ssl.SSLContext:
    context = no_verification()
    if certificate is not None:
        context.load_cert_chain(certificate)
    return context


def _request(method: str, target: str, host: str, body: bytes, fields: tuple[str, ...] = ()) -> bytes:
    lines = [
        f"{method} {target} HTTP/1.1",
        f"Host: {host}",
        f"User-Agent: {WINDOWS_CHROME}",
        "Accept: text/html,application/xhtml+xml,*/*;q=0.8",
        "Accept-Language: en",
        *fields,
    ]
    if body:
        lines += [f"Content-Type: {_FORM}", f"Content-Length: {len(body)}"]
    return "\r\n".join([*lines, "", ""]).encode() + body


def _kept_cookies(answer: Answer) -> str:
    """The Cookie field after an answer: without those that it removes."""
    fields = (value for value in answer.header_values(b"set-cookie") if b"Max-Age=0;" not in value)
    return b"; ".join(value.partition(b";")[0] for value in fields).decode()


def _split_url(url: str) -> tuple[str, str]:
    """(host without port, target) of an absolute URL."""
    authority, _, rest = url.removeprefix("https://").partition("/")
    return authority.partition(":")[0], "/" + rest


if __name__ == "__main__":
    wanted = json.load(sys.stdin)
    tasks = {task.__name__: task for task in (ask, handshakes, mellon_sign_ons, paced, sign_ons, transfers)}
    json.dump(tasks[wanted["task"]](wanted), sys.stdout)
