"""`devicetrust config export` and `import`: what was changed at run time, as a file."""

import json
from datetime import UTC, datetime
from difflib import unified_diff
from pathlib import Path
from secrets import token_bytes
from typing import Final
from uuid import uuid4

import click

from gateway.adapters.plugins import load_condition_parsers
from gateway.adapters.store import Store
from gateway.config.load import load_settings
from gateway.config.org_configuration import org_configuration
from gateway.config.org_file import MAX_CHARACTERS, OrgFile, load_org_file, org_file_text
from gateway.config.text_file import read_text_file
from gateway.model.quoting import printable
from gateway.model.settings import GatewaySettings
from gateway.services.org_export import Imported, ImportRefused, TrustSwitchedOff, export_org, import_org
from gateway.services.policy_work import Editing
from gateway.system_log.catalog import job

_MAX_LISTED_RULES: Final = 10

_config = click.option(
    "-c",
    "--config",
    "config_path",
    default="gateway.yaml",
    show_default=True,
    metavar="FILE",
    help="Configuration file, which names the store.",
)


class _DryRun(Exception):
    """Ends a transaction without a trace."""


@click.command(
    "export",
    epilog="""\b
Examples:
  devicetrust config export -c gateway.yaml --out runtime.yaml
  devicetrust config export | git diff --no-index runtime.yaml -
""",
)
@_config
@click.option("--out", "out_path", metavar="FILE", help="Write to this file. Left out: standard output.")
def export_command(config_path: str, out_path: str | None) -> None:
    """Print what was changed at run time, as YAML for version control.

    Policies that were edited, zones, settings. Not: people, groups, devices, certificates and API tokens. The
    same store gives the same text.
    """
    store = _open(load_settings(config_path))
    try:
        with store.read() as view:
            text = org_file_text(export_org(view))
    finally:
        store.close()
    if out_path is None:
        click.echo(text, nl=False)
        return
    temporary = Path(f"{out_path}.{uuid4().hex[:8]}")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(out_path)


@click.command(
    "import",
    short_help="Make the store hold what FILE says.",
    epilog="""\b
Examples:
  devicetrust config import -c gateway.yaml runtime.yaml --dry-run
  devicetrust config import -c gateway.yaml runtime.yaml
\b
Exit code: 0 done, or nothing to do; 1 refused, because Device Trust would be switched off
while rules use it; 2 the file cannot be used.""",
)
@_config
@click.argument("path", metavar="FILE")
@click.option("--dry-run", is_flag=True, help="Check everything and show what would change; change nothing.")
@click.option("--force", is_flag=True, help="Switch Device Trust off even while active rules use it.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def import_command(config_path: str, path: str, dry_run: bool, force: bool, as_json: bool) -> int:
    """Make the store hold exactly what FILE says, in one transaction, and show what changes.

    What FILE leaves out goes back to what gateway.yaml and the policy files say. Running gateways follow at
    once.
    """
    settings = load_settings(config_path)
    configuration = org_configuration(settings, load_condition_parsers())
    file = load_org_file(read_text_file(path, MAX_CHARACTERS), path)
    editing = Editing(
        job(datetime.now(UTC), lambda: str(uuid4()), f"import-{uuid4()}"), configuration, token_bytes
    )
    store = _open(settings)
    try:
        done, difference = _import(store, editing, file, dry_run=dry_run, force=force)
    except ImportRefused as refused:
        raise file.error(refused) from refused
    except TrustSwitchedOff as refused:
        raise click.ClickException(_switched_off(path, refused)) from refused
    finally:
        store.close()
    if as_json:
        click.echo(json.dumps(_result(done, difference, dry_run), indent=2, ensure_ascii=False))
        return 0
    click.echo(difference, nl=False)
    click.echo(_sentence(done, dry_run))
    return 0


def _import(
    store: Store, editing: Editing, file: OrgFile, *, dry_run: bool, force: bool
) -> tuple[Imported, str]:
    """What was done and what it changed, as a unified diff of two exports."""
    done, difference = Imported(), ""
    try:
        with store.begin() as work:
            before = org_file_text(export_org(work))
            done = import_org(work, editing, file.exported, file.document.source, force=force)
            after = org_file_text(export_org(work))
            difference = "".join(
                unified_diff(
                    before.splitlines(keepends=True), after.splitlines(keepends=True), "store", "file"
                )
            )
            if dry_run:
                raise _DryRun
    except _DryRun:
        pass
    return done, difference


def _open(settings: GatewaySettings) -> Store:
    if settings.store_url is None:
        raise click.ClickException(f"{settings.source}: store is none: nothing is changed at run time")
    return Store.open(settings.store_url)


def _switched_off(path: str, refused: TrustSwitchedOff) -> str:
    rules = [f"{printable(rule.rule)} of app {rule.app}" for rule in refused.rules]
    more = len(rules) - _MAX_LISTED_RULES
    listed = ", ".join(rules[:_MAX_LISTED_RULES]) + (f" and {more} more" if more > 0 else "")
    return f"{path}: switches Device Trust off while active rules use it: {listed}\nTo insist: --force"


def _sentence(done: Imported, dry_run: bool) -> str:
    if done.nothing:
        return "nothing to change"
    verb = "would change" if dry_run else "changed"
    return f"{verb}: {done.policies} policies, {done.zones} zones, {done.settings} settings"


def _result(done: Imported, difference: str, dry_run: bool) -> dict[str, object]:
    return {
        "dry_run": dry_run,
        "policies": done.policies,
        "zones": done.zones,
        "settings": done.settings,
        "difference": difference,
    }
