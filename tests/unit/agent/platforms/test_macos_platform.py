"""macOS: every command that would be run, as it stands in the golden files. None is run here."""

import plistlib
import tempfile
from pathlib import Path

import pytest
from cryptography import x509
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
from gateway.agent.platforms.macos import MacPlatform, sha1_of

GOLDEN = Path(__file__).parent / "golden"
CN = "MTLS Certificate Authority"
CA = Authority.create_root(CN)
ISSUED = CA.issue_client("urn:d", None, common_name="ws1")
OTHER = CA.issue_client("urn:d", None, common_name="ws1")
FOREIGN = Authority.create_root("Other").issue_client("urn:d", None)
POLICY = BrowserPolicy("mtls.example.com")
SCHEDULE = Schedule(Path("/usr/local/bin/devicetrust-agent"))


def der(issued) -> bytes:
    return issued.certificate.public_bytes(Encoding.DER)


IDENTITIES = says(f'Policy: SSL (client)\n  1) {sha1_of(der(ISSUED))} "ws1"\n     1 identities found\n')
CERTIFICATES = says(b"".join(each.certificate_pem for each in (ISSUED, OTHER, FOREIGN)))
STORED = {"security find-certificate": CERTIFICATES, "security find-identity": IDENTITIES}


class Computer:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root, self.home = directory / "root", directory / "home"

    def __call__(
        self, *, user_id: int = 501, **answers: Finished | Answer
    ) -> tuple[MacPlatform, RecordedCommands]:
        hidden = {str(self.directory): "DIRECTORY", sha1_of(der(ISSUED)): "SHA1"}
        commands = RecordedCommands(answers, hidden)
        platform = MacPlatform(
            self.home, commands, root=self.root, user_id=user_id, make_directory=self._make_directory
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


def test_a_key_goes_into_the_keychain_and_nowhere_else(computer: Computer) -> None:
    platform, commands = computer()
    request = platform.new_request("alice@example.com WS1")
    assert request is not None
    assert x509.load_der_x509_csr(request.request_der).is_signature_valid
    assert not request.hardware
    text = commands.transcript()
    assert "(key.pem: " in text
    assert list(computer.directory.iterdir()) == []
    with pytest.raises(PlatformFailed, match="secure enclave"):
        platform.new_request("x", hardware=True)
    platform.install(Credential(b"leaf", (b"issuer",), PlatformKey("x")))
    assert_golden(GOLDEN / "macos-install.txt", commands.transcript())
    with pytest.raises(PlatformFailed, match="only for keys that it has"):
        platform.install(Credential(b"leaf", (), KeyFile(Path("x"))))


def test_certificates_are_found_with_or_without_key_and_removed_by_their_hash(computer: Computer) -> None:
    platform, commands = computer(**STORED)
    found = platform.find_certificates([CN])
    assert {each.certificate_der: each.has_key for each in found} == {der(ISSUED): True, der(OTHER): False}
    for each in found:
        platform.remove(each)
    removed = [line for line in commands.transcript().splitlines() if "delete" in line]
    keychain = "DIRECTORY/home/Library/Keychains/login.keychain-db"
    assert removed == [
        f"$ security delete-identity -Z SHA1 {keychain}",
        f"$ security delete-certificate -Z {sha1_of(der(OTHER))} {keychain}",
    ]
    with pytest.raises(PlatformFailed, match="names no certificate"):
        platform.remove(FoundCertificate(StoreKind.KEYCHAIN, "x", "-a", b"", True))
    platform, _ = computer(**{"security find-certificate": says(status=44)})
    assert platform.find_certificates([CN]) == ()


def test_safari_is_told_of_the_certificate_and_others_by_a_profile(computer: Computer) -> None:
    platform, commands = computer(**STORED)
    (change,) = platform.set_up_browsers(POLICY)
    assert change.done
    assert_golden(GOLDEN / "macos-safari.txt", commands.transcript())
    platform, _ = computer()
    (change,) = platform.set_up_browsers(POLICY)
    assert not change.done
    platform, _ = computer(user_id=0)
    (change,) = platform.set_up_browsers(POLICY)
    profile = computer.root / "Library/Application Support/DeviceTrust/devicetrust.mobileconfig"
    assert plistlib.loads(profile.read_bytes())["PayloadScope"] == "System"
    assert "MDM" in change.detail
    assert platform.remove_browser_setup()[0].done
    assert not profile.exists()
    assert platform.remove_browser_setup() == ()


@pytest.mark.parametrize("user_id", [0, 501])
def test_jobs_come_and_go(user_id: int, computer: Computer) -> None:
    platform, commands = computer(user_id=user_id)
    assert all(change.done for change in platform.schedule(SCHEDULE))
    jobs = sorted(path.name for path in computer.directory.rglob("*.plist"))
    device = ["org.devicetrust.device.plist"] if user_id == 0 else []
    assert jobs == ["org.devicetrust.agent.plist", *device, "org.devicetrust.login.plist"]
    platform.unschedule()
    assert list(computer.directory.rglob("*.plist")) == []
    assert_golden(GOLDEN / f"macos-schedule-{user_id}.txt", commands.transcript())


def test_settings_are_lines_of_a_file(computer: Computer) -> None:
    platform, _ = computer(user_id=0)
    assert platform.settings() == ()
    platform.save_settings({"OrgUrl": "https://sso.example.com"})
    assert [(each.name, each.value) for each in platform.settings()] == [
        ("OrgUrl", "https://sso.example.com")
    ]
    platform.remove_settings()
    assert platform.settings() == ()


def test_events_have_their_id_and_are_one_line(computer: Computer) -> None:
    platform, commands = computer()
    platform.log_event(EventLevel.ERROR, "two\nlines")
    assert commands.transcript() == ("$ logger -t devicetrust-agent -p user.err\n  < [1000] two lines\n")
