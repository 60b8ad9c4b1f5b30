"""The IWA web apps that are registered with the org, as the store keeps them.

Each signs its tokens with a key of its own, of which the org knows the public half.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum


class IwaStatus(StrEnum):
    ENABLED = "ENABLED"
    DISABLED = "DISABLED"  # nothing that it signs counts, and no agent is told of it


@dataclass(frozen=True, slots=True)
class Iwa:
    """``online``: it has reported itself lately; ``health`` is what it said then. Whether it is online
    changes only the order in which agents try: what it signs counts all the same."""

    id: str
    name: str  # unique
    url: str  # what agents are told, without a slash at its end
    public_jwk: Mapping[str, object]  # RFC 7517
    key_id: str  # RFC 7638 thumbprint of it; unique
    version: str
    realms: Sequence[str]
    status: IwaStatus
    is_primary: bool  # the one that agents try first
    created: datetime
    last_updated: datetime
    last_seen: datetime | None = None
    health: Mapping[str, object] = field(default_factory=dict)
    online: bool = False

    @property
    def enabled(self) -> bool:
        return self.status is IwaStatus.ENABLED
