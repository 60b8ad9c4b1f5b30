"""The command `devicetrust-agent`, and the one boundary where its errors become sentences.

Exit codes, for scripts and for software distribution:

    0    all is well, or something was done
    1    refused: somebody has to change something
    2    the settings or the command line cannot be used
    3    it passes by itself: off the network, IWA web app down; the next run tries again
    4    another run is at work
"""

import io
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Final

import click
from typing_extensions import override

from gateway import __version__
from gateway.agent.platform import PlatformFailed
from gateway.agent.refusal import Refused
from gateway.agent.settings import SettingsRefused
from gateway.agent.vault import AlreadyRunning, VaultFailed

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1
EXIT_UNUSABLE: Final = 2
EXIT_PASSES: Final = 3
EXIT_BUSY: Final = 4
EXIT_INTERRUPTED: Final = 130  # 128 + SIGINT, as shells report it

# verb → (its module under gateway.agent.verbs, which has a click command of the verb's name; its help)
VERBS: Final = {
    "install": ("installation", "Keep the settings, and run at each login and every day."),
    "uninstall": ("installation", "Take back what install did."),
    "status": ("status", "Which certificate there is, and how the last run ended."),
    "doctor": ("doctor", "Why this computer is not trusted, and what to do about it."),
    "verify": ("verify", "Whether this computer is ready: exit code 0 or 1, for detection rules."),
}

_EPILOG = """\b
Examples:
  devicetrust-agent install OrgUrl=https://sso.example.com
  devicetrust-agent --user
  devicetrust-agent --user --debug
  devicetrust-agent --user --forceRenewal
  devicetrust-agent --user --code dte_…
  devicetrust-agent --device
  devicetrust-agent status
  devicetrust-agent doctor
"""


class AgentGroup(click.Group):
    """Knows its verbs without importing them, and what is said without a verb."""

    @override
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(VERBS)

    @override
    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module_name, _ = VERBS[cmd_name]
        command: click.Command = getattr(import_module(f"gateway.agent.verbs.{module_name}"), cmd_name)
        return command

    @override
    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(verb, summary) for verb, (_, summary) in VERBS.items()])


@click.group(cls=AgentGroup, epilog=_EPILOG, invoke_without_command=True)
@click.option(
    "--user", "as_user", is_flag=True, help="Look after the certificate of the person who runs this."
)
@click.option("--device", "as_device", is_flag=True, help="The computer's part: as root, with its keytab.")
@click.option(
    "--force-renewal",
    "--forceRenewal",
    "force",
    is_flag=True,
    help="With --user: a new certificate, also when none is due.",
)
@click.option(
    "--code",
    metavar="CODE",
    help="With --user: enroll with an enrollment code (- reads it from standard input).",
)
@click.option("--scheduled", is_flag=True, help="With --user: end at once unless something is due.")
@click.option("--socket", "socket_path", metavar="PATH", help="With --device: serve at this socket.")
@click.option("--debug", is_flag=True, help="Show each step: what was sent and what came, secrets masked.")
@click.version_option(__version__, prog_name="devicetrust-agent")
@click.pass_context
def devicetrust_agent(
    ctx: click.Context,
    as_user: bool,
    as_device: bool,
    force: bool,
    code: str | None,
    scheduled: bool,
    socket_path: str | None,
    debug: bool,
) -> int:
    """Give this computer its Device Trust certificate, and keep it fresh."""
    if ctx.invoked_subcommand is not None:
        if as_user or as_device:
            raise click.UsageError("--user and --device stand alone", ctx)
        return EXIT_OK
    if as_user == as_device:
        raise click.UsageError("give one of --user and --device, or a command", ctx)
    if as_user and socket_path is not None:
        raise click.UsageError("--socket goes with --device", ctx)
    if as_device and (force or code or scheduled):
        raise click.UsageError("--force-renewal, --code and --scheduled go with --user", ctx)
    if as_device:
        from gateway.agent.verbs.device import run_device

        return run_device(socket_path, debug=debug)
    from gateway.agent.verbs.user import run_user

    return run_user(force=force, code=code, scheduled=scheduled, debug=debug)


def main() -> None:
    """Entry point of the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # what a console's code page lacks must not end a run
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command; the exit code. What is wrong is said on stderr, in one or two lines."""
    try:
        result = devicetrust_agent.main(list(arguments), prog_name="devicetrust-agent", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return error.exit_code
    except click.UsageError as error:
        command = "devicetrust-agent" if error.ctx is None else error.ctx.command_path
        _complain(f"{command}: {error.format_message()}\nTry: {command} --help")
        return error.exit_code
    except click.ClickException as error:
        _complain(f"devicetrust-agent: {error.format_message()}")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        _complain("devicetrust-agent: interrupted")
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        # The reader (head, less) has gone; flushing at exit must not complain about it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_REFUSED
    except AlreadyRunning:
        _complain("devicetrust-agent: another run is at work")
        return EXIT_BUSY
    except Refused as error:
        return complain_of(error)
    except (SettingsRefused, VaultFailed) as error:
        _complain(f"devicetrust-agent: {error}")
        return EXIT_UNUSABLE
    except PlatformFailed as error:
        _complain(f"devicetrust-agent: {error}" + (f"\n{error.remedy}" if error.remedy else ""))
        return EXIT_PASSES if error.transient else EXIT_UNUSABLE
    except OSError as error:
        name = "" if error.filename is None else f"{error.filename}: "
        _complain(f"devicetrust-agent: {name}{error.strerror or error}")
        return EXIT_UNUSABLE
    return result if isinstance(result, int) else EXIT_OK


def complain_of(error: Refused) -> int:
    """The code, the sentence and the remedy; the exit code that goes with it."""
    refusal = error.refusal
    _complain(
        f"devicetrust-agent: {refusal.code}: {refusal.message}"
        + (f"\n{refusal.remedy}" if refusal.remedy else "")
    )
    return EXIT_PASSES if refusal.transient else EXIT_REFUSED


def _complain(text: str) -> None:
    click.echo(text, err=True)


if __name__ == "__main__":
    main()
