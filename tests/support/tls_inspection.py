"""What opens TLS on its way, as "security appliances" do: it shows a certificate of its own for the server's
name, reads everything, and speaks TLS with the server for itself."""

import contextlib
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
                each.shutdown(socket.SHUT_RDWR)
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
        """One connection: requests and answers in turn, which is all that HTTP/1.1 needs."""
        with (
            contextlib.suppress(OSError),
            plain,
            self._context.wrap_socket(plain, server_side=True) as client,
        ):
            behind = socket.create_connection(("127.0.0.1", self._target))
            with behind, self._outwards.wrap_socket(behind, server_hostname="localhost") as server:
                self._open += [client, server]
                back = threading.Thread(target=_pump, args=(server, client, None), daemon=True)
                back.start()
                _pump(client, server, self.seen)
                with contextlib.suppress(OSError):
                    server.shutdown(socket.SHUT_RDWR)
                back.join()


def _pump(source: ssl.SSLSocket, sink: ssl.SSLSocket, seen: bytearray | None) -> None:
    with contextlib.suppress(OSError):
        while piece := source.recv(_PIECE_BYTES):
            if seen is not None:
                seen += piece
            sink.sendall(piece)
