"""`devicetrust browser-policy`: what an administrator distributes, so that browsers pick the certificate."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import click
from cryptography import x509
from cryptography.x509.oid import NameOID

from gateway.adapters.store.address import store_address
from gateway.adapters.store.store import Store
from gateway.agent.artefacts import gpo
from gateway.agent.artefacts.auto_select import auto_select_item, managed_policy, url_pattern
from gateway.agent.artefacts.firefox_policy import firefox_policy
from gateway.agent.artefacts.macos import configuration_profile
from gateway.agent.artefacts.registry import (
    RegistryValue,
    chrome_values,
    edge_values,
    internet_explorer_values,
    reg_bytes,
    reg_file,
)
from gateway.agent.platform import DEFAULT_ISSUER_COMMON_NAME, HTTPS_PORT, BrowserPolicy
from gateway.cli.opened_ca import config_option
from gateway.config.forms import read_mtls_domain
from gateway.config.load import load_settings
from gateway.model.issued import AuthorityKind, AuthorityStatus
from gateway.model.settings import GatewaySettings
from gateway.model.store_errors import StoreError

_BROWSERS: Final = ("chrome", "edge", "firefox", "ie")
_FORMATS: Final = ("json", "reg", "gpo", "mobileconfig")
_MAX_PORT: Final = 65_535
# Where what is printed belongs; said on stderr, so that the output itself can be written to a file.
_PLACES: Final = {
    ("json", "chrome"): "Linux: /etc/opt/chrome/policies/managed/zz-devicetrust.json; Chromium: "
    "/etc/chromium/policies/managed/zz-devicetrust.json. Of several files that set this list, browsers read "
    "the last one only: put the items of the others in, too. See it at chrome://policy.",
    ("json", "edge"): "Linux: /etc/opt/edge/policies/managed/zz-devicetrust.json. Of several files that set "
    "this list, the browser reads the last one only: put the items of the others in, too. See it at "
    "edge://policy.",
    ("json", "firefox"): "Linux: /etc/firefox/policies/policies.json; elsewhere policies.json in the folder "
    "distribution beside the program. There is one such file: merge it with what is there. Firefox knows no "
    "rule by site. See it at about:policies.",
    ("reg", ""): "Windows: reg import FILE, as administrator. Items are numbered: where the computers have "
    "items already, choose a free number with --number. Write it with --output, which makes it UTF-16.",
    ("gpo", ""): "",
    ("mobileconfig", ""): "macOS: distribute it by MDM, or open it and install it in System Settings.",
}


@click.command(
    "browser-policy",
    epilog="""\b
Examples:
  devicetrust browser-policy --chrome -c gateway.yaml
  devicetrust browser-policy --chrome --edge --ie --format reg --output devicetrust.reg
  devicetrust browser-policy --edge --format gpo --mtls-domain mtls.example.com
  devicetrust browser-policy --firefox > policies.json
""",
)
@config_option
@click.option("--chrome", is_flag=True, help="Google Chrome and Chromium.")
@click.option("--edge", is_flag=True, help="Microsoft Edge.")
@click.option("--firefox", is_flag=True, help="Firefox.")
@click.option("--ie", is_flag=True, help="Internet Explorer, and programs with its sign-on window.")
@click.option(
    "--format",
    "form",
    type=click.Choice(_FORMATS),
    help="json: policy file (Linux). reg: registry values. gpo: steps in the Group Policy Management "
    "Console. mobileconfig: configuration profile (macOS). Left out: json, for --ie gpo.",
)
@click.option("--mtls-domain", metavar="NAME", help="Instead of the one that the configuration names.")
@click.option("--port", type=click.IntRange(1, _MAX_PORT), help="Of the mTLS hosts, if it is not 443.")
@click.option("--issuer", metavar="NAME", help="Common name of the certificates' issuer.")
@click.option(
    "--number", default=1, show_default=True, type=click.IntRange(1, 9_999), help="Of the item, for reg."
)
@click.option("--output", metavar="FILE", help="Write it there instead of printing it.")
@click.option("--json", "as_json", is_flag=True, help="Print the values of all browsers as JSON.")
def browser_policy(
    config_path: str,
    chrome: bool,
    edge: bool,
    firefox: bool,
    ie: bool,
    form: str | None,
    mtls_domain: str | None,
    port: int | None,
    issuer: str | None,
    number: int,
    output: str | None,
    as_json: bool,
) -> None:
    """Print what lets browsers pick the Device Trust certificate without asking.

    The agent sets this up by itself, unless SkipBrowserSetup=true is set: this is for those who use a group
    policy, an MDM or a configuration management instead.
    """
    chosen = [name for name, given in zip(_BROWSERS, (chrome, edge, firefox, ie), strict=True) if given]
    if not chosen and not as_json:
        raise click.UsageError("give one of --chrome, --edge, --firefox, --ie")
    policy = _policy(config_path, mtls_domain, port, issuer)
    if as_json:
        click.echo(json.dumps(_values(policy, number), indent=2))
        return
    form = form or ("gpo" if chosen == ["ie"] else "json")
    content = _content(form, chosen, policy, number)
    place = _PLACES[form, chosen[0] if form == "json" else ""]
    if output is not None:
        Path(output).write_bytes(reg_bytes(content) if form == "reg" else content.encode())
        click.echo(f"{output}: written", err=True)
    else:
        click.echo(content.replace("\r\n", "\n"), nl=not content.endswith("\n"))
    if place:
        click.echo(place, err=True)


def _content(form: str, chosen: list[str], policy: BrowserPolicy, number: int) -> str:
    match form:
        case "json":
            return _policy_file(chosen, policy)
        case "reg":
            return reg_file(_registry(chosen, policy, number), f"Device Trust: {url_pattern(policy)}")
        case "mobileconfig":
            return configuration_profile(policy)
        case _:
            return "\n".join(_INSTRUCTIONS[name](policy) for name in chosen)


_INSTRUCTIONS: Final[dict[str, Callable[[BrowserPolicy], str]]] = {
    "chrome": gpo.chrome_instructions,
    "edge": gpo.edge_instructions,
    "firefox": lambda _: gpo.firefox_instructions(),
    "ie": gpo.internet_explorer_instructions,
}


def _policy_file(chosen: list[str], policy: BrowserPolicy) -> str:
    if chosen in (["chrome"], ["edge"], ["chrome", "edge"]):
        return managed_policy(policy)
    if chosen == ["firefox"]:
        return firefox_policy()
    if "ie" in chosen:
        raise click.UsageError("--ie is set by registry values: --format reg or gpo")
    raise click.UsageError("a file of --format json is for Firefox or for the others, not for both")


def _registry(chosen: list[str], policy: BrowserPolicy, number: int) -> list[RegistryValue]:
    values: list[RegistryValue] = []
    for name in chosen:
        match name:
            case "chrome":
                values += chrome_values(policy, number)
            case "edge":
                values += edge_values(policy, number)
            case "ie":
                values += internet_explorer_values(policy)
            case _:
                raise click.UsageError("--firefox has no registry values of this kind: --format json or gpo")
    return values


def _values(policy: BrowserPolicy, number: int) -> dict[str, Any]:
    registry = _registry(["chrome", "edge", "ie"], policy, number)
    return {
        "mtlsDomain": policy.mtls_domain,
        "port": policy.port,
        "issuer": policy.issuer_common_name,
        "pattern": url_pattern(policy),
        "autoSelectCertificateForUrls": auto_select_item(policy),
        "managedPolicy": json.loads(managed_policy(policy)),
        "firefoxPolicies": json.loads(firefox_policy()),
        "registry": [
            {"key": each.key, "name": each.name, "type": each.kind.value, "data": each.data}
            for each in registry
        ],
    }


def _policy(config_path: str, domain: str | None, port: int | None, issuer: str | None) -> BrowserPolicy:
    """What is not given is as in the configuration; with ``domain`` none is needed."""
    if domain is not None:
        try:
            domain = read_mtls_domain(domain)
        except ValueError as error:
            raise click.BadParameter(str(error), param_hint="--mtls-domain") from None
        return BrowserPolicy(domain, issuer or DEFAULT_ISSUER_COMMON_NAME, port or HTTPS_PORT)
    settings = load_settings(config_path)
    return BrowserPolicy(settings.mtls_domain, issuer or _own_issuer(settings), port or settings.public_port)


def _own_issuer(settings: GatewaySettings) -> str:
    """The common name of the store's own authority; where there is none yet, that which it gets unless
    another one is chosen."""
    named = DEFAULT_ISSUER_COMMON_NAME
    if settings.store_url is None:
        return named
    file = store_address(settings.store_url).sqlite_file
    if file is not None and not Path(file).exists():
        return named  # nothing is made here
    try:
        store = Store.open(settings.store_url)
    except StoreError as error:
        click.echo(f"{error}; the issuer is taken to be {named!r}", err=True)
        return named
    try:
        with store.read() as view:
            issuing = [
                each
                for each in view.authorities.all(AuthorityKind.ISSUING)
                if each.status is AuthorityStatus.ACTIVE
            ]
    finally:
        store.close()
    if not issuing:
        return named
    subject = x509.load_der_x509_certificate(issuing[-1].certificate_der).subject
    names = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(names[0].value) if names else named
