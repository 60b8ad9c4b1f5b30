"""``devicetrust policy``: run the case tables of policies, lint them, explain one answer, replay the past.

Exit codes: 0 fine, 1 findings (a failed case, a lint error or warning), 2 unusable (a file, option or
plug-in that cannot be read).
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any, Final

import click

from gateway.adapters.plugins import PlugInError, load_condition_parsers
from gateway.cli.policy_simulate import simulate
from gateway.config.errors import ConfigError
from gateway.config.load import ConfigErrors, load_settings
from gateway.config.policy_file import CASES_SUFFIX, PolicyFile, cases_path, read_cases_file, read_policy
from gateway.model.decision import Client, DeviceTrust, Platform, SignOnRequest
from gateway.model.quoting import printable
from gateway.model.settings import IPNetwork, Zone
from gateway.policy.cases import CaseResult, decided_by, run_cases
from gateway.policy.explain import as_json, as_text, decision_json, explain, prompt_text
from gateway.policy.lint import Finding, Severity, lint
from gateway.policy.user_agent import classify

FINDINGS: Final = 1


class Unusable(click.ClickException):
    """Something that the command needs cannot be used; the message names it."""

    exit_code = 2


@click.group("policy")
def policy() -> None:
    """Test, lint and explain sign-on policies, and replay the past under them.

    \b
    Examples:
      devicetrust policy test policies/
      devicetrust policy lint policies/office-365-allow-list.yaml
    """


policy.add_command(simulate)

_client_conditions = click.option(
    "--client-conditions/--no-client-conditions",
    default=None,
    help="The app's client_conditions. Left out: on when a rule of the policy selects among clients.",
)
_zones_from = click.option(
    "--zones-from",
    metavar="GATEWAY.YAML",
    help="Take the zones (and device_trust.enabled) from a gateway.yaml.",
)
_zone = click.option(
    "--zone",
    "zone_options",
    metavar="NAME=CIDR",
    multiple=True,
    help="Define a zone, or add a network to it.",
)
_json = click.option("--json", "as_json_output", is_flag=True, help="Print the result as JSON.")
_policies = click.argument("paths", metavar="POLICY...", nargs=-1, required=True)


@policy.command("test", short_help="Run the case tables beside policies.")
@_policies
@_client_conditions
@_zones_from
@_zone
@_json
def run_tests(
    paths: tuple[str, ...],
    client_conditions: bool | None,
    zones_from: str | None,
    zone_options: tuple[str, ...],
    as_json_output: bool,
) -> None:
    """Run the case table (NAME.cases.yaml) of each POLICY, a file or a directory.

    Zones are the table's own, unless some are given here.

    \b
    Examples:
      devicetrust policy test policies/
      devicetrust policy test wiki.yaml --zone office=10.0.0.0/8
    """
    with _unusable():
        zones, _ = _zones(zones_from, zone_options)
        results: list[tuple[str, CaseResult]] = []  # "FILE:LINE" of the case, result
        for path in _policy_paths(paths):
            file = _read(path, client_conditions)
            cases = read_cases_file(cases_path(path))
            results += [
                (f"{cases.document.source}:{cases.document.line(result.case.path)}", result)
                for result in run_cases(file.policy, cases.table, zones)
            ]
    failed = [(where, result) for where, result in results if not result.passed]
    if as_json_output:
        _print_json(
            {
                "passed": len(results) - len(failed),
                "failed": len(failed),
                "cases": [_case_json(where, result) for where, result in results],
            }
        )
    else:
        for where, result in failed:
            click.echo(f"{where}: {_difference(result)}")
        click.echo(f"{len(results) - len(failed)} cases passed, {len(failed)} failed")
    if failed:
        raise click.exceptions.Exit(FINDINGS)


@policy.command("lint", short_help="Look for ways around a policy.")
@_policies
@_client_conditions
@_zones_from
@_zone
@_json
def run_lint(
    paths: tuple[str, ...],
    client_conditions: bool | None,
    zones_from: str | None,
    zone_options: tuple[str, ...],
    as_json_output: bool,
) -> None:
    """Look for ways in that the author of a POLICY (file or directory) may not expect.

    \b
    Examples:
      devicetrust policy lint policies/
      devicetrust policy lint wiki.yaml --zones-from gateway.yaml --json
    """
    with _unusable():
        zones, trust_enabled = _zones(zones_from, zone_options)
        found: list[tuple[PolicyFile, Finding]] = []
        for path in _policy_paths(paths):
            file = _read(path, client_conditions)
            found += [(file, finding) for finding in lint(file.policy, zones, trust_enabled)]
    if as_json_output:
        _print_json({"findings": [_finding_json(file, finding) for file, finding in found]})
    else:
        for file, finding in found:
            where = f"{file.document.source}:{file.line_of_rule(finding.rule)}"
            rule = "" if finding.rule is None else f"rule {printable(finding.rule)}: "
            click.echo(f"{where}: {finding.severity}: {finding.code}: {rule}{finding.sentence}")
            click.echo(f"    {finding.remedy}")
        click.echo(f"{len(found)} findings")
    if any(finding.severity is not Severity.INFO for _, finding in found):
        raise click.exceptions.Exit(FINDINGS)


@policy.command("explain", short_help="Say why one request is decided as it is.")
@click.argument("path", metavar="POLICY")
@click.option("--user", required=True, help="Who signs on, as the identity provider names them.")
@click.option("--group", "groups", multiple=True, help="A group of the user; repeat for more.")
@click.option("--ip", required=True, help="The address that the request comes from.")
@click.option("--user-agent", help='Read client and platform from this User-Agent; "" for a missing one.')
@click.option("--client", type=click.Choice([c.value for c in Client]), help="web_browser if left out.")
@click.option("--platform", type=click.Choice([p.value for p in Platform]))
@click.option(
    "--device-trust",
    type=click.Choice([trust.value for trust in DeviceTrust]),
    default=DeviceTrust.UNKNOWN.value,
    show_default=True,
)
@click.option("--hardware-key", is_flag=True, help="The trusted device has its key in a TPM.")
@_client_conditions
@_zones_from
@_zone
@_json
def run_explain(
    path: str,
    user: str,
    groups: tuple[str, ...],
    ip: str,
    user_agent: str | None,
    client: str | None,
    platform: str | None,
    device_trust: str,
    hardware_key: bool,
    client_conditions: bool | None,
    zones_from: str | None,
    zone_options: tuple[str, ...],
    as_json_output: bool,
) -> None:
    """Say how POLICY answers one sign-on: each rule, each condition, the decision.

    With --device-trust unknown (the default): all answers, and whether the device is asked.

    \b
    Examples:
      devicetrust policy explain wiki.yaml --user ana@example.test --ip 10.1.2.3 --platform windows
      devicetrust policy explain wiki.yaml --user ana@example.test --ip 10.1.2.3 \\
          --user-agent "curl/8.5.0" --device-trust not_trusted --json
    """
    with _unusable():
        zones, _ = _zones(zones_from, zone_options)
        file = _read(path, client_conditions)
        claimed = _claims(user_agent, client, platform)
        try:
            address = ip_address(ip)
        except ValueError:
            raise Unusable(f"--ip: {printable(ip)} is not an IP address") from None
        trust = DeviceTrust(device_trust)
        if hardware_key and trust is not DeviceTrust.TRUSTED:
            raise Unusable("--hardware-key: needs --device-trust trusted; no other device's key is known")
    request = SignOnRequest(user, frozenset(groups), address, *claimed, trust, hardware_key)
    explanation = explain(file.policy, request, zones or {})
    if as_json_output:
        _print_json(as_json(explanation))
    else:
        click.echo(as_text(explanation))


@contextmanager
def _unusable() -> Iterator[None]:
    try:
        yield
    except ConfigErrors as error:
        more = len(error.errors) - 1
        raise Unusable(str(error.errors[0]) + (f"\n(and {more} more errors)" if more else "")) from error
    except (ConfigError, PlugInError) as error:
        raise Unusable(str(error)) from error


def _policy_paths(paths: Iterable[str]) -> Iterator[str]:
    """The policy files that the arguments mean: a directory stands for those in it."""
    for given in paths:
        path = Path(given)
        if not path.is_dir():
            yield given
            continue
        inside = sorted(str(p) for p in path.glob("*.yaml") if not p.name.endswith(CASES_SUFFIX))
        if not inside:
            raise Unusable(f"{given}: no policy (*.yaml) in this directory")
        yield from inside


def _read(path: str, client_conditions: bool | None) -> PolicyFile:
    return read_policy(path, load_condition_parsers(), client_conditions=client_conditions)


def _claims(user_agent: str | None, client: str | None, platform: str | None) -> tuple[Client, Platform]:
    if user_agent is not None:
        if client is not None or platform is not None:
            raise Unusable("--user-agent: leave out --client and --platform, which are read from it")
        return classify(user_agent)
    if platform is None:
        raise Unusable("one of --platform and --user-agent is needed")
    return Client(client or Client.WEB_BROWSER), Platform(platform)


def _zones(
    zones_from: str | None, zone_options: Iterable[str]
) -> tuple[Mapping[str, Zone] | None, bool | None]:
    """The zones given on the command line, None where there are none, and device_trust.enabled."""
    zones: dict[str, Zone] = {}
    trust_enabled: bool | None = None
    if zones_from is not None:
        settings = load_settings(zones_from)
        zones = {zone.name: zone for zone in settings.zones}
        trust_enabled = settings.device_trust_enabled
    added: dict[str, tuple[IPNetwork, ...]] = {}
    for option in zone_options:
        name, _, cidr = option.partition("=")
        try:
            added[name] = (*added.get(name, ()), ip_network(cidr))
        except ValueError:
            raise Unusable(f"--zone: {printable(option)} is not NAME=CIDR") from None
    zones |= {name: Zone(name, networks) for name, networks in added.items()}
    return (zones if zones_from is not None or zones else None), trust_enabled


def _difference(result: CaseResult) -> str:
    expect, decision, request = result.case.expect, result.decision, result.case.request
    prompt = ""
    if expect.compare_prompt and expect.prompt_for_factor != decision.prompt_for_factor:
        wanted, got = (
            "none" if p is None else prompt_text(p)
            for p in (expect.prompt_for_factor, decision.prompt_for_factor)
        )
        prompt = f", factor prompt {wanted} but got {got}"
    return (
        f"{request.user} on {request.client}, {request.platform}, {request.device_trust}"
        f"{' with a hardware key' if request.hardware_key else ''}:"
        f" expected {expect.access} by {expect.rule}, got {decision.access} by {decided_by(decision)}{prompt}"
    )


def _case_json(where: str, result: CaseResult) -> dict[str, Any]:
    return {
        "case": where,
        "passed": result.passed,
        "expected": {"access": result.case.expect.access.value, "rule": result.case.expect.rule},
        "decision": decision_json(result.decision),
    }


def _finding_json(file: PolicyFile, finding: Finding) -> dict[str, Any]:
    return {
        "file": file.document.source,
        "line": file.line_of_rule(finding.rule),
        "severity": finding.severity.value,
        "code": finding.code,
        "rule": finding.rule,
        "sentence": finding.sentence,
        "remedy": finding.remedy,
    }


def _print_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
