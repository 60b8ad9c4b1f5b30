"""The store learns of the apps' policy files: when the org starts, and when the configuration has changed."""

import asyncio
from collections.abc import Callable
from typing import Final
from uuid import uuid4

from gateway.adapters.store import Work
from gateway.model.store_errors import AlreadyExists, StoreUnavailable
from gateway.server.org.call import StoreDoor
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.policy_files import adopt_files
from gateway.services.ports import Clock
from gateway.system_log.catalog import job

# After a store that was away, or another gateway that did the same at the same moment.
AGAIN_SECONDS: Final = 2.0


class FileAdoption:
    """Made on the running loop."""

    def __init__(self, store: StoreDoor, clock: Clock, configuration: Callable[[], OrgConfiguration]) -> None:
        self._store = store
        self._clock = clock
        self._configuration = configuration
        self._wanted = asyncio.Event()
        self._wanted.set()

    def again(self) -> None:
        """The configuration has changed."""
        self._wanted.set()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._wanted.wait()
            self._wanted.clear()
            if not await self._adopt():
                await asyncio.sleep(AGAIN_SECONDS)
                self._wanted.set()

    async def _adopt(self) -> bool:
        occasion = job(self._clock.now(), lambda: str(uuid4()), f"policy-files-{uuid4()}")
        configuration = self._configuration()

        def use_case(work: Work) -> None:
            adopt_files(work, configuration, occasion)

        try:
            await self._store.change(use_case)
        except (AlreadyExists, StoreUnavailable):
            return False
        return True
