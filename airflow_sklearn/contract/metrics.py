"""The metrics of a model's version, computed from its out-of-sample rows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, JsonValue

from airflow_sklearn.contract.document import Document, Value
from airflow_sklearn.contract.schema import Scalar
from airflow_sklearn.contract.validation import Validation

MetricTask = Literal["binary", "multiclass", "regression"]

#: By task, the metric that models are compared by.
MAIN_METRIC: dict[MetricTask, str] = {
    "binary": "roc_auc",
    "multiclass": "roc_auc_macroavg",
    "regression": "r_squared",
}
#: Metrics of which a lower value is better.
LOWER_IS_BETTER = frozenset({"log_loss", "brier_score", "rmse", "mae", "mad"})


class Interval(Value):
    """A confidence interval. None: the metric is not defined in enough resamples."""

    low: float | None
    high: float | None


class MetricValues(Value):
    """The metrics of some rows."""

    rows: int = Field(ge=0)
    weight: float | None = None
    """The sum of the rows' weights; None: the rows have none."""
    values: dict[str, JsonValue] = {}
    """The metrics by name: numbers; lists with a number for each class, or each decile; curves and histograms. None:
    the rows or the estimator do not allow it."""
    intervals: dict[str, Interval | tuple[Interval, ...]] = {}
    """The confidence intervals by the metric's name; several for a list."""


class SegmentMetrics(MetricValues):
    """The metrics of the rows that have one value in a column."""

    column: str
    value: Scalar


class TargetMetrics(MetricValues):
    """The metrics of one target."""

    target: str
    task: MetricTask
    classes: tuple[Scalar, ...] = ()
    """Classes in the order of lists and of the confusion matrix; of two, the last one is the positive one."""
    segments: tuple[SegmentMetrics, ...] = ()
    oos_score_table: str = ""
    """The URI of the folder with the out-of-sample rows."""


class ModelMetrics(Document):
    """The metrics of one version of a model."""

    FORMAT = "airflow-sklearn/metrics"

    model: str
    version: str
    folds: int
    """The number of folds; 1: rows of another source."""
    validation: Validation | None = None
    """How the rows are divided into folds; None: shuffled, for classes stratified."""
    confidence: float
    """The share of resamples within an interval."""
    interval_method: str
    """How the intervals were computed, in words."""
    targets: tuple[TargetMetrics, ...]
