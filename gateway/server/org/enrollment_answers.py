"""How `/enroll/…` answers: refusals by their codes, and what the OpenAPI document says of them."""

from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

from gateway.enrollment.refusal_answers import refusal_document, refusal_status
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.server.org.call import Call
from gateway.server.org.errors import ApiError
from gateway.server.org.openapi import answers, json_content, reference, takes
from gateway.server.org.route import Answer, Budget, Route

# A whole office enrolls from one address.
ENROLLMENT: Final = Budget("enrollment", 1_200)
_MAX_BODY_BYTES: Final = 64 * 1024
_TOO_OFTEN_SECONDS: Final = "3600"
_UNAVAILABLE_SECONDS: Final = "60"

SCHEMAS: Final[dict[str, Any]] = {
    "EnrollmentRefusal": {
        "type": "object",
        "required": ["code", "message", "remedy", "detail", "transient", "reference_id"],
        "properties": {
            "code": {"enum": [reason.value for reason in EnrollmentRefusal]},
            "message": {"type": "string", "description": "For the person at the computer."},
            "remedy": {"type": "string", "description": "For whoever looks after it."},
            "detail": {"type": "string", "description": "What was seen."},
            "transient": {"type": "boolean", "description": "Asking again later may do."},
            "reference_id": {"type": "string", "description": "Also in the log."},
        },
    }
}
REFUSED: Final = {
    "default": {"description": "A refusal.", "content": json_content(reference("EnrollmentRefusal"))}
}


def refusal_answer(refused: EnrollmentRefused, reference_id: str) -> Answer:
    status = refusal_status(refused.reason)
    headers: tuple[tuple[str, str], ...] = ()
    if status == 429:
        headers = (("Retry-After", _TOO_OFTEN_SECONDS),)
    elif status == 503:
        headers = (("Retry-After", _UNAVAILABLE_SECONDS),)
    return Answer(status, refusal_document(refused, reference_id), headers)


def error_answer(error: ApiError, reference_id: str) -> Answer:
    """What went wrong before a handler was asked, in the shape of a refusal; its status stays."""
    if error.status == 429:
        reason = EnrollmentRefusal.TOO_OFTEN
    elif error.status >= 500:
        reason = EnrollmentRefusal.UNAVAILABLE
    else:
        reason = EnrollmentRefusal.REQUEST_INVALID
    detail = "; ".join((error.summary, *error.causes))
    document = refusal_document(EnrollmentRefused(reason, detail), reference_id)
    return Answer(error.status, document, tuple(error.headers.items()))


def shown_time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def operation(operation_id: str, summary: str, schema: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "tags": ["Enrollment"],
        "summary": summary,
        "operationId": operation_id,
        "responses": {**answers("Done.", schema), **REFUSED},
        **more,
    }


def enroll_route(
    name: str,
    handler: Callable[[Call], Awaitable[Answer]],
    summary: str,
    body: dict[str, Any],
    answer: dict[str, Any],
) -> Route:
    """A POST to `/enroll/NAME`, open to all: what is sent says itself whose it is."""
    operation_id = "enroll" + "".join(part.title() for part in name.split("/"))
    return Route(
        "POST",
        f"/enroll/{name}",
        None,
        handler,
        operation(operation_id, summary, answer, requestBody=takes(body)),
        budget=ENROLLMENT,
        max_body_bytes=_MAX_BODY_BYTES,
        error_answer=error_answer,
    )
