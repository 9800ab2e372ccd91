"""The settings of a training as one value, from the operator to the fit and into the model's manifest.

To add a setting, add an argument to ``SklearnTrainOperator`` and a field with its check here. The job then contains
it; a field of ``RecordedSettings`` is in the manifest too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import Field, JsonValue

from airflow_sklearn.contract.arguments import (
    PERSISTENCE,
    Preprocessing,
    check_all,
    check_choice,
    check_columns,
    check_count,
    check_policies,
    check_target,
    column_names,
    merge_policies,
)
from airflow_sklearn.contract.document import Later, Value
from airflow_sklearn.contract.fit_settings import (
    Calibration,
    ClassWeight,
    ThresholdMetric,
    check_fit_settings,
    fit_params_and_weight,
)
from airflow_sklearn.contract.preprocessing import check_preprocessing, is_replacement
from airflow_sklearn.contract.schema import Policies, Serializer
from airflow_sklearn.contract.search import Search, as_search, check_search
from airflow_sklearn.contract.validation import Validation, check_validation, folds_and_way
from airflow_sklearn.contract.will_score import ScoredTable, check_will_score

if TYPE_CHECKING:
    from collections.abc import Mapping


#: The arguments that users know by another name than the setting's: a job's ``search`` is its containers.
CALLED = {"parameter_search": "search"}

_COLUMNS = ("primary_key", "excluded_columns", "metrics_by")


class RecordedSettings(Value):
    """The settings that a model's manifest contains."""

    excluded_columns: tuple[str, ...] = ()
    """Columns that are not learned from."""
    sample_weight: str | None = None
    """The column with the rows' weights."""
    cross_validation: int = Field(default=4, ge=0)
    """The number of folds of the validation; 0: none; 1: rows of another source."""
    validation: Annotated[Validation | None, Later()] = None
    """How the rows are divided into folds; None: shuffled, for classes stratified."""
    metrics_by: Annotated[tuple[str, ...], Later()] = ()
    """Columns for whose values the metrics are computed too."""
    fit_params: Annotated[dict[str, str], Later()] = {}
    """Columns by the name of the parameter of the estimator's ``fit``; without the weights."""
    class_weight: Annotated[ClassWeight | None, Later()] = None
    """``balanced``: each class counts the same in fitting. None: each row does."""
    calibration: Annotated[Calibration | None, Later()] = None
    """How probabilities are calibrated; None: they are not."""
    threshold: Annotated[ThresholdMetric | float | None, Later()] = None
    """The metric that the decision threshold is tuned for, or the threshold. None: the estimator decides."""

    parameter_search: Annotated[Search | None, Later()] = None
    """The search for the best parameters; None: the estimator has its own."""

    def recorded(self) -> dict[str, Any]:
        """The values of these settings by name, without the fields of subclasses."""
        return {name: getattr(self, name) for name in RecordedSettings.model_fields}


class TrainSettings(RecordedSettings):
    """All settings of a training."""

    target: str | tuple[str, ...]
    """The column to predict, or several. Empty: none, for estimators that group, transform or find outliers."""
    primary_key: tuple[str, ...] = ()
    preprocessing: Preprocessing = "auto"
    """``default`` puts the package's preprocessing, or the job's ``transformer``, before the estimator; ``auto`` does
    so unless it is, or wraps, a Pipeline."""
    preprocessing_params: Annotated[dict[str, JsonValue], Later()] = {}
    """Parameters of the package's preprocessing, or arguments of the factory that replaces it."""
    policies: Policies = Policies()
    persistence: Annotated[Serializer, Later()] = "joblib"
    """The format in which the model is stored."""
    will_score: Annotated[ScoredTable | None, Later()] = None
    """The table that the columns are checked against before anything is fitted; None: they are not."""

    @property
    def targets(self) -> tuple[str, ...]:
        """The columns to predict."""
        return column_names(self.target)

    @staticmethod
    def check(arguments: Mapping[str, Any]) -> None:
        """Check a user's values as far as they are known when a DAG is parsed.

        :param arguments: values by the settings' names.
        :raises UserError: a value is invalid; the message says what to give instead.
        """
        check_all(
            lambda: check_target(arguments["target"]),
            *(partial(check_columns, name, arguments[name]) for name in _COLUMNS),
            lambda: _check_ways(arguments),
            lambda: check_fit_settings(arguments),
            lambda: check_search(arguments["parameter_search"]),
            lambda: check_preprocessing(arguments["preprocessing"], arguments["preprocessing_params"]),
            lambda: check_policies(arguments["policies"]),
            lambda: check_choice("persistence", arguments["persistence"], PERSISTENCE),
            lambda: check_will_score(arguments["will_score"]),
        )

    @classmethod
    def asked(cls, arguments: Mapping[str, Any]) -> Self:
        """The settings from a user's values. A single column name becomes a list, an empty text None.

        :param arguments: values by the settings' names, with templates rendered.
        :raises UserError: see ``check``.
        """
        cls.check(arguments)
        folds, way = folds_and_way(arguments)
        params, weight = fit_params_and_weight(arguments)
        meant = {
            "target": _target(arguments["target"]),
            "cross_validation": folds,
            "validation": way,
            "metrics_by": column_names(arguments["metrics_by"]),
            "primary_key": column_names(arguments["primary_key"]),
            "excluded_columns": column_names(arguments["excluded_columns"]),
            "sample_weight": weight,
            "fit_params": params,
            "parameter_search": as_search(arguments["parameter_search"]),
            "policies": merge_policies(arguments["policies"]),
            "preprocessing": "default" if is_replacement(arguments["preprocessing"]) else arguments["preprocessing"],
            "preprocessing_params": dict(arguments["preprocessing_params"] or {}),
        }
        return cls(**{**arguments, **meant})


def _check_ways(arguments: Mapping[str, Any]) -> None:
    """Check how the model is validated."""
    check_count("cross_validation", arguments["cross_validation"], 0)
    check_validation(arguments["validation"])
    folds_and_way(arguments)


def _target(value: Any) -> str | tuple[str, ...]:
    """One column's name as a text, several as a tuple."""
    names = column_names(value)
    return names if len(names) > 1 else "".join(names)
