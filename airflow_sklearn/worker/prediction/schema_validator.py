"""Comparing rows with the feature schema: values that training did not have are counted or refused, by the policies."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.contract.problem_collector import let_pass
from airflow_sklearn.contract.receipt import FeatureSketch
from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.worker.data.types import null_count

if TYPE_CHECKING:
    from collections.abc import Collection

    from airflow_sklearn.contract.problem_collector import ProblemCollector
    from airflow_sklearn.contract.schema import Feature, FeatureSchema


@dataclass
class _Counts:
    nulls: int = 0
    unseen: int = 0
    low: float = math.inf
    high: float = -math.inf


class SchemaValidator:
    """Checks rows, and collects problems and a sketch of each feature.

    :param problems: collects unseen levels, unexpected nulls and infinite values.
    :param infinite: features that had infinite values in training, so that these are accepted.
    """

    def __init__(self, schema: FeatureSchema, problems: ProblemCollector, infinite: Collection[str] = ()) -> None:
        self._schema, self._problems, self._infinite = schema, problems, frozenset(infinite)
        self._levels = {
            f.name: pa.array(f.levels, pa.string()).cast(parse_type(f.arrow_type))
            for f in schema.features
            if f.levels is not None and not f.is_unused
        }
        self._counts = {feature.name: _Counts() for feature in schema.features}

    @property
    def sketches(self) -> dict[str, FeatureSketch]:
        """The sketches of all rows so far, by feature."""
        return {
            name: FeatureSketch(
                nulls=counts.nulls,
                unseen_levels=counts.unseen,
                minimum=counts.low if counts.low <= counts.high else None,
                maximum=counts.high if counts.low <= counts.high else None,
            )
            for name, counts in self._counts.items()
        }

    def check(self, table: pa.Table, file: str) -> pa.Table:
        """Check rows of one file. The more rows at a time, the less time for each.

        :param table: the rows, with the features' columns.
        :param file: the file's URI, for messages.
        :return: the same rows. Infinite values that training did not have are null.
        """
        for feature in self._schema.features:
            column, counts = table[feature.name], self._counts[feature.name]
            if feature.kind == "numeric" and feature.name not in self._infinite and _has_infinite(column):
                column = self._without_infinite(table, feature.name, file)
                table = table.set_column(table.column_names.index(feature.name), feature.name, column)
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
            if feature.name in self._levels:
                counts.unseen += self._check_levels(feature, column, file)
            elif feature.kind == "numeric" and (limits := _range(column)):
                counts.low, counts.high = min(counts.low, limits[0]), max(counts.high, limits[1])
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

    def _check_levels(self, feature: Feature, column: pa.ChunkedArray, file: str) -> int:
        total = 0
        for chunk in column.chunks:
            values, codes = (chunk.dictionary, chunk.indices) if pa.types.is_dictionary(chunk.type) else (chunk, None)
            unseen = pc.and_(pc.invert(pc.is_in(values, self._levels[feature.name])), pc.is_valid(values))
            if not pc.any(unseen).as_py():
                continue
            rows = pc.take(unseen, codes) if codes is not None else unseen
            count = pc.sum(rows).as_py() or 0
            if count:
                total += count
                self._problems.add(
                    "unseen_level",
                    "values that training did not have",
                    column=feature.name,
                    file=file,
                    count=count,
                    examples=[repr(value) for value in pc.unique(values.filter(unseen))[:5].to_pylist()],
                    fix="train again with data that have them; correct their spelling; "
                    + let_pass("unseen_levels", count="counted"),
                )
        return total


def _has_infinite(column: pa.ChunkedArray) -> bool:
    if not pa.types.is_floating(column.type):
        return False
    limits = pc.min_max(column).as_py()  # ignores NaN
    return any(limit is not None and math.isinf(limit) for limit in limits.values())


def _range(column: pa.ChunkedArray) -> tuple[float, float] | None:
    limits = pc.min_max(column).as_py()
    low, high = limits["min"], limits["max"]
    return (float(low), float(high)) if low is not None and math.isfinite(low) and math.isfinite(high) else None
