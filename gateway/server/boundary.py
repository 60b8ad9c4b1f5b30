"""The one place where a defect of ours ends: it is logged with a reference id, and the browser gets a 500.

Everything expected has its own type and is answered where it happens; what arrives here is a bug.
"""

import logging
from collections.abc import Callable

from gateway.model.pages import Page, PageKind
from gateway.server.answers import Answers
from gateway.server.exchange import Requester
from gateway.server.requests import logged_address, request_served
from gateway.services.ports import Clock, EventSink
from gateway.services.snapshot import Live, Snapshot

_logger = logging.getLogger("gateway.defect")


class Boundary:
    def __init__(
        self,
        live: Live[Snapshot],
        answers: Answers,
        reference: Callable[[], str],
        clock: Clock,
        events: EventSink,
    ) -> None:
        self._live = live
        self._answers = answers
        self._reference = reference
        self._clock = clock
        self._events = events

    def report(self, error: BaseException, connection: Requester) -> None:
        """Log; answer 500 if the exchange has not begun its answer, else cut the connection off."""
        reference_id = self._reference()
        _logger.error("defect, reference %s", reference_id, exc_info=error)
        channel = connection.channel
        self._events.emit(
            request_served(
                at=self._clock.now(),
                reference_id=reference_id,
                role="",
                host=channel.server_name,
                status=500,
                ip=logged_address(connection, self._live.current.settings.trusted_proxies),
            )
        )
        if connection.can_answer:
            page = Page(PageKind.ERROR, 500, "", reference_id)
            self._answers.show(connection, page, None, close=True)
        else:
            channel.abort()

    def run(self, call: Callable[[], None], connection: Requester) -> None:
        """Call into our own code on behalf of a peer."""
        try:
            call()
        except Exception as error:  # noqa: BLE001  # the boundary
            self.report(error, connection)
