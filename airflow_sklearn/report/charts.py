"""The charts of all pages, as inline SVG."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from airflow_sklearn.report.formats import brief, count, share
from airflow_sklearn.report.svg import Axis, Frame, Scale, path, rounded, svg, tag, ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from markupsafe import Markup

#: The key and the name of each series, for ``parts.figure``.
Legend = list[tuple[str, str]]
COLOURS = 6  # series of a chart that can be told apart
_WIDEST_BAR = 15.0  # of a spark
_STROKES = ("", " dashed", " dotted")


@dataclass(frozen=True)
class Series:
    """A line of a chart.

    :param dots: whether its points are marked.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    dots: bool = False


def line_chart(
    series: Sequence[Series], x: Axis, y: Axis, label: str, *, reference: Sequence[tuple[float, float]] = ()
) -> Markup:
    """Lines. Each has a colour, and from the second one on also dashes or dots, for those who do not see colours.

    :param reference: the points of a line for comparison, such as a diagonal.
    """
    frame = Frame(label, x, y)
    if reference:
        frame.line(*zip(*reference, strict=True), class_="reference")
    for number, one in reversed(list(enumerate(series[:COLOURS]))):
        frame.line(one.xs, one.ys, class_=f"line s{number}{_STROKES[number % len(_STROKES)]}")
        for left, up in zip(one.xs, one.ys, strict=True) if one.dots else ():
            title = tag("title", f"{x.label}: {x.shown(left)}, {y.label}: {y.shown(up)}")
            frame.add("circle", title, class_=f"dot s{number}", cx=frame.sx(left), cy=frame.sy(up), r=3.5)
    return frame.draw()


def line_legend(names: Sequence[str], reference: str = "") -> Legend:
    """The legend of a line chart.

    :param reference: what the line for comparison is.
    """
    found = [
        (f"k{n} line{_STROKES[n % 3].replace('dotted', 'dashed')}", name) for n, name in enumerate(names[:COLOURS])
    ]
    return [*found, *([("kr line dashed", reference)] if reference else [])]


def dot_chart(points: Sequence[tuple[float, float, str]], x: Axis, y: Axis, label: str) -> Markup:
    """Points with whiskers, the first of them in another colour.

    :param points: for each its value, what the whiskers reach up and down, and what is shown where the mouse points.
    """
    frame = Frame(label, x, y)
    for number, (value, reach, text) in enumerate(points, start=1):
        colour, at = ("s1" if number == 1 else "s0"), frame.sx(number)
        ends = {"y1": frame.sy(value - reach), "y2": frame.sy(value + reach)}
        frame.add("line", class_=f"line {colour} through", x1=at, x2=at, **ends)
        title = tag("title", f"{number}. {text}: {y.shown(value)}")
        frame.add("circle", title, class_=f"dot {colour}", cx=at, cy=frame.sy(value), r=4)
    return frame.draw()


def bar_chart(
    values: Sequence[float | None],
    names: Sequence[str],
    x: str,
    y: Axis,
    label: str,
    *,
    reference: float | None = None,
) -> Markup:
    """A bar for each name.

    :param reference: a value that a line across the chart shows.
    """
    frame = Frame(label, Axis(x, 0, max(1, len(values))), y, names=names)
    for number, value in enumerate(values):
        if value is not None:
            low, high = sorted((max(0.0, y.low), value))
            frame.bar(number + 0.14, number + 0.86, low, high, f"{names[number]}: {y.shown(value)}")
    if reference is not None:
        frame.line([0, max(1, len(values))], [reference, reference], class_="reference")
    return frame.draw()


def histogram(
    edges: Sequence[float],
    counts: Sequence[float],
    label: str,
    *,
    x: str = "",
    y: str = "rows",
    other: Sequence[float] = (),
    stacked: Sequence[Sequence[float]] = (),
    shown: Callable[[float], str] = brief,
) -> Markup:
    """Bars over bins, whose heights are counts.

    :param edges: one more than there are counts.
    :param other: counts of the same bins, drawn as a line of steps over the bars.
    :param stacked: instead of ``counts``: several, one upon the other.
    """
    parts = stacked or [counts]
    tops = [sum(column) for column in zip(*parts, strict=True)]
    _, high = rounded(0, max([*tops, *other, 1e-9]), 4)
    frame = Frame(label, Axis(x, edges[0], edges[-1], shown), Axis(y, 0, high))
    below = [0.0] * len(tops)
    for number, part in enumerate(parts):
        for at, value in enumerate(part):
            if value > 0:
                title = f"{shown(edges[at])} to {shown(edges[at + 1])}: {count(value)}"
                frame.bar(edges[at], edges[at + 1], below[at], below[at] + value, title, class_=f"bar s{number}")
                below[at] += value
    if other:
        frame.line(*_steps(edges, other), class_="other")
    return frame.draw()


def _steps(edges: Sequence[float], counts: Sequence[float]) -> tuple[list[float], list[float]]:
    xs = [edges[0], *(edge for edge in edges[1:-1] for _ in (0, 1)), edges[-1]]
    return xs, [value for value in counts for _ in (0, 1)]


def heatmap(edges: Sequence[float], values: Sequence[Sequence[float]], x: str, y: str, label: str) -> Markup:
    """Cells whose strength is the root of a count, over the same bins in both directions, with the diagonal.

    :param values: a list for each bin of ``x``, with a count for each bin of ``y``.
    """
    frame = Frame(label, Axis(x, edges[0], edges[-1]), Axis(y, edges[0], edges[-1]), height=300)
    most = max((value for row in values for value in row), default=0) or 1
    for column, row in enumerate(values):
        for line, value in enumerate(row):
            if value > 0:
                ends = (edges[column], edges[column + 1], edges[line], edges[line + 1])
                strength = round(0.1 + 0.9 * math.sqrt(value / most), 2)
                frame.bar(*ends, f"{count(value)} rows", class_="cell", fill_opacity=strength)
    frame.line([edges[0], edges[-1]], [edges[0], edges[-1]], class_="reference")
    return frame.draw()


def confusion(matrix: Sequence[Sequence[float]], names: Sequence[str], label: str) -> Markup:
    """The confusion matrix: a row for each true class, shaded by its shares. Up to 6 classes have counts."""
    n, left, top = len(names), 96, 40
    width = 360.0
    cell = min(120.0, (width - left - 8) / max(1, n))
    height = top + cell * n * (0.62 if n <= 3 else 1) + 10
    tall = (height - top - 10) / max(1, n)
    parts = [tag("text", "predicted", class_="label mid", x=left + cell * n / 2, y=13)]
    for row, values in enumerate(matrix):
        total = sum(values) or 1
        middle = top + tall * (row + 0.5)
        parts.append(tag("text", _short(names[row], 14), class_="tick end", x=left - 8, y=middle + 4))
        for column, value in enumerate(values):
            x, y, strength = left + column * cell, top + row * tall, value / total
            title = tag("title", f"{names[row]}, predicted {names[column]}: {count(value)} ({share(value / total)})")
            shade = round(0.04 + 0.56 * strength, 2)  # so that text on it can be read, in light and dark
            parts.append(tag("rect", title, class_="cell", x=x, y=y, width=cell, height=tall, fill_opacity=shade))
            if n <= 6:
                parts.append(
                    tag("text", brief(value), class_="strong mid", x=x + cell / 2, y=middle + (0 if n <= 3 else 4))
                )
            if n <= 3:
                parts.append(tag("text", share(value / total), class_="ink mid", x=x + cell / 2, y=middle + 16))
    for column, name in enumerate(names):
        longest = max(3, int(cell / 6.5))
        at = {"x": left + (column + 0.5) * cell, "y": top - 8}
        if n <= 10:
            parts.append(tag("text", _short(name, longest), class_="tick mid", **at))
    frame = tag("rect", class_="cellframe", x=left, y=top, width=cell * n, height=tall * n)
    return svg(*parts, frame, width=width, height=height, label=label)


def _short(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"


@dataclass(frozen=True)
class Spread:
    """How the values of a column are spread, in a form that can be drawn.

    :param heights: for each bar the share of the rows, of equal width.
    :param low: the value at the left end; of levels the number 0.
    :param high: the value at the right end.
    :param is_cut: whether rare values lie beyond the ends.
    """

    heights: tuple[float, ...]
    low: float
    high: float
    is_cut: tuple[bool, bool] = (False, False)


def spread(edges: Sequence[float], counts: Sequence[float], bars: int = 24, ends: Spread | None = None) -> Spread:
    """The values of bins of any width as bars of equal width. Within a bin they are taken as evenly spread.

    Bins of quantiles reach to the last outlier. Where the outermost twentieths lie far out, the picture ends before.

    :param edges: ascending, one more than there are counts. Of distinct values the last bin has no width.
    :param ends: the picture's ends are those of another one, with which it is compared.
    """
    total = sum(counts) or 1
    if len(edges) < 2 or not counts:
        return Spread((), 0, 0)
    if edges[-1] == edges[-2]:  # one bin a value
        values = list(edges[:-1])
        low, high = (ends.low, ends.high) if ends else (values[0], values[-1])
        step = min((b - a for a, b in itertools.pairwise(values)), default=1.0)
        number = round((high - low) / step) + 1 if high > low else 1
        bars = number if number <= bars else bars
        scale = Scale(low, high, 0, bars - 1)
        heights = [0.0] * bars
        for value, rows in zip(values, counts, strict=True):
            heights[round(scale(value))] += rows / total
        return Spread(tuple(heights), low, high)
    low, high, cut = (ends.low, ends.high, ends.is_cut) if ends else _ends(edges)
    heights, width = [0.0] * bars, (high - low) / bars
    for left, right, rows in zip(edges, edges[1:], counts, strict=False):
        for number in range(bars):
            start, end = low + number * width, low + (number + 1) * width
            shared = min(right, end) - max(left, start)
            if shared > 0:
                heights[number] += rows / total * shared / (right - left)
    return Spread(tuple(heights), low, high, cut)


def _ends(edges: Sequence[float]) -> tuple[float, float, tuple[bool, bool]]:
    low, high = edges[0], edges[-1]
    if len(edges) < 5:
        return low, high, (False, False)
    inner = edges[-2] - edges[1]
    cut_low, cut_high = edges[1] - low > 1.5 * inner, high - edges[-2] > 1.5 * inner
    return (
        edges[1] - 0.25 * inner if cut_low else low,
        edges[-2] + 0.25 * inner if cut_high else high,
        (cut_low, cut_high),
    )


def spark(found: Spread, label: str, other: Spread | None = None) -> Markup:
    """A histogram for a table's cell, as one shape.

    :param other: another one with the same ends, drawn as a line of steps over the bars.
    """
    width, height = 150.0, 34.0
    most = max([*found.heights, *(other.heights if other else ()), 1e-9])
    scale = Scale(0, most, height - 1, 2)
    step = min(width / max(1, len(found.heights)), _WIDEST_BAR)
    gap = min(1.0, step / 6)
    low = height - 1
    bars = "".join(
        f"M{number * step + gap / 2:.1f},{low:.0f}V{min(low - 1, scale(value)):.1f}h{step - gap:.1f}V{low:.0f}Z"
        for number, value in enumerate(found.heights)
        if value > 0
    )
    parts = [
        tag("path", class_="bar", d=bars),
        tag("path", class_="axis", d=path([(0, height - 0.5), (width, height - 0.5)])),
    ]
    if other and other.heights:
        at = [number * step for number in range(len(other.heights) + 1)]
        points = list(zip(*_steps(at, [scale(value) for value in other.heights]), strict=True))
        parts.append(tag("path", class_="other", d=path(points)))
    return svg(*parts, width=width, height=height, label=label, class_="spark")


@dataclass(frozen=True)
class Span:
    """A part of a time line.

    :param row: the number of its line.
    :param colour: a mark's class: ``s0`` to ``s5``, ``bad``, ``warn``, ``soft``.
    """

    row: int
    start: float
    end: float
    title: str
    colour: str = "s0"


def time_line(spans: Sequence[Span], rows: Sequence[str], x: Axis, label: str, *, tall: float = 20.0) -> Markup:
    """What happened on several lines side by side, as bars over time.

    :param rows: the names of the lines, from above.
    :param tall: the height of a line.
    """
    width, left, bottom = 1040.0, 150.0, 34.0
    height = tall * len(rows) + bottom + 6
    scale = Scale(x.low, x.high, left, width - 14)
    parts = [
        tag("line", class_="grid", x1=scale(at), x2=scale(at), y1=2, y2=height - bottom)
        for at in ticks(x.low, x.high, 8)
    ]
    parts += [
        tag("text", x.shown(at), class_="tick mid", x=scale(at), y=height - bottom + 15)
        for at in ticks(x.low, x.high, 8)
    ]
    parts += [
        tag("text", _short(name, 24), class_="tick end", x=left - 8, y=4 + tall * (number + 0.5) + 3)
        for number, name in enumerate(rows)
    ]
    for one in spans:
        at = {"x": scale(one.start), "width": max(1.5, scale(one.end) - scale(one.start) - 0.5)}
        size = {"y": 4 + tall * one.row + tall * 0.14, "height": tall * 0.72, "rx": min(2.0, tall / 8)}
        parts.append(tag("rect", tag("title", one.title), class_=f"bar {one.colour}", **at, **size))
    parts.append(tag("text", x.label, class_="label mid", x=(left + width) / 2, y=height - 4))
    return svg(*parts, width=width, height=height, label=label, class_="chart wide")
