"""Workload: what store and System Log add to a sign-on and to a handshake that judges a device.

The same gateway twice: once with `store: none`, as the other workloads have it, and once with a store, its CA
and the System Log, where each sign-on is written to the spool before it goes on, and taken into the store.
"""

import time
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final

from support.gateway_process import GatewayProcess

from benchmarks.accounting import cpu_seconds
from benchmarks.load import Load, expect_only
from benchmarks.mtls_handshake import begin_challenge
from benchmarks.org_site import OrgSite, sqlite
from benchmarks.report import OURS, Quantity, Row, Workload
from benchmarks.series import CPU, RATE
from benchmarks.servers import Server, gateway_under_test, kilobyte_app
from benchmarks.site import APP_HOST, MTLS_DOMAIN, Site

_WITHOUT: Final = "without System Log"
_WORKER: Final = "worker_microseconds_each"
# The org process takes events over within a fraction of a second.
_TAKEN_OVER_SECONDS: Final = 1.0
_SIGN_ON: Final = "whole sign-on"
_CHALLENGE: Final = "challenge, known device"


def run(directory: Path, load: Load, *, sign_ons: int, repetitions: int) -> Workload:
    numbers = count(1)
    rows: dict[str, dict[str, dict[str, list[float]]]] = {_SIGN_ON: {}, _CHALLENGE: {}}
    directory = directory / "logged-sign-on"
    negotiated = {}
    with ExitStack() as stack:
        sites = {}
        for side in (OURS, _WITHOUT):
            own = directory / side.replace(" ", "-")
            own.mkdir(parents=True)
            sites[side] = Site(own)
        org = stack.enter_context(OrgSite(sites[OURS], sqlite(directory)))
        configurations = {OURS: org.configuration(), _WITHOUT: sites[_WITHOUT].configuration()}
        running = {}
        for side, site in sites.items():
            stack.enter_context(kilobyte_app(site))
            running[side] = stack.enter_context(gateway_under_test(site, configurations[side]))
            negotiated[side] = load.negotiated(site.https_port, APP_HOST, None)
        for _ in range(repetitions):
            for side, site in sites.items():
                _sign_ons(rows[_SIGN_ON], side, site, load, running[side], next(numbers), sign_ons)
            for side, site in sites.items():
                _challenges(rows[_CHALLENGE], side, site, load, running[side], next(numbers), sign_ons)
    return Workload(
        name="logged_sign_on",
        title="What store and System Log add",
        quantities=(
            Quantity(_WORKER, "CPU µs of the worker", compared=True),
            Quantity(CPU, "of all processes", compared=True),
            Quantity(RATE, "a second"),
        ),
        rows=tuple(Row(title, sides) for title, sides in rows.items()),
        negotiated=negotiated,
        notes=(
            "`whole sign-on` as in `sign_on.py`, `challenge` as in `mtls_handshake.py`. With the System Log "
            "two events of a sign-on are written to the spool, without waiting for the disk; the org process "
            "takes them over, chains them and commits them to SQLite. What it and the supervisor use while "
            "nothing happens is in the account of all processes, for a second more than the load takes.",
        ),
    )


def _sign_ons(
    sides: dict[str, dict[str, list[float]]],
    side: str,
    site: Site,
    load: Load,
    running: GatewayProcess,
    turn: int,
    number: int,
) -> None:
    names = [f"{turn}-{each}" for each in range(number)]
    task: dict[str, Any] = {
        "process": running.workers()[0],
        "port": site.https_port,
        "app_host": APP_HOST,
        "mtls_domain": MTLS_DOMAIN,
        "certificates": [str(site.write_device(f"device-{name}")) for name in names],
        "bodies": [site.message(name).decode() for name in names],
    }
    before = cpu_seconds(running.process_id)
    result = load.run("sign_ons", **task)
    expect_only(result["statuses"]["return"], 200)
    parts = result["parts"].values()
    _note(
        sides.setdefault(side, {}),
        number,
        sum(part["cpu_seconds"] for part in parts),
        _seconds_later(running) - before,
        sum(part["elapsed_seconds"] for part in parts),
    )


def _challenges(
    sides: dict[str, dict[str, list[float]]],
    side: str,
    site: Site,
    load: Load,
    running: GatewayProcess,
    turn: int,
    number: int,
) -> None:
    server = Server(side, running.workers()[0], site.https_port, site.https_port)
    challenge = begin_challenge(site, f"challenge-{turn}")
    certificate = site.write_device("device")
    before = cpu_seconds(running.process_id)
    sample = challenge.measure(load, server, [certificate], number)
    _note(
        sides.setdefault(side, {}),
        number,
        sample.cpu_seconds,
        _seconds_later(running) - before,
        sample.elapsed_seconds,
    )


def _note(
    values: dict[str, list[float]], number: int, worker: float, everything: float, elapsed: float
) -> None:
    values.setdefault(_WORKER, []).append(worker / number * 1e6)
    values.setdefault(CPU, []).append(everything / number * 1e6)
    values.setdefault(RATE, []).append(number / elapsed)


def _seconds_later(running: GatewayProcess) -> float:
    time.sleep(_TAKEN_OVER_SECONDS)
    return cpu_seconds(running.process_id)
