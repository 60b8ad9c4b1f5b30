"""What opens TLS on its way, as "security appliances" do: it shows a certificate of its own for the server's
name, reads everything, and speaks TLS with the server for itself."""

import contextlib
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from support.pki import Credential

_PIECE_BYTES = 65_536


class TlsInspection:
    """Listens on ``port`` on loopback, and passes on to ``target`` there. ``seen`` is what clients sent, in
    clear."""

    def __init__(self, target: int, credential: Credential, directory: Path) -> None:
        files = credential.write(directory, "inspection")
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(files.certificate, files.private_key)
        self._outwards = ssl.create_default_context()
        self._outwards.check_hostname = False
        self._outwards.verify_mode = ssl.CERT_NONE
        self._target = target
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self.seen = bytearray()
        self._serving: list[threading.Thread] = []
        self._open: list[ssl.SSLSocket] = []
        self._thread = threading.Thread(target=self._accept, name="TLS inspection", daemon=True)
        self._thread.start()

    @classmethod
    @contextmanager
    def running(cls, target: int, credential: Credential, directory: Path) -> Iterator["TlsInspection"]:
        inspection = cls(target, credential, directory)
        try:
            yield inspection
        finally:
            inspection.close()

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._thread.join()
        for each in self._open:
            with contextlib.suppress(OSError):
                socket.socket.shutdown(each, socket.SHUT_RDWR)  # and TLS stays as it is, for who reads
        for thread in self._serving:
            thread.join()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listening.accept()
            except OSError:
                return
            serving = threading.Thread(target=self._serve, args=(client,), name="inspected", daemon=True)
            self._serving.append(serving)
            serving.start()

    def _serve(self, plain: socket.socket) -> None:
        context = self._context
        with contextlib.suppress(OSError), plain, context.wrap_socket(plain, server_side=True) as client:
            behind = socket.create_connection(("127.0.0.1", self._target))
            with behind, self._outwards.wrap_socket(behind, server_hostname="localhost") as server:
                self._open += [client, server]
                self._pass_on(client, server)

    def _pass_on(self, client: ssl.SSLSocket, server: ssl.SSLSocket) -> None:
        """In one thread: OpenSSL lets no two of them at one connection."""
        client.setblocking(False)
        server.setblocking(False)
        others = {client: server, server: client}
        while True:
            ready = [each for each in others if each.pending()] or select.select(list(others), [], [])[0]
            for source in ready:
                try:
                    piece = source.recv(_PIECE_BYTES)
                except ssl.SSLWantReadError:  # no data of the other side: a ticket of TLS 1.3
                    continue
                if not piece:
                    return
                if source is client:
                    self.seen += piece
                _send(others[source], piece)


def _send(sink: ssl.SSLSocket, piece: bytes) -> None:
    while piece:
        try:
            piece = piece[sink.send(piece) :]
        except ssl.SSLWantWriteError:
            select.select([], [sink], [])
