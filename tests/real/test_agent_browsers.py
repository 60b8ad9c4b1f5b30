"""What the agent sets up on Linux is what real browsers do: they present the certificate and ask nobody."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from support import chromium, firefox
from support.certificate_mirror import certificate_mirror
from support.needed_parts import needs
from support.pki import Authority
from support.pki import Credential as Issued

from gateway.agent.commands import SystemCommands
from gateway.agent.platform import BrowserPolicy, Credential, KeyFile
from gateway.agent.platforms.linux import LinuxPlatform

pytestmark = [
    pytest.mark.real,
    needs("Chromium", chromium.missing_parts),
    needs("Firefox", firefox.missing_parts),
]
CN = "MTLS Certificate Authority"
CORP = Authority.create_root("Corp root").issue_intermediate(CN)
OTHER = Authority.create_root("Other root").issue_intermediate("Other devices")
WEB = Authority.create_root("Web root")
HOST = "n1.mtls.example.test"
LONG = 10.0  # far more than a page takes


class Computer:
    """A computer whose root directory is elsewhere, and one person's home on it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root, self.home = directory / "root", directory / "home"
        self.home.mkdir()
        for known in ("etc/chromium", "etc/firefox"):
            (self.root / known).mkdir(parents=True)

    def platform(self, *, root: bool) -> LinuxPlatform:
        return LinuxPlatform(self.home, {}, SystemCommands(), root=self.root, is_administrator=root)

    def credential(self, issued: Issued) -> Credential:
        key = self.directory / f"{issued.serial_number}.key"
        key.write_bytes(issued.key_pem)
        chain = tuple(each.public_bytes(Encoding.DER) for each in issued.intermediates)
        return Credential(issued.certificate.public_bytes(Encoding.DER), chain, KeyFile(key))

    def install(self, issued: Issued) -> None:
        assert all(change.done for change in self.platform(root=False).install(self.credential(issued)))


def issue(name: str, authority: Authority = CORP, days: int = 30) -> Issued:
    until = datetime.now(UTC) + timedelta(days=days)
    return authority.issue_client("urn:d", "alice@example.test", common_name=name, not_after=until)


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


@pytest.fixture
def shown() -> list[str]:
    return []


@pytest.fixture
def port(shown: list[str]) -> Iterator[int]:
    with certificate_mirror(
        WEB.issue_server(["*.mtls.example.test"]), [CORP.certificate], shown.append
    ) as port:
        yield port


def test_chromium_presents_what_the_agent_installed_and_after_a_renewal_the_new_one(
    computer: Computer, port: int
) -> None:
    # Of two that fit, the browser would take the one that is valid longer.
    old, new = issue("ws1", days=60), issue("ws1 renewed", days=30)
    policy = BrowserPolicy("mtls.example.test", CN, port)
    theirs = computer.root / "etc/chromium/policies/managed/corp.json"
    theirs.parent.mkdir(parents=True)
    theirs.write_text('{"AutoSelectCertificateForUrls": ["{\\"pattern\\":\\"https://x\\",\\"filter\\":{}}"]}')
    computer.platform(root=True).set_up_browsers(policy)
    computer.install(old)
    computer.install(issue("foreign", OTHER))
    database = computer.home / ".pki/nssdb"
    chromium.trust_root(database, WEB.pem)
    with chromium.chromium_of(
        computer.home, computer.root / "etc/chromium", computer.directory / "first", timeout_seconds=LONG
    ) as browser:
        browser.pages[0].goto(f"https://{HOST}:{port}/")
        assert browser.pages[0].inner_text("body") == "CN=ws1"
    computer.install(new)
    platform = computer.platform(root=False)
    (replaced,) = (found for found in platform.find_certificates([CN]) if found.certificate_der == der(old))
    platform.remove(replaced)
    with chromium.chromium_of(
        computer.home, computer.root / "etc/chromium", computer.directory / "second", timeout_seconds=LONG
    ) as browser:
        browser.pages[0].goto(f"https://{HOST}:{port}/")
        assert browser.pages[0].inner_text("body") == "CN=ws1 renewed"


def test_firefox_presents_it_by_the_preference_of_the_profile(
    computer: Computer, port: int, shown: list[str]
) -> None:
    profile = firefox.make_profile(computer.home, HOST)
    computer.platform(root=False).set_up_browsers(BrowserPolicy("mtls.example.test", CN, port))
    computer.install(issue("ws1"))
    chromium.trust_root(profile, WEB.pem)
    assert firefox.visit(computer.home, profile, f"https://{HOST}:{port}/")
    assert set(shown) == {"CN=ws1"}


def test_firefox_presents_it_by_the_policy_of_the_computer(
    computer: Computer, port: int, shown: list[str]
) -> None:
    profile = firefox.make_profile(computer.home, HOST)
    before = (profile / "user.js").read_text()
    computer.install(issue("ws1"))
    chromium.trust_root(profile, WEB.pem)
    platform = LinuxPlatform(
        computer.directory / "root-home", {}, SystemCommands(), root=computer.root, is_administrator=True
    )
    platform.set_up_browsers(BrowserPolicy("mtls.example.test", CN, port))
    assert (profile / "user.js").read_text() == before
    assert firefox.visit(computer.home, profile, f"https://{HOST}:{port}/", computer.root / "etc")
    assert set(shown) == {"CN=ws1"}


def der(issued: Issued) -> bytes:
    return issued.certificate.public_bytes(Encoding.DER)
