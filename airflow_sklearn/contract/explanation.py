"""What a model has learned of its features: coefficients, importances, and the columns that its last step gets."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from airflow_sklearn.contract.document import Document, Later, Value

#: How rows can be explained. ``linear``: the score is a sum of coefficients times columns, and the intercept.
#: ``stack``: it is such a sum of the members' answers. ``mean``: it is the mean of the members' scores.
ExplainedKind = Literal["linear", "trees", "stack", "mean"]

ImportanceMethod = Literal["coefficients", "impurity", "permutation"]


class ExplainedColumn(Value):
    """A column that the last step of the model gets."""

    name: str
    feature: str = ""
    """The feature that it is made of; empty: of several."""
    mean: float = 0.0
    """Its mean in at most 10,000 training rows."""
    coefficients: tuple[float, ...] = ()
    """Of a linear model: one for each of ``outputs``; 0 for a column that a selection has left out."""


class Importance(Value):
    """How much a feature counts in the model."""

    feature: str
    value: float


class TargetExplanation(Value):
    """The explanation of the estimator of one target."""

    target: str
    kind: ExplainedKind | Literal["other"]
    """The kind of the last step."""
    exact: bool = False
    """Whether each row's score can be explained, so that the effects add up to it: the last step is linear, of a known
    kind of trees, or made of such members, and each column with a weight is made of one feature."""
    outputs: tuple[str, ...] = ()
    """Linear: the classes whose scores the coefficients belong to; of two classes the second one. Empty: one number."""
    intercepts: tuple[float, ...] = ()
    columns: tuple[ExplainedColumn, ...] = ()
    """The columns after preprocessing and before any selection; empty if they have no names."""
    used_features: tuple[str, ...] = ()
    """The features of which at least one column survived preprocessing and selection, in the table's order."""
    importances: tuple[Importance, ...] = ()
    """The most important feature first. Empty: there are none, because nothing was validated."""
    importance_method: ImportanceMethod | None = None
    """``coefficients``: the sum over the feature's columns, and the mean over the outputs, of the absolute coefficient
    times the column's standard deviation in training. ``impurity``: the estimator's own ``feature_importances_``.
    ``permutation``: the loss of score on held-out rows when the feature is permuted (Breiman 2001), the mean of three
    permutations; ``scoring`` says which score."""
    scoring: str = ""
    members: Annotated[tuple[TargetExplanation, ...], Later()] = ()
    """The estimators of a ``stack`` or a ``mean``, in their order."""


class ModelExplanation(Document):
    """The explanation of one version of a model."""

    FORMAT: ClassVar[str] = "airflow-sklearn/explanation"

    model: str
    version: str
    targets: tuple[TargetExplanation, ...]
