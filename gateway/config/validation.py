"""A document against the schema of its file: all that is wrong with single values, each with line and key."""

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from gateway.config.errors import ConfigError, KeyPath, did_you_mean
from gateway.config.marked_yaml import MarkedDocument
from gateway.model.quoting import printable

_File = TypeVar("_File", bound=BaseModel)

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


def validated(file: type[_File], document: MarkedDocument) -> _File:
    """The document as an instance of its schema. Raises ConfigErrors."""
    try:
        return file.model_validate(document.value)
    except ValidationError as error:
        details = error.errors(include_url=False)
        findings = [(tuple(d["loc"]), _sentence(d, file)) for d in details]
        raise ConfigErrors(in_order(document, findings)) from None


def in_order(document: MarkedDocument, findings: Sequence[tuple[KeyPath, str]]) -> list[ConfigError]:
    """Errors as someone meets them who reads the file from the top."""
    errors = [document.error(path, message) for path, message in findings]
    return sorted(errors, key=lambda error: (error.line or 0, error.key_path))


def _sentence(detail: ErrorDetails, file: type[BaseModel]) -> str:
    """What pydantic found, in the words of someone who edits the file."""
    kind = detail["type"]
    context: dict[str, Any] = detail.get("ctx", {})
    value = detail["input"]
    if kind in _SENTENCES:
        return _SENTENCES[kind]
    match kind:
        case "extra_forbidden":
            path = tuple(detail["loc"])
            return f"is not a known key{did_you_mean(str(path[-1]), _known_keys(file, path[:-1]))}"
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


def _known_keys(file: type[BaseModel], path: KeyPath) -> list[str]:
    """The keys that the mapping at ``path`` may have."""
    model = file
    for part in path:
        if isinstance(part, str):
            model = next(_models_in(model.model_fields[part].annotation))
    return list(model.model_fields)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for argument in get_args(annotation):
        yield from _models_in(argument)
