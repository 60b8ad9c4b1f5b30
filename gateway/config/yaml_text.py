"""Plain values → YAML text that `gateway.config.marked_yaml` reads as the same values.

The writer's library knows YAML 1.1, the reader the core schema of 1.2: what looks like a number or a constant
in either of them is written in quotes.
"""

from typing import Any, Final

import yaml

from gateway.config.marked_yaml import reads_as_text

_WIDTH: Final = 110


class _Writer(yaml.SafeDumper):
    """Indents the items of lists, as people do, and never writes an alias: the reader takes none."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> Any:
        return super().increase_indent(flow, False)

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _text(writer: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    style = None if reads_as_text(text) and text.isprintable() else '"'
    return writer.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Writer.add_representer(str, _text)


def yaml_text(value: Any) -> str:
    """``value`` holds dict with text keys, list, str, int, float, bool and None only. Dicts keep their
    order."""
    text: str = yaml.dump(value, Dumper=_Writer, sort_keys=False, allow_unicode=True, width=_WIDTH)
    return text
