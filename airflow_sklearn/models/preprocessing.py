"""The default preprocessing: makes a matrix of numbers from a table."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
import pyarrow as pa
from scipy import sparse as sp
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.utils.validation import check_is_fitted

from airflow_sklearn.models.columns import (
    ArrowColumn,
    arrow_columns,
    codes,
    count_levels,
    dictionary_of,
    is_string,
    kind_of,
    microseconds,
    numbers,
)
from airflow_sklearn.models.dates import PERIODS, date_part, on_circle

if TYPE_CHECKING:
    from collections import Counter

#: Rows that are scaled at a time, so that their numbers stay in the processor's cache.
_BLOCK_ROWS = 1024

#: With a larger share of non-zero entries a dense matrix is smaller and faster (ColumnTransformer has the same limit).
_DENSE_FROM = 0.3

_NULL_TYPES = {
    "numeric": pa.float64(),
    "string": pa.large_string(),
    "category": pa.large_string(),
    "datetime": pa.timestamp("us"),
}

#: The warning about columns without a value.
UNUSED = "Columns are null in every row, and are not used: {}"


class TablePreprocessor(TransformerMixin, BaseEstimator):
    """Turns numbers, booleans, strings, categories, dates and nulls into a matrix of float64.

    ``fit`` and ``transform`` take a pandas DataFrame or an Arrow table, and give the same bits for both. Arrow with
    dictionary-encoded strings is fastest: only the dictionary's values are looked up, not the rows.

    - Columns whose values were all null in training are not used.
    - Numbers and booleans are imputed with the mean and scaled. Those that had nulls in training get an indicator
      column.
    - Dates become numbers: year, month, day, weekday and hour (UTC), as far as they varied in training.
    - Strings and categories get one indicator column a level, and one for nulls if training had nulls. Categories may
      have values of any type, also numbers. A value that training did not have gives zeros in all these columns. With
      ``categories="ordinal"`` they become the level's number instead: ordered categories in their order, others sorted
      as text. Nulls and values that training did not have are then NaN (-1 with ``impute``).

    :param categories: ``"onehot"``, or ``"ordinal"`` (for trees).
    :param impute: ``"mean"``, or None to keep nulls as NaN for estimators that take them.
    :param scale: subtract the mean, and divide by the standard deviation, of training's non-null values.
    :param dates: ``"numbers"``, or ``"cyclic"`` for sine and cosine of each part except the year (for linear models).
    :param sparse: whether the result is a ``scipy.sparse.csr_matrix``. ``"auto"``: ``fit`` decides by the share of
        zeros. With ``categories="ordinal"`` the result is never sparse.
    :param warn_levels: warn about columns with more levels than this.
    :param max_levels: refuse columns with more levels than this.

    Learned attributes: ``feature_names_in_``, ``n_features_in_``, ``kinds_`` (one word a column), ``levels_`` (lists by
    column), ``numbers_`` (for each number its column and its date part, or ""), ``means_`` and ``scales_`` (for each
    number), ``null_indicators_`` and ``null_levels_`` (the columns that have one), ``sparse_``.
    """

    accepts_arrow = True

    def __init__(
        self,
        *,
        categories: Literal["onehot", "ordinal"] = "onehot",
        impute: Literal["mean"] | None = "mean",
        scale: bool = True,
        dates: Literal["numbers", "cyclic"] = "numbers",
        sparse: bool | Literal["auto"] = "auto",
        warn_levels: int = 500,
        max_levels: int = 5000,
    ) -> None:
        self.categories = categories
        self.impute = impute
        self.scale = scale
        self.dates = dates
        self.sparse = sparse
        self.warn_levels = warn_levels
        self.max_levels = max_levels

    # ------------------------------------------------------------------ learning

    def fit(self, X: Any, y: Any = None) -> Self:
        """Learn levels, means and scales.

        :param X: a pandas DataFrame, an Arrow table or a record batch, of shape (rows, features).
        :param y: ignored.
        :raises TypeError: ``X`` is no table with named columns, or has columns that are neither numbers, booleans,
            strings nor dates.
        :raises ValueError: a parameter has an unknown value, ``X`` has no rows, columns have too many levels, or
            numbers are infinite.
        """
        self._check_params()
        columns = arrow_columns(X)
        if not columns or not len(next(iter(columns.values()))):
            raise ValueError(f"A table of {len(columns)} columns without rows cannot be learned from.")
        self.feature_names_in_ = np.array(list(columns), dtype=object)
        self.n_features_in_ = len(columns)
        self.kinds_ = _learn_kinds(columns)
        if unused := self._of_kind("unused"):
            warnings.warn(UNUSED.format(unused), stacklevel=2)
        self._learn_levels(columns)
        self._learn_numbers(columns)
        self.sparse_ = self._wants_sparse()
        return self

    def _check_params(self) -> None:
        allowed: dict[str, tuple[Any, ...]] = {
            "categories": ("onehot", "ordinal"),
            "impute": ("mean", None),
            "dates": ("numbers", "cyclic"),
            "sparse": (True, False, "auto"),
        }
        for name, values in allowed.items():
            if getattr(self, name) not in values:
                raise ValueError(f"{name}={getattr(self, name)!r} is not one of {list(values)}.")

    def _learn_levels(self, columns: dict[str, ArrowColumn]) -> None:
        self.levels_: dict[str, list[str]] = {}
        self.null_levels_: list[str] = []
        for name in self._of_kind("string", "category"):
            counts = count_levels(columns[name], limit=self.max_levels)
            self.levels_[name] = self._in_order(counts, columns[name])
            if self.categories == "onehot" and counts.total() < len(columns[name]):
                self.null_levels_.append(name)
        if too_many := [name for name, levels in self.levels_.items() if len(levels) > self.max_levels]:
            raise ValueError(
                f"Columns have more than {self.max_levels:,} levels: {too_many}. They look like keys or free text. "
                "Exclude them (excluded_columns), or give the estimator a preprocessing of its own."
            )
        if many := {name: len(levels) for name, levels in self.levels_.items() if len(levels) > self.warn_levels}:
            warnings.warn(f"Columns have more than {self.warn_levels} levels: {many}. Are they keys?", stacklevel=3)

    def _in_order(self, counts: Counter[str], column: ArrowColumn) -> list[str]:
        if not (pa.types.is_dictionary(column.type) and column.type.ordered):
            return sorted(counts)
        ordered = dictionary_of(column).cast(pa.large_string()).to_pylist()
        return [level for level in ordered if level in counts or self.categories == "ordinal"]

    def _learn_numbers(self, columns: dict[str, ArrowColumn]) -> None:
        self.numbers_: list[tuple[str, str]] = []
        self.null_indicators_: list[str] = []
        means, scales, infinite = [], [], []
        sources = [(name, [""]) for name in self._of_kind("numeric")]
        sources += [(name, self._informative_parts(columns[name])) for name in self._of_kind("datetime")]
        for name, parts in sources:
            arrays = _number_arrays(columns[name], parts)
            for part, values in zip(parts, arrays, strict=True):
                mean, scale = _mean_and_scale(values)
                if not (np.isfinite(mean) and np.isfinite(scale)) and self.impute:
                    infinite.append(name)
                self.numbers_.append((name, part))
                means.append(mean)
                scales.append(scale)
            if self.impute and arrays and np.isnan(arrays[0]).any():
                self.null_indicators_.append(name)
        if infinite:
            raise ValueError(f"Columns hold infinite or too large numbers: {infinite}. Replace them by nulls.")
        self.means_, self.scales_ = np.array(means, dtype=np.float64), np.array(scales, dtype=np.float64)

    def _informative_parts(self, column: ArrowColumn) -> list[str]:
        """The parts of a date that vary in training. With ``cyclic`` each counts twice (``month_sin``,
        ``month_cos``).
        """
        moments, nulls = microseconds(column)
        moments = moments[~nulls]
        informative = [part for part in PERIODS if len(moments) and np.ptp(date_part(moments, part))]
        if self.dates == "numbers":
            return informative
        return [p for part in informative for p in ([f"{part}_sin", f"{part}_cos"] if PERIODS[part] else [part])]

    def _wants_sparse(self) -> bool:
        if self.categories == "ordinal" or self.sparse is False:
            return False
        entries = len(self.numbers_) + len(self.null_indicators_) + len(self.levels_)
        return self.sparse is True or entries < _DENSE_FROM * len(self.get_feature_names_out())

    # ------------------------------------------------------------------ using what was learned

    def transform(self, X: Any) -> np.ndarray | sp.csr_matrix:
        """The matrix for the estimator.

        :param X: a table with the columns of training, in any order.
        :return: float64 of shape (rows, len(get_feature_names_out())): numbers in training order, then null indicators,
            then categories.
        :raises ValueError: columns are missing, are additional, have another kind of values than in training, or are
            infinite.
        """
        check_is_fitted(self)
        given = arrow_columns(X)
        columns = self._conform(given)
        parts: dict[str, list[str]] = {}
        for name, part in self.numbers_:
            parts.setdefault(name, []).append(part)
        arrays = [values for name in parts for values in _number_arrays(columns[name], parts[name])]
        places = [codes(columns[name], levels) for name, levels in self.levels_.items()]
        rows = len(next(iter(given.values()), ()))
        if self.categories == "ordinal":
            return self._ordinal(rows, arrays, places)
        return self._sparse_onehot(rows, arrays, places) if self.sparse_ else self._dense_onehot(rows, arrays, places)

    def get_feature_names_out(self, input_features: Any = None) -> np.ndarray:
        """The names of the result's columns, such as ``age``, ``joined:month``, ``age is null``, ``city=Rome``, ``city
        is null``.

        :param input_features: ignored; the names are those of training.
        :return: an array of str objects.
        """
        check_is_fitted(self, "numbers_")
        names = [f"{name}:{part}" if part else name for name, part in self.numbers_]
        names += [f"{name} is null" for name in self.null_indicators_]
        if self.categories == "ordinal":
            return np.array([*names, *self.levels_], dtype=object)
        for name, levels in self.levels_.items():
            names += [f"{name}={level}" for level in levels]
            names += [f"{name} is null"] if name in self.null_levels_ else []
        return np.array(names, dtype=object)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False  # a matrix without column names is not accepted
        tags.input_tags.string = tags.input_tags.categorical = tags.input_tags.allow_nan = True
        return tags

    def _of_kind(self, *kinds: str) -> list[str]:
        return [name for name, found in zip(self.feature_names_in_, self.kinds_, strict=True) if found in kinds]

    def _conform(self, columns: dict[str, ArrowColumn]) -> dict[str, ArrowColumn]:
        """The columns in training order.

        :raises ValueError: columns do not fit; the message lists all faults.
        """
        every = dict(zip(self.feature_names_in_, self.kinds_, strict=True))
        expected = {name: kind for name, kind in every.items() if kind != "unused"}
        conformed = {name: _as_kind(columns[name], kind) for name, kind in expected.items() if name in columns}
        wrong = []
        if missing := [name for name in expected if name not in columns]:
            wrong.append(f"missing: {missing}")
        if extra := [name for name in columns if name not in every]:
            wrong.append(f"not seen in training: {extra}")
        for name in [name for name, column in conformed.items() if column is None]:
            wrong.append(f"{name!r} was {expected[name]} in training and is {columns[name].type} now")
        if wrong:
            raise ValueError("The columns are not those of training: " + "; ".join(wrong) + ".")
        return conformed

    def _write_numbers(self, out: np.ndarray, arrays: list[np.ndarray]) -> None:
        """Write imputed and scaled numbers into the first columns of ``out`` (C order), and null indicators after
        them.
        """
        count = len(arrays)
        place = {name: j for j, (name, _) in reversed(list(enumerate(self.numbers_)))}
        flagged = [place[name] for name in self.null_indicators_]
        factors = 1.0 / self.scales_
        for start in range(0, len(out), _BLOCK_ROWS):
            rows = out[start : start + _BLOCK_ROWS]
            block = rows[:, :count]
            for j, values in enumerate(arrays):
                block[:, j] = values[start : start + _BLOCK_ROWS]
            if self.scale:
                block -= self.means_
                block *= factors
            if self.impute:
                null = np.isnan(block)
                np.copyto(block, 0.0 if self.scale else self.means_, where=null)
                rows[:, count : count + len(flagged)] = null[:, flagged]
                if not np.isfinite(block).all():
                    raise ValueError(self._infinite(arrays))

    def _infinite(self, arrays: list[np.ndarray]) -> str:
        counts = {name: int(np.isinf(values).sum()) for (name, _), values in zip(self.numbers_, arrays, strict=True)}
        found = {name: count for name, count in counts.items() if count}
        return f"Columns hold infinite numbers (column: rows): {found}. Replace them by nulls."

    # ------------------------------------------------------------------ the three shapes of a result

    def _ordinal(self, rows: int, arrays: list[np.ndarray], places: list[np.ndarray]) -> np.ndarray:
        width = len(arrays) + len(self.null_indicators_)
        out = np.empty((rows, width + len(places)))
        self._write_numbers(out, arrays)
        for j, (levels, place) in enumerate(zip(self.levels_.values(), places, strict=True)):
            absent = -1.0 if self.impute else np.nan
            out[:, width + j] = np.array([*range(len(levels)), absent, absent])[place]
        return out

    def _onehot_columns(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """For each category: the matrix column and the entry there, by code (levels, then null, then unseen).

        A code without a column of its own becomes a zero in the category's first column.
        """
        start = len(self.numbers_) + len(self.null_indicators_)
        tables = []
        for name, levels in self.levels_.items():
            own = len(levels) + (name in self.null_levels_)
            column = np.full(len(levels) + 2, start, dtype=np.int32)
            column[:own] += np.arange(own, dtype=np.int32)
            tables.append((column, (np.arange(len(levels) + 2) < own).astype(np.float64)))
            start += own
        return [(column.clip(max=max(start - 1, 0)), entry) for column, entry in tables]

    def _sparse_onehot(self, rows: int, arrays: list[np.ndarray], places: list[np.ndarray]) -> sp.csr_matrix:
        """The sparse matrix. Every row has the same number of entries, so that building it needs no search for
        zeros.
        """
        first = len(arrays) + len(self.null_indicators_)
        width = first + len(places)
        data, indices = np.empty((rows, width)), np.empty((rows, width), dtype=np.int32)
        self._write_numbers(data, arrays)
        indices[:, :first] = np.arange(first, dtype=np.int32)
        for j, ((column, entry), place) in enumerate(zip(self._onehot_columns(), places, strict=True), start=first):
            indices[:, j] = column.take(place)
            data[:, j] = entry.take(place)
        starts = np.arange(0, rows * width + 1, width) if width else np.zeros(rows + 1, dtype=np.int32)
        shape = (rows, len(self.get_feature_names_out()))
        return sp.csr_matrix((data.ravel(), indices.ravel(), starts), shape=shape)

    def _dense_onehot(self, rows: int, arrays: list[np.ndarray], places: list[np.ndarray]) -> np.ndarray:
        first = len(arrays) + len(self.null_indicators_)
        out = np.empty((rows, len(self.get_feature_names_out())))
        out[:, first:] = 0.0
        self._write_numbers(out, arrays)
        row = np.arange(rows)
        for (column, entry), place in zip(self._onehot_columns(), places, strict=True):
            out[row, column.take(place)] = entry.take(place)
        return out


def _learn_kinds(columns: dict[str, ArrowColumn]) -> list[str]:
    """The kind of each column: ``numeric``, ``string``, ``category`` (of other values than strings), ``datetime``,
    ``unused``.
    """
    kinds = {name: kind_of(column.type) for name, column in columns.items()}
    if wrong := {name: str(columns[name].type) for name, kind in kinds.items() if kind is None}:
        raise TypeError(f"Columns are neither numbers, booleans, strings nor dates: {wrong}. Exclude or convert them.")
    return [_learn_kind(column, str(kinds[name])) for name, column in columns.items()]


def _learn_kind(column: ArrowColumn, kind: str) -> str:
    if _is_all_null(column, kind):
        return "unused"
    if pa.types.is_dictionary(column.type) and not is_string(column.type.value_type):
        return "category"
    return "numeric" if kind == "boolean" else kind


def _is_all_null(column: ArrowColumn, kind: str | None) -> bool:
    return bool(column.null_count == len(column) or (kind == "numeric" and np.isnan(numbers(column)).all()))


def _as_kind(column: ArrowColumn, kind: str) -> ArrowColumn | None:
    """The column if its values are of the kind that training had, else None. A column of nulls is of any kind."""
    found = kind_of(column.type)
    if found == kind or (found == "boolean" and kind == "numeric") or (found and kind == "category"):
        return column
    return pa.nulls(len(column), _NULL_TYPES[kind]) if _is_all_null(column, found) else None


def _number_arrays(column: ArrowColumn, parts: list[str]) -> list[np.ndarray]:
    """The float64 arrays of a column: the column itself for the part "", else an array for each date part. Nulls are
    NaN.
    """
    if parts == [""]:
        return [numbers(column)]
    moments, nulls = microseconds(column)
    arrays = []
    for part in parts:
        base, _, curve = part.partition("_")
        values = date_part(moments, base)
        array = on_circle(values, base)[curve == "cos"] if curve else values.astype(np.float64)
        array[nulls] = np.nan
        arrays.append(array)
    return arrays


def _mean_and_scale(values: np.ndarray) -> tuple[float, float]:
    """Mean and standard deviation of the non-null values. Without values the mean is 0; a constant's scale is 1."""
    known = values[~np.isnan(values)]
    if not len(known):
        return 0.0, 1.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean, scale = float(known.mean()), float(known.std())
    # Rounding may give a constant a standard deviation just above zero. Like scikit-learn, treat that as zero.
    return mean, scale if scale > 10 * np.finfo(np.float64).eps * abs(mean) else 1.0
