"""Requests to `<random>.<mtls_domain>`: the challenge, and nothing else; and to `est.<mtls_domain>`:
re-enrollment over a certificate of the own CA (`gateway.server.est_requests`).

The certificate of this connection's own handshake is judged in `services/challenges.py`. The body that the
browser carries along is read and dropped: the ticket binds it by the digest in the flow, and the browser
posts it again to the app host.
"""

import re
from collections.abc import Callable
from typing import Final

from gateway.model.http import RequestHead
from gateway.model.pages import Page, PageKind
from gateway.proxy.http1 import HttpRefused, RequestStart
from gateway.server.answers import Answers
from gateway.server.boundary import Boundary
from gateway.server.collect import Discard
from gateway.server.est_requests import EST_LABEL, EstRequests, is_est_path
from gateway.server.exchange import Requester
from gateway.server.hosts import HostTable
from gateway.server.requests import HeadRefused, checked_head, logged_address, request_address, request_served
from gateway.services.arrivals import ChallengeArrival
from gateway.services.challenges import Challenges
from gateway.services.outcomes import Redirect
from gateway.services.ports import Clock, EventSink
from gateway.services.snapshot import Live, Snapshot

CHALLENGE_PATH: Final = b"/challenge"
_FLOW: Final = re.compile(rb"flow=([A-Za-z0-9_-]+)")


class MtlsHandler:
    """A `Handler` for the connections of all mTLS hosts."""

    def __init__(
        self,
        live: Live[Snapshot],
        hosts: Live[HostTable],
        challenges: Challenges,
        answers: Answers,
        clock: Clock,
        events: EventSink,
        reference: Callable[[], str],
        boundary: Boundary,
        est: EstRequests | None,
    ) -> None:
        self._est = est
        self._live = live
        self._hosts = hosts
        self._challenges = challenges
        self._answers = answers
        self._clock = clock
        self._events = events
        self._reference = reference
        self._boundary = boundary

    def begin(self, start: RequestStart, connection: Requester) -> None:
        reference_id = self._reference()
        try:
            head = checked_head(start.head, connection.channel.server_name)
        except HeadRefused as refused:
            self._error(refused.status, reference_id, connection)
            return
        if self._hosts.current.label(connection.channel.server_name) == EST_LABEL:
            self._begin_est(start, head, reference_id, connection)
        elif head.path != CHALLENGE_PATH:
            self._error(404, reference_id, connection, head)
        elif head.method == b"POST":
            limit = self._live.current.settings.limits.max_message_bytes
            Discard(
                connection,
                limit,
                lambda: self._answer(head, reference_id, connection),
                lambda: self._error(413, reference_id, connection, head),
            )
        elif head.method == b"GET":
            self._answer(head, reference_id, connection)
        else:
            self._error(405, reference_id, connection, head)

    def refuse(self, refused: HttpRefused, connection: Requester) -> None:
        self._error(refused.status, self._reference(), connection)

    def failed(self, error: BaseException, connection: Requester) -> None:
        self._boundary.report(error, connection)

    def guard(self, call: Callable[[], None], connection: Requester) -> None:
        self._boundary.run(call, connection)

    def _begin_est(
        self, start: RequestStart, head: RequestHead, reference_id: str, connection: Requester
    ) -> None:
        if self._est is None or not is_est_path(head.path):
            self._error(404, reference_id, connection, head)
            return
        try:
            refused = self._est.begin(start, head, reference_id, connection)
        except HeadRefused as bad:
            self._error(bad.status, reference_id, connection, head)
            return
        if refused is not None:
            page = Page(PageKind.LOCKED, 403, refused.reason.value, reference_id)
            self._served(page.status, reference_id, connection, head)
            self._answers.show(connection, page, head.headers, close=True)

    def _answer(self, head: RequestHead, reference_id: str, connection: Requester) -> None:
        flow = _FLOW.fullmatch(head.query)
        trusted_proxies = self._live.current.settings.trusted_proxies
        try:
            ip, _ = request_address(head, connection.channel.peer_host, trusted_proxies)
        except HeadRefused as refused:
            self._error(refused.status, reference_id, connection, head)
            return
        outcome = self._challenges.answer(
            ChallengeArrival(
                label=self._hosts.current.label(connection.channel.server_name) or "",
                method=head.method.decode("ascii"),
                flow_token=flow[1].decode("ascii") if flow else "",
                peer=connection.channel.peer_certificate,
                ip=ip,
                reference_id=reference_id,
            )
        )
        if isinstance(outcome, Redirect):
            self._served(outcome.status, reference_id, connection, head)
            # The label is never asked again: the connection would only wait for its timeout.
            self._answers.redirect(
                connection, outcome.status, outcome.location, outcome.response_fields, close=True
            )
            return
        self._served(outcome.page.status, reference_id, connection, head)
        self._answers.show(connection, outcome.page, head.headers, close=True)

    def _error(
        self, status: int, reference_id: str, connection: Requester, head: RequestHead | None = None
    ) -> None:
        self._served(status, reference_id, connection, head)
        page = Page(PageKind.ERROR, status, "", reference_id)
        self._answers.show(connection, page, None if head is None else head.headers, close=True)

    def _served(
        self, status: int, reference_id: str, connection: Requester, head: RequestHead | None
    ) -> None:
        self._events.emit(
            request_served(
                at=self._clock.now(),
                reference_id=reference_id,
                role="mtls",
                host=connection.channel.server_name,
                status=status,
                ip=logged_address(connection, self._live.current.settings.trusted_proxies),
                head=head,
            )
        )
