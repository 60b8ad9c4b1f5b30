"""The plug-in door: the entry points of the installed distributions, read once at start."""

from collections.abc import Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType
from typing import Any, Final

from gateway.model.quoting import printable
from gateway.policy.conditions import BUILT_IN_KEYS, ConditionParser
from gateway.policy.foreign import PlugInFailed, call_plug_in
from gateway.policy.rules import RESERVED_KEYS

POLICY_CONDITIONS_GROUP: Final = "gateway.policy_conditions"


class PlugInError(Exception):
    """A plug-in that cannot be used, by name. The program does not start: a rule key that silently did
    nothing would let people in."""


def load_condition_parsers() -> Mapping[str, ConditionParser]:
    """Rule key → parser, for the built-in conditions and all installed plug-ins. Raises PlugInError."""
    parsers = load_entry_points(entry_points(group=POLICY_CONDITIONS_GROUP), reserved=RESERVED_KEYS)
    missing = [key for key in BUILT_IN_KEYS if key not in parsers]
    if missing:
        names = ", ".join(missing)
        raise PlugInError(
            f"built-in policy conditions are not registered: {names}; install the package again"
        )
    return parsers


def load_entry_points(found: Iterable[EntryPoint], *, reserved: Iterable[str] = ()) -> Mapping[str, Any]:
    """Name → loaded object, which must be callable. Raises PlugInError: on a name that is reserved or is
    given by two distributions, and whatever loading the object raises."""
    refused = frozenset(reserved)
    loaded: dict[str, Any] = {}
    for entry_point in found:
        name = entry_point.name
        if name in refused or name in loaded:
            why = "a reserved name" if name in refused else "given by more than one distribution"
            raise PlugInError(f"plug-in {printable(name)} ({entry_point.value}): {why}")
        try:
            plug_in = call_plug_in(name, entry_point.load)
        except PlugInFailed as failure:
            cause = failure.__cause__
            raise PlugInError(
                f"plug-in {printable(name)} ({entry_point.value}): {failure.detail}: {cause}"
            ) from failure
        if not callable(plug_in):
            raise PlugInError(f"plug-in {printable(name)} ({entry_point.value}): is not callable")
        loaded[name] = plug_in
    return MappingProxyType(loaded)
