"""Which way to which URL, and where the proxy auto-configuration file comes from."""

import contextlib
import gzip
import socket
import threading
import time
from pathlib import Path

import httpx
import pytest
from support.scripted_server import Answer, Asked, scripted_server

from gateway.agent.proxies import pac_file
from gateway.agent.proxies.chooser import ProxyChooser
from gateway.agent.proxies.pac_evaluation import MAX_SCRIPT_BYTES
from gateway.agent.proxies.pac_file import PacFile, load_pac_file
from gateway.agent.proxies.pac_process import find_proxy_apart
from gateway.agent.proxies.routes import DIRECT, Proxy, ProxyRefused, Route
from gateway.agent.proxies.transport import explain
from gateway.agent.refusal import LocalRefusal, refused

P = Proxy("http", "p", 3128)
Q = Proxy("http", "q", 3128)
PAC = "http://wpad.example.com/proxy.pac"
ORG = "https://sso.example.com/enroll/discovery"
SCRIPT = "function FindProxyForURL(url, host) { return 'PROXY q:3128; DIRECT'; }"


def chooser(
    http_proxy: str | None = None,
    pac_location: str | None = None,
    environment: dict[str, str] | None = None,
    pac: PacFile | None = None,
    evaluated: list[str] | None = None,
) -> ProxyChooser:
    def evaluate(script: str, url: str) -> str:
        if evaluated is not None:
            evaluated.append(url)
        return "PROXY q:3128; SOCKS s:1; DIRECT"

    return ProxyChooser(
        http_proxy=http_proxy,
        pac_location=pac_location,
        environment=environment or {},
        copies=Path("/nonexistent"),
        load=lambda location, _: pac or PacFile(location, SCRIPT),
        evaluate=evaluate,
    )


WAYS: list[tuple[str, dict[str, object], bool, tuple[Route, ...]]] = [
    ("nothing is set", {}, False, (DIRECT,)),
    ("HttpProxy", {"http_proxy": "http://p:3128"}, False, (P,)),
    ("HttpProxy, and a host inside", {"http_proxy": "http://p:3128"}, True, (DIRECT, P)),
    (
        "HttpProxy, and no_proxy names the host",
        {"http_proxy": "http://p:3128", "environment": {"no_proxy": "example.com"}},
        False,
        (DIRECT,),
    ),
    ("a file", {"pac_location": PAC}, False, (Q, DIRECT)),
    ("a file decides for hosts inside, too", {"pac_location": PAC}, True, (Q, DIRECT)),
    ("HttpProxy before the file", {"http_proxy": "http://p:3128", "pac_location": PAC}, False, (P,)),
    ("the environment", {"environment": {"https_proxy": "http://p:3128"}}, False, (P,)),
    (
        "the environment, and a host inside",
        {"environment": {"https_proxy": "http://p:3128"}},
        True,
        (DIRECT, P),
    ),
    (
        "a setting before the environment",
        {"http_proxy": "http://p:3128", "environment": {"https_proxy": "http://q:3128"}},
        False,
        (P,),
    ),
]


@pytest.mark.parametrize(("name", "settings", "inside", "ways"), WAYS, ids=[row[0] for row in WAYS])
def test_settings_come_before_the_environment(
    name: str, settings: dict[str, object], inside: bool, ways: tuple[Route, ...]
) -> None:
    assert chooser(**settings).routes_for(ORG, inside=inside).ways == ways


def test_a_file_is_asked_once_for_each_host_and_is_told_no_path() -> None:
    asked: list[str] = []
    one = chooser(pac_location=PAC, evaluated=asked)
    for url in (ORG, "https://sso.example.com/enroll/certificate?x", "https://est.mtls.example.com/"):
        one.routes_for(url)
    assert asked == ["https://sso.example.com/", "https://est.mtls.example.com/"]


def test_what_an_administrator_should_read_is_noted_once() -> None:
    script = "function FindProxyForURL(url, host) {\n return localHostOrDomainIs(host, '*.okta.com'); }"
    one = chooser(pac_location=PAC, pac=PacFile(PAC, script, "the last good copy is used"))
    one.routes_for(ORG)
    one.routes_for("https://other.example.com/")
    assert [note.removeprefix(f"{PAC}: ")[:26] for note in one.notes] == [
        "the last good copy is used",
        "line 2: localHostOrDomainI",
        "'SOCKS s:1' is a SOCKS pro",
    ]
    both = chooser(http_proxy="p:1", pac_location=PAC)
    assert "HttpProxyPacLocation" in both.notes[0]


def test_a_copy_is_kept_and_used_when_the_server_is_away(tmp_path: Path) -> None:
    def away(url: str, limit: int) -> bytes:
        raise refused(LocalRefusal.UNREACHABLE, "wpad.example.com cannot be reached")

    with pytest.raises(ProxyRefused, match="there is no copy yet"):
        load_pac_file(PAC, tmp_path, away)
    assert load_pac_file(PAC, tmp_path, lambda url, limit: SCRIPT.encode()) == PacFile(PAC, SCRIPT)
    old = load_pac_file(PAC, tmp_path, away)
    assert old.script == SCRIPT
    assert "last good copy" in old.note
    assert "cannot be reached" in old.note
    (copy,) = tmp_path.iterdir()
    assert copy.stat().st_mode & 0o777 == 0o600
    with pytest.raises(ProxyRefused):
        load_pac_file(PAC + "?other", tmp_path, away)


def test_a_copy_that_cannot_be_kept_keeps_nobody_from_the_proxy(tmp_path: Path) -> None:
    (tmp_path / "full").write_text("no directory")
    loaded = load_pac_file(PAC, tmp_path / "full", lambda url, limit: SCRIPT.encode())
    assert loaded.script == SCRIPT
    assert "no copy of" in loaded.note


def test_a_server_may_send_on_but_not_away_from_https_nor_without_end(tmp_path: Path) -> None:
    def answer(asked: Asked) -> Answer:
        if asked.path == "/moved":
            return Answer(302, b"", {"Location": "proxy.pac"})
        if asked.path == "/proxy.pac":
            return Answer(200, SCRIPT.encode())
        return Answer(302, b"", {"Location": asked.path[1:]})

    with scripted_server(answer) as server:
        assert load_pac_file(f"{server.url}/moved", tmp_path).script == SCRIPT
        for path, why in (
            ("/moved-for-ever", "sends on more than 5 times"),
            ("/file:///etc/passwd", "not followed"),
        ):
            with pytest.raises(ProxyRefused, match=why):
                load_pac_file(server.url + path, tmp_path)
        asked = [each.path for each in server.asked]
    assert asked.count("/moved-for-ever") == 6


def test_what_is_packed_is_not_unpacked(tmp_path: Path) -> None:
    """A hundred bytes can be packed that are gigabytes, and who is on the way may answer over http."""
    packed = SCRIPT.encode()
    for _ in range(3):
        packed = gzip.compress(packed)
    encodings = {"Content-Encoding": "gzip, gzip, gzip"}
    with scripted_server(lambda _: Answer(200, packed, encodings)) as server:
        with pytest.raises(ProxyRefused, match="has no FindProxyForURL"):
            load_pac_file(f"{server.url}/proxy.pac", tmp_path)
        assert server.asked[0].headers["accept-encoding"] == "identity"


def test_a_server_that_drips_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte in time, and the run would be held up for days."""
    monkeypatch.setattr(pac_file, "FETCH_SECONDS", 0.4)
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def drip() -> None:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 OK\r\n")
                while True:
                    connection.sendall(b"X: y\r\n")
                    time.sleep(0.02)

        thread = threading.Thread(target=drip)
        thread.start()
        with pytest.raises(ProxyRefused, match="there is no copy yet"):
            load_pac_file(f"http://127.0.0.1:{listener.getsockname()[1]}/proxy.pac", tmp_path)
        thread.join(10)
        assert not thread.is_alive()


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"<html>Please log in</html>", "has no FindProxyForURL"),
        (b"FindProxyForURL" + b" " * MAX_SCRIPT_BYTES, "longer than"),
    ],
)
def test_what_is_no_such_file_replaces_no_good_copy(content: bytes, why: str, tmp_path: Path) -> None:
    load_pac_file(PAC, tmp_path, lambda url, limit: SCRIPT.encode())
    loaded = load_pac_file(PAC, tmp_path, lambda url, limit: content)
    assert loaded.script == SCRIPT
    assert why in loaded.note


@pytest.mark.parametrize(
    ("content", "script"),
    [
        (b"\xef\xbb\xbf/*FindProxyForURL*/", "/*FindProxyForURL*/"),
        ("/*FindProxyForURL ü*/".encode("latin-1"), "/*FindProxyForURL ü*/"),
        ("/*FindProxyForURL ü*/".encode(), "/*FindProxyForURL ü*/"),
    ],
)
def test_a_file_may_be_utf_8_or_latin_1(content: bytes, script: str, tmp_path: Path) -> None:
    file = tmp_path / "a b.pac"
    file.write_bytes(content)
    assert load_pac_file(file.as_uri(), tmp_path / "copies").script == script
    assert not (tmp_path / "copies").exists()


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("ftp://wpad/proxy.pac", "is not an address"),
        ("/etc/proxy.pac", "is not an address"),
        ("http:///proxy.pac", "is not an address"),
        ("file://server/share/proxy.pac", "on another computer"),
        ("file:///nonexistent/proxy.pac", "No such file"),
    ],
)
def test_a_location_that_is_none_is_refused(location: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(ProxyRefused, match=why):
        load_pac_file(location, tmp_path)


STUCK = {
    "a regular expression that backtracks": "/^(a+)+$/.test('a'.repeat(40) + 'b')",
    "one call that never comes back": "Array(1e9).indexOf(1)",
    "what is thrown never becomes a text": "throw { toString() { while (1); } }",
}


@pytest.mark.parametrize("body", STUCK.values(), ids=STUCK)
def test_a_script_that_holds_the_engine_is_killed(body: str) -> None:
    with pytest.raises(ProxyRefused, match="longer than 1 s"):
        find_proxy_apart(f"function FindProxyForURL(url, host) {{ {body} }}", ORG, max_seconds=1)


def test_a_script_in_its_own_process_looks_names_up_there() -> None:
    script = """function FindProxyForURL(url, host) {
        return "PROXY " + dnsResolve("localhost") + ":" + (isResolvable("nowhere.invalid") ? 1 : 2);
    }"""
    assert find_proxy_apart(script, ORG) == "PROXY 127.0.0.1:2"
    with pytest.raises(ProxyRefused, match="ReferenceError"):
        find_proxy_apart("function FindProxyForURL() { return x; }", ORG)


URL = httpx.URL(ORG)
LOGGED_IN = Proxy("http", "p", 3128, "alice", "s3cret")


@pytest.mark.parametrize(
    ("route", "error", "sentence"),
    [
        (P, httpx.ProxyError("407 Proxy Authentication Required"), "http://p:3128 asks for a login (407)"),
        (LOGGED_IN, httpx.ProxyError("407 Denied"), "refuses the user 'alice' or the password (407)"),
        (LOGGED_IN, httpx.ProxyError("401 Denied"), "refuses the user 'alice' or the password (401)"),
        (P, httpx.ProxyError("403 Forbidden"), "does not connect to sso.example.com:443 (403 Forbidden)"),
        (P, httpx.ProxyError("broken"), "does not connect to sso.example.com:443: broken"),
        (P, httpx.ConnectError("refused"), "cannot be reached by the proxy http://p:3128: refused"),
        (P, httpx.ConnectTimeout(""), "http://p:3128: ConnectTimeout"),
        (DIRECT, httpx.ConnectError("refused"), "sso.example.com:443 cannot be reached directly: refused"),
    ],
)
def test_each_failure_names_the_proxy_the_host_and_what_helps(
    route: Route, error: httpx.TransportError, sentence: str
) -> None:
    said = explain(route, error, URL)
    assert sentence in said
    assert "s3cret" not in said
