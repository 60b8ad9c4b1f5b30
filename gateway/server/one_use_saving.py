"""Writing the one-use keys to disk: now and then, and at the end."""

import asyncio
import threading
import time
from typing import Final, Never

from gateway.adapters.one_use_file import save_one_use_table
from gateway.adapters.shared_table import SharedTable
from gateway.model.one_use import OneUseKeysFull
from gateway.server.log import LogWriter

# How much of them a power cut can take.
_SAVE_SECONDS: Final = 10.0


class OneUseSaving:
    """A disk that has no room for them is told of once; sign-ons go on, and so do the attempts."""

    def __init__(self, table: SharedTable, directory: str, log: LogWriter) -> None:
        self._table = table
        self._directory = directory
        self._log = log
        self._saved_sha256 = b""
        # A thread goes on when who waits for it is cancelled.
        self._one_at_a_time = threading.Lock()
        self._problem = ""

    async def run(self) -> Never:
        """Until cancelled."""
        while True:
            await asyncio.sleep(_SAVE_SECONDS)
            await self.save()

    async def save(self) -> None:
        problem = ""
        try:
            await asyncio.to_thread(self._write)
        except OSError as error:
            problem = error.strerror or str(error)
        except OneUseKeysFull as busy:
            problem = str(busy)
        if problem and problem != self._problem:
            self._log.note("one_use_keys_not_saved", directory=self._directory, detail=problem)
        self._problem = problem

    def _write(self) -> None:
        with self._one_at_a_time:
            self._saved_sha256 = save_one_use_table(
                self._table, self._directory, time.time(), self._saved_sha256
            )
