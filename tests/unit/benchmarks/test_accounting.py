"""What the kernel says of this very process."""

import subprocess
import sys
import time

from benchmarks.accounting import (
    cpu_seconds,
    cpu_seconds_each,
    memory_bytes,
    open_descriptors,
    process_tree,
)

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


_HOLDER = (
    "held = bytearray(b'x') * 50_000_000; files = [open('/dev/null') for _ in range(100)]\n"
    "print(flush=True); input()"
)
_PARENT_OF_HOLDER = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {_HOLDER!r}])"


def test_memory_and_open_files_are_those_of_the_process_and_its_children() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", _PARENT_OF_HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()  # the grandchild holds what it was told to
        memory, files = memory_bytes(process.pid), open_descriptors(process.pid)
        each = cpu_seconds_each(process.pid)
        process.communicate(b"\n")
    assert 50_000_000 < memory < 150_000_000
    assert 100 < files < 130
    assert len(each) == 2


def test_a_process_that_is_gone_counts_for_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    assert (cpu_seconds(process.pid), memory_bytes(process.pid), open_descriptors(process.pid)) == (0, 0, 0)
