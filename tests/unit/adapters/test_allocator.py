"""Threads share what the allocator reserves: asked of the C library in a process of its own."""

import subprocess
import sys

TEN_THREADS = """
import ctypes, re, sys, threading
if sys.argv[1] == "limited":
    from gateway.adapters.allocator import limit_arenas
    assert limit_arenas()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(10)

def allocate():
    together.wait()
    libc.malloc(100_000)
    together.wait()

threads = [threading.Thread(target=allocate) for _ in range(10)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
# Each arena but the first begins at a multiple of 64 MiB.
starts = re.findall(r"^([0-9a-f]+)-[0-9a-f]+ rw-p 00000000 00:00 0 *$", open("/proc/self/maps").read(), re.M)
print(sum(int(start, 16) % (64 << 20) == 0 for start in starts))
"""


def arenas_beside_the_first(how: str) -> int:
    ended = subprocess.run(
        [sys.executable, "-c", TEN_THREADS, how], capture_output=True, text=True, timeout=60, check=True
    )
    return int(ended.stdout)


def test_ten_threads_have_two_arenas_together() -> None:
    assert arenas_beside_the_first("limited") <= 1 < arenas_beside_the_first("left alone")
