"""`devicetrust-agent install` and `uninstall`: settings, schedule, first run; and all of it back."""

import contextlib
import shutil
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import click

from gateway.agent.cli import EXIT_OK, EXIT_REFUSED, complain_of
from gateway.agent.keys.device_key import KeyFailed
from gateway.agent.keys.keepers import ConfiguredKeepers
from gateway.agent.platform import Change, Platform, Schedule
from gateway.agent.platforms.public_files import writable_by_others
from gateway.agent.refusal import Refused
from gateway.agent.settings import Settings, SettingsRefused, merged, settings_of
from gateway.agent.survey import issuer_common_name
from gateway.agent.this_computer import this_platform
from gateway.agent.vault import Vault

_INSTALL_EPILOG = """\b
Settings: OrgUrl, HttpProxy, HttpProxyPacLocation, SkipBrowserSetup, SkipBrowserStores, CaFile, KeyStorage,
Pkcs11Module, Pkcs11Token, Pkcs11PinFile, TpmTcti, DeviceSocket, DeviceKeytab, DevicePrincipal. An empty value
removes one.

\b
Examples:
  devicetrust-agent install OrgUrl=https://sso.example.com
  devicetrust-agent install OrgUrl=https://sso.example.com HttpProxy=http://proxy.example.com:3128
  devicetrust-agent install SkipBrowserSetup=true --no-run
"""
_UNINSTALL_EPILOG = """\b
Examples:
  devicetrust-agent uninstall
  devicetrust-agent uninstall --keep-certificate
"""


@click.command(epilog=_INSTALL_EPILOG)
@click.argument("settings", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--no-run", is_flag=True, help="Leave the first run to the schedule, and browsers as they are.")
def install(settings: tuple[str, ...], no_run: bool) -> int:
    """Keep the settings, run at each login and every day, and run now.

    As administrator it is for every person of this computer: their browsers are set up, and the computer's
    part is tried out; else for yourself. How the first run ends is said, and is no part of the exit code:
    `verify` tells.
    """
    platform = this_platform()
    given: dict[str, str] = {}
    for each in settings:
        name, equals, value = each.partition("=")
        if not equals:
            raise click.UsageError(f"{each!r} is not NAME=VALUE")
        given[name] = value
    stored = platform.settings()
    values = merged(stored, given, "install")
    if given:
        _tell([platform.save_settings(values)])
    elif not stored:
        raise SettingsRefused("install: OrgUrl is missing; for example: OrgUrl=https://sso.example.com")
    executable = _executable()
    if platform.is_administrator:
        _warn_of(executable)
    failed = not _tell(platform.schedule(Schedule(executable)))
    if not no_run:
        _first_run(platform)
    return EXIT_REFUSED if failed else EXIT_OK


def _first_run(platform: Platform) -> None:
    """A computer that is off the network now is installed all the same, and tries again by itself."""
    if not platform.is_administrator:
        from gateway.agent.verbs.user import run_user

        with _complaining():
            run_user(force=False, code=None, scheduled=False, debug=False)
        return
    from gateway.agent.verbs.browser_setup import set_up_browsers_for_all
    from gateway.agent.verbs.device import run_device

    with _complaining():
        _tell(set_up_browsers_for_all(platform))
    click.echo("The computer's part, on trial:")
    with _complaining():
        run_device(None, debug=False, trial=True)


@contextlib.contextmanager
def _complaining() -> Iterator[None]:
    try:
        yield
    except Refused as error:
        complain_of(error)


@click.command(epilog=_UNINSTALL_EPILOG)
@click.option("--keep-certificate", is_flag=True, help="Leave certificate and key where they are.")
def uninstall(keep_certificate: bool) -> int:
    """Take back what install did: schedule, browser setup, settings; and this person's certificate."""
    platform = this_platform()
    fine = _tell(platform.unschedule())
    fine = _tell(platform.remove_browser_setup()) and fine
    if not keep_certificate:
        _remove_certificates(platform)
    if platform.settings():
        fine = _tell([platform.remove_settings()]) and fine
    return EXIT_OK if fine else EXIT_REFUSED


def _remove_certificates(platform: Platform) -> None:
    """Those that this agent got, with their keys, and all that it remembers."""
    vault = Vault(platform.data_directory)
    if not vault.directory.is_dir():
        return
    with vault.locked():
        keepers = ConfiguredKeepers(_settings(platform), vault.directory, platform)
        for name in vault.names():
            for certificate in vault.certificate(name)[:1]:
                for entry in platform.find_certificates([issuer_common_name(certificate)]):
                    if entry.certificate_der == certificate.der:
                        _tell([platform.remove(entry)])
            vault.remove_certificate(name)
            with contextlib.suppress(KeyFailed):
                keepers.of(name).delete(name)
        shutil.rmtree(vault.directory, ignore_errors=True)


def _settings(platform: Platform) -> Settings:
    """What is set; or nothing, as it is to be removed anyway."""
    try:
        return settings_of(platform.settings())
    except SettingsRefused:
        return Settings("")


def _warn_of(executable: Path) -> None:
    """The computer's part runs it as root. Its file, and each directory above, has to be root's."""
    for place in (executable, *executable.parents):
        with contextlib.suppress(OSError):
            if writable_by_others(place):
                click.echo(
                    f"warning: {place} can be changed by others than root, and {executable} is to run as "
                    "root: install the agent elsewhere, /opt/devicetrust say",
                    err=True,
                )
                return


def _executable() -> Path:
    return Path(sys.argv[0]).resolve()


def _tell(changes: Iterable[Change]) -> bool:
    fine = True
    for each in changes:
        detail = f": {each.detail}" if each.detail else ""
        click.echo(
            f"{each.what}: {each.where}{detail}"
            if each.done
            else f"not done: {each.what}: {each.where}{detail}"
        )
        fine = fine and each.done
    return fine
