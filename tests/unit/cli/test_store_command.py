"""`devicetrust store` as someone types it."""

import json
from pathlib import Path

import pytest
from support.filled_store import CERTIFICATES, fill
from support.gateway_yaml import changed

from gateway.adapters.store import Store
from gateway.cli import main


@pytest.fixture
def filled_url(store_url: str) -> str:
    store = Store.open(store_url)
    fill(store)
    store.close()
    return store_url


def run(*arguments: str, code: int = 0) -> None:
    assert main.run(["store", *arguments]) == code


def test_status_for_people_and_for_programs(filled_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    run("status", "--store", filled_url)
    text = capsys.readouterr().out
    assert f"{CERTIFICATES:,}" in text
    run("status", "--store", filled_url, "--json")
    status = json.loads(capsys.readouterr().out)
    assert (status["rows"]["certificates"], status["change_number"], status["version"]) == (
        CERTIFICATES,
        2,
        "0001",
    )


def test_a_backup_goes_back_into_the_store_only_by_force(
    filled_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "backup.db"
    run("backup", "--store", filled_url, str(file))
    assert f"{file}: " in capsys.readouterr().out
    run("backup", "--store", filled_url, str(file), code=2)
    assert "exists already" in capsys.readouterr().err
    run("restore", "--store", filled_url, str(file), code=2)
    assert "add --force" in capsys.readouterr().err
    run("restore", "--store", filled_url, str(file), "--force", "--json")
    result = json.loads(capsys.readouterr().out)
    assert (result["rows"]["certificates"], result["change_number"]) == (CERTIFICATES, 1_000_003)


def test_a_store_moves_to_an_empty_postgresql_and_back(
    filled_url: str, empty_postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("copy-to", "--store", filled_url, empty_postgres_url)
    assert f"certificates: {CERTIFICATES:,} rows" in capsys.readouterr().err
    run("copy-to", "--store", empty_postgres_url, f"sqlite:///{tmp_path}/back.db", "--json")
    assert json.loads(capsys.readouterr().out)["log_number"] == 201


def test_migrate_makes_and_leaves(
    tmp_path: Path, empty_postgres_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for url in (f"sqlite:///{tmp_path}/store.db", empty_postgres_url):
        run("migrate", "--store", url, "--json")
        assert json.loads(capsys.readouterr().out)["after"] == "0001"
        run("migrate", "--store", url)
        assert "has version 0001 already" in capsys.readouterr().out


def test_the_store_of_the_configuration_is_taken(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    configuration = tmp_path / "gateway.yaml"
    configuration.write_text(changed())
    run("status", "-c", str(configuration), code=2)
    assert f"sqlite:///{tmp_path}/var/devicetrust.db: No such file" in capsys.readouterr().err
    run("migrate", "-c", str(configuration))
    run("status", "-c", str(configuration))
    configuration.write_text(changed(("sqlite:///var/devicetrust.db", "none")))
    capsys.readouterr()
    run("status", "-c", str(configuration), code=2)
    assert capsys.readouterr().err == (
        f"{configuration}: store: is none: there is nothing for this command to work on\n"
    )


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["restore", "--store", "sqlite:////nowhere/a.db", "/nowhere/b.db"], "/nowhere/b.db: No such file"),
        (["backup", "--store", "sqlite:////nowhere/a.db", "b.db"], "sqlite:////nowhere/a.db: No such file"),
        (["status", "--store", "postgresql://u:secret@127.0.0.1:1/d"], "postgresql://u@127.0.0.1:1/d: "),
        (["status", "--store", "oracle://u:secret@h/d"], "oracle://u@h/d: must be sqlite:///path"),
        (["migrate", "-c", "/nowhere/gateway.yaml"], "/nowhere/gateway.yaml"),
    ],
)
def test_errors_are_one_line_that_names_the_store(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    run(*arguments, code=2)
    error = capsys.readouterr().err
    assert complaint in error
    assert error.count("\n") == 1
    assert "secret" not in error
