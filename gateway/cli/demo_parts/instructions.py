"""What the demo prints, and the files that make its lines short: a curl configuration, a script for Chromium.

Every line that is printed works as printed: paths are absolute, and names below ``localhost`` are led to this
machine even by a curl or a libc that does not know them.
"""

import os
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.cli.demo_parts.pki import DEVICE_AUTHORITY_NAME
from gateway.cli.demo_parts.site import (
    ALICE,
    APPS,
    LOOPBACK,
    PKCS12_PASSWORD,
    WIKI,
    WINDOWS_BROWSER,
    Addresses,
)
from gateway.model.settings import FederationProtocol

_CHROMIUMS: Final = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_NSS_TOOLS: Final = ("certutil", "pk12util")
_TOOL_SECONDS: Final = 20.0
_PROTOCOLS: Final = {FederationProtocol.SAML2: "SAML 2.0", FederationProtocol.WS_FED: "WS-Federation"}


@dataclass(frozen=True, slots=True)
class ChromiumSetUp:
    """``command`` starts Chromium for the demo; None: it cannot, because ``missing`` is not installed."""

    command: str | None
    missing: str = ""


def write_curl_configuration(directory: Path) -> Path:
    """What every curl line of the demo needs. One run of curl keeps its cookies, as a browser does."""
    file = directory / "curl.conf"
    root = str(directory / "web-root.pem").replace("\\", r"\\").replace('"', r"\"")
    file.write_text(
        f"""\
silent
show-error
location
cookie = ""
cacert = "{root}"
# Every name is this machine, at the port of the URL.
connect-to = "::{LOOPBACK}:"
noproxy = "*"
# The policy lets Windows and macOS in; curl alone would be a Linux computer of no name.
user-agent = "{WINDOWS_BROWSER}"
header = "Accept: application/json"
write-out = "\\n"
"""
    )
    return file


def set_up_chromium(directory: Path, url: str) -> ChromiumSetUp:
    """A Chromium profile that trusts the demo's site and has Alice's certificate, and a script that opens it.

    The person's own profile and certificate store are not touched.
    """
    chromium = next(filter(shutil.which, _CHROMIUMS), None)
    if chromium is None or not all(map(shutil.which, _NSS_TOOLS)):
        return ChromiumSetUp(None, "chromium" if chromium is None else "libnss3-tools")
    home = directory / "chromium"
    database = home / ".pki" / "nssdb"
    database.mkdir(parents=True)
    store = f"sql:{database}"
    root, bundle = str(directory / "web-root.pem"), str(directory / "alice.p12")
    for command in (
        ("certutil", "-d", store, "-N", "--empty-password"),
        ("certutil", "-d", store, "-A", "-n", "Device Trust demo", "-t", "C,,", "-i", root),
        ("pk12util", "-d", store, "-i", bundle, "-W", PKCS12_PASSWORD, "-K", ""),
    ):
        try:
            done = subprocess.run(  # noqa: S603 - our own files, and no shell
                command, capture_output=True, check=False, timeout=_TOOL_SECONDS
            )
        except subprocess.TimeoutExpired:
            return ChromiumSetUp(None, f"{command[0]} that works")
        if done.returncode != 0:
            return ChromiumSetUp(None, f"{command[0]} that works")
    script = directory / "chromium.sh"
    as_root = " --no-sandbox" if os.geteuid() == 0 else ""  # Chromium's sandbox does not run as root
    script.write_text(
        f"""\
#!/bin/sh
# Chromium with a home of its own, so that nobody's certificates and settings are touched.
export XAUTHORITY="${{XAUTHORITY:-$HOME/.Xauthority}}" HOME={shlex.quote(str(home))}
exec {chromium} --user-data-dir="$HOME/profile" --no-first-run --no-default-browser-check{as_root} \\
    --user-agent={shlex.quote(WINDOWS_BROWSER)} "$@" {shlex.quote(url)}
"""
    )
    return ChromiumSetUp(f"sh {shlex.quote(str(script))}")


def curl_line(directory: Path, addresses: Addresses, certificate: str | None) -> str:
    """Alice signs on to the wiki, with a certificate (the name of a file) or without."""
    curl = _curl(directory)
    shown = "" if certificate is None else f" -E {shlex.quote(str(directory / certificate))}"
    message = f"{addresses.idp_origin}/form/{WIKI.name}/{ALICE.user}"
    return f"{curl} {message} | {curl} -d @-{shown} {addresses.assertion_url(WIKI)}"


def _curl(directory: Path) -> str:
    return f"curl -K {shlex.quote(str(directory / 'curl.conf'))}"


def instructions(
    directory: Path, addresses: Addresses, chromium: ChromiumSetUp, *, kept: bool
) -> Iterator[str]:
    """The lines that are printed when everything runs."""
    rows = [
        *((f"{app.label} ({_PROTOCOLS[app.protocol]})", f"{addresses.origin(app.host)}/") for app in APPS),
        ("Identity provider, devices", f"{addresses.idp_origin}/"),
        ("Metrics", f"http://{LOOPBACK}:{addresses.metrics_port}/metrics"),
        ("Configuration, log", f"{directory}/gateway.yaml, log/gateway.log"),
    ]
    width = max(len(name) for name, _ in rows)
    yield "Device Trust Gateway, demo"
    yield ""
    yield from (f"  {name:{width}}  {value}" for name, value in rows)
    yield ""
    yield "A trusted device: Alice signs on to the wiki, and her computer shows its certificate"
    yield f"  {curl_line(directory, addresses, 'alice.pem')}"
    yield ""
    yield "An untrusted device: the same without the certificate"
    yield f"  {curl_line(directory, addresses, None)}"
    yield ""
    yield "  In place of alice.pem, try expired.pem, foreign.pem (another CA's) or bob.pem (another user's)."
    yield "  Revoke Alice's certificate (and /restore it), then try again a second later:"
    yield f"  {_curl(directory)} -X POST {addresses.idp_origin}/devices/alice/revoke"
    yield ""
    yield from _chromium_lines(directory, chromium)
    yield ""
    yield f"Ctrl-C ends everything{'.' if kept else f' and removes {directory}.'}"


def _chromium_lines(directory: Path, chromium: ChromiumSetUp) -> Iterator[str]:
    if chromium.command is not None:
        yield "In Chromium, with a profile of its own that has Alice's certificate"
        yield f"  {chromium.command}"
        yield f"  Asked for a certificate: choose the {DEVICE_AUTHORITY_NAME} one (trusted) or cancel."
        return
    yield f"In a browser (with {chromium.missing} installed, the demo would set Chromium up by itself)"
    yield f"  Trust {directory}/web-root.pem for web sites; it can vouch for names below localhost only."
    yield f"  Import {directory}/alice.p12, password {PKCS12_PASSWORD}."
    yield f'  On Linux, also: --user-agent="{WINDOWS_BROWSER}"'
