"""The forms of an HTML page, and which of them submit themselves."""

from dataclasses import dataclass, field
from html.parser import HTMLParser

from typing_extensions import override


@dataclass(slots=True)
class Form:
    """A form with its successful controls in order. ``action`` is as written, perhaps relative."""

    action: str
    method: str  # lower case
    hidden: list[tuple[str, str]] = field(default_factory=list)
    typed: list[tuple[str, str]] = field(default_factory=list)  # what a person fills in
    buttons: list[tuple[str, str]] = field(default_factory=list)

    @property
    def submits_itself(self) -> bool:
        """A POST form with nothing to fill in: federation messages and the gateway's own transport."""
        return self.method == "post" and bool(self.hidden) and not self.typed

    def value(self, name: str) -> str | None:
        return next((value for key, value in (*self.hidden, *self.typed) if key == name), None)

    def filled(self, answers: dict[str, str]) -> list[tuple[str, str]]:
        """The fields to send, with ``answers`` typed in. The first button is the one pressed."""
        typed = [(name, answers.get(name, value)) for name, value in self.typed]
        return [*self.hidden, *typed, *self.buttons[:1]]


class _FormParser(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[Form] = []
        self._open: Form | None = None
        self._text_area: tuple[str, list[str]] | None = None

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        if tag == "form":
            method = attributes.get("method", "get").lower()
            self._open = Form(attributes.get("action", ""), method)
            self.forms.append(self._open)
        elif self._open is not None:
            self._control(self._open, tag, attributes)

    def _control(self, form: Form, tag: str, attributes: dict[str, str]) -> None:
        name, kind = attributes.get("name", ""), attributes.get("type", "").lower()
        pair = (name, attributes.get("value", ""))
        if tag == "textarea":
            self._text_area = (name, [])
        elif tag == "button" or (tag == "input" and kind in ("submit", "image")):
            if name:
                form.buttons.append(pair)
        elif tag == "input" and name:
            if kind == "hidden":
                form.hidden.append(pair)
            elif kind not in ("checkbox", "radio") or "checked" in attributes:
                form.typed.append(pair)

    @override
    def handle_data(self, data: str) -> None:
        if self._text_area is not None:
            self._text_area[1].append(data)

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._text_area is not None and self._open is not None:
            name, parts = self._text_area
            self._open.typed.append((name, "".join(parts)))
            self._text_area = None
        elif tag == "form":
            self._open = None


def forms_of(page: str) -> list[Form]:
    parser = _FormParser()
    parser.feed(page)
    parser.close()
    return parser.forms
