"""`devicetrust iwa list`, `promote`, `enable`, `disable` and `remove`: the organization's IWA web apps, at
its own machine."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import click

from gateway.cli.at_the_machine import occasion_of
from gateway.config.load import load_settings
from gateway.model.iwa import Iwa, IwaStatus
from gateway.services import iwas
from gateway.services.iwas import IwaWork
from gateway.services.refusals import Refused
from gateway.system_log.catalog import Occasion

if TYPE_CHECKING:
    from gateway.adapters.store import Store

_COMMAND: Final = "devicetrust iwa"

_config = click.option(
    "-c",
    "--config",
    "config_path",
    default="gateway.yaml",
    show_default=True,
    metavar="FILE",
    help="Configuration file of the gateway.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
_name = click.argument("name", metavar="NAME")


@click.command(
    "list",
    short_help="List the organization's IWA web apps.",
    epilog="""\b
Examples:
  devicetrust iwa list -c gateway.yaml
  devicetrust iwa list --json | jq '.[] | select(.online | not) | .name'
""",
)
@_config
@_json
def list_command(config_path: str, as_json: bool) -> None:
    """List the IWA web apps that are registered, in the order in which agents try them, the disabled ones
    last."""
    with _store(config_path) as store, store.read() as view:
        found = view.iwas.all()
    ordered = iwas.in_order(found)
    ordered += [each for each in found if not each.enabled]
    if as_json:
        click.echo(json.dumps([_values(each) for each in ordered], indent=2))
        return
    for each in ordered:
        state = "online" if each.online else "offline"
        place = "primary" if each.is_primary else "-"
        seen = "never" if each.last_seen is None else each.last_seen.isoformat(timespec="seconds")
        line = [each.id, each.name, each.status.value, place, state, f"seen {seen}", each.url]
        click.echo("  ".join([*line, ",".join(each.realms)]))


def _changing(
    verb: str, summary: str, description: str, change: Callable[[IwaWork, Occasion, Iwa], object], done: str
) -> click.Command:
    @click.command(
        verb,
        short_help=summary,
        help=description,
        epilog=f"\b\nExample:\n  devicetrust iwa {verb} hq-1 -c gateway.yaml\n",
    )
    @_config
    @_name
    @_json
    def command(config_path: str, name: str, as_json: bool) -> None:
        with _store(config_path) as store, store.begin() as work:
            iwa = iwas.find_iwa(work.iwas, name, lock=True)
            change(work, occasion_of(_COMMAND), iwa)
        click.echo(json.dumps({"id": iwa.id, verb: True}) if as_json else f"{iwa.name} is {done}")

    return command


promote_command = _changing(
    "promote",
    "Make one the first that agents try.",
    "Make the IWA web app NAME (or its id) the first that agents try.",
    iwas.promote_iwa,
    "the primary",
)
enable_command = _changing(
    "enable",
    "Let one vouch for computers again.",
    "Let the IWA web app NAME (or its id) vouch for computers again.",
    lambda work, occasion, iwa: iwas.set_iwa_status(work, occasion, iwa, IwaStatus.ENABLED),
    "enabled",
)
disable_command = _changing(
    "disable",
    "Let nothing count that one has signed.",
    "Let nothing count any more that the IWA web app NAME (or its id) has signed, and tell no agent of it.",
    lambda work, occasion, iwa: iwas.set_iwa_status(work, occasion, iwa, IwaStatus.DISABLED),
    "disabled",
)
remove_command = _changing(
    "remove",
    "Forget one.",
    "Forget the IWA web app NAME (or its id). It has to be registered anew.",
    iwas.remove_iwa,
    "removed",
)


def _values(iwa: Iwa) -> dict[str, Any]:
    return {
        "id": iwa.id,
        "name": iwa.name,
        "url": iwa.url,
        "key_id": iwa.key_id,
        "version": iwa.version,
        "realms": list(iwa.realms),
        "status": iwa.status.value,
        "primary": iwa.is_primary,
        "online": iwa.online,
        "last_seen": None if iwa.last_seen is None else iwa.last_seen.isoformat(),
        "health": dict(iwa.health),
    }


@contextmanager
def _store(config_path: str) -> Iterator["Store"]:
    """What a use case refuses becomes an error of the command."""
    # The IWA web app starts by way of this module, and has no store: it takes half of the time.
    from gateway.adapters.store import Store

    settings = load_settings(config_path)
    if settings.store_url is None:
        raise click.ClickException(f"{config_path}: store is none, so there is no organization")
    store = Store.open(settings.store_url)
    try:
        yield store
    except Refused as refused:
        raise click.ClickException(str(refused)) from None
    finally:
        store.close()
