"""What the agent does to real NSS databases, as certutil and libnss3 see it."""

import sqlite3
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import Certificate
from support.needed_parts import needs_program
from support.pki import Authority
from support.pki import Credential as Issued

from gateway.agent.commands import SystemCommands
from gateway.agent.platform import Credential, KeyFile, PlatformFailed, PlatformKey, StoreKind
from gateway.agent.stores.nss import NssDatabase

pytestmark = [pytest.mark.real, needs_program("certutil", "pk12util")]
CN = "MTLS Certificate Authority"


class Computer:
    """An authority, a database, and the files of the agent."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.root = Authority.create_root("Test Root")
        self.authority = self.root.issue_intermediate(CN)
        self.database = NssDatabase(directory / ".pki/nssdb", StoreKind.NSS, SystemCommands())

    def issue(self, days: int = 30, authority: Authority | None = None) -> Issued:
        """Always for the same subject, as the org's are: that is what makes NSS give them one nickname."""
        until = datetime.now(UTC) + timedelta(days=days)
        issuer = authority or self.authority
        return issuer.issue_client("urn:d", "u@example.com", common_name="alice ws1", not_after=until)

    def credential(self, issued: Issued) -> Credential:
        file = self.directory / f"{issued.serial_number}.key"
        file.write_bytes(issued.key_pem)
        chain = (der(issued.intermediates[0]), der(self.root.certificate)) if issued.intermediates else ()
        return Credential(der(issued.certificate), chain, KeyFile(file))

    def install(self, issued: Issued) -> bool:
        return self.database.install(self.credential(issued))

    def has(self) -> dict[bytes, bool]:
        return {found.certificate_der: found.has_key for found in self.database.find([CN])}

    def certutil(self, *arguments: str) -> str:
        command = ["certutil", "-d", f"sql:{self.database.directory}", *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=False).stdout


def der(certificate: Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


@pytest.fixture
def computer(tmp_path: Path) -> Computer:
    return Computer(tmp_path)


def test_a_database_is_made_and_the_certificate_is_in_with_its_key_and_issuer(computer: Computer) -> None:
    assert computer.database.find([CN]) == ()
    issued = computer.issue()
    assert computer.install(issued)
    (found,) = computer.database.find(["Somebody", CN])
    assert found.has_key
    assert found.store == str(computer.database.directory)
    assert found.certificate_der == der(issued.certificate)
    listing = computer.certutil("-L")
    assert "u,u,u" in listing
    assert CN in listing
    assert "Test Root" not in listing  # roots are nobody's to add here
    assert computer.database.directory.stat().st_mode & 0o777 == 0o700


def test_a_second_installation_changes_nothing(computer: Computer) -> None:
    issued = computer.issue()
    assert computer.install(issued)
    before = computer.certutil("-L"), computer.certutil("-K")
    assert not computer.install(issued)
    assert (computer.certutil("-L"), computer.certutil("-K")) == before


def test_the_old_one_is_removed_and_not_the_new_one_of_the_same_name(computer: Computer) -> None:
    old, new = computer.issue(days=10), computer.issue(days=90)
    computer.install(old)
    computer.install(new)
    assert computer.has() == {der(old.certificate): True, der(new.certificate): True}
    # One nickname for both, by which certutil would take the newer one.
    assert len({found.handle for found in computer.database.find([CN])}) == 1
    (found,) = (each for each in computer.database.find([CN]) if each.certificate_der == der(old.certificate))
    computer.database.remove(found)
    assert computer.has() == {der(new.certificate): True}
    assert computer.certutil("-K").count("\n<") == 1
    computer.database.remove(found)  # which is gone
    assert computer.has() == {der(new.certificate): True}


def test_a_certificate_without_its_key_is_found_as_such_removed_and_mended(computer: Computer) -> None:
    one, other = computer.issue(days=10), computer.issue(days=20)
    computer.install(one)
    computer.install(other)
    ids = [line.split()[3] for line in computer.certutil("-K").splitlines() if line.startswith("<")]
    assert len(ids) == 2
    computer.certutil("-F", "-k", ids[0])
    keyless = [found for found in computer.database.find([CN]) if not found.has_key]
    assert len(keyless) == 1
    computer.database.remove(keyless[0])
    (left,) = computer.database.find([CN])
    assert left.has_key
    computer.certutil("-F", "-k", ids[1])
    whole = one if left.certificate_der == der(one.certificate) else other
    assert computer.has() == {der(whole.certificate): False}
    assert computer.install(whole)
    assert computer.has() == {der(whole.certificate): True}


def test_certificates_of_others_are_not_ours(computer: Computer) -> None:
    stranger = Authority.create_root("Somebody Else")
    computer.install(computer.issue(authority=stranger))
    computer.install(computer.issue())
    assert len(computer.has()) == 1
    assert len(computer.database.find(["Somebody Else"])) == 1
    assert computer.database.find([]) == ()


def test_names_with_spaces_colons_and_commas_are_read(computer: Computer) -> None:
    issued = computer.issue()
    computer.database.create()
    file = computer.directory / "strange.p12"
    file.write_bytes(issued.pkcs12(b"pw", "u,u,u  of: Ünal ,,".encode()))
    command = ["pk12util", "-d", f"sql:{computer.database.directory}", "-i", str(file), "-W", "pw", "-K", ""]
    subprocess.run(command, check=True, capture_output=True)
    assert computer.has() == {der(issued.certificate): True}


def test_a_database_that_a_browser_holds_is_tried_again_later(computer: Computer) -> None:
    computer.database.create()
    with (
        sqlite3.connect(computer.database.directory / "cert9.db") as certificates,
        sqlite3.connect(computer.database.directory / "key4.db") as keys,
    ):
        certificates.execute("BEGIN EXCLUSIVE")
        keys.execute("BEGIN EXCLUSIVE")
        with pytest.raises(PlatformFailed) as failed:
            computer.install(computer.issue())
    certificates.close()
    keys.close()
    assert failed.value.transient
    assert str(computer.database.directory) in str(failed.value)
    assert "next run" in failed.value.remedy
    assert computer.install(computer.issue())


def test_a_database_with_a_password_is_said_to_have_one(computer: Computer) -> None:
    computer.install(computer.issue())
    old, new = computer.directory / "old", computer.directory / "new"
    old.write_text("\n")
    new.write_text("secret\n")
    computer.certutil("-W", "-f", str(old), "-@", str(new))
    for act in (lambda: computer.install(computer.issue()), lambda: computer.database.find([CN])):
        with pytest.raises(PlatformFailed, match="protected by a password") as failed:
            act()
        assert not failed.value.transient


def test_what_is_no_database_is_said_to_be_none(computer: Computer) -> None:
    computer.database.directory.mkdir(parents=True)
    for name in ("cert9.db", "key4.db"):
        (computer.database.directory / name).write_text("not a database")
    with pytest.raises(PlatformFailed, match="nssdb"):
        computer.database.find([CN])


def test_keys_that_cannot_be_put_there_are_refused(computer: Computer) -> None:
    whole = computer.credential(computer.issue())
    with pytest.raises(PlatformFailed, match="another store"):
        computer.database.install(Credential(whole.certificate_der, (), PlatformKey("x")))
    broken = computer.directory / "broken.key"
    broken.write_text("no key")
    with pytest.raises(PlatformFailed, match=r"broken\.key"):
        computer.database.install(Credential(whole.certificate_der, (), KeyFile(broken)))


def test_no_secret_is_an_argument_and_no_file_is_left(computer: Computer, monkeypatch) -> None:
    runtime = computer.directory / "runtime"
    runtime.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(runtime))
    seen: list[list[str]] = []

    class Watching(SystemCommands):
        def run(self, arguments, **options):
            seen.append(list(arguments))
            for argument in arguments:
                if argument.startswith(str(runtime)):
                    assert Path(argument).stat().st_mode & 0o777 == 0o600
                    assert Path(argument).parent.stat().st_mode & 0o777 == 0o700
            return super().run(arguments, **options)

    database = NssDatabase(computer.database.directory, StoreKind.NSS, Watching())
    database.install(computer.credential(computer.issue()))
    assert not {"-W", "-K"} & {argument for command in seen for argument in command}
    assert list(runtime.iterdir()) == []
