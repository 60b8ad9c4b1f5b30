"""Settings as lines of a file, where the system has no registry."""

from collections.abc import Mapping

from gateway.agent.platform import Setting


def parse_settings(place: str, text: str) -> tuple[Setting, ...]:
    """`Name=value` lines; empty lines and such that begin with `#` are for people. A line without `=` is a
    setting without a value, for whoever judges them."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        stripped = line.strip()
        if stripped and not stripped.startswith("#"):
            name, _, value = stripped.partition("=")
            found.append(Setting(name.strip(), value.strip(), f"{place}:{number}"))
    return tuple(found)


def settings_text(values: Mapping[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())
