"""``devicetrust log``: read, export and verify the System Log.

Exit codes of ``verify``: 0 every row is the one that was written, 1 findings, 2 unusable (no store, no such
file).
"""

import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final

import click

from gateway.adapters.store import Store
from gateway.adapters.store.address import store_address
from gateway.config.load import load_settings
from gateway.model.log_event import LogQuery, LogRow
from gateway.model.store_errors import StoreError
from gateway.services.log_pages import row_matches
from gateway.services.log_retention import beginning
from gateway.system_log.errors import QueryRefused
from gateway.system_log.filter import parse_filter
from gateway.system_log.keywords import parse_keywords
from gateway.system_log.narrowing import narrowed
from gateway.system_log.query import Polling, Question, parse_time
from gateway.system_log.syslog_format import syslog_line
from gateway.system_log.text_line import text_line
from gateway.system_log.verification import Finding, Head, Verification, parse_head

FINDINGS: Final = 1
# One snapshot of the store each: none lasts so long that others notice.
_STEP_ROWS: Final = 2_000
_SHOWN_FINDINGS: Final = 100
_FOLLOW_SECONDS: Final = 1.0
_PROGRESS_SECONDS: Final = 1.0
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class Unusable(click.ClickException):
    """What the command needs cannot be had; the message names it."""

    exit_code = 2


@click.group()
def log() -> None:
    """Read, export and verify the System Log.

    \b
    Examples:
      devicetrust log tail -f
      devicetrust log export --since 2026-01-01 --format syslog -o january.log
      devicetrust log verify --expect 41233:9f86d081…
    """


_config = click.option(
    "-c", "--config", "config_path", default="gateway.yaml", show_default=True, metavar="FILE",
    help="Configuration file; its store is read.",
)  # fmt: skip
_store = click.option("--store", "store_url", metavar="URL", help="Read this store instead.")
_since = click.option("--since", metavar="TIME", help="Events published at this time (ISO 8601) or later.")
_until = click.option("--until", metavar="TIME", help="Events published before this time.")
_filter = click.option("--filter", "filter_text", metavar="FILTER", help="As the API takes it.")
_words = click.option("-q", "words", metavar="WORDS", help="Words all of which have to occur.")


def _format(default: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    return click.option(
        "--format",
        "form",
        type=click.Choice(("text", "json", "syslog")),
        default=default,
        show_default=True,
        help="One event in each line. text: for people. json: as the API gives it. syslog: RFC 5424.",
    )


@log.command(
    epilog="""\b
Examples:
  devicetrust log tail
  devicetrust log tail -f --filter 'outcome.result eq "DENY"'
  devicetrust log tail -n 100 --format json | jq .eventType
"""
)
@_config
@_store
@_since
@_until
@_filter
@_words
@_format("text")
@click.option("-n", "--lines", type=click.IntRange(0, 100_000), default=10, show_default=True)
@click.option("-f", "--follow", is_flag=True, help="Go on with events as they are written, until Ctrl-C.")
def tail(
    config_path: str,
    store_url: str | None,
    since: str | None,
    until: str | None,
    filter_text: str | None,
    words: str | None,
    form: str,
    lines: int,
    follow: bool,
) -> None:
    """Print the newest events."""
    wanted = _Wanted(since, until, filter_text, words)
    with _opened(config_path, store_url) as (store, host):
        write = _writer(form, host)
        newest: list[LogRow] = []
        with store.read() as view:
            head = view.log.head()[0]
        for row in _down(store, head + 1) if lines else ():
            if wanted.has(row):
                newest.append(row)
            if len(newest) == lines or wanted.is_before(row):
                break
        for row in reversed(newest):
            write(row)
        while follow:
            sys.stdout.flush()
            for row in _up(store, head, wanted.narrow):
                head = row.number
                if wanted.has(row):
                    write(row)
            time.sleep(_FOLLOW_SECONDS)


@log.command(
    short_help="Write all events, oldest first.",
    epilog="""\b
Examples:
  devicetrust log export > system-log.jsonl
  devicetrust log export --since 2026-01-01 --until 2026-02-01 --format syslog -o january.log
""",
)
@_config
@_store
@_since
@_until
@_filter
@_words
@_format("json")
@click.option("-o", "--output", type=click.File("w", encoding="utf-8", lazy=True), default="-")
def export(
    config_path: str,
    store_url: str | None,
    since: str | None,
    until: str | None,
    filter_text: str | None,
    words: str | None,
    form: str,
    output: Any,
) -> None:
    """Write all events, in the order in which they were written. The last line on stderr is the head: a row's
    number and hash, which a later `log verify --expect` is compared with."""
    wanted = _Wanted(since, until, filter_text, words)
    with _opened(config_path, store_url) as (store, host):
        write = _writer(form, host, output)
        progress = _Progress("exported")
        with store.read() as view:
            head = Head(*view.log.head())
        for row in _up(store, 0, wanted.narrow, head.number):
            if wanted.has(row):
                write(row)
                progress.step()
        progress.end()
    click.echo(f"exported {progress.count} events; head {head}", err=True)


@log.command(
    short_help="Look for rows that were changed.",
    epilog="""\b
Examples:
  devicetrust log verify
  devicetrust log verify --expect 41233:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
""",
)
@_config
@_store
@click.option(
    "--expect",
    "expected",
    multiple=True,
    metavar="NUMBER:HASH",
    help="A head that was printed before and kept elsewhere: that row must be there, and be the same.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as JSON.")
def verify(config_path: str, store_url: str | None, expected: tuple[str, ...], as_json: bool) -> int:
    """Look for rows that were changed, left out, moved or added, and print the head.

    Who can write to the store can make the whole chain anew. Keep the printed head where they cannot write,
    and give it with --expect.
    """
    try:
        heads = [parse_head(text) for text in expected]
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--expect") from None
    with _opened(config_path, store_url) as (store, _):
        verification, found = _verified(store, heads)
    shown = found[:_SHOWN_FINDINGS]
    if as_json:
        result = {
            "rows": verification.rows,
            "head": str(verification.head),
            "findings": [
                {"row": each.number, "problem": each.problem.value, "detail": each.detail} for each in shown
            ],
            "more": len(found) - len(shown),
        }
        click.echo(json.dumps(result, indent=2))
    else:
        for finding in shown:
            click.echo(str(finding))
        if len(found) > len(shown):
            click.echo(f"and {len(found) - len(shown)} more")
        click.echo(f"{verification.rows} rows, {len(found) or 'no'} findings; head {verification.head}")
    return FINDINGS if found else 0


def _verified(store: Store, expected: list[Head]) -> tuple[Verification, list[Finding]]:
    progress = _Progress("verified")
    with store.read() as view:  # the first rows and what they hold on to are of one moment
        verification = Verification(beginning(view.log), expected)
        head = Head(*view.log.head())
        first = list(view.log.rows(LogQuery(by_number=True, limit=_STEP_ROWS)))
    found = [*verification.read(first), *_found_beside(store, verification, first)]
    rows: list[LogRow] = []
    for row in _up(store, verification.head.number, None, head.number):
        found += verification.read((row,))
        progress.step()
        rows.append(row)
        if len(rows) == _STEP_ROWS:
            found += _found_beside(store, verification, rows)
            rows.clear()
    found += _found_beside(store, verification, rows)
    found += verification.end(head)
    progress.end()
    return verification, found


def _found_beside(store: Store, verification: Verification, rows: Sequence[LogRow]) -> list[Finding]:
    if not rows:
        return []
    with store.read() as view:
        searched_by = view.log.searched_by(rows[0].number, rows[-1].number)
        oldest = view.log.first_number() or 0
    # What was removed for its age meanwhile is searched by nothing any more.
    return list(verification.beside((row for row in rows if row.number >= oldest), searched_by))


class _Wanted:
    """What a command's options ask for. Raises Unusable for what cannot be asked."""

    def __init__(
        self, since: str | None, until: str | None, filter_text: str | None, words: str | None
    ) -> None:
        try:
            self._since = parse_time("--since", since or "")
            self._until = parse_time("--until", until or "")
            question = parse_filter(filter_text) if filter_text else None
            keywords = parse_keywords(words or "")
        except QueryRefused as refused:
            raise Unusable(refused.summary) from None
        self._question = Question(Polling(_EPOCH, None), 0, question, keywords)
        narrow = narrowed(LogQuery(since=self._since, until=self._until, by_number=True), question)
        self.narrow = narrow.query
        # Of rows that were not asked for by the narrow query, each is looked at.
        self._looks = question is not None or keywords is not None

    def has(self, row: LogRow) -> bool:
        if self._since is not None and row.published < self._since:
            return False
        if self._until is not None and row.published >= self._until:
            return False
        return not self._looks or row_matches(self._question, row)

    def is_before(self, row: LogRow) -> bool:
        """Whether no row before this one is wanted, as far as they were published in their order."""
        return self._since is not None and row.published < self._since


class _Progress:
    """A line on a terminal that says how far it is."""

    def __init__(self, done: str) -> None:
        self.count = 0
        self._done = done
        self._shows = sys.stderr.isatty()
        self._shown_at = time.monotonic()

    def step(self) -> None:
        self.count += 1
        if self._shows and self.count % 1_000 == 0:
            now = time.monotonic()
            if now - self._shown_at > _PROGRESS_SECONDS:
                self._shown_at = now
                click.echo(f"\r{self._done} {self.count:,} rows …", err=True, nl=False)

    def end(self) -> None:
        if self._shows:
            click.echo("\r\x1b[K", err=True, nl=False)


@contextmanager
def _opened(config_path: str, store_url: str | None) -> Iterator[tuple[Store, str]]:
    """(the store, what syslog calls this host)."""
    host = "-"
    if store_url is None:
        settings = load_settings(config_path)
        store_url, host = settings.store_url, settings.org_host
        if store_url is None:
            raise Unusable(f"{config_path}: store is none, so there is no System Log")
    try:
        file = store_address(store_url).sqlite_file
        if file is not None and not file.exists():  # it would be made, empty and in good order
            raise Unusable(f"{file}: there is no store")
        store = Store.open(store_url)
    except StoreError as error:
        raise Unusable(str(error)) from None
    try:
        yield store, host
    except StoreError as error:
        raise Unusable(str(error)) from None
    finally:
        store.close()


def _writer(form: str, host: str, output: Any = None) -> Callable[[LogRow], None]:
    file = sys.stdout if output is None else output

    def write(row: LogRow) -> None:
        match form:
            case "json":
                text = row.event_json
            case "syslog":
                text = syslog_line(json.loads(row.event_json), host)
            case _:
                text = text_line(json.loads(row.event_json))
        file.write(text + "\n")

    return write


def _up(store: Store, after: int, narrow: LogQuery | None, last: int | None = None) -> Iterator[LogRow]:
    """The rows behind a number, in their order, in steps."""
    query = narrow or LogQuery(by_number=True)
    before = None if last is None else last + 1
    while True:
        step = replace(query, after_number=after, before_number=before, limit=_STEP_ROWS)
        with store.read() as view:
            rows = list(view.log.rows(step))
        yield from rows
        if len(rows) < _STEP_ROWS:
            return
        after = rows[-1].number


def _down(store: Store, before: int) -> Iterator[LogRow]:
    """The rows before a number, the newest first, in steps."""
    while True:
        with store.read() as view:
            rows = list(
                view.log.rows(
                    LogQuery(by_number=True, descending=True, before_number=before, limit=_STEP_ROWS)
                )
            )
        yield from rows
        if len(rows) < _STEP_ROWS:
            return
        before = rows[-1].number
