"""Workers that write the spool and an org process that reads it, killed at any moment: each event that a
worker was told is kept stands in the log once."""

import os
import random
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

_WRITER = """
import os, sys, time
from gateway.adapters.spool import Spool
spool = Spool(sys.argv[1], int(sys.argv[2]), 1 << 24, now_ns=time.time_ns(), random=os.urandom(4))
number = 0
while True:
    number += 1
    record = f"{sys.argv[3]}-{number}".encode().ljust(200 + number % 1500, b".")
    spool.append([record])
    os.write(1, b"%d\\n" % number)
    spool.look()
"""

_READER = """
import sqlite3, sys, time
from gateway.adapters.spool_reader import Position, SpoolReader
reader = SpoolReader(sys.argv[1])
store = sqlite3.connect(sys.argv[2], isolation_level=None)
def position_of(run):
    row = store.execute("select segment, at from positions where run = ?", (run,)).fetchone()
    return None if row is None else Position(*row)
while not reader.claim():
    time.sleep(0.01)
while True:
    batch = reader.read(position_of, 50)
    store.execute("begin immediate")
    for record in batch.records:
        store.execute("insert into log values (?, ?)", (record.place, record.content))
    for run, position in batch.positions.items():
        behind = run, position.segment, position.offset
        store.execute("insert or replace into positions values (?, ?, ?)", behind)
    for run in batch.forgotten:
        store.execute("delete from positions where run = ?", (run,))
    store.execute("commit")
    reader.release(batch)
    if len(sys.argv) > 3 and not batch.records:
        break
"""


def test_each_acknowledged_event_is_read_once_whoever_is_killed_when(tmp_path: Path) -> None:
    chance = random.Random(7)
    store = tmp_path / "log.db"
    with sqlite3.connect(store) as connection:
        connection.execute("pragma journal_mode=wal")
        connection.execute("create table log (place text primary key, content blob)")
        connection.execute("create table positions (run text primary key, segment int, at int)")
    keys = tmp_path / "keys"
    acknowledged: dict[int, int] = {}

    def reader(*more: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-c", _READER, str(keys), str(store), *more])

    reading = reader()
    for life in range(16):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(keys), str(1 + life % 2), str(life)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()  # it runs
            time.sleep(chance.uniform(0, 0.06))
            writer.send_signal(signal.SIGKILL)
            acknowledged[life] = 1 + len(writer.stdout.read().splitlines())
        if life % 2:
            reading.send_signal(signal.SIGKILL)
            reading.wait()
            reading = reader()
    reading.send_signal(signal.SIGKILL)
    reading.wait()
    assert reader("to the end").wait(timeout=60) == 0
    for abandoned in keys.rglob("*.spool.new"):  # by a writer that was killed; gone after a minute
        os.utime(abandoned, (0, 0))
    for _ in range(3):  # what is finished is deleted by one look, and its position forgotten by the next
        assert reader("to the end").wait(timeout=60) == 0

    with sqlite3.connect(store) as connection:
        rows = connection.execute("select content from log order by rowid").fetchall()
        positions = connection.execute("select run from positions").fetchall()
    _each_once(acknowledged, [row[0] for row in rows])
    assert positions == []
    assert list(keys.rglob("*.spool*")) == []


def _each_once(acknowledged: dict[int, int], contents: list[bytes]) -> None:
    seen: dict[int, list[int]] = {}
    for content in contents:
        life, number = content.rstrip(b".").split(b"-")
        seen.setdefault(int(life), []).append(int(number))

    for life in acknowledged:
        numbers = seen[life]
        assert numbers == list(range(1, len(numbers) + 1)), f"worker {life}"
        # The last one may have been kept, and the worker killed before it was told.
        assert acknowledged[life] <= len(numbers) <= acknowledged[life] + 1
