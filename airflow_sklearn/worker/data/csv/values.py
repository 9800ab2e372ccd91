"""The null spellings of a CSV column, and how its numbers are spelled."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from airflow_sklearn.contract.data import NULL_SPELLINGS
from airflow_sklearn.worker.data.types import is_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.data import CsvOptions
    from airflow_sklearn.worker.data.columns import ReadColumn

#: A prefix for texts that are no numbers in this dialect, though Arrow would read them as numbers.
_NO_NUMBER = "no number: "


def null_spellings(column: ReadColumn, options: CsvOptions) -> tuple[str, ...]:
    """The texts that are null in a column: those that the user declares, else pandas' own; for text those of the
    column.
    """
    if options.null_values is not None:
        return options.null_values
    return column.null_spellings if is_text(column.type) else NULL_SPELLINGS


def with_nulls(values: pa.Array, spellings: Sequence[str]) -> pa.Array:
    """A column of strings, dictionary-encoded or not, in which these spellings are null."""
    if not pa.types.is_dictionary(values.type):
        shortest = pc.min(pc.binary_length(values)).as_py()
        if shortest is None or shortest > max((len(spelling.encode()) for spelling in spellings), default=0):
            return values
        one = len(spellings) == 1  # ten times as fast
        hits = pc.equal(values, spellings[0]) if one else pc.is_in(values, pa.array(spellings, values.type))
        return pc.if_else(hits, pa.scalar(None, values.type), values) if pc.any(hits).as_py() else values
    hits = pc.is_in(values.dictionary, pa.array(spellings, values.dictionary.type))
    if not pc.any(hits).as_py():
        return values
    null = hits.to_numpy(zero_copy_only=False)
    places = np.where(null, 0, np.cumsum(~null) - 1).astype(np.int32)  # in the new, shorter dictionary
    codes = values.indices.fill_null(0).to_numpy()
    mask = null[codes] | values.indices.is_null().to_numpy(zero_copy_only=False)
    kept = values.dictionary.filter(pa.array(~null))
    return pa.DictionaryArray.from_arrays(pa.array(places[codes], pa.int32(), mask=mask), kept)


@dataclass(frozen=True)
class Numerals:
    """How a dialect spells numbers.

    :param decimal: the decimal point.
    :param thousands: the separator between groups of digits; ``""``: none.
    """

    decimal: str = "."
    thousands: str = ""

    @property
    def are_plain(self) -> bool:
        """Whether Arrow can read these numbers directly."""
        return self.decimal == "." and not self.thousands

    def plain(self, values: pa.Array) -> pa.Array:
        """Numbers in Arrow's spelling: ``1.234,5`` becomes ``1234.5``. Texts that are no number in this dialect get a
        prefix.

        A group of the wrong size is no number, such as ``1.5`` with points between thousands: its meaning is not
        certain.
        """
        if self.are_plain:
            return values
        if self.thousands:
            group = re.escape(self.thousands)
            pattern = rf"^\s*[+-]?\d{{1,3}}({group}\d{{2,3}})*{group}\d{{3}}({re.escape(self.decimal)}\d*)?\s*$"
            grouped = pc.match_substring_regex(values, pattern)
            values = pc.if_else(grouped, pc.replace_substring(values, self.thousands, ""), values)
        if self.decimal == ".":
            return values
        wrong = pc.match_substring(values, ".")
        if pc.any(wrong).as_py():
            values = pc.if_else(wrong, pc.binary_join_element_wise(_NO_NUMBER, values, ""), values)
        return pc.replace_substring(values, self.decimal, ".")
