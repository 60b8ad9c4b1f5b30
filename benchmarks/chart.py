"""The one chart of the README: what the gateway takes, in units of each peer, as bars from 1 on a log scale.

It brings its own background, so that it reads the same on a white and on a dark page.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

from benchmarks.report import Skipped, Workload
from benchmarks.series import CPU


@dataclass(frozen=True, slots=True)
class Bar:
    """One peer of one row. ``ratio``: the gateway's in units of the peer's."""

    label: str
    peer: str
    ratio: float


# (workload, row, quantity) → label, in the order of the chart. A row that was not measured is left out.
_ROWS: Final = (
    ("mtls_handshake", "challenge, known device", CPU, "Handshake with device certificate"),
    ("mtls_crl", "10,000 entries", CPU, "… and a CRL of 10,000"),
    ("mtls_crl", "100,000 entries", CPU, "… of 100,000"),
    ("mtls_crl", "1,000,000 entries", CPU, "… of 1,000,000"),
    ("sign_on", "whole sign-on", CPU, "Whole SAML sign-on"),
    ("keep_alive_request", "GET, only Host", CPU, "Request, kept alive"),
    ("http2_request", "GET, 10 at once on each connection", CPU, "Request, HTTP/2"),
    ("bodies", "100 MB down", CPU, "100 MB down"),
    ("bodies", "100 MB up", CPU, "100 MB up"),
    ("enrollment", "a ticket accepted", CPU, "Kerberos ticket accepted"),
    ("idle_memory", "5,000 connections", "kib_each", "Memory of an idle connection"),
)

_WIDTH: Final = 800
_LEFT: Final = 250  # where the bars' area begins
_RIGHT: Final = 770
_TOP: Final = 78
_LINE: Final = 19
_GAP: Final = 8
_LABEL_WIDTH: Final = 105.0  # of "HAProxy 0.01×" beside a bar
_TICKS: Final = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
_CHEAPER, _DEARER, _TEXT, _MUTED, _GRID = "#1a7f37", "#bc4c00", "#1f2328", "#59636e", "#d8dee4"
_FONT: Final = "system-ui, -apple-system, 'Segoe UI', 'DejaVu Sans', sans-serif"


def bars_of(workloads: Iterable[Workload | Skipped]) -> list[Bar]:
    measured = {
        (workload.name, row.title): row
        for workload in workloads
        if isinstance(workload, Workload)
        for row in workload.rows
    }
    return [
        Bar(label, peer, ratio)
        for name, title, key, label in _ROWS
        if (name, title) in measured
        for peer, ratio in measured[name, title].ratios(key).items()
    ]


def draw(bars: Sequence[Bar], caption: str) -> str:
    """The chart as SVG. ``caption`` says where and when. Raises ValueError without bars."""
    if not bars:
        raise ValueError("nothing to draw")
    low = math.log10(min(0.3, *(bar.ratio for bar in bars)))
    high = math.log10(max(3.0, *(bar.ratio for bar in bars)))
    # What stands beside the longest bars has to fit, too.
    scale = (_RIGHT - _LEFT - 2 * _LABEL_WIDTH) / (high - low)

    def x(ratio: float) -> float:
        return _LEFT + _LABEL_WIDTH + (math.log10(ratio) - low) * scale

    marks: list[str] = []
    y, last = float(_TOP), None
    for bar in bars:
        if bar.label != last:
            y += _GAP if last else 0
            marks.append(_text(_LEFT - 14, y + 13, bar.label, anchor="end"))
        marks.append(_bar(bar, x(1.0), x(bar.ratio), y))
        last = bar.label
        y += _LINE
    grid = [
        f'<line x1="{x(tick):.1f}" x2="{x(tick):.1f}" y1="{_TOP - 8}" y2="{y + 4:.1f}" '
        f'stroke="{_MUTED if tick == 1 else _GRID}"/>'
        + _text(x(tick), y + 20, f"{tick:g}×", anchor="middle", color=_MUTED, size=12)
        for tick in _TICKS
        if _LEFT <= x(tick) <= _RIGHT
    ]
    height = y + 56
    head = (
        _text(20, 30, "What the gateway takes, in units of each peer", size=17, weight="600")
        + _text(20, 51, "CPU time for the same work, or memory; one worker each.", color=_MUTED)
        + _text(x(1.0) - 8, _TOP - 12, "◀ the gateway takes less", anchor="end", color=_CHEAPER, size=12)
        + _text(x(1.0) + 8, _TOP - 12, "more ▶", color=_DEARER, size=12)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height:.0f}" width="{_WIDTH}" '
        f'height="{height:.0f}" role="img" font-family="{escape(_FONT)}">\n'
        "<title>CPU time and memory of the gateway in units of each peer</title>\n"
        f'<rect x="0.5" y="0.5" width="{_WIDTH - 1}" height="{height - 1:.0f}" rx="8" fill="#ffffff" '
        f'stroke="{_GRID}"/>\n'
        + "\n".join([head, *grid, *marks, _text(20, height - 14, caption, color=_MUTED, size=11)])
        + "\n</svg>\n"
    )


def _bar(bar: Bar, one: float, end: float, y: float) -> str:
    cheaper = bar.ratio <= 1
    left, width = min(one, end), max(1.5, abs(end - one))
    beside = _text(
        left - 6 if cheaper else left + width + 6,
        y + 12.5,
        f"{bar.peer} {number(bar.ratio)}×",
        anchor="end" if cheaper else "start",
        size=12,
    )
    return (
        f'<rect x="{left:.1f}" y="{y + 2:.1f}" width="{width:.1f}" height="{_LINE - 5}" rx="2" '
        f'fill="{_CHEAPER if cheaper else _DEARER}"/>{beside}'
    )


def number(ratio: float) -> str:
    """Two digits that count: 0.012, 0.94, 6.2."""
    return f"{ratio:.{max(0, 1 - math.floor(math.log10(ratio)))}f}"


def _text(
    x: float,
    y: float,
    text: str,
    *,
    anchor: str = "start",
    color: str = _TEXT,
    size: int = 13,
    weight: str = "400",
) -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{color}" font-size="{size}" '
        f'font-weight="{weight}">{escape(text)}</text>'
    )
