"""`devicetrust-agent status`: which certificate there is, and how the last run ended."""

import json
from datetime import UTC, datetime

import click

from gateway.agent.cli import EXIT_OK
from gateway.agent.keys.keepers import ConfiguredKeepers
from gateway.agent.settings import Settings, SettingsRefused, settings_of
from gateway.agent.standing import LocalStanding, local_standing
from gateway.agent.state import State
from gateway.agent.survey import issuer_common_name
from gateway.agent.this_computer import this_platform
from gateway.agent.vault import Vault

_EPILOG = """\b
Examples:
  devicetrust-agent status
  devicetrust-agent status --json
"""


@click.command(epilog=_EPILOG)
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def status(as_json: bool) -> int:
    """Which certificate there is, whose, until when, and how the last run ended. Asks nobody."""
    platform = this_platform()
    vault = Vault(platform.data_directory)
    state = vault.state()
    settings: Settings | None = None
    trouble: str | None = None
    try:
        settings = settings_of(platform.settings())
    except SettingsRefused as error:
        trouble = str(error)
    keepers = ConfiguredKeepers(settings or Settings(""), vault.directory, platform)
    in_stores = settings is None or not settings.skip_browser_stores
    standing = local_standing(vault, keepers, platform, state, datetime.now(UTC), in_stores=in_stores)
    if as_json:
        click.echo(json.dumps(_as_json(settings, trouble, standing, state), indent=2))
    else:
        for line in _lines(settings, trouble, standing, state):
            click.echo(line)
    return EXIT_OK


def _as_json(
    settings: Settings | None, trouble: str | None, standing: LocalStanding, state: State
) -> dict[str, object]:
    certificate = standing.certificate
    return {
        "orgUrl": None if settings is None else settings.org_url,
        "settingsTrouble": trouble,
        "good": standing.is_good and trouble is None,
        "troubles": list(standing.troubles),
        "certificate": None
        if certificate is None
        else {
            "serialNumber": f"{certificate.serial_number:x}",
            "thumbprint": certificate.thumbprint,
            "issuer": issuer_common_name(certificate),
            "user": standing.login,
            "device": standing.device,
            "notBefore": _iso(certificate.not_before),
            "notAfter": _iso(certificate.not_after),
            "renewFrom": _iso(state.renew_from),
            "keyStorage": state.key_storage,
            "stores": list(standing.stores),
        },
        "lastRun": _iso(state.last_run),
        "lastSuccess": _iso(state.last_success),
        "nextRun": _iso(state.next_run),
        "failures": state.failures,
        "outcome": state.outcome,
        "refusal": None if state.refusal is None else state.refusal.as_json(),
    }


def _lines(
    settings: Settings | None, trouble: str | None, standing: LocalStanding, state: State
) -> list[str]:
    lines = [f"organization  {settings.org_url if settings else trouble}"]
    certificate = standing.certificate
    if certificate is not None:
        lines += [
            f"certificate   {certificate.serial_number:x}, by {issuer_common_name(certificate)}",
            f"user          {standing.login or '-'}",
            f"device        {standing.device or '-'}",
            f"good until    {_day(certificate.not_after)}, renewed from {_day(state.renew_from)} on",
            f"key           {state.key_storage or 'unknown'}",
        ]
        lines += [f"installed in  {each}" for each in standing.stores]
    lines += [f"trouble       {each}" for each in standing.troubles]
    lines.append(f"last run      {_minute(state.last_run)}" + (f": {state.outcome}" if state.outcome else ""))
    lines.append(f"next look     {_minute(state.next_run)}")
    if state.refusal is not None:
        lines.append(f"refusal       {state.refusal.code}: {state.refusal.message}")
        lines += [f"remedy        {state.refusal.remedy}"] if state.refusal.remedy else []
    return lines


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.astimezone(UTC).isoformat(timespec="seconds")


def _day(at: datetime | None) -> str:
    return "-" if at is None else f"{at:%Y-%m-%d}"


def _minute(at: datetime | None) -> str:
    return "never" if at is None else f"{at.astimezone():%Y-%m-%d %H:%M}"
