"""Predictions of a fitted estimator as named, typed columns, computed in batches of one fixed shape."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pat
from scipy import sparse
from sklearn.pipeline import Pipeline

from airflow_sklearn.contract.schema import Bins, Feature, Method, OutputColumn, Target, label_text
from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.columns import decoded, kind_of
from airflow_sklearn.models.dtypes import same_dtypes
from airflow_sklearn.models.fitting import asking
from airflow_sklearn.models.frames import accepts_arrow, estimator_input
from airflow_sklearn.models.tasks import METHODS, methods_of

if TYPE_CHECKING:
    from collections.abc import Sequence

log = logging.getLogger(__name__)

#: Rows in a batch. Larger batches are hardly faster (10% for forests), and need more memory and padding.
DEFAULT_BATCH_ROWS = 16_384

_SMALLEST_BATCH_ROWS = 1_024
_BATCH_BYTES = 32 * 2**20  # of one float64 matrix of the features

_MOST_COLUMNS = 1_024  # that transform may give

_LABEL_TYPES = {
    "int64": pa.int64(),
    "uint64": pa.uint64(),
    "bool": pa.bool_(),
    "string": pa.string(),
    "double": pa.float64(),
}


#: The allowed share of rows whose class is not the one with the highest decision value. Ties may cause some.
_MOST_DIFFERENT = 0.25


class UnnamedAnswerError(UserError):
    """The columns of a method's result have no names here, such as one column for each pair of classes."""


def batch_rows_for(n_features: int) -> int:
    """The rows in each batch for a table with so many features: a power of two, smaller for wide tables."""
    rows = DEFAULT_BATCH_ROWS
    while rows > _SMALLEST_BATCH_ROWS and rows * max(n_features, 1) * 8 > _BATCH_BYTES:
        rows //= 2
    return rows


def output_columns(estimator: Any, target: Target, method: Method) -> tuple[OutputColumn, ...]:
    """The columns of a method's predictions.

    ``predict``: ``{target}_pred``. ``predict_proba``: ``{target}_proba_{class}`` for each class. ``decision_function``:
    ``{target}_decision``, or ``{target}_decision_{class}`` for more than two classes. ``score_samples``:
    ``{target}_score``. ``transform``: of a clustering ``cluster_distance_{number}``, else the names that the estimator
    gives its columns.

    :param estimator: a fitted estimator.
    :raises UserError: the estimator lacks the method.
    """
    if method not in (there := methods_of(estimator, target.task)):
        raise UserError(f"The model ({type(estimator).__name__}) has no {method}: use one of {list(there)}.")
    if method == "predict":
        arrow_type = "double" if target.task == "regression" else _label_type(target.arrow_type)
        return (OutputColumn(name=f"{target.name}_pred", arrow_type=arrow_type, method=method),)
    if method == "score_samples" or (method == "decision_function" and len(target.classes) <= 2):
        word = "score" if method == "score_samples" else "decision"
        return (OutputColumn(name=f"{target.name}_{word}", arrow_type="double", method=method),)
    if method == "transform":
        names = _transformed_names(estimator, target)
    else:
        word = "proba" if method == "predict_proba" else "decision"
        classes = target.classes if target.task == "classification" else range(_components(estimator))
        names = [f"{target.name}_{word}_{label_text(label)}" for label in classes]
    return tuple(
        OutputColumn(name=name, arrow_type="double", method=method, index=index) for index, name in enumerate(names)
    )


def _components(estimator: Any) -> int:
    """The number of components of a mixture."""
    return len(innermost(estimator).weights_)


def _transformed_names(estimator: Any, target: Target) -> list[str]:
    """The names of the columns that ``transform`` gives, each only once."""
    try:
        names = [str(name) for name in estimator.get_feature_names_out()]
    except Exception as error:
        raise UnnamedAnswerError(
            f"the columns of {type(estimator).__name__}.transform have no names (get_feature_names_out raised "
            f"{type(error).__name__}: {error})."
        ) from error
    if target.task == "clustering":
        names = [f"{target.name}_distance_{number}" for number in range(len(names))]
    if len(names) > _MOST_COLUMNS:
        raise UnnamedAnswerError(
            f"transform gives {len(names):,} columns, and a table of predictions has at most {_MOST_COLUMNS:,}. Fix: "
            "reduce them, by PCA or a selection, as the last step of the pipeline."
        )
    return names


def usable_outputs(
    estimator: Any, target: Target, table: pa.Table, features: Sequence[Feature]
) -> dict[Method, tuple[OutputColumn, ...]]:
    """The output columns of every method whose result can be named, in the order of preference.

    :param estimator: a fitted estimator.
    :param table: some rows for which the methods are tried, shape (rows, at least the features).
    :raises UserError: no method is usable.
    """
    found: dict[Method, tuple[OutputColumn, ...]] = {}
    unnamed = []
    X = estimator_input(estimator, table, features)
    for method in methods_of(estimator, target.task):
        try:
            outputs = output_columns(estimator, target, method)
            with asking(estimator, method):
                answers = predict_arrays(estimator, X, outputs)
                if method == "decision_function" and len(outputs) > 1:
                    _check_classes(estimator, X, answers)
        except UnnamedAnswerError as error:
            log.warning("%s is left out: %s", method, error)
            unnamed.append(str(error))
        else:
            found[method] = outputs
    if not found:
        why = " ".join(unnamed) or f"It has none of {', '.join(METHODS[target.task])}."
        raise UserError(f"The fitted {type(estimator).__name__} cannot be asked for predictions. {why}")
    return found


def innermost(estimator: Any) -> Any:
    """The estimator that answers, inside of fitted searches and at the end of pipelines."""
    core = estimator
    while inner := getattr(core, "best_estimator_", None) or (isinstance(core, Pipeline) and core.steps[-1][1]):
        core = inner
    return core


def _check_classes(estimator: Any, X: Any, answers: Sequence[np.ndarray]) -> None:
    """Check that the columns of ``decision_function`` belong to the classes.

    With three classes there are three pairs of classes too, so that the number of columns does not tell.

    :raises UnnamedAnswerError: they do not.
    """
    core = innermost(estimator)
    pairs = getattr(core, "decision_function_shape", None) == "ovo"
    highest = np.asarray(estimator.classes_)[np.argmax(np.column_stack(answers), axis=1)]
    differ = float(np.mean(highest != np.asarray(estimator.predict(X)).reshape(len(highest))))
    if pairs or differ > _MOST_DIFFERENT:
        raise UnnamedAnswerError(
            f"the {len(answers)} columns of {type(core).__name__}.decision_function are pairs of classes, not classes"
            + (" (decision_function_shape='ovo'). Fix: use 'ovr'." if pairs else ".")
        )


def predict_arrays(estimator: Any, X: Any, outputs: Sequence[OutputColumn]) -> list[np.ndarray]:
    """Call each method that outputs need once, and split the results into columns.

    :param X: the result of ``estimator_input``, of shape (rows, features), with at least one row.
    :param outputs: columns of ``output_columns``, all of a method or those whose ``width`` is known.
    :return: an array of shape (rows,) for each output.
    :raises UnnamedAnswerError: a result has another number of rows, or of columns.
    """
    answers: dict[tuple[str, str], np.ndarray] = {}
    for source in dict.fromkeys((output.target, output.method) for output in outputs):
        of_it = [output for output in outputs if (output.target, output.method) == source]
        answers[source] = _answer(estimator_of(estimator, source[0]), X, of_it)
    columns = []
    for output in outputs:
        answer = answers[output.target, output.method]
        column = answer if output.index is None else np.ascontiguousarray(answer[:, output.index])
        columns.append(column if output.bins is None else binned(column, output.bins))
    return columns


def estimator_of(estimator: Any, target: str) -> Any:
    """The estimator that answers for a target: the model itself, or one of its ``estimators_by_target_``.

    :param target: ``OutputColumn.target``.
    """
    return estimator.estimators_by_target_[target] if target else estimator


def _answer(estimator: Any, X: Any, outputs: Sequence[OutputColumn]) -> np.ndarray:
    """The result of a method, of shape (rows,) or (rows, columns). All outputs are of this method."""
    method, first = outputs[0].method, outputs[0]
    answer = getattr(estimator, method)(X)
    if sparse.issparse(answer):
        answer = answer.toarray()
    width = first.width or len({output.index for output in outputs})
    expected = (len(X),) if first.index is None else (len(X), width)
    shape = np.shape(answer)
    if shape != expected and not (len(expected) == 1 and shape == (len(X), 1)):
        raise UnnamedAnswerError(
            f"{method} of {type(estimator).__name__} answered {len(X):,} rows with the shape {shape}, but {expected} "
            f"was expected, for the columns {[output.name for output in outputs]}."
        )
    answer = np.asarray(answer)
    if method == "transform":
        try:
            answer = answer.astype(np.float64)
        except (TypeError, ValueError):
            name = type(estimator).__name__
            raise UnnamedAnswerError(f"transform of {name} gives values that are no numbers.") from None
    return answer.reshape(len(X)) if first.index is None else answer


def binned(values: np.ndarray, bins: Bins) -> np.ndarray:
    """The bins of numbers, of shape (rows,): labels or numbers from 1 on; None where there is no number."""
    numbers = np.searchsorted(np.asarray(bins.edges), values, side="right")
    found = np.asarray(bins.labels, dtype=object)[numbers] if bins.labels else (numbers + 1).astype(object)
    found[np.isnan(values)] = None
    return found


def to_arrow(arrays: Sequence[np.ndarray], outputs: Sequence[OutputColumn]) -> list[pa.Array]:
    """Arrays of predictions as Arrow arrays of the output columns' types."""
    return [
        pa.array(array.tolist() if array.dtype == object else array, type=_LABEL_TYPES[output.arrow_type])
        for array, output in zip(arrays, outputs, strict=True)
    ]


def fixed_shape(table: pa.Table, rows: int, filler: pa.Table | None = None) -> pa.Table:
    """Pad a table to a fixed number of rows by repeating one row.

    BLAS rounds a row's result differently for batches of different shapes. In batches of one shape a row's prediction
    depends on the row alone: it is the same however the source was cut.

    :param table: shape (at least 1 and at most ``rows``, columns).
    :param rows: the number of rows of the result.
    :param filler: a table with the one row to repeat, and the same columns. It should be short, since long texts are
        repeated too. None: the table's last row.
    :raises ValueError: the table has no rows, or more than ``rows``.
    """
    if not 0 < table.num_rows <= rows:
        raise ValueError(f"A batch of {table.num_rows:,} rows does not fit into the fixed shape of {rows:,} rows.")
    if table.num_rows == rows:
        return table
    if filler is None:
        return table.take(pa.array(np.minimum(np.arange(rows), table.num_rows - 1)))
    filled = pa.concat_tables([table, _like(filler, table, rows - table.num_rows)])
    return filled.unify_dictionaries().combine_chunks()


def fitting_filler(
    estimator: Any, table: pa.Table, features: Sequence[Feature], filler: pa.Table | None
) -> pa.Table | None:
    """The row to fill up batches of a table with: the given one, unless it would change the dtypes of the other rows.

    :param table: rows with equal dtypes.
    """
    if filler is None or not table.num_rows or accepts_arrow(estimator):
        return filler
    both = pa.concat_tables([table.slice(0, 1), _like(filler, table)])
    return shortest_row(table) if len(same_dtypes(both, features)) > 1 else filler


def _like(filler: pa.Table, table: pa.Table, times: int = 1) -> pa.Table:
    """One row, repeated, in the types of a table."""
    columns = [_repeated(filler[field.name], field.type, times) for field in table.schema]
    return pa.table(columns, schema=table.schema)


def shortest_row(rows: pa.Table) -> pa.Table:
    """The row with the shortest texts, to fill up batches of a fixed shape.

    :param rows: at least one row.
    :return: a table of one row.
    """
    lengths = np.zeros(rows.num_rows, np.int64)
    for column in rows.columns:
        values = decoded(column)
        if pat.is_string(values.type) or pat.is_large_string(values.type):
            lengths += pc.fill_null(pc.binary_length(values), 0).to_numpy().astype(np.int64)
    return rows.slice(int(lengths.argmin()), 1)


def _repeated(column: pa.ChunkedArray, kind: pa.DataType, times: int) -> pa.Array:
    """The only value of a column, repeated."""
    if not pat.is_dictionary(kind):
        return pa.repeat(column.cast(kind)[0], times)
    values = decoded(column).cast(kind.value_type).combine_chunks()
    indices = pa.repeat(pa.scalar(0 if values.null_count == 0 else None, kind.index_type), times)
    return pa.DictionaryArray.from_arrays(indices, values.drop_null(), ordered=kind.ordered)


def predict_table(
    estimator: Any,
    table: pa.Table,
    features: Sequence[Feature],
    outputs: Sequence[OutputColumn],
    batch_rows: int = DEFAULT_BATCH_ROWS,
    *,
    pad: bool = True,
    filler: pa.Table | None = None,
) -> pa.Table:
    """Predict a whole table in batches.

    :param estimator: a fitted estimator.
    :param table: shape (rows, at least the features); may be empty.
    :param features: the features of the feature schema.
    :param outputs: see ``predict_arrays``.
    :param batch_rows: the largest number of rows in a batch.
    :param pad: give all batches exactly ``batch_rows`` rows; see ``fixed_shape``.
    :param filler: see ``fixed_shape``.
    :return: shape (rows, outputs), in the order of the table.
    """
    groups = [] if accepts_arrow(estimator) else same_dtypes(table, features)
    if len(groups) > 1:
        answers = [
            predict_table(estimator, table.take(pa.array(g)), features, outputs, batch_rows, pad=pad, filler=filler)
            for g in groups
        ]
        return pa.concat_tables(answers).take(pa.array(np.argsort(np.concatenate(groups)))).combine_chunks()
    filler = fitting_filler(estimator, table, features, filler) if pad else None
    batches = []
    schema = pa.schema([(output.name, _LABEL_TYPES[output.arrow_type]) for output in outputs])
    for start in range(0, table.num_rows, batch_rows):
        rows = table.slice(start, batch_rows)
        X = estimator_input(estimator, fixed_shape(rows, batch_rows, filler) if pad else rows, features)
        answer = to_arrow([array[: rows.num_rows] for array in predict_arrays(estimator, X, outputs)], outputs)
        batches.append(pa.RecordBatch.from_arrays(answer, schema=schema))
    return pa.Table.from_batches(batches, schema=schema)


def _label_type(arrow_type: str) -> str:
    """The type of predicted labels: the target's type at its greatest width."""
    try:
        kind = kind_of(pa.type_for_alias(arrow_type))
        integer = pat.is_integer(pa.type_for_alias(arrow_type))
    except ValueError:  # pyarrow has no alias for decimals
        return "double"
    widest = "uint64" if arrow_type == "uint64" else "int64"
    return {"string": "string", "boolean": "bool"}.get(kind or "", widest if integer else "double")
