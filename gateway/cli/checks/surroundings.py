"""What is around the configuration: file modes, the gateway's own keys, pages, upstreams, the clock."""

import stat
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from cryptography import x509

from gateway.adapters.ca_keys import PASSPHRASE_FILE
from gateway.adapters.key_files import KeyFileRefused, load_keys
from gateway.cli.checks.finding import CLOCK_TOLERANCE, Finding, Severity, refusal, when
from gateway.config.errors import ConfigError
from gateway.config.named_files import MAX_CERTIFICATE_FILE_BYTES
from gateway.config.text_file import read_bytes
from gateway.model.settings import GatewaySettings
from gateway.server.page_templates import PageTemplateRefused
from gateway.server.pages import PageRenderer


def check_own_keys(settings: GatewaySettings) -> Iterator[Finding]:
    """The keys that the gateway made. Before its first start there are none, which is fine."""
    directory = settings.keys_directory
    if not Path(directory).exists():
        return
    try:
        load_keys(directory)
    except KeyFileRefused as error:
        # `devicetrust ca init` may have been there first, with the passphrase of its key.
        made = (each for each in Path(directory).iterdir() if each.name != PASSPHRASE_FILE)
        if error.what == "holds no signing key" and not any(made):
            return
        yield refusal(error, "own-keys-unusable", error.do)


def check_pages(settings: GatewaySettings) -> Iterator[Finding]:
    """The templates that replace the built-in pages, by rendering each of them."""
    if settings.pages_directory is None:
        return
    try:
        PageRenderer(settings.pages_directory, org_name=settings.org_name)
    except PageTemplateRefused as error:
        yield Finding(
            Severity.UNUSABLE,
            "page-unusable",
            error.path,
            error.detail,
            "correct the template, or remove it to get the built-in page",
            error.line or None,
        )


def check_upstreams(settings: GatewaySettings) -> Iterator[Finding]:
    """The roots of https upstreams. Not checked: whether an app is up; it may start after the gateway."""
    for path in dict.fromkeys(upstream.ca_file for app in settings.apps for upstream in app.upstreams):
        if path is None:
            continue
        try:
            x509.load_pem_x509_certificates(read_bytes(path, MAX_CERTIFICATE_FILE_BYTES))
        except ConfigError as error:
            yield refusal(error, "upstream-ca-unusable", "put the roots (PEM) in this place")
        except ValueError:
            yield Finding(
                Severity.UNUSABLE,
                "upstream-ca-unusable",
                path,
                "holds no certificate in PEM form, or a damaged one",
                "put the roots (PEM) in this place",
            )


def check_files(settings: GatewaySettings, now: datetime) -> Iterator[Finding]:
    """Who may change the files that decide about trust, and whether the clock is behind them.

    A file that cannot be looked at is another check's finding.
    """
    for path in _deciding_files(settings):
        try:
            status = Path(path).stat()
        except OSError:
            continue
        if status.st_mode & stat.S_IWOTH:
            yield Finding(
                Severity.PROBLEM,
                "file-writable-by-others",
                path,
                f"can be changed by every user of this machine (mode {stat.S_IMODE(status.st_mode):04o})",
                f"run: chmod o-w {path}",
            )
        changed = datetime.fromtimestamp(status.st_mtime, UTC)
        if changed - now > CLOCK_TOLERANCE:
            yield Finding(
                Severity.PROBLEM,
                "clock-behind",
                path,
                f"was changed on {when(changed)}, which is in the future",
                "set this machine's clock; certificates and sign-ons are judged by it",
            )


def _deciding_files(settings: GatewaySettings) -> list[str]:
    paths = [settings.source]
    paths += [files.certificate for files in settings.certificates]
    for authority in settings.authorities:
        if not authority.builtin:
            paths += [authority.certificates, *(crl for crl in authority.crls if "://" not in crl)]
    paths += [provider.metadata for provider in settings.identity_providers]
    paths += [app.policy_file for app in settings.apps]
    paths += [u.ca_file for app in settings.apps for u in app.upstreams if u.ca_file is not None]
    return list(dict.fromkeys(paths))
