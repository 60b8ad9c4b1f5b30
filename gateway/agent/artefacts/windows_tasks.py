"""Tasks of the Windows Task Scheduler (its XML, version 1.2; learn.microsoft.com, "Task Scheduler Schema").

As in the seed product the user's tasks run as whoever is logged on (one at logon, one that looks whether
something is due), and the device's task as NETWORK SERVICE, which has the computer's own Kerberos ticket.
"""

from datetime import timedelta
from typing import Final
from xml.sax.saxutils import escape

from gateway.agent.platform import Schedule

LOGON_TASK: Final = r"\DeviceTrust\Logon"
USER_TASK: Final = r"\DeviceTrust\User"
DEVICE_TASK: Final = r"\DeviceTrust\Device"
# The group "Users" and the account "NETWORK SERVICE", which have these SIDs in every language.
_AS_USER: Final = """\
      <GroupId>S-1-5-32-545</GroupId>
      <RunLevel>LeastPrivilege</RunLevel>"""
_AS_NETWORK_SERVICE: Final = """\
      <UserId>S-1-5-20</UserId>
      <RunLevel>LeastPrivilege</RunLevel>"""
_NAMESPACE: Final = "http://schemas.microsoft.com/windows/2004/02/mit/task"
# A day in the past: from there repetitions are counted.
_BEGIN: Final = "2026-01-01T09:00:00"


def tasks(schedule: Schedule) -> dict[str, str]:
    """Name → XML of all tasks."""
    return {
        LOGON_TASK: logon_task(schedule),
        USER_TASK: user_task(schedule),
        DEVICE_TASK: device_task(schedule),
    }


def logon_task(schedule: Schedule) -> str:
    """Without a random delay: somebody waits."""
    return _task(
        LOGON_TASK,
        "Enrolls and renews the Device Trust certificate of the person who logs on.",
        """\
    <LogonTrigger>
      <Enabled>true</Enabled>
      <Delay>PT15S</Delay>
    </LogonTrigger>""",
        _AS_USER,
        schedule,
        "--user",
    )


def user_task(schedule: Schedule) -> str:
    return _task(
        USER_TASK,
        "Looks whether something is due for the Device Trust certificate of the person who is logged on.",
        _repeated(schedule),
        _AS_USER,
        schedule,
        "--user --scheduled",
    )


def device_task(schedule: Schedule) -> str:
    return _task(
        DEVICE_TASK,
        "Proves to the IWA web app that this computer belongs to the domain.",
        """\
    <BootTrigger>
      <Enabled>true</Enabled>
      <Delay>PT1M</Delay>
    </BootTrigger>""",
        _AS_NETWORK_SERVICE,
        schedule,
        "--device",
        limit="PT0S",
    )


def task_bytes(text: str) -> bytes:
    """UTF-16 with a byte order mark, which schtasks.exe wants."""
    return b"\xff\xfe" + text.replace("\n", "\r\n").encode("utf-16-le")


def _repeated(schedule: Schedule) -> str:
    return f"""\
    <CalendarTrigger>
      <Repetition>
        <Interval>{_duration(schedule.every)}</Interval>
        <Duration>P1D</Duration>
      </Repetition>
      <StartBoundary>{_BEGIN}</StartBoundary>
      <Enabled>true</Enabled>
      <RandomDelay>{_duration(schedule.spread)}</RandomDelay>
      <ScheduleByDay>
        <DaysInterval>1</DaysInterval>
      </ScheduleByDay>
    </CalendarTrigger>"""


def _task(
    uri: str,
    about: str,
    triggers: str,
    principal: str,
    schedule: Schedule,
    arguments: str,
    limit: str = "PT15M",
) -> str:
    return f"""\
<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="{_NAMESPACE}">
  <RegistrationInfo>
    <Author>Device Trust</Author>
    <Description>{escape(about)}</Description>
    <URI>{escape(uri)}</URI>
  </RegistrationInfo>
  <Triggers>
{triggers}
  </Triggers>
  <Principals>
    <Principal id="Author">
{principal}
    </Principal>
  </Principals>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>true</RunOnlyIfNetworkAvailable>
    <ExecutionTimeLimit>{limit}</ExecutionTimeLimit>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{escape(str(schedule.executable))}</Command>
      <Arguments>{arguments}</Arguments>
    </Exec>
  </Actions>
</Task>
"""


def _duration(span: timedelta) -> str:
    """ISO 8601, in whole minutes, as Task Scheduler writes it."""
    minutes = max(0, int(span.total_seconds() // 60))
    hours, rest = divmod(minutes, 60)
    return "PT" + (f"{hours}H" if hours else "") + (f"{rest}M" if rest or not hours else "")
