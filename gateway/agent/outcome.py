"""What a run is asked for, and how it ended."""

from dataclasses import dataclass, field

from gateway.agent.enrolled import Enrolled
from gateway.agent.refusal import Refusal
from gateway.agent.schedule import Ending


@dataclass(frozen=True, slots=True)
class RunOptions:
    force: bool = False
    code: str | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended. ``refusal`` is why there is no (new) certificate; ``got_one``: a new one was installed
    or at least received."""

    ending: Ending
    sentence: str
    refusal: Refusal | None = None
    got_one: bool = False


def told_refusal(refusal: Refusal) -> str:
    """A refusal in one line, for logs and people."""
    step = f" (step {refusal.step})" if refusal.step is not None else ""
    return f"{refusal.code}{step}: {refusal.message}" + (f" {refusal.remedy}" if refusal.remedy else "")


def failed(refusal: Refusal) -> Outcome:
    ending = Ending.PASSES if refusal.transient else Ending.NEEDS_SOMEBODY
    return Outcome(ending, f"{refusal.code}: {refusal.message}", refusal)


def told_certificate(enrolled: Enrolled) -> str:
    certificate = enrolled.certificate
    whose = f" for {enrolled.login}" if enrolled.login else ""
    kind = ", its key verified to be in a TPM" if enrolled.hardware_key else ""
    return (
        f"certificate {certificate.serial_number:x}{whose} is installed, "
        f"good until {certificate.not_after:%Y-%m-%d}{kind}"
    )
