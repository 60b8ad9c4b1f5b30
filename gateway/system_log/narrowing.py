"""What of a filter an index can answer. The rest is asked of each event that is left.

Only what must hold for the filter to hold narrows: comparisons by ``eq`` that stand by themselves or are
joined by ``and``, and alternatives of one field joined by ``or``. So narrowing leaves out no event that
matches.
"""

import json
from dataclasses import dataclass, replace
from typing import Final

from gateway.model.log_event import LogQuery, Outcome, Severity
from gateway.system_log.filter import And, Comparison, Filter, Operator, Or

_EVENT_TYPE: Final = ("eventType",)
_SEVERITY: Final = ("severity",)
_RESULT: Final = ("outcome", "result")
_ACTOR: Final = ("actor", "id")
_SEARCHING: Final = frozenset((Operator.EQ, Operator.CO, Operator.SW, Operator.EW))
_TARGET: Final = ("target", "id")


@dataclass(frozen=True, slots=True)
class Narrowed:
    """``whole``: the query says all that the filter says, so that no event has to be looked at."""

    query: LogQuery
    whole: bool


def narrowed(query: LogQuery, question: Filter | None) -> Narrowed:
    if question is None:
        return Narrowed(query, True)
    parts = question.parts if isinstance(question, And) else (question,)
    whole = True
    for part in parts:
        narrower = _narrower(query, part)
        if narrower is None:
            whole = False
        else:
            query = narrower
    return Narrowed(query, whole)


def _narrower(query: LogQuery, part: Filter) -> LogQuery | None:
    """None where no index says this, or one is taken by another comparison already."""
    wanted = _alternatives(part)
    if wanted is None:
        return None
    path, values = wanted
    if path == _EVENT_TYPE and not query.event_types:
        return replace(query, event_types=frozenset(values))
    if path == _SEVERITY and not query.severities and values <= set(Severity):
        return replace(query, severities=frozenset(map(Severity, values)))
    if path == _RESULT and not query.outcomes and values <= set(Outcome):
        return replace(query, outcomes=frozenset(map(Outcome, values)))
    if path == _ACTOR and query.actor_id is None and len(values) == 1:
        return replace(query, actor_id=next(iter(values)))
    if path == _TARGET and query.target_id is None and len(values) == 1:
        return replace(query, target_id=next(iter(values)))
    return None


def _alternatives(part: Filter) -> tuple[tuple[str, ...], set[str]] | None:
    """(field, the texts of which it has to be one), where that is all that a part says."""
    alternatives = part.parts if isinstance(part, Or) else (part,)
    paths: set[tuple[str, ...]] = set()
    values: set[str] = set()
    for alternative in alternatives:
        if not isinstance(alternative, Comparison) or alternative.operator is not Operator.EQ:
            return None
        if not isinstance(alternative.value, str):
            return None
        paths.add(alternative.path)
        values.add(alternative.value)
    return (paths.pop(), values) if len(paths) == 1 else None


def needed_texts(question: Filter) -> tuple[str, ...]:
    """Texts that stand in the canonical JSON of every event that matches. To look for them costs a twentieth
    of reading the JSON."""
    parts = question.parts if isinstance(question, And) else (question,)
    return tuple(
        # As `chain.canonical` writes it, without its quotes.
        json.dumps(part.value)[1:-1]
        for part in parts
        if isinstance(part, Comparison) and part.operator in _SEARCHING and isinstance(part.value, str)
    )
