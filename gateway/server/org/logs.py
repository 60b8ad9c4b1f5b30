"""`/api/v1/logs`: the System Log, as tools for Okta read it."""

import time
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import urlencode

from gateway.adapters.store import View
from gateway.model.log_event import Outcome, Severity
from gateway.model.org import TokenScope
from gateway.server.org.call import Call
from gateway.server.org.errors import ApiError
from gateway.server.org.listing import list_of
from gateway.server.org.openapi import answers, query_parameter, reference
from gateway.server.org.route import Answer, Route
from gateway.services.log_pages import LogPage, read_page
from gateway.system_log.errors import QueryRefused
from gateway.system_log.filter import MAX_FILTER_CHARACTERS
from gateway.system_log.query import DEFAULT_LIMIT, MAX_LIMIT, Bounded, Question, parse_question
from gateway.system_log.wire import timestamp

# A page that has not found enough by then ends, and the next one goes on from there.
_PAGE_SECONDS: Final = 5.0
_TIMES: Final = ("since", "after")


async def list_log_events(call: Call) -> Answer:
    fields = call.fields()
    try:
        question = parse_question(fields, call.clock.now())
    except QueryRefused as refused:
        raise ApiError(400, refused.code, refused.summary, refused.causes) from None

    def query(view: View) -> LogPage:
        ends = time.monotonic() + _PAGE_SECONDS
        return read_page(view.log, question, lambda: time.monotonic() > ends)

    page = await call.store.read(query)
    # The store holds each event in the form in which it was hashed: it is sent as it is.
    body = "[" + ",".join(row.event_json for row in page.rows) + "]"
    headers = (("Content-Type", "application/json"), *_links(call.base_url, fields, question, page))
    return Answer(headers=headers, body=body.encode("ascii"))


def _links(
    base_url: str, fields: Mapping[str, str], question: Question, page: LogPage
) -> list[tuple[str, str]]:
    """`self` first and `next` last, each a field of its own; no comma in either: tools split there."""
    links = [("Link", f'<{_url(base_url, fields)}>; rel="self"')]
    if page.next is not None:
        following = {name: value for name, value in fields.items() if name not in _TIMES}
        if isinstance(question.range, Bounded):
            following["until"] = timestamp(question.range.until)
        following["after"] = str(page.next)
        links.append(("Link", f'<{_url(base_url, following)}>; rel="next"'))
    return links


def _url(base_url: str, fields: Mapping[str, str]) -> str:
    return f"{base_url}/api/v1/logs" + (f"?{urlencode(fields)}" if fields else "")


_TEXT: Final = {"type": "string"}
_MOMENT: Final = {"type": "string", "format": "date-time"}
_MAYBE_TEXT: Final = {"type": ["string", "null"]}
_NAMED: Final[Mapping[str, Any]] = {
    "id": _TEXT,
    "type": _TEXT,
    "alternateId": _TEXT,
    "displayName": _TEXT,
    "detailEntry": {"type": ["object", "null"]},
}
_LOG_EVENT: Final[Mapping[str, Any]] = {
    "type": "object",
    "description": "One event of the System Log.",
    "required": ["uuid", "published", "eventType", "displayMessage", "severity", "version", "outcome"],
    "properties": {
        "uuid": {"type": "string", "format": "uuid"},
        "published": {"type": "string", "format": "date-time"},
        "eventType": _TEXT,
        "displayMessage": _TEXT,
        "legacyEventType": _MAYBE_TEXT,
        "version": {"const": "0"},
        "severity": {"enum": [severity.value for severity in Severity]},
        "outcome": {
            "type": "object",
            "properties": {"result": {"enum": [each.value for each in Outcome]}, "reason": _MAYBE_TEXT},
        },
        "actor": {"type": "object", "properties": _NAMED},
        "target": {"type": ["array", "null"], "items": {"type": "object", "properties": _NAMED}},
        "client": {"type": "object"},
        "device": {"type": ["object", "null"]},
        "request": {"type": "object"},
        "authenticationContext": {"type": "object"},
        "securityContext": {"type": "object"},
        "debugContext": {"type": "object", "properties": {"debugData": {"type": "object"}}},
        "transaction": {"type": "object"},
    },
}
SCHEMAS: Final[Mapping[str, Any]] = {"LogEvent": _LOG_EVENT}

ROUTES: Final[Sequence[Route]] = (
    Route(
        "GET",
        "/api/v1/logs",
        TokenScope.READ,
        list_log_events,
        {
            "operationId": "listLogEvents",
            "summary": "Read the System Log",
            "description": "Without `until` and ascending, events come in the order in which they were "
            "written, and every page has a next one: whoever follows it sees each event once. Else they come "
            "in the order of `published`, and the last page has no next one.",
            "tags": ["System Log"],
            "parameters": [
                query_parameter("since", "From this time on.", _MOMENT),
                query_parameter("until", "Before this time.", _MOMENT),
                query_parameter("after", "Of a next link.", {"type": "string", "maxLength": 200}),
                query_parameter(
                    "filter",
                    'Comparisons such as `eventType eq "pki.cert.revoke" and target.id pr`.',
                    {"type": "string", "maxLength": MAX_FILTER_CHARACTERS},
                ),
                query_parameter("q", "Up to ten words, all of which have to occur."),
                query_parameter(
                    "limit",
                    "Events of one page.",
                    {"type": "integer", "minimum": 0, "maximum": MAX_LIMIT, "default": DEFAULT_LIMIT},
                ),
                query_parameter(
                    "sortOrder",
                    "Of `published`.",
                    {"enum": ["ASCENDING", "DESCENDING"], "default": "ASCENDING"},
                ),
            ],
            "responses": answers("Events", list_of(reference("LogEvent"))),
        },
        okta_scope="okta.logs.read",
    ),
)
