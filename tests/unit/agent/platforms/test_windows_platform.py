"""Windows: every command that would be run, as it stands in the golden files. None is run here."""

import base64
import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from support.golden import assert_golden
from support.pki import Authority
from support.recorded_commands import Answer, RecordedCommands, says

from gateway.agent.commands import Finished
from gateway.agent.platform import (
    BrowserPolicy,
    Credential,
    EventLevel,
    FoundCertificate,
    KeyFile,
    PlatformFailed,
    PlatformKey,
    Schedule,
    StoreKind,
)
from gateway.agent.platforms.windows import WindowsPlatform

GOLDEN = Path(__file__).parent / "golden"
CN = "MTLS Certificate Authority"
ISSUED = Authority.create_root(CN).issue_client("urn:d", None, common_name="ws1")
DER = ISSUED.certificate.public_bytes(Encoding.DER)
FOREIGN = Authority.create_root("Other").issue_client("urn:d", None).certificate.public_bytes(Encoding.DER)
HANDLE = "0123456789ABCDEF0123456789ABCDEF01234567"
POLICY = BrowserPolicy("mtls.example.com")
ITEM = '{"pattern":"https://[*.]mtls.example.com","filter":{"ISSUER":{"CN":"MTLS Certificate Authority"}}}'
CHROME = r"HKEY_LOCAL_MACHINE\SOFTWARE\Policies\Google\Chrome\AutoSelectCertificateForUrls"
SETUP = r"HKEY_LOCAL_MACHINE\SOFTWARE\DeviceTrust\BrowserSetup"


def queried(key: str, **values: str) -> str:
    """As reg.exe prints it."""
    return f"\r\n{key}\r\n" + "".join(f"    {n}    REG_SZ    {v}\r\n" for n, v in values.items()) + "\r\n"


class Computer:
    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __call__(
        self, *, administrator: bool = False, **answers: Finished | Answer
    ) -> tuple[WindowsPlatform, RecordedCommands]:
        """Keys of ``answers`` are beginnings of command lines; a registry key that is not there is none."""
        known: dict[str, Finished | Answer] = {**answers, "reg query": says(status=1, errors="not found")}
        commands = RecordedCommands(known, {str(self.directory): "DIRECTORY"})
        platform = WindowsPlatform(
            Path("C:/Users/alice/AppData/Local/DeviceTrust"),
            commands,
            is_administrator=administrator,
            make_directory=self._make_directory,
        )
        return platform, commands

    def _make_directory(self) -> tempfile.TemporaryDirectory[str]:
        made = tempfile.TemporaryDirectory(dir=self.directory)
        renamed = self.directory / "temporary"
        Path(made.name).rename(renamed)
        made.name = str(renamed)
        return made


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


def request_made(arguments: Sequence[str], _: bytes) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name([]))
    Path(arguments[-1]).write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(Encoding.PEM))


def test_a_key_is_made_in_the_tpm_where_there_is_one(computer: Computer) -> None:
    platform, commands = computer(**{"powershell.exe": says("yes\r\n"), "certreq -new": request_made})
    request = platform.new_request("alice@example.com WS1")
    assert request is not None
    assert request.hardware
    assert x509.load_der_x509_csr(request.request_der).is_signature_valid
    assert_golden(GOLDEN / "windows-new-request.txt", commands.transcript())
    platform, _ = computer(**{"powershell.exe": says("no\r\n"), "certreq -new": request_made})
    request = platform.new_request("alice")
    assert request is not None
    assert not request.hardware


def test_a_request_that_certreq_does_not_make_is_said(computer: Computer) -> None:
    platform, _ = computer(**{"certreq -new": says(status=1, errors="Provider not found\n")})
    with pytest.raises(PlatformFailed, match="certreq -new -user: Provider not found"):
        platform.new_request("x", hardware=True)
    platform, _ = computer()
    with pytest.raises(PlatformFailed, match="no request that can be read"):
        platform.new_request("x", hardware=True)
    assert list(computer.directory.iterdir()) == []


def test_a_certificate_is_accepted_with_its_issuers(computer: Computer) -> None:
    platform, commands = computer()
    (change,) = platform.install(Credential(b"leaf", (b"issuer", b"root"), PlatformKey("x")))
    assert change.done
    assert_golden(GOLDEN / "windows-install.txt", commands.transcript())
    with pytest.raises(PlatformFailed, match="only for keys that it made"):
        platform.install(Credential(b"leaf", (), KeyFile(Path("x"))))


def test_certificates_of_our_issuer_are_found_and_removed_with_their_key(computer: Computer) -> None:
    entries = [
        {"handle": HANDLE, "certificate": base64.b64encode(DER).decode(), "has_key": True},
        {"handle": "F" * 40, "certificate": base64.b64encode(FOREIGN).decode(), "has_key": True},
        {"handle": "E" * 40, "certificate": base64.b64encode(b"nonsense").decode(), "has_key": False},
    ]
    platform, commands = computer(**{"powershell.exe": says(json.dumps(entries))})
    (found,) = platform.find_certificates([CN])
    assert (found.handle, found.has_key, found.certificate_der) == (HANDLE, True, DER)
    platform.remove(found)
    assert_golden(GOLDEN / "windows-find-and-remove.txt", commands.transcript())
    strange = FoundCertificate(StoreKind.WINDOWS, "x", "'; Remove-Item C:", DER, True)
    with pytest.raises(PlatformFailed, match="is not a thumbprint"):
        platform.remove(strange)
    assert commands.transcript() == "\n"


@pytest.mark.parametrize(
    "answer", ["nonsense", "[1]", '[{"handle": "x"}]', '[{"handle":"x","certificate":7}]']
)
def test_an_answer_of_powershell_that_is_none_is_said(answer: str, computer: Computer) -> None:
    platform, _ = computer(**{"powershell.exe": says(answer)})
    with pytest.raises(PlatformFailed, match="is not understood"):
        platform.find_certificates([CN])


def test_no_certificate_at_all_is_no_error(computer: Computer) -> None:
    for nothing in ("", "[]"):
        platform, _ = computer(**{"powershell.exe": says(nothing)})
        assert platform.find_certificates([CN]) == ()


def test_browsers_are_set_up_beside_the_items_of_others(computer: Computer) -> None:
    theirs = says(queried(CHROME, **{"1": "theirs", "2": "old item of ours"}))
    former = says(queried(SETUP, Item="old item of ours"))
    platform, commands = computer(
        administrator=True, **{f"reg query {CHROME}": theirs, f"reg query {SETUP}": former}
    )
    assert all(change.done for change in platform.set_up_browsers(POLICY))
    assert_golden(GOLDEN / "windows-browsers.txt", commands.transcript())


def test_only_our_own_items_are_removed(computer: Computer) -> None:
    present = says(queried(CHROME, **{"1": ITEM.replace("Authority", "Something"), "4": ITEM}))
    platform, commands = computer(
        administrator=True,
        **{f"reg query {CHROME}": present, f"reg query {SETUP}": says(queried(SETUP, Item=ITEM))},
    )
    (change,) = platform.remove_browser_setup()
    assert change.where == rf"{CHROME}\4"
    assert_golden(GOLDEN / "windows-browsers-removed.txt", commands.transcript())
    platform, _ = computer(administrator=True)
    assert platform.remove_browser_setup() == ()


def test_without_an_administrator_only_the_zone_of_the_person_is_set(computer: Computer) -> None:
    platform, commands = computer()
    chrome, edge, zone = platform.set_up_browsers(POLICY)
    assert (chrome.done, edge.done, zone.done) == (False, False, True)
    assert "administrator" in chrome.detail
    added = [line for line in commands.transcript().splitlines() if "reg add" in line]
    assert len(added) == 1
    assert "HKEY_CURRENT_USER" in added[0]
    platform, _ = computer(**{f"reg query {CHROME}": says(queried(CHROME, **{"1": ITEM}))})
    assert platform.set_up_browsers(POLICY)[0].done


def test_tasks_and_the_event_source_come_and_go(computer: Computer) -> None:
    platform, commands = computer(administrator=True)
    platform.schedule(Schedule(Path("C:/Program Files/DeviceTrust/devicetrust-agent.exe")))
    platform.unschedule()
    assert_golden(GOLDEN / "windows-schedule.txt", commands.transcript())


def test_settings_are_values_of_the_registry(computer: Computer) -> None:
    key = r"HKEY_LOCAL_MACHINE\SOFTWARE\DeviceTrust"
    there = says(queried(key, OrgUrl="https://sso.example.com", HttpProxy="http://p:1"))
    platform, commands = computer(administrator=True, **{f"reg query {key}": there})
    assert [(each.name, each.value, each.place) for each in platform.settings()] == [
        ("OrgUrl", "https://sso.example.com", rf"{key}\OrgUrl"),
        ("HttpProxy", "http://p:1", rf"{key}\HttpProxy"),
    ]
    platform.save_settings({"OrgUrl": "https://other.example.com", "SkipBrowserSetup": "true"})
    platform.remove_settings()
    assert_golden(GOLDEN / "windows-settings.txt", commands.transcript())


ADMINISTRATORS: list[Callable[[WindowsPlatform], object]] = [
    lambda platform: platform.save_settings({}),
    lambda platform: platform.remove_settings(),
    lambda platform: platform.schedule(Schedule(Path("x"))),
    lambda platform: platform.unschedule(),
]


@pytest.mark.parametrize("act", ADMINISTRATORS)
def test_what_only_an_administrator_may_is_said(
    act: Callable[[WindowsPlatform], object], computer: Computer
) -> None:
    platform, commands = computer()
    with pytest.raises(PlatformFailed, match="only an administrator") as failed:
        act(platform)
    assert "administrator" in failed.value.remedy
    assert commands.transcript() == "\n"


def test_events_have_their_id_and_a_message_that_is_no_command(computer: Computer) -> None:
    platform, commands = computer()
    platform.log_event(EventLevel.WARNING, "'; Remove-Item C:\\ #")
    transcript = commands.transcript()
    assert "Remove-Item" not in transcript
    assert "EventId = 1000; EntryType = 'Warning'" in transcript
    platform, _ = computer(**{"powershell.exe": says(status=1, errors="no such log")})
    platform.log_event(EventLevel.ERROR, "nothing is raised")


def test_the_longest_event_fits_into_a_command_line(computer: Computer) -> None:
    lengths: list[int] = []

    def measured(arguments: Sequence[str], _: bytes) -> None:
        lengths.append(len(" ".join(arguments)))

    platform, _ = computer(**{"powershell.exe": measured})
    platform.log_event(EventLevel.ERROR, "\N{SNOWMAN}" * 100_000)
    assert 0 < lengths[0] < 32_767
