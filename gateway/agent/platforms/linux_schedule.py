"""systemd units of a Linux computer: for everybody as root, else for this person alone."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from gateway.agent.artefacts.systemd import (
    DEVICE_SERVICE,
    DEVICE_SOCKET,
    LOGIN_TIMER,
    TIMER,
    system_units,
    user_units,
)
from gateway.agent.commands import Commands
from gateway.agent.platform import Change, PlatformFailed, Schedule
from gateway.agent.platforms.public_files import remove, write_public

_TIMERS: Final = (LOGIN_TIMER, TIMER)
USER_UNITS_FOR_ALL: Final = Path("etc/systemd/user")
SYSTEM_UNITS: Final = Path("etc/systemd/system")


class SystemdSchedule:
    """``root`` is `/`; ``config`` is this person's XDG_CONFIG_HOME."""

    def __init__(self, root: Path, config: Path, commands: Commands, *, administrator: bool) -> None:
        self._root = root
        self._own = config / "systemd/user"
        self._commands = commands
        self._administrator = administrator

    def set(self, schedule: Schedule) -> tuple[Change, ...]:
        """Raises PlatformFailed where a unit cannot be written."""
        if not self._administrator:
            return (
                *_written(self._own, user_units(schedule)),
                self._told("user", "daemon-reload"),
                self._told("user", "enable", "--now", *_TIMERS),
            )
        return (
            *_written(self._root / USER_UNITS_FOR_ALL, user_units(schedule)),
            *_written(self._root / SYSTEM_UNITS, system_units(schedule)),
            self._told("global", "enable", *_TIMERS),
            self._told("system", "daemon-reload"),
            self._told("system", "enable", "--now", DEVICE_SOCKET),
        )

    def unset(self) -> tuple[Change, ...]:
        """What there was of it. Raises PlatformFailed where a unit cannot be removed."""
        example = Schedule(Path("/"))
        changes: list[Change] = []
        if not self._administrator:
            if (self._own / TIMER).exists():
                changes.append(self._told("user", "disable", "--now", *_TIMERS))
                changes += _removed(self._own, user_units(example))
                changes.append(self._told("user", "daemon-reload"))
            return tuple(changes)
        if (self._root / SYSTEM_UNITS / DEVICE_SOCKET).exists():
            changes.append(self._told("system", "disable", "--now", DEVICE_SOCKET, DEVICE_SERVICE))
            changes += _removed(self._root / SYSTEM_UNITS, system_units(example))
            changes.append(self._told("system", "daemon-reload"))
        if (self._root / USER_UNITS_FOR_ALL / TIMER).exists():
            changes.append(self._told("global", "disable", *_TIMERS))
            changes += _removed(self._root / USER_UNITS_FOR_ALL, user_units(example))
        return tuple(changes)

    def _told(self, whose: str, *arguments: str) -> Change:
        command = ["systemctl", f"--{whose}", *arguments]
        what, where = "systemd", " ".join(command)
        try:
            finished = self._commands.run(command)
        except PlatformFailed as error:
            return Change(what, where, False, f"{error}; the units are there, and count once systemd runs")
        if finished.status == 0:
            return Change(what, where, True)
        return Change(what, where, False, finished.complaint)


def _written(directory: Path, units: Mapping[str, str]) -> Iterable[Change]:
    for name, text in units.items():
        file = directory / name
        try:
            write_public(file, text)
        except OSError as error:
            raise PlatformFailed(f"{file}: {error.strerror or error}") from error
        yield Change("systemd unit", str(file), True)


def _removed(directory: Path, units: Mapping[str, str]) -> Iterable[Change]:
    for name in units:
        try:
            there = remove(directory / name)
        except OSError as error:
            raise PlatformFailed(f"{directory / name}: {error.strerror or error}") from error
        if there:
            yield Change("systemd unit", str(directory / name), True, "removed")
