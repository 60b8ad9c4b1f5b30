"""Rules that no sign-on reaches, and rules that are not what their name says."""

import re
from collections.abc import Iterator
from typing import Final

from gateway.model.decision import Client, Platform
from gateway.model.quoting import printable
from gateway.policy.conditions.clients import Clients
from gateway.policy.conditions.people import People
from gateway.policy.conditions.platforms import Platforms
from gateway.policy.lint.finding import Finding, LintContext, Severity
from gateway.policy.rules import Status

_DESKTOP: Final = frozenset({Platform.WINDOWS, Platform.MACOS, Platform.LINUX, Platform.OTHER_DESKTOP})
_MOBILE: Final = frozenset(Platform) - _DESKTOP
# What people call the things that a rule selects, longest first where one begins another.
_WORDS: Final[tuple[tuple[str, frozenset[str]], ...]] = (
    (r"windows (?:phones?|mobile)|blackberr(?:y|ies)|other mobiles?", frozenset({Platform.OTHER_MOBILE})),
    (r"windows", frozenset({Platform.WINDOWS})),
    (r"mac ?os(?: x)?|os ?x|macs?(?:books?)?", frozenset({Platform.MACOS})),
    (r"linux", frozenset({Platform.LINUX})),
    (r"chrome ?os|chromebooks?|other desktops?", frozenset({Platform.OTHER_DESKTOP})),
    (r"ios|ipados|iphones?|ipads?", frozenset({Platform.IOS})),
    (r"androids?", frozenset({Platform.ANDROID})),
    (r"mobiles?|phones?", _MOBILE),
    (r"desktops?", _DESKTOP),
    (r"(?:web )?browsers?", frozenset({Client.WEB_BROWSER})),
    (r"modern auth(?:entication)?", frozenset({Client.MODERN_AUTH})),
    (
        r"(?:exchange )?active ?sync|eas|legacy(?: auth(?:entication)?)?",
        frozenset({Client.EXCHANGE_ACTIVESYNC_OR_LEGACY_AUTH}),
    ),
)
_EXCEPTION = re.compile(
    r"\b(?:except(?:ing)?(?: for)?|excluding|other than|apart from|but not|without)\b|\bnon(?=[- ])",
    re.IGNORECASE,
)
_BETWEEN = re.compile(
    r"(?:[\s,/&+-]|\b(?:and|or|nor|the|all|any|clients?|devices?|computers?)\b)*", re.IGNORECASE
)
_WORD_PATTERNS: Final = tuple(
    (re.compile(rf"(?:{words})\b", re.IGNORECASE), meant) for words, meant in _WORDS
)


def unreachable_rule(context: LintContext) -> Iterator[Finding]:
    """Every request that the rule selects is decided above it, by one rule or by several together.

    Source: first match wins; Okta's Device Trust guide says of its default rule that it is "never
    reached because it is effectively negated" by a catch-all above it.
    """
    rules = context.policy.rules
    for index, rule in enumerate(rules):
        if rule.status is Status.INACTIVE:
            continue
        selected = [cell for cell in context.space.cells if index in cell.selected_by]
        if any(index in cell.reached for cell in selected):
            continue
        takers = {decider.name: None for cell in selected for decider in cell.deciders if decider is not None}
        if takers:
            names = ", ".join(printable(name) for name in list(takers)[:5])
            yield Finding(
                Severity.WARNING,
                "unreachable-rule",
                rule.name,
                f"no sign-on reaches this rule: all that it selects is decided above it, by {names}",
                "move it up, narrow the rules above it, or delete it",
            )
        else:
            yield Finding(
                Severity.WARNING,
                "selects-nobody",
                rule.name,
                "no request meets all of this rule's conditions",
                "look for a user or group that is both included and excluded, or a zone without networks",
            )


def not_all_decided(context: LintContext) -> Iterator[Finding]:
    """Some rules could not be decided, so other findings about reachability may be missing.

    Source: the bounds of `gateway.policy.lint.space`, and its treatment of plug-ins.
    """
    if not context.space.complete:
        yield Finding(
            Severity.INFO,
            "not-all-decided",
            None,
            "not every rule could be looked through: a plug-in's condition, a zone that does not exist, or"
            " more users, groups and zones than can be combined",
            "read findings about such rules with care: they are taken to match now and then, and to hide"
            " no other rule",
        )


def title_contradicts_selection(context: LintContext) -> Iterator[Finding]:
    """A rule named "… except X" that selects X.

    Source: Okta's Device Trust guide. Its Example Rule 3, "All platforms except Windows; Any Trust",
    selects Windows, so an untrusted Windows computer that Rule 2 refuses is let in by Rule 3.
    """
    for rule in context.policy.rules:
        platforms, clients = rule.condition(Platforms), rule.condition(Clients)
        selected: frozenset[str] = frozenset(Platform) if platforms is None else platforms.selected
        if context.policy.client_conditions:
            selected |= frozenset(Client) if clients is None else clients.selected
        wrong = sorted(excepted_by_name(rule.name) & selected)
        with_others = platforms is not None and Platform.OTHER_DESKTOP in selected
        if wrong:
            yield Finding(
                Severity.ERROR,
                "title-contradicts-selection",
                rule.name,
                f"the name says that {', '.join(wrong)} is excepted, but the rule selects it"
                + (", as other_desktop includes linux" if wrong == ["linux"] and with_others else ""),
                "take it out of the rule's platforms or clients, or rename the rule",
            )


def excepted_by_name(name: str) -> frozenset[str]:
    """The platforms and clients that a rule's name says it leaves out. English words only."""
    excepted: set[str] = set()
    for exception in _EXCEPTION.finditer(name):
        position = _skip(name, exception.end())
        while True:
            found = next(
                (
                    (match, meant)
                    for pattern, meant in _WORD_PATTERNS
                    if (match := pattern.match(name, position))
                ),
                None,
            )
            if found is None:
                break
            match, meant = found
            excepted |= meant
            position = _skip(name, match.end())
    return frozenset(excepted)


def _skip(name: str, position: int) -> int:
    between = _BETWEEN.match(name, position)
    return position if between is None else between.end()


def users_beside_everyone(context: LintContext) -> Iterator[Finding]:
    """Listed users or groups that change nothing, because Everyone is included too.

    Source: people are included when they are a listed user *or* in a listed group (Okta Device Trust's
    "individuals and groups").
    """
    for rule in context.policy.rules:
        people = rule.condition(People)
        if people is not None and people.everyone and people.included_users | people.included_groups:
            yield Finding(
                Severity.WARNING,
                "users-beside-everyone",
                rule.name,
                "the rule includes Everyone, so the other users and groups that it includes change nothing",
                "take Everyone out of groups.include, or the others",
            )
