"""What a rule may look at, one condition per file, and the door by which all of them come in.

The door is the entry point group ``gateway.policy_conditions``: the name of an entry point is the rule
key that it adds, its object is a `ConditionParser`. The built-in conditions use the same door. This
room cannot read the environment, so the parsers are a value: `gateway.adapters.plugins` collects them.

A condition is a frozen value that is sync, pure and fast: it runs for each request that is decided.
One that raises, or answers something else than a `Match`, makes the decision deny with POLICY_ERROR.
Not guarded against: a plug-in that never returns. It runs inside the worker, as trusted as the gateway.
"""

from collections.abc import Callable, Mapping
from typing import Final, Protocol

from gateway.model.decision import Match, SignOnRequest
from gateway.model.settings import Zone

Zones = Mapping[str, Zone]

# The order in which they run and are shown: the search through networks is the slowest. Plug-ins
# follow, by name, so they run only where no built-in condition has already answered NOT_MATCH.
BUILT_IN_KEYS: Final = ("people", "clients", "platforms", "device_trust", "hardware_key", "location")


class Condition(Protocol):
    def match(self, request: SignOnRequest, zones: Zones) -> Match:
        """Whether the request meets the condition. UNDEFINED: it depends on what is not known yet."""

    def describe(self, request: SignOnRequest, zones: Zones) -> str:
        """Why, as half a sentence for a log; called only where a trace is wanted."""


# Raw value of the rule key → condition. Raises PolicyInvalid, whose path begins below the key.
ConditionParser = Callable[[object], Condition]
ConditionParsers = Mapping[str, ConditionParser]
