"""`devicetrust keys`: the gateway's own keys, from one gateway of a fleet to the others."""

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from gateway.adapters.key_copies import MIN_PASSPHRASE_CHARACTERS, export_keys, import_keys, is_sealed
from gateway.adapters.key_files import read_key_file
from gateway.config.load import load_settings


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--json", "as_json", is_flag=True, help="Print the result as JSON."),
        click.option(
            "--passphrase-file",
            metavar="FILE",
            help="File (mode 0600) with the passphrase of the copy. Left out: it is asked for.",
        ),
        click.option(
            "-c",
            "--config",
            "config_path",
            default="gateway.yaml",
            show_default=True,
            metavar="FILE",
            help="Configuration file.",
        ),
        click.argument("file", metavar="FILE"),
    ):
        command = option(command)
    return command


@click.group(
    epilog="""\b
Examples:
  devicetrust keys export -c gateway.yaml keys.json
  devicetrust keys import -c gateway.yaml keys.json
"""
)
def keys() -> None:
    """Take the gateway's own keys to the other gateways of a fleet.

    All gateways that share a store must have the same keys: a sign-on that one of them began is finished by
    whichever the browser meets next.
    """


@keys.command(
    "export",
    short_help="Write the keys to a new FILE, sealed.",
    epilog="""\b
Examples:
  devicetrust keys export -c gateway.yaml keys.json
  devicetrust keys export -c gateway.yaml --passphrase-file transfer.passphrase keys.json
""",
)
@_options
@click.option("--plain", is_flag=True, help="Without a passphrase: the copy is as secret as the keys.")
def export(file: str, config_path: str, passphrase_file: str | None, as_json: bool, plain: bool) -> None:
    """Write the keys to a new FILE (mode 0600), sealed with a passphrase.

    They are the master secret, the keys that statements to apps are signed with, and the passphrase of the
    CA's key in the store.
    """
    if plain and passphrase_file is not None:
        raise click.UsageError("--plain and --passphrase-file exclude each other")
    directory = load_settings(config_path).keys_directory
    passphrase = None if plain else _passphrase(passphrase_file, new=True)
    fingerprint = export_keys(directory, file, passphrase)
    if as_json:
        click.echo(json.dumps({"file": file, "keys_fingerprint": fingerprint, "sealed": not plain}))
        return
    click.echo(f"{file}: keys {fingerprint} of {directory}")
    click.echo(
        f"On each other gateway: devicetrust keys import -c gateway.yaml {file}; then remove the copy."
    )


@keys.command(
    "import",
    epilog="""\b
Examples:
  devicetrust keys import -c gateway.yaml keys.json
  devicetrust keys import -c gateway.yaml --replace keys.json
""",
)
@_options
@click.option("--replace", is_flag=True, help="In place of the keys that are there; sign-ons begin again.")
def import_(file: str, config_path: str, passphrase_file: str | None, as_json: bool, replace: bool) -> None:
    """Put the keys of FILE into the keys directory of this gateway.

    A gateway that runs goes on with the keys that it has; start it anew.
    """
    directory = load_settings(config_path).keys_directory
    passphrase = _passphrase(passphrase_file, new=False) if is_sealed(file) else None
    fingerprint = import_keys(file, directory, passphrase, replace=replace)
    if as_json:
        click.echo(json.dumps({"directory": directory, "keys_fingerprint": fingerprint}))
    else:
        click.echo(f"{directory}: has keys {fingerprint} now; start the gateway anew")


def _passphrase(file: str | None, *, new: bool) -> bytes:
    if file is not None:
        given = read_key_file(file).strip()
    elif sys.stdin.isatty():
        given = click.prompt("Passphrase", hide_input=True, confirmation_prompt=new, err=True).encode()
    else:
        raise click.UsageError(
            "--passphrase-file is needed where nobody can be asked" + (", or --plain" if new else "")
        )
    if new and len(given) < MIN_PASSPHRASE_CHARACTERS:
        raise click.UsageError(f"the passphrase has fewer than {MIN_PASSPHRASE_CHARACTERS} characters")
    return given
