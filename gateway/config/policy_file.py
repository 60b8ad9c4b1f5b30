"""A policy file and its case table: YAML text → checked values, with the file and line of what is wrong."""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.config.errors import ConfigError, did_you_mean
from gateway.config.marked_yaml import MarkedDocument, load_marked
from gateway.config.text_file import read_text_file
from gateway.model.quoting import printable
from gateway.policy.cases import CaseTable, read_cases
from gateway.policy.conditions import ConditionParsers
from gateway.policy.errors import PolicyInvalid
from gateway.policy.rules import Policy, compile_policy

CASES_SUFFIX: Final = ".cases.yaml"


@dataclass(frozen=True, slots=True)
class PolicyFile:
    """A checked policy and the document it was read from."""

    policy: Policy
    document: MarkedDocument

    def line_of_rule(self, name: str | None) -> int | None:
        """The line of a rule; that of ``default``, or of the file, for None."""
        if name is None:
            return self.document.line(("default",))
        index = next(i for i, rule in enumerate(self.policy.rules) if rule.name == name)
        return self.document.line(("rules", index))


@dataclass(frozen=True, slots=True)
class CasesFile:
    """A checked case table and the document it was read from."""

    table: CaseTable
    document: MarkedDocument


def load_policy(
    text: str,
    source: str,
    parsers: ConditionParsers,
    *,
    client_conditions: bool | None = None,
    zone_names: Set[str] | None = None,
) -> PolicyFile:
    """Read the text of a policy file; the arguments are those of `compile_policy`. Raises ConfigError."""
    document = load_marked(text, source)
    try:
        policy = compile_policy(
            document.value, parsers, client_conditions=client_conditions, zone_names=zone_names
        )
    except PolicyInvalid as error:
        raise _located(error, document) from error
    return PolicyFile(policy, document)


def load_cases(text: str, source: str) -> CasesFile:
    """Read the text of a case table. Raises ConfigError."""
    document = load_marked(text, source)
    try:
        return CasesFile(read_cases(document.value), document)
    except PolicyInvalid as error:
        raise _located(error, document) from error


def read_policy(
    path: str,
    parsers: ConditionParsers,
    *,
    client_conditions: bool | None = None,
    zone_names: Set[str] | None = None,
) -> PolicyFile:
    """`load_policy` of a file. Raises ConfigError."""
    return load_policy(
        read_text_file(path),
        path,
        parsers,
        client_conditions=client_conditions,
        zone_names=zone_names,
    )


def cases_path(policy_path: str) -> str:
    """``policies/NAME.yaml`` → ``policies/NAME.cases.yaml``."""
    return policy_path.removesuffix(Path(policy_path).suffix) + CASES_SUFFIX


def read_cases_file(path: str) -> CasesFile:
    """`load_cases` of a file. Raises ConfigError."""
    return load_cases(read_text_file(path), path)


def _located(error: PolicyInvalid, document: MarkedDocument) -> ConfigError:
    rule = f"rule {printable(error.rule)}: " if error.rule is not None else ""
    suggestion = "" if error.unknown is None else did_you_mean(error.unknown, error.alternatives)
    return document.error(error.path, f"{rule}{error.detail}{suggestion}")
