"""The garbage collector of a process that lives for months and answers in microseconds.

What is there after the start stays for good: modules, configuration, schemas, some hundred thousand objects.
Left alone, each full collection walks through all of them, and under a load of handshakes there are several
a second: a seventh of the processor, in pauses of many milliseconds. Frozen, they are never looked at again.

What connections make is freed by counting references; cycles are few. So the young are looked at less often,
too.
"""

import gc
from typing import Final

# Net allocations between two looks at the youngest. Python's own 700 come several times in a handshake.
_YOUNG: Final = 20_000
# Looks at the youngest for one at the middle-aged, and so on.
_MIDDLE: Final = 20
_OLD: Final = 50


def settle_heap() -> None:
    """To be called once all is loaded. What was garbage is collected, what is left never looked at again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
