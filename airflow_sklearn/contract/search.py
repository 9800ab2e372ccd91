"""A search for an estimator's best parameters: what a user gives as ``search=``, and what it has found."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal, get_args

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator

from airflow_sklearn.contract.arguments import is_known
from airflow_sklearn.contract.document import Value
from airflow_sklearn.contract.faults import either, explain, sentences, shown, suggestion
from airflow_sklearn.exceptions import UserError

SearchMethod = Literal["grid", "randomized", "halving", "hyperband"]

#: The distributions that values can be drawn from, and how many numbers each has: both ends, and a scale.
DISTRIBUTIONS = {"uniform": 2, "loguniform": 2, "integers": 2, "truncated_exponential": 3}

#: The methods to which an option belongs; any other option belongs to all.
_BELONGS: dict[str, tuple[str, ...]] = {
    "n_iter": ("randomized", "halving"),
    "factor": ("halving", "hyperband"),
    "cost": ("halving", "hyperband"),
    "random_state": get_args(SearchMethod),
}


class Search(Value):
    """A search for the parameters that predict best on rows that were not fitted on.

    The folds are shuffled, and stratified for classes. The model is then fitted on all rows with the best parameters.

    :param method: ``grid``: every combination. ``randomized``: ``n_iter`` combinations by chance. ``halving``: starts
        with ``n_iter`` combinations, and spends more on the best ones. ``hyperband``: several such rounds, from many
        cheap combinations to few expensive ones (Li and others, 2018).
    :param params: by the parameter's name a list of values, or a distribution: ``{"uniform": [low, high]}``,
        ``loguniform``, ``integers`` (both ends included), or ``{"truncated_exponential": [low, high, scale]}``. A bare
        name is that of the final step. Empty: what the preset has.
    :param n_iter: the number of combinations of ``randomized`` and ``halving``.
    :param scoring: the name of a scikit-learn scorer, such as ``roc_auc``. None: ``neg_log_loss`` for classifiers with
        probabilities, else the estimator's own score.
    :param cv: the number of folds.
    :param cost: the parameter on which ``halving`` and ``hyperband`` spend, with its least and largest value, such as
        ``{"n_estimators": [100, 1000]}``. None: that of the preset; ``halving`` spends rows where there is none.
    :param factor: each time the best one of so many combinations is kept, and costs so many times as much.
    :param random_state: the seed of folds and combinations.
    """

    method: SearchMethod = "randomized"
    params: dict[str, JsonValue] = {}
    n_iter: int = Field(default=20, ge=1)
    scoring: str | None = None
    cv: int = Field(default=4, ge=2)
    cost: dict[str, tuple[int, int]] | None = None
    factor: int = Field(default=3, ge=2)
    random_state: int = Field(default=42, ge=0)

    def __init__(self, method: Any = "randomized", params: Any = None, **others: Any) -> None:
        given = {"method": method, "params": {} if params is None else params, **others}
        try:
            super().__init__(**given)
        except ValidationError as error:
            names = [*type(self).model_fields, *DISTRIBUTIONS]
            raise UserError(f"Search is not valid: {sentences(explain(error, names))}") from None

    @field_validator("params")
    @classmethod
    def _are_values(cls, params: dict[str, JsonValue]) -> dict[str, JsonValue]:
        faults = [fault for name, values in params.items() if (fault := _fault(name, values))]
        if faults:
            raise ValueError(sentences(faults).removeprefix("params: "))
        return params

    @model_validator(mode="after")
    def _fits_together(self) -> Search:
        faults = [
            f"{name}={shown(getattr(self, name))} is for {either(methods)}, and this is {self.method!r}: leave it out"
            for name, methods in _BELONGS.items()
            if name in self.model_fields_set
            and self.method not in methods
            and getattr(self, name) is not None
            and getattr(self, name) != type(self).model_fields[name].default
        ]
        if self.method == "grid":
            faults += [
                f"params: {name!r} is a distribution, and a grid needs a list of values"
                for name, values in self.params.items()
                if isinstance(values, dict)
            ]
        if self.cost is not None and len(self.cost) != 1:
            faults.append(f"cost={shown(self.cost)}: give one parameter")
        for name, (low, high) in (self.cost or {}).items():
            if not 0 < low < high:
                faults.append(f"cost: {name!r} has no range from {low} to {high}")
            if name in self.params:
                faults.append(f"params: {name!r} is what the search spends (cost), and is not searched")
        if faults:
            raise ValueError(sentences(faults))
        return self


def _fault(name: str, values: Any) -> str:
    if isinstance(values, list):
        return "" if values else f"params: {name!r} has no value"
    if not isinstance(values, dict) or len(values) != 1:
        return (
            f"params: {name!r} is {shown(values)}: give a list of values, or a distribution such as "
            "{'loguniform': [0.01, 10]}"
        )
    ((kind, ends),) = values.items()
    if kind not in DISTRIBUTIONS:
        hint = suggestion(kind, DISTRIBUTIONS)
        return f"params: {name!r}: there is no distribution {kind!r}.{hint} Give {either(DISTRIBUTIONS)}"
    count = DISTRIBUTIONS[kind]
    numbers = isinstance(ends, list) and all(isinstance(n, int | float) and not isinstance(n, bool) for n in ends)
    if not numbers or len(ends) != count or ends[0] >= ends[1]:
        what = "[low, high]" if count == 2 else "[low, high, scale]"
        return f"params: {name!r}: {kind} takes {what}, low being less than high, not {shown(ends)}"
    if (kind == "loguniform" and ends[0] <= 0) or (count == 3 and ends[2] <= 0):
        return f"params: {name!r}: {kind} takes positive numbers, not {shown(ends)}"
    return ""


def check_search(value: Any) -> None:
    """Check a user's ``search``.

    :raises UserError: it is no search; the message lists all faults.
    """
    if is_known(value):
        as_search(value)


def as_search(value: Any) -> Search | None:
    """The search that a user asks for: a ``Search``, a dict of its options, a dict of lists, which is a grid, or a
    method's name.

    :raises UserError: it is no search.
    """
    if value is None or isinstance(value, Search):
        return value
    if isinstance(value, str):
        return Search(value)
    if isinstance(value, Mapping):
        if value and not set(value) & set(Search.model_fields) and all(isinstance(one, list) for one in value.values()):
            return Search("grid", dict(value))
        return Search(**{str(name): part for name, part in value.items()})
    raise UserError(
        f"search={shown(value)}: give a Search, a dict of its options, or a method: {either(get_args(SearchMethod))}."
    )


class Candidate(Value):
    """One combination of parameters that was tried."""

    params: dict[str, JsonValue]
    score: float | None
    """The mean over the folds; None: it is not finite."""
    deviation: float | None
    """The standard deviation over the folds."""
    rank: int
    """1 is the best one."""
    seconds: float
    """The mean time of a fit."""
    resources: int | None = None
    """What was spent: the value of the cost parameter, or rows. None: the method does not spend."""
    bracket: int | None = None
    """The round of ``hyperband``, counted from 0."""


class SearchResults(Value):
    """What a search has found."""

    target: str
    best_params: dict[str, JsonValue]
    best_score: float | None
    scoring: str
    """The scorer's name; empty: the estimator's own score."""
    candidates: tuple[Candidate, ...]
    """In the order in which they were tried."""
