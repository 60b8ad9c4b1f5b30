"""Sign-ons of a gateway that runs, in its System Log: each once, whoever is killed, and none that is
unlogged."""

import fcntl
import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.logged_world import SIGNED_ON, LoggedWorld, logged_world
from support.site import DEVICE

from gateway.adapters.spool_format import segment_name

MEBIBYTE = 1_048_576


def test_sign_ons_are_in_the_log_each_once_also_when_the_org_and_a_worker_are_killed(tmp_path: Path) -> None:
    with logged_world(tmp_path) as world:
        trusted, stranger = world.site.browser(world.site.issue()), world.site.browser()
        assert world.sign_on(trusted).last.status == 200
        assert world.sign_on(stranger).last.status == 403
        for number in range(4):
            if number == 1:
                os.kill(world.gateway.orgs()[0], signal.SIGKILL)
            if number == 2:
                os.kill(world.gateway.workers()[0], signal.SIGKILL)
                world.gateway.wait_for_records("worker_started", 1)
            assert world.sign_on(trusted).last.status == 200
        signed_on = world.org.wait_for_events(5, SIGNED_ON)
        (tmp_path / "corp.crl").write_bytes(b"rubbish")
        (failed,) = world.org.wait_for_events(1, 'eventType eq "pki.cert.crl_download_failure"')
        assert failed["debugContext"]["debugData"]["url"].endswith("corp.crl")
        events = world.org.events('eventType sw "user.auth" or eventType co "sign_on"')

    assert len({event["uuid"] for event in events}) == len(events)
    assert len(signed_on) == 5
    of_one = [event for event in events if event["transaction"]["id"] == signed_on[0]["transaction"]["id"]]
    of_one.sort(key=lambda event: event["published"])  # two workers wrote them, whose spools are read in turn
    assert [event["eventType"] for event in of_one] == [
        "user.authentication.authenticate",
        "policy.evaluate_sign_on",
        "user.authentication.sso",
    ]
    assert {event["debugContext"]["debugData"]["deviceId"] for event in of_one} == {DEVICE}
    assert of_one[0]["displayMessage"] == "Authentication of device through a certificate"
    denied = [event for event in events if event["outcome"]["result"] == "DENY"]
    assert [(event["eventType"], event["outcome"]["reason"]) for event in denied] == [
        ("policy.evaluate_sign_on", "NO_CERTIFICATE"),
        ("application.policy.sign_on.deny_access", "NO_CERTIFICATE"),
    ]


@contextmanager
def full(world: LoggedWorld) -> Iterator[None]:
    """A worker wrote more than the spool may hold, and nobody reads it: it looks as if it were being
    written."""
    filled = world.spool / "9" / segment_name("f" * 24, 1)
    filled.parent.mkdir()
    with filled.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)  # as a worker does that goes on writing
        file.write(bytes(2 * MEBIBYTE))
        file.flush()
        yield
    filled.unlink()


@pytest.mark.parametrize("when_full", ["refuse", "unlogged"])
def test_a_full_spool_lets_nobody_in_or_everybody_unlogged_as_it_is_configured(
    when_full: str, tmp_path: Path
) -> None:
    system_log = {"spool_limit": MEBIBYTE, "when_full": when_full}
    with logged_world(tmp_path, system_log=system_log) as world:
        browser = world.site.browser(world.site.issue())
        assert world.sign_on(browser).last.status == 200
        world.org.wait_for_events(1, SIGNED_ON)
        with full(world):
            world.gateway.wait_for_records("system_log_spool_fills", 1)
            deadline = time.monotonic() + 20
            while when_full == "refuse" and not world.is_full(world.sign_on(browser)):
                assert time.monotonic() < deadline
            if when_full == "unlogged":
                time.sleep(1.5)
                assert world.sign_on(browser).last.status == 200
                assert world.gateway.metric("devicetrust_system_log_unlogged_total") >= 1
            assert world.gateway.metric("devicetrust_system_log_spool_bytes") > MEBIBYTE
            assert world.gateway.metric("devicetrust_system_log_spool_limit_bytes") == MEBIBYTE
        deadline = time.monotonic() + 20
        while world.sign_on(browser).last.status != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
