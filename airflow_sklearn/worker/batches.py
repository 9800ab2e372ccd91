"""Finding out in training whether an estimator's predictions depend on other rows, and which batches it needs.

- An estimator whose predictions differ when it is called again, or when other rows are in the batch, is refused: its
  predictions would depend on how a source is cut.
- One whose last bits depend on the number of rows (because of BLAS) is always called with the same number; short
  batches are filled up.
- All others are called with the rows as they come.
"""

from __future__ import annotations

import contextlib
import logging
import math
import time
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pyarrow as pa
import pyarrow.types as pat

from airflow_sklearn.contract.shown import shown
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.frames import estimator_input
from airflow_sklearn.models.outputs import batch_rows_for, shortest_row
from airflow_sklearn.worker.numeric import may_use_blas
from airflow_sklearn.worker.predictor import Predictor
from airflow_sklearn.worker.steps import name_of_differing_step

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from airflow_sklearn.contract.schema import Feature, Method, OutputColumn

_LOG = logging.getLogger("airflow_sklearn.worker")

#: A relative difference that rounding cannot explain.
TOLERANCE = 1e-9
#: The same if only the number or the order of the rows differs. In single precision, rounding may differ much.
_ROUGH = 1e-3
#: The share of rows that may differ by more, with the number or the order of rows: a number that is rounded differently
#: may fall on the other side of a tree's threshold.
_FEW = 0.1
#: A share of a column's largest number. Smaller numbers are only noise, such as decision values near 0.
_SMALL = 1e-6
_SHAPES = (1, 2, 3, 5, 7, 8, 9, 16, 17, 33, 63)
_LADDER = (64, 256, 1024, 4096, 16_384)
#: Seconds that a batch of a fixed shape may take. A chunk with few rows takes as long as a whole batch.
_FIXED_SECONDS = 0.1
_LONGEST_SECONDS = 2.0  # that a batch of any shape may take
_PROBE_SECONDS = 0.5
#: Bytes of the rows that are asked about, and how many there are at least: long texts take long, and tell no more.
_PROBE_BYTES, _PROBE_ROWS = 2**16, 16
_BUSY = 10.0  # the factor by which work may take longer on a busy machine
BATCH_BYTES = 32 * 2**20

Answers = dict[str, list[Any]]


@dataclass(frozen=True)
class Batches:
    """How to call an estimator.

    :param rows: the rows of a call: exactly so many with the shape ``fixed``, at most so many with ``any``.
    :param shape: ``fixed``, or ``any`` if the bits of predictions do not depend on the number of rows.
    """

    rows: int
    shape: Literal["fixed", "any"]


def learn_batches(
    estimator: Any,
    rows: pa.Table,
    features: Sequence[Feature],
    by_method: dict[Method, tuple[OutputColumn, ...]],
    *,
    fit_seconds: float,
) -> Batches:
    """Predict some rows in batches of several shapes, and compare.

    :param estimator: a fitted estimator.
    :param rows: some rows as prediction reads them, 1 to 64.
    :param features: the features of the feature schema.
    :param by_method: the outputs to predict, by method, the most important method first.
    :param fit_seconds: the seconds that fitting took. The predictions here take no longer, or one second.
    :raises UserError: predictions are random, or depend on other rows; the message names the responsible step.
    """
    affordable = _PROBE_BYTES * len(rows) // max(1, table_bytes(rows))
    few = rows.slice(0, max(_PROBE_ROWS, affordable))
    return _Probe(estimator, few, features, by_method, fit_seconds).learn()


@dataclass
class _Probe:
    estimator: Any
    rows: pa.Table
    features: Sequence[Feature]
    by_method: dict[Method, tuple[OutputColumn, ...]]
    fit_seconds: float
    seconds: dict[int, float] = field(default_factory=dict)

    def learn(self) -> Batches:
        self.watch = _Watch()
        first = self.ask(self.rows)
        self._refuse_random(first)
        same = self._depends_on_rows(first)
        same = self._same_in_shapes(self.rows, first) and same
        if same and may_use_blas(self.estimator, self._input(self.rows)):
            same = False  # equal bits may be by chance
        same = same and self._same_when_perturbed()
        largest = self._climb(first, max(2 * _FIXED_SECONDS, min(_LONGEST_SECONDS, self.fit_seconds)) if same else None)
        if largest is not None:
            return Batches(largest, "any")
        self._climb(first, None)
        fitting = [rows for rows, seconds in self.seconds.items() if seconds <= _FIXED_SECONDS]
        return Batches(max(fitting, default=_LADDER[0]), "fixed")

    def ask(self, rows: pa.Table, methods: int | None = None) -> Answers:
        found: Answers = {}
        for outputs in list(self.by_method.values())[:methods]:
            predicted = Predictor(self.estimator, self.features, outputs, max(1, rows.num_rows))(rows)
            found.update({name: predicted[name].to_pylist() for name in predicted.column_names})
        return found

    def _refuse_random(self, first: Answers) -> None:
        difference = _compare(first, self.ask(self.rows))
        if difference.rows_beyond(TOLERANCE):
            name = self._name(self.rows, range(len(self.rows)))
            raise UserError(
                f"{name} answers randomly: asked twice for the same rows it gave {difference.example()}. Predictions "
                "could not be repeated, nor checked. Fix: use an estimator that draws no numbers when it predicts."
            )
        if difference.any:
            _LOG.warning("Asked twice for the same rows, the model's answers differ in their last bits.")

    def _depends_on_rows(self, first: Answers) -> bool:
        """Whether the bits of a row's prediction change among other rows, or in another order.

        :raises UserError: predictions change by more than rounding.
        """
        count, same = len(self.rows), True
        filler = shortest_row(self.rows)
        for kept in (range((count + 1) // 2), range(count // 2, count)):
            order = [row if row in kept else count for row in range(count)]
            other = pa.concat_tables([self.rows, filler]).unify_dictionaries().take(order).combine_chunks()
            try:
                difference = _compare(first, self.ask(other), kept)
            except UserError as error:
                raise UserError(
                    f"The model predicts rows only beside certain other rows: {error} Fix: let transformers learn in "
                    "fit what they need to know of other rows."
                ) from error
            if difference.rows_beyond(TOLERANCE):
                name = self._name(other, kept)
                raise UserError(
                    f"{name} answers by the other rows of the batch: for the same row it gave "
                    f"{difference.example()}, beside other rows. Predictions would depend on how a source is cut. Fix: "
                    "learn what is needed of other rows (means, ranks, categories) in fit, not in transform."
                )
            same = same and not difference.any
        turned = {name: values[::-1] for name, values in self.ask(self.rows.take(list(range(count))[::-1])).items()}
        difference = _compare(first, turned)
        self._refuse_if_many(difference, count, "the place of a row in the batch")
        return same and not difference.any

    def _same_in_shapes(self, rows: pa.Table, first: Answers) -> bool:
        same = True
        for size in _SHAPES:
            if size >= len(rows):
                break
            if self.watch.seconds() > max(_PROBE_SECONDS, self.fit_seconds):
                return False
            start = (len(rows) - size) // 2
            kept = range(start, start + size)
            try:
                found = self.ask(rows.slice(start, size), methods=1)
            except UserError:  # no batch of a fixed shape has so few rows
                same = False
                continue
            difference = _compare({name: first[name][start : start + size] for name in found}, found)
            self._refuse_if_many(difference, len(kept), "the number of rows in the batch", least=5)
            same = same and not difference.any
        return same

    def _refuse_if_many(self, difference: _Difference, count: int, what: str, least: int = 1) -> None:
        beyond = len(difference.rows_beyond(_ROUGH))
        if beyond > _FEW * count and count >= least:
            raise UserError(
                f"{type(self.estimator).__name__} answers by {what}: for the same row it gave {difference.example()}. "
                "Predictions would depend on how a source is cut. Fix: let the answer for a row depend on the row."
            )

    def _same_when_perturbed(self) -> bool:
        """Whether the bits stay the same for numbers with many digits, too: sums of small whole numbers are never
        rounded.
        """
        if not any(pat.is_floating(column.type) for column in self.rows.columns):
            return True
        random, columns = np.random.default_rng(0), []
        for column in self.rows.columns:
            if pat.is_floating(column.type):
                noise = random.uniform(-1e-3, 1e-3, len(column))
                values = column.to_numpy() * (1 + noise) + noise
                columns.append(pa.array(values, column.type, from_pandas=True))
            else:
                columns.append(column)
        rows = pa.table(columns, schema=self.rows.schema)
        try:
            return self._same_in_shapes(rows, self.ask(rows, methods=1))
        except UserError:
            return False

    def _climb(self, first: Answers, longest: float | None) -> int | None:
        """Measure larger and larger batches.

        :param first: the predictions to compare with.
        :param longest: the most seconds for the largest batch; None: stop at the largest fixed shape.
        :return: the largest batch in which every row has the bits of ``first``; None if a row differs.
        """
        limit, best = longest or _FIXED_SECONDS, None
        for size in self._ladder():
            if longest is None and size in self.seconds:
                continue
            if self._expected_seconds(size) > 2 * limit:
                break
            watch = _Watch()
            same = self._same_when_repeated(first, size, methods=1)
            self.seconds[size] = watch.seconds()
            if longest is None:
                continue
            if not same:
                return None
            if self.seconds[size] > limit and best is not None:
                break
            best = size
        return best if best is None or self._same_when_repeated(first, min(best, 2 * _LADDER[0])) else None

    def _expected_seconds(self, size: int) -> float:
        """The expected seconds for so many rows: those of the call, and for each row as in the largest batch so far."""
        smaller = max((known for known in self.seconds if known < size), default=None)
        if smaller is None:
            return 0.0
        return self._call_seconds + (self.seconds[smaller] - self._call_seconds) * size / smaller

    @cached_property
    def _call_seconds(self) -> float:
        """The seconds for one row, which is about the time of the call itself."""
        watch = _Watch()
        with contextlib.suppress(UserError):  # the estimator may refuse so few rows
            self.ask(self.rows.slice(0, 1), methods=1)
        return watch.seconds()

    def _ladder(self) -> list[int]:
        longest = BATCH_BYTES * len(self.rows) // max(1, table_bytes(self.rows))
        most = batch_rows_for(len(self.features))
        return sorted({_LADDER[0], *(size for size in (*_LADDER, most) if size <= min(longest, most))})

    def _same_when_repeated(self, first: Answers, size: int, methods: int | None = None) -> bool:
        """Whether rows that are repeated up to ``size`` rows have the bits of ``first``."""
        order = np.resize(np.arange(len(self.rows)), size)
        found = self.ask(self.rows.take(pa.array(order)), methods)
        return not _compare({name: [first[name][row] for row in order] for name in found}, found).any

    def _input(self, rows: pa.Table) -> Any:
        return estimator_input(self.estimator, rows, self.features)

    def _name(self, other: pa.Table, kept: Sequence[int]) -> str:
        return name_of_differing_step(self.estimator, self._input(self.rows), self._input(other), kept)


class _Watch:
    """A stopwatch of this process's work, in which waiting hardly counts: a busy machine does not make an estimator
    slower.
    """

    def __init__(self) -> None:
        self._work, self._wall = time.process_time(), time.perf_counter()

    def seconds(self) -> float:
        return max(time.process_time() - self._work, (time.perf_counter() - self._wall) / _BUSY)


def table_bytes(table: pa.Table) -> int:
    """The bytes of a table's values. Dictionary-encoded values count about as much as without the dictionary."""
    size = 0
    for column in table.columns:
        if pat.is_dictionary(column.type):
            for chunk in column.chunks:
                size += len(chunk) * (4 + chunk.dictionary.nbytes // max(1, len(chunk.dictionary)))
        else:
            size += column.nbytes
    return size


@dataclass(frozen=True)
class _Difference:
    """Where two predictions differ: (row, relative difference, column, one value, the other value)."""

    found: tuple[tuple[int, float, str, Any, Any], ...]

    @property
    def any(self) -> bool:
        return bool(self.found)

    def rows_beyond(self, tolerance: float) -> set[int]:
        return {row for row, difference, *_ in self.found if difference > tolerance}

    def example(self) -> str:
        _, _, column, one, other = max(self.found, key=lambda found: found[1])
        return f"{shown(one)} and {shown(other)} ({column})"


def _compare(one: Answers, other: Answers, rows: Iterable[int] | None = None) -> _Difference:
    found = []
    for name, values in one.items():
        if rows is None and values == other[name]:
            continue  # nearly always, and without a loop in Python
        least = _SMALL * max((abs(x) for x in values if isinstance(x, float) and math.isfinite(x)), default=0.0)
        for row in range(len(values)) if rows is None else rows:
            difference = relative_difference(values[row], other[name][row], least)
            if difference:
                found.append((row, difference, name, values[row], other[name][row]))
    return _Difference(tuple(found))


def relative_difference(x: Any, y: Any, least: float) -> float:
    """The relative difference of two numbers; infinite for other values that differ.

    :param least: smaller numbers count as this number.
    """
    if isinstance(x, float) and isinstance(y, float):
        if x == y or (math.isnan(x) and math.isnan(y)):
            return 0.0
        with contextlib.suppress(OverflowError, ZeroDivisionError):
            found = abs(x - y) / max(abs(x), abs(y), least)
            return found if math.isfinite(found) else math.inf
        return math.inf
    return 0.0 if x == y else math.inf
