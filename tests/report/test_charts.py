"""Charts: their text is escaped, and their shapes say what the numbers say."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from airflow_sklearn.report.charts import (
    Series,
    Span,
    bar_chart,
    confusion,
    heatmap,
    histogram,
    line_chart,
    spark,
    spread,
    time_line,
)
from airflow_sklearn.report.svg import Axis, rounded, ticks

HOSTILE = "<script>alert(1)</script>\"'&"


def elements(picture: str, name: str) -> list[ElementTree.Element]:
    return ElementTree.fromstring(picture).findall(f".//{name}")


@pytest.mark.parametrize(
    "picture",
    [
        line_chart(
            [Series("a", [0, 1], [0, 1], dots=True)], Axis(HOSTILE), Axis("y"), HOSTILE, reference=[(0, 0), (1, 1)]
        ),
        bar_chart([1, None], [HOSTILE, "b"], HOSTILE, Axis("y"), "label", reference=0.5),
        histogram([0, 1, 2], [3, 4], HOSTILE, other=[1, 2]),
        heatmap([0, 1, 2], [[1, 0], [0, 2]], HOSTILE, "y", HOSTILE),
        confusion([[1, 2], [3, 4]], [HOSTILE, "b"], HOSTILE),
        spark(spread([0, 1, 2], [3, 4]), HOSTILE),
        time_line([Span(0, 0, 2, HOSTILE)], [HOSTILE], Axis("s", 0, 2), HOSTILE),
    ],
    ids=["lines", "bars", "histogram", "heatmap", "confusion", "spark", "time"],
)
def test_a_chart_is_wellformed_and_its_text_is_escaped(picture: str) -> None:
    ElementTree.fromstring(picture)
    assert "<script" not in picture
    assert "&lt;script&gt;" in picture


def test_bars_are_as_high_as_their_values() -> None:
    first, second = elements(bar_chart([1, 3], ["a", "b"], "", Axis("", 0, 4), ""), "rect")
    assert float(second.attrib["height"]) == pytest.approx(3 * float(first.attrib["height"]), abs=0.05)


def test_ticks_are_round_and_a_rounded_range_ends_at_them() -> None:
    assert ticks(0, 1) == [0, 0.2, 0.4, 0.6, 0.8, 1]
    assert ticks(-3, 17) == [0, 5, 10, 15]
    assert rounded(0.3, 97) == (0, 100)
    assert ticks(5, 5) == [5]


def test_bins_of_quantiles_are_drawn_by_their_density() -> None:
    found = spread([0, 1, 4], [50, 50], bars=4)
    assert found.heights == pytest.approx((0.5, 1 / 6, 1 / 6, 1 / 6))


def test_bins_of_distinct_values_have_a_bar_each_and_gaps_between() -> None:
    found = spread([1, 2, 4, 4], [5, 3, 2])
    assert found.heights == pytest.approx((0.5, 0.3, 0, 0.2))


def test_far_outliers_do_not_squeeze_the_picture() -> None:
    found = spread([0, 1, 2, 3, 4, 1_000_000], [20] * 5)
    assert (found.low, found.is_cut) == (0, (False, True))
    assert found.high < 10


def test_a_picture_for_a_table_of_hundreds_is_small() -> None:
    assert len(spark(spread(list(range(21)), list(range(1, 21))), "a label")) < 1_500


def test_the_lines_of_a_chart_differ_without_colours() -> None:
    lines = [Series(str(number), [0, 1], [number, number]) for number in range(3)]
    picture = line_chart(lines, Axis(""), Axis("", 0, 3), "")
    assert len(set(re.findall(r'class="line s\d( \w+)?"', picture))) == 3
