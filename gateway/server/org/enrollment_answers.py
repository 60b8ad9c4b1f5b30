"""How `/enroll/…` answers: refusals by their codes, and what the OpenAPI document says of them."""

from typing import Any, Final

from gateway.enrollment.refusal_answers import refusal_document, refusal_status
from gateway.enrollment.refusals import EnrollmentRefusal, EnrollmentRefused
from gateway.server.org.errors import ApiError
from gateway.server.org.openapi import json_content, reference
from gateway.server.org.route import Answer

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
