"""`devicetrust-agent verify`: an exit code, for software distribution that asks whether it worked."""

import json
import os
from datetime import UTC, datetime

import click

from gateway.agent.assembly import connections
from gateway.agent.cli import EXIT_OK, EXIT_REFUSED
from gateway.agent.enrolled import issuer_of
from gateway.agent.keys.keepers import ConfiguredKeepers
from gateway.agent.org_client import OrgClient
from gateway.agent.plan import Standing
from gateway.agent.settings import Settings, settings_of
from gateway.agent.standing import local_standing
from gateway.agent.this_computer import this_platform
from gateway.agent.trace import NoTrace
from gateway.agent.vault import Vault
from gateway.pki.certificate import Certificate

_EPILOG = """\b
Examples:
  devicetrust-agent verify                  # as a person: is there a good certificate?
  devicetrust-agent verify --online         # and does the org say so, too?
  devicetrust-agent verify --installation   # as administrator: is the agent set up?
"""


@click.command(epilog=_EPILOG)
@click.option("--installation", is_flag=True, help="Look at the settings only, not at a certificate.")
@click.option("--online", is_flag=True, help="Ask the org, too, whether the certificate is revoked.")
@click.option("--json", "as_json", is_flag=True, help="As one JSON object.")
def verify(installation: bool, online: bool, as_json: bool) -> int:
    """Exit code 0 where all is ready, 1 where not, with the reason."""
    platform = this_platform()
    settings = settings_of(platform.settings())
    if installation:
        return _answer([], f"set up for {settings.org_url}", as_json=as_json)
    vault = Vault(platform.data_directory)
    keepers = ConfiguredKeepers(settings, vault.directory, platform)
    standing = local_standing(
        vault,
        keepers,
        platform,
        vault.state(),
        datetime.now(UTC),
        in_stores=not settings.skip_browser_stores,
    )
    troubles = list(standing.troubles)
    good = "there is no certificate"
    if standing.certificate is not None:
        number, until = standing.certificate.serial_number, standing.certificate.not_after
        good = f"certificate {number:x} is good until {until:%Y-%m-%d}"
        if online:
            troubles += _asked(settings, standing.certificate, vault)
    return _answer(troubles, good, as_json=as_json)


def _asked(settings: Settings, certificate: Certificate, vault: Vault) -> list[str]:
    """Raises Refused where the org cannot be asked."""
    with connections(settings, vault.directory, os.environ, NoTrace()) as lines:
        org = OrgClient(lines.outside, settings.org_url)
        issuer = issuer_of(certificate, org.authorities())
        if issuer is None:
            return ["the organization does not have the authority that issued the certificate"]
        standing = org.standing(certificate, issuer, datetime.now(UTC))
    return (
        [] if standing is Standing.GOOD else [f"the organization says of the certificate: {standing.value}"]
    )


def _answer(troubles: list[str], good: str, *, as_json: bool) -> int:
    if as_json:
        click.echo(json.dumps({"good": not troubles, "troubles": troubles}))
    elif troubles:
        click.echo("; ".join(troubles), err=True)
    else:
        click.echo(good)
    return EXIT_REFUSED if troubles else EXIT_OK
