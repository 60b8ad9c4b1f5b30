"""Keeps what the org said last on disk, for a start without the store: see
`gateway.adapters.remembered_state`.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Never

from gateway.adapters.remembered_state import keep_state

_TRY_AGAIN_SECONDS: Final = 5.0


class StateKeeping:
    """``failed`` is told once, until it works again, why the disk does not take it."""

    def __init__(self, directory: str, failed: Callable[[str], None]) -> None:
        self._directory = directory
        self._failed = failed
        self._wanted: bytes | None = None
        self._is_wanted = asyncio.Event()
        self._has_failed = False

    def keep(self, document: bytes) -> None:
        """Soon; only the last one counts."""
        self._wanted = document
        self._is_wanted.set()

    async def run(self) -> Never:
        """Until cancelled."""
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            document = self._wanted
            assert document is not None, "it is wanted"
            try:
                await asyncio.to_thread(keep_state, self._directory, document)
            except OSError as problem:
                if not self._has_failed:
                    self._has_failed = True
                    self._failed(problem.strerror or str(problem))
                await asyncio.sleep(_TRY_AGAIN_SECONDS)
                self._is_wanted.set()
            else:
                self._has_failed = False
