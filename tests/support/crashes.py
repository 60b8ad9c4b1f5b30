"""kill -9 of the org process, of workers and of PostgreSQL, at any moment, while people sign on and devices
are taken out. What was acknowledged must hold, during and after it.

acknowledged    a sign-on that the app answered; a deactivation that the API answered
holds           a device that is out is let in no more; a message that was used is refused; what was
                acknowledged stands in the System Log, each event once, and its chain is whole
"""

import http.client
import json
import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import psycopg
from support.browser import Step
from support.fleet import OneGateway, eventually
from support.pki import CredentialFiles
from support.two_apps import WIKI

# Those that meet a worker that is killed wait until another one has its place.
_SIGN_ONS_AT_ONCE = 3
_TRIES_AGAIN = (OSError, http.client.HTTPException)


@dataclass
class Crashes:
    """What happened, and what was wrong with it."""

    kills: Counter[str] = field(default_factory=Counter)
    tried: list[Step] = field(default_factory=list)
    used: list[Step] = field(default_factory=list)
    devices_out: dict[str, CredentialFiles] = field(default_factory=dict)
    in_force: dict[str, CredentialFiles] = field(default_factory=dict)
    tried_without_trust: int = 0
    wrong: list[str] = field(default_factory=list)
    sign_on_rows: int = 0
    rows: int = 0

    def json(self) -> dict[str, Any]:
        return {
            "kills": dict(self.kills),
            "sign_ons": {
                "tried": len(self.tried),
                "let_through": len(self.used),
                "rows": self.sign_on_rows,
            },
            "devices_out": {"acknowledged": len(self.devices_out), "in_force_at_once": len(self.in_force)},
            "tried_with_a_device_that_was_out": self.tried_without_trust,
            "log_rows": self.rows,
            "wrong": self.wrong,
        }


def crash(world: OneGateway, kills: int, seed: int, tell: Callable[[str], None] = lambda _: None) -> Crashes:
    """Kill so often; then look at everything again."""
    chance = random.Random(seed)
    seen = Crashes()
    trusted, _ = world.certificate("trusted")
    devices = _devices(world, max(10, kills * 3 // 4))
    over = threading.Event()
    actors = [
        threading.Thread(target=_until(over, act), name=name)
        for name, act in (
            *[("signs on", lambda: _sign_on(world, trusted, seen))] * _SIGN_ONS_AT_ONCE,
            ("takes devices out", lambda: _take_out(world, devices, seen)),
            ("tries devices that are out", lambda: _try_without_trust(world, seen)),
        )
    ]
    for actor in actors:
        actor.start()
    try:
        eventually(lambda: bool(seen.in_force and seen.used), "a sign-on, and a device that is out")
        for number in range(kills):
            time.sleep(chance.uniform(0.05, 0.6))
            _wait_for_progress(seen)
            target = chance.choice(("org", "worker", "postgresql"))
            _kill(world, target, chance)
            seen.kills[target] += 1
            eventually(world.one.process.is_ready, f"ready after {target} was killed")
            if number % 20 == 19:
                tell(f"{number + 1} kills, {len(seen.used)} sign-ons, {len(seen.devices_out)} devices out")
        eventually(lambda: len(seen.devices_out) >= 3, "three devices out")
    finally:
        over.set()
        for actor in actors:
            actor.join()
    _look_again(world, trusted, seen)
    return seen


def _until(over: threading.Event, act: Callable[[], None]) -> Callable[[], None]:
    def go_on() -> None:
        while not over.is_set():
            with suppress(*_TRIES_AGAIN):
                act()
            time.sleep(0.1)

    return go_on


def _wait_for_progress(seen: Crashes) -> None:
    """A sign-on between two kills; but not for ever, as that is what is tried."""
    before, ends = len(seen.used), time.monotonic() + 1.0
    while len(seen.used) == before and time.monotonic() < ends:
        time.sleep(0.01)


def _kill(world: OneGateway, target: str, chance: random.Random) -> None:
    if target == "postgresql":
        world.primary.kill()
        time.sleep(chance.uniform(0.0, 0.3))
        world.primary.start()
        return
    processes = world.one.process.orgs() if target == "org" else world.one.process.workers()
    if processes:
        with suppress(ProcessLookupError):
            os.kill(chance.choice(processes), signal.SIGKILL)


def _sign_on(world: OneGateway, trusted: CredentialFiles, seen: Crashes) -> None:
    message = world.message(WIKI)
    seen.tried.append(message)
    visit = world.browser(trusted).follow(message)
    if visit.status == 200:
        seen.used.append(message)


def _devices(world: OneGateway, count: int) -> list[tuple[str, str, CredentialFiles]]:
    """(name, id, certificate) of devices that are in."""
    credentials = {
        name: world.certificate(name)[0] for name in (f"device-{number}" for number in range(count))
    }
    status, found = world.one.api("GET", "/api/v1/devices?limit=200")
    assert status == 200, found
    ids = {each["profile"]["displayName"]: each["id"] for each in found}
    return [(name, ids[name], credential) for name, credential in credentials.items()]


def _take_out(world: OneGateway, devices: list[tuple[str, str, CredentialFiles]], seen: Crashes) -> None:
    """The next device goes; tried until it is acknowledged."""
    if not devices:
        return
    name, device_id, credential = devices[0]
    status, answer = world.one.api("POST", f"/api/v1/devices/{device_id}/lifecycle/deactivate")
    if status >= 500:
        return
    del devices[0]
    if status != 200:  # it is out since an attempt whose answer was lost, and that was promised to nobody
        return
    seen.devices_out[name] = credential
    if not answer["enforcement"]["missing"]:
        seen.in_force[name] = credential


def _try_without_trust(world: OneGateway, seen: Crashes) -> None:
    """Whoever was told that a device is out everywhere may rely on it."""
    if not seen.in_force:
        return
    name = random.choice(list(seen.in_force))
    visit = world.browser(seen.in_force[name]).follow(world.message(WIKI))
    seen.tried_without_trust += 1
    if visit.status == 200:
        seen.wrong.append(f"{name} was let in after it was out")


def _look_again(world: OneGateway, trusted: CredentialFiles, seen: Crashes) -> None:
    before = len(seen.used)

    def is_let_in() -> bool:
        _sign_on(world, trusted, seen)
        return len(seen.used) > before

    eventually(is_let_in, "a trusted device is let in")
    for name, credential in seen.devices_out.items():
        visit = world.browser(credential).follow(world.message(WIKI))
        if visit.status != 403:
            seen.wrong.append(f"{name} is answered with {visit.status} though it is out")
    for message in seen.used[-20:]:
        visit = world.browser(trusted).follow(message)
        if visit.device_trust_reason != "REPLAYED":
            seen.wrong.append(f"a message was used again: {visit.status} {visit.device_trust_reason}")
    eventually(lambda: _rows(world, "user.authentication.sso") >= len(seen.used), "sign-ons are in the log")
    time.sleep(1.0)
    seen.sign_on_rows = _rows(world, "user.authentication.sso")
    if seen.sign_on_rows > len(seen.tried):
        seen.wrong.append(f"{seen.sign_on_rows} sign-ons in the log, {len(seen.tried)} were tried")
    out = _targets(world, "device.lifecycle.deactivate")
    seen.wrong += [
        f"{name} is out, and the log does not say so" for name in seen.devices_out if name not in out
    ]
    verified = world.one.command("log", "verify")
    seen.rows = verified["rows"]
    seen.wrong += [f"log: {finding}" for finding in verified["findings"]]


def _rows(world: OneGateway, event_type: str) -> int:
    with psycopg.connect(world.primary.url("org")) as connection:
        query = "SELECT count(DISTINCT uuid), count(*) FROM log WHERE event_type = %s"
        row = connection.execute(query, (event_type,)).fetchone()
    assert row is not None
    assert row[0] == row[1]
    return int(row[0])


def _targets(world: OneGateway, event_type: str) -> set[str]:
    """Names of what events of this type were about."""
    with psycopg.connect(world.primary.url("org")) as connection:
        query = "SELECT event FROM log WHERE event_type = %s"
        events = [row[0] for row in connection.execute(query, (event_type,)).fetchall()]
    return {target["displayName"] for event in events for target in json.loads(event)["target"]}
