"""Comparing rows with the feature schema: values that training did not have are counted or refused, by the policies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.contract.bins import packed
from airflow_sklearn.contract.problem_collector import let_pass
from airflow_sklearn.contract.receipt import FeatureSketch
from airflow_sklearn.models.columns import microseconds, numbers
from airflow_sklearn.worker.data.types import null_count
from airflow_sklearn.worker.prediction.bin_counts import EdgeCounts, LevelCounts

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_sklearn.contract.problem_collector import ProblemCollector
    from airflow_sklearn.contract.schema import Feature, FeatureSchema


@dataclass
class _Counts:
    bins: EdgeCounts | LevelCounts | None
    nulls: int = 0
    unseen: int = 0
    low: float = math.inf
    high: float = -math.inf

    def sketch(self) -> FeatureSketch:
        known = self.low <= self.high
        return FeatureSketch(
            nulls=self.nulls,
            unseen_levels=self.unseen,
            minimum=self.low if known else None,
            maximum=self.high if known else None,
        )


class SchemaValidator:
    """Checks rows, and collects problems and a sketch of each feature.

    :param problems: collects unseen levels, unexpected nulls and infinite values.
    :param infinite: features that had infinite values in training, so that these are accepted.
    """

    def __init__(self, schema: FeatureSchema, problems: ProblemCollector, infinite: Collection[str] = ()) -> None:
        self._schema, self._problems, self._infinite = schema, problems, frozenset(infinite)
        self._counts = {feature.name: _Counts(_bins(feature)) for feature in schema.features}

    @property
    def sketches(self) -> dict[str, FeatureSketch]:
        """The sketches of all rows so far, by feature."""
        return {name: counts.sketch() for name, counts in self._counts.items()}

    @property
    def feature_counts(self) -> dict[str, str]:
        """All rows so far, by feature and by training's bins."""
        return {name: packed(counts.bins.counts) for name, counts in self._counts.items() if counts.bins}

    def check(self, table: pa.Table, file: str) -> pa.Table:
        """Check rows of one file. The more rows at a time, the less time for each.

        :param table: the rows, with the features' columns.
        :param file: the file's URI, for messages.
        :return: the same rows. Infinite values that training did not have are null.
        """
        for feature in self._schema.features:
            column, counts = table[feature.name], self._counts[feature.name]
            if feature.kind == "numeric":
                values = numbers(column)
                if feature.name not in self._infinite and _has_infinite(values):
                    column = self._without_infinite(table, feature.name, file)
                    table = table.set_column(table.column_names.index(feature.name), feature.name, column)
                    values = numbers(column)
                _count_numbers(counts, values)
            nulls = null_count(column)
            counts.nulls += nulls
            if nulls and not feature.null_count:
                self._problems.add(
                    "unexpected_null",
                    "nulls, where the training data had none",
                    column=feature.name,
                    file=file,
                    count=nulls,
                    fix="fill them in the source; train on data that have them; "
                    + let_pass("unexpected_nulls", count="counted"),
                )
            if isinstance(counts.bins, LevelCounts):
                counts.unseen += self._check_levels(feature, column, counts.bins, file)
            elif counts.bins is not None and feature.kind in ("boolean", "datetime"):
                counts.bins.add(_seconds(column) if feature.kind == "datetime" else numbers(column))
        return table

    def _without_infinite(self, table: pa.Table, name: str, file: str) -> pa.ChunkedArray:
        infinite = pc.fill_null(pc.is_inf(table[name]), False)
        keys = [key.name for key in self._schema.primary_key]
        found = table.select([*keys, name]).filter(infinite)
        examples = [
            f"{row[name]}" + "".join(f" at {key}={row[key]}" for key in keys) for row in found.slice(0, 5).to_pylist()
        ]
        self._problems.add(
            "infinite_value",
            "infinite values, where the training data had none",
            column=name,
            file=file,
            count=found.num_rows,
            examples=examples,
            fix="correct them in the source; " + let_pass("wrong_types", null="read as null"),
        )
        return pc.if_else(infinite, pa.scalar(None, table[name].type), table[name])

    def _check_levels(self, feature: Feature, column: pa.ChunkedArray, bins: LevelCounts, file: str) -> int:
        unseen, levels = bins.add(column)
        if unseen:
            self._problems.add(
                "unseen_level",
                "values that training did not have",
                column=feature.name,
                file=file,
                count=unseen,
                examples=[repr(value) for value in levels[:5].to_pylist()],
                fix="train again with data that have them; correct their spelling; "
                + let_pass("unseen_levels", count="counted"),
            )
        return unseen


def _bins(feature: Feature) -> EdgeCounts | LevelCounts | None:
    if feature.levels is not None and not feature.is_unused:
        return LevelCounts(feature)
    return EdgeCounts(feature.distribution.edges) if feature.distribution.edges else None


def _has_infinite(values: np.ndarray) -> bool:
    return any(map(math.isinf, _ends(values)))


def _ends(values: np.ndarray) -> tuple[float, float]:
    """The smallest and the largest value; NaN if there is none. Vectorised, unlike Arrow's ``min_max``."""
    if not len(values):
        return math.nan, math.nan
    return float(np.fmin.reduce(values)), float(np.fmax.reduce(values))


def _count_numbers(counts: _Counts, values: np.ndarray) -> None:
    low, high = _ends(values)
    if math.isinf(low) or math.isinf(high):
        low, high = _ends(values[np.isfinite(values)])
    if low <= high:
        counts.low, counts.high = min(counts.low, low), max(counts.high, high)
    if isinstance(counts.bins, EdgeCounts):
        counts.bins.add(values)


def _seconds(column: pa.ChunkedArray) -> np.ndarray:
    """Dates as seconds since 1970 in UTC; NaN for nulls."""
    moments, nulls = microseconds(column)
    return np.where(nulls, np.nan, moments / 1e6)
