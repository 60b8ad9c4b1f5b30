"""Key files: what is refused, what is made, and that workers who start together agree."""

import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from gateway.adapters import key_files
from gateway.adapters.key_files import KeyFileRefused, load_or_create_keys, read_key_file


def secret_file(directory: Path, mode: int = 0o600, content: bytes = b"secret") -> str:
    path = directory / "some.key"
    path.write_bytes(content)
    path.chmod(mode)
    return str(path)


def pem_of(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def put_key(directory: Path, name: str, pem: bytes) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    path = directory / name
    path.write_bytes(pem)
    path.chmod(0o600)


@pytest.mark.parametrize("mode", [0o600, 0o400])
def test_a_file_for_its_owner_alone_is_read(tmp_path: Path, mode: int) -> None:
    assert read_key_file(secret_file(tmp_path, mode)) == b"secret"


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o644, 0o777], ids=oct)
def test_a_file_open_to_anybody_else_is_refused_with_the_command_that_helps(
    tmp_path: Path, mode: int
) -> None:
    path = secret_file(tmp_path, mode)
    with pytest.raises(KeyFileRefused) as refused:
        read_key_file(path)
    assert str(refused.value) == (
        f"{path}: is open to its group or others (mode {mode:04o}); run: chmod 600 {path}"
    )


def test_the_target_of_a_link_is_what_counts(tmp_path: Path) -> None:
    link = tmp_path / "link.key"
    link.symlink_to(secret_file(tmp_path))
    assert read_key_file(str(link)) == b"secret"
    secret_file(tmp_path, 0o644)
    with pytest.raises(KeyFileRefused, match="open to its group or others"):
        read_key_file(str(link))


def test_a_file_of_another_user_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = secret_file(tmp_path)
    owner = Path(path).stat().st_uid
    monkeypatch.setattr(os, "geteuid", lambda: owner + 1)
    if owner == 0:  # root's files are accepted, so give it to somebody
        os.chown(path, 12345, -1)
    with pytest.raises(KeyFileRefused, match="belongs to user"):
        read_key_file(path)


def test_what_is_no_regular_file_is_refused_without_waiting(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    for path in (fifo, tmp_path, Path("/dev/zero")):
        with pytest.raises(KeyFileRefused, match="is not a regular file"):
            read_key_file(str(path))


@pytest.mark.parametrize("path", ["/nowhere/some.key", "nul\0.key"])
def test_a_file_that_is_not_there_is_refused_by_name(path: str) -> None:
    with pytest.raises(KeyFileRefused, match=r"cannot be used: No such file|is not the path"):
        read_key_file(path)


def test_a_file_larger_than_any_key_is_refused(tmp_path: Path) -> None:
    path = secret_file(tmp_path, content=b"x" * (key_files.MAX_KEY_FILE_BYTES + 1))
    with pytest.raises(KeyFileRefused, match="is larger than"):
        read_key_file(path)


def test_the_first_start_makes_keys_that_only_the_owner_can_read_and_the_second_finds_them(
    tmp_path: Path,
) -> None:
    directory = tmp_path / "var" / "keys"
    first = load_or_create_keys(str(directory))
    second = load_or_create_keys(str(directory))

    assert len(first.master_secret) == 32
    assert second.master_secret == first.master_secret
    assert [pem_of(key) for key in second.jwt_keys] == [pem_of(key) for key in first.jwt_keys]
    assert stat.S_IMODE(directory.stat().st_mode) == 0o700
    assert {path.name: stat.S_IMODE(path.stat().st_mode) for path in directory.iterdir()} == {
        "master-secret": 0o600,
        "jwt-1.pem": 0o600,
    }


def test_a_generous_umask_does_not_open_new_keys(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        load_or_create_keys(str(tmp_path / "keys"))
    finally:
        os.umask(before)
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "keys").iterdir()} == {0o600}


def test_workers_that_start_at_once_all_get_the_same_keys(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(load_or_create_keys, [str(tmp_path / "keys")] * 16))
    assert len({keys.master_secret for keys in results}) == 1
    assert len({pem_of(key) for keys in results for key in keys.jwt_keys}) == 1


def test_a_worker_that_loses_the_race_takes_what_the_winner_wrote(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The other worker links its file after ours looked, and before ours links."""
    path = tmp_path / "master-secret"

    def other_worker_is_faster(self: Path, target: Path) -> None:
        self.write_bytes(b"theirs")
        raise FileExistsError

    monkeypatch.setattr(Path, "hardlink_to", other_worker_is_faster)
    key_files.create_once(path, b"ours")
    assert {entry.name: entry.read_bytes() for entry in tmp_path.iterdir()} == {"master-secret": b"theirs"}


def test_the_signing_keys_come_newest_first_by_number_not_by_spelling(tmp_path: Path) -> None:
    keys = {number: ec.generate_private_key(ec.SECP256R1()) for number in (2, 9, 10)}
    for number, key in keys.items():
        put_key(tmp_path / "keys", f"jwt-{number}.pem", pem_of(key))
    put_key(tmp_path / "keys", "jwt-old.pem.bak", b"not looked at")

    loaded = load_or_create_keys(str(tmp_path / "keys")).jwt_keys

    assert [pem_of(key) for key in loaded] == [pem_of(keys[number]) for number in (10, 9, 2)]


@pytest.mark.parametrize(
    ("name", "content", "complaint"),
    [
        ("master-secret", b"short", "has 5 bytes instead of 32"),
        ("jwt-1.pem", b"no key", "holds no unencrypted private key"),
        ("jwt-1.pem", pem_of(ec.generate_private_key(ec.SECP384R1())), "is not a P-256 key"),
        ("jwt-1.pem", pem_of(rsa.generate_private_key(65537, 2048)), "is not a P-256 key"),
    ],
    ids=["a cut secret", "no PEM", "another curve", "an RSA key"],
)
def test_a_damaged_key_is_refused_and_never_replaced(
    tmp_path: Path, name: str, content: bytes, complaint: str
) -> None:
    put_key(tmp_path / "keys", name, content)
    with pytest.raises(KeyFileRefused, match=complaint) as refused:
        load_or_create_keys(str(tmp_path / "keys"))
    assert refused.value.path == str(tmp_path / "keys" / name)
    assert (tmp_path / "keys" / name).read_bytes() == content


def test_a_directory_that_others_can_enter_is_refused(tmp_path: Path) -> None:
    directory = tmp_path / "keys"
    directory.mkdir()
    directory.chmod(0o755)
    with pytest.raises(KeyFileRefused, match=r"is not the gateway's alone .*0755.*chmod 700"):
        load_or_create_keys(str(directory))


def test_a_directory_that_cannot_be_made_is_refused_by_name(tmp_path: Path) -> None:
    in_the_way = tmp_path / "file"
    in_the_way.write_text("")
    with pytest.raises(KeyFileRefused, match="cannot be used"):
        load_or_create_keys(str(in_the_way / "keys"))


def test_the_secret_does_not_show_when_the_keys_are_printed(tmp_path: Path) -> None:
    keys = load_or_create_keys(str(tmp_path / "keys"))
    assert repr(keys.master_secret) not in repr(keys)
