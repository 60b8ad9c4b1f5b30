"""The report to the org, every half minute: that this IWA web app is there, and how it is."""

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final, Never

from gateway import __version__
from gateway.adapters.iwa_org_client import IwaOrgClient, OrgCallFailed
from gateway.enrollment.iwa_registration import Registration
from gateway.enrollment.reports import REPORT_LIFETIME, REPORT_SECONDS, HealthValue, IwaReport, sign_report
from gateway.server.iwa.iwa_metrics import IwaMetrics
from gateway.server.log import LogWriter

# Registration is looked for more often: whoever just registered waits to see it.
_LOOK_SECONDS: Final = 1.0
_REPORT_ID_BYTES: Final = 16


class Reporting:
    """``client`` gives what reaches the org now, ``health`` what is to be said."""

    def __init__(
        self,
        client: Callable[[], IwaOrgClient],
        registration: Callable[[], Registration | None],
        health: Callable[[], Mapping[str, HealthValue]],
        metrics: IwaMetrics,
        log: LogWriter,
    ) -> None:
        self._client = client
        self._registration = registration
        self._health = health
        self._metrics = metrics
        self._log = log
        self.problem = ""  # why the org took none lately
        self._reported: str | None = None  # as whom

    async def run(self) -> Never:
        """Until cancelled."""
        due = 0.0
        while True:
            registration = self._registration()
            if registration is None:
                due = 0.0
            elif time.monotonic() >= due or registration.iwa_id != self._reported:
                due = time.monotonic() + REPORT_SECONDS
                self._reported = registration.iwa_id
                await self._report(registration)
            await asyncio.sleep(_LOOK_SECONDS)

    async def say_goodbye(self, seconds: float) -> None:
        """One last report, that agents need not find out by themselves."""
        registration = self._registration()
        if registration is None:
            return
        with contextlib.suppress(OrgCallFailed, TimeoutError):
            async with asyncio.timeout(seconds):
                await self._client().report(self._signed(registration, {"status": "stopping"}))

    async def _report(self, registration: Registration) -> None:
        before = self.problem
        try:
            await self._client().report(self._signed(registration, self._health()))
        except OrgCallFailed as failed:
            self.problem = str(failed)
            self._metrics.reports.labels("failed").inc()
        else:
            self.problem = ""
            self._metrics.reports.labels("ok").inc()
            self._metrics.last_report.set_to_current_time()
        if self.problem != before:
            name = "iwa_report_failed" if self.problem else "iwa_report_taken"
            self._log.note(name, detail=self.problem)

    def _signed(self, registration: Registration, health: Mapping[str, HealthValue]) -> str:
        now = datetime.now(UTC)
        report = IwaReport(
            report_id=secrets.token_urlsafe(_REPORT_ID_BYTES),
            audience=registration.audience,
            version=__version__,
            health=health,
            issued=now,
            expires=now + REPORT_LIFETIME,
        )
        return sign_report(report, registration.key, registration.key_id)
