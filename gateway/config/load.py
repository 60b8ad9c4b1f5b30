"""gateway.yaml → GatewaySettings, or every error in it at once, each with file, line and key."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.assemble import assemble
from gateway.config.consistency import inconsistencies
from gateway.config.errors import ConfigError, KeyPath, did_you_mean
from gateway.config.marked_yaml import MarkedDocument, load_marked
from gateway.config.schema import GatewayFile
from gateway.config.text_file import read_text_file
from gateway.model.quoting import printable
from gateway.model.settings import GatewaySettings

_SENTENCES = {
    "model_type": "must be a mapping of keys and values",
    "list_type": "must be a list",
    "string_type": "must be text (put it in quotes)",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number",
    "missing": "is missing",
}


class ConfigErrors(Exception):
    """All that is wrong with a configuration; never empty. ``str()`` has one line per error."""

    def __init__(self, errors: Sequence[ConfigError]) -> None:
        super().__init__("\n".join(map(str, errors)))
        self.errors = tuple(errors)


def load_settings(path: str) -> GatewaySettings:
    """Read and check a configuration file. Relative paths in it refer to its directory.

    Raises ConfigErrors, nothing else: first all that is wrong with single values, and when there is
    nothing, all that the values contradict. Opens no other file: certificates, CRLs, metadata and
    policies are read by those who use them.
    """
    try:
        document = load_marked(read_text_file(path), path)
    except ConfigError as error:
        raise ConfigErrors([error]) from error
    # Not resolved: beside a symbolic link stand the links to the other files (as in mounted volumes).
    return settings_from(document, str(Path(path).absolute()))


def settings_from(document: MarkedDocument, source: str) -> GatewaySettings:
    """Settings out of a document that has been read. Raises ConfigErrors."""
    try:
        file = GatewayFile.model_validate(document.value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        raise ConfigErrors(_in_order(document, [(tuple(d["loc"]), _sentence(d)) for d in details])) from None
    contradictions = list(inconsistencies(file))
    if contradictions:
        raise ConfigErrors(_in_order(document, contradictions))
    return assemble(file, source)


def _in_order(document: MarkedDocument, findings: Sequence[tuple[KeyPath, str]]) -> list[ConfigError]:
    """Errors as someone meets them who reads the file from the top."""
    errors = [document.error(path, message) for path, message in findings]
    return sorted(errors, key=lambda error: (error.line or 0, error.key_path))


def _sentence(detail: ErrorDetails) -> str:
    """What pydantic found, in the words of someone who edits the file."""
    kind = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    value = detail["input"]
    if kind in _SENTENCES:
        return _SENTENCES[kind]
    match kind:
        case "extra_forbidden":
            path = tuple(detail["loc"])
            return f"is not a known key{did_you_mean(str(path[-1]), _known_keys(path[:-1]))}"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f"must be {context['expected'].replace(chr(39), '')}, not {printable(str(value))}"
        case "greater_than_equal":
            return f"must be at least {context['ge']}, not {value}"
        case "less_than_equal":
            return f"must be at most {context['le']}, not {value}"
        case "too_short":
            return f"must have at least {context['min_length']} item"
        case "too_long":
            return f"must have at most {context['max_length']} items"
        case _:
            return f"is not valid: {detail['msg']}"


def _known_keys(path: KeyPath) -> list[str]:
    """The keys that the mapping at ``path`` may have."""
    model: type[BaseModel] = GatewayFile
    for part in path:
        if isinstance(part, str):
            model = next(_models_in(model.model_fields[part].annotation))
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
