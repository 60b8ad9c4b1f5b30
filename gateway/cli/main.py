"""The command `devicetrust`: its verbs, and the one boundary where errors become sentences.

A verb's module is imported when the verb runs, so that `--help` answers at once and a fault in one
verb does not take the others down.
"""

import os
import sys
import traceback
from collections.abc import Sequence
from importlib import import_module
from types import TracebackType
from typing import Final

import click
from typing_extensions import override

from gateway import __version__

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
EXIT_UNUSABLE: Final = 2
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it

# verb → (its module under gateway.cli, which has a click command of the verb's name; its one-line help)
VERBS: Final = {
    "serve": ("serve", "Run the gateway."),
    "check": ("check", "Check the configuration and every file that it names."),
    "doctor": ("doctor", "Find out why devices are not trusted, or untrusted ones come in."),
    "config": ("config", "Describe the configuration file; export and import changes."),
    "keys": ("keys", "Take the gateway's own keys to the other gateways of a fleet."),
    "policy": ("policy", "Lint, test and explain sign-on policies."),
    "token": ("token", "Make, list and revoke the tokens of the API."),
    "ca": ("ca", "Run the certification authority that is in the store."),
    "iwa": ("iwa", "Run the IWA web app, by which computers of a domain enroll."),
    "browser-policy": ("browser_policy", "Print what lets browsers pick the certificate without asking."),
    "store": ("store", "Migrate, back up, restore and move the store."),
    "log": ("log", "Read, export and verify the System Log."),
    "demo": ("demo", "Try it: gateway, authority, identity provider and two apps on this machine."),
}

_EPILOG = """\b
Examples:
  devicetrust demo
  devicetrust check -c gateway.yaml
  devicetrust serve -c gateway.yaml
  devicetrust doctor -c gateway.yaml
  devicetrust ca init --root-key root.key
  devicetrust iwa serve -c iwa.yaml
  devicetrust browser-policy --chrome -c gateway.yaml
  devicetrust log tail -f
  devicetrust policy test policies/wiki.yaml
  devicetrust config schema > gateway.schema.json
"""


class VerbGroup(click.Group):
    """Knows its verbs without importing them."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module_name, _ = VERBS[cmd_name]
        command: click.Command = getattr(import_module(f"gateway.cli.{module_name}"), module_name)
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in VERBS.items()])


@click.group(cls=VerbGroup, epilog=_EPILOG)
@click.version_option(__version__, prog_name="devicetrust")
def devicetrust() -> None:
    """Let people into their SAML and WS-Fed apps only from a trusted device."""


def main() -> None:
    """Entry point of the command."""
    sys.excepthook = report_bug
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code. What is wrong is said on stderr: who asked, and the file, key or
    option that it is about. An exception that nobody declared is our bug and passes."""
    try:
        result = devicetrust.main(list(arguments), prog_name="devicetrust", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        command = "devicetrust" if error.ctx is None else error.ctx.command_path
        _complain(f"{command}: {error.format_message()}\nTry: {command} --help")
        return error.exit_code
    except click.ClickException as error:
        _complain(f"devicetrust: {error.format_message()}")
        return error.exit_code
    except click.Abort:
        _complain("devicetrust: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; flushing at exit must not complain about it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_FAILED
    except OSError as error:
        name = "" if error.filename is None else f"{error.filename}: "
        _complain(f"devicetrust: {name}{error.strerror or error}")
        return EXIT_UNUSABLE
    except _declared_errors() as error:
        _complain(str(error))
        return EXIT_UNUSABLE
    return result if isinstance(result, int) else EXIT_OK


def report_bug(kind: type[BaseException], bug: BaseException, trace: TracebackType | None) -> None:
    """The last resort (`sys.excepthook`): two lines that a bug report needs, instead of a traceback."""
    if issubclass(kind, KeyboardInterrupt):
        _complain("devicetrust: interrupted")
        return
    frames = traceback.extract_tb(trace)
    place = f" at {frames[-1].filename}:{frames[-1].lineno} in {frames[-1].name}" if frames else ""
    _complain(f"devicetrust: internal error: {kind.__name__}: {bug}\nThis is a bug{place}; please report it.")


def _declared_errors() -> tuple[type[Exception], ...]:
    """What the rooms declare for files that cannot be used. Imported only once something was raised."""
    from gateway.adapters.fleet_keys import OtherKeys
    from gateway.adapters.key_files import KeyFileRefused
    from gateway.adapters.plugins import PlugInError
    from gateway.config.errors import ConfigError
    from gateway.config.load import ConfigErrors
    from gateway.model.store_errors import StoreError
    from gateway.pki.signer import SigningFailed
    from gateway.server.hosts import NoCertificateFor
    from gateway.server.page_templates import PageTemplateRefused
    from gateway.server.take_over import TakeOverFailed
    from gateway.server.worker_link import WorkerLost, WorkerRefused
    from gateway.tls.contexts import ServerCertificateRefused

    return (
        ConfigError,
        ConfigErrors,
        KeyFileRefused,
        NoCertificateFor,
        OtherKeys,
        PageTemplateRefused,
        PlugInError,
        ServerCertificateRefused,
        SigningFailed,
        StoreError,
        TakeOverFailed,
        WorkerLost,
        WorkerRefused,
    )


def _complain(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
