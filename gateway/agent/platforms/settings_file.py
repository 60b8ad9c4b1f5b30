"""Settings as lines of a file, where the system has no registry."""

from collections.abc import Mapping
from pathlib import Path

from gateway.agent.platform import PlatformFailed, Setting
from gateway.agent.platforms.public_files import read_text, writable_by_others


def read_settings(file: Path) -> tuple[Setting, ...] | None:
    """None where there is no file. Raises PlatformFailed, also for one that others may change: it names the
    org to which tickets go, and libraries that are loaded."""
    try:
        text = read_text(file)
        in_other_hands = text is not None and writable_by_others(file)
    except OSError as error:
        raise PlatformFailed(f"{file}: {error.strerror or error}") from error
    if in_other_hands:
        raise PlatformFailed(
            f"{file}: others may change it, so that it is not believed",
            remedy=f"chown root {file} && chmod 644 {file}",
        )
    return None if text is None else parse_settings(str(file), text)


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
