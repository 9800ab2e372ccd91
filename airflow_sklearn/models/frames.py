"""Arrow tables as input for estimators. The same features give the same dtypes, whatever values the rows hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pyarrow as pa
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier

from airflow_sklearn.exceptions import UserError
from airflow_sklearn.models.arrow_types import parse_type
from airflow_sklearn.models.columns import ArrowColumn, arrow_columns, decoded, microseconds, numbers
from airflow_sklearn.models.dtypes import as_dtype, categorical

if TYPE_CHECKING:
    from collections.abc import Sequence

    from airflow_sklearn.contract.schema import Feature

#: pandas' dtype ``str``, whose null is NaN. That of ``string`` is ``pd.NA``, an unknown category to encoders.
try:
    _STR = pd.StringDtype(na_value=np.nan)
except TypeError:  # pandas before 2.3 has another parameter
    _STR = pd.StringDtype("pyarrow_numpy")


def estimator_input(estimator: Any, table: pa.Table | pa.RecordBatch, features: Sequence[Feature]) -> Any:
    """The input for an estimator's ``fit`` or ``predict``: the features only, in training order.

    :param estimator: takes Arrow if it, or a Pipeline's first step, has ``accepts_arrow = True``.
    :param table: shape (rows, at least the features).
    :param features: the features of the feature schema.
    :return: an Arrow table if the estimator takes it, else a DataFrame; shape (rows, features).
    :raises UserError: columns are missing, or their values do not convert.
    """
    if not accepts_arrow(estimator):
        return to_frame(table, features)
    _require(table, features)
    return table.select([feature.name for feature in features])


def accepts_arrow(estimator: Any) -> bool:
    """Whether an estimator, or the first step of a Pipeline, declares ``accepts_arrow = True``. Wrappers that hand on
    their input unchanged accept what their estimator does.
    """
    if isinstance(estimator, CalibratedClassifierCV | FixedThresholdClassifier | FrozenEstimator):
        return accepts_arrow(estimator.estimator)
    if steps := getattr(estimator, "steps", None):
        return accepts_arrow(steps[0][1])
    return bool(getattr(estimator, "accepts_arrow", False))


def to_frame(table: pa.Table | pa.RecordBatch, features: Sequence[Feature]) -> pd.DataFrame:
    """A DataFrame of the features, in training order, with dtypes that depend on the features only.

    A feature with a ``dtype`` gets that (see ``as_dtype``). Others get:

    - numeric and boolean: float64; null is NaN;
    - categorical and text: pandas' ``str``; null is NaN. Ordered categories, and those of other values than strings,
      get ``category``;
    - datetime: ``datetime64[us]`` in UTC without a zone; null is NaT.

    :param table: shape (rows, at least the features). Strings may be dictionary-encoded.
    :param features: the features of the feature schema.
    :raises UserError: columns are missing, or their values do not convert; the message lists all of them.
    """
    columns = _require(table, features)
    converted, wrong = {}, []
    for feature in features:
        try:
            converted[feature.name] = _convert(columns[feature.name], feature)
        except pa.ArrowException as error:
            wrong.append(f"{feature.name!r} is {feature.kind} but holds {columns[feature.name].type} ({error})")
    if wrong:
        raise UserError("Columns do not convert to their features: " + "; ".join(wrong) + ".")
    return pd.DataFrame(converted, index=pd.RangeIndex(table.num_rows), copy=False)


def _require(table: pa.Table | pa.RecordBatch, features: Sequence[Feature]) -> dict[str, ArrowColumn]:
    columns = arrow_columns(table)
    if missing := [feature.name for feature in features if feature.name not in columns]:
        raise UserError(f"The table lacks columns that the model was trained with: {missing}.")
    return columns


def _convert(column: ArrowColumn, feature: Feature) -> Any:
    if feature.dtype is not None:
        return as_dtype(column, feature)
    if feature.kind in ("numeric", "boolean"):
        return numbers(column)
    if feature.kind == "datetime":
        values, nulls = microseconds(column)
        moments = values.astype("datetime64[us]")
        moments[nulls] = np.datetime64("NaT")
        return moments
    if feature.kind == "categorical" and (feature.ordered or feature.arrow_type != "string"):
        levels = pa.array(feature.levels, pa.string()).cast(parse_type(feature.arrow_type))
        return categorical(column, levels, feature.ordered)
    return _STR.__from_arrow__(decoded(column).cast(pa.large_string()))
