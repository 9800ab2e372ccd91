"""What charts share: SVG elements with escaped text, scales, ticks, and a frame with axes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from markupsafe import Markup, escape

from airflow_sklearn.report.formats import brief

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

#: The size of a chart in its own units, about pixels. A page shows it at the width that there is.
WIDTH, HEIGHT = 360, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 48, 12, 10, 40


def tag(name: str, *content: object, **attributes: object) -> Markup:
    """An element. Content and attributes are escaped, unless they are ``Markup``.

    :param attributes: ``class_`` becomes ``class``, ``text_anchor`` ``text-anchor``. Numbers are rounded to hundredths
        of a unit. None: there is no such attribute.
    """
    named = "".join(
        f' {key.rstrip("_").replace("_", "-")}="{escape(_plain(value))}"'
        for key, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(escape(part) for part in content)
    return Markup(f"<{name}{named}>{inside}</{name}>") if content else Markup(f"<{name}{named}/>")


def svg(*content: object, width: float, height: float, label: str, class_: str = "chart") -> Markup:
    """A picture.

    :param label: what it shows, for those who cannot see it.
    """
    attributes = {"class_": class_, "role": "img", "aria_label": label}
    return tag("svg", *content, viewBox=f"0 0 {_plain(width)} {_plain(height)}", **attributes)


def _plain(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".") if math.isfinite(value) else "0"
    return str(value)


def path(points: Sequence[tuple[float, float]], *, closed: bool = False) -> str:
    """The ``d`` of a line through points."""
    steps = " ".join(f"{_plain(float(x))},{_plain(float(y))}" for x, y in points)
    return f"M{steps}{'Z' if closed else ''}" if steps else ""


@dataclass(frozen=True)
class Scale:
    """Maps values to positions.

    :param low: the value at ``start``.
    :param high: the value at ``end``.
    """

    low: float
    high: float
    start: float = 0.0
    end: float = 1.0

    def __call__(self, value: float) -> float:
        """The position of a value. Values beyond the ends are moved to them."""
        span = self.high - self.low
        part = (value - self.low) / span if span else 0.5
        return self.start + min(1.0, max(0.0, part)) * (self.end - self.start)


def ticks(low: float, high: float, wanted: int = 5) -> list[float]:
    """Round numbers within a range: multiples of 1, 2 or 5 times a power of ten.

    :param wanted: about how many.
    """
    span = high - low
    if not (math.isfinite(span) and span > 0):
        return [low] if math.isfinite(low) else []
    rough = span / max(1, wanted)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= rough * 0.999)
    first = math.ceil(low / step - 1e-9)
    last = math.floor(high / step + 1e-9)
    return [round(number * step, 12) + 0.0 for number in range(first, last + 1)]


def rounded(low: float, high: float, wanted: int = 5) -> tuple[float, float]:
    """A range that holds another one, and ends at its ticks."""
    if not (math.isfinite(low) and math.isfinite(high)):
        return 0.0, 1.0
    if low == high:
        return low - 0.5, high + 0.5
    found = ticks(low, high, wanted)
    step = found[1] - found[0] if len(found) > 1 else high - low
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


@dataclass(frozen=True)
class Axis:
    """An axis of a chart.

    :param label: what it measures, with the unit.
    :param low: its lower end.
    :param high: its upper end.
    :param shown: writes a tick's number.
    :param at: the ticks; None: round numbers.
    """

    label: str
    low: float = 0.0
    high: float = 1.0
    shown: Callable[[float], str] = brief
    at: tuple[float, ...] | None = None

    @property
    def ticks(self) -> Sequence[float]:
        """The ticks."""
        return ticks(self.low, self.high) if self.at is None else self.at


@dataclass
class Frame:
    """A chart with two axes, to which marks are added.

    :param label: what the chart shows, for those who cannot see it.
    :param names: the names of the ticks of ``x``, at 0.5, 1.5, ...; empty: it has numbers.
    """

    label: str
    x: Axis
    y: Axis
    names: Sequence[str] = ()
    width: float = WIDTH
    height: float = HEIGHT
    _marks: list[Markup] = field(default_factory=list)

    def __post_init__(self) -> None:
        longest = max((len(self.y.shown(value)) for value in self.y.ticks), default=0)
        self.sx = Scale(self.x.low, self.x.high, max(_LEFT, 27 + 6.2 * longest), self.width - _RIGHT)
        self.sy = Scale(self.y.low, self.y.high, self.height - _BOTTOM, _TOP)

    def add(self, name: str, *content: object, **attributes: object) -> None:
        """Add an element, in the chart's units. See ``tag``."""
        self._marks.append(tag(name, *content, **attributes))

    def line(self, xs: Sequence[float], ys: Sequence[float], **attributes: object) -> None:
        """Add a line through values."""
        points = [(self.sx(x), self.sy(y)) for x, y in zip(xs, ys, strict=True)]
        self.add("path", d=path(points), **{"class_": "line", **attributes})

    def bar(self, left: float, right: float, low: float, high: float, title: str = "", **attributes: object) -> None:
        """Add a bar between values.

        :param title: what is shown where the mouse points.
        """
        x, y = self.sx(left), self.sy(high)
        size = {"width": max(0.0, self.sx(right) - x), "height": max(0.0, self.sy(low) - y)}
        content = [tag("title", title)] if title else []
        self.add("rect", *content, x=x, y=y, **size, **{"class_": "bar s0", **attributes})

    def draw(self) -> Markup:
        """The picture."""
        return svg(*self._grid(), *self._marks, *self._labels(), width=self.width, height=self.height, label=self.label)

    def _grid(self) -> list[Markup]:
        left, right, bottom = self.sx.start, self.sx.end, self.sy.start
        parts = []
        for value in self.y.ticks:
            at = self.sy(value)
            parts.append(tag("line", class_="grid", x1=left, x2=right, y1=at, y2=at))
            parts.append(tag("text", self.y.shown(value), class_="tick end", x=left - 6, y=at + 3.5))
        for value, text in self._names_at():
            parts.append(tag("text", text, class_="tick mid", x=self.sx(value), y=bottom + 15))
        return [*parts, tag("line", class_="axis", x1=left, x2=right, y1=bottom, y2=bottom)]

    def _names_at(self) -> list[tuple[float, str]]:
        if self.names:
            return [(number + 0.5, name) for number, name in enumerate(self.names)]
        return [(value, self.x.shown(value)) for value in self.x.ticks]

    def _labels(self) -> list[Markup]:
        middle, height = (self.sx.start + self.sx.end) / 2, (self.sy.start + self.sy.end) / 2
        turned = {"x": 0.0, "y": 0.0, "transform": f"translate(11 {_plain(height)}) rotate(-90)"}
        parts = [tag("text", self.x.label, class_="label mid", x=middle, y=self.height - 6)] if self.x.label else []
        return [*parts, tag("text", self.y.label, class_="label mid", **turned)] if self.y.label else parts
