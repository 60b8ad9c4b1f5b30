"""`devicetrust config`: what can stand in gateway.yaml, and what was changed at run time beside it."""

import json

import click

from gateway.cli.config_transfer import export_command, import_command
from gateway.config.schema import json_schema


@click.group()
def config() -> None:
    """Describe the configuration file; move what was changed at run time.

    \b
    Examples:
      devicetrust config schema > gateway.schema.json
      devicetrust config export -c gateway.yaml --out runtime.yaml
    """


@config.command(
    epilog="""\b
Examples:
  devicetrust config schema > gateway.schema.json
\b
Then write this as the first line of gateway.yaml, and an editor with YAML support
completes keys and explains them:
  # yaml-language-server: $schema=gateway.schema.json
"""
)
def schema() -> None:
    """Print the JSON Schema of gateway.yaml."""
    click.echo(json.dumps(json_schema(), indent=2))


config.add_command(export_command)
config.add_command(import_command)
