"""Charts as SVG text: they take their colours from the page, or from `STYLE` where they stand alone."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 420, 300
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 14, 14, 40
COLOURS = 10
_LEGEND_LINE, _LETTER = 17, 6.2
_WIDEST_LETTER = 7.5  # of the fonts that a system may have
STYLE = """
:root{--ink:#1b1f24;--soft:#57606a;--rule:#d0d7de;--ground:#ffffff;
--c0:#0b5fc0;--c1:#c2410c;--c2:#157f3d;--c3:#a21caf;--c4:#a16207;--c5:#0e7490;--c6:#be123c;--c7:#4d7c0f;--c8:#6d28d9;
--c9:#57534e}
@media (prefers-color-scheme:dark){:root{--ink:#e6edf3;--soft:#9aa5b1;--rule:#363d46;--ground:#0f1318;
--c0:#6cb0ff;--c1:#ff9a5c;--c2:#5fd38a;--c3:#e58cf0;--c4:#e5b94a;--c5:#4fd0e6;--c6:#ff7d97;--c7:#a8d65c;--c8:#b79bff;
--c9:#b8b2ac}}
svg.chart text{font:12px system-ui,sans-serif;fill:var(--ink)}
svg.chart .tick{font-size:11px;fill:var(--soft)}
svg.chart .grid{stroke:var(--rule);stroke-width:1}
"""


@dataclass(frozen=True)
class Series:
    """Points (x, y) with a name; a line through them, or a dot each with its own label."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: int = 0
    labels: tuple[str, ...] = ()
    dashed: bool = False


@dataclass(frozen=True)
class Axis:
    """A range with its ticks. A logarithmic one has ticks at 1, 2 and 5 times powers of ten."""

    low: float
    high: float
    label: str
    logarithmic: bool = False

    def place(self, value: float) -> float:
        """Where a value lies, 0..1."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def ticks(self) -> list[float]:
        """Round values inside the range."""
        if self.logarithmic:
            powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
            found = [step * 10.0**power for power in powers for step in (1, 2, 5)]
            return [value for value in found if self.low <= value <= self.high]
        step = nice_step((self.high - self.low) / 8)
        first = math.ceil(self.low / step - 1e-9)
        return [number * step for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def nice_step(rough: float) -> float:
    """The next of 1, 2, 5 times a power of ten that is not under `rough`."""
    power = 10.0 ** math.floor(math.log10(rough))
    return next(step * power for step in (1, 2, 5, 10) if step * power >= rough * (1 - 1e-9))


def axis_for(values: Sequence[float], label: str, *, logarithmic: bool = False) -> Axis:
    """An axis that holds all values with some room at both ends."""
    low, high = min(values), max(values)
    if logarithmic:
        return Axis(low / 1.6, high * 2.2, label, True)
    room = max(high - low, abs(high) * 0.02, 1e-3) * 0.08
    return Axis(low - room, high + room, label)


def lines(series: Sequence[Series], x: Axis, y: Axis, title: str) -> str:
    """A chart of lines, their names below it."""
    parts = []
    for one in series:
        path = " ".join(f"{_x(x, a):.1f},{_y(y, b):.1f}" for a, b in one.points)
        parts.append(f'<polyline points="{path}" {_stroke(one)}><title>{html.escape(one.name)}</title></polyline>')
    legend, height = _legend(series)
    return _chart(_frame(x, y) + "".join(parts) + legend, title, height=HEIGHT + height)


def dots(series: Sequence[Series], x: Axis, y: Axis, title: str) -> str:
    """A chart of labelled dots; labels, in the colours of their dots, keep clear of each other."""
    parts = []
    taken = [(_y(y, b) + 4, _x(x, a) - 5, _x(x, a) + 5) for one in series for a, b in one.points]
    for one in series:
        for (a, b), label in zip(one.points, one.labels, strict=True):
            across, down = _x(x, a), _y(y, b)
            colour = f"var(--c{one.colour % COLOURS})"
            parts.append(f'<circle cx="{across:.1f}" cy="{down:.1f}" r="4.5" fill="{colour}"/>')
            left, top = _label_place(label, across, down, taken)
            if abs(top - down - 4) > 1:  # moved away: a line shows which dot it names
                near = min(max(across, left), left + _LETTER * len(label))
                edge = top + 3 if top < down else top - 10
                parts.append(
                    f'<line x1="{across:.1f}" y1="{down:.1f}" x2="{near:.1f}" y2="{edge:.1f}" stroke="{colour}"/>'
                )
            parts.append(f'<text x="{left:.1f}" y="{top:.1f}" style="fill:{colour}">{html.escape(label)}</text>')
    return _chart(_frame(x, y) + "".join(parts), title)


def cloud(points: Sequence[tuple[float, float]], groups: Sequence[int], names: Sequence[str], title: str) -> str:
    """Unlabelled points in a square, a hue and a shape for each group; hovering names it."""
    side, edge = 300, 10
    across, down = axis_for([p[0] for p in points], ""), axis_for([p[1] for p in points], "")
    parts = [f'<rect x="1" y="1" width="{side - 2}" height="{side - 2}" fill="none" class="grid"/>']
    order = sorted(set(groups))
    for (a, b), group in zip(points, groups, strict=True):
        place = order.index(group)
        # Neighbours in the list get far hues; every second one is a square.
        hue = place * 137.5 % 360
        left = edge + across.place(a) * (side - 2 * edge)
        top = edge + (1 - down.place(b)) * (side - 2 * edge)
        colour = f'fill="hsl({hue:.0f} 65% 48%)"'
        shape = (
            f'<rect x="{left - 3:.1f}" y="{top - 3:.1f}" width="6" height="6" {colour}>'
            if place % 2
            else f'<circle cx="{left:.1f}" cy="{top:.1f}" r="3.4" {colour}>'
        )
        parts.append(f"{shape}<title>{html.escape(names[group])}</title></{'rect' if place % 2 else 'circle'}>")
    return _chart("".join(parts), title, side, side)


def standalone(chart: str) -> str:
    """A chart as a file of its own."""
    ground = '<rect width="100%" height="100%" fill="var(--ground)"/>'
    opening, rest = chart.split(">", 1)
    return f'{opening} xmlns="http://www.w3.org/2000/svg"><style>{STYLE}</style>{ground}{rest}\n'


def _x(axis: Axis, value: float) -> float:
    return _LEFT + axis.place(value) * (WIDTH - _LEFT - _RIGHT)


def _y(axis: Axis, value: float) -> float:
    return HEIGHT - _BOTTOM - axis.place(value) * (HEIGHT - _TOP - _BOTTOM)


def _stroke(one: Series) -> str:
    dash = ' stroke-dasharray="5 4"' if one.dashed else ""
    return f'fill="none" stroke="var(--c{one.colour % COLOURS})" stroke-width="1.8"{dash}'


def _legend(series: Sequence[Series]) -> tuple[str, int]:
    """Each name once beside its line, in as many columns as fit; and the height that they take."""
    looks = list({one.name: one for one in series}.values())
    column = 36 + _WIDEST_LETTER * max(len(one.name) for one in looks)
    columns = max(1, int((WIDTH - 8) / column))
    parts = []
    for number, one in enumerate(looks):
        left, top = 8 + number % columns * (WIDTH - 8) / columns, HEIGHT + 12 + number // columns * _LEGEND_LINE
        parts.append(f'<polyline points="{left:.1f},{top - 4} {left + 22:.1f},{top - 4}" {_stroke(one)}/>')
        parts.append(f'<text x="{left + 28:.1f}" y="{top}">{html.escape(one.name)}</text>')
    return "".join(parts), 8 + -(-len(looks) // columns) * _LEGEND_LINE


def _label_place(text: str, across: float, down: float, taken: list[tuple[float, float, float]]) -> tuple[float, float]:
    """Where a dot's name goes, and is taken from then on: beside it, else above or below, in the first place within the
    plot that nothing is in."""
    width = _LETTER * len(text)
    places = [
        (left, down + 4 + step)
        for step in (0, 14, -14, 26, -26, 38, -38, 50, -50, 62, -62)
        for left in (
            (across + 8, across - 8 - width) if step == 0 else (across - width / 2, across + 8, across - 8 - width)
        )
        if _LEFT + 2 <= left < WIDTH - 2 - width and _TOP + 10 <= down + 4 + step <= HEIGHT - _BOTTOM - 2
    ]
    free = [
        (left, top)
        for left, top in places
        if not any(abs(top - other) < 12 and left < end and left + width > start for other, start, end in taken)
    ]
    left, top = (free or places or [(across + 8, down + 4)])[0]
    taken.append((top, left, left + width))
    return left, top


def _frame(x: Axis, y: Axis) -> str:
    parts = []
    for value in x.ticks():
        at = _x(x, value)
        parts.append(f'<line class="grid" x1="{at:.1f}" x2="{at:.1f}" y1="{_TOP}" y2="{HEIGHT - _BOTTOM}"/>')
        parts.append(
            f'<text class="tick" x="{at:.1f}" y="{HEIGHT - _BOTTOM + 15}" text-anchor="middle">{value:.10g}</text>'
        )
    for value in y.ticks():
        at = _y(y, value)
        parts.append(f'<line class="grid" x1="{_LEFT}" x2="{WIDTH - _RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{_LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{value:.10g}</text>')
    middle = (_TOP + HEIGHT - _BOTTOM) / 2
    parts.append(f'<text x="{(_LEFT + WIDTH) / 2}" y="{HEIGHT - 6}" text-anchor="middle">{html.escape(x.label)}</text>')
    parts.append(
        f'<text x="12" y="{middle}" text-anchor="middle" transform="rotate(-90 12 {middle})">'
        f"{html.escape(y.label)}</text>"
    )
    return "".join(parts)


def _chart(body: str, title: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{html.escape(title, quote=True)}">'
        f"{body}</svg>"
    )
