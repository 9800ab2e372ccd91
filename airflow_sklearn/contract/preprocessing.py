"""Checks of a user's ``preprocessing`` and ``preprocessing_params``, without scikit-learn."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_sklearn.contract.arguments import PREPROCESSING, is_factory, is_known
from airflow_sklearn.contract.faults import either, kind_of, shown, suggestion
from airflow_sklearn.exceptions import UserError

#: The parameters of ``TablePreprocessor``, which its docstring describes.
PREPROCESSING_PARAMS = (
    "categories",
    "expand",
    "max_levels",
    "encoder",
    "min_frequency",
    "null_indicators",
    "impute",
    "scale",
    "dates",
    "date_parts",
    "text",
    "text_columns",
    "constants",
    "null_columns",
    "sparse",
    "warn_levels",
    "target",
    "random_state",
)


def check_preprocessing(value: Any, params: Any = None) -> None:
    """Check a user's preprocessing and its parameters.

    :param value: ``auto``, ``default``, ``none``, a factory's path, or a transformer.
    :param params: parameters of ``TablePreprocessor``, or arguments of the factory; None: none.
    :raises UserError: a value is invalid; the message says what to give instead.
    """
    if params is not None and is_known(params) and not isinstance(params, Mapping):
        raise UserError(f"preprocessing_params={shown(params)}: give a dict, such as {{'max_levels': 100}}.")
    if not is_known(value):
        return
    if not is_replacement(value):
        _check_params(value, params)
        return
    if isinstance(value, str) and not is_factory(value):
        raise UserError(f"preprocessing={value!r} is no factory: give 'package.module:callable'.")
    if isinstance(value, type):
        raise UserError(f"preprocessing={value.__name__} is the class: give an object, {value.__name__}(...).")
    if not isinstance(value, str):
        if missing := [method for method in ("fit", "transform") if not hasattr(value, method)]:
            raise UserError(
                f"preprocessing={shown(value)} is {kind_of(value)}, which has no {'() and no '.join(missing)}(). Give "
                f"{either(PREPROCESSING)}, 'package.module:callable', or a transformer."
            )
        if params and is_known(params):
            raise UserError(
                f"preprocessing_params={shown(params)} go with the package's preprocessing or a factory. Set them on "
                f"the transformer itself: {type(value).__name__}({', '.join(f'{name}=...' for name in params)})."
            )


def is_replacement(value: Any) -> bool:
    """Whether a user's preprocessing is a factory's path or an object, and not one of the package's words."""
    return not isinstance(value, str) or ":" in value


def _check_params(value: str, params: Any) -> None:
    if value not in PREPROCESSING:
        raise UserError(
            f"preprocessing={shown(value)}: give {either(PREPROCESSING)}, 'package.module:callable', or a transformer."
            f"{suggestion(value, PREPROCESSING)}"
        )
    if not params or not is_known(params):
        return
    if value == "none":
        raise UserError("preprocessing_params go with the package's preprocessing, and preprocessing='none' has none.")
    if unknown := [name for name in params if name not in PREPROCESSING_PARAMS]:
        told = " ".join(f"There is no {name!r}.{suggestion(str(name), PREPROCESSING_PARAMS)}" for name in unknown)
        raise UserError(f"preprocessing_params: {told} There are {', '.join(PREPROCESSING_PARAMS)}.")
