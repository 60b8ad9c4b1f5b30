"""What the gateway costs, each workload against its peers in the same run on the same machine.

``python -m benchmarks`` (or ``make bench``) runs all of them and writes ``results/``; names of workloads as
arguments run only those. Keys, identity provider messages and child processes come from the tests' support
code.
"""

import sys
from pathlib import Path

_TESTS = str(Path(__file__).parent.parent / "tests")
if _TESTS not in sys.path:
    sys.path.append(_TESTS)  # import support.xxx, as the tests do
