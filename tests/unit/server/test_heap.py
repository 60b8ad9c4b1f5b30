"""After the start, what hangs together in circles goes soon, however much was there at the start."""

import subprocess
import sys

CIRCLES = """
import gc
from gateway.server.heap import settle_heap

there_at_the_start = [[] for _ in range(500_000)]
settle_heap()
looks = gc.get_stats()[2]["collections"]
lasting = []
for number in range(100_000):
    circle = []
    circle.append(circle)
    lasting.append(circle)  # outlives the looks at the young
    if len(lasting) == 5_000:
        lasting.clear()
print(gc.get_stats()[2]["collections"] - looks, gc.get_freeze_count() >= 500_000)
"""


def test_circles_that_grew_old_are_collected() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", CIRCLES], capture_output=True, text=True, timeout=60, check=True
    )
    looks, is_frozen = ended.stdout.split()
    assert (int(looks) >= 1, is_frozen) == (True, "True")
