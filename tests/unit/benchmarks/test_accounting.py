"""What the kernel says of this very process."""

import subprocess
import sys
import time

from benchmarks.accounting import cpu_seconds, process_tree

_SPINNER = (
    "import time; end = time.process_time() + 0.2\nwhile time.process_time() < end: pass\nprint(); input()"
)
_PARENT = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_SPINNER!r}])"


def test_the_cpu_time_of_a_child_counts_and_waiting_does_not() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the grandchild has spun, and waits
        assert len(process_tree(process.pid)) == 2
        used = cpu_seconds(process.pid)
        time.sleep(0.05)
        waited = cpu_seconds(process.pid) - used
        process.communicate(b"\n")
    assert used >= 0.2
    assert waited < 0.04
