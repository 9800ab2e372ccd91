"""Explaining a fitted model: coefficients, importances, and which columns survived selection."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from scipy import sparse
from sklearn.base import is_classifier

from airflow_sklearn.contract.explanation import ExplainedColumn, Importance, ModelExplanation, TargetExplanation
from airflow_sklearn.contract.model import StoredObject
from airflow_sklearn.contract.schema import label_text
from airflow_sklearn.models.frames import to_frame
from airflow_sklearn.models.inspection import (
    Inside,
    is_linear,
    is_stack,
    is_sum,
    is_trees,
    made_of,
    members_of,
    take_apart,
)
from airflow_sklearn.models.reasons import adds_up
from airflow_sklearn.models.tree_models import has_known_trees
from airflow_sklearn.runs.model_store import version_folder
from airflow_sklearn.storage import join
from airflow_sklearn.system.threads import users_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence, Set

    from airflow_sklearn.contract.jobs import VersionJob
    from airflow_sklearn.contract.schema import Target
    from airflow_sklearn.models.permutation import Importances
    from airflow_sklearn.storage import Storage
    from airflow_sklearn.worker.training.description import LearnedTable

_LOG = logging.getLogger("airflow_sklearn.worker")
_MOST_ROWS = 10_000  # of which means and deviations are taken
_MOST_VALUES = 20_000_000  # rows times columns: wide matrices are looked at on fewer rows
_PERMUTED_ROWS = 200
_MOST_COLUMNS = 5_000  # with more, the columns are left out of the document


def store_explanation(job: VersionJob, storage: Storage, targets: Sequence[TargetExplanation]) -> dict[str, Any]:
    """Store an explanation in the version's folder. Its name contains its digest.

    :return: the manifest's fields about it.
    """
    if unknown := [one.target for one in targets if not one.exact]:
        _LOG.info("Single predictions of %s cannot be explained (explain=).", " and ".join(map(repr, unknown)))
    data = ModelExplanation(model=job.model, version=job.version, targets=tuple(targets)).to_json()
    digest = hashlib.sha256(data).hexdigest()
    uri = join(version_folder(job.model, job.version), f"explanation-{digest[:16]}.json")
    storage.write(uri, data)
    stored = StoredObject(uri=uri, sha256=digest, size=len(data))
    return {"explanation_object": stored, "explained": explainable(targets)}


def explainable(explanations: Sequence[TargetExplanation]) -> dict[str, str]:
    """The targets of which each row's score can be explained, with the kind of the estimator."""
    return {one.target: one.kind for one in explanations if one.exact}


def explain(
    estimator: Any, target: Target, data: LearnedTable, permuted: Importances | None = None
) -> TargetExplanation:
    """Explain the estimator of one target.

    :param estimator: fitted on all rows.
    :param data: the training rows. Means are those of at most 10,000 rows, spread over the table.
    :param permuted: importances by permutation, if the estimator has none.
    """
    names = tuple(feature.name for feature in data.features)
    with users_code():
        return _explained(estimator, target, _Rows(lambda count: _some_rows(data, count), names, names), permuted)


@dataclass(frozen=True)
class _Rows:
    """Rows as an estimator takes them.

    :param some: gives at most so many rows, of shape (rows, columns).
    :param names: the names of the columns.
    :param origins: the feature that each column is made of; empty: of several.
    """

    some: Callable[[int], Any]
    names: Sequence[str]
    origins: Sequence[str]


def _explained(estimator: Any, target: Target, rows: _Rows, permuted: Importances | None = None) -> TargetExplanation:
    inside = take_apart(estimator)
    last, few = inside.last, rows.some(_PERMUTED_ROWS)
    names = inside.names(rows.names)
    own = made_of(inside, few, names)
    by_column = dict(zip(map(str, few.columns), rows.origins, strict=True)) if hasattr(few, "columns") else {}
    origins = [by_column.get(name, "") if by_column else rows.origins[int(name)] if name else "" for name in own]
    names = names if len(names) == len(origins) else [str(number) for number in range(len(origins))]
    kept = np.arange(len(origins)) if inside.kept is None else inside.kept
    found = _linear(inside, target, names, origins, rows) if is_linear(last) else {}
    importances, method = _importances(inside, origins, kept, found.pop("importances", None), permuted)
    taken = _Rows(
        lambda count: inside.last_input(rows.some(count)), [names[k] for k in kept], [origins[k] for k in kept]
    )
    used = set(taken.origins)
    explanation = TargetExplanation(
        target=target.name,
        kind=_kind(last),
        used_features=tuple(feature for feature in dict.fromkeys(rows.origins) if feature in used),
        importances=importances,
        importance_method=method,
        scoring=permuted.scoring if permuted and method == "permutation" else "",
        columns=found.pop("columns", None) or _columns(names, origins),
        members=tuple(_explained(one, target, taken) for one in members_of(last)),
        **found,
    )
    return explanation.model_copy(update={"exact": _is_exact(estimator, explanation, used, few)})


def _kind(last: Any) -> Any:
    kinds = {"linear": is_linear, "trees": is_trees, "stack": is_stack, "mean": members_of}
    return next((kind for kind, is_one in kinds.items() if is_one(last)), "other")


def _is_exact(estimator: Any, explanation: TargetExplanation, used: Set[str], few: Any) -> bool:
    """Whether rows can be explained, so that the effects add up to their scores.

    :param used: the features of the columns that the last step gets.
    :param few: some rows as the estimator takes them.
    """
    last, members = take_apart(estimator).last, all(one.exact for one in explanation.members)
    if explanation.kind == "linear":
        return bool(explanation.columns) and _exact_sum(explanation.columns)
    if explanation.kind == "trees":
        return bool(explanation.columns) and has_known_trees(last) and "" not in used
    if explanation.kind == "stack":
        labels = is_classifier(last) and "predict" in last.stack_method_
        weighed = members and not last.passthrough and not labels and is_sum(last.final_estimator_)
        return weighed and adds_up(estimator, explanation, few)
    return explanation.kind == "mean" and members


def _some_rows(data: LearnedTable, count: int) -> Any:
    """Rows as the estimator takes them, spread over the table."""
    rows = np.unique(np.linspace(0, data.table.num_rows - 1, count).astype(int))
    return to_frame(data.table.take(pa.array(rows)), data.features)


def _matrix(columns: Any) -> Any:
    return columns if sparse.issparse(columns) else np.asarray(columns, dtype=np.float64)


def _exact_sum(columns: Sequence[ExplainedColumn]) -> bool:
    return all(column.feature or not any(column.coefficients) for column in columns)


def _columns(names: Sequence[str], origins: Sequence[str]) -> tuple[ExplainedColumn, ...]:
    if len(names) > _MOST_COLUMNS:
        return ()
    return tuple(ExplainedColumn(name=name, feature=origin) for name, origin in zip(names, origins, strict=True))


def _linear(
    inside: Inside, target: Target, names: Sequence[str], origins: Sequence[str], rows: _Rows
) -> dict[str, Any]:
    """Coefficients, means and importances of a linear model."""
    columns = _matrix(
        inside.columns(rows.some(min(_MOST_ROWS, max(_PERMUTED_ROWS, _MOST_VALUES // max(1, len(origins))))))
    )
    coefficients = np.zeros((np.atleast_2d(inside.last.coef_).shape[0], len(origins)))
    coefficients[:, slice(None) if inside.kept is None else inside.kept] = np.atleast_2d(inside.last.coef_)
    squares = columns.multiply(columns) if sparse.issparse(columns) else np.square(columns)
    means = np.asarray(columns.mean(axis=0)).ravel()
    deviations = np.sqrt(np.maximum(0, np.asarray(squares.mean(axis=0)).ravel() - means**2))
    by_feature: dict[str, float] = {}
    for origin, value in zip(origins, np.abs(coefficients).mean(axis=0) * deviations, strict=True):
        by_feature[origin] = by_feature.get(origin, 0.0) + float(value)
    labels = [label_text(label) for label in target.classes] if is_classifier(inside.last) else []
    return {
        "outputs": tuple(labels[-1:] if len(labels) == 2 else labels),
        "intercepts": tuple(np.atleast_1d(inside.last.intercept_).astype(float).tolist()),
        "columns": tuple(
            ExplainedColumn(name=name, feature=origin, mean=float(mean), coefficients=tuple(weights.tolist()))
            for name, origin, mean, weights in zip(names, origins, means, coefficients.T, strict=True)
        ),
        "importances": by_feature,
    }


def _importances(
    inside: Inside,
    origins: Sequence[str],
    kept: np.ndarray,
    of_coefficients: dict[str, float] | None,
    permuted: Importances | None,
) -> tuple[tuple[Importance, ...], Any]:
    if of_coefficients is not None:
        return _sorted(of_coefficients), "coefficients"
    own = getattr(inside.last, "feature_importances_", None)
    if own is not None and len(own) == len(kept):
        by_feature: dict[str, float] = {}
        for number, value in zip(kept, own, strict=True):
            by_feature[origins[number]] = by_feature.get(origins[number], 0.0) + float(value)
        return _sorted(by_feature), "impurity"
    return (_sorted(permuted.values), "permutation") if permuted else ((), None)


def _sorted(values: dict[str, float]) -> tuple[Importance, ...]:
    ordered = sorted(values.items(), key=lambda pair: (-pair[1], pair[0]))
    return tuple(Importance(feature=feature, value=value) for feature, value in ordered if feature)
