"""What the processes that a process started hold in memory, from the kernel's accounting."""

from collections.abc import Callable
from pathlib import Path

_RESET_PEAK = "5"  # proc(5), clear_refs


def growth_while(process_id: int, run: Callable[[], None]) -> float:
    """Megabytes by which the resident memory of any child of this process grew at its peak, while ``run``."""
    children = _children(process_id)
    for child in children:
        Path(f"/proc/{child}/clear_refs").write_text(_RESET_PEAK)
    before = {child: _peak_megabytes(child) for child in children}
    run()
    return max(_peak_megabytes(child) - before[child] for child in children)


def _children(process_id: int) -> list[int]:
    found: list[int] = []
    for thread in Path(f"/proc/{process_id}/task").iterdir():
        found += map(int, (thread / "children").read_text().split())
    assert found, f"process {process_id} has started none"
    return found


def _peak_megabytes(process_id: int) -> float:
    for line in Path(f"/proc/{process_id}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) / 1_024
    raise AssertionError(f"process {process_id} has no resident memory")
