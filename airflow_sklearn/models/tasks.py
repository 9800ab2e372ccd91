"""What a fitted estimator does, and the methods by which it can be asked for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.base import is_classifier, is_clusterer, is_outlier_detector, is_regressor

from airflow_sklearn.contract.schema import Target, best_first

if TYPE_CHECKING:
    from airflow_sklearn.contract.schema import Method, Task

_SUPERVISED: tuple[Method, ...] = ("predict_proba", "predict", "decision_function")
#: The methods of each task that predictions can use.
METHODS: dict[Task, tuple[Method, ...]] = {
    "classification": _SUPERVISED,
    "regression": _SUPERVISED,
    "clustering": ("predict_proba", "predict", "transform", "score_samples"),
    "outliers": ("predict", "decision_function", "score_samples"),
    "transformation": ("transform",),
}
#: The word that begins the names of predictions, for tasks without a target.
_PREFIXES: dict[Task, str] = {"clustering": "cluster", "outliers": "outlier", "transformation": ""}


def task_of(estimator: Any) -> Task | None:
    """The task of an estimator in scikit-learn's sense; None if it can neither predict nor transform.

    Mixtures count as clustering, because they predict the component.
    """
    if is_classifier(estimator):
        return "classification"
    if is_regressor(estimator):
        return "regression"
    if is_outlier_detector(estimator):
        return "outliers"
    if is_clusterer(estimator) or hasattr(estimator, "predict"):
        return "clustering"
    return "transformation" if hasattr(estimator, "transform") else None


def needs_target(task: Task | None) -> bool:
    """Whether a task has a target, a column that is predicted."""
    return task in ("classification", "regression")


def untargeted(task: Task) -> Target:
    """The description of what a model without a target predicts.

    :param task: ``clustering``, ``outliers`` or ``transformation``.
    """
    return Target(name=_PREFIXES[task], arrow_type="double" if task == "transformation" else "int64", task=task)


def methods_of(estimator: Any, task: Task | None = None) -> tuple[Method, ...]:
    """The methods that a fitted estimator has, in the order in which ``method="auto"`` chooses.

    :param task: the task; None: the estimator's own.
    """
    task = task or task_of(estimator)
    return best_first([name for name in METHODS[task] if callable(getattr(estimator, name, None))]) if task else ()
