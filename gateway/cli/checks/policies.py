"""The apps' policies: whether they load, what the linter says, and whether a factor can be shown."""

from collections.abc import Iterator
from typing import Final

from gateway.adapters.plugins import PlugInError, load_condition_parsers
from gateway.cli.checks.finding import Finding, Severity, refusal
from gateway.config.errors import ConfigError
from gateway.config.policy_file import PolicyFile, read_policy
from gateway.model.settings import AppSettings, GatewaySettings
from gateway.policy import lint
from gateway.policy.rules import Status

_SEVERITIES: Final = {
    lint.Severity.ERROR: Severity.PROBLEM,
    lint.Severity.WARNING: Severity.WARNING,
    lint.Severity.INFO: Severity.NOTICE,
}


def check_policies(settings: GatewaySettings) -> Iterator[Finding]:
    """Not checked: the policies' case tables, which `devicetrust policy test` runs."""
    try:
        parsers = load_condition_parsers()
    except PlugInError as error:
        yield Finding(
            Severity.UNUSABLE,
            "plug-in-unusable",
            settings.source,
            str(error),
            "repair or uninstall the plug-in",
        )
        return
    zones = {zone.name: zone for zone in settings.zones}
    seen: set[tuple[str, bool]] = set()
    for app in settings.apps:
        try:
            file = read_policy(
                app.policy_file,
                parsers,
                client_conditions=app.client_conditions,
                zone_names=zones.keys(),
            )
        except ConfigError as error:
            found = [refusal(error, "policy-unusable", f"correct the policy of app {app.name}")]
        else:
            yield from _factors(settings.source, app, file)
            found = [
                _from_lint(file, finding)
                for finding in lint.lint(file.policy, zones, settings.device_trust_enabled)
            ]
        # Apps that share a policy share its findings, unless they read it differently.
        if (app.policy_file, app.client_conditions) not in seen:
            yield from found
        seen.add((app.policy_file, app.client_conditions))


def _from_lint(file: PolicyFile, finding: lint.Finding) -> Finding:
    rule = "" if finding.rule is None else f'rule "{finding.rule}": '
    return Finding(
        _SEVERITIES[finding.severity],
        finding.code,
        file.document.source,
        f"{rule}{finding.sentence}",
        finding.remedy,
        file.line_of_rule(finding.rule),
    )


def _factors(config: str, app: AppSettings, file: PolicyFile) -> Iterator[Finding]:
    prompting = [r for r in file.policy.rules if r.prompt_for_factor and r.status is Status.ACTIVE]
    if prompting and not app.factor_contexts:
        yield Finding(
            Severity.PROBLEM,
            "factor-never-shown",
            config,
            f'rule "{prompting[0].name}" of app {app.name} asks for a factor, but no sign-on can show one',
            "name the authentication contexts that prove a factor under factor_contexts of the app",
        )
