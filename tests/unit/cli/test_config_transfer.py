"""`devicetrust config export` and `import`, with both stores."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from support.gateway_yaml import Installation
from support.policies import PARSERS
from support.policy_work import editing

from gateway.adapters.store import Store
from gateway.cli.main import run
from gateway.config.load import load_settings
from gateway.config.org_configuration import org_configuration
from gateway.model.org import PolicySource, SettingName
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.policies import create_rule
from gateway.services.policy_files import adopt_files
from gateway.services.zones import create_zone

DENY = {"appSignOn": {"access": "DENY"}}


class World:
    """An installation whose store is ``url``."""

    def __init__(self, directory: Path, url: str, capsys: pytest.CaptureFixture[str]) -> None:
        self.installation = Installation(directory)
        self.installation.configure(("sqlite:///var/devicetrust.db", json.dumps(url)))
        self.url = url
        self._capsys = capsys

    @property
    def configuration(self) -> OrgConfiguration:
        return org_configuration(load_settings(str(self.installation.configuration)), PARSERS)

    def run(self, *arguments: str) -> tuple[int, str, str]:
        code = run(["config", arguments[0], "-c", str(self.installation.configuration), *arguments[1:]])
        said = self._capsys.readouterr()
        return code, said.out, said.err

    def export(self) -> str:
        code, out, err = self.run("export")
        assert (code, err) == (0, "")
        return out

    def file(self, text: str) -> str:
        return str(self.installation.write("runtime.yaml", text.encode()))

    def edit(self) -> None:
        store = Store.open(self.url)
        with store.begin() as work:
            edit = editing(self.configuration)
            adopt_files(work, self.configuration, edit.occasion)
            lab = create_zone(
                work,
                edit,
                {"name": "lab", "gateways": [{"type": "RANGE", "value": "192.0.2.1-192.0.2.9"}]},
            )
            network = {"connection": "ZONE", "exclude": [lab.id]}
            [wiki] = work.policies.all()
            body = {"name": "0x1f", "conditions": {"network": network}, "actions": DENY}
            create_rule(work, edit, wiki.id, body)
            work.settings.put(SettingName.READ_ONLY, True, edit.occasion.at)
        store.close()

    def seen(self) -> dict[str, Any]:
        store = Store.open(self.url)
        with store.read() as view:
            found = {
                "policies": [(p.app, p.source, [r["name"] for r in p.document["rules"]])  # type: ignore[attr-defined]
                             for p in view.policies.all()],
                "zones": [zone.name for zone in view.zones.all()],
                "settings": view.settings.all(),
                "change": view.feed.head(),
            }  # fmt: skip
        store.close()
        return found


@pytest.fixture
def world(tmp_path: Path, store_url: str, capsys: pytest.CaptureFixture[str]) -> World:
    directory = tmp_path / "installation"
    directory.mkdir()
    return World(directory, store_url, capsys)


def test_what_was_exported_makes_another_store_the_same(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world.edit()
    text = world.export()
    (tmp_path / "other").mkdir()
    other = World(tmp_path / "other", f"sqlite:///{tmp_path}/other.db", capsys)
    code, out, err = other.run("import", other.file(text))
    assert (code, err) == (0, "")
    assert out.endswith("changed: 1 policies, 1 zones, 1 settings\n")
    assert "+  - id: nzo" in out
    assert other.export() == text
    assert other.run("import", other.file(text)) == (0, "nothing to change\n", "")
    # Back to what the files say, in the store that was edited.
    code, out, _ = world.run("import", world.file("version: 1\n"))
    assert (code, out.splitlines()[-1]) == (0, "changed: 1 policies, 1 zones, 1 settings")
    seen = world.seen()
    assert seen["policies"] == [("wiki", PolicySource.FILE, ["Trusted Windows"])]
    assert (seen["zones"], seen["settings"]) == ([], {})


def test_an_import_is_in_the_change_feed_and_in_the_log(world: World) -> None:
    world.edit()
    before = world.seen()["change"]
    world.run("import", world.file("version: 1\n"))
    store = Store.open(world.url)
    with store.read() as view:
        changes = view.feed.changes_after(before)
        events = [json.loads(row.event_json) for row in view.log.rows()]
    store.close()
    assert [change.payload["what"] for change in changes] == ["settings", "zones", "policies"]
    summary = events[-1]
    assert summary["eventType"] == "devicetrust.configuration.import"
    assert summary["target"][0]["detailEntry"] == {"settings": 1, "zones": 1, "policies": 1}
    assert summary["actor"]["type"] == "SystemPrincipal"


def test_a_dry_run_shows_everything_and_changes_nothing(world: World) -> None:
    world.edit()
    before = world.seen()
    code, out, _ = world.run("import", world.file("version: 1\n"), "--dry-run")
    assert code == 0
    assert "-      - 192.0.2.1-192.0.2.9\n" in out
    assert out.endswith("would change: 1 policies, 1 zones, 1 settings\n")
    assert world.seen() == before
    code, out, _ = world.run("import", world.file("version: 1\n"), "--dry-run", "--json")
    assert json.loads(out)["zones"] == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("policies:\n  vault: {name: V, rules: []}", ":3: policies.vault: gateway.yaml has no such app"),
        ("policies:\n  wiki: {name: V, rules: 7}", ":3: policies.wiki.rules: expected a list"),
        (
            "policies:\n  wiki:\n    name: V\n    rules:\n"
            "      - {name: r, location: {in_zones: [mars]}, access: deny}",
            ":6: policies.wiki.rules[0].location.in_zones[0]: rule r: no zone is named",
        ),
        (
            "zones:\n  - {name: a, networks: [10.0.0.0/8]}\n  - {name: a, networks: [10.0.0.0/8]}",
            ":4: zones[1].name: is that of another zone",
        ),
    ],
)
def test_a_file_that_cannot_be_used_changes_nothing(world: World, text: str, message: str) -> None:
    world.edit()
    before = world.seen()
    path = world.file(f"version: 1\n{text}\n")
    code, out, err = world.run("import", path)
    assert (code, out) == (2, "")
    assert err.startswith(path + message)
    assert world.seen() == before


def test_device_trust_is_switched_off_only_on_purpose(world: World) -> None:
    world.edit()
    before = world.seen()
    path = world.file("version: 1\nsettings: {device_trust_enabled: false}\n")
    code, _, err = world.run("import", path)
    assert code == 1
    assert 'while active rules use it: "Trusted Windows" of app wiki' in err
    assert world.seen() == before
    assert world.run("import", path, "--force")[0] == 0
    assert world.seen()["settings"] == {"device_trust_enabled": False}


def test_zones_can_change_names_with_each_other(world: World) -> None:
    zones = (
        "zones:\n  - {id: nzo%s, name: a, networks: [10.0.0.0/8]}\n"
        "  - {id: nzo%s, name: b, networks: [11.0.0.0/8]}"
    )
    first, second = "1" * 17, "2" * 17
    assert world.run("import", world.file("version: 1\n" + zones % (first, second)))[0] == 0
    assert world.run("import", world.file("version: 1\n" + zones % (second, first)))[0] == 0
    store = Store.open(world.url)
    with store.read() as view:
        assert {zone.id[3:]: zone.name for zone in view.zones.all()} == {first: "b", second: "a"}
    store.close()


def test_without_a_store_nothing_is_changed_at_run_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = World(tmp_path, "none", capsys)
    code, _, err = world.run("export")
    assert code == 1
    assert "store is none" in err


def test_an_export_can_go_to_a_file(world: World, tmp_path: Path) -> None:
    out = tmp_path / "out.yaml"
    assert world.run("export", "--out", str(out)) == (0, "", "")
    assert out.read_text() == world.export()
    assert [path.name for path in tmp_path.glob("out*")] == ["out.yaml"]


def test_time_is_that_of_the_import(world: World) -> None:
    world.edit()
    world.run("import", world.file("version: 1\n"))
    store = Store.open(world.url)
    with store.read() as view:
        [wiki] = view.policies.all()
    store.close()
    assert abs(datetime.now(UTC) - wiki.last_updated).total_seconds() < 600
