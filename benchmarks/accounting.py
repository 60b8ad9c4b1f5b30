"""What running processes cost, by the kernel's own account: CPU time, memory, open files.

``/proc/PID/task/TID/schedstat`` counts nanoseconds on a CPU, user and system together. ``/proc/PID/stat``
counts the same in ticks of 10 ms, which is too coarse for repetitions of a second.
"""

import contextlib
import os
import re
import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_PROC: Final = Path("/proc")
_PSS: Final = re.compile(r"^Pss:\s+(\d+) kB$", re.MULTILINE)
# What is read of a process that ends meanwhile; it then counts no more.
_GONE: Final = (FileNotFoundError, ProcessLookupError)


def cpu_seconds(process_id: int) -> float:
    """CPU time of a process and its children so far, all that still live, all their threads."""
    return sum(_thread_seconds(process) for process in process_tree(process_id))


def cpu_seconds_each(process_id: int) -> dict[int, float]:
    """The same for each process of the tree alone."""
    return {process: _thread_seconds(process) for process in process_tree(process_id)}


def children_cpu_seconds() -> float:
    """CPU time of this process's children that have ended and were waited for."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def memory_bytes(process_id: int) -> int:
    """Proportional set size of a process and its children: what several share is counted once in all.

    Not in it: what the kernel holds for them, such as socket buffers.
    """
    kibibytes = 0
    for process in process_tree(process_id):
        try:
            found = _PSS.search((_PROC / str(process) / "smaps_rollup").read_text())
        except _GONE:
            continue
        kibibytes += int(found[1]) if found else 0
    return kibibytes * 1024


def open_descriptors(process_id: int) -> int:
    """Open file descriptors of a process and its children."""
    count = 0
    for process in process_tree(process_id):
        try:
            count += len(os.listdir(_PROC / str(process) / "fd"))
        except _GONE:
            continue
    return count


def process_tree(process_id: int) -> list[int]:
    """The process and its living descendants."""
    children = []
    for thread in _threads(process_id):
        try:
            listed = (_PROC / str(process_id) / "task" / thread / "children").read_text()
        except _GONE:
            continue
        children += [int(child) for child in listed.split()]
    return [process_id, *(one for child in children for one in process_tree(child))]


def pin(process_id: int, cpus: set[int]) -> None:
    """Keep a process, its children and all their threads on these CPUs."""
    for process in process_tree(process_id):
        for thread in _threads(process):
            with contextlib.suppress(ProcessLookupError):
                os.sched_setaffinity(int(thread), cpus)


def separate_cpus() -> tuple[set[int], set[int]]:
    """(for the server under test, for everything else); the same set twice on a machine with one CPU."""
    available = sorted(os.sched_getaffinity(0))
    if len(available) == 1:
        return set(available), set(available)
    return {available[0]}, set(available[1:])


def _thread_seconds(process_id: int) -> float:
    nanoseconds = 0
    for thread in _threads(process_id):
        try:
            schedstat = (_PROC / str(process_id) / "task" / thread / "schedstat").read_text()
        except _GONE:
            continue
        nanoseconds += int(schedstat.split()[0])
    return nanoseconds / 1e9


def _threads(process_id: int) -> Iterator[str]:
    try:
        yield from os.listdir(_PROC / str(process_id) / "task")
    except _GONE:
        return
