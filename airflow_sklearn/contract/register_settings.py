"""The settings of a registration as one value, from the operator to the worker."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING, Any, Self

from airflow_sklearn.contract.arguments import (
    PERSISTENCE,
    check_all,
    check_choice,
    check_column,
    check_columns,
    check_policies,
    column_names,
    is_known,
    merge_policies,
)
from airflow_sklearn.contract.document import Value
from airflow_sklearn.contract.faults import kind_of, shown
from airflow_sklearn.contract.schema import Policies, Serializer
from airflow_sklearn.exceptions import UserError

if TYPE_CHECKING:
    from collections.abc import Mapping

_SHA256 = re.compile(r"[0-9a-f]{64}")


class RegisterSettings(Value):
    """All settings of a registration."""

    target: str = ""
    """The name of what the model predicts; it begins the names of the predictions. Empty: the model has no target."""
    primary_key: tuple[str, ...] = ()
    features: tuple[str, ...] = ()
    """The features in the order in which the estimator takes them. Empty: the names that the estimator was fitted with,
    else the columns of the sample that have no other role."""
    excluded_columns: tuple[str, ...] = ()
    """Columns of the sample that are no features."""
    expected: dict[str, str] = {}
    """By output column, the column of the sample that holds what the model predicted where it was fitted."""
    policies: Policies = Policies()
    persistence: Serializer = "joblib"
    """The format in which the model is stored."""

    @staticmethod
    def check(arguments: Mapping[str, Any]) -> None:
        """Check a user's values as far as they are known when a DAG is parsed.

        :param arguments: values by the settings' names.
        :raises UserError: a value is invalid; the message says what to give instead.
        """
        check_all(
            lambda: check_column("target", arguments["target"]),
            *(
                partial(check_columns, name, arguments[name])
                for name in ("primary_key", "features", "excluded_columns")
            ),
            lambda: check_expected(arguments["expected"]),
            lambda: check_policies(arguments["policies"]),
            lambda: check_choice("persistence", arguments["persistence"], PERSISTENCE),
        )

    @classmethod
    def asked(cls, arguments: Mapping[str, Any]) -> Self:
        """The settings from a user's values. A single column name becomes a list.

        :param arguments: values by the settings' names, with templates rendered.
        :raises UserError: see ``check``.
        """
        cls.check(arguments)
        return cls(
            target=arguments["target"] or "",
            primary_key=column_names(arguments["primary_key"]),
            features=column_names(arguments["features"]),
            excluded_columns=column_names(arguments["excluded_columns"]),
            expected=dict(arguments["expected"] or {}),
            policies=merge_policies(arguments["policies"]),
            persistence=arguments["persistence"],
        )


def check_expected(given: Any) -> None:
    """Check that ``expected`` maps names of predictions to columns.

    :raises UserError: it does not.
    """
    if given is None or not is_known(given):
        return
    if not hasattr(given, "items") or not all(isinstance(name, str) for pair in given.items() for name in pair):
        raise UserError(
            f"expected={shown(given)} is {kind_of(given)}: give a dict from the name of a prediction to the column of "
            "the sample that holds it, such as {'churned_proba_yes': 'score_in_the_notebook'}."
        )


def check_digest(argument: str, value: Any) -> None:
    """Check that an argument is a SHA-256 as hexadecimal digits.

    :raises UserError: it is not.
    """
    if is_known(value) and not (isinstance(value, str) and _SHA256.fullmatch(value)):
        raise UserError(
            f"{argument}={shown(value)}: give the file's SHA-256, 64 digits of 0-9a-f, as `sha256sum FILE` prints it."
        )
