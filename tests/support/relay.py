"""A cable between two programs that can be pulled, and a balancer: TCP connections are passed on
as they are, to where ``target`` points when they are made."""

import contextlib
import selectors
import socket
import threading
from collections.abc import Iterator

_TURN_SECONDS = 0.02
_PIECE_BYTES = 65_536


class Relay:
    """Listens on a port of its own, on loopback."""

    def __init__(self, target: tuple[str, int], port: int = 0) -> None:
        self.target = target
        self._listening = socket.create_server(("127.0.0.1", port), backlog=512)
        self.port: int = self._listening.getsockname()[1]
        self._is_cut = False
        self._ends = False
        self._peers: dict[socket.socket, socket.socket] = {}
        self._selector = selectors.DefaultSelector()
        self._thread = threading.Thread(target=self._run, name=f"relay {self.port}", daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Nothing comes through any more, in no direction; nobody is told."""
        self._is_cut = True

    def heal(self) -> None:
        """What was sent meanwhile arrives."""
        self._is_cut = False

    def close(self) -> None:
        self._ends = True
        self._thread.join()

    def _run(self) -> None:
        self._selector.register(self._listening, selectors.EVENT_READ)
        while not self._ends:
            if self._is_cut:
                threading.Event().wait(_TURN_SECONDS)
                continue
            for key, _ in self._selector.select(_TURN_SECONDS):
                connection = key.fileobj
                assert isinstance(connection, socket.socket)
                if connection is self._listening:
                    self._accept()
                elif connection in self._peers:
                    self._pass_on(connection)
        for connection in list(self._peers):
            self._drop(connection)
        self._listening.close()
        self._selector.close()

    def _accept(self) -> None:
        client, _ = self._listening.accept()
        try:
            server = socket.create_connection(self.target, timeout=5)
        except OSError:
            client.close()
            return
        for one, other in ((client, server), (server, client)):
            one.settimeout(5)
            self._peers[one] = other
            self._selector.register(one, selectors.EVENT_READ)

    def _pass_on(self, connection: socket.socket) -> None:
        try:
            piece = connection.recv(_PIECE_BYTES)
            if piece:
                self._peers[connection].sendall(piece)
                return
        except OSError:
            pass
        self._drop(connection)

    def _drop(self, connection: socket.socket) -> None:
        other = self._peers.pop(connection, None)
        if other is None:
            return
        self._peers.pop(other, None)
        for each in (connection, other):
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(each)
            each.close()


@contextlib.contextmanager
def relay(target: tuple[str, int], port: int = 0) -> Iterator[Relay]:
    running = Relay(target, port)
    try:
        yield running
    finally:
        running.close()
