"""What ``TablePreprocessor`` learns from a table."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from airflow_sklearn.contract.faults import either, suggestion
from airflow_sklearn.models.columns import ArrowColumn, codes, count_levels, is_string, kind_of, microseconds, numbers
from airflow_sklearn.models.dates import DAYS, PERIODS, date_part
from airflow_sklearn.models.levels import TargetNumbers, as_levels, is_ordered, kept_levels, shares, words_per_value
from airflow_sklearn.models.number_columns import is_constant, is_rounded, mean_and_scale, number_arrays, offset_of

if TYPE_CHECKING:
    from collections.abc import Mapping

#: The warning about columns without a value, and about columns with one.
UNUSED = "Columns are null in every row, and are not used: {}"
CONSTANT = "Columns have the same value in every row, and are not used: {}"

#: The most levels of a category that ``HistGradientBoosting*`` takes.
NATIVE_LEVELS = 255

#: Texts have at least so many words on average.
_WORDS = 3.0

_NULL_TYPES = {
    "numeric": pa.float64(),
    "string": pa.large_string(),
    "category": pa.large_string(),
    "datetime": pa.timestamp("us"),
}

_CHOICES: dict[str, tuple[Any, ...]] = {
    "categories": ("onehot", "ordinal", "native"),
    "encoder": ("target", "frequency", "drop", "error"),
    "null_indicators": ("all", "expanded", "none"),
    "dates": ("numbers", "cyclic"),
    "constants": ("drop", "keep"),
    "null_columns": ("warn", "drop", "error"),
    "sparse": (True, False, "auto"),
    "target": ("auto", "classes", "numbers"),
}


def faults_of_params(params: Mapping[str, Any]) -> list[str]:
    """What is wrong with parameters of ``TablePreprocessor``, whatever the table is.

    :param params: all parameters by name.
    """
    faults = [
        f"{name}={params[name]!r} is not one of {list(allowed)}.{suggestion(str(params[name]), map(str, allowed))}"
        for name, allowed in _CHOICES.items()
        if params[name] not in allowed
    ]
    impute = params["impute"]
    if not (impute in ("mean", "median", None) or _is_number(impute)):
        faults.append(f"impute={impute!r} is not 'mean', 'median', a number or None.")
    if params["min_frequency"] is not None and not (
        _is_number(params["min_frequency"]) and params["min_frequency"] > 0
    ):
        faults.append(f"min_frequency={params['min_frequency']!r} is not a number of rows, a share of them, or None.")
    for name in ("max_levels", "text_columns", "warn_levels"):
        if not isinstance(params[name], int) or params[name] < 1:
            faults.append(f"{name}={params[name]!r} is not a whole number, 1 or more.")
    parts = [*PERIODS, DAYS]
    for part in params["date_parts"] or ():
        if part not in parts:
            faults.append(f"date_parts: {part!r} is no part of a date: give {either(parts)}.{suggestion(part, parts)}")
    for name in ("expand", "text"):
        if isinstance(params[name], str) and params[name] not in ("auto", "none"):
            faults.append(f"{name}={params[name]!r} is not 'auto', 'none' or a list of names.")
    return faults


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


class Learner:
    """Learns from one table.

    :param params: the parameters of ``TablePreprocessor``.
    :param columns: the table's columns.
    :param target: the target's numbers; None: there is no target.
    """

    def __init__(
        self, params: Mapping[str, Any], columns: dict[str, ArrowColumn], target: TargetNumbers | None
    ) -> None:
        self.params, self.columns, self.target = params, columns, target
        self.used_target = False
        self.levels: dict[str, list[str]] = {}
        self.expanded: list[str] = []
        self.other_levels: list[str] = []
        self.null_levels: list[str] = []
        self.tables: dict[str, np.ndarray] = {}
        self.table_parts: dict[str, list[str]] = {}
        self.texts: list[str] = []
        self.encoded: dict[str, int] = {}

    def learn(self) -> dict[str, Any]:
        """Learn everything.

        :return: the attributes, by name.
        :raises TypeError: columns have types that cannot be used.
        :raises ValueError: see ``TablePreprocessor.fit``.
        """
        self._check_params()
        self.kinds = self._learn_kinds()
        self._learn_levels()
        numbers_found = self._learn_numbers()
        return {
            "kinds_": list(self.kinds.values()),
            "levels_": self.levels,
            "expanded_": self.expanded,
            "other_levels_": self.other_levels,
            "null_levels_": self.null_levels,
            "tables_": self.tables,
            "texts_": self.texts,
            **numbers_found,
        }

    # ------------------------------------------------------------------ parameters

    def _check_params(self) -> None:
        faults = faults_of_params(self.params)
        for name in ("expand", "text"):
            faults += self._faults_of_names(name)
        if faults:
            raise ValueError(" ".join(faults))

    def _faults_of_names(self, param: str) -> list[str]:
        value = self.params[param]
        if isinstance(value, str):
            return []
        return [
            f"{param}: there is no column {name!r}.{suggestion(str(name), self.columns)}"
            for name in value
            if name not in self.columns
        ]

    def _listed(self, param: str) -> list[str]:
        value = self.params[param]
        return [] if isinstance(value, str) else list(value)

    # ------------------------------------------------------------------ kinds

    def _learn_kinds(self) -> dict[str, str]:
        """The kind of each column: ``numeric``, ``string``, ``category`` (also of other values than strings),
        ``datetime``, ``unused``.
        """
        found = {name: kind_of(column.type) for name, column in self.columns.items()}
        if wrong := {name: str(self.columns[name].type) for name, kind in found.items() if kind is None}:
            raise TypeError(
                f"Columns are neither numbers, booleans, strings nor dates: {wrong}. Exclude or convert them."
            )
        kinds = {name: self._kind(name, str(kind)) for name, kind in found.items()}
        nothing = [name for name, kind in kinds.items() if kind == "null"]
        if nothing and self.params["null_columns"] == "error":
            raise ValueError(f"Columns are null in every row: {nothing}. Exclude them (excluded_columns).")
        if nothing and self.params["null_columns"] == "warn":
            warnings.warn(UNUSED.format(nothing), stacklevel=6)
        if constant := [name for name, kind in kinds.items() if kind == "constant"]:
            warnings.warn(CONSTANT.format(constant), stacklevel=6)
        return {name: "unused" if kind in ("null", "constant") else kind for name, kind in kinds.items()}

    def _kind(self, name: str, kind: str) -> str:
        column = self.columns[name]
        if is_all_null(column, kind):
            return "null"
        kind = "numeric" if kind == "boolean" else kind
        if self.params["constants"] == "drop" and kind != "datetime" and is_constant(column, kind):
            return "constant"
        if name in self._listed("expand"):
            if kind == "datetime":
                raise ValueError(f"expand: {name!r} is a date, which has no levels. Leave it out, or make it a text.")
            return kind if kind == "string" and not pa.types.is_dictionary(column.type) else "category"
        if pa.types.is_dictionary(column.type) and not is_string(column.type.value_type):
            return "category"
        if name in self._listed("text") and kind != "string":
            raise ValueError(f"text: {name!r} holds no strings. Leave it out.")
        no_dates = self.params["date_parts"] is not None and not len(self.params["date_parts"])
        return "unused" if kind == "datetime" and no_dates else kind

    # ------------------------------------------------------------------ categories

    def _learn_levels(self) -> None:
        too_many: list[str] = []
        many: dict[str, int] = {}
        for name in [name for name, kind in self.kinds.items() if kind in ("string", "category")]:
            column = as_levels(self.columns[name]) if self.kinds[name] == "category" else self.columns[name]
            counts = count_levels(column)
            if self._is_text(name, column, len(counts)):
                self.texts.append(name)
                continue
            if not self._is_expanded(name):
                self._encode(name, column, counts, too_many)
                continue
            all_ordered = self.params["categories"] != "onehot"
            levels = kept_levels(counts, column, self.params["min_frequency"], all_ordered=all_ordered)
            is_rest = bool(counts.keys() - set(levels))
            ordered = self.params["categories"] == "native" and is_ordered(column)
            if len(levels) + is_rest > self._most_levels() and not ordered:
                self._encode(name, column, counts, too_many)
                continue
            self.levels[name] = levels
            if ordered:
                self.tables[name] = np.array([*range(len(levels)), np.nan, np.nan])[:, None]
                self.table_parts[name] = [""]
                continue
            self.expanded.append(name)
            self.other_levels += [name] if is_rest else []
            nulls = counts.total() < len(column) and self.params["null_indicators"] != "none"
            self.null_levels += [name] if nulls and self.params["categories"] == "onehot" else []
            if len(levels) > self.params["warn_levels"] and self.params["categories"] != "native":
                many[name] = len(levels)
        self._tell_of_many_levels(too_many, many)

    def _tell_of_many_levels(self, too_many: list[str], many: dict[str, int]) -> None:
        if too_many:
            raise ValueError(
                f"Columns have more than {self._most_levels():,} levels: {too_many}. They look like keys or free text. "
                "Exclude them (excluded_columns), or let encoder='target' make numbers of them."
            )
        if many:
            warnings.warn(
                f"Columns have more than {self.params['warn_levels']} levels: {many}. Are they keys?", stacklevel=6
            )
        if self.encoded and self.params["encoder"] == "drop":
            warnings.warn(f"Columns have too many levels, and are not used (levels): {self.encoded}", stacklevel=6)
        elif self.encoded:
            how = "mean of the target" if self.used_target else "share of rows"
            warnings.warn(
                f"Columns have too many levels to expand; each level is its {how} (levels): {self.encoded}. Are they "
                "keys?",
                stacklevel=6,
            )

    def _is_text(self, name: str, column: ArrowColumn, levels: int) -> bool:
        if self.params["text"] != "auto":
            return name in self._listed("text")
        if self.kinds[name] != "string" or levels <= self._most_levels() or name in self._listed("expand"):
            return False
        return words_per_value(column) >= _WORDS

    def _is_expanded(self, name: str) -> bool:
        return self.params["expand"] == "auto" or name in self._listed("expand")

    def _most_levels(self) -> int:
        most: int = self.params["max_levels"]
        return min(most, NATIVE_LEVELS) if self.params["categories"] == "native" else most

    def _encode(self, name: str, column: ArrowColumn, counts: Any, too_many: list[str]) -> None:
        """Learn the numbers that stand for a category's levels."""
        encoder = self.params["encoder"]
        if encoder == "error":
            too_many.append(name)
            return
        if len(counts) > self._most_levels():
            self.encoded[name] = len(counts)
        if encoder == "drop":
            self.kinds[name] = "unused"
            return
        # The mean of a single row's target says nothing about the level, but all of them about levels to come.
        least = max(2, self.params["min_frequency"] or 0)
        levels = kept_levels(counts, column, least, all_ordered=False)
        code = codes(column, levels)
        self.levels[name] = levels
        if encoder == "target" and self.target is not None:
            self.used_target = True
            self.tables[name] = self.target.table(code, len(levels) + 2)
            self.table_parts[name] = [f"target={part}" if part else "target" for part in self.target.names]
            if len(self.target.names) == 1:
                self.table_parts[name] = ["target"]
        else:
            self.tables[name] = shares(code, len(levels) + 2)
            self.table_parts[name] = ["frequency"]

    # ------------------------------------------------------------------ numbers

    def _learn_numbers(self) -> dict[str, Any]:
        found: list[tuple[str, str]] = []
        indicators: list[str] = []
        offsets = {name: offset for name in self._of_kind("numeric") if (offset := offset_of(self.columns[name]))}
        if rounded := [name for name in offsets if is_rounded(self.columns[name])]:
            warnings.warn(
                f"Columns hold whole numbers further apart than 2**53, which are rounded: {rounded}. Exclude keys "
                "(excluded_columns), and expand codes (expand=[...]).",
                stacklevel=6,
            )
        means, scales, fills, infinite = [], [], [], []
        impute = self.params["impute"]
        for name, parts in self._number_parts().items():
            if name in self.tables:
                code = codes(self._level_column(name), self.levels[name])
                arrays = [column.take(code) for column in self.tables[name].T]
            else:
                arrays = number_arrays(self.columns[name], parts, offsets.get(name, 0))
            for part, values in zip(parts, arrays, strict=True):
                mean, scale = mean_and_scale(values)
                if not (np.isfinite(mean) and np.isfinite(scale)) and impute is not None:
                    infinite.append(name)
                found.append((name, part))
                means.append(mean)
                scales.append(scale)
                fills.append(self._fill(values, mean, offsets.get(name, 0)))
            flags = impute is not None and self.params["null_indicators"] == "all"
            if flags and arrays and name not in self.tables and np.isnan(arrays[0]).any():
                indicators.append(name)
        if infinite:
            raise ValueError(f"Columns hold infinite or too large numbers: {infinite}. Replace them by nulls.")
        return {
            "numbers_": found,
            "means_": np.array(means),
            "scales_": np.array(scales),
            "fills_": np.array(fills),
            "offsets_": offsets,
            "null_indicators_": indicators,
        }

    def _fill(self, values: np.ndarray, mean: float, offset: int) -> float:
        impute = self.params["impute"]
        if impute == "median":
            known = values[~np.isnan(values)]
            return float(np.median(known)) if len(known) else 0.0
        return mean if impute in ("mean", None) else float(impute) - offset

    def _number_parts(self) -> dict[str, list[str]]:
        """The parts of each column that becomes numbers: numbers first, then dates, then encoded categories."""
        parts = {name: [""] for name in self._of_kind("numeric")}
        parts |= {name: self._informative_parts(self.columns[name]) for name in self._of_kind("datetime")}
        return parts | self.table_parts

    def _informative_parts(self, column: ArrowColumn) -> list[str]:
        """The parts of a date that vary in training. With ``cyclic`` each counts twice (``month_sin``,
        ``month_cos``).
        """
        moments, nulls = microseconds(column)
        moments = moments[~nulls]
        asked = PERIODS if self.params["date_parts"] is None else self.params["date_parts"]
        informative = [part for part in asked if len(moments) and np.ptp(date_part(moments, part))]
        if self.params["dates"] == "numbers":
            return informative
        return [p for part in informative for p in ([f"{part}_sin", f"{part}_cos"] if PERIODS.get(part) else [part])]

    def _level_column(self, name: str) -> ArrowColumn:
        return as_levels(self.columns[name]) if self.kinds[name] == "category" else self.columns[name]

    def _of_kind(self, kind: str) -> list[str]:
        return [name for name, found in self.kinds.items() if found == kind]


def learned_before(state: Mapping[str, Any]) -> dict[str, Any]:
    """The attributes that a preprocessor fitted by version 0.1 lacks.

    :param state: its attributes.
    """
    return {
        "expanded_": list(state["levels_"]),
        "other_levels_": [],
        "tables_": {},
        "texts_": [],
        "offsets_": {},
        "fills_": state["means_"],
    }


def is_all_null(column: ArrowColumn, kind: str | None) -> bool:
    """Whether a column has no value."""
    return bool(column.null_count == len(column) or (kind == "numeric" and np.isnan(numbers(column)).all()))


def as_kind(column: ArrowColumn, kind: str) -> ArrowColumn | None:
    """The column if its values are of the kind that training had, else None. A column of nulls is of any kind."""
    found = kind_of(column.type)
    if found == kind or (found == "boolean" and kind == "numeric") or (found and kind == "category"):
        return column
    return pa.nulls(len(column), _NULL_TYPES[kind]) if is_all_null(column, found) else None
