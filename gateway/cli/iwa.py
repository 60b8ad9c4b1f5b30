"""`devicetrust iwa`: the IWA web app itself, and the org's list of all of them."""

import asyncio
import json
import os
from importlib.util import find_spec
from typing import Any, Final

import click

from gateway.adapters.iwa_org_client import OrgCallFailed
from gateway.adapters.key_files import KeyFileRefused
from gateway.cli.iwa_list import (
    disable_command,
    enable_command,
    list_command,
    promote_command,
    remove_command,
)
from gateway.config.errors import ConfigError
from gateway.config.iwa_load import load_iwa_settings
from gateway.config.validation import ConfigErrors
from gateway.enrollment.refusals import EXPLANATIONS, EnrollmentRefusal
from gateway.model.iwa_settings import IwaSettings
from gateway.services.directory import Directory, DirectoryUnavailable, NoDirectory
from gateway.services.tickets import Tickets
from gateway.tls.contexts import ServerCertificateRefused

REFUSALS: Final = (
    ConfigError,
    ConfigErrors,
    KeyFileRefused,
    OrgCallFailed,
    ServerCertificateRefused,
    OSError,
)
# What the extra `iwa` brings, and what of it has to be compiled against what.
_MISSING: Final = (
    "{module} is not installed, which the IWA web app needs. Install the Debian packages {packages}, and "
    "then: pip install 'devicetrust-gateway[iwa]'"
)
_PACKAGES: Final = {
    "gssapi": "libkrb5-dev gcc python3-dev",
    "bonsai": "libldap2-dev libsasl2-dev libsasl2-modules-gssapi-mit gcc python3-dev",
}

_AGAIN: Final = "The agent tries again by itself."
_CHANGE_FIRST: Final = "Something has to be changed first."

_config = click.option(
    "-c",
    "--config",
    "config_path",
    default="iwa.yaml",
    show_default=True,
    metavar="FILE",
    help="Configuration file of the IWA web app.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group()
def iwa() -> None:
    """Run the IWA web app, and see after those that the organization knows.

    \b
    Examples:
      devicetrust iwa register -c iwa.yaml --token-file admin.token
      devicetrust iwa serve -c iwa.yaml
      devicetrust iwa list -c gateway.yaml
      devicetrust iwa explain CLOCK_SKEW
    """


@iwa.command(
    epilog="""\b
Examples:
  devicetrust iwa serve -c iwa.yaml
  devicetrust iwa serve -c iwa.yaml --check
  kill -HUP PID     read iwa.yaml, certificate and keytab anew; what is bad is refused, the old stays
  kill -TERM PID    finish what runs, then exit
"""
)
@_config
@click.option("--check", is_flag=True, help="Look at the configuration and all its files, and end.")
def serve(config_path: str, check: bool) -> None:
    """Run the IWA web app in the foreground. Logs JSON lines to standard output.

    It has to run inside the company network, where computers get Kerberos tickets for it.
    """
    settings = load_iwa_settings(config_path)
    if check:
        _check(settings)
        return
    # Only where they are needed: both take time, and the other commands work without them.
    import uvloop

    from gateway.adapters.systemd import Notifier
    from gateway.server.iwa.serving import IwaPlan, run_iwa

    plan = IwaPlan(
        settings=settings,
        read=lambda: load_iwa_settings(config_path),
        tickets=_tickets,
        directory=_directory,
        refusals=(*REFUSALS, click.ClickException),  # for what is not installed
        notifier=Notifier(os.environ),
    )
    try:
        uvloop.run(run_iwa(plan))
    except OrgCallFailed as failed:
        raise click.ClickException(str(failed)) from None


@iwa.command(
    epilog="""\b
Examples:
  devicetrust token create --name iwa --scope admin > admin.token     on the organization's machine
  devicetrust iwa register -c iwa.yaml --token-file admin.token
"""
)
@_config
@click.option(
    "--token-file",
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    help="File with a token of the organization's API, scope admin; readable by you only.",
)
@_json
def register(config_path: str, token_file: str, as_json: bool) -> None:
    """Make this IWA web app known to the organization, by its name.

    To do it again (with a new address or key) keeps its id. The first one that registers is the primary. One
    that runs already takes the registration over by itself.
    """
    from gateway import __version__
    from gateway.adapters.iwa_org_client import IwaOrgClient, tls_context
    from gateway.adapters.iwa_registration import load_or_create_key, write_registration
    from gateway.adapters.key_files import read_key_file
    from gateway.enrollment.iwa_keys import key_id_of, public_jwk

    settings = load_iwa_settings(config_path)
    token = read_key_file(token_file).decode("ascii", "replace").strip()
    if not token.isalnum() and not token.replace("-", "").replace("_", "").isalnum():
        raise click.ClickException(f"{token_file}: holds no token of the API")
    key = load_or_create_key(settings.keys)
    document = {
        "name": settings.name,
        "url": settings.url,
        "public_jwk": public_jwk(key.public_key()),
        "version": __version__,
        "realms": [each.realm for each in settings.realms],
    }
    try:
        client = IwaOrgClient(settings.org_url, tls_context(settings.org_ca_file))
        iwa_id, audience = asyncio.run(client.register(token, document))
    except OrgCallFailed as failed:
        raise click.ClickException(str(failed)) from None
    write_registration(settings.keys, key, iwa_id, audience, settings.org_url)
    key_id = key_id_of(key.public_key())
    if as_json:
        click.echo(json.dumps({"id": iwa_id, "audience": audience, "key_id": key_id, "name": settings.name}))
    else:
        click.echo(f"{settings.name} is registered as {iwa_id}, for {audience}")


@iwa.command(
    epilog="""\b
Examples:
  devicetrust iwa explain CHANNEL_BINDING_MISMATCH
  devicetrust iwa explain          all codes
"""
)
@click.argument("code", required=False)
@_json
def explain(code: str | None, as_json: bool) -> None:
    """Say what a code of a refused enrollment means, and what to do about it.

    The agent shows the code, and it is in the log of the IWA web app and in the System Log.
    """
    if code is None:
        codes = list(EnrollmentRefusal)
    else:
        name = code.strip().upper()
        if name not in EnrollmentRefusal.__members__:
            raise click.ClickException(f"{code}: no such code; devicetrust iwa explain lists all")
        codes = [EnrollmentRefusal[name]]
    explained = [_explained(each) for each in codes]
    if as_json:
        click.echo(json.dumps(explained if code is None else explained[0], indent=2))
        return
    for each in explained:
        again = (
            "The agent tries again by itself." if each["transient"] else "Something has to be changed first."
        )
        click.echo(f"{each['code']}: {each['message']}\n  {each['remedy']}\n  {again}")


@iwa.command(
    epilog="""\b
Example:
  devicetrust iwa schema > iwa.schema.json
\b
Then write this as the first line of iwa.yaml, and an editor with YAML support
completes keys and explains them:
  # yaml-language-server: $schema=iwa.schema.json
"""
)
def schema() -> None:
    """Print the JSON Schema of iwa.yaml."""
    from gateway.config.iwa_schema import IwaFile
    from gateway.config.schema import json_schema

    click.echo(json.dumps(json_schema(IwaFile, "iwa.yaml"), indent=2))


for _command in (list_command, promote_command, enable_command, disable_command, remove_command):
    iwa.add_command(_command)


def _explained(code: EnrollmentRefusal) -> dict[str, Any]:
    explanation = EXPLANATIONS[code]
    return {
        "code": code.value,
        "message": explanation.sentence,
        "remedy": explanation.remedy,
        "transient": explanation.transient,
    }


def _tickets(settings: IwaSettings) -> Tickets:
    from gateway.adapters.iwa_registration import replay_directory
    from gateway.adapters.key_files import make_keys_directory

    make_keys_directory(settings.keys)
    try:
        from gateway.adapters.kerberos import KerberosTickets
    except ModuleNotFoundError as error:
        if error.name != "gssapi":
            raise
        raise _missing("gssapi") from None
    return KerberosTickets(settings.keytab, settings.service, replay_directory(settings.keys))


def _directory(settings: IwaSettings) -> Directory:
    if not settings.directories:
        return NoDirectory()
    if find_spec("bonsai") is None:  # which a process of its own needs
        raise _missing("bonsai")
    from gateway.adapters.directory import LdapDirectory

    return LdapDirectory(settings.directories)


def _missing(module: str) -> click.ClickException:
    return click.ClickException(_MISSING.format(module=module, packages=_PACKAGES[module]))


async def _check_directories(settings: IwaSettings) -> None:
    directory = _directory(settings)
    try:
        for each in settings.directories:
            try:
                await directory.check(each.realm)
            except DirectoryUnavailable as error:
                raise click.ClickException(f"{settings.source}: directory of {each.realm}: {error}") from None
    finally:
        await directory.close()


def _check(settings: IwaSettings) -> None:
    from gateway.adapters.iwa_org_client import tls_context
    from gateway.adapters.iwa_registration import RegistrationFile
    from gateway.model.iwa_settings import ChannelBindings
    from gateway.server.iwa.server_certificate import ServerCertificate

    _tickets(settings)
    asyncio.run(_check_directories(settings))
    if settings.certificate is not None and settings.private_key is not None:
        must_bind = settings.channel_bindings is ChannelBindings.REQUIRED
        ServerCertificate(settings.certificate, settings.private_key, must_bind=must_bind)
    try:
        tls_context(settings.org_ca_file)
    except OrgCallFailed as failed:
        raise click.ClickException(str(failed)) from None
    registration = RegistrationFile(settings.keys, settings.org_url)
    if registration.current() is None:
        raise click.ClickException(
            f"{settings.name} is not registered: {registration.problem}; devicetrust iwa register -c "
            f"{settings.source} --token-file FILE"
        )
    click.echo(f"{settings.source}: all well")
