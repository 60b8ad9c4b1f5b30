"""The errors of the API, in the shape and with the codes of the Okta API that tools know.

``{errorCode, errorSummary, errorLink, errorId, errorCauses: [{errorSummary}]}``; ``errorId`` is the reference
id of the request, which is also in `X-Okta-Request-Id` and in the log.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from gateway.model.quoting import printable

MAX_CAUSES: Final = 50
# Of what was sent, in an error that quotes it.
_MAX_QUOTED_CHARACTERS: Final = 200


class ApiError(Exception):
    """A request that is answered with an error. ``details`` are members of our own, beside Okta's."""

    def __init__(
        self,
        status: int,
        code: str,
        summary: str,
        causes: Sequence[str] = (),
        *,
        headers: Mapping[str, str] | None = None,
        details: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(f"{status} {code}: {summary}")
        self.status = status
        self.code = code
        self.summary = summary
        self.causes = tuple(causes)[:MAX_CAUSES]
        self.headers = dict(headers or {})
        self.details = dict(details or {})

    def body(self, reference_id: str) -> dict[str, Any]:
        return {
            "errorCode": self.code,
            "errorSummary": self.summary,
            "errorLink": self.code,
            "errorId": reference_id,
            "errorCauses": [{"errorSummary": cause} for cause in self.causes],
            **self.details,
        }


def validation_failed(subject: str, *causes: str) -> ApiError:
    """``subject`` is the field or the kind of thing, as in the causes `login: …`."""
    return ApiError(400, "E0000001", f"Api validation failed: {subject}", causes)


def not_well_formed(cause: str) -> ApiError:
    return ApiError(400, "E0000003", "The request body was not well-formed.", (cause,))


def not_permitted() -> ApiError:
    return ApiError(403, "E0000006", "You do not have permission to perform the requested action")


def resource_not_found(identifier: str, kind: str) -> ApiError:
    quoted = printable(identifier, _MAX_QUOTED_CHARACTERS)[1:-1]
    return ApiError(404, "E0000007", f"Not found: Resource not found: {quoted} ({kind})")


def path_not_found() -> ApiError:
    return ApiError(404, "E0000008", "The requested path was not found")


def internal_error() -> ApiError:
    return ApiError(500, "E0000009", "Internal Server Error")


def read_only_mode() -> ApiError:
    return ApiError(503, "E0000010", "Service is in read only mode")


def store_unavailable() -> ApiError:
    """Another request may do: the store comes back by itself, or somebody brings it back."""
    return ApiError(
        503,
        "E0000009",
        "Internal Server Error",
        ("The store is not available",),
        headers={"Retry-After": "5"},
    )


def invalid_token() -> ApiError:
    return ApiError(
        401,
        "E0000011",
        "Invalid token provided",
        headers={"WWW-Authenticate": 'Bearer realm="devicetrust", SSWS realm="devicetrust"'},
    )


def not_allowed_now(cause: str) -> ApiError:
    """The thing is in a status in which this cannot be done with it."""
    return ApiError(403, "E0000038", "This operation is not allowed in the current status.", (cause,))


def conflict(cause: str, **details: Any) -> ApiError:
    """Refused because of what else there is; ``details`` tell which."""
    return ApiError(409, "E0000001", f"Api validation failed: {cause}", (cause,), details=details)


def unsupported_media_type(cause: str) -> ApiError:
    return ApiError(415, "E0000012", "Unsupported media type", (cause,))


def method_not_supported(allowed: Sequence[str]) -> ApiError:
    return ApiError(
        405,
        "E0000022",
        "The endpoint does not support the provided HTTP method",
        headers={"Allow": ", ".join(allowed)},
    )


def rate_limit_exceeded(retry_after_seconds: int) -> ApiError:
    return ApiError(
        429,
        "E0000047",
        "API call exceeded rate limit due to too many requests.",
        headers={"Retry-After": str(retry_after_seconds)},
    )


def invalid_filter(cause: str) -> ApiError:
    return ApiError(400, "E0000031", f"Invalid search criteria: {cause}", (cause,))


def request_timed_out() -> ApiError:
    return ApiError(408, "E0000009", "The request did not arrive in time.", headers={"Connection": "close"})


def took_too_long() -> ApiError:
    return ApiError(504, "E0000009", "Internal Server Error", ("It took too long",))


def too_large(limit_bytes: int) -> ApiError:
    return ApiError(
        413,
        "E0000003",
        "The request body was not well-formed.",
        (f"The body is larger than {limit_bytes} bytes",),
        headers={"Connection": "close"},
    )
