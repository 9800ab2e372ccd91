"""Warnings about values of a training table that may be mistakes. They are logged, and stored in the model's
manifest.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.contract.data import NULL_SPELLINGS
from airflow_sklearn.contract.shown import shown
from airflow_sklearn.worker.data.convert import is_code, is_long_code
from airflow_sklearn.worker.data.types import is_text

if TYPE_CHECKING:
    from collections.abc import Sequence

_EXAMPLES = 3
#: A column with so few distinct values is a category, whatever the values look like.
_FEWEST_VALUES = 3
#: Numbers as people write them: points, commas, blanks or quotes between digits; a sign, a currency, a percent sign.
_CURRENCY = r"(\p{Sc}|EUR|USD|GBP|CHF|JPY)"
_DIGITS = r"\d+([.,'_ \x{A0}\x{2019}\x{202F}]\d+)*[.,]?([eE][+-]?\d+)?"
_NUMBER = rf"^[+-]?\s?({_CURRENCY}\s?)?[+-]?{_DIGITS}(\s?({_CURRENCY}|%))?$"
_PARENTHESES = r"^\s*\((.*)\)\s*$"
#: Dates, times, versions and addresses are no numbers: they have other marks between digits, or more points.
_NO_NUMBER = r"\d\.\d+\.\d{1,2}$|\d\.\d+\.\d+\.\d+|^\s*\d{1,2}\.\d{1,2}\.\d{2,4}"


def warn_of_null_labels(target: pa.ChunkedArray, name: str) -> None:
    """Warn about classes whose spelling means null elsewhere (``NA``): they may be missing values.

    :param target: the target's values.
    :param name: the target's column.
    """
    if not is_text(target.type):
        return
    counts = pc.value_counts(_plain(target)).to_pylist()
    rows = {pair["values"]: pair["counts"] for pair in counts if pair["values"] in NULL_SPELLINGS}
    if rows:
        found = ", ".join(f"{label!r} ({count:,} rows)" for label, count in sorted(rows.items()))
        warnings.warn(
            f"The target {name!r} has classes that are spelled like a null: {found}. They are learned as classes. "
            f"Fix: if the target is missing there, say so: null_values={['', *sorted(rows)]!r} for CSV; in Parquet, "
            "write nulls.",
            stacklevel=2,
        )


def warn_of_numbers_in_text(features: pa.Table) -> None:
    """Warn about text columns in which most values look like numbers: each value would be a category of its own.

    :param features: the features, without those whose type the user has declared.
    """
    for field in features.schema:
        if is_text(field.type):
            values = _distinct(features[field.name])
            numbers = looks_like_number(values)
            count = pc.sum(numbers).as_py() or 0
            if len(values) >= _FEWEST_VALUES and 2 * count > len(values):
                _warn_of_numbers(field.name, values, numbers, count)


def looks_like_number(values: pa.Array) -> pa.Array:
    """Which texts are numbers to a person: a boolean array. Codes, which have leading zeros or are too long, are
    not.
    """
    trimmed = pc.replace_substring_regex(pc.utf8_trim_whitespace(values), _PARENTHESES, r"-\1")
    codes = pc.or_(is_code(trimmed), is_long_code(trimmed))
    other = pc.or_(codes, pc.match_substring_regex(trimmed, _NO_NUMBER))
    return pc.and_not(pc.match_substring_regex(trimmed, _NUMBER), other)


def _warn_of_numbers(name: str, values: pa.Array, numbers: pa.Array, count: int) -> None:
    others = values.filter(pc.invert(numbers))
    found = values.filter(numbers)
    if not len(others) and pc.all(_are_plain(found)).as_py():  # numbers in another dialect than the declared one
        what = f"all of its {len(values):,} values are plain numbers, such as {_shown(found)}"
        fix = "leave out decimal=... and thousands=..., or write the numbers as these say"
    elif pc.all(_are_plain(found)).as_py():
        what = f"{count:,} of its {len(values):,} values are numbers, the others are not, such as {_shown(others)}"
        fix = "correct these, or name them in null_values=[...] if they mean that nothing is known"
    else:
        what = f"{count:,} of its {len(values):,} values look like numbers, such as {_shown(found)}"
        fix = "say how numbers are written (decimal=',', thousands='.'), or write them plainly"
    warnings.warn(
        f"The column {name!r} is read as text, each value a category, but {what}. Fix: {fix}; if they are codes, "
        f"declare types={{{name!r}: 'string'}}.",
        stacklevel=3,
    )


def _are_plain(values: pa.Array) -> pa.Array:
    return pc.match_substring_regex(values, r"^\s*[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?\s*$")


def _shown(values: pa.Array) -> str:
    return ", ".join(dict.fromkeys(shown(value) for value in values[:_EXAMPLES].to_pylist()))


def _distinct(column: pa.ChunkedArray) -> pa.Array:
    chunks = [c.dictionary if pa.types.is_dictionary(c.type) else c.unique() for c in column.chunks]
    return pc.drop_null(pa.concat_arrays([pa.array([], pa.string()), *(c.cast(pa.string()) for c in chunks)]).unique())


def _plain(column: pa.ChunkedArray) -> pa.Array:
    chunks: Sequence[pa.Array] = [c.dictionary_decode() if pa.types.is_dictionary(c.type) else c for c in column.chunks]
    return pa.concat_arrays([chunk.cast(pa.string()) for chunk in chunks] or [pa.array([], pa.string())])
