"""`devicetrust keys` as someone types it."""

import json
from pathlib import Path

import pytest
from support.gateway_yaml import COMPLETE

from gateway.adapters.key_files import load_keys, load_or_create_keys
from gateway.cli import main


def gateway(directory: Path) -> tuple[str, str]:
    """(gateway.yaml, keys directory) of a gateway on a machine of its own."""
    directory.mkdir()
    (directory / "gateway.yaml").write_text(COMPLETE)
    return str(directory / "gateway.yaml"), str(directory / "var" / "keys")


def test_keys_go_from_one_gateway_to_another(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, first_keys = gateway(tmp_path / "first")
    second, second_keys = gateway(tmp_path / "second")
    load_or_create_keys(first_keys)
    passphrase = tmp_path / "passphrase"
    passphrase.write_text("correct horse battery\n")
    passphrase.chmod(0o600)
    copy, with_it = str(tmp_path / "keys.json"), ["--passphrase-file", str(passphrase)]

    assert main.run(["keys", "export", "-c", first, "--json", copy, *with_it]) == 0
    exported = json.loads(capsys.readouterr().out)
    assert main.run(["keys", "import", "-c", second, "--json", copy, *with_it]) == 0
    imported = json.loads(capsys.readouterr().out)

    assert imported == {"directory": second_keys, "keys_fingerprint": exported["keys_fingerprint"]}
    assert load_keys(second_keys).master_secret == load_keys(first_keys).master_secret


def test_what_cannot_be_done_is_said_in_a_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    first, first_keys = gateway(tmp_path / "first")
    copy = str(tmp_path / "keys.json")
    assert main.run(["keys", "export", "-c", first, copy]) == 2
    assert "--passphrase-file is needed where nobody can be asked, or --plain" in capsys.readouterr().err
    assert main.run(["keys", "export", "-c", first, "--plain", copy]) == 0
    assert load_keys(first_keys), "before the first start there are none, so they were made"
    assert main.run(["keys", "export", "-c", first, "--plain", copy]) == 2
    assert capsys.readouterr().err == f"devicetrust: {copy}: File exists\n"
