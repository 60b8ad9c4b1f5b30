"""CPU time of running processes, by the kernel's own account.

``/proc/PID/task/TID/schedstat`` counts nanoseconds on a CPU, user and system together. ``/proc/PID/stat``
counts the same in ticks of 10 ms, which is too coarse for repetitions of a second.
"""

import os
from pathlib import Path

_PROC = Path("/proc")


def cpu_seconds(process_id: int) -> float:
    """CPU time of a process and its children so far, all threads that still live."""
    nanoseconds = sum(
        int((_PROC / str(process) / "task" / thread / "schedstat").read_text().split()[0])
        for process in process_tree(process_id)
        for thread in os.listdir(_PROC / str(process) / "task")
    )
    return nanoseconds / 1e9


def process_tree(process_id: int) -> list[int]:
    """The process and its living descendants."""
    children = [
        int(child)
        for thread in os.listdir(_PROC / str(process_id) / "task")
        for child in (_PROC / str(process_id) / "task" / thread / "children").read_text().split()
    ]
    return [process_id, *(one for child in children for one in process_tree(child))]


def pin(process_id: int, cpus: set[int]) -> None:
    """Keep a process, its children and all their threads on these CPUs."""
    for process in process_tree(process_id):
        for thread in os.listdir(_PROC / str(process) / "task"):
            os.sched_setaffinity(int(thread), cpus)


def separate_cpus() -> tuple[set[int], set[int]]:
    """(for the server under test, for everything else); the same set twice on a machine with one CPU."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) == 1:
        return set(available), set(available)
    return {available[0]}, set(available[1:])
