"""A full disk stops no sign-on: it is told of once, and tried again."""

import json
import time
from pathlib import Path

from gateway.adapters.one_use_file import ONE_USE_FILE, load_one_use_table
from gateway.adapters.shared_table import SharedTable
from gateway.server.log import LogWriter
from gateway.server.one_use_saving import OneUseSaving


async def test_what_cannot_be_saved_is_told_once_and_saved_when_it_can(tmp_path: Path) -> None:
    """A directory that is not there stands for a disk that takes nothing."""
    written: list[bytes] = []
    log = LogWriter(written.append)
    log.start()
    table = SharedTable.create("keys", 100)
    keys = tmp_path / "keys"
    saving = OneUseSaving(table, str(keys), log)
    now = time.time()
    assert table.claim(b"first", now + 600, now)
    for _ in range(3):
        await saving.save()
    keys.mkdir()
    await saving.save()
    assert not load_one_use_table(str(keys), now).claim(b"first", now + 600, now)
    written_as = (keys / ONE_USE_FILE).stat().st_ino
    await saving.save()  # nothing has changed since, so nothing is written
    assert (keys / ONE_USE_FILE).stat().st_ino == written_as
    assert table.claim(b"second", now + 600, now)
    await saving.save()
    assert not load_one_use_table(str(keys), now).claim(b"second", now + 600, now)
    log.stop(5)
    notes = [json.loads(line) for line in b"".join(written).splitlines()]
    assert [(note["event"], note["detail"]) for note in notes] == [
        ("one_use_keys_not_saved", "No such file or directory")
    ]
