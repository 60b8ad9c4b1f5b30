"""One setting of the C library's allocator."""

import ctypes
from typing import Final

_ARENAS: Final = 2
_M_ARENA_MAX: Final = -8  # malloc.h


def limit_arenas() -> bool:
    """Let all threads share two arenas (mallopt(3)); False where the C library knows nothing of them.

    Left alone, glibc gives each thread its own, up to eight for each processor. What one thread has read
    once, a configuration say, stays reserved in its arena, and the process grows until each has been there.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    return mallopt is not None and mallopt(_M_ARENA_MAX, _ARENAS) == 1
