"""The words of the pages: one TOML file per language in ``texts/``, named by its language tag.

A new language is one more file there, with the keys of ``en.toml``. A file that lacks a word, or has one
that nothing shows, is refused when the words are loaded, so no page is ever half translated.
"""

import tomllib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib import resources
from types import MappingProxyType
from typing import Any

from gateway.model.pages import Page, PageKind
from gateway.model.reasons import (
    DEFAULT_RULE,
    NO_HARDWARE_KEY,
    POLICY_ERROR,
    SYSTEM_LOG_FULL,
    MessageReason,
    TicketReason,
    TrustReason,
)

DEFAULT_LANGUAGE = "en"

RULE = "RULE"
"""The key of the words for every ``RULE <name>``: the name is the administrator's, and is shown apart."""

REASONS: tuple[str, ...] = (
    *TrustReason,
    *MessageReason,
    *TicketReason,
    RULE,
    DEFAULT_RULE,
    POLICY_ERROR,
    NO_HARDWARE_KEY,
    SYSTEM_LOG_FULL,
)
STATUSES: tuple[int, ...] = (400, 404, 408, 413, 414, 421, 431, 500, 502, 503, 504)

INTERFACE: tuple[str, ...] = (
    "locked_app",  # with {app}
    "locked",
    "refused_app",  # with {app}
    "refused",
    "what_you_can_do",
    "contact",
    "learn_more",
    "for_administrator",
    "reason",
    "status",
    "app",
    "reference",
    "challenge_title",
    "challenge_app",  # with {app}
    "challenge",
    "challenge_slow",
    "challenge_no_script",
    "challenge_button",
)
"""The words around the messages."""


class PageTextsRefused(Exception):
    """A language file is not complete, or not what it should be. Names the file and the key."""


@dataclass(frozen=True, slots=True)
class Message:
    """What a page says: title, what happened, what to do. ``key`` is the reason, kind or status it is for."""

    key: str
    title: str
    what: str
    advice: str


@dataclass(frozen=True, slots=True)
class Language:
    tag: str
    interface: Mapping[str, str]
    reasons: Mapping[str, Message]
    kinds: Mapping[str, Message]
    statuses: Mapping[str, Message]

    def message(self, page: Page) -> Message:
        """The words for a page. A reason without its own (a plug-in's) gets those of the page's kind."""
        if page.kind is PageKind.FACTOR_REQUIRED:
            return self.kinds[
                page.kind
            ]  # the reason is the rule that asks, but what the person needs is a factor
        reason = RULE if page.reason.startswith(f"{RULE} ") else page.reason
        if reason in self.reasons:
            return self.reasons[reason]
        if page.kind is PageKind.ERROR:
            nearest = "400" if page.status < 500 else "500"
            return self.statuses.get(str(page.status), self.statuses[nearest])
        return self.kinds[page.kind]


def load_languages() -> Mapping[str, Language]:
    """Every language, by its tag in lower case. Raises PageTextsRefused."""
    languages = {}
    for file in sorted(
        resources.files("gateway.server").joinpath("texts").iterdir(), key=lambda item: item.name
    ):
        tag, _, extension = file.name.rpartition(".")
        if extension == "toml":
            languages[tag] = parse_language(tag, file.read_text(encoding="utf-8"))
    return MappingProxyType(languages)


def parse_language(tag: str, toml: str) -> Language:
    """One language file. Raises PageTextsRefused for a missing, an unknown or an empty entry."""
    try:
        document = tomllib.loads(toml)
    except tomllib.TOMLDecodeError as error:
        raise PageTextsRefused(f"{tag}.toml: {error}") from error
    _require_keys(tag, document, ("interface", "reasons", "kinds", "statuses"), "")
    kinds = [kind.value for kind in PageKind if kind is not PageKind.ERROR]
    return Language(
        tag=tag,
        interface=_words(tag, document["interface"], INTERFACE, "interface"),
        reasons=_messages(tag, document["reasons"], REASONS, "reasons"),
        kinds=_messages(tag, document["kinds"], kinds, "kinds"),
        statuses=_messages(tag, document["statuses"], [str(status) for status in STATUSES], "statuses"),
    )


def _messages(tag: str, table: Any, keys: Collection[str], where: str) -> Mapping[str, Message]:
    _require_keys(tag, table, keys, where)
    return MappingProxyType(
        {
            key: Message(key=key, **_words(tag, table[key], ("title", "what", "advice"), f"{where}.{key}"))
            for key in keys
        }
    )


def _words(tag: str, table: Any, keys: Collection[str], where: str) -> Mapping[str, str]:
    _require_keys(tag, table, keys, where)
    for key in keys:
        if not isinstance(table[key], str) or not table[key].strip():
            raise PageTextsRefused(f"{tag}.toml: {where}.{key} is not a sentence")
    return MappingProxyType({key: table[key] for key in keys})


def _require_keys(tag: str, table: Any, keys: Collection[str], where: str) -> None:
    if not isinstance(table, dict):
        raise PageTextsRefused(f"{tag}.toml: {where or 'the file'} is not a table")
    odd = sorted(set(keys) ^ set(table))
    if odd:
        state = "is missing" if odd[0] in keys else "is not known"
        raise PageTextsRefused(f"{tag}.toml: {'.'.join(filter(None, (where, odd[0])))} {state}")
