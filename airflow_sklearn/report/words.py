"""The words of pages for what documents name by keys."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow_sklearn.contract.metrics import LOWER_IS_BETTER
from airflow_sklearn.contract.schema import KIND_WORDS, label_text
from airflow_sklearn.report.formats import counted, number
from airflow_sklearn.runs.leaderboard import estimator_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from airflow_sklearn.contract.model import ModelManifest
    from airflow_sklearn.contract.schema import Feature, Scalar

#: Metrics that are numbers, in the order in which pages show them: the name, and what it says.
METRICS: dict[str, tuple[str, str]] = {
    "roc_auc": ("ROC AUC", "the chance that a positive row scores higher than another one"),
    "roc_auc_macroavg": ("ROC AUC, mean of the classes", "each class against the others"),
    "r_squared": ("R²", "the part of the target's variance that is explained"),
    "rmse": ("RMSE", "root of the mean squared error, in the target's unit"),
    "mae": ("MAE", "mean absolute error, in the target's unit"),
    "mad": ("Median error", "median absolute error, in the target's unit"),
    "average_precision": ("Average precision", "the area under the precision-recall curve"),
    "ks": ("KS", "the largest distance between the scores of positive and of other rows"),
    "accuracy": ("Accuracy", "the share of rows whose class is predicted"),
    "balanced_accuracy": ("Balanced accuracy", "the mean recall of the classes"),
    "precision": ("Precision", "of the rows predicted positive, the share that is"),
    "recall": ("Recall", "of the positive rows, the share that is predicted so"),
    "f1": ("F1", "harmonic mean of precision and recall"),
    "log_loss": ("Log loss", "mean negative logarithm of the true class's probability"),
    "brier_score": ("Brier score", "mean squared distance of the probability from what is true"),
}
#: Metrics between 0 and 1, whose intervals are drawn on one scale.
SHARES = frozenset(METRICS) - {"r_squared", "rmse", "mae", "mad", "log_loss"}
#: The names of the means over the folds in a manifest, where they differ.
OF_FOLDS = {"brier_score": "brier", "r_squared": "r2"}
#: What a model does, by task.
DOES = {
    "classification": "Predicts",
    "regression": "Predicts",
    "clustering": "Groups rows",
    "outliers": "Finds outliers",
    "transformation": "Transforms rows",
}
IMPORTANCES = {
    "coefficients": "Absolute coefficient times the column's standard deviation in training, summed over the columns "
    "that are made of the feature.",
    "impurity": "The estimator's own importances: how much splits by the feature reduce impurity. They favour features "
    "with many values.",
    "permutation": "The loss of score on held-out rows when the feature is permuted (Breiman, 2001).",
}


def metric_name(name: str) -> str:
    """A metric's name for people; one that is not known as it is."""
    return METRICS[name][0] if name in METRICS else name.replace("_", " ")


def metric_hint(name: str) -> str:
    """What a metric says; empty: it is not known."""
    hint = METRICS[name][1] if name in METRICS else ""
    return f"{hint}; lower is better" if name in LOWER_IS_BETTER else hint


def label(value: Scalar) -> str:
    """A class, or a value of a column, as a text."""
    if value is None:
        return "null"
    return label_text(value) or "(empty)"


def estimator_name(manifest: ModelManifest, target: str = "") -> str:
    """What the model was made of: the preset's name, the factory, or the class of the object.

    :param target: of several estimators, that of this target.
    """
    if manifest.estimator.kind == "several" and not target:
        return "an estimator for each target"
    found = estimator_of(manifest, target)
    return found.rpartition(".")[2] if found == manifest.estimator_class else found


def model_name(model: str) -> str:
    """The last part of a model's URI."""
    return model.rstrip("/").rpartition("/")[2] or model


def kinds(features: Sequence[Feature]) -> str:
    """How many features there are of each kind: ``12 numbers, 3 categories``."""
    found = {kind: sum(one.kind == kind for one in features) for kind in KIND_WORDS}
    return ", ".join(counted(number, *KIND_WORDS[kind]) for kind, number in found.items() if number)


def validation_words(folds: int, way: object) -> str:
    """How the out-of-sample rows were made, in words.

    :param way: one of ``contract.validation``; None: shuffled folds.
    """
    kind, column = getattr(way, "kind", ""), getattr(way, "column", "")
    if kind == "groups":
        return f"{folds} folds; rows with the same {column} are in one fold"
    if kind == "time":
        gap = getattr(way, "gap", None)
        return f"{folds} folds by {column}: each model is scored on what follows" + (f", after {gap}" if gap else "")
    if folds == 1:
        return "rows of another source"
    return f"{folds} folds, shuffled" if folds else "none"


def params_text(params: Mapping[str, Any]) -> str:
    """Parameters as ``name=value, ...``."""
    return ", ".join(f"{name}={number(v) if isinstance(v, float) else v}" for name, v in params.items())
