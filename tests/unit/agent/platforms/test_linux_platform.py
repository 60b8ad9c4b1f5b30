"""Files of a Linux computer: what is written where, what of others stays, and what needs an administrator."""

import json
import os
import socket
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from gateway.agent.commands import Finished
from gateway.agent.platform import (
    BrowserPolicy,
    Change,
    EventLevel,
    PlatformFailed,
    Schedule,
)
from gateway.agent.platforms.linux import LinuxPlatform

POLICY = BrowserPolicy("mtls.example.com")
ITEM = '{"pattern":"https://[*.]mtls.example.com","filter":{"ISSUER":{"CN":"MTLS Certificate Authority"}}}'
SCHEDULE = Schedule(Path("/opt/devicetrust/bin/devicetrust-agent"))


class Recorded:
    """Says yes to every command, and remembers it."""

    def __init__(self, status: int = 0) -> None:
        self.commands: list[str] = []
        self._status = status

    def run(self, arguments: Sequence[str], *, given: bytes = b"", seconds: float = 30.0) -> Finished:
        self.commands.append(" ".join(arguments))
        return Finished(self._status, b"", "Failed to connect to bus\n" if self._status else "")


class Computer:
    def __init__(self, directory: Path) -> None:
        self.root = directory / "root"
        self.home = directory / "home"
        self.home.mkdir()
        self.commands = Recorded()
        self.environment: dict[str, str] = {}

    def platform(self, *, root: bool) -> LinuxPlatform:
        return LinuxPlatform(
            self.home, self.environment, self.commands, root=self.root, is_administrator=root
        )

    def write(self, path: str, content: object) -> Path:
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))
        return file

    def json(self, path: str) -> Any:
        return json.loads((self.root / path).read_text())

    def profile(self, name: str = "abc.default-esr") -> Path:
        profile = self.home / ".mozilla/firefox" / name
        profile.mkdir(parents=True)
        (profile.parent / "profiles.ini").write_text(f"[Profile0]\nName=default\nIsRelative=1\nPath={name}\n")
        return profile


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


CHROMIUM = "etc/chromium/policies/managed"
FIREFOX = "etc/firefox/policies/policies.json"


def test_root_writes_the_policy_of_each_browser_for_everybody(computer: Computer) -> None:
    changes = computer.platform(root=True).set_up_browsers(POLICY)
    assert all(change.done for change in changes)
    for directory in (CHROMIUM, "etc/opt/chrome/policies/managed", "etc/opt/edge/policies/managed"):
        assert computer.json(f"{directory}/zz-devicetrust.json") == {"AutoSelectCertificateForUrls": [ITEM]}
    assert computer.json(FIREFOX)["policies"]["Preferences"] == {
        "security.default_personal_cert": {"Value": "Select Automatically", "Status": "locked"}
    }
    assert (computer.root / FIREFOX).stat().st_mode & 0o777 == 0o644


def test_what_root_writes_can_be_read_by_everybody_whatever_the_umask(computer: Computer) -> None:
    """Administrators of hardened computers have a umask that keeps all others out."""
    before = os.umask(0o077)
    try:
        platform = computer.platform(root=True)
        platform.save_settings({"OrgUrl": "https://sso.example.com"})
        platform.set_up_browsers(POLICY)
        platform.schedule(SCHEDULE)
    finally:
        os.umask(before)
    made = [path for path in computer.root.rglob("*") if path.parent != computer.root]
    assert len(made) > 10
    assert {oct(path.stat().st_mode & 0o777) for path in made if path.is_dir()} == {"0o755"}
    assert {oct(path.stat().st_mode & 0o777) for path in made if path.is_file()} == {"0o644"}


def test_without_root_it_is_said_who_can(computer: Computer) -> None:
    changes = computer.platform(root=False).set_up_browsers(POLICY)
    assert [change.done for change in changes] == [False, False, False]
    assert all("as root once" in change.detail for change in changes)
    assert not computer.root.exists()
    computer.platform(root=True).set_up_browsers(POLICY)
    assert all(change.done for change in computer.platform(root=False).set_up_browsers(POLICY))


def test_items_of_other_policy_files_stay_in_force(computer: Computer) -> None:
    theirs = '{"pattern":"https://pki.example.com","filter":{}}'
    file = computer.write(
        f"{CHROMIUM}/corp.json", {"AutoSelectCertificateForUrls": [theirs, 7], "HomepageLocation": "x"}
    )
    before = file.read_text()
    computer.write(f"{CHROMIUM}/broken.json", "{")
    changes = computer.platform(root=True).set_up_browsers(POLICY)
    assert computer.json(f"{CHROMIUM}/zz-devicetrust.json") == {
        "AutoSelectCertificateForUrls": [ITEM, theirs]
    }
    assert file.read_text() == before
    assert "broken.json" in changes[0].detail
    assert computer.platform(root=True).set_up_browsers(POLICY)[0].detail == "is there already"


def test_a_file_of_others_that_hides_ours_is_named(computer: Computer) -> None:
    computer.write(f"{CHROMIUM}/zzz.json", {"AutoSelectCertificateForUrls": ["{}"]})
    computer.write(f"{CHROMIUM}/zzzz.json", {"HomepageLocation": "x"})
    for _ in range(2):
        change = computer.platform(root=True).set_up_browsers(POLICY)[0]
        assert not change.done
        assert "zzz.json is read after it" in change.detail


def test_another_domain_takes_the_place_of_the_former_one(computer: Computer) -> None:
    computer.platform(root=True).set_up_browsers(POLICY)
    computer.platform(root=True).set_up_browsers(BrowserPolicy("mtls.example.org", "Other CA", 8443))
    (item,) = computer.json(f"{CHROMIUM}/zz-devicetrust.json")["AutoSelectCertificateForUrls"]
    assert json.loads(item) == {
        "pattern": "https://[*.]mtls.example.org:8443",
        "filter": {"ISSUER": {"CN": "Other CA"}},
    }


def test_what_others_set_in_firefox_stays(computer: Computer) -> None:
    theirs = {"policies": {"DisableTelemetry": True, "Preferences": {"a.b": {"Value": 1}}}, "x": []}
    computer.write(FIREFOX, theirs)
    platform = computer.platform(root=True)
    platform.set_up_browsers(POLICY)
    assert computer.json(FIREFOX)["policies"]["DisableTelemetry"] is True
    assert set(computer.json(FIREFOX)["policies"]["Preferences"]) == {"a.b", "security.default_personal_cert"}
    platform.remove_browser_setup()
    assert computer.json(FIREFOX) == theirs


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("{", "is no JSON"),
        ("[]", "is no JSON object"),
        ('{"policies": []}', "policies is no JSON object"),
        (
            '{"policies": {"Preferences": {"security.default_personal_cert": {"Value": "Ask Every Time"}}}}',
            "sets security.default_personal_cert to something else",
        ),
    ],
)
def test_a_firefox_policy_that_cannot_be_added_to_stays_as_it_is(
    content: str, why: str, computer: Computer
) -> None:
    file = computer.write(FIREFOX, content)
    firefox = computer.platform(root=True).set_up_browsers(POLICY)[-1]
    assert not firefox.done
    assert why in firefox.detail
    assert file.read_text() == content


def test_uninstalling_takes_away_what_was_ours_and_nothing_else(computer: Computer) -> None:
    computer.write(f"{CHROMIUM}/corp.json", {"HomepageLocation": "x"})
    profile = computer.profile()
    platform = computer.platform(root=True)
    platform.set_up_browsers(POLICY)
    removed = platform.remove_browser_setup()
    assert len(removed) == 5
    left = [path.relative_to(computer.root) for path in computer.root.rglob("*") if path.is_file()]
    assert left == [Path(CHROMIUM) / "corp.json"]
    assert not (profile / "user.js").exists()
    assert platform.remove_browser_setup() == ()


LINE = 'user_pref("security.default_personal_cert", "Select Automatically"); // Device Trust\n'


@pytest.mark.parametrize(
    ("before", "after", "done"),
    [
        (None, LINE, True),
        ("", LINE, True),
        ('user_pref("a", 1);', 'user_pref("a", 1);\n' + LINE, True),
        (LINE, LINE, True),
        (
            "user_pref('security.default_personal_cert', 'Select Automatically');\n",
            "user_pref('security.default_personal_cert', 'Select Automatically');\n",
            True,
        ),
        (
            'user_pref("security.default_personal_cert", "Ask Every Time");\n',
            'user_pref("security.default_personal_cert", "Ask Every Time");\n',
            False,
        ),
    ],
)
def test_a_firefox_profile_keeps_the_lines_of_others(
    before: str | None, after: str, done: bool, computer: Computer
) -> None:
    file = computer.profile() / "user.js"
    if before is not None:
        file.write_text(before)
    change = computer.platform(root=False).set_up_browsers(POLICY)[-1]
    assert change.done is done
    assert file.read_text() == after
    computer.platform(root=False).remove_browser_setup()
    left = file.read_text() if file.exists() else None
    assert left == (
        (before or "").removesuffix(LINE) + ("\n" if before and "\n" not in before else "") or None
    )


def test_profiles_are_those_that_the_ini_files_name_and_that_are_there(computer: Computer) -> None:
    from gateway.agent.stores.places import firefox_profiles

    inside = computer.profile("one")
    outside = computer.home / "elsewhere"
    outside.mkdir()
    ini = computer.home / ".mozilla/firefox/profiles.ini"
    ini.write_text(
        ini.read_text()
        + f"[Profile1]\nName=two\nIsRelative=0\nPath={outside}\n[Profile2]\nPath=gone\n"
        + "[Profile3]\nName=none\n[Install123]\nDefault=one\n[Profile0]\nPath=one\n"
    )
    snap = computer.home / "snap/firefox/common/.mozilla/firefox"
    (snap / "three").mkdir(parents=True)
    (snap / "profiles.ini").write_text("[Profile0]\nPath=three\n")
    assert [profile.directory for profile in firefox_profiles(computer.home, {})] == [
        inside,
        outside,
        snap / "three",
    ]
    ini.write_text("[Profile0\nPath=one")
    assert [profile.name for profile in firefox_profiles(computer.home, {})] == ["three"]


def test_a_database_of_the_newer_place_is_used_where_browsers_use_it(computer: Computer) -> None:
    from gateway.agent.stores.places import nss_directories

    home = computer.home
    assert nss_directories(home, {}) == (home / ".pki/nssdb",)
    new = home / ".local/share/pki/nssdb"
    new.mkdir(parents=True)
    (new / "cert9.db").touch()
    assert nss_directories(home, {}) == (new,)
    (home / ".pki/nssdb").mkdir(parents=True)
    (home / ".pki/nssdb/cert9.db").touch()
    (home / "snap/chromium/current").mkdir(parents=True)
    assert nss_directories(home, {}) == (
        home / ".pki/nssdb",
        new,
        home / "snap/chromium/current/.pki/nssdb",
    )


UNITS = [
    "devicetrust-agent.service",
    "devicetrust-agent.timer",
    "devicetrust-login.service",
    "devicetrust-login.timer",
]


def test_as_root_every_person_gets_timers_and_the_computer_its_socket(computer: Computer) -> None:
    platform = computer.platform(root=True)
    assert all(change.done for change in platform.schedule(SCHEDULE))
    assert sorted(file.name for file in (computer.root / "etc/systemd/user").iterdir()) == UNITS
    assert sorted(file.name for file in (computer.root / "etc/systemd/system").iterdir()) == [
        "devicetrust-device.service",
        "devicetrust-device.socket",
    ]
    assert computer.commands.commands == [
        "systemctl --global enable devicetrust-login.timer devicetrust-agent.timer",
        "systemctl --system daemon-reload",
        "systemctl --system enable --now devicetrust-device.socket",
    ]
    computer.commands.commands.clear()
    assert all(change.done for change in platform.unschedule())
    assert not [path for path in computer.root.rglob("*") if path.is_file()]
    assert computer.commands.commands == [
        "systemctl --system disable --now devicetrust-device.socket devicetrust-device.service",
        "systemctl --system daemon-reload",
        "systemctl --global disable devicetrust-login.timer devicetrust-agent.timer",
    ]
    assert platform.unschedule() == ()


def test_without_root_only_this_person_gets_timers(computer: Computer) -> None:
    platform = computer.platform(root=False)
    assert all(change.done for change in platform.schedule(SCHEDULE))
    assert sorted(file.name for file in (computer.home / ".config/systemd/user").iterdir()) == UNITS
    assert not computer.root.exists()
    assert computer.commands.commands == [
        "systemctl --user daemon-reload",
        "systemctl --user enable --now devicetrust-login.timer devicetrust-agent.timer",
    ]
    platform.unschedule()
    assert list((computer.home / ".config/systemd/user").iterdir()) == []
    assert platform.unschedule() == ()


def test_without_a_running_systemd_the_units_are_there_and_it_is_said(computer: Computer) -> None:
    computer.commands = Recorded(status=1)
    changes = computer.platform(root=True).schedule(SCHEDULE)
    assert [change for change in changes if change.what == "systemd"] == [
        Change("systemd", command, False, "Failed to connect to bus")
        for command in computer.commands.commands
    ]
    assert (computer.root / "etc/systemd/system/devicetrust-device.socket").exists()


def test_settings_of_the_computer_count_before_those_of_the_person(computer: Computer) -> None:
    person, root = computer.platform(root=False), computer.platform(root=True)
    assert person.settings() == ()
    own = person.save_settings({"OrgUrl": "https://own.example.com"})
    assert own.where == str(computer.home / ".config/devicetrust/agent.conf")
    assert [setting.value for setting in person.settings()] == ["https://own.example.com"]
    root.save_settings({"OrgUrl": "https://sso.example.com", "HttpProxy": "http://p:1"})
    file = computer.root / "etc/devicetrust/agent.conf"
    assert [(setting.name, setting.value, setting.place) for setting in person.settings()] == [
        ("OrgUrl", "https://sso.example.com", f"{file}:1"),
        ("HttpProxy", "http://p:1", f"{file}:2"),
    ]
    with pytest.raises(PlatformFailed, match="settings of this computer") as failed:
        person.save_settings({})
    assert "as root" in failed.value.remedy
    root.remove_settings()
    assert [setting.value for setting in person.settings()] == ["https://own.example.com"]


def test_settings_that_others_may_change_are_not_believed(computer: Computer) -> None:
    """They name the org to which the computer's ticket goes, and libraries that everybody loads."""
    file = computer.write("etc/devicetrust/agent.conf", "OrgUrl=https://sso.example.com\n")
    file.chmod(0o664)
    assert computer.platform(root=False).settings()
    file.chmod(0o666)
    with pytest.raises(PlatformFailed, match="others may change it"):
        computer.platform(root=True).settings()
    file.chmod(0o644)
    if os.geteuid() == 0:
        os.chown(file, 4_711, -1)
        with pytest.raises(PlatformFailed, match="others may change it"):
            computer.platform(root=True).settings()


def test_the_environment_may_name_the_file(computer: Computer) -> None:
    file = computer.root / "other.conf"
    computer.environment["DEVICETRUST_AGENT_CONF"] = str(file)
    assert computer.platform(root=False).settings() == ()
    computer.platform(root=False).save_settings({"OrgUrl": "https://sso.example.com"})
    file.write_text("# for people\n\n OrgUrl = https://a=b \nnonsense\n")
    assert [
        (setting.name, setting.value, setting.place) for setting in computer.platform(root=False).settings()
    ] == [
        ("OrgUrl", "https://a=b", f"{file}:3"),
        ("nonsense", "", f"{file}:4"),
    ]
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(PlatformFailed, match=r"other\.conf: is no UTF-8"):
        computer.platform(root=False).settings()


def test_entries_of_the_journal_have_their_event_id(tmp_path: Path, computer: Computer) -> None:
    path = tmp_path / "journal"
    platform = LinuxPlatform(
        computer.home, {}, computer.commands, is_administrator=False, journal_socket=path
    )
    platform.log_event(EventLevel.INFORMATION, "there is no journal: nothing happens")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as journal:
        journal.bind(str(path))
        platform.log_event(EventLevel.WARNING, "one line")
        platform.log_event(EventLevel.ERROR, "two\nlines", 1001)
        assert journal.recv(10_000) == (
            b"MESSAGE=one line\nPRIORITY=4\nSYSLOG_IDENTIFIER=devicetrust-agent\nEVENT_ID=1000\n"
        )
        assert journal.recv(10_000) == (
            b"MESSAGE\n\x09\0\0\0\0\0\0\0two\nlines\nPRIORITY=3\n"
            b"SYSLOG_IDENTIFIER=devicetrust-agent\nEVENT_ID=1001\n"
        )
