"""The org host. The worker itself publishes the keys that statements to the apps are signed with; all else is
for the org process. Without a store there is none, and nothing else."""

from collections.abc import Callable
from typing import Final

from gateway.model.http import RequestHead
from gateway.model.pages import Page, PageKind
from gateway.proxy.http1 import HttpRefused, RequestStart
from gateway.server.answers import Answers
from gateway.server.boundary import Boundary
from gateway.server.exchange import Requester
from gateway.server.org_passage import OrgPassage
from gateway.server.requests import HeadRefused, checked_head, logged_address, request_served
from gateway.services.ports import Clock, EventSink
from gateway.services.snapshot import Live, Snapshot
from gateway.services.statements import StatementSigner

JWKS_PATH: Final = b"/.well-known/jwks.json"


class OrgHandler:
    """A `Handler` for the connections of the org host."""

    def __init__(
        self,
        live: Live[Snapshot],
        signer: StatementSigner,
        answers: Answers,
        clock: Clock,
        events: EventSink,
        reference: Callable[[], str],
        boundary: Boundary,
        passage: OrgPassage | None,
    ) -> None:
        self._passage = passage
        self._live = live
        self._signer = signer
        self._answers = answers
        self._clock = clock
        self._events = events
        self._reference = reference
        self._boundary = boundary

    def begin(self, start: RequestStart, connection: Requester) -> None:
        head: RequestHead | None = None
        try:
            head = checked_head(start.head, connection.channel.server_name)
            if head.path == JWKS_PATH and head.method in (b"GET", b"HEAD"):
                self._served(200, self._reference(), connection, head)
                self._answers.json(connection, self._signer.jwks())
            elif self._passage is None:
                self._error(404, connection, head)
            else:
                reference_id = self._reference()
                self._passage.forward(start, head, connection, role="org", reference_id=reference_id)
        except HeadRefused as refused:
            self._error(refused.status, connection, head)

    def refuse(self, refused: HttpRefused, connection: Requester) -> None:
        self._error(refused.status, connection)

    def failed(self, error: BaseException, connection: Requester) -> None:
        self._boundary.report(error, connection)

    def guard(self, call: Callable[[], None], connection: Requester) -> None:
        self._boundary.run(call, connection)

    def _error(self, status: int, connection: Requester, head: RequestHead | None = None) -> None:
        page = Page(PageKind.ERROR, status, "", self._reference())
        self._served(status, page.reference_id, connection, head)
        self._answers.show(connection, page, None if head is None else head.headers, close=True)

    def _served(
        self, status: int, reference_id: str, connection: Requester, head: RequestHead | None
    ) -> None:
        self._events.emit(
            request_served(
                at=self._clock.now(),
                reference_id=reference_id,
                role="org",
                host=connection.channel.server_name,
                status=status,
                ip=logged_address(connection, self._live.current.settings.trusted_proxies),
                head=head,
            )
        )
