"""Keeps an eye on how full the spool of the System Log is: for its bound, the metrics and the operator."""

import asyncio
from collections.abc import Callable
from typing import Final, Never

from gateway.adapters.spool import Spool
from gateway.server.log import LogWriter

LOOK_SECONDS: Final = 1.0
# Shares of the bound at which a line in the log says so. It says that it is over below the one before.
LEVELS: Final = (0.5, 0.8, 1.0)


class SpoolWatch:
    """``report`` is told the bytes that are spooled and their bound. With ``alarms`` lines go to the log; of
    several workers one is enough to write them."""

    def __init__(
        self, spool: Spool, log: LogWriter, report: Callable[[int, int], None], *, alarms: bool
    ) -> None:
        self._spool = spool
        self._log = log
        self._report = report
        self._alarms = alarms
        self._level = 0

    async def run(self) -> Never:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(LOOK_SECONDS)

    async def look(self) -> None:
        try:
            used = await asyncio.to_thread(self._spool.look)
        except OSError as error:  # what was seen last counts on, and what this worker writes is added
            self._log.note("system_log_spool_unreadable", detail=str(error))
            return
        limit = self._spool.limit_bytes
        self._report(used, limit)
        if self._alarms:
            self._tell(used, limit)

    def _tell(self, used: int, limit: int) -> None:
        level = sum(used >= share * limit for share in LEVELS)
        # A level is over only well below it, so that nothing swings to and fro.
        if level < self._level and used >= (LEVELS[self._level - 1] - 0.1) * limit:
            return
        if level != self._level:
            name = "system_log_spool_fills" if level > self._level else "system_log_spool_drains"
            self._log.note(name, bytes=used, limit_bytes=limit, percent=round(100 * used / limit))
        self._level = level
