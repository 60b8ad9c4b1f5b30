"""The device part: what it answers to whom, and to which addresses it shows the computer's ticket."""

import contextlib
import errno
import json
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.processes import free_port

from gateway.agent.artefacts.systemd import SOCKET_PATH
from gateway.agent.device_callers import LINE_SECONDS, Caller, Callers
from gateway.agent.device_part import (
    MAX_ASKED,
    DeviceRequest,
    DeviceService,
    ask_device_part,
    default_socket,
    listening,
    read_request,
)
from gateway.agent.iwa_client import Asked
from gateway.agent.platforms.macos import DEVICE_SOCKET
from gateway.agent.refusal import LocalRefusal, Refused, refused

IWA = "https://iwa.corp.example.com/iwa"
ASKED = Asked("n0nce-_.~", "k" * 43)
REQUEST = {"iwa_url": IWA, "nonce": ASKED.nonce, "key_thumbprint": ASKED.key_thumbprint}


class Tokens:
    """Names one IWA web app, and remembers to whom the ticket was shown."""

    def __init__(self, failure: Refused | None = None) -> None:
        self.shown_to: list[tuple[str, Asked]] = []
        self.failure = failure

    def iwa_urls(self) -> tuple[str, ...]:
        return (IWA,)

    def device_token(self, iwa_url: str, asked: Asked) -> str:
        if self.failure is not None:
            raise self.failure
        self.shown_to.append((iwa_url, asked))
        return "device token"


def line(**changes: object) -> bytes:
    return json.dumps({**REQUEST, **changes}).encode()


def test_a_person_gets_a_token_for_the_key_and_nonce_that_were_named() -> None:
    tokens, log = Tokens(), []
    assert DeviceService(tokens, log.append).answer(line(), 1000) == {"device_token": "device token"}
    assert tokens.shown_to == [(IWA, ASKED)]
    assert log == [f"user 1000: a device token of {IWA}"]


@pytest.mark.parametrize(
    "url",
    [
        "https://evil.example.com/iwa",
        IWA + "/../other",
        IWA + "?x",
        "http://iwa.corp.example.com/iwa",
        "https://IWA.corp.example.com/iwa",
        "https://iwa.corp.example.com:444/iwa",
        "https://iwa.corp.example.com@evil.example.com/iwa",
        "file:///etc/passwd",
    ],
)
def test_the_computers_ticket_is_shown_to_nobody_whom_the_org_does_not_name(url: str) -> None:
    tokens = Tokens()
    answer = DeviceService(tokens, lambda _: None).answer(line(iwa_url=url), 1000)
    assert answer["message"] == "the organization does not name this IWA web app"
    assert answer["transient"] is True  # what the org says is kept for a minute
    assert tokens.shown_to == []


@pytest.mark.parametrize(
    "asked",
    [
        b"",
        b"[]",
        b"\xff",
        b"[" * 5000,
        line(iwa_url=7),
        line(iwa_url=""),
        line(nonce=""),
        line(nonce="a b"),
        line(nonce="x" * 300),
        line(nonce='"'),
        line(key_thumbprint="k" * 42),
        line(key_thumbprint=None),
        b"{}",
    ],
)
def test_what_is_no_request_is_refused_before_anything_is_asked(asked: bytes) -> None:
    tokens = Tokens()
    answer = DeviceService(tokens, lambda _: None).answer(asked, 1000)
    assert answer["code"] == "NO_DEVICE_PART"
    assert str(answer["message"]).startswith("not a request for a device token")
    assert tokens.shown_to == []
    with pytest.raises(Refused):
        read_request(asked)


def test_one_person_cannot_ask_without_end_and_keeps_nobody_else_from_asking() -> None:
    now = [0.0]
    service = DeviceService(Tokens(), lambda _: None, lambda: now[0])
    answers = [service.answer(line(), 1000) for _ in range(MAX_ASKED + 1)]
    assert answers[-1]["transient"] is True
    assert all("device_token" in each for each in answers[:-1])
    assert "device_token" in service.answer(line(), 1001)
    now[0] = 601.0
    assert "device_token" in service.answer(line(), 1000)


def test_what_the_iwa_web_app_refuses_comes_back_as_it_was_said(tmp_path: Path) -> None:
    failure = refused(LocalRefusal.NO_TICKET, "no ticket", "join it", detail="seen", transient=True)
    with serving(tmp_path, Tokens(failure)) as path, pytest.raises(Refused) as told:
        ask_device_part(path, DeviceRequest(IWA, ASKED))
    assert told.value.refusal == failure.refusal


@contextmanager
def serving(directory: Path, tokens: Tokens) -> Iterator[str]:
    path = str(directory / "device.sock")
    with listening(path) as (listener, handed_over):
        assert not handed_over
        thread = threading.Thread(target=DeviceService(tokens, lambda _: None).serve, args=(listener, 0.5))
        thread.start()
        yield path
        thread.join(10)
        assert not thread.is_alive()  # nobody asked any more


def test_it_is_asked_over_a_socket_that_every_person_may_use(tmp_path: Path) -> None:
    tokens = Tokens()
    with serving(tmp_path, tokens) as path:
        assert stat.S_IMODE(Path(path).stat().st_mode) == 0o666
        assert ask_device_part(path, DeviceRequest(IWA + "/", ASKED)) == "device token"
    assert tokens.shown_to == [(IWA, ASKED)]
    assert not Path(path).exists()


def test_where_there_are_no_unix_sockets_a_port_of_loopback_is_asked(tmp_path: Path) -> None:
    tokens, address = Tokens(), f"127.0.0.1:{free_port()}"
    with listening(address) as (listener, handed_over):
        assert not handed_over
        thread = threading.Thread(target=DeviceService(tokens, lambda _: None).serve, args=(listener, 0.5))
        thread.start()
        assert ask_device_part(address, DeviceRequest(IWA, ASKED)) == "device token"
        with pytest.raises(Refused, match="cannot listen"), listening(address):
            pass
        thread.join(10)
    with pytest.raises(Refused, match="the device part does not answer"):
        ask_device_part(address, DeviceRequest(IWA, ASKED))


@pytest.mark.parametrize(
    ("system", "address"),
    [
        ("linux", "/run/devicetrust/device.sock"),
        ("darwin", "/var/run/devicetrust/device.sock"),
        ("win32", "127.0.0.1:47613"),
    ],
)
def test_each_system_has_a_place_for_the_socket(system: str, address: str) -> None:
    """Those of the units and jobs that are installed."""
    assert default_socket(system) == address
    assert default_socket("linux") == SOCKET_PATH
    assert default_socket("darwin") == DEVICE_SOCKET


def test_who_says_nothing_or_too_much_does_not_hold_up_the_others(tmp_path: Path) -> None:
    with serving(tmp_path, Tokens()) as path:
        for said in (b"", b"x" * 20_000, b"{"):
            with socket.socket(socket.AF_UNIX) as quiet:
                quiet.connect(path)
                quiet.sendall(said)
                quiet.shutdown(socket.SHUT_WR)
        with socket.socket(socket.AF_UNIX) as gone:
            gone.connect(path)
            gone.sendall(line() + b"\n")
        assert ask_device_part(path, DeviceRequest(IWA, ASKED)) == "device token"


def test_where_nobody_listens_it_is_said_how_to_set_it_up(tmp_path: Path) -> None:
    with pytest.raises(Refused) as told:
        ask_device_part(str(tmp_path / "device.sock"), DeviceRequest(IWA, ASKED))
    refusal = told.value.refusal
    assert (refusal.code, refusal.transient) == ("NO_DEVICE_PART", True)
    assert "devicetrust-agent install" in refusal.remedy


def test_what_a_device_part_says_moves_no_cursor(tmp_path: Path) -> None:
    """At a port of loopback anybody of the computer may answer in its place."""
    path = str(tmp_path / "device.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(b'{"code": "X", "message": "\\u001b[2Jgone", "remedy": "\\u001b]0;t"}\n')

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(Refused) as told:
            ask_device_part(path, DeviceRequest(IWA, ASKED))
        thread.join()
    assert (told.value.refusal.message, told.value.refusal.remedy) == ("[2Jgone", "]0;t")


@pytest.mark.parametrize("answer", [b"", b"\n", b"[]\n", b"{}\n", b'{"device_token": 7}\n', b"x" * 20_000])
def test_an_answer_that_is_none_is_a_refusal(tmp_path: Path, answer: bytes) -> None:
    path = str(tmp_path / "device.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()

        def speak() -> None:
            connection, _ = listener.accept()
            with connection:
                connection.recv(4096)
                connection.sendall(answer)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(Refused) as told:
            ask_device_part(path, DeviceRequest(IWA, ASKED))
        thread.join()
    assert told.value.refusal.code == "NO_DEVICE_PART"


def test_a_directory_that_is_made_for_it_is_open_to_everybody_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        with listening(str(tmp_path / "devicetrust/device.sock")):
            assert stat.S_IMODE((tmp_path / "devicetrust").stat().st_mode) == 0o755
    finally:
        os.umask(before)


def test_a_socket_that_is_in_the_way_is_replaced_and_a_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "device.sock"
    with socket.socket(socket.AF_UNIX) as left_over:
        left_over.bind(str(path))
    with listening(str(path)):
        pass
    path.write_text("somebody's")
    with pytest.raises(Refused, match="cannot listen"), listening(str(path)):
        pass
    assert path.read_text() == "somebody's"


ACTIVATED = """
import os, sys
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), "1"
from gateway.agent.device_part import DeviceService, has_socket, listening
class Tokens:
    def iwa_urls(self): return ("https://iwa.corp.example.com/iwa",)
    def device_token(self, url, asked): return "from the unit"
assert has_socket()
with listening(None) as (listener, handed_over):
    assert handed_over
    DeviceService(Tokens(), lambda text: print(text, flush=True)).serve(listener, 0.3)
"""


def test_systemd_hands_its_socket_over_and_keeps_it(tmp_path: Path) -> None:
    """Two starts on the same socket, as a socket unit does; it goes on listening between them."""
    path = str(tmp_path / "device.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        for _ in range(2):
            process = _activated(listener.fileno())
            assert ask_device_part(path, DeviceRequest(IWA, ASKED)) == "from the unit"
            said, _ = process.communicate(timeout=20)
            assert process.returncode == 0
            assert said == f"user {os.getuid()}: a device token of {IWA}\n"
            assert Path(path).exists()


AS_A_SERVICE = """
import os, sys
os.environ["LISTEN_PID"], os.environ["LISTEN_FDS"] = str(os.getpid()), "1"
from gateway.agent.verbs import device
device._UNUSABLE_SECONDS = 0.5
from gateway.agent.cli import run
sys.exit(run(["--device"]))
"""


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ("OrgUrl=http://sso.example.com\n", "agent.conf:1: OrgUrl: has to begin with https://"),
        ("OrgUrl=https://sso.example.com\nCaFile=/nowhere.pem\n", "CaFile /nowhere.pem cannot be used"),
        ("", "OrgUrl is missing"),
    ],
)
def test_with_settings_that_cannot_be_used_the_service_says_so_to_who_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, settings: str, message: str
) -> None:
    """A service that ended at once would be started again for the same connection, until systemd fails its
    socket: nobody could ask any more after the settings were corrected."""
    (tmp_path / "agent.conf").write_text(settings)
    monkeypatch.setenv("DEVICETRUST_AGENT_CONF", str(tmp_path / "agent.conf"))
    path = str(tmp_path / "device.sock")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)
        listener.listen()
        process = _activated(listener.fileno(), AS_A_SERVICE)
        with pytest.raises(Refused) as told:
            ask_device_part(path, DeviceRequest(IWA, ASKED))
        process.communicate(timeout=20)
        assert process.returncode == 2
    assert message in told.value.refusal.message


def _activated(descriptor: int, script: str = ACTIVATED) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", f"import os; os.dup2({descriptor}, 3); exec({script!r})"],
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=(descriptor,),
    )


def test_who_connects_and_says_nothing_keeps_nobody_waiting(tmp_path: Path) -> None:
    """Thirty idle connections, each of which might hold the others up until its time is over."""
    tokens, log = Tokens(), []
    path = str(tmp_path / "device.sock")
    with listening(path) as (listener, _), contextlib.ExitStack() as held:
        service = DeviceService(tokens, log.append)
        thread = threading.Thread(target=service.serve, args=(listener, 0.5))
        for _ in range(30):
            quiet = held.enter_context(socket.socket(socket.AF_UNIX))
            quiet.connect(path)
            quiet.sendall(b"{")
        thread.start()
        assert ask_device_part(path, DeviceRequest(IWA, ASKED), seconds=LINE_SECONDS) == "device token"
        assert not any("in time" in each for each in log)
        held.close()
        thread.join(10)
        assert not thread.is_alive()


def test_the_line_of_whoever_was_answered_longest_ago_is_next(tmp_path: Path) -> None:
    """One person's many questions, of which each may take long, do not come before another's only one."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(tmp_path / "device.sock"))
    listener.listen()
    callers = Callers(listener, lambda _: None, time.monotonic)
    ours, theirs = socket.socketpair()
    waiting = [Caller(ours.dup(), person, 0, bytearray(b"line"), is_whole=True) for person in (1, 1, 1, 2)]
    with ours, theirs, listener, contextlib.closing(callers):
        callers._callers += waiting
        order = []
        for _ in waiting:
            caller = callers.following(None)
            assert caller is not None
            with callers.answering(caller):
                order.append(caller.person)
    assert order == [1, 2, 1, 1]


def test_of_one_person_the_newest_connections_are_kept_and_a_full_line_is_waited_for(tmp_path: Path) -> None:
    """A flood that fills the line before the service looks at it: the last ones are answered."""
    log: list[str] = []
    path = str(tmp_path / "device.sock")
    with listening(path) as (listener, _), contextlib.ExitStack() as held:
        failed = 0
        while failed == 0:
            quiet = held.enter_context(socket.socket(socket.AF_UNIX))
            quiet.setblocking(False)
            failed = quiet.connect_ex(path)
        assert failed == errno.EAGAIN
        thread = threading.Thread(target=DeviceService(Tokens(), log.append).serve, args=(listener, 0.5))
        threading.Timer(0.3, thread.start).start()
        assert ask_device_part(path, DeviceRequest(IWA, ASKED)) == "device token"
        held.close()
        thread.join(10)
        assert not thread.is_alive()
    assert sum("has more than 8 connections" in each for each in log) > 200
