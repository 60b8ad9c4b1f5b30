"""Units of systemd: the user's part at login and when it is due, the device's part when it is asked.

The device's part is the only one that runs as root, because the keytab of the computer is root's. It is
started by the socket for one question at a time, can write nowhere, and sees no home directory.
"""

from typing import Final

from gateway.agent.platform import Schedule

LOGIN_SERVICE: Final = "devicetrust-login.service"
LOGIN_TIMER: Final = "devicetrust-login.timer"
SERVICE: Final = "devicetrust-agent.service"
TIMER: Final = "devicetrust-agent.timer"
DEVICE_SOCKET: Final = "devicetrust-device.socket"
DEVICE_SERVICE: Final = "devicetrust-device.service"
SOCKET_PATH: Final = "/run/devicetrust/device.sock"
# One run with its retries; a directory that is slow to answer must not hold the next run for ever.
RUN_SECONDS: Final = 900


def login_service(schedule: Schedule) -> str:
    return _user_service(schedule, "at login", "--user")


def service(schedule: Schedule) -> str:
    return _user_service(schedule, "when something is due", "--user --scheduled")


def _user_service(schedule: Schedule, when: str, arguments: str) -> str:
    """3 and 4: off the network, or another run is at work. Neither is to be mended on this computer."""
    return f"""\
[Unit]
Description=Device Trust: the certificate of this person on this computer, {when}

[Service]
Type=oneshot
ExecStart={quoted(str(schedule.executable))} {arguments}
TimeoutStartSec={RUN_SECONDS}
SuccessExitStatus=3 4
SyslogIdentifier=devicetrust-agent
UMask=0077
Nice=5
NoNewPrivileges=yes
LockPersonality=yes
RestrictRealtime=yes
SystemCallArchitectures=native
"""


def login_timer() -> str:
    """The person's systemd starts at login. Without the random delay of the other: somebody waits."""
    return f"""\
[Unit]
Description=Device Trust: shortly after login

[Timer]
OnStartupSec=15s
AccuracySec=5s
Unit={LOGIN_SERVICE}

[Install]
WantedBy=timers.target
"""


def timer(schedule: Schedule) -> str:
    """By the calendar, because monotonic timers stand still while a laptop sleeps; each computer has its own
    minute (FixedRandomDelay)."""
    minutes = min(60, max(1, round(schedule.every.total_seconds() / 60)))
    return f"""\
[Unit]
Description=Device Trust: look every {minutes} minutes whether something is due

[Timer]
OnCalendar={"hourly" if minutes == 60 else f"*:0/{minutes}"}
RandomizedDelaySec={max(0, round(schedule.spread.total_seconds()))}s
FixedRandomDelay=yes
Unit={SERVICE}

[Install]
WantedBy=timers.target
"""


def device_socket() -> str:
    """Everybody on this computer may ask: what is given is worth nothing without the person's own ticket."""
    return f"""\
[Unit]
Description=Device Trust: proof of this computer's domain membership

[Socket]
ListenStream={SOCKET_PATH}
SocketMode=0666
DirectoryMode=0755
Accept=no
Backlog=256
FileDescriptorName=device

[Install]
WantedBy=sockets.target
"""


def device_service(schedule: Schedule) -> str:
    return f"""\
[Unit]
Description=Device Trust: prove this computer's domain membership to the IWA web app
Requires={DEVICE_SOCKET}
After={DEVICE_SOCKET} network-online.target
Wants=network-online.target

[Service]
Type=simple
ExecStart={quoted(str(schedule.executable))} --device
SyslogIdentifier=devicetrust-device
TimeoutStopSec=10
UMask=0077
RuntimeDirectory=devicetrust-device
RuntimeDirectoryMode=0700
Environment=KRB5CCNAME=MEMORY:device
CapabilityBoundingSet=
AmbientCapabilities=
NoNewPrivileges=yes
ProtectSystem=strict
ProtectHome=yes
PrivateTmp=yes
PrivateDevices=yes
ProtectKernelTunables=yes
ProtectKernelModules=yes
ProtectKernelLogs=yes
ProtectControlGroups=yes
ProtectClock=yes
ProtectHostname=yes
ProtectProc=invisible
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
LockPersonality=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
SystemCallFilter=~@privileged @resources
SystemCallErrorNumber=EPERM
MemoryMax=256M
TasksMax=32
"""


def quoted(path: str) -> str:
    """One word of a command line (systemd.service(5), "Command lines"): `%` and `$` mean nothing."""
    escaped = path.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    return f'"{escaped}"' if any(character in escaped for character in " '\"\\;") else escaped


def user_units(schedule: Schedule) -> dict[str, str]:
    """File name → content, for `systemd/user`. The two timers are what is enabled."""
    return {
        LOGIN_SERVICE: login_service(schedule),
        LOGIN_TIMER: login_timer(),
        SERVICE: service(schedule),
        TIMER: timer(schedule),
    }


def system_units(schedule: Schedule) -> dict[str, str]:
    """For `systemd/system`. The socket is what is enabled."""
    return {DEVICE_SOCKET: device_socket(), DEVICE_SERVICE: device_service(schedule)}
