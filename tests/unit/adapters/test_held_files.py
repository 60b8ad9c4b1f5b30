"""The files of a configuration, read once: others make the same of the copy, whatever the disk has by
then."""

import os
from pathlib import Path

import pytest

from gateway.adapters.held_files import names_in, pack, read_file, recorded, taken_from, unpack
from gateway.adapters.key_files import KeyFileRefused, load_keys, load_or_create_keys, read_key_file
from gateway.adapters.sealed_memory import NotSealed, memory_file, sealed


def test_a_copy_has_what_was_read_and_nothing_else(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        (tmp_path / name).write_text(f"content of {name}")
    with recorded() as files:
        read_file(str(tmp_path / "a"), 100)
        read_file(str(tmp_path / "b"), 100)
    (tmp_path / "a").unlink()
    (tmp_path / "b").write_text("changed")
    packed = pack(files)
    with taken_from(unpack(os.dup(packed.descriptor))):
        assert read_file(str(tmp_path / "a"), 100) == b"content of a"
        assert read_file(str(tmp_path / "b"), 100) == b"content of b"
        assert names_in(str(tmp_path)) == ["a", "b"]
        with pytest.raises(FileNotFoundError):
            read_file(str(tmp_path / "c"), 100)
    assert read_file(str(tmp_path / "b"), 100) == b"changed"


def test_what_is_longer_than_allowed_is_seen_to_be_so(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"x" * 100)
    assert len(read_file(str(tmp_path / "a"), 10)) == 11


def test_keys_come_from_the_copy_though_their_directory_is_gone(tmp_path: Path) -> None:
    with recorded() as files:
        keys = load_or_create_keys(str(tmp_path / "keys"))
    (tmp_path / "keys").rename(tmp_path / "elsewhere")
    with taken_from(files):
        again = load_keys(str(tmp_path / "keys"))
        assert again.master_secret == keys.master_secret
        assert len(again.jwt_keys) == 1
        with pytest.raises(KeyFileRefused):
            read_key_file(str(tmp_path / "other"))


def test_a_key_that_others_may_read_is_in_no_copy(tmp_path: Path) -> None:
    (tmp_path / "key").write_bytes(b"secret")
    (tmp_path / "key").chmod(0o644)
    with recorded() as files, pytest.raises(KeyFileRefused):
        read_key_file(str(tmp_path / "key"))
    assert files == {}


@pytest.mark.parametrize("content", [b"x", b'[["a",5]]\nabc', b'[["a",1]]\nabc'])
def test_memory_that_is_no_copy_is_refused(content: bytes) -> None:
    with memory_file("other") as file:
        file.write(content)
        memory = sealed(file)
    with pytest.raises((NotSealed, ValueError)):
        unpack(os.dup(memory.descriptor))
