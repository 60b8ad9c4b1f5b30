"""What is kept of a connection's requests, so that the next one goes the short way."""

import gc
import weakref
from types import SimpleNamespace
from typing import Any

from gateway.model.http import KnownHead, RequestHead
from gateway.model.settings import Enforcement, Limits
from gateway.pki.authority import TrustSnapshot
from gateway.pki.revocation import RevocationIndex
from gateway.proxy.http1 import RequestStart
from gateway.server.app_handler import AppHandler
from gateway.server.plain_request import Passage
from gateway.services.snapshot import Live, Snapshot

HOST = "wiki.apps.example.test"
SETTINGS = SimpleNamespace(name="wiki", host=HOST, label="Wiki", enforcement=Enforcement.SIGN_ON)


class _Held(dict[Any, Any]):
    """The CRLs of an index, that tell when nobody has them any more."""


class _App:
    """A connection that is idle each time, and keeps what is written."""

    def __init__(self) -> None:
        self.written: list[bytes] = []

    def take_idle(self, safe_to_repeat: bool) -> "_App":
        return self

    def begin(self, reader: object, *, head_only: bool, request_complete: bool) -> None: ...

    def write(self, data: bytes) -> None:
        self.written.append(data)


def snapshot_of(index: RevocationIndex) -> Snapshot:
    app: Any = SimpleNamespace(
        settings=SETTINGS, origin=f"https://{HOST}", endpoints=frozenset(), folded_endpoints=frozenset()
    )
    settings: Any = SimpleNamespace(trusted_proxies=(), limits=Limits())
    return Snapshot(settings, {HOST: app}, {"wiki": app}, {}, TrustSnapshot(True, (), index, 1))


def test_a_changed_crl_leaves_the_short_way_open_and_a_changed_configuration_does_not() -> None:
    held = _Held()
    live = Live(snapshot_of(RevocationIndex(held)))
    app = _App()
    services: Any = SimpleNamespace(
        live=live, stopwatch=lambda: 0.0, reference=lambda: "0", pool_of=lambda _: app, answers=None
    )
    boundary: Any = None
    handler = AppHandler(services, boundary)
    browser: Any = SimpleNamespace(
        channel=SimpleNamespace(server_name=HOST, peer_host="192.0.2.1"),
        take_over=lambda _: None,
        writing_paused=False,
    )
    known = KnownHead(((b"Host", HOST.encode()),))
    head = RequestHead(b"GET", b"/page", "1.1", known.fields)
    start = RequestStart(head, True, None, False, False, known)

    handler.begin(start, browser)
    first = known.passage
    assert isinstance(first, Passage)
    live.replace(live.current.with_revocation(RevocationIndex()))
    former = weakref.ref(held)
    del held
    gc.collect()
    assert former() is None, "an idle connection keeps the memory of a CRL that is out of date"

    handler.begin(start, browser)
    assert known.passage is first
    live.replace(snapshot_of(RevocationIndex()))
    handler.begin(start, browser)
    assert known.passage is not first
    assert app.written[0] == app.written[1] == app.written[2]
