"""Windows: the certificate store of the person, the registry, the Task Scheduler and the event log.

Everything goes through the system's own programs (certreq, PowerShell, reg, schtasks). **None of it has been
run**: what is tested is which commands are given, and what stands in the files that they are given.
"""

import base64
import ctypes
import json
import os
import re
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gateway.agent.artefacts.auto_select import auto_select_item
from gateway.agent.artefacts.registry import (
    CHROME_KEY,
    EDGE_KEY,
    SETTINGS_KEY,
    RegistryValue,
    chrome_values,
    edge_values,
    free_number,
    internet_explorer_values,
    settings_values,
)
from gateway.agent.artefacts.windows_certificates import (
    FIND_SCRIPT,
    TPM_SCRIPT,
    certreq_inf,
    event_script,
    powershell,
    register_event_source_script,
    remove_event_source_script,
    remove_script,
)
from gateway.agent.artefacts.windows_tasks import task_bytes, tasks
from gateway.agent.certificate_names import issuer_common_name
from gateway.agent.commands import Commands, Finished, SystemCommands
from gateway.agent.platform import (
    EVENT_ID,
    EVENT_SOURCE,
    BrowserPolicy,
    Change,
    Credential,
    EventLevel,
    FoundCertificate,
    PlatformFailed,
    PlatformKey,
    PlatformRequest,
    Schedule,
    Setting,
    StoreKind,
)

# What was added to the browsers' lists. Below the settings, and none of them.
BROWSER_SETUP_KEY: Final = rf"{SETTINGS_KEY}\BrowserSetup"
STORE: Final = r"Cert:\CurrentUser\My"
# Encoded twice, it must fit into a command line.
MAX_MESSAGE_CHARACTERS: Final = 2_048
# `    OrgUrl    REG_SZ    https://…`, as reg.exe prints it.
_QUERIED: Final = re.compile(r" {4}(?P<name>.+?) {4}REG_(?:SZ|EXPAND_SZ|DWORD) {4}(?P<data>.*)")
_ENTRY_TYPES: Final = {
    EventLevel.INFORMATION: "Information",
    EventLevel.WARNING: "Warning",
    EventLevel.ERROR: "Error",
}


class WindowsPlatform:
    """``make_directory``: where files for the programs are made, of this person alone."""

    def __init__(
        self,
        data_directory: Path,
        commands: Commands,
        *,
        is_administrator: bool,
        make_directory: Callable[[], tempfile.TemporaryDirectory[str]] = tempfile.TemporaryDirectory,
    ) -> None:
        self._data_directory = data_directory
        self._commands = commands
        self._is_administrator = is_administrator
        self._make_directory = make_directory

    @property
    def name(self) -> str:
        return "WINDOWS"

    @property
    def data_directory(self) -> Path:
        return self._data_directory

    @property
    def is_administrator(self) -> bool:
        return self._is_administrator

    def settings(self) -> tuple[Setting, ...]:
        values = self._queried(SETTINGS_KEY)
        return tuple(Setting(name, data, rf"{SETTINGS_KEY}\{name}") for name, data in values.items())

    def save_settings(self, values: Mapping[str, str]) -> Change:
        self._need_administrator("settings")
        for name in self._queried(SETTINGS_KEY):
            if name not in values:
                self._run(["reg", "delete", SETTINGS_KEY, "/v", name, "/f"])
        for value in settings_values(values):
            self._add(value)
        return Change("settings", SETTINGS_KEY, True)

    def remove_settings(self) -> Change:
        self._need_administrator("settings")
        self._run(["reg", "delete", SETTINGS_KEY, "/f"])
        return Change("settings", SETTINGS_KEY, True, "removed")

    def new_request(self, common_name: str, *, hardware: bool | None = None) -> PlatformRequest | None:
        """By certreq, which keeps key and request until the certificate comes. The key is known by the
        request, so that ``name`` is only for people."""
        if hardware is None:
            hardware = self._powershell(TPM_SCRIPT).output.strip() == b"yes"
        with self._make_directory() as directory:
            inf, request = Path(directory) / "request.inf", Path(directory) / "request.pem"
            inf.write_text(certreq_inf(common_name, hardware=hardware), encoding="ascii", newline="\r\n")
            self._run(["certreq", "-new", "-user", "-q", str(inf), str(request)])
            try:
                made = x509.load_pem_x509_csr(request.read_bytes())
            except (OSError, ValueError) as error:
                raise PlatformFailed(f"certreq made no request that can be read ({error})") from error
        return PlatformRequest(PlatformKey(common_name), made.public_bytes(Encoding.DER), hardware)

    def find_certificates(self, issuer_common_names: Sequence[str]) -> tuple[FoundCertificate, ...]:
        answer = self._powershell(FIND_SCRIPT).output
        try:
            entries = [
                (str(entry["handle"]), base64.b64decode(entry["certificate"]), entry["has_key"] is True)
                for entry in json.loads(answer or b"[]")
            ]
        except (ValueError, TypeError, KeyError) as error:
            raise PlatformFailed(f"{STORE}: PowerShell's answer is not understood ({error})") from error
        return tuple(
            FoundCertificate(StoreKind.WINDOWS, STORE, handle, der, has_key)
            for handle, der, has_key in entries
            if issuer_common_name(der) in issuer_common_names
        )

    def install(self, credential: Credential) -> tuple[Change, ...]:
        """The issuers go into the person's store of intermediates: none becomes trusted."""
        if not isinstance(credential.key, PlatformKey):
            raise PlatformFailed(f"{STORE}: takes certificates only for keys that it made itself")
        with self._make_directory() as directory:
            for number, der in enumerate(credential.chain_der, 1):
                issuer = Path(directory) / f"issuer-{number}.cer"
                issuer.write_bytes(der)
                self._run(["certutil", "-user", "-f", "-addstore", "CA", str(issuer)])
            certificate = Path(directory) / "certificate.cer"
            certificate.write_bytes(credential.certificate_der)
            self._run(["certreq", "-accept", "-user", "-q", str(certificate)])
        return (Change("certificate", STORE, True),)

    def remove(self, found: FoundCertificate) -> Change:
        try:
            script = remove_script(found.handle)
        except ValueError as error:
            raise PlatformFailed(f"{STORE}: {error}") from error
        self._powershell(script)
        return Change("certificate", STORE, True, f"removed {found.handle}")

    def set_up_browsers(self, policy: BrowserPolicy) -> tuple[Change, ...]:
        """As administrator the policies of the computer, as a person that person's zone map."""
        zones = internet_explorer_values(policy)
        if not self._is_administrator:
            own = [self._add(value) for value in zones if value.key.startswith("HKEY_CURRENT_USER")]
            return (*(self._left_to_administrator(key, policy) for key in (CHROME_KEY, EDGE_KEY)), *own)
        item = auto_select_item(policy)
        self._remove_items(except_for=item)
        values = (
            *chrome_values(policy, free_number(self._queried(CHROME_KEY), item)),
            *edge_values(policy, free_number(self._queried(EDGE_KEY), item)),
            *(value for value in zones if value.key.startswith("HKEY_LOCAL_MACHINE")),
        )
        self._add(RegistryValue(BROWSER_SETUP_KEY, "Item", item))
        return tuple(self._add(value) for value in values)

    def remove_browser_setup(self) -> tuple[Change, ...]:
        """Items of Chrome and Edge. Zones stay: they change nothing once there is no certificate."""
        if not self._is_administrator:
            return ()
        changes = self._remove_items()
        if changes:
            self._run(["reg", "delete", BROWSER_SETUP_KEY, "/f"])
        return changes

    def _remove_items(self, except_for: str | None = None) -> tuple[Change, ...]:
        """Of the lists that others add to as well, only what we remember to have added."""
        ours = self._queried(BROWSER_SETUP_KEY).get("Item")
        if ours is None or ours == except_for:
            return ()
        changes = []
        for key in (CHROME_KEY, EDGE_KEY):
            for name in [name for name, data in self._queried(key).items() if data == ours]:
                self._run(["reg", "delete", key, "/v", name, "/f"])
                changes.append(Change("registry value", rf"{key}\{name}", True, "removed"))
        return tuple(changes)

    def schedule(self, schedule: Schedule) -> tuple[Change, ...]:
        self._need_administrator("scheduled tasks")
        changes = []
        with self._make_directory() as directory:
            for name, text in tasks(schedule).items():
                file = Path(directory) / f"{name.rpartition(chr(92))[2]}.xml"
                file.write_bytes(task_bytes(text))
                self._run(["schtasks", "/Create", "/TN", name, "/XML", str(file), "/F"])
                changes.append(Change("scheduled task", name, True))
        self._powershell(register_event_source_script(EVENT_SOURCE))
        return (*changes, Change("event log", EVENT_SOURCE, True))

    def unschedule(self) -> tuple[Change, ...]:
        self._need_administrator("scheduled tasks")
        changes = []
        for name in tasks(Schedule(Path("agent.exe"))):
            done = self._commands.run(["schtasks", "/Delete", "/TN", name, "/F"])
            if done.status == 0:
                changes.append(Change("scheduled task", name, True, "removed"))
        self._powershell(remove_event_source_script(EVENT_SOURCE))
        return tuple(changes)

    def log_event(self, level: EventLevel, message: str, event_id: int = EVENT_ID) -> None:
        text = base64.b64encode(message[:MAX_MESSAGE_CHARACTERS].encode()).decode()
        with suppress(PlatformFailed):
            self._powershell(event_script(EVENT_SOURCE, event_id, _ENTRY_TYPES[level], text))

    def _left_to_administrator(self, key: str, policy: BrowserPolicy) -> Change:
        if auto_select_item(policy) in self._queried(key).values():
            return Change("registry value", key, True, "is there already")
        detail = "needs an administrator: install the agent as administrator, or use a group policy"
        return Change("registry value", key, False, detail)

    def _queried(self, key: str) -> dict[str, str]:
        """Values by name; {} where there is no such key."""
        finished = self._commands.run(["reg", "query", key])
        if finished.status != 0:
            return {}
        lines = finished.output.decode("utf-8", "replace").splitlines()
        rows = (_QUERIED.fullmatch(line) for line in lines)
        return {row["name"]: row["data"] for row in rows if row is not None}

    def _add(self, value: RegistryValue) -> Change:
        data = str(value.data)
        self._run(["reg", "add", value.key, "/v", value.name, "/t", value.kind, "/d", data, "/f"])
        return Change("registry value", rf"{value.key}\{value.name}", True)

    def _powershell(self, script: str) -> Finished:
        return self._run(powershell(script))

    def _run(self, arguments: Sequence[str]) -> Finished:
        finished = self._commands.run(list(arguments))
        if finished.status != 0:
            raise PlatformFailed(f"{' '.join(arguments[:3])}: {finished.complaint}")
        return finished

    def _need_administrator(self, what: str) -> None:
        if not self._is_administrator:
            raise PlatformFailed(
                f"{what}: only an administrator may change them", remedy="run this command as administrator"
            )


def this_platform() -> WindowsPlatform:
    local = os.environ.get("LOCALAPPDATA") or str(Path.home() / "AppData" / "Local")
    administrator = sys.platform == "win32" and bool(ctypes.windll.shell32.IsUserAnAdmin())
    return WindowsPlatform(Path(local) / "DeviceTrust", SystemCommands(), is_administrator=administrator)
