"""`devicetrust policy simulate` over events as workers and the org make them."""

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.gateway_yaml import Installation

from gateway.adapters.store import Store
from gateway.cli.main import run
from gateway.model.events import SignOnDecided
from gateway.model.ids import IdKind, new_id
from gateway.model.org import Group, GroupType, User, UserSource, UserStatus
from gateway.system_log.sign_on_events import log_events
from gateway.system_log.wire import to_okta

NOW = datetime.now(UTC)
DECIDED = SignOnDecided(
    at=NOW - timedelta(hours=1),
    reference_id="r",
    app="wiki",
    protocol="saml2",
    user="ana@example.test",
    identity_provider="okta",
    ip="10.1.2.3",
    client="web_browser",
    platform="windows",
    access="allow",
    reason="RULE Trusted Windows",
    rule="Trusted Windows",
    device_trust="trusted",
    trust_reason=None,
    trust_detail="",
    device=None,
    certificate_thumbprint=None,
    flow_id=None,
    monitored=(),
    session=False,
)
DENIED = replace(DECIDED, access="deny", reason="DEFAULT_RULE", rule=None, device_trust="not_trusted")
PAST = [
    DECIDED,
    replace(DENIED, platform="macos"),
    replace(DENIED, platform="other_desktop", device_trust="unknown"),
    replace(DECIDED, app="vault"),
    replace(DECIDED, at=NOW - timedelta(days=20)),
]


class NoDirectory:
    def user(self, login: str) -> None: ...
    def device(self, certificate_name: str) -> None: ...
    def policy(self, app: str) -> None: ...


EVENTS = [event for i, decided in enumerate(PAST) for event in log_events(decided, str(i), NoDirectory())]


@pytest.fixture
def installation(tmp_path: Path) -> Installation:
    return Installation(tmp_path)


def simulate(installation: Installation, policy: str, *arguments: str, log: str | None = None) -> int:
    path = installation.write("new.yaml", policy.encode())
    command = ["policy", "simulate", str(path), "-c", str(installation.configuration), "--app", "wiki"]
    if log is not None:
        command += ["--log", str(installation.write("events.jsonl", log.encode()))]
    return run([*command, *arguments])


LINES = "".join(json.dumps(to_okta(event)) + "\n" for event in EVENTS)
AS_IT_WAS = "name: n\ndefault: deny\nrules:\n  - {name: Trusted Windows, platforms: [windows], device_trust: trusted, access: allow}\n"  # noqa: E501
ALL_IN = "name: n\nrules: []\n"
BY_GROUP = (
    "name: n\ndefault: deny\nrules:\n  - {name: IT, people: {groups: {include: [IT]}}, access: allow}\n"
)
BY_DEVICE = "name: n\ndefault: deny\nrules:\n  - {name: d, platforms: [macos, windows], device_trust: not_trusted, access: allow}\n"  # noqa: E501


@pytest.mark.parametrize(
    ("policy", "arguments", "code", "said"),
    [
        (AS_IT_WAS, [], 0, ["3 sign-ons replayed, 0 would end otherwise"]),
        (AS_IT_WAS, ["--days", "30"], 0, ["4 sign-ons replayed, 0 would end otherwise"]),
        (ALL_IN, [], 1, ["on web_browser, macos, not_trusted, from 10.1.2.3: denied → let_in by the default",
                         "3 sign-ons replayed, 2 would end otherwise"]),
        (BY_DEVICE, [], 1, ['windows, trusted, from 10.1.2.3: let_in → denied by the default',
                            'denied → let_in by rule "d"']),
        (BY_GROUP, [], 0, ["0 sign-ons replayed", "3 depend on groups, which were not logged"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("source", ["file", "store"])
def test_the_past_is_replayed(
    installation: Installation,
    capsys: pytest.CaptureFixture[str],
    source: str,
    policy: str,
    arguments: list[str],
    code: int,
    said: list[str],
) -> None:
    if source == "store":
        store = Store.open(f"sqlite:///{installation.directory}/var/devicetrust.db")
        with store.begin() as work:
            for event in EVENTS:
                work.log_event(event)
        store.close()
    exit_code = simulate(installation, policy, *arguments, log=LINES if source == "file" else None)
    output = capsys.readouterr()
    assert (exit_code, output.err) == (code, "")
    for sentence in said:
        assert sentence in output.out


def test_what_is_no_event_is_counted(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    broken = LINES + 'nonsense\n[]\n{"eventType": "policy.evaluate_sign_on"}\n' + "[" * 100_000 + "\n"
    code = simulate(installation, AS_IT_WAS, log=broken)
    assert code == 0
    assert "4 lines are no events of the System Log" in capsys.readouterr().out
    assert not (installation.directory / "var" / "devicetrust.db").exists(), "to look makes no store"


def test_the_result_as_json(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    simulate(installation, ALL_IN, "--json", log=LINES)
    result: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (result["replayed"], result["unread"], len(result["differences"])) == (3, 0, 2)
    assert result["differences"][0]["before"] == "denied"


def test_groups_may_be_those_of_the_store(
    installation: Installation, capsys: pytest.CaptureFixture[str]
) -> None:
    store = Store.open(f"sqlite:///{installation.directory}/var/devicetrust.db")
    user_id, group_id = new_id(IdKind.USER, b"u" * 16), new_id(IdKind.GROUP, b"g" * 16)
    with store.begin() as work:
        work.users.add(
            User(user_id, DECIDED.user, DECIDED.user, "A", "A", UserStatus.ACTIVE, UserSource.LOCAL, NOW, NOW)
        )
        work.groups.add(Group(group_id, "IT", "", GroupType.OKTA_GROUP, NOW, NOW))
        work.groups.add_member(group_id, user_id)
    store.close()
    code = simulate(installation, BY_GROUP, "--groups-of-store", log=LINES)
    assert code == 1
    assert "3 sign-ons replayed, 2 would end otherwise" in capsys.readouterr().out


def test_two_policies_are_compared(installation: Installation, capsys: pytest.CaptureFixture[str]) -> None:
    old = installation.write("old.yaml", ALL_IN.encode())
    assert simulate(installation, ALL_IN, "--against", str(old), log=LINES) == 0
    assert simulate(installation, AS_IT_WAS, "--against", str(old), log=LINES) == 1
    assert "2 would end otherwise" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("policy", "arguments", "message"),
    [
        ("name: n\nrules: 7\n", [], "new.yaml:2: rules: expected a list"),
        (AS_IT_WAS, ["--app", "moon"], 'no app is named "moon"'),
        (AS_IT_WAS, ["--against", "/nowhere.yaml"], "/nowhere.yaml: cannot be read"),
    ],
)
def test_what_cannot_be_used_is_named(
    installation: Installation,
    capsys: pytest.CaptureFixture[str],
    policy: str,
    arguments: list[str],
    message: str,
) -> None:
    assert simulate(installation, policy, *arguments, log=LINES) == 2
    assert message in capsys.readouterr().err


def test_events_may_come_through_a_pipe(
    installation: Installation, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(LINES.encode())))
    assert simulate(installation, ALL_IN, "--log", "-") == 1
    assert "3 sign-ons replayed" in capsys.readouterr().out
