"""Workload: the System Log of a million sign-ons: written and chained, asked, verified.

    batches of 500   as the org process takes events over from the spools: 500 in a transaction
    one by one       a transaction for each event, as changes by administrators are
    pages            100 events by `GET /api/v1/logs`, without HTTP: the newest ones that a filter leaves
    verify           `devicetrust log verify`, the whole process

Nothing else does the like on this machine; plain inserts by Python's SQLite module into the same table, with
no chain and no second table for targets, stand beside it.
"""

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from uuid import UUID

from benchmarks.accounting import children_cpu_seconds
from benchmarks.org_site import SQLITE, Engine, engines
from benchmarks.report import OURS, Row, Workload, cpu_and_rate, sampled_row
from benchmarks.series import CPU, RATE, Sample
from gateway.adapters.store import Store
from gateway.model.log_event import Actor, Client, LogEvent, Outcome, Severity, Target, Transaction
from gateway.services.log_pages import read_page
from gateway.system_log.query import parse_question

BATCH: Final = 500
_EVENTS_OF_EACH: Final = 50
_PLAIN: Final = "sqlite3, no chain"
_VERIFY_SECONDS: Final = 600.0
_PAGES: Final[dict[str, dict[str, str]]] = {
    "page of one user's": {"filter": 'actor.id eq "00u00000000000000042"'},
    "page of one device's": {"filter": 'target.id eq "guo00000000000000042"'},
    "page of what was denied": {"filter": 'outcome.result eq "DENY"'},
    "page with a word": {"q": "user17@example.test"},
}


def run(directory: Path, *, events: int, one_by_one: int, repetitions: int) -> Workload:
    rows: list[Row] = []
    with engines(directory / "system-log") as both:
        for engine in both:
            rows += measure_engine(engine, events, one_by_one, repetitions, directory / "system-log")
    return Workload(
        name="system_log",
        title="The System Log",
        quantities=cpu_and_rate("event"),
        rows=tuple(rows),
        negotiated={},
        notes=(
            f"{events:,} events of 1.3 KB, some {_EVENTS_OF_EACH} of each user and device; every commit "
            "waits for the disk. CPU is that of the process that writes or asks, "
            "and of all of PostgreSQL's.",
            "Pages: CPU and rate are of pages, not events. The newest 100 of a month are asked for; one in "
            "50 events was denied.",
        ),
    )


def measure_engine(
    engine: Engine, events: int, one_by_one: int, repetitions: int, directory: Path
) -> Iterator[Row]:
    """The rows of one engine. ``directory``: for files of its own."""
    store = Store.open(engine.url)
    chance = random.Random(4)
    made = sign_ons(events + one_by_one * repetitions, chance)
    taken = iter(made)
    batches, singles, plain = list[Sample](), list[Sample](), list[Sample]()
    part = events // repetitions
    for _ in range(repetitions):
        batches.append(_written(store, engine, taken, part, BATCH))
        singles.append(_written(store, engine, taken, one_by_one, 1))
        if engine.name == SQLITE:
            plain.append(_plain_inserts(store, directory, min(part, 50_000)))
    peer = {_PLAIN: plain} if plain else {}
    yield sampled_row(f"written in batches of {BATCH}, {engine.name}", {OURS: batches, **peer})
    yield sampled_row(f"written one by one, {engine.name}", {OURS: singles})
    yield sampled_row(
        f"verified, {engine.name}", {OURS: [_verified(engine, events) for _ in range(min(2, repetitions))]}
    )
    for title, fields in _PAGES.items():
        samples = [_asked(store, engine, fields) for _ in range(repetitions)]
        yield Row(
            f"{title}, {engine.name}",
            {OURS: {CPU: [s.cpu_microseconds_each for s in samples], RATE: [s.per_second for s in samples]}},
        )
    store.close()


def sign_ons(count: int, chance: random.Random) -> Iterator[LogEvent]:
    """Sign-ons of a month that ends now, each other than the one before."""
    began = datetime.now(UTC) - timedelta(days=29)
    step = timedelta(days=29) / count
    users = max(50, count // _EVENTS_OF_EACH)
    for number in range(count):
        who = chance.randrange(users)
        login = f"user{who}@example.test"
        denied = number % 50 == 0
        yield LogEvent(
            uuid=str(UUID(int=chance.getrandbits(128), version=4)),
            published=began + step * number,
            event_type="user.authentication.sso",
            display_message="User single sign on to app",
            severity=Severity.WARN if denied else Severity.INFO,
            outcome=Outcome.DENY if denied else Outcome.SUCCESS,
            reason="NO_CERTIFICATE" if denied else None,
            actor=Actor(f"00u{who:017}", "User", login, login),
            client=Client(ip=f"10.1.{who % 250}.{who % 249}", user_agent=_BROWSER),
            transaction=Transaction(f"{chance.getrandbits(96):024x}"),
            targets=(
                Target("app-wiki", "AppInstance", "wiki", "Wiki"),
                Target(f"guo{who:017}", "Device", f"urn:devicetrust:device:guo{who:017}", f"ws-{who}"),
            ),
            debug_data={"requestUri": "/saml/acs", "deviceTrust": "TRUSTED", "rule": "Trusted Windows"},
        )


def _written(store: Store, engine: Engine, events: Iterator[LogEvent], count: int, batch: int) -> Sample:
    cpu = elapsed = 0.0
    for first in range(0, count, batch):
        some = [next(events) for _ in range(min(batch, count - first))]
        before, began = time.process_time() + engine.cpu_seconds(), time.perf_counter()
        with store.begin() as work:
            work.log.append_many(some)
        elapsed += time.perf_counter() - began
        cpu += time.process_time() + engine.cpu_seconds() - before
    return Sample(count, cpu, elapsed)


def _plain_inserts(store: Store, directory: Path, count: int) -> Sample:
    """The rows that were written last, again, into a table like that of the log."""
    with store.connected() as connection:
        newest = f"select * from log order by number desc limit {count}"
        rows = [tuple(row) for row in connection.exec_driver_sql(newest)]
        made = connection.exec_driver_sql("select sql from sqlite_master where tbl_name = 'log'")
        tables = [row[0] for row in made if row[0]]
    file = directory / f"plain-{os.urandom(4).hex()}.db"
    database = sqlite3.connect(file, isolation_level=None)
    for statement in ("pragma journal_mode=wal", "pragma synchronous=full", *tables):
        database.execute(statement)
    places = ", ".join("?" * len(rows[0]))
    before, began = time.process_time(), time.perf_counter()
    for first in range(0, len(rows), BATCH):
        database.execute("begin")
        database.executemany(f"insert into log values ({places})", rows[first : first + BATCH])
        database.execute("commit")
    elapsed = time.perf_counter() - began
    used = time.process_time() - before
    database.close()
    file.unlink()
    return Sample(len(rows), used, elapsed)


def _verified(engine: Engine, events: int) -> Sample:
    command = [str(Path(sys.executable).parent / "devicetrust"), "log", "verify", "--store", engine.url]
    before, began = children_cpu_seconds() + engine.cpu_seconds(), time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, timeout=_VERIFY_SECONDS)
    elapsed = time.perf_counter() - began
    return Sample(events, children_cpu_seconds() + engine.cpu_seconds() - before, elapsed)


def _asked(store: Store, engine: Engine, fields: dict[str, str]) -> Sample:
    now = datetime.now(UTC)
    since = (now - timedelta(days=30)).strftime("%Y-%m-%dT%H:%M:%SZ")
    asked = {"since": since, "sortOrder": "DESCENDING", "until": now.strftime("%Y-%m-%dT%H:%M:%SZ")}
    question = parse_question({**asked, **fields}, now)
    before, began = time.process_time() + engine.cpu_seconds(), time.perf_counter()
    with store.read() as view:
        page = read_page(view.log, question, lambda: False)
    elapsed = time.perf_counter() - began
    used = time.process_time() + engine.cpu_seconds() - before
    assert page.rows
    return Sample(1, used, elapsed)


_BROWSER: Final = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko)"
    " Chrome/140.0.0.0 Safari/537.36"
)
