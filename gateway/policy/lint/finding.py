"""What a lint rule says, and what it may look at."""

from dataclasses import dataclass
from enum import StrEnum

from gateway.policy.conditions import Zones
from gateway.policy.lint.space import Space
from gateway.policy.rules import Policy


class Severity(StrEnum):
    ERROR = "error"  # the policy does not do what it says
    WARNING = "warning"  # it lets someone in, or has a part, that its author may not expect
    INFO = "info"


@dataclass(frozen=True, slots=True)
class Finding:
    """``rule`` is None where the finding is about the default or the policy as a whole."""

    severity: Severity
    code: str
    rule: str | None
    sentence: str
    remedy: str


@dataclass(frozen=True, slots=True)
class LintContext:
    """``zones`` and ``device_trust_enabled`` are None where the policy is read without settings."""

    policy: Policy
    space: Space
    zones: Zones | None
    device_trust_enabled: bool | None
