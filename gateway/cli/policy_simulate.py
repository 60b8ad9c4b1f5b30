"""`devicetrust policy simulate`: sign-ons of the System Log under another policy."""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import IO, Any, Final

import click

from gateway.adapters.plugins import PlugInError, load_condition_parsers
from gateway.adapters.store import Store, View
from gateway.adapters.store.address import store_address
from gateway.config.errors import ConfigError
from gateway.config.load import ConfigErrors, load_settings
from gateway.config.policy_file import read_policy
from gateway.model.decision import DeviceTrust
from gateway.model.log_event import LogQuery
from gateway.model.quoting import printable
from gateway.model.settings import GatewaySettings, Zone
from gateway.model.store_errors import StoreError
from gateway.policy.rules import Policy
from gateway.policy.what_if import (
    EVALUATED,
    Difference,
    PastSignOn,
    Replay,
    Unread,
    is_sign_on,
    read_sign_on,
    replay,
)
from gateway.services.org_configuration import OrgConfiguration
from gateway.services.zone_sets import zones_in_force

DIFFERENCES: Final = 1
# An event of the log has some 2 KB, at most 20.
MAX_LINE_CHARACTERS: Final = 1_048_576
DEFAULT_DAYS: Final = 7
DEFAULT_SHOWN: Final = 50


@dataclass
class _Events:
    """The events of a log, and how many of its lines were no sign-ons that could be read."""

    unread: int = 0

    def sign_ons(self, events: Iterable[str], app: str, view: View | None) -> Iterator[PastSignOn]:
        for line in events:
            try:
                event = json.loads(line) if len(line) <= MAX_LINE_CHARACTERS else None
                if isinstance(event, Mapping) and not is_sign_on(event):
                    continue
                if not isinstance(event, Mapping):
                    raise Unread("is no object")
                sign_on = read_sign_on(event, None if view is None else lambda login: _groups(view, login))
            except (ValueError, RecursionError, Unread):
                self.unread += 1
                continue
            if sign_on.app == app:
                yield sign_on


@click.command(
    "simulate",
    short_help="Try another policy on past sign-ons.",
    epilog="""\b
Examples:
  devicetrust policy simulate new-wiki.yaml --app wiki -c gateway.yaml --days 30
  devicetrust log export | devicetrust policy simulate new-wiki.yaml --app wiki -c gateway.yaml --log -
  devicetrust policy simulate new.yaml --against old.yaml --app wiki -c gateway.yaml --json
\b
Exit code: 0 every sign-on would end as it did, 1 some would not, 2 something cannot be used.""",
)
@click.argument("path", metavar="POLICY")
@click.option("--app", required=True, help="Name of the app whose sign-ons are replayed.")
@click.option(
    "-c",
    "--config",
    "config_path",
    default="gateway.yaml",
    show_default=True,
    metavar="FILE",
    help="Configuration file, with the app, the zones and the store.",
)
@click.option("--log", "log_file", type=click.File(encoding="utf-8", errors="replace"), metavar="FILE",
              help="Events as devicetrust log export writes them, one a line; - for standard input. "
              "Left out: those of the store.")  # fmt: skip
@click.option("--days", type=click.IntRange(1, 3650), default=DEFAULT_DAYS, show_default=True,
              help="How far to look back.")  # fmt: skip
@click.option("--against", "against_path", metavar="POLICY",
              help="Compare with this policy, not with what was logged.")  # fmt: skip
@click.option("--groups-of-store", is_flag=True,
              help="Take users to be in the groups that the store has them in.")  # fmt: skip
@click.option("--show", type=click.IntRange(0), default=DEFAULT_SHOWN, show_default=True,
              help="How many differences to list.")  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def simulate(
    path: str,
    app: str,
    config_path: str,
    log_file: IO[str] | None,
    days: int,
    against_path: str | None,
    groups_of_store: bool,
    show: int,
    as_json: bool,
) -> int:
    """Say which sign-ons of the past would end otherwise under POLICY.

    Replays the sign-ons to one app that are in the System Log. Those that depend on something that was not
    logged (groups; a device that was not asked) are counted, not guessed.
    """
    with _unusable():
        settings = load_settings(config_path)
        since = datetime.now(UTC) - timedelta(days=days)
        with _view(settings, log_file is None or groups_of_store) as view:
            zones = _zones(settings, view)
            policy, against = (
                None if each is None else _policy(each, app, settings, zones) for each in (path, against_path)
            )
            assert policy is not None
            events = _Events()
            lines = log_file if log_file is not None else _stored(view, since)
            sign_ons = events.sign_ons(lines, app, view if groups_of_store else None)
            recent = (sign_on for sign_on in sign_ons if sign_on.published >= since)
            result = replay(recent, policy, zones, against=against)
    if as_json:
        click.echo(json.dumps(_result(result, events.unread), indent=2, ensure_ascii=False))
    else:
        for difference in result.differences[:show]:
            click.echo(_sentence(difference))
        for line in _summary(result, events.unread):
            click.echo(line)
    return DIFFERENCES if result.differences else 0


@contextmanager
def _unusable() -> Iterator[None]:
    try:
        yield
    except ConfigErrors as error:
        raise _Unusable(str(error.errors[0])) from error
    except (ConfigError, PlugInError, StoreError) as error:
        raise _Unusable(str(error)) from error


class _Unusable(click.ClickException):
    exit_code = 2


@contextmanager
def _view(settings: GatewaySettings, needed: bool) -> Iterator[View | None]:
    """The store, where there is one; without one there is nothing that was changed at run time."""
    if settings.store_url is None:
        if needed:
            raise _Unusable(f"{settings.source}: store is none: name a file with --log")
        yield None
        return
    file = store_address(settings.store_url).sqlite_file
    if not needed and file is not None and not file.exists():
        yield None  # to look makes no store
        return
    store = Store.open(settings.store_url)
    try:
        with store.read() as view:
            yield view
    finally:
        store.close()


def _zones(settings: GatewaySettings, view: View | None) -> dict[str, Zone]:
    of_file = {zone.name: zone for zone in settings.zones}
    return of_file if view is None else zones_in_force(view, OrgConfiguration(zones=of_file))


def _policy(path: str, app: str, settings: GatewaySettings, zones: Mapping[str, Zone]) -> Policy:
    found = next((each for each in settings.apps if each.name == app), None)
    if found is None:
        raise _Unusable(f"{settings.source}: no app is named {printable(app)}")
    return read_policy(
        path,
        load_condition_parsers(),
        client_conditions=found.client_conditions,
        zone_names=zones.keys(),
    ).policy


def _stored(view: View | None, since: datetime) -> Iterator[str]:
    assert view is not None
    query = LogQuery(since=since, event_types=frozenset((EVALUATED,)))
    return (row.event_json for row in view.log.rows(query))


def _groups(view: View, login: str) -> frozenset[str] | None:
    user = view.users.by_login(login)
    return None if user is None else frozenset(group.name for group in view.groups.of_user(user.id))


def _sentence(difference: Difference) -> str:
    request = difference.sign_on.request
    device = "device not asked" if request.device_trust is DeviceTrust.UNKNOWN else str(request.device_trust)
    device += " with a hardware key" if request.hardware_key else ""
    by = "the default" if difference.rule is None else f"rule {printable(difference.rule)}"
    return (
        f"{difference.sign_on.published.isoformat(timespec='seconds')} {printable(request.user)}"
        f" on {request.client}, {request.platform}, {device}, from {request.ip}:"
        f" {difference.before} → {difference.after} by {by}"
    )


def _summary(result: Replay, unread: int) -> Iterator[str]:
    yield f"{result.replayed} sign-ons replayed, {len(result.differences)} would end otherwise"
    if result.unknown_groups:
        yield f"{result.unknown_groups} depend on groups, which were not logged (see --groups-of-store)"
    if result.unknown_device:
        yield f"{result.unknown_device} depend on the device, which was not asked at the time, or on its key"
    if unread:
        yield f"{unread} lines are no events of the System Log"


def _result(result: Replay, unread: int) -> dict[str, Any]:
    return {
        "replayed": result.replayed,
        "unknown_groups": result.unknown_groups,
        "unknown_device": result.unknown_device,
        "unread": unread,
        "differences": [
            {
                "uuid": each.sign_on.uuid,
                "published": each.sign_on.published.isoformat(),
                "user": each.sign_on.request.user,
                "ip": str(each.sign_on.request.ip),
                "client": each.sign_on.request.client.value,
                "platform": each.sign_on.request.platform.value,
                "device_trust": each.sign_on.request.device_trust.value,
                "hardware_key": each.sign_on.request.hardware_key,
                "before": each.before.value,
                "after": each.after.value,
                "rule": each.rule,
                "reason": each.reason,
            }
            for each in result.differences
        ],
    }
