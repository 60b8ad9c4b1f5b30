"""A refusal as it goes over HTTP: the same JSON from the IWA web app and from the org, read by the agent."""

from typing import Any, Final

from gateway.enrollment.refusals import EXPLANATIONS, EnrollmentRefusal, EnrollmentRefused

MAX_DETAIL_CHARACTERS: Final = 500
_R = EnrollmentRefusal

_UNAUTHENTICATED: Final = frozenset(
    (
        _R.NEGOTIATE_FAILED,
        _R.NTLM_REFUSED,
        _R.TICKET_REPLAYED,
        _R.CLOCK_SKEW,
        _R.CHANNEL_BINDING_MISSING,
        _R.CHANNEL_BINDING_MISMATCH,
    )
)
_STATUS: Final = {
    _R.REQUEST_INVALID: 400,
    _R.KEY_MISMATCH: 400,
    **dict.fromkeys(_UNAUTHENTICATED, 401),
    _R.DEVICE_TOKEN_REPLAYED: 409,
    _R.USER_TOKEN_REPLAYED: 409,
    _R.TOO_MANY_CERTIFICATES: 409,
    _R.NOT_DUE: 409,
    _R.TOO_OFTEN: 429,
    _R.DIRECTORY_UNAVAILABLE: 503,
    _R.IWA_NOT_REGISTERED: 503,
    _R.READ_ONLY: 503,
    _R.NO_AUTHORITY: 503,
    _R.UNAVAILABLE: 503,
}


def refusal_status(reason: EnrollmentRefusal) -> int:
    """The HTTP status. With 401 the answer says `WWW-Authenticate: Negotiate` (RFC 4559 §4.1)."""
    return _STATUS.get(reason, 403)


def refusal_document(refused: EnrollmentRefused, reference_id: str) -> dict[str, Any]:
    """The JSON value. ``reference_id`` is also in the log of whoever refused."""
    explanation = EXPLANATIONS[refused.reason]
    return {
        "code": refused.reason.value,
        "message": explanation.sentence,
        "remedy": explanation.remedy,
        "detail": refused.detail[:MAX_DETAIL_CHARACTERS],
        "transient": explanation.transient,
        "reference_id": reference_id,
    }
