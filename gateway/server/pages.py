"""The pages that the gateway answers with itself: locked, error, and the form on the way to the challenge.

Everything shown may come from outside (a rule's name, an app's label, the fields of a message), so every
value is escaped by the template engine, every header value is reduced to printable ASCII, and the
Content-Security-Policy lets nothing run or load but what carries this answer's nonce.
"""

import json
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from http.client import responses
from typing import Any, assert_never
from urllib.parse import urlsplit

from jinja2 import Template
from markupsafe import Markup, escape

from gateway.model.form_fields import exact_fields
from gateway.model.http import Headers
from gateway.model.pages import ChallengeForm, Page, PageKind
from gateway.server.page_negotiation import PROBLEM_JSON, preferred_language, preferred_media_type
from gateway.server.page_templates import (
    CHALLENGE,
    ERROR,
    LOCKED,
    TEMPLATE_FAULTS,
    FormReader,
    own_templates,
    replaced_templates,
    template_refused,
)
from gateway.server.page_templates import PageTemplateRefused as PageTemplateRefused
from gateway.server.page_texts import DEFAULT_LANGUAGE, REASONS, STATUSES, Language, Message, load_languages

MAX_REASON_HEADER_BYTES = 200
"""Of ``X-Device-Trust-Reason``. A rule's name has no limit; a header section has (8 KiB in many clients)."""

_logger = logging.getLogger(__name__)

_NONCE = re.compile(r"[A-Za-z0-9+/_-]{16,128}={0,2}")
_FORM_ACTION_SOURCE = re.compile(r"'self'|https?://(?:\*\.)?[A-Za-z0-9.\-\[\]:]+(?:/[A-Za-z0-9._~/%-]*)?")

_MARK = "\ue000"  # a private character: no text has it, and no escaping changes it

_HTML_TYPE = b"text/html; charset=utf-8"
_COMMON_HEADERS: Headers = (
    (b"Cache-Control", b"no-store"),
    (b"Referrer-Policy", b"no-referrer"),
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Vary", b"Accept, Accept-Language"),
)


@dataclass(frozen=True, slots=True)
class RenderedPage:
    """A complete answer but for Content-Length, which the connection adds."""

    status: int
    headers: Headers
    body: bytes


class PageRenderer:
    """Renders every page; made once per configuration, safe to share, never waits for anything.

    ``templates_directory`` holds replacements for ``locked.html``, ``error.html`` and ``challenge.html``, any
    of them; our own ones say at their top which variables there are. Raises PageTemplateRefused. Not checked:
    that a replacement tells the person what it should (only that the challenge form posts its fields).
    """

    def __init__(self, templates_directory: str | None = None, *, org_name: str) -> None:
        self._org_name = org_name
        self._languages = load_languages()
        self._tags = tuple(self._languages)
        self._own = own_templates()
        self._replaced: Mapping[str, Template] = {}
        if templates_directory is not None:
            self._replaced = replaced_templates(templates_directory)
            self._try_replacements()
        # Our own templates need no image; a replacement may want a logo, and can bring it as a data: URL.
        self._image_sources = "img-src data:; " if self._replaced else ""
        self._challenge_pieces: dict[tuple[str, str], tuple[bytes, ...]] = {}

    def render(
        self, page: Page, accept: bytes | None, accept_language: bytes | None, nonce: str
    ) -> RenderedPage:
        """The answer for ``page``: HTML, or problem JSON (RFC 9457) for a client that prefers JSON.

        ``nonce`` is base64 of at least 12 random bytes, new for each answer; ValueError for anything else.
        """
        language = self._language(accept_language)
        message = language.message(page)
        if preferred_media_type(accept) == PROBLEM_JSON:
            content_type, body = PROBLEM_JSON.encode("ascii"), _problem_json(page, message)
        else:
            values = _page_values(page, message, language, self._org_name, nonce)
            content_type, body = _HTML_TYPE, self._html(_template_of(page.kind), values)
        policy = self._content_security_policy(nonce, script=False, form_action="'none'")
        headers = _headers(content_type, language.tag, policy, page.reason)
        return RenderedPage(page.status, headers, body)

    def render_challenge_form(
        self, form: ChallengeForm, accept_language: bytes | None, nonce: str
    ) -> RenderedPage:
        """The page that posts ``form`` on to the mTLS host, by script or by a press of its button; 200.

        Fields that a browser would change are wrapped by `gateway.model.form_fields.exact_fields`; whoever
        reads them calls `original_fields`. ``form_action_sources`` must name the hosts of the whole way,
        redirects too (Chromium checks them). ValueError for an action, a source or a nonce that is not one:
        the gateway makes all three.
        """
        if urlsplit(form.action).scheme not in ("https", "http"):
            raise ValueError(f"not an http(s) form action: {form.action!r}")
        language = self._language(accept_language)
        body = self._challenge_html(form, language, nonce)
        policy = self._content_security_policy(
            nonce, script=True, form_action=_form_action(form.form_action_sources)
        )
        return RenderedPage(200, _headers(_HTML_TYPE, language.tag, policy, ""), body)

    def _language(self, accept_language: bytes | None) -> Language:
        return self._languages[preferred_language(accept_language, self._tags, DEFAULT_LANGUAGE)]

    def _challenge_html(self, form: ChallengeForm, language: Language, nonce: str) -> bytes:
        """Nearly every sign-on sees this page. Between two of one app only three values differ, so our own is
        rendered once and then filled in; an administrator's may do anything with them."""
        if CHALLENGE in self._replaced or _MARK in form.app_label or _MARK in self._org_name:
            return self._html(CHALLENGE, _challenge_values(form, language, self._org_name, nonce))
        key = language.tag, form.app_label
        pieces = self._challenge_pieces.get(key)
        if pieces is None:  # as many as labels in the configuration that this renderer was made for
            pieces = self._challenge_pieces[key] = self._cut_challenge(form.app_label, language)
        values = {
            b"nonce": nonce.encode("utf-8", "replace"),
            b"action": str(escape(form.action)).encode("utf-8", "replace"),
            b"fields": _hidden_fields(form.fields).encode("utf-8", "replace"),
        }
        filled = list(pieces)
        for index in range(1, len(pieces), 2):
            filled[index] = values[pieces[index]]
        return b"".join(filled)

    def _cut_challenge(self, app_label: str, language: Language) -> tuple[bytes, ...]:
        """The page's text, with the name of a value in each odd place."""
        form = ChallengeForm(f"{_MARK}action{_MARK}", (), app_label, ())
        values = _challenge_values(form, language, self._org_name, f"{_MARK}nonce{_MARK}")
        values["hidden_fields"] = Markup(f"{_MARK}fields{_MARK}")  # noqa: S704 - ours
        return tuple(_rendered(self._own[CHALLENGE], values).split(_MARK.encode()))

    def _html(self, name: str, values: Mapping[str, object]) -> bytes:
        replacement = self._replaced.get(name)
        if replacement is not None:
            try:
                return _rendered(replacement, values)
            except TEMPLATE_FAULTS as error:
                fault = template_refused(replacement, error)
            # It passed the samples and fails on these values: the person still gets a page.
            _logger.error("page template: %s; our own is shown", fault)
        return _rendered(self._own[name], values)

    def _content_security_policy(self, nonce: str, *, script: bool, form_action: str) -> bytes:
        if _NONCE.fullmatch(nonce) is None:
            raise ValueError("a nonce is base64 of at least 12 bytes")
        script_sources = f"script-src 'nonce-{nonce}'; " if script else ""
        return (
            f"default-src 'none'; {script_sources}style-src 'nonce-{nonce}'; {self._image_sources}"
            f"base-uri 'none'; frame-ancestors 'none'; form-action {form_action}"
        ).encode("ascii")

    def _try_replacements(self) -> None:
        for name, template in self._replaced.items():
            for language in self._languages.values():
                for values, form in _samples(name, language, self._org_name):
                    try:
                        html = _rendered(template, values).decode("utf-8")
                    except TEMPLATE_FAULTS as error:
                        raise template_refused(template, error) from error
                    if form is not None:
                        _require_working_form(template.filename or name, html, form)


@lru_cache(maxsize=1024)
def reason_header_value(reason: str) -> bytes:
    """A reason as a field value (RFC 9110 §5.5): printable ASCII, all else and ``%`` as %XX of UTF-8.

    Cut between characters to `MAX_REASON_HEADER_BYTES`, and without spaces at its ends, which a field value
    cannot have.
    """
    value = ""
    for character in reason.strip(" "):
        if " " <= character <= "~" and character != "%":
            encoded = character
        else:
            encoded = "".join(f"%{octet:02X}" for octet in character.encode("utf-8", "replace"))
        if len(value) + len(encoded) > MAX_REASON_HEADER_BYTES:
            break
        value += encoded
    return value.rstrip(" ").encode("ascii")


def _headers(content_type: bytes, language: str, policy: bytes, reason: str) -> Headers:
    reason_field = ((b"X-Device-Trust-Reason", reason_header_value(reason)),) if reason else ()
    return (
        (b"Content-Type", content_type),
        (b"Content-Language", language.encode("ascii")),
        (b"Content-Security-Policy", policy),
        *reason_field,
        *_COMMON_HEADERS,
    )


def _template_of(kind: PageKind) -> str:
    match kind:
        case PageKind.LOCKED | PageKind.FACTOR_REQUIRED:
            return LOCKED
        case PageKind.MESSAGE_REFUSED | PageKind.TICKET_REFUSED | PageKind.ERROR:
            return ERROR
    assert_never(kind)


def _page_values(
    page: Page, message: Message, language: Language, org_name: str, nonce: str
) -> dict[str, object]:
    return {
        "language": language.tag,
        "org_name": org_name,
        "nonce": nonce,
        "text": language.interface,
        "kind": page.kind.value,
        "status": page.status,
        "title": message.title,
        "lead": _lead(page, language),
        "what": message.what,
        "advice": message.advice,
        "app_label": page.app_label,
        "reason": page.reason,
        "reference_id": page.reference_id,
        "learn_more_url": _web_url(page.learn_more_url),
    }


def _lead(page: Page, language: Language) -> str:
    match page.kind:
        case PageKind.LOCKED | PageKind.FACTOR_REQUIRED:
            return _with_app(language, "locked", page.app_label)
        case PageKind.MESSAGE_REFUSED | PageKind.TICKET_REFUSED:
            return _with_app(language, "refused", page.app_label)
        case PageKind.ERROR:
            return ""
    assert_never(page.kind)


def _challenge_values(
    form: ChallengeForm, language: Language, org_name: str, nonce: str
) -> dict[str, object]:
    return {
        "language": language.tag,
        "org_name": org_name,
        "nonce": nonce,
        "text": language.interface,
        "app_label": form.app_label,
        "lead": _with_app(language, "challenge", form.app_label),
        "action": form.action,
        "hidden_fields": Markup(_hidden_fields(form.fields)),  # noqa: S704 - built of escaped parts below
    }


def _with_app(language: Language, key: str, app_label: str) -> str:
    if not app_label:
        return language.interface[key]
    return language.interface[f"{key}_app"].replace("{app}", app_label)


def _hidden_fields(fields: Iterable[tuple[str, str]]) -> str:
    return "\n".join(
        f'<input type="hidden" name="{_attribute(name)}" value="{_attribute(value)}">'
        for name, value in exact_fields(tuple(fields))
    )


def _attribute(text: str) -> str:
    escaped = str(escape(text))
    # A parser of HTML turns a CR that it reads into LF, but not one that it decodes.
    return escaped.replace("\r", "&#13;") if "\r" in escaped else escaped


def _problem_json(page: Page, message: Message) -> bytes:
    """RFC 9457 §3.1. A plain HTTP status has the type ``about:blank`` and its phrase as title (§4.2.1)."""
    plain = page.reason == "" and page.kind is PageKind.ERROR
    problem: dict[str, Any] = {
        "type": "about:blank" if plain else f"urn:device-trust:{message.key}",
        "title": _status_phrase(page.status) if plain else message.title,
        "status": page.status,
        "detail": f"{message.what} {message.advice}",
        "reason": page.reason,
        "app": page.app_label,
        "reference_id": page.reference_id,
        "learn_more_url": _web_url(page.learn_more_url),
    }
    kept = {name: value for name, value in problem.items() if value not in ("", None)}
    return json.dumps(kept, separators=(",", ":")).encode("ascii")


def _status_phrase(status: int) -> str:
    return responses.get(status, f"Status {status}")


def _web_url(url: str | None) -> str | None:
    """``url`` when it is http(s) with a host; anything else (``javascript:``) is not a link."""
    if url is None:
        return None
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    return url if parts.scheme in ("http", "https") and parts.netloc else None


def _form_action(sources: tuple[str, ...]) -> str:
    for source in sources:
        if _FORM_ACTION_SOURCE.fullmatch(source) is None:
            raise ValueError(f"not a source for form-action: {source!r}")
    return " ".join(sources) or "'none'"


def _rendered(template: Template, values: Mapping[str, object]) -> bytes:
    # Encoded piece by piece, so that a message of 1 MB is not widened to the page's widest character first.
    # A lone surrogate, which YAML can spell, becomes "?".
    return b"".join(piece.encode("utf-8", "replace") for piece in template.generate(values))


def _samples(
    name: str, language: Language, org_name: str
) -> Iterator[tuple[dict[str, object], ChallengeForm | None]]:
    """Values for every page that a template may have to show, and the form that a challenge must hold."""
    nonce = "c2FtcGxlLW5vbmNlLTE2"
    for label in ("", 'Team "wiki" <1> & more'):
        if name == CHALLENGE:
            for value in ("PHNhbWw+", "a\"b'c<d>&e"):
                fields = (("SAMLResponse", value), ("RelayState", ""), ("submit", value))
                form = ChallengeForm("https://n1.mtls.example.test/challenge?flow=a&b", fields, label, ())
                yield _challenge_values(form, language, org_name, nonce), form
            continue
        for page in _sample_pages(label):
            if _template_of(page.kind) == name:
                yield _page_values(page, language.message(page), language, org_name, nonce), None


def _sample_pages(label: str) -> Iterator[Page]:
    for url in (None, "https://help.example.test/"):
        for kind in PageKind:
            status = 403 if _template_of(kind) == LOCKED else 400
            for reason in ("", *REASONS):
                yield Page(kind, status, reason, "0123456789abcdef", label, url)
        for status in STATUSES:
            yield Page(PageKind.ERROR, status, "", "0123456789abcdef", label, url)


def _require_working_form(path: str, html: str, form: ChallengeForm) -> None:
    reader = FormReader(html)
    if reader.forms != [("post", form.action)]:
        raise PageTemplateRefused(path, 0, 'needs exactly one <form method="post" action="{{ action }}">')
    if tuple(reader.fields) != form.fields:
        raise PageTemplateRefused(
            path, 0, "the form needs {{ hidden_fields }} and no other <input> with a name"
        )
    if not reader.submits:
        raise PageTemplateRefused(
            path, 0, 'the form needs a <button type="submit">, for those without JavaScript'
        )
