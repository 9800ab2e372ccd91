"""The feature schema: all that is needed to make the same arrays as in training from other data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Literal

from airflow_sklearn.contract.document import Later, Value

if TYPE_CHECKING:
    from collections.abc import Collection

FeatureKind = Literal["numeric", "categorical", "boolean", "datetime", "text"]
#: One column of a kind in a person's words, and several.
KIND_WORDS: dict[FeatureKind, tuple[str, str]] = {
    "numeric": ("number", "numbers"),
    "categorical": ("category", "categories"),
    "boolean": ("boolean", "booleans"),
    "datetime": ("date", "dates"),
    "text": ("text", "texts"),
}
Method = Literal["predict", "predict_proba", "decision_function", "transform", "score_samples"]
Task = Literal["classification", "regression", "clustering", "outliers", "transformation"]
Scalar = bool | int | float | str | None
#: The formats of artifacts. ``skops`` holds no pickle, and is loaded only if all its types are trusted.
Serializer = Literal["joblib", "skops"]

#: What an estimator can be asked for, in the order in which ``method="auto"`` chooses.
METHODS_BEST_FIRST: tuple[Method, ...] = (
    "predict_proba",
    "predict",
    "decision_function",
    "transform",
    "score_samples",
)

LARGEST_BATCH = 2**20  # rows


def label_text(label: Scalar) -> str:
    """A class as a part of a column's name: ``true``, ``1``, ``yes``."""
    if isinstance(label, bool):
        return str(label).lower()
    return str(int(label)) if isinstance(label, float) and label.is_integer() else str(label)


def best_first(methods: Collection[str]) -> tuple[Method, ...]:
    """The known methods among these, in the order in which ``method="auto"`` chooses."""
    return tuple(method for method in METHODS_BEST_FIRST if method in methods)


class Distribution(Value):
    """The distribution of a feature in training, for later comparison.

    Numbers and dates: ``edges`` (n+1 values) bound ``counts`` (n). Categories: ``counts`` follow ``levels``.
    """

    edges: tuple[float, ...] = ()
    counts: tuple[int, ...] = ()


class Dtype(Value):
    """The pandas dtype of a column of the training files. Estimators with preprocessing of their own get this dtype."""

    name: str
    """As pandas spells it: ``int64``, ``float32``, ``str``, ``category``, ``datetime64[us, UTC]``, ``Int64``."""
    categories: tuple[Scalar, ...] | None = None
    """``category``: all of them in their order, also those that no row has; dates as ISO 8601."""
    null: Literal["None", "NaN"] = "None"
    """The null among Python objects: pandas reads None from Parquet, and NaN from CSV."""


class Feature(Value):
    """One column that the estimator sees."""

    name: str
    kind: FeatureKind
    arrow_type: str
    """As pyarrow spells it: ``int64``, ``double``, ``string``, ``bool``, ``timestamp[us]``, ``date32[day]``."""
    dtype: Annotated[Dtype | None, Later()] = None
    """None: the package's own preprocessing uses the column's kind, not its dtype in pandas."""
    levels: tuple[str, ...] | None = None
    """Categorical: the values seen in training as text, sorted; all categories in their order where they are ordered.
    None for other kinds."""
    ordered: Annotated[bool, Later()] = False
    """Categorical: whether the levels are ordered."""
    null_count: int = 0
    null_rate: float = 0.0
    minimum: Scalar = None
    maximum: Scalar = None
    """Smallest and largest value: numbers, or datetimes as ISO 8601; None: there is no range."""
    distribution: Distribution = Distribution()

    @property
    def is_unused(self) -> bool:
        """Whether training had no value at all, so that nothing was learned, and no value is required."""
        return self.null_rate == 1.0


class Column(Value):
    """A column that is copied into the output, not learned from: of the primary key, or passed through."""

    name: str
    arrow_type: str
    """Empty: not known before the source is read."""


class Target(Value):
    """What the model predicts.

    A column of the training table; for tasks without such a column, the word that begins the names of predictions.
    """

    name: str
    arrow_type: str
    task: Task
    classes: tuple[Scalar, ...] = ()
    """Classification: the labels in the order of the estimator's ``classes_``."""


class Bins(Value):
    """Bins of a number: the first one lies below the first edge, each other one begins with an edge."""

    edges: tuple[float, ...]
    """Ascending."""
    labels: tuple[Scalar, ...] = ()
    """The results, one more than edges. Empty: the numbers of the bins, from 1 on."""


class OutputColumn(Value):
    """One column of predictions."""

    name: str
    arrow_type: str
    method: Method
    index: int | None = None
    """The column of the method's result; None: the result has one dimension."""
    target: Annotated[str, Later()] = ""
    """The target whose estimator is asked, in a model with an estimator for each of several targets. Empty: the model
    itself is asked."""
    width: Annotated[int | None, Later()] = None
    """The number of columns of the method's result; None: as many as there are outputs of it."""
    bins: Annotated[Bins | None, Later()] = None
    """The bins by which the result's number is replaced; None: it is the prediction."""
    reason: Annotated[int | None, Later()] = None
    """The rank, from 1 on, of the feature that moved the score of ``method``: its name in a text, its effect in a
    number. None: the column is a prediction."""


class Policies(Value):
    """What happens to values that training did not have."""

    missing_columns: Literal["error", "null"] = "error"
    """A feature's column is missing: refuse, or read it as nulls and count."""
    unseen_levels: Literal["error", "count", "level"] = "count"
    """A category that training did not have: refuse it; count it, and predict it as no level at all; or count it, and
    predict it as the level that training made of its rarest levels."""
    unexpected_nulls: Literal["error", "count"] = "count"
    """A null in a feature that had none in training."""
    wrong_types: Literal["error", "null", "quarantine"] = "error"
    """A value that does not parse as the feature's type: refuse, read it as null, or set its row aside in a file."""
    duplicate_keys: Literal["error", "count"] = "error"
    """The same primary key twice within a chunk."""
    version_mismatch: Literal["error", "warn"] = "error"
    """The worker has other package versions than the model was trained with."""


class FeatureSchema(Value):
    """Everything that prediction needs to know about the training table."""

    features: tuple[Feature, ...]
    """In training order."""
    targets: tuple[Target, ...]
    primary_key: tuple[Column, ...] = ()
    policies: Policies = Policies()

    @property
    def feature_names(self) -> tuple[str, ...]:
        """The names of the features in their order."""
        return tuple(feature.name for feature in self.features)

    @property
    def used_features(self) -> tuple[Feature, ...]:
        """The features of which training had values. A source may lack the others."""
        return tuple(feature for feature in self.features if not feature.is_unused)
