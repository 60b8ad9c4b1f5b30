"""What the use cases answer; the server only carries it out."""

from dataclasses import dataclass
from datetime import datetime

from gateway.model.pages import ChallengeForm, Page, PageKind
from gateway.model.reasons import SYSTEM_LOG_FULL, MessageReason
from gateway.services.statements import IdentityStatement

HeaderField = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Forward:
    """Send the request to the app. ``body`` replaces the request's own; None keeps it."""

    statement: IdentityStatement | None = None
    body: bytes | None = None
    origin: str | None = None  # restored Origin; None leaves what the browser sent
    response_fields: tuple[HeaderField, ...] = ()  # Set-Cookie to be added to the app's answer
    session_ends: datetime | None = None  # what lasts longer than its session is cut off then
    anonymous: bool = False  # leave out the app's cookies and credentials


@dataclass(frozen=True, slots=True)
class ShowPage:
    page: Page
    response_fields: tuple[HeaderField, ...] = ()


@dataclass(frozen=True, slots=True)
class PostOn:
    """The self-submitting page that carries the message to the mTLS host."""

    form: ChallengeForm
    response_fields: tuple[HeaderField, ...] = ()


@dataclass(frozen=True, slots=True)
class Redirect:
    """307 keeps method and body, 303 makes a GET of it (RFC 9110 §15.4)."""

    status: int
    location: str
    response_fields: tuple[HeaderField, ...] = ()


Outcome = Forward | ShowPage | PostOn | Redirect


def log_full_page(reference_id: str, app_label: str) -> Page:
    """Nobody is let in of whom nobody would know. It passes: the page says that, and so does its status."""
    return Page(PageKind.LOCKED, 503, SYSTEM_LOG_FULL, reference_id, app_label)


def store_unavailable_page(reference_id: str, app_label: str) -> Page:
    """Nobody can tell whether this was used elsewhere. It passes, as above."""
    return Page(PageKind.LOCKED, 503, MessageReason.STORE_UNAVAILABLE, reference_id, app_label)
