"""A forward proxy in a thread that knows every name to be this machine: for clients that cannot be told where
a host is. It takes CONNECT and nothing else."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

_MAX_HEAD = 8_192
_SECONDS = 20.0


@dataclass
class ConnectProxy:
    port: int
    asked: list[str] = field(default_factory=list)  # host:port, as clients asked for
    refused: set[str] = field(
        default_factory=set
    )  # hosts, and domains of hosts, that it does not let through to
    elsewhere: dict[str, int] = field(
        default_factory=dict
    )  # by such a domain, the port that it leads to instead

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def connect_proxy() -> Iterator[ConnectProxy]:
    listener = socket.create_server(("127.0.0.1", 0))
    proxy = ConnectProxy(listener.getsockname()[1])
    threads: list[threading.Thread] = []

    def accept() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            thread = threading.Thread(target=_serve, args=(client, proxy), daemon=True)
            thread.start()
            threads.append(thread)

    acceptor = threading.Thread(target=accept)
    acceptor.start()
    try:
        yield proxy
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        acceptor.join()
        for thread in threads:
            thread.join(_SECONDS)


def _serve(client: socket.socket, proxy: ConnectProxy) -> None:
    client.settimeout(_SECONDS)
    with client, contextlib.suppress(OSError, ValueError):
        head = b""
        while b"\r\n\r\n" not in head and len(head) < _MAX_HEAD:
            if not (part := client.recv(_MAX_HEAD)):
                return
            head += part
        method, target, _ = head.split(b"\r\n", 1)[0].decode().split(" ")
        assert method == "CONNECT"
        proxy.asked.append(target)
        host, _, port = target.rpartition(":")
        domain = host.partition(".")[2]
        if proxy.refused & {host, domain}:
            client.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
            return
        led_to = proxy.elsewhere.get(domain, int(port))
        with socket.create_connection(("127.0.0.1", led_to), _SECONDS) as server:
            client.sendall(b"HTTP/1.1 200 Connected\r\n\r\n")
            _pump(client, server)


def _pump(client: socket.socket, server: socket.socket) -> None:
    other = {client: server, server: client}
    with selectors.DefaultSelector() as selector:
        for each in other:
            selector.register(each, selectors.EVENT_READ)
        while True:
            for ready, _ in selector.select(_SECONDS):
                source = ready.fileobj
                assert isinstance(source, socket.socket)
                if not (part := source.recv(65_536)):
                    return
                other[source].sendall(part)
