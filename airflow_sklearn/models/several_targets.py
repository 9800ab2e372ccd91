"""A model of several targets: a fitted estimator for each, in one object."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator

from airflow_sklearn.contract.schema import best_first
from airflow_sklearn.models.frames import accepts_arrow
from airflow_sklearn.models.outputs import usable_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pyarrow as pa

    from airflow_sklearn.contract.schema import Feature, Method, OutputColumn, Target


class SeveralTargets(BaseEstimator):
    """Fitted estimators by target. It has no ``predict`` of its own: one of the estimators is asked.

    :param estimators: the fitted estimators by the target's column. They take the same features.
    """

    def __init__(self, estimators: Mapping[str, Any]) -> None:
        self.estimators = estimators

    @property
    def estimators_by_target_(self) -> Mapping[str, Any]:
        """The fitted estimators by the target's column."""
        return self.estimators

    @property
    def accepts_arrow(self) -> bool:
        """Whether all estimators take Arrow tables."""
        return all(map(accepts_arrow, self.estimators.values()))


def outputs_of_targets(
    estimator: Any, targets: Sequence[Target], table: pa.Table, features: Sequence[Feature]
) -> dict[Method, tuple[OutputColumn, ...]]:
    """The output columns of every usable method, for all targets, each name once.

    :param estimator: a fitted estimator; of several targets a ``SeveralTargets``.
    :param targets: the targets in their order.
    :param table: some rows for which the methods are tried, shape (rows, at least the features).
    :return: the methods in the order of preference.
    :raises UserError: a target has no usable method.
    """
    if not isinstance(estimator, SeveralTargets):
        return usable_outputs(estimator, targets[0], table, features)
    found: dict[Method, list[OutputColumn]] = {}
    names: set[str] = set()
    for target in targets:
        mine = usable_outputs(estimator.estimators[target.name], target, table, features)
        for method, outputs in mine.items():
            for output in outputs:
                name = output.name
                while name in names:  # the targets a and a_proba may give the same name
                    name += "_"
                names.add(name)
                found.setdefault(method, []).append(output.model_copy(update={"target": target.name, "name": name}))
    return {method: tuple(found[method]) for method in best_first(found)}
