"""The settings of how a model is fitted and decides: parameters of ``fit``, rare classes, calibration, threshold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from airflow_sklearn.contract.arguments import check_all, check_choice, check_column, is_known
from airflow_sklearn.contract.faults import either, shown, suggestion
from airflow_sklearn.exceptions import UserError

ClassWeight = Literal["balanced"]
Calibration = Literal["sigmoid", "isotonic", "temperature"]
ThresholdMetric = Literal["f1", "balanced_accuracy", "accuracy"]


def check_fit_settings(arguments: Mapping[str, Any]) -> None:
    """Check a user's ``fit_params``, ``class_weight``, ``calibration`` and ``threshold``.

    :raises UserError: a value is invalid; the message lists all faults.
    """
    check_all(
        lambda: check_column("sample_weight", arguments["sample_weight"]),
        lambda: _check_fit_params(arguments["fit_params"], arguments["sample_weight"]),
        lambda: _check_word("class_weight", arguments["class_weight"], get_args(ClassWeight)),
        lambda: _check_word("calibration", arguments["calibration"], get_args(Calibration)),
        lambda: _check_threshold(arguments["threshold"]),
    )


def fit_params_and_weight(arguments: Mapping[str, Any]) -> tuple[dict[str, str], str | None]:
    """The columns of further parameters of ``fit``, and that of the weights, wherever the user has said it."""
    params = dict(arguments["fit_params"] or {})
    return params, params.pop("sample_weight", None) or arguments["sample_weight"] or None


def _check_word(argument: str, value: Any, words: tuple[str, ...]) -> None:
    if value is not None:
        check_choice(argument, value, words)


def _check_fit_params(value: Any, sample_weight: Any) -> None:
    if not value or not is_known(value):
        return
    if not isinstance(value, Mapping) or not all(isinstance(part, str) and part for kv in value.items() for part in kv):
        raise UserError(
            f"fit_params={shown(value)}: give a dict of columns by the name of fit's parameter, such as "
            "{'sample_weight': 'w'}."
        )
    if sample_weight and value.get("sample_weight", sample_weight) != sample_weight:
        raise UserError(
            f"sample_weight={sample_weight!r} and fit_params={shown(value)} name two columns of weights: give one."
        )


def _check_threshold(value: Any) -> None:
    if value is None or not is_known(value) or (isinstance(value, int | float) and not isinstance(value, bool)):
        return
    names = get_args(ThresholdMetric)
    if value not in names:
        hint = suggestion(value, names) if isinstance(value, str) else ""
        raise UserError(
            f"threshold={shown(value)}: give the metric that it is tuned for, {either(names)}, or a number.{hint}"
        )
