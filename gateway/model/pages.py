"""What a page shows. The words for each reason are the page room's; these are the facts."""

from dataclasses import dataclass
from enum import StrEnum


class PageKind(StrEnum):
    LOCKED = "locked"  # 403: the policy denies, or the device is not trusted
    FACTOR_REQUIRED = "factor_required"  # 403: the policy asks for a factor that the assertion does not show
    MESSAGE_REFUSED = "message_refused"  # 400: malformed or forged federation message
    TICKET_REFUSED = "ticket_refused"  # 400: the way back from the challenge does not fit
    ERROR = "error"  # 4xx/5xx of the proxy itself: 404, 413, 421, 500, 502, 504 …


@dataclass(frozen=True, slots=True)
class Page:
    kind: PageKind
    status: int
    reason: str  # a name of the contract; "" for plain errors
    reference_id: str
    app_label: str = ""
    learn_more_url: str | None = None


@dataclass(frozen=True, slots=True)
class ChallengeForm:
    """The self-submitting page that posts the message on to the mTLS host."""

    action: str
    fields: tuple[tuple[str, str], ...]
    app_label: str
    form_action_sources: tuple[str, ...]  # for the page's own Content-Security-Policy
