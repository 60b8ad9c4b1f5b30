"""What the System Log tells of the last days: who was enrolled, who was refused and why."""

from collections.abc import Iterator
from typing import Final

from gateway.cli.checks.finding import when
from gateway.cli.doctor_parts.store_seen import LogSeen
from gateway.enrollment.refusals import EXPLANATIONS, EnrollmentRefusal
from gateway.model.checkup import Check, CheckGroup, Subject

ENROLLED: Final = Subject(CheckGroup.SYSTEM_LOG, "last enrollment (user.credential.enroll)")
AUTHENTICATED: Final = Subject(
    CheckGroup.SYSTEM_LOG, "last device by its certificate (user.authentication.authenticate)"
)
_SHOWN: Final = 8


def judge_log(log: LogSeen) -> Iterator[Check]:
    since = f"none since {when(log.since)}"
    if log.last_enrollment is None:
        yield ENROLLED.warning(
            since, "run on a computer of the domain: devicetrust-agent --user --debug, or doctor"
        )
    else:
        yield ENROLLED.ok(when(log.last_enrollment))
    if log.last_authentication is None:
        yield AUTHENTICATED.warning(
            since, "open an app on an enrolled computer; there: devicetrust-agent doctor"
        )
    else:
        yield AUTHENTICATED.ok(when(log.last_authentication))
    for code, count, last in log.refusals[:_SHOWN]:
        subject = Subject(CheckGroup.SYSTEM_LOG, f"refused: {code}")
        times = "once" if count == 1 else f"{count} times"
        yield subject.warning(f"{times}, last on {when(last)}", _remedy(code))
    if len(log.refusals) > _SHOWN:
        more = len(log.refusals) - _SHOWN
        yield Subject(CheckGroup.SYSTEM_LOG, "refused for other reasons").warning(
            f"{more} more codes", "devicetrust log tail --filter 'outcome.result eq \"FAILURE\"'"
        )


def _remedy(code: str) -> str:
    if code in EnrollmentRefusal.__members__:
        return EXPLANATIONS[EnrollmentRefusal[code]].remedy
    return "see: devicetrust log tail --filter 'outcome.result eq \"FAILURE\"'"
