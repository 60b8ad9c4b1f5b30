"""What the demo prints, and the files that make its lines short: a curl configuration, a script for Chromium.

Every line that is printed works as printed: paths are absolute, and names below ``localhost`` are led to this
machine even by a curl or a libc that does not know them.
"""

import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.cli.demo_parts.agents import Agent
from gateway.cli.demo_parts.kdc import Missing
from gateway.cli.demo_parts.running import Demo
from gateway.cli.demo_parts.site import (
    ALICE,
    APPS,
    LOOPBACK,
    PKCS12_PASSWORD,
    WIKI,
    WINDOWS_BROWSER,
    write_private,
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


def write_curl_configurations(directory: Path, token: str) -> None:
    """``curl.conf`` for browsers (one run of curl keeps its cookies, as a browser does), and ``api.conf``
    for the API, with the token."""
    root = str(directory / "web-root.pem").replace("\\", r"\\").replace('"', r"\"")
    common = f"""\
silent
show-error
cacert = "{root}"
# Every name is this machine, at the port of the URL.
connect-to = "::{LOOPBACK}:"
noproxy = "*"
header = "Accept: application/json"
"""
    (directory / "curl.conf").write_text(
        f"""\
{common}location
cookie = ""
# The policy lets Windows, macOS and Linux in; curl alone says none of them.
user-agent = "{WINDOWS_BROWSER}"
write-out = "\\n"
"""
    )
    write_private(
        directory / "api.conf",
        f'{common}header = "Authorization: SSWS {token}"\nwrite-out = "\\n"\n'.encode(),
    )


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
    "$@" {shlex.quote(url)}
"""
    )
    return ChromiumSetUp(f"sh {shlex.quote(str(script))}")


def instructions(demo: Demo, chromium: ChromiumSetUp, seconds: float, *, kept: bool) -> Iterator[str]:
    """The lines that are printed when everything runs, what is tried first on top."""
    directory, addresses = demo.directory, demo.addresses
    revoke = f"/certificates/{demo.org.devices['alice'].thumbprint}/lifecycle/revoke"
    yield f"Device Trust Gateway, demo (ready after {seconds:.1f} s)"
    yield ""
    yield "1. A trusted device: Alice signs on to the wiki, and her laptop shows its certificate"
    yield f"   {_sign_on(demo, 'alice.pem')}"
    yield "2. An untrusted device: the same without the certificate"
    yield f"   {_sign_on(demo, None)}"
    yield "3. Revoke the certificate, then try 1 again; /hold in place of /revoke can be undone by /release"
    yield f"   {_api(demo, revoke, '-X POST ')}"
    yield ""
    yield from _enrollment_lines(demo)
    yield ""
    yield from _chromium_lines(directory, chromium)
    yield ""
    yield "More to try (in 1: lost.pem, corp.pem, expired.pem, foreign.pem, bob.pem in place of alice.pem)"
    yield from _aligned(_more(demo))
    yield ""
    yield from _aligned(
        [
            *(
                (f"{app.label} ({_PROTOCOLS[app.protocol]})", f"{addresses.origin(app.host)}/")
                for app in APPS
            ),
            ("Sign-ons, devices", f"{addresses.idp_origin}/"),
            ("Metrics", f"http://{LOOPBACK}:{addresses.metrics_port}/metrics"),
            ("Configuration, log", f"{directory}/gateway.yaml, log/gateway.log"),
        ]
    )
    yield ""
    yield f"Ctrl-C ends everything{'.' if kept else f' and removes {directory}.'}"


def _more(demo: Demo) -> list[tuple[str, str]]:
    directory, addresses = demo.directory, demo.addresses
    http = f"http://{LOOPBACK}:{addresses.http_port}"
    command = _command(demo)
    issuer, certificate = (shlex.quote(str(directory / name)) for name in ("authority.pem", "alice.pem"))
    return [
        ("Devices, by API", _api(demo, "/devices")),
        ("Log, by API", _api(demo, "/logs?limit=3&sortOrder=DESCENDING")),
        ("Log", command % "log tail"),
        ("Is it unchanged?", command % "log verify"),
        ("Certificates", command % "ca list"),
        ("What is wrong?", command % "doctor"),
        ("Policy for browsers", command % "browser-policy --chrome"),
        ("CRL", f"curl -s {http}/crl/mtls-1-0.crl | openssl crl -inform DER -noout -text"),
        ("OCSP", f"openssl ocsp -issuer {issuer} -VAfile {issuer} -cert {certificate} -url {http}/ocsp"),
    ]


def kerberos_hint(missing: Missing) -> str | None:
    """How to see what is left out; None where nothing is."""
    if not missing:
        return None
    steps = []
    if missing.packages:
        steps.append(f"apt-get install {' '.join(missing.packages)}")
    if missing.gssapi:
        checkout = Path(__file__).parents[3]
        from_checkout = (checkout / "pyproject.toml").exists()
        what = f"-e {shlex.quote(f'{checkout}[agent]')}" if from_checkout else "'devicetrust-gateway[agent]'"
        steps.append(f"{shlex.quote(sys.executable)} -m pip install {what}")
    return f"Kerberos is not installed; to see computers of a domain enroll: {' && '.join(steps)}"


def _enrollment_lines(demo: Demo) -> Iterator[str]:
    agent = _agent(demo.laptop)
    name = f"ca enrollment-code --create --user {ALICE.user} --device laptop-2"
    yield "4. A new computer enrolls with a code that is good once"
    yield f'   {agent} --user --debug --code "$({_command(demo) % name})"'
    yield "5. What its agent has then; what its doctor misses, as it is not installed; and a sign-on with it"
    yield f"   {agent} status"
    yield f"   {agent} doctor"
    yield f"   {_sign_on(demo, demo.laptop)}"
    hint = kerberos_hint(demo.missing)
    if hint is not None:
        yield hint
    if demo.domain is not None:
        computer = demo.domain.computers["alice"]
        yield f"6. A computer of the domain enrolls by Kerberos (IWA web app: {demo.domain.iwa_url}/)"
        yield f"   {_agent(computer)} --user --debug"
        yield f"   {_sign_on(demo, computer)}"


def _agent(agent: Agent) -> str:
    return f"sh {shlex.quote(str(agent.script))}"


def _command(demo: Demo) -> str:
    return f"{_devicetrust()} %s -c {shlex.quote(str(demo.configuration))}"


def _sign_on(demo: Demo, certificate: str | Agent | None) -> str:
    """Alice signs on to the wiki, with a certificate (a file's name, or what an agent has) or without."""
    curl = f"curl -K {shlex.quote(str(demo.directory / 'curl.conf'))}"
    shown = ""
    if isinstance(certificate, str):
        shown = f" -E {shlex.quote(str(demo.directory / certificate))}"
    elif certificate is not None:
        shown = " -E {} --key {}".format(*certificate.certificate_pattern)
    message = f"{demo.addresses.idp_origin}/form/{WIKI.name}/{ALICE.user}"
    return f"{curl} {message} | {curl} -d @-{shown} {demo.addresses.assertion_url(WIKI)}"


def _api(demo: Demo, path: str, options: str = "") -> str:
    configuration = shlex.quote(str(demo.directory / "api.conf"))
    url = shlex.quote(f"{demo.addresses.org_origin}/api/v1{path}")
    return f"curl -K {configuration} {options}{url}"


def _devicetrust() -> str:
    """The command as it can be called from anywhere."""
    called = Path(sys.argv[0])
    if called.name == "devicetrust" and called.exists():
        return shlex.quote(str(called.absolute()))
    return f"{shlex.quote(sys.executable)} -P -m gateway.cli.main"


def _aligned(rows: list[tuple[str, str]]) -> Iterator[str]:
    width = max(len(name) for name, _ in rows)
    yield from (f"   {name:{width}}  {value}" for name, value in rows)


def _chromium_lines(directory: Path, chromium: ChromiumSetUp) -> Iterator[str]:
    if chromium.command is not None:
        yield "In Chromium, with a profile of its own (asked for a certificate: choose it, or cancel)"
        yield f"   {chromium.command}"
        return
    yield f"In a browser (with {chromium.missing} installed, the demo would set Chromium up by itself)"
    yield f"   Trust {directory}/web-root.pem for web sites; it can vouch for names below localhost only."
    yield f"   Import {directory}/alice.p12, password {PKCS12_PASSWORD}."
