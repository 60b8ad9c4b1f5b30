"""The one place where any exception of a plug-in is caught."""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")


class PlugInFailed(Exception):
    """A plug-in raised, or answered with something that is no answer. ``plug_in`` is its name;
    ``detail`` names the kind of failure only, because a plug-in's message may hold anything."""

    def __init__(self, plug_in: str, detail: str) -> None:
        super().__init__(f"plug-in {plug_in}: {detail}")
        self.plug_in = plug_in
        self.detail = detail


def call_plug_in(
    name: str, function: Callable[Arguments, Result], /, *args: Arguments.args, **kwargs: Arguments.kwargs
) -> Result:
    """Call code that we did not write. Raises PlugInFailed whatever it raises, with the original as the
    cause."""
    try:
        return function(*args, **kwargs)
    except PlugInFailed:
        raise
    except Exception as failure:  # foreign code may raise anything, and the answer must be deny
        raise PlugInFailed(name, f"raised {type(failure).__name__}") from failure
