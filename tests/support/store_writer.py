"""A process that writes into a store: ``python -m support.store_writer URL NAME COMMITS``.

Each commit has three changes and two log rows, and touches one row that all writers touch. A line on stdout
follows each commit that was acknowledged. With COMMITS 0 it begins a transaction, writes, says so, and waits
for ever.
"""

import sys
import time
from datetime import UTC, datetime
from uuid import uuid4

from support.org_values import an_event

from gateway.adapters.store import Store
from gateway.model.changes import device_deactivated
from gateway.model.org import SettingName


def main(url: str, name: str, commits: int) -> None:
    store = Store.open(url)
    for number in range(commits):
        with store.begin() as work:
            work.settings.put(SettingName.LEARN_MORE_URL, f"{name} {number}", datetime.now(UTC))
            for part in range(3):
                work.record(device_deactivated(f"{name} {number} {part}"))
            work.log.append_many(an_event(name, uuid=str(uuid4())) for _ in range(2))
        print(number, flush=True)
    if commits == 0:
        with store.begin() as work:
            work.settings.put(SettingName.LEARN_MORE_URL, name, datetime.now(UTC))
            work.record(device_deactivated(name))
            work.log.append_many([an_event(name, uuid=str(uuid4()))])
            work.seal()
            print("written", flush=True)
            time.sleep(3600)
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
