"""`devicetrust-agent --device`: the part that runs as root. At a socket it serves, without it is a trial."""

import os
import sys
from pathlib import Path
from typing import Final

import click
from cryptography.hazmat.primitives.asymmetric import ec

from gateway.agent.assembly import ComputersTokens, connections
from gateway.agent.cli import EXIT_OK, EXIT_REFUSED, EXIT_UNUSABLE
from gateway.agent.device_part import IDLE_SECONDS, DeviceService, default_socket, has_socket, listening
from gateway.agent.iwa_client import Asked
from gateway.agent.org_client import OrgClient
from gateway.agent.platform import PlatformFailed
from gateway.agent.refusal import LocalRefusal, Refused, refused
from gateway.agent.settings import Settings, SettingsRefused, settings_of
from gateway.agent.this_computer import this_platform
from gateway.agent.trace import NoTrace, PrintedTrace, Trace, decoded_token
from gateway.enrollment.thumbprints import key_thumbprint

# Then it is started anew, and reads the settings anew.
_UNUSABLE_SECONDS: Final = 5.0


class _Unusable:
    """Refuses everybody for one reason."""

    def __init__(self, why: Refused) -> None:
        self._why = why

    def iwa_urls(self) -> tuple[str, ...]:
        raise self._why

    def device_token(self, iwa_url: str, asked: Asked) -> str:
        raise self._why


def run_device(socket_path: str | None, *, debug: bool, trial: bool = False) -> int:
    """The exit code. Without a socket it is a trial, but on Windows, whose task for it has no socket to hand
    over. Raises SettingsRefused, PlatformFailed, Refused.

    As a service of systemd it says why it cannot be used to those who ask: a service that ends at once is
    started for the same connection again and again, until systemd gives its socket up for good.
    """
    if trial or socket_path is not None or not has_socket():
        return _run(socket_path, debug=debug, trial=trial)
    try:
        return _run(None, debug=debug, trial=False)
    except (SettingsRefused, PlatformFailed) as error:
        why = refused(LocalRefusal.NO_DEVICE_PART, str(error), "An administrator has to correct it.")
    except Refused as error:
        why = error
    _log(f"{why.refusal.code}: {why.refusal.message}")
    with listening(None) as (listener, _):
        DeviceService(_Unusable(why), _log).serve(listener, _UNUSABLE_SECONDS)
    return EXIT_UNUSABLE


def _run(socket_path: str | None, *, debug: bool, trial: bool) -> int:
    platform = this_platform()
    settings = settings_of(platform.settings())
    trace: Trace = PrintedTrace(click.echo) if debug else NoTrace()
    # As a service of systemd it may write to its own directory only.
    copies = Path(os.environ.get("RUNTIME_DIRECTORY") or platform.data_directory)
    with connections(settings, copies, os.environ, trace) as lines:
        tokens = ComputersTokens(settings, lines)
        if socket_path is None and sys.platform == "win32" and not trial:
            socket_path = settings.device_socket or default_socket(sys.platform)
        if trial or (socket_path is None and not has_socket()):
            return _trial(tokens, OrgClient(lines.outside, settings.org_url), settings, trace)
        with listening(socket_path) as (listener, handed_over):
            service = DeviceService(tokens, _log)
            service.serve(listener, IDLE_SECONDS if handed_over else None)
    return EXIT_OK


def _trial(tokens: ComputersTokens, org: OrgClient, settings: Settings, trace: Trace) -> int:
    """A device token for a key that is thrown away: does the computer's account work?"""
    trace.step(1)
    discovery = org.discovery()
    if not discovery.iwas:
        click.echo(f"{settings.org_url} has no IWA web app yet", err=True)
        return EXIT_REFUSED
    asked = Asked(discovery.nonce, key_thumbprint(ec.generate_private_key(ec.SECP256R1()).public_key()))
    worked = 0
    for iwa in discovery.iwas:
        trace.step(2)
        try:
            token = tokens.device_token(iwa.url, asked)
        except Refused as error:
            refusal = error.refusal
            click.echo(f"{iwa.name} ({iwa.url}): {refusal.code}: {refusal.message}", err=True)
            if refusal.remedy:
                click.echo(refusal.remedy, err=True)
            continue
        worked += 1
        click.echo(f"{iwa.name} ({iwa.url}): vouches for {_computer(token)}")
    click.echo(
        f"a trial: nothing was changed; {worked} of {len(discovery.iwas)} IWA web apps gave a device token"
    )
    return EXIT_OK if worked else EXIT_REFUSED


def _computer(token: str) -> str:
    told = decoded_token(token)
    claims = told.get("claims") if isinstance(told, dict) else None
    device = claims.get("device") if isinstance(claims, dict) else None
    return str(device.get("principal")) if isinstance(device, dict) else "this computer"


def _log(sentence: str) -> None:
    """To the journal, by way of standard error."""
    sys.stderr.write(sentence + "\n")
    sys.stderr.flush()
