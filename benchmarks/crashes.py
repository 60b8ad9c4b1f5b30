"""``python -m benchmarks.crashes --kills 200``: the org process, workers and PostgreSQL are killed (-9) at
any moment while people sign on and devices are taken out; then all that was acknowledged is looked at.

It ends with 1 when something that was acknowledged did not hold, and writes ``results/crashes.json``.
"""

import argparse
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from support.crashes import crash
from support.fleet import running_gateway

from benchmarks.machine import describe

RESULTS: Final = Path(__file__).parent / "results"
CRASHES_FILE: Final = "crashes.json"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.crashes", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    machine = describe()
    with (
        tempfile.TemporaryDirectory(prefix="gateway-crashes-") as temporary,
        running_gateway(Path(temporary, "site")) as world,
    ):
        began = time.monotonic()
        seen = crash(world, arguments.kills, arguments.seed, lambda line: print(line, flush=True))
        seconds = time.monotonic() - began
    result = {
        "machine": asdict(machine),
        "seed": arguments.seed,
        "seconds": round(seconds),
        **seen.json(),
    }
    text = json.dumps(result, indent=2) + "\n"
    print(text)
    (RESULTS / CRASHES_FILE).write_text(text)
    sys.exit(1 if seen.wrong else 0)


if __name__ == "__main__":
    main()
