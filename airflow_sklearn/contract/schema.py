"""The feature schema: what the model was trained on, exactly enough to rebuild the same arrays from other data."""

from __future__ import annotations

from typing import Literal

from airflow_sklearn.contract.document import Value

FeatureKind = Literal["numeric", "categorical", "boolean", "datetime", "text"]
Method = Literal["predict", "predict_proba", "decision_function"]
Scalar = bool | int | float | str | None

LARGEST_BATCH = 2**20  # rows


class Distribution(Value):
    """How a feature was distributed in training, for comparison later.

    Numbers and dates: ``edges`` (n+1 values) bound ``counts`` (n). Categories: ``counts`` follow ``levels``.
    """

    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


class Feature(Value):
    """One column that the estimator sees."""

    name: str
    kind: FeatureKind
    arrow_type: str
    """As pyarrow spells it: ``int64``, ``double``, ``string``, ``bool``, ``timestamp[us]``, ``date32[day]``."""
    levels: tuple[str, ...] | None = None
    """Categorical: the values seen in training, sorted; None for other kinds."""
    null_count: int = 0
    null_rate: float = 0.0
    minimum: Scalar = None
    maximum: Scalar = None
    """Numbers as they are, datetimes as ISO 8601; None where a range means nothing."""
    distribution: Distribution = Distribution()


class Column(Value):
    """A column that is carried, not learned from: a primary key, a passthrough."""

    name: str
    arrow_type: str


class Target(Value):
    """What the model predicts."""

    name: str
    arrow_type: str
    task: Literal["classification", "regression"]
    classes: tuple[Scalar, ...] = ()
    """Classification: the labels in the order of the estimator's ``classes_``."""


class OutputColumn(Value):
    """One column of predictions."""

    name: str
    arrow_type: str
    method: Method
    index: int | None = None
    """The column of the estimator's answer, None when the answer has one dimension."""


class Policies(Value):
    """What happens when data to predict differ from the training data."""

    missing_columns: Literal["error", "null"] = "error"
    """A feature's column is absent: refuse, or read it as nulls and count."""
    unseen_levels: Literal["error", "count"] = "count"
    """A category that training did not have."""
    unexpected_nulls: Literal["error", "count"] = "count"
    """A null in a feature that had none in training."""
    wrong_types: Literal["error", "null", "quarantine"] = "error"
    """A value that does not parse as the feature's type: refuse, read it as null, or set its row aside in a file."""
    duplicate_keys: Literal["error", "count"] = "error"
    """The same primary key twice within a chunk."""
    version_mismatch: Literal["error", "warn"] = "error"
    """The worker has other package versions than the model was trained with."""


class FeatureSchema(Value):
    """Everything that prediction needs to know of the training table."""

    features: tuple[Feature, ...]
    """In training order."""
    targets: tuple[Target, ...]
    primary_key: tuple[Column, ...] = ()
    policies: Policies = Policies()

    @property
    def feature_names(self) -> tuple[str, ...]:
        return tuple(feature.name for feature in self.features)
