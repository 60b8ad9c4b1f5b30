"""The one exception that this room raises for a policy or a case table that cannot be used."""

from enum import StrEnum

KeyPath = tuple[str | int, ...]


class PolicyProblem(StrEnum):
    WRONG_TYPE = "wrong_type"
    UNKNOWN_KEY = "unknown_key"
    MISSING_KEY = "missing_key"
    UNKNOWN_VALUE = "unknown_value"
    BAD_NAME = "bad_name"
    DUPLICATE = "duplicate"
    OUT_OF_RANGE = "out_of_range"
    SELECTS_NOBODY = "selects_nobody"
    TRUST_CANNOT_BE_SHOWN = "trust_cannot_be_shown"
    HARDWARE_WITHOUT_TRUST = "hardware_without_trust"
    NO_CLIENT_CONDITIONS = "no_client_conditions"
    UNKNOWN_ZONE = "unknown_zone"
    PLUG_IN_FAILED = "plug_in_failed"


class PolicyInvalid(Exception):
    """What is wrong (``problem``, and ``detail`` as a sentence), where (``path`` of keys and list
    indexes), in which rule, and, where a name is unknown, the ``alternatives`` to suggest from."""

    def __init__(
        self,
        problem: PolicyProblem,
        path: KeyPath,
        detail: str,
        *,
        rule: str | None = None,
        unknown: str | None = None,
        alternatives: tuple[str, ...] = (),
    ) -> None:
        super().__init__(detail)
        self.problem = problem
        self.path = path
        self.detail = detail
        self.rule = rule
        self.unknown = unknown
        self.alternatives = alternatives

    def under(self, path: KeyPath, rule: str | None = None) -> "PolicyInvalid":
        """The same problem, seen from the value that holds the one it was found in."""
        return PolicyInvalid(
            self.problem,
            (*path, *self.path),
            self.detail,
            rule=self.rule if rule is None else rule,
            unknown=self.unknown,
            alternatives=self.alternatives,
        )
