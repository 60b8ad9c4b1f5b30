"""`devicetrust token` as someone types it."""

import json
from pathlib import Path

import pytest
from support.gateway_yaml import COMPLETE

from gateway.adapters.store import Store
from gateway.cli import main
from gateway.server.org.authentication import token_sha256


@pytest.fixture
def config(tmp_path: Path) -> str:
    path = tmp_path / "gateway.yaml"
    path.write_text(COMPLETE.replace("sqlite:///var/devicetrust.db", f"sqlite:///{tmp_path}/org.db"))
    return str(path)


def test_a_token_is_printed_once_found_by_its_hash_and_revoked(
    config: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    create = ["token", "create", "-c", config, "--name", "siem", "--scope", "read", "--for", "ann"]
    assert main.run([*create, "--expires-in", "90d"]) == 0
    secret = capsys.readouterr().out.strip()
    assert main.run(["token", "list", "-c", config, "--json"]) == 0
    listed = capsys.readouterr().out
    (token,) = json.loads(listed)
    assert (token["name"], token["scope"], token["user"]) == ("siem", "read", "ann")
    assert secret not in listed
    store = Store.open(f"sqlite:///{tmp_path}/org.db")
    with store.read() as view:
        found = view.tokens.by_secret_sha256(token_sha256(secret))
        assert [json.loads(row.event_json)["eventType"] for row in view.log.rows()] == [
            "system.api_token.create"
        ]
    store.close()
    assert found is not None
    assert found.id == token["id"]
    assert main.run(["token", "revoke", "-c", config, token["id"]]) == 0
    assert main.run(["token", "list", "-c", config]) == 0
    assert "revoked 20" in capsys.readouterr().out


def test_the_secret_stands_alone_in_json_too(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main.run(["token", "create", "-c", config, "--name", "x", "--scope", "admin", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["token"].startswith("dtk_")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["create", "--name", "", "--scope", "read"], "name: must not be empty"),
        (["create", "--name", "x", "--scope", "read", "--expires-in", "soon"], "--expires-in"),
        (["create", "--name", "x", "--scope", "read", "--expires-in", "5000000d"], "--expires-in"),
        (["create", "--name", "x", "--scope", "root"], "--scope"),
        (["revoke", "00Tnone"], "ApiToken 00Tnone is not there"),
    ],
)
def test_what_cannot_be_done_is_said_in_a_line(
    config: str, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    verb, *rest = arguments
    assert main.run(["token", verb, "-c", config, *rest]) in (1, 2)
    assert said in capsys.readouterr().err


def test_without_a_store_there_is_no_api(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(config).read_text()
    Path(config).write_text(
        "\n".join("store: none" if line.startswith("store:") else line for line in text.splitlines())
    )
    assert main.run(["token", "list", "-c", config]) == 1
    assert "store is none" in capsys.readouterr().err
