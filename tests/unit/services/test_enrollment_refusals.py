"""Every refusal has a name, a sentence and a status, wherever it comes from."""

import pytest

from gateway.enrollment.refusal_answers import MAX_DETAIL_CHARACTERS, refusal_document, refusal_status
from gateway.enrollment.refusals import EXPLANATIONS, EnrollmentRefusal, EnrollmentRefused
from gateway.server.org.enrollment_answers import error_answer, refusal_answer
from gateway.server.org.errors import ApiError
from gateway.services.enrollment_refusals import refusal_of_issuing
from gateway.services.issuing import IssuingRefusal, IssuingRefused


@pytest.mark.parametrize("reason", list(IssuingRefusal))
def test_each_refusal_of_issuing_is_one_of_enrollment(reason: IssuingRefusal) -> None:
    refused = refusal_of_issuing(IssuingRefused(reason, "seen"))
    assert refused.reason in EXPLANATIONS
    assert refused.detail == "seen"


@pytest.mark.parametrize("reason", list(EnrollmentRefusal))
def test_each_refusal_is_told_with_what_to_do(reason: EnrollmentRefusal) -> None:
    told = refusal_document(EnrollmentRefused(reason, "x" * 9_000), "reference")
    assert told["code"] == reason
    assert told["message"].endswith(".")
    assert told["remedy"]
    assert len(told["detail"]) == MAX_DETAIL_CHARACTERS
    assert refusal_status(reason) in (400, 401, 403, 409, 429, 503)
    answer = refusal_answer(EnrollmentRefused(reason), "reference")
    assert bool(answer.headers) is (answer.status in (429, 503))  # Retry-After


@pytest.mark.parametrize(
    ("status", "code", "transient"),
    [
        (400, "REQUEST_INVALID", False),
        (413, "REQUEST_INVALID", False),
        (429, "TOO_OFTEN", True),
        (500, "UNAVAILABLE", True),
        (504, "UNAVAILABLE", True),
    ],
)
def test_errors_of_the_api_are_told_as_refusals(status: int, code: str, transient: bool) -> None:
    error = ApiError(status, "E0000001", "Summary", ("a cause",), headers={"X": "y"})
    answer = error_answer(error, "reference")
    assert (answer.status, answer.json["code"], answer.json["transient"]) == (status, code, transient)
    assert answer.json["detail"] == "Summary; a cause"
    assert answer.headers == (("X", "y"),)
