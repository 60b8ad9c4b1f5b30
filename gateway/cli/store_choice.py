"""Which store a command works on: that of gateway.yaml, or the one that was named."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

from gateway.config.errors import ConfigError
from gateway.config.load import load_settings

F = TypeVar("F", bound=Callable[..., Any])


def store_options(command: F) -> F:
    """``-c/--config`` and ``--store``, as ``config_path`` and ``store_url``."""
    command = click.option(
        "--store",
        "store_url",
        metavar="URL",
        help="The store itself, sqlite:///path or postgresql://user@host/database, instead of a "
        "configuration. A password is better kept in PGPASSFILE.",
    )(command)
    return click.option(
        "-c",
        "--config",
        "config_path",
        default="gateway.yaml",
        show_default=True,
        metavar="FILE",
        help="Configuration file that names the store.",
    )(command)


def chosen_url(config_path: str, store_url: str | None) -> str:
    """Raises ConfigError where the configuration has no store."""
    if store_url is not None:
        return store_url
    url = load_settings(config_path).store_url
    if url is None:
        raise ConfigError(config_path, None, "store", "is none: there is nothing for this command to work on")
    return url
