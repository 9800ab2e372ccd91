"""Logging what a training learns from, and warning about possible mistakes."""

from __future__ import annotations

import logging
import re
import warnings
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat

from airflow_sklearn.contract.faults import counted
from airflow_sklearn.contract.schema import KIND_WORDS
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.columns import decoded, kind_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from airflow_sklearn.contract.schema import Feature, FeatureKind

_LOG = logging.getLogger("airflow_sklearn.worker")
_SHOWN = 12  # the most names of each kind in the log
_FEWEST_ROWS = 20  # with fewer rows, values that all differ mean nothing
_UNNAMED = re.compile(r"\s*|Unnamed: \d+|__index_level_\d+__|index|level_\d+", re.IGNORECASE)


def tell_what_is_learned_from(
    features: Sequence[Feature], table: pa.Table, *, key: Sequence[str], unused: Mapping[str, str]
) -> None:
    """Log the features by kind and the other columns, and warn about possible mistakes.

    :param features: the features.
    :param table: the training rows, with at least the features' columns.
    :param key: the primary key's columns.
    :param unused: columns that are no features, each with the reason.
    :raises UserError: there is no feature.
    """
    if not features:
        raise UserError(
            "No column is left to learn from. Fix: exclude fewer columns, or read a source with more."
            + "".join(f"\n  - {name}: {why}" for name, why in unused.items())
        )
    by_kind: dict[FeatureKind, list[str]] = {}
    for feature in features:
        by_kind.setdefault(feature.kind, []).append(feature.name)
    _LOG.info("Learning from %s:", counted(len(features), "column"))
    for kind, names in by_kind.items():
        _LOG.info("  %d %s: %s", len(names), KIND_WORDS[kind][len(names) > 1], _listed(names))
    empty = [feature.name for feature in features if feature.null_count == table.num_rows]
    for name, why in {**unused, **dict.fromkeys(empty, "no value in any row")}.items():
        _LOG.info("  not used: %s (%s)", name, why)
    if not key:
        warnings.warn(
            "There is no primary_key: predictions will have nothing that says which row they belong to, and rows that "
            "occur twice cannot be found. Name the columns that identify a row.",
            stacklevel=2,
        )
    if unnamed := [feature.name for feature in features if _UNNAMED.fullmatch(feature.name)]:
        warnings.warn(
            f"Columns without a name of their own are learned from: {_listed(map(repr, unnamed))}. They look like the "
            "index of a table. Name them in excluded_columns, or in primary_key, unless they mean something.",
            stacklevel=2,
        )
    if keys := [f.name for f in features if f.name not in unnamed and _differs_in_every_row(table[f.name])]:
        warnings.warn(
            f"Columns with a different value in every row are learned from: {_listed(map(repr, keys))}. They look like "
            "keys, from which nothing can be learned. Name them in primary_key or excluded_columns.",
            stacklevel=2,
        )


def _differs_in_every_row(column: pa.ChunkedArray) -> bool:
    """Whether text or whole numbers differ in every row. Fractions and times may well do so."""
    values = decoded(column)
    if len(values) < _FEWEST_ROWS or values.null_count:
        return False
    if kind_of(values.type) == "string" or pat.is_integer(values.type):
        return bool(pc.count_distinct(values).as_py() == len(values))
    return False


def _listed(names: Iterable[str]) -> str:
    names = list(names)
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
