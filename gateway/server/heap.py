"""The garbage collector of a process that lives for months and answers in microseconds.

What is there after the start stays for good: modules, configuration, schemas, some hundred thousand objects.
Left alone, each full collection walks through all of them, and nothing else runs meanwhile. Frozen, they are
never looked at again.

What connections make is freed by counting references, but for HTTP/2, whose library makes circles of some
hundred objects, 15 KB with what hangs on them. So the rest is looked at seldom, but not so seldom that closed
connections pile up.
"""

import gc
from typing import Final

# Net allocations between two looks at the youngest; the connections of a busy second.
_YOUNG: Final = 2_000
# Looks at the youngest for one at the middle-aged, and so on. All are looked at after 50,000.
_MIDDLE: Final = 5
_OLD: Final = 5


def settle_heap() -> None:
    """To be called once all is loaded. What was garbage is collected, what is left never looked at again."""
    gc.collect()
    gc.freeze()
    # Python looks at all only when a quarter of what the last such look left has come since: it must not
    # remember what is frozen now.
    gc.collect()
    gc.set_threshold(_YOUNG, _MIDDLE, _OLD)
