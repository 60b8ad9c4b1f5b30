"""Linux: NSS databases and Firefox profiles, managed policies below /etc, systemd, and the journal."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from gateway.agent.commands import Commands, SystemCommands
from gateway.agent.platform import (
    EVENT_ID,
    BrowserPolicy,
    Change,
    Credential,
    EventLevel,
    FoundCertificate,
    PlatformFailed,
    PlatformRequest,
    Schedule,
    Setting,
    StoreKind,
)
from gateway.agent.platforms import journal
from gateway.agent.platforms.linux_browsers import remove_browser_setup, set_up_browsers
from gateway.agent.platforms.linux_schedule import SystemdSchedule
from gateway.agent.platforms.public_files import remove, write_public
from gateway.agent.platforms.settings_file import read_settings, settings_text
from gateway.agent.stores.firefox_prefs import remove_preference, set_preference
from gateway.agent.stores.nss import PACKAGES, NssDatabase
from gateway.agent.stores.places import firefox_profiles, nss_directories

SETTINGS_FILE: Final = Path("etc/devicetrust/agent.conf")
SETTINGS_VARIABLE: Final = "DEVICETRUST_AGENT_CONF"


class LinuxPlatform:
    """``root`` is `/`, ``home`` this person's home directory. Settings are those of the computer; where it
    has none, this person's own, which is for trials."""

    def __init__(
        self,
        home: Path,
        environment: Mapping[str, str],
        commands: Commands,
        *,
        root: Path = Path("/"),
        is_administrator: bool,
        journal_socket: Path = journal.JOURNAL_SOCKET,
    ) -> None:
        self._home = home
        self._environment = environment
        self._commands = commands
        self._root = root
        self._is_administrator = is_administrator
        self._journal_socket = journal_socket
        self._config = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")

    @property
    def name(self) -> str:
        return "LINUX"

    @property
    def data_directory(self) -> Path:
        data = self._environment.get("XDG_DATA_HOME")
        return Path(data or self._home / ".local/share") / "devicetrust"

    @property
    def is_administrator(self) -> bool:
        return self._is_administrator

    def settings(self) -> tuple[Setting, ...]:
        for file in self._settings_files():
            found = read_settings(file)
            if found is not None:
                return found
        return ()

    def save_settings(self, values: Mapping[str, str]) -> Change:
        file = self._own_settings_file()
        try:
            write_public(file, settings_text(values))
        except OSError as error:
            raise PlatformFailed(f"{file}: {error.strerror or error}") from error
        return Change("settings", str(file), True)

    def remove_settings(self) -> Change:
        file = self._own_settings_file()
        try:
            remove(file)
        except OSError as error:
            raise PlatformFailed(f"{file}: {error.strerror or error}") from error
        return Change("settings", str(file), True, "removed")

    def new_request(self, common_name: str, *, hardware: bool | None = None) -> PlatformRequest | None:
        return None  # the agent makes keys itself

    def find_certificates(self, issuer_common_names: Sequence[str]) -> tuple[FoundCertificate, ...]:
        return tuple(found for database in self._databases() for found in database.find(issuer_common_names))

    def install(self, credential: Credential) -> tuple[Change, ...]:
        """One database that does not take it is said, and does not keep the others from it. Raises
        PlatformFailed where none does."""
        changes: list[Change] = []
        failures: list[PlatformFailed] = []
        for database in self._databases():
            what = f"certificate in the database of {_BROWSERS[database.kind]}"
            try:
                new = database.install(credential)
            except PlatformFailed as error:
                failures.append(error)
                changes.append(Change(what, str(database), False, f"{error} {error.remedy}".strip()))
            else:
                changes.append(Change(what, str(database), True, "" if new else "is there already"))
        if len(failures) == len(changes):
            raise failures[0]
        return tuple(changes)

    def remove(self, found: FoundCertificate) -> Change:
        NssDatabase(Path(found.store), found.kind, self._commands).remove(found)
        what = f"certificate in the database of {_BROWSERS[found.kind]}"
        return Change(what, found.store, True, f"removed {found.handle!r}")

    def set_up_browsers(self, policy: BrowserPolicy) -> tuple[Change, ...]:
        profiles = firefox_profiles(self._home, self._environment)
        return (
            *set_up_browsers(self._root, policy, administrator=self._is_administrator),
            *(set_preference(profile.directory) for profile in profiles),
        )

    def remove_browser_setup(self) -> tuple[Change, ...]:
        profiles = firefox_profiles(self._home, self._environment)
        preferences = [remove_preference(profile.directory) for profile in profiles]
        policies = remove_browser_setup(self._root) if self._is_administrator else ()
        return (*policies, *(change for change in preferences if change is not None))

    def schedule(self, schedule: Schedule) -> tuple[Change, ...]:
        return self._systemd().set(schedule)

    def unschedule(self) -> tuple[Change, ...]:
        return self._systemd().unset()

    def log_event(self, level: EventLevel, message: str, event_id: int = EVENT_ID) -> None:
        journal.send(journal.journal_entry(level, message, event_id), self._journal_socket)

    def _settings_files(self) -> tuple[Path, ...]:
        named = self._environment.get(SETTINGS_VARIABLE)
        if named:
            return (Path(named),)
        return (self._root / SETTINGS_FILE, self._config / "devicetrust/agent.conf")

    def _own_settings_file(self) -> Path:
        """Where this person may write them; not beside those of the computer, which would win."""
        files = self._settings_files()
        if self._is_administrator or len(files) == 1:
            return files[0]
        if files[0].exists():
            raise PlatformFailed(
                f"{files[0]}: has the settings of this computer", remedy="run this command as root"
            )
        return files[1]

    def _databases(self) -> list[NssDatabase]:
        profiles = firefox_profiles(self._home, self._environment)
        shared = nss_directories(self._home, self._environment)
        return [
            *(NssDatabase(directory, StoreKind.NSS, self._commands) for directory in shared),
            *(NssDatabase(profile.directory, StoreKind.FIREFOX, self._commands) for profile in profiles),
        ]

    def _systemd(self) -> SystemdSchedule:
        return SystemdSchedule(self._root, self._config, self._commands, administrator=self._is_administrator)


_BROWSERS: Final = {StoreKind.NSS: "Chromium, Chrome and Edge", StoreKind.FIREFOX: "Firefox"}


def this_platform() -> LinuxPlatform:
    return LinuxPlatform(
        Path.home(), os.environ, SystemCommands(PACKAGES), is_administrator=os.geteuid() == 0
    )
