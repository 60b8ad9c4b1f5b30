"""One finding of a check: how bad, which file, what is wrong, what to do."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from gateway.adapters.key_files import KeyFileRefused
from gateway.config.errors import ConfigError

# Renewing through a change board takes weeks; public certificates live 47 to 90 days.
EXPIRING_WITHIN = timedelta(days=21)
# Clocks that follow NTP differ by less; what is dated further ahead means that ours is behind.
CLOCK_TOLERANCE = timedelta(minutes=5)


class Severity(StrEnum):
    """Worst first."""

    UNUSABLE = "unusable"  # the gateway does not start, or does not take this configuration over
    PROBLEM = "problem"  # it runs, but some sign-ons fail or pass that should not
    WARNING = "warning"  # it will become a problem, or surprises somebody
    NOTICE = "notice"  # worth knowing; does not change the exit code


@dataclass(frozen=True, slots=True)
class Finding:
    """``code`` is for scripts and does not change with the wording; ``line`` counts from 1."""

    severity: Severity
    code: str
    source: str
    what: str
    do: str
    line: int | None = None

    @property
    def place(self) -> str:
        return self.source if self.line is None else f"{self.source}:{self.line}"


def refusal(error: ConfigError | KeyFileRefused, code: str, do: str) -> Finding:
    """A file that cannot be used."""
    if isinstance(error, KeyFileRefused):
        return Finding(Severity.UNUSABLE, code, error.path, error.what, error.do)
    what = f"{error.key_path}: {error.message}" if error.key_path else error.message
    return Finding(Severity.UNUSABLE, code, error.source, what, do, error.line)


def when(instant: datetime) -> str:
    """An instant for people, to the minute."""
    return instant.astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
