"""``devicetrust token``: the keys to the API. The first is made here, at the machine; others over the API."""

import json
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import click

from gateway.adapters.store import Store
from gateway.cli.at_the_machine import occasion_of
from gateway.cli.ca_people import duration_option_value
from gateway.config.load import load_settings
from gateway.model.ids import MIN_RANDOM_BYTES, IdKind, new_id
from gateway.model.org import TokenScope
from gateway.server.org.authentication import TOKEN_BYTES, new_token, token_sha256
from gateway.server.org.tokens import token_values
from gateway.services import api_tokens
from gateway.services.refusals import Refused

_COMMAND: Final = "devicetrust token"

_config = click.option(
    "-c",
    "--config",
    "config_path",
    default="gateway.yaml",
    show_default=True,
    metavar="FILE",
    help="Configuration file.",
)
_json = click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")


@click.group()
def token() -> None:
    """Make, list and revoke the tokens of the API.

    \b
    Examples:
      devicetrust token create --name siem --scope read
      devicetrust token list
      devicetrust token revoke 00T4k2bJ8sYpQw1mZx0d
    """


@token.command(
    epilog="""\b
Examples:
  devicetrust token create --name siem --scope read --expires-in 365d
  TOKEN=$(devicetrust token create --name admin --scope admin)
  curl -H "Authorization: SSWS $TOKEN" https://sso.example.test/api/v1/users
"""
)
@_config
@click.option("--name", required=True, help="What it is for.")
@click.option(
    "--scope",
    type=click.Choice([scope.value for scope in TokenScope]),
    required=True,
    help="read: look at everything but tokens; operate: also users, groups, devices and certificates; "
    "admin: also policies, zones, settings and tokens.",
)
@click.option("--for", "user", default="", metavar="USER", help="Who acts with it, for the System Log.")
@click.option("--expires-in", metavar="DURATION", help="Such as 90d. Left out: it does not expire.")
@_json
def create(config_path: str, name: str, scope: str, user: str, expires_in: str | None, as_json: bool) -> None:
    """Make a token and print it. It is shown this once: the store keeps only its hash."""
    occasion = occasion_of(_COMMAND)
    expires = None if expires_in is None else occasion.at + duration_option_value(expires_in, "--expires-in")
    secret = new_token(secrets.token_bytes(TOKEN_BYTES))
    token_id = new_id(IdKind.API_TOKEN, secrets.token_bytes(MIN_RANDOM_BYTES))
    with _store(config_path) as store, store.begin() as work:
        made = api_tokens.create_token(
            work,
            occasion,
            token_id,
            token_sha256(secret),
            name=name,
            scope=TokenScope(scope),
            user=user,
            expires=expires,
        )
    if as_json:
        click.echo(json.dumps({**token_values(made), "token": secret}, indent=2))
    else:
        click.echo(secret)


@token.command(
    "list",
    short_help="List all tokens.",
    epilog="""\b
Example:
  devicetrust token list --json | jq '.[] | select(.revoked == null) | .name'
""",
)
@_config
@_json
def list_tokens(config_path: str, as_json: bool) -> None:
    """List all tokens: whose they are and when they were used last, never what they are."""
    with _store(config_path) as store, store.read() as view:
        tokens = [token_values(each) for each in view.tokens.all()]
    if as_json:
        click.echo(json.dumps(tokens, indent=2))
        return
    for each in tokens:
        ends = f"revoked {each['revoked']}" if each["revoked"] else f"expires {each['expires'] or 'never'}"
        used = f"used {each['lastUsed'] or 'never'}"
        click.echo("  ".join([each["id"], each["scope"], each["name"], each["user"] or "-", used, ends]))


@token.command(
    epilog="""\b
Example:
  devicetrust token revoke 00T4k2bJ8sYpQw1mZx0d
"""
)
@_config
@click.argument("token_id", metavar="ID")
@_json
def revoke(config_path: str, token_id: str, as_json: bool) -> None:
    """Revoke a token. It is good for nothing from now on."""
    with _store(config_path) as store, store.begin() as work:
        api_tokens.revoke_token(work, occasion_of(_COMMAND), token_id)
    click.echo(json.dumps({"revoked": token_id}) if as_json else f"{token_id} is revoked")


@contextmanager
def _store(config_path: str) -> Iterator[Store]:
    """What a use case refuses becomes an error of the command."""
    settings = load_settings(config_path)
    if settings.store_url is None:
        raise click.ClickException(f"{config_path}: store is none, so there is no API")
    store = Store.open(settings.store_url)
    try:
        yield store
    except Refused as refused:
        raise click.ClickException(str(refused)) from None
    finally:
        store.close()
