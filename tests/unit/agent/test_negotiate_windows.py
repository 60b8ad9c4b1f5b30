"""Negotiate by the system itself, with a made-up pyspnego: what it is asked for, and what is believed."""

import sys
from types import ModuleType, SimpleNamespace

import pytest

from gateway.agent.negotiate import as_computer, as_person
from gateway.agent.refusal import Refused


class SpnegoError(Exception):
    pass


class Context:
    def __init__(self, **asked: object) -> None:
        self.asked = asked
        self.complete = False
        self.context_attr = 0

    def step(self, answer: bytes | None = None) -> bytes | None:
        if answer is None:
            return b"ticket"
        if answer == b"forged":
            raise SpnegoError("no such proof")
        self.complete = True
        self.context_attr = 2 if answer == b"proof" else 0
        return None


@pytest.fixture
def windows(monkeypatch: pytest.MonkeyPatch) -> list[Context]:
    """This process takes itself for one on Windows, where pyspnego is installed."""
    contexts: list[Context] = []

    def client(**asked: object) -> Context:
        if asked["hostname"] == "unknown":
            raise SpnegoError("SEC_E_TARGET_UNKNOWN: Server not found in Kerberos database")
        contexts.append(Context(**asked))
        return contexts[-1]

    spnego = ModuleType("spnego")
    spnego.client = client  # type: ignore[attr-defined]
    spnego.ContextReq = SimpleNamespace(mutual_auth=2)  # type: ignore[attr-defined]
    for name, members in (
        ("channel_bindings", {"GssChannelBindings": lambda application_data: ("bound to", application_data)}),
        ("exceptions", {"SpnegoError": SpnegoError}),
    ):
        module = ModuleType(f"spnego.{name}")
        vars(module).update(members)
        setattr(spnego, name, module)
        monkeypatch.setitem(sys.modules, f"spnego.{name}", module)
    monkeypatch.setitem(sys.modules, "spnego", spnego)
    monkeypatch.setattr(sys, "platform", "win32")
    return contexts


def test_a_bound_message_with_mutual_authentication_is_asked_for(windows: list[Context]) -> None:
    conversation = as_person()("iwa.corp.example.com", b"tls-server-end-point:x")
    assert conversation.first() == b"ticket"
    conversation.finish(b"proof")
    assert windows[0].asked == {
        "hostname": "iwa.corp.example.com",
        "service": "HTTP",
        "channel_bindings": ("bound to", b"tls-server-end-point:x"),
        "context_req": 2,
        "protocol": "negotiate",
    }


@pytest.mark.parametrize("answer", [None, b"", b"forged", b"of somebody who proves nothing"])
def test_who_does_not_prove_himself_is_not_believed(windows: list[Context], answer: bytes | None) -> None:
    conversation = as_computer("no keytab on Windows", None)("iwa", None)
    conversation.first()
    with pytest.raises(Refused) as refused:
        conversation.finish(answer)
    assert refused.value.refusal.code == "MUTUAL_AUTHENTICATION_FAILED"
    assert windows[0].asked["channel_bindings"] is None


def test_what_the_system_says_is_told_in_words_that_help(windows: list[Context]) -> None:
    with pytest.raises(Refused) as refused:
        as_person()("unknown", None).first()
    assert refused.value.refusal.message == "the domain does not know the service HTTP/unknown"


def test_without_pyspnego_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "win32")
    monkeypatch.setitem(sys.modules, "spnego", None)
    with pytest.raises(Refused) as refused:
        as_person()
    assert refused.value.refusal.code == "NO_KERBEROS"
