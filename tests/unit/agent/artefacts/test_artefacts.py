"""Every text that goes to a browser, a scheduler or an administrator, as it is written."""

import configparser
import json
import plistlib
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path, PureWindowsPath

import pytest
from support.golden import assert_golden

from gateway.agent.artefacts import gpo, macos, registry, systemd, windows_certificates, windows_tasks
from gateway.agent.artefacts.auto_select import (
    PolicyFileRefused,
    auto_select_item,
    items_of,
    managed_policy,
    url_pattern,
)
from gateway.agent.artefacts.firefox_policy import (
    firefox_policy,
    with_firefox_policy,
    without_firefox_policy,
)
from gateway.agent.platform import BrowserPolicy, Schedule

GOLDEN = Path(__file__).parent / "golden"
POLICY = BrowserPolicy("mtls.example.com")
STRANGE = BrowserPolicy("mtls.example.com", 'Quoted "CA" \\ Ünïts', 8443)
LINUX = Schedule(Path("/opt/devicetrust/bin/devicetrust-agent"))
WINDOWS = Schedule(PureWindowsPath(r"C:\Program Files\DeviceTrust\devicetrust-agent.exe"))  # type: ignore[arg-type]
MAC = Schedule(Path("/usr/local/bin/devicetrust-agent"))
SETTINGS = {"OrgUrl": "https://sso.example.com", "HttpProxy": "http://proxy.example.com:3128"}


def all_registry_values(policy: BrowserPolicy) -> list[registry.RegistryValue]:
    return [
        *registry.settings_values(SETTINGS),
        *registry.chrome_values(policy),
        *registry.edge_values(policy),
        *registry.internet_explorer_values(policy),
        *registry.event_source_values(),
    ]


TEXTS: dict[str, Callable[[], str]] = {
    "managed-policy.json": lambda: managed_policy(POLICY),
    "managed-policy-strange.json": lambda: managed_policy(STRANGE, ['{"pattern":"x"}', "{}", "{}"]),
    "firefox-policies.json": firefox_policy,
    "devicetrust.reg": lambda: registry.reg_file(all_registry_values(POLICY), "Device Trust\ntwo lines"),
    "devicetrust-strange.reg": lambda: registry.reg_file(registry.chrome_values(STRANGE, 7)),
    "gpo-chrome.txt": lambda: gpo.chrome_instructions(POLICY),
    "gpo-edge.txt": lambda: gpo.edge_instructions(POLICY),
    "gpo-ie.txt": lambda: gpo.internet_explorer_instructions(POLICY),
    "gpo-firefox.txt": gpo.firefox_instructions,
    "devicetrust.mobileconfig": lambda: macos.configuration_profile(POLICY, [b"\x30\x03\x02\x01\x07"]),
    "org.devicetrust.login.plist": lambda: macos.login_job(MAC),
    "org.devicetrust.agent.plist": lambda: macos.user_job(MAC),
    "org.devicetrust.device.plist": lambda: macos.device_job(MAC, "/var/run/devicetrust/device.sock"),
    "task-logon.xml": lambda: windows_tasks.logon_task(WINDOWS),
    "task-user.xml": lambda: windows_tasks.user_task(WINDOWS),
    "task-device.xml": lambda: windows_tasks.device_task(WINDOWS),
    "request-tpm.inf": lambda: windows_certificates.certreq_inf("alice@example.com WS1", hardware=True),
    "request-software.inf": lambda: windows_certificates.certreq_inf('a"\r\nX=", b', hardware=False),
    "find.ps1": lambda: windows_certificates.FIND_SCRIPT,
    "tpm.ps1": lambda: windows_certificates.TPM_SCRIPT,
    "remove.ps1": lambda: windows_certificates.remove_script("0123456789abcdef" * 2 + "01234567"),
    "event.ps1": lambda: windows_certificates.event_script("Device Trust", 1000, "Information", "b2s="),
    "event-source.ps1": lambda: windows_certificates.register_event_source_script("Device Trust"),
    "event-source-removed.ps1": lambda: windows_certificates.remove_event_source_script("Device Trust"),
    **{
        name: (lambda text=text: text)
        for name, text in (systemd.user_units(LINUX) | systemd.system_units(LINUX)).items()
    },
}


@pytest.mark.parametrize("name", TEXTS)
def test_the_text_is_as_it_was_read_and_agreed_to(name: str) -> None:
    assert_golden(GOLDEN / name, TEXTS[name]())


def test_no_golden_file_is_left_over() -> None:
    assert {file.name for file in GOLDEN.iterdir()} == set(TEXTS)


@pytest.mark.parametrize("policy", [POLICY, STRANGE])
def test_each_item_of_a_managed_policy_is_a_text_that_is_json(policy: BrowserPolicy) -> None:
    document = json.loads(managed_policy(policy))
    (item,) = document["AutoSelectCertificateForUrls"]
    assert json.loads(item) == {
        "pattern": url_pattern(policy),
        "filter": {"ISSUER": {"CN": policy.issuer_common_name}},
    }


def test_the_default_port_is_left_out_of_the_pattern() -> None:
    assert url_pattern(POLICY) == "https://[*.]mtls.example.com"
    assert url_pattern(STRANGE) == "https://[*.]mtls.example.com:8443"


@pytest.mark.parametrize(
    ("content", "items"),
    [
        ("{}", ()),
        ('{"AutoSelectCertificateForUrls": ["a", 7, {}, "b"]}', ("a", "b")),
        ('{"AutoSelectCertificateForUrls": "a"}', ()),
    ],
)
def test_items_of_other_files_are_their_texts(content: str, items: tuple[str, ...]) -> None:
    assert items_of("x.json", content) == items


@pytest.mark.parametrize("content", ["", "[", "[]", "7", "[" * 100_000])
def test_what_is_no_policy_file_is_refused(content: str) -> None:
    with pytest.raises(PolicyFileRefused, match=r"x\.json: is no JSON"):
        items_of("x.json", content)


def test_our_own_item_is_there_once() -> None:
    ours = auto_select_item(POLICY)
    assert json.loads(managed_policy(POLICY, ["x", ours])) == {"AutoSelectCertificateForUrls": [ours, "x"]}


def test_adding_to_a_firefox_policy_and_taking_away_again_leaves_it_as_it_was() -> None:
    theirs = {"policies": {"Preferences": {"a": 1}, "B": 2}}
    added = with_firefox_policy("p", json.dumps(theirs))
    assert added is not None
    assert with_firefox_policy("p", added) == added
    assert json.loads(without_firefox_policy("p", added)) == theirs
    assert with_firefox_policy("p", "") == firefox_policy()
    assert without_firefox_policy("p", firefox_policy()) == ""
    assert without_firefox_policy("p", "") == ""


@pytest.mark.parametrize(
    ("present", "number"),
    [
        ({}, 1),
        ({"1": "theirs"}, 2),
        ({"1": "theirs", "3": "theirs"}, 2),
        ({"1": "theirs", "5": "ours"}, 5),
        ({"(Default)": "ours"}, 1),
    ],
)
def test_a_number_in_a_list_policy_is_free_or_ours(present: dict[str, str], number: int) -> None:
    assert registry.free_number(present, "ours") == number


def test_a_reg_file_is_utf_16_with_its_mark_and_lines_of_windows() -> None:
    written = registry.reg_bytes(registry.reg_file(all_registry_values(STRANGE)))
    assert written[:2] == b"\xff\xfe"
    text = written.decode("utf-16")
    assert "Ünïts" in text
    assert text.count("\n") == text.count("\r\n")


@pytest.mark.parametrize("task", windows_tasks.tasks(WINDOWS).values(), ids=windows_tasks.tasks(WINDOWS))
def test_each_task_is_xml_that_windows_reads(task: str) -> None:
    written = windows_tasks.task_bytes(task)
    root = ElementTree.fromstring(written)
    assert root.tag == "{http://schemas.microsoft.com/windows/2004/02/mit/task}Task"
    assert b"\r\x00\n\x00" in written


def test_a_path_with_strange_characters_stays_one_path() -> None:
    strange = Schedule(PureWindowsPath(r"C:\A & <B>\agent.exe"))  # type: ignore[arg-type]
    root = ElementTree.fromstring(windows_tasks.task_bytes(windows_tasks.logon_task(strange)))
    (command,) = root.iter("{http://schemas.microsoft.com/windows/2004/02/mit/task}Command")
    assert command.text == r"C:\A & <B>\agent.exe"
    assert systemd.quoted('/a b/100%/"x"$') == '"/a b/100%%/\\"x\\"$$"'
    assert systemd.quoted("/plain/path") == "/plain/path"


@pytest.mark.parametrize(
    ("every", "calendar"),
    [(timedelta(minutes=30), "*:0/30"), (timedelta(hours=1), "hourly"), (timedelta(days=1), "hourly")],
)
def test_a_timer_looks_at_least_once_an_hour(every: timedelta, calendar: str) -> None:
    parser = configparser.ConfigParser(interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read_string(systemd.timer(Schedule(Path("/x"), every=every)))
    assert parser["Timer"]["OnCalendar"] == calendar


def test_a_configuration_profile_replaces_its_former_version() -> None:
    one, other = (
        plistlib.loads(macos.configuration_profile(policy).encode())
        for policy in (POLICY, BrowserPolicy("mtls.example.com", "Other CA"))
    )
    assert one["PayloadUUID"] == other["PayloadUUID"]
    identifiers = [payload["PayloadUUID"] for payload in one["PayloadContent"]]
    assert len(set(identifiers)) == len(identifiers) == 3


@pytest.mark.parametrize("handle", ["", "x" * 40, "A" * 39, "A" * 40 + "'; rm", "..\\" + "A" * 37])
def test_only_a_thumbprint_becomes_part_of_a_script(handle: str) -> None:
    with pytest.raises(ValueError, match="is not a thumbprint"):
        windows_certificates.remove_script(handle)
