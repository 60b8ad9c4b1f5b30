"""The HTML templates of the pages: our own, and those that an administrator puts in their place.

Templates are read and compiled once. Every value is escaped and every unknown variable an error; an
administrator's run in Jinja's sandbox. Whoever loads them tries them with sample pages at once, so that a
broken one is refused then, not shown to a person who wants to sign in.
"""

from collections.abc import Callable, Mapping
from html.parser import HTMLParser
from pathlib import Path
from types import MappingProxyType, TracebackType

from jinja2 import (
    BaseLoader,
    ChoiceLoader,
    Environment,
    FunctionLoader,
    PackageLoader,
    StrictUndefined,
    Template,
    TemplateError,
    TemplateNotFound,
    TemplateSyntaxError,
)
from jinja2.sandbox import ImmutableSandboxedEnvironment
from typing_extensions import override

from gateway.adapters.held_files import names_in, read_file

LOCKED = "locked.html"
ERROR = "error.html"
CHALLENGE = "challenge.html"
REPLACEABLE = (LOCKED, ERROR, CHALLENGE)

MAX_TEMPLATE_BYTES = 512 * 1024
"""Room for a page with its images as data: URLs; each request would carry them again."""

TEMPLATE_FAULTS = (
    TemplateError,
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What the expressions of a template can raise when it is rendered."""


class PageTemplateRefused(Exception):
    """A template cannot be used. ``line`` is 0 where no single line is at fault."""

    def __init__(self, path: str, line: int, detail: str) -> None:
        super().__init__(f"{path}:{line}: {detail}" if line else f"{path}: {detail}")
        self.path = path
        self.line = line
        self.detail = detail


def own_templates() -> Mapping[str, Template]:
    """Our own `REPLACEABLE`, compiled; not sandboxed, since they are code of ours."""
    return MappingProxyType({name: own_template(name) for name in REPLACEABLE})


def own_template(name: str) -> Template:
    """One of ours by its file's name, compiled."""
    return _environment(Environment, PackageLoader("gateway.server", "templates")).get_template(name)


def replaced_templates(directory: str) -> Mapping[str, Template]:
    """Those of `REPLACEABLE` that stand in ``directory``, compiled.

    Other ``*.html`` there may be included or extended. Every file is read now, none later. Raises
    PageTemplateRefused, also for a directory that cannot be read.
    """
    sources = _read_sources(Path(directory))

    def source(name: str) -> tuple[str, str, Callable[[], bool]] | None:
        return (*sources[name], lambda: True) if name in sources else None

    loader = ChoiceLoader([FunctionLoader(source), PackageLoader("gateway.server", "templates")])
    environment = _environment(ImmutableSandboxedEnvironment, loader)
    templates = {}
    for name in sorted(sources):
        try:
            template = environment.get_template(name)
        except TemplateSyntaxError as error:
            raise PageTemplateRefused(
                error.filename or name, error.lineno, error.message or "syntax error"
            ) from error
        if name in REPLACEABLE:
            templates[name] = template
    return MappingProxyType(templates)


def template_refused(template: Template, error: BaseException) -> PageTemplateRefused:
    """What rendering ``template`` raised, as a refusal that names the deepest template line involved."""
    path, line = template.filename or template.name or "", 0
    traceback: TracebackType | None = error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename.endswith(".html"):
            path, line = traceback.tb_frame.f_code.co_filename, traceback.tb_lineno
        traceback = traceback.tb_next
    if isinstance(error, TemplateSyntaxError):
        path, line = error.filename or path, error.lineno
    if isinstance(error, TemplateNotFound):
        return PageTemplateRefused(path, line, f"there is no template {error.name!r}")
    # On one line: the text of an error may quote a value from outside, and ends in the log.
    return PageTemplateRefused(path, line, " ".join(str(error).split()) or type(error).__name__)


class FormReader(HTMLParser):
    """The forms of a rendered page, and their hidden fields: what a challenge template must carry over."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.forms: list[tuple[str, str]] = []  # method, action
        self.fields: list[tuple[str, str]] = []
        self.submits = 0
        self._within = False
        self.feed(html)
        self.close()

    @override
    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        if tag == "form":
            self.forms.append((values.get("method", "get").lower(), values.get("action", "")))
            self._within = True
        elif tag == "input" and self._within and "name" in values:
            self.fields.append((values["name"], values.get("value", "")))
        elif tag == "button" and self._within and values.get("type", "submit") == "submit":
            self.submits += 1

    @override
    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._within = False


def _environment(kind: type[Environment], loader: BaseLoader) -> Environment:
    return kind(
        loader=loader,
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
        cache_size=-1,
    )


def _read_sources(directory: Path) -> dict[str, tuple[str, str]]:
    """Name → text and path, of every ``*.html`` in the directory itself."""
    try:
        files = [directory / name for name in names_in(str(directory)) if name.endswith(".html")]
    except OSError as error:
        raise PageTemplateRefused(str(directory), 0, error.strerror or "cannot be read") from error
    if not any(path.name in REPLACEABLE for path in files):
        raise PageTemplateRefused(str(directory), 0, f"holds none of {', '.join(REPLACEABLE)}")
    return {path.name: (_read_source(path), str(path)) for path in files}


def _read_source(path: Path) -> str:
    try:
        raw = read_file(str(path), MAX_TEMPLATE_BYTES)
    except OSError as error:
        raise PageTemplateRefused(str(path), 0, error.strerror or "cannot be read") from error
    if len(raw) > MAX_TEMPLATE_BYTES:
        raise PageTemplateRefused(str(path), 0, f"is larger than {MAX_TEMPLATE_BYTES} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise PageTemplateRefused(str(path), line, "is not UTF-8") from error
