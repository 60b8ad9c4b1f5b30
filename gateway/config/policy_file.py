"""A policy file and its case table: YAML text → checked values, with the file and line of what is wrong."""

from collections.abc import Set
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gateway.config.errors import ConfigError, did_you_mean
from gateway.config.marked_yaml import MAX_DOCUMENT_CHARACTERS, MarkedDocument, load_marked
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


def load_cases(text: str, source: str) -> CaseTable:
    """Read the text of a case table. Raises ConfigError."""
    document = load_marked(text, source)
    try:
        return read_cases(document.value)
    except PolicyInvalid as error:
        raise _located(error, document) from error


def read_text_file(path: Path) -> str:
    """A configuration file's text. Raises ConfigError where it is missing, unreadable, too large or
    not UTF-8."""
    try:
        with path.open("rb") as file:
            content = file.read(4 * MAX_DOCUMENT_CHARACTERS + 1)  # UTF-8: at most 4 bytes a character
    except OSError as error:
        raise ConfigError(str(path), None, "", error.strerror or type(error).__name__) from error
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise ConfigError(str(path), line, "", "not UTF-8 text") from error


def read_policy(
    path: Path,
    parsers: ConditionParsers,
    *,
    client_conditions: bool | None = None,
    zone_names: Set[str] | None = None,
) -> PolicyFile:
    """`load_policy` of a file. Raises ConfigError."""
    return load_policy(
        read_text_file(path),
        str(path),
        parsers,
        client_conditions=client_conditions,
        zone_names=zone_names,
    )


def cases_path(policy_path: Path) -> Path:
    """``policies/NAME.yaml`` → ``policies/NAME.cases.yaml``."""
    return policy_path.with_name(policy_path.stem + CASES_SUFFIX)


def _located(error: PolicyInvalid, document: MarkedDocument) -> ConfigError:
    rule = f"rule {printable(error.rule)}: " if error.rule is not None else ""
    suggestion = "" if error.unknown is None else did_you_mean(error.unknown, error.alternatives)
    return document.error(error.path, f"{rule}{error.detail}{suggestion}")
