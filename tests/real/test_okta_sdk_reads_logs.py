"""The System Log as the `okta` SDK reads it, over HTTPS and through the gateway, while sign-ons go on."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from support.logged_world import SIGNED_ON, LoggedWorld, logged_world

from gateway.adapters.store import Store

pytestmark = pytest.mark.real

# The SDK takes https addresses only, and trusts what OpenSSL trusts (SSL_CERT_FILE). All names are this
# machine. "poll" follows next links for ever and is ended by nothing new; "all" is the pager that comes with
# the SDK.
_PROGRAM = """
import asyncio, json, socket, sys
from okta.client import Client
from okta.pagination import PaginationHelper, paginate_all
resolve = socket.getaddrinfo
socket.getaddrinfo = lambda host, *rest, **more: resolve("127.0.0.1", *rest, **more)
url, token, how, questions = *sys.argv[1:4], json.loads(sys.argv[4])

async def poll(client, question):
    after, idle = None, 0
    while idle < 12:
        events, response, error = await client.list_log_events(after=after, **question)
        assert error is None, error
        after = PaginationHelper.extract_next_cursor(response.headers)
        assert after, "a polling answer always has a next link"
        for event in events:
            yield event
        idle = 0 if events else idle + 1
        await asyncio.sleep(0 if events else 0.25)

async def main():
    client = Client({"orgUrl": url, "token": token, "authorizationMode": "SSWS"})
    for number, each in enumerate(questions):
        if how == "poll":
            pages = poll(client, each)
        elif how == "all":
            pages = paginate_all(client.list_log_events, **each)
        else:
            _, _, error = await client.list_log_events(**each)
            print(json.dumps([number, error.error_code, error.error_summary]))
            continue
        async for event in pages:
            print(json.dumps([number, event.uuid, event.event_type]), flush=True)

asyncio.run(main())
"""


def sdk(world: LoggedWorld, how: str, *questions: dict[str, Any]) -> "subprocess.Popen[str]":
    """Prints [number of the question, uuid, type of the event] in each line."""
    (world.site.directory / "web.pem").write_bytes(world.site.web.pem)
    return subprocess.Popen(
        [
            sys.executable,
            "-c",
            _PROGRAM,
            world.site.public_base("sso.example.test"),
            world.token,
            how,
            json.dumps(questions),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "SSL_CERT_FILE": str(world.site.directory / "web.pem")},
    )


def read(process: "subprocess.Popen[str]") -> list[Any]:
    out, err = process.communicate(timeout=90)
    assert process.returncode == 0, err
    return [json.loads(line) for line in out.splitlines()]


def test_the_sdk_polls_pages_and_filters_the_log_of_a_gateway_that_runs(tmp_path: Path) -> None:
    with logged_world(tmp_path) as world:
        browser, stranger = world.site.browser(world.site.issue()), world.site.browser()
        since = (datetime.now(UTC) - timedelta(minutes=5)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        until = (datetime.now(UTC) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%S.000Z")
        assert world.sign_on(browser).status == 200
        world.org.wait_for_events(1, SIGNED_ON)
        polling = sdk(world, "poll", {"limit": 4})
        for _ in range(6):
            assert world.sign_on(browser).status == 200
        assert world.sign_on(stranger).status == 403
        polled = read(polling)

        written = [json.loads(row.event_json)["uuid"] for row in _rows(tmp_path)]
        assert len(written) >= 8 * 3
        assert [uuid for _, uuid, _ in polled] == written

        within = {"since": since, "until": until}
        answers = read(
            sdk(
                world,
                "all",
                {**within, "limit": 5},
                {**within, "limit": 5, "sort_order": "DESCENDING"},
                {**within, "limit": 3, "filter": SIGNED_ON},
                {**within, "filter": 'outcome.result eq "DENY"'},
            )
        )
        bounded, down = ([uuid for asked, uuid, _ in answers if asked == number] for number in (0, 1))
        assert sorted(bounded) == sorted(written)
        assert down == bounded[::-1]
        signed_on, denied = ([kind for asked, _, kind in answers if asked == number] for number in (2, 3))
        assert signed_on == ["user.authentication.sso"] * 7
        assert denied == ["policy.evaluate_sign_on", "application.policy.sign_on.deny_access"]

        ((_, code, summary),) = read(sdk(world, "error", {"filter": 'event_type eqq "x"'}))
        assert code == "E0000053"
        assert "Unrecognized attribute operator 'eqq'" in summary


def _rows(directory: Path) -> list[Any]:
    store = Store.open(f"sqlite:///{directory}/var/org.db")
    try:
        with store.read() as view:
            return list(view.log.rows())
    finally:
        store.close()
