"""Keys on their way from one gateway to another: the same keys arrive, or nothing changes."""

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.adapters.key_copies import export_keys, import_keys, is_sealed, keys_fingerprint
from gateway.adapters.key_files import KeyFileRefused, load_keys, load_or_create_keys

PASSPHRASE = b"a passphrase of the transfer"


def made(directory: Path) -> str:
    load_or_create_keys(str(directory))
    return str(directory)


def contents(directory: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in Path(directory).iterdir()}


@pytest.mark.parametrize("passphrase", [None, PASSPHRASE])
def test_the_other_gateway_gets_the_same_keys(tmp_path: Path, passphrase: bytes | None) -> None:
    first = made(tmp_path / "first")
    Path(first, "ca.passphrase").write_bytes(b"of the CA\n")
    Path(first, "ca.passphrase").chmod(0o600)
    Path(first, "one-use-keys").write_bytes(b"of this gateway alone")
    copy, second = str(tmp_path / "keys.json"), str(tmp_path / "second")
    exported = export_keys(first, copy, passphrase)
    assert stat.S_IMODE(Path(copy).stat().st_mode) == 0o600
    assert is_sealed(copy) is (passphrase is not None)
    assert import_keys(copy, second, passphrase, replace=False) == exported
    expected = contents(first)
    del expected["one-use-keys"]
    assert contents(second) == expected
    assert load_keys(second).master_secret == load_keys(first).master_secret
    assert stat.S_IMODE(Path(second, "master-secret").stat().st_mode) == 0o600


def test_a_sealed_copy_shows_nothing_of_the_keys(tmp_path: Path) -> None:
    first = made(tmp_path / "first")
    export_keys(first, str(tmp_path / "keys.json"), PASSPHRASE)
    document = json.loads((tmp_path / "keys.json").read_text())
    assert set(document) == {"format", "salt", "nonce", "sealed"}


def test_the_fingerprint_tells_keys_apart_and_reveals_none(tmp_path: Path) -> None:
    one, other = (load_keys(made(tmp_path / name)) for name in ("one", "other"))
    assert keys_fingerprint(one) != keys_fingerprint(other)
    assert one.master_secret.hex()[:32] != keys_fingerprint(one)
    assert len(keys_fingerprint(one)) == 32


@pytest.mark.parametrize(
    ("spoil", "complaint"),
    [
        pytest.param(lambda text: text, "check the passphrase", id="another passphrase"),
        pytest.param(lambda text: text.replace('"sealed": "', '"sealed": "AAAA'), "cannot be opened", id="c"),
        pytest.param(lambda text: text.replace('"salt": "', '"salt": "!'), "is damaged", id="no base64"),
        pytest.param(lambda _text: "[]", "is no file of devicetrust keys export", id="other JSON"),
        pytest.param(lambda text: text[:100], "is no file of devicetrust keys export", id="cut off"),
    ],
)
def test_a_copy_that_cannot_be_opened_changes_nothing(
    tmp_path: Path, spoil: Callable[[str], str], complaint: str
) -> None:
    first = made(tmp_path / "first")
    copy = tmp_path / "keys.json"
    export_keys(first, str(copy), PASSPHRASE)
    copy.write_text(spoil(copy.read_text()))
    second = made(tmp_path / "second")
    before = contents(second)
    with pytest.raises(KeyFileRefused, match=complaint):
        import_keys(str(copy), second, b"not the passphrase", replace=True)
    assert contents(second) == before


def test_a_name_that_leads_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "keys.json"
    export_keys(made(tmp_path / "first"), str(copy), None)
    document = json.loads(copy.read_text())
    document["files"]["../elsewhere"] = "AAAA"
    copy.write_text(json.dumps(document))
    with pytest.raises(KeyFileRefused, match="does not hold the keys of a gateway"):
        import_keys(str(copy), str(tmp_path / "second"), None, replace=True)
    assert not (tmp_path / "elsewhere").exists()


def test_keys_that_are_there_stay_unless_they_are_to_be_replaced(tmp_path: Path) -> None:
    copy, second = str(tmp_path / "keys.json"), made(tmp_path / "second")
    exported = export_keys(made(tmp_path / "first"), copy, None)
    Path(second, "jwt-2.pem").write_bytes(Path(second, "jwt-1.pem").read_bytes())
    Path(second, "jwt-2.pem").chmod(0o600)
    before = contents(second)
    with pytest.raises(KeyFileRefused, match=r"\(jwt-1.pem, jwt-2.pem, master-secret\).*--replace"):
        import_keys(copy, second, None, replace=False)
    assert contents(second) == before
    assert import_keys(copy, second, None, replace=True) == exported
    assert contents(second) == contents(str(tmp_path / "first"))
    assert import_keys(copy, second, None, replace=False) == exported  # the same again is no conflict


def test_a_copy_that_others_may_read_is_refused(tmp_path: Path) -> None:
    copy = tmp_path / "keys.json"
    export_keys(made(tmp_path / "first"), str(copy), None)
    copy.chmod(0o644)
    with pytest.raises(KeyFileRefused, match="open to its group or others"):
        import_keys(str(copy), str(tmp_path / "second"), None, replace=False)


def test_no_file_is_overwritten_by_an_export(tmp_path: Path) -> None:
    copy = tmp_path / "keys.json"
    copy.write_text("precious")
    with pytest.raises(FileExistsError):
        export_keys(made(tmp_path / "first"), str(copy), None)
    assert copy.read_text() == "precious"
