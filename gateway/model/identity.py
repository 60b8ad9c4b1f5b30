"""Who signs on, as the verified federation message says it."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Identity:
    """The subject of a verified assertion. Read only from bytes that a signature covered."""

    user: str
    groups: frozenset[str]
    identity_provider: str
    authn_context_class_ref: str | None
    authn_instant: datetime | None
    session_not_on_or_after: datetime | None = None
