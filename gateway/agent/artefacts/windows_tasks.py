"""Tasks of the Windows Task Scheduler (its XML, version 1.2; learn.microsoft.com, "Task Scheduler Schema").

Two, as in the seed product: the user's task runs as whoever logs on, the device's task as NETWORK SERVICE,
which holds the computer's own Kerberos ticket.
"""

from datetime import timedelta
from typing import Final
from xml.sax.saxutils import escape

from gateway.agent.platform import Schedule

USER_TASK: Final = r"\DeviceTrust\User"
DEVICE_TASK: Final = r"\DeviceTrust\Device"
# The group "Users" and the account "NETWORK SERVICE", which have these SIDs in every language.
_USERS: Final = "S-1-5-32-545"
_NETWORK_SERVICE: Final = "S-1-5-20"
_NAMESPACE: Final = "http://schemas.microsoft.com/windows/2004/02/mit/task"
# A boundary in the past: the task counts its days from there.
_BEGIN: Final = "2026-01-01T09:00:00"


def user_task(schedule: Schedule) -> str:
    return _task(
        USER_TASK,
        "Enrolls and renews the Device Trust certificate of the person who is logged on.",
        f"""\
    <LogonTrigger>
      <Enabled>true</Enabled>
      <Delay>PT15S</Delay>
    </LogonTrigger>
{_daily(schedule)}""",
        f"""\
      <GroupId>{_USERS}</GroupId>
      <RunLevel>LeastPrivilege</RunLevel>""",
        schedule,
        "--user",
    )


def device_task(schedule: Schedule) -> str:
    return _task(
        DEVICE_TASK,
        "Proves to the IWA web app that this computer belongs to the domain.",
        f"""\
    <BootTrigger>
      <Enabled>true</Enabled>
      <Delay>PT1M</Delay>
    </BootTrigger>
{_daily(schedule)}""",
        f"""\
      <UserId>{_NETWORK_SERVICE}</UserId>
      <RunLevel>LeastPrivilege</RunLevel>""",
        schedule,
        "--device",
    )


def task_bytes(text: str) -> bytes:
    """UTF-16 with a byte order mark, which schtasks.exe wants."""
    return b"\xff\xfe" + text.replace("\n", "\r\n").encode("utf-16-le")


def _daily(schedule: Schedule) -> str:
    days = max(1, schedule.every // timedelta(days=1))
    return f"""\
    <CalendarTrigger>
      <Enabled>true</Enabled>
      <StartBoundary>{_BEGIN}</StartBoundary>
      <RandomDelay>{_duration(schedule.spread)}</RandomDelay>
      <ScheduleByDay>
        <DaysInterval>{days}</DaysInterval>
      </ScheduleByDay>
    </CalendarTrigger>"""


def _task(uri: str, about: str, triggers: str, principal: str, schedule: Schedule, argument: str) -> str:
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
    <ExecutionTimeLimit>PT15M</ExecutionTimeLimit>
  </Settings>
  <Actions Context="Author">
    <Exec>
      <Command>{escape(str(schedule.executable))}</Command>
      <Arguments>{argument}</Arguments>
    </Exec>
  </Actions>
</Task>
"""


def _duration(span: timedelta) -> str:
    """ISO 8601, in whole minutes, as Task Scheduler writes it."""
    minutes = max(0, int(span.total_seconds() // 60))
    hours, rest = divmod(minutes, 60)
    return "PT" + (f"{hours}H" if hours else "") + (f"{rest}M" if rest or not hours else "")
